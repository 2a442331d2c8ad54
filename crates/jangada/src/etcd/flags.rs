//! etcd's flags: which there are, which of them mean something here, and how they are read.
//!
//! As etcd reads them: `--name n1`, `--name=n1`, with one dash or two; a switch alone or with `=true`; each also as
//! `ETCD_NAME` in the environment, which a flag outranks.

use std::collections::BTreeMap;
use std::ffi::OsString;

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// It is honoured (`settings`).
    Honoured,
    /// It changes nothing here, for this reason; that is said if it is given.
    Ignored(&'static str),
    /// These values only; any other is refused, for this reason.
    Only(&'static [&'static str], &'static str),
}

use Treatment::{Honoured, Ignored, Only};

/// One of etcd's flags.
#[derive(Debug)]
pub struct Flag {
    /// Its name without dashes.
    pub name: &'static str,
    /// Whether it may stand alone.
    pub is_switch: bool,
    /// What becomes of it.
    pub treatment: Treatment,
}

const fn flag(name: &'static str, treatment: Treatment) -> Flag {
    Flag { name, is_switch: false, treatment }
}

const fn switch(name: &'static str, treatment: Treatment) -> Flag {
    Flag { name, is_switch: true, treatment }
}

const NO_TLS: &str = "there is no TLS yet";
const NO_DISCOVERY: &str = "there is no discovery; name the members with --initial-cluster";
const NO_V2: &str = "the API of version 2 is not served";
const OWN_PACE: &str = "the log writes and recycles its files at its own pace";
const OFF: &[&str] = &["", "0", "false"];

/// All that etcd 3.5 has, but for the experimental ones; and two of our own.
pub const FLAGS: [Flag; 80] = [
    flag("name", Honoured),
    flag("data-dir", Honoured),
    flag("listen-client-urls", Honoured),
    flag("advertise-client-urls", Honoured),
    flag("listen-metrics-urls", Honoured),
    flag("listen-peer-urls", Honoured),
    flag("initial-advertise-peer-urls", Honoured),
    flag("initial-cluster", Honoured),
    flag("initial-cluster-state", Honoured),
    flag("heartbeat-interval", Honoured),
    flag("election-timeout", Honoured),
    flag("max-request-bytes", Honoured),
    flag("log-level", Honoured),
    flag("logger", Honoured),
    switch("debug", Honoured),
    switch("version", Honoured),
    switch("help", Honoured),
    flag("initial-cluster-token", Ignored("each cluster draws a number of its own when it is founded")),
    flag(
        "snapshot-count",
        Ignored("a snapshot is taken by the bytes of the log, not by the number of its entries"),
    ),
    flag("max-snapshots", Ignored(OWN_PACE)),
    flag("max-wals", Ignored(OWN_PACE)),
    flag("backend-batch-interval", Ignored(OWN_PACE)),
    flag("backend-batch-limit", Ignored(OWN_PACE)),
    flag("backend-bbolt-freelist-type", Ignored("there is no bbolt")),
    flag("max-concurrent-streams", Ignored("the bound on streams is fixed: SECURITY.md")),
    flag("grpc-keepalive-min-time", Ignored("clients may ping as they like")),
    flag("grpc-keepalive-interval", Ignored("the server's own pings are fixed: SECURITY.md")),
    flag("grpc-keepalive-timeout", Ignored("the server's own pings are fixed: SECURITY.md")),
    flag("metrics", Ignored("/metrics has all there are")),
    flag("log-outputs", Ignored("the log goes to stderr")),
    flag("log-package-levels", Ignored("there are no packages")),
    switch("enable-log-rotation", Ignored("the log goes to stderr")),
    flag("log-rotation-config-json", Ignored("the log goes to stderr")),
    switch("initial-election-tick-advance", Ignored("a founded cluster elects at once")),
    switch("strict-reconfig-check", Ignored("changes that would lose the quorum are always refused")),
    switch("unsafe-no-fsync", Ignored("what is answered is on the disks, always")),
    switch("socket-reuse-port", Ignored("a port has one server")),
    switch("socket-reuse-address", Ignored("a port has one server")),
    flag("bcrypt-cost", Ignored("passwords are hashed by argon2id")),
    flag("auth-token-ttl", Ignored("a token lasts for 300 s without being used")),
    flag("v2-deprecation", Ignored(NO_V2)),
    flag("discovery-fallback", Ignored(NO_DISCOVERY)),
    flag("host-whitelist", Ignored("programs may use any name, browsers only the server's own: SECURITY.md")),
    switch("enable-pprof", Only(OFF, "there is no Go to be profiled")),
    switch(
        "pre-vote",
        Only(&["true"], "it is always on; jangada serve --profile classic is without, for lessons"),
    ),
    switch("enable-v2", Only(OFF, NO_V2)),
    flag("proxy", Only(&["off"], "there is no proxy; any member takes any request")),
    flag("proxy-failure-wait", Ignored("there is no proxy")),
    flag("proxy-refresh-interval", Ignored("there is no proxy")),
    flag("proxy-dial-timeout", Ignored("there is no proxy")),
    flag("proxy-write-timeout", Ignored("there is no proxy")),
    flag("proxy-read-timeout", Ignored("there is no proxy")),
    flag("max-txn-ops", Only(&["128"], "the bound is part of what all members must decide alike")),
    flag("quota-backend-bytes", Honoured),
    flag("auto-compaction-mode", Honoured),
    flag("auto-compaction-retention", Honoured),
    flag("history-revisions", Honoured),
    flag("history-bytes", Honoured),
    flag("auth-token", Only(&["simple", ""], "tokens are simple ones: there is no JWT")),
    flag("cors", Only(&["*", ""], "pages of other origins are always refused: SECURITY.md")),
    flag("wal-dir", Only(&[""], "the log is kept in --data-dir")),
    flag("config-file", Only(&[""], "say it by flags, or use jangada serve --config with a file of TOML")),
    switch("force-new-cluster", Only(OFF, "a majority that is lost for good cannot be passed over yet")),
    flag("discovery", Only(&[""], NO_DISCOVERY)),
    flag("discovery-proxy", Only(&[""], NO_DISCOVERY)),
    flag("discovery-srv", Only(&[""], NO_DISCOVERY)),
    flag("discovery-srv-name", Only(&[""], NO_DISCOVERY)),
    flag("cert-file", Only(&[""], NO_TLS)),
    flag("key-file", Only(&[""], NO_TLS)),
    switch("client-cert-auth", Only(OFF, NO_TLS)),
    flag("client-crl-file", Only(&[""], NO_TLS)),
    flag("trusted-ca-file", Only(&[""], NO_TLS)),
    switch("auto-tls", Only(OFF, NO_TLS)),
    flag("peer-cert-file", Only(&[""], NO_TLS)),
    flag("peer-key-file", Only(&[""], NO_TLS)),
    switch("peer-client-cert-auth", Only(OFF, NO_TLS)),
    flag("peer-trusted-ca-file", Only(&[""], NO_TLS)),
    switch("peer-auto-tls", Only(OFF, NO_TLS)),
    flag("peer-crl-file", Only(&[""], NO_TLS)),
    flag("cipher-suites", Only(&[""], NO_TLS)),
];

/// Flags that begin so are experiments of etcd's. They are passed over, and that is said.
const EXPERIMENTAL: &str = "experimental-";

/// What was said, and what is to be said about it.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Said {
    values: BTreeMap<&'static str, String>,
    /// Sentences about what was passed over.
    pub notes: Vec<String>,
}

impl Said {
    /// The value of a flag.
    pub fn get(&self, name: &str) -> Option<&str> {
        debug_assert!(FLAGS.iter().any(|flag| flag.name == name), "{name}");
        self.values.get(name).map(String::as_str)
    }

    /// Whether a switch is on.
    pub fn is_on(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }

    /// Reads flags, and the environment for what they leave out.
    ///
    /// # Errors
    /// A sentence about the first that does not exist, lacks its value, or cannot be honoured.
    pub fn read(
        arguments: impl IntoIterator<Item = OsString>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<Said, String> {
        let mut said = Said::default();
        said.read_flags(arguments)?;
        said.read_environment(environment)?;
        said.judge()
    }

    fn read_flags(&mut self, arguments: impl IntoIterator<Item = OsString>) -> Result<(), String> {
        let mut arguments = arguments.into_iter().peekable();
        while let Some(argument) = arguments.next() {
            let argument = text(argument)?;
            let bare = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
            let Some(bare) = bare.filter(|bare| !bare.is_empty()) else {
                return Err(format!("'{argument}' is no flag; jangada etcd takes flags alone, as etcd does"));
            };
            let (name, mut value) = match bare.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (bare, None),
            };
            if name.starts_with(EXPERIMENTAL) {
                self.notes.push(format!("--{name} is an experiment of etcd's and changes nothing here"));
                // Whether it takes a value nobody knows: what does not look like a flag is one.
                if value.is_none() {
                    arguments.next_if(|next| !next.to_string_lossy().starts_with('-'));
                }
                continue;
            }
            let name = if name == "h" { "help" } else { name };
            let flag = FLAGS.iter().find(|flag| flag.name == name);
            let flag = flag.ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
            if value.is_none() {
                value = match flag.is_switch {
                    true => Some("true".to_owned()),
                    false => arguments.next().map(text).transpose()?,
                };
            }
            let value = value.ok_or_else(|| format!("flag needs an argument: -{name}"))?;
            self.values.insert(flag.name, value);
        }
        Ok(())
    }

    fn read_environment(
        &mut self,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Result<(), String> {
        for (variable, value) in environment {
            let Some(variable) = variable.to_str() else { continue };
            let Some(name) = variable.strip_prefix("ETCD_") else { continue };
            let name = name.to_ascii_lowercase().replace('_', "-");
            match FLAGS.iter().find(|flag| flag.name == name) {
                Some(flag) if self.values.contains_key(flag.name) => {
                    self.notes.push(format!("{variable} is outranked by --{name}"));
                }
                Some(flag) => {
                    self.values.insert(flag.name, text(value)?);
                }
                None => self.notes.push(format!("{variable} in the environment means nothing here")),
            }
        }
        Ok(())
    }

    /// Refuses what cannot be honoured, and notes what is passed over.
    fn judge(mut self) -> Result<Said, String> {
        for (name, value) in &mut self.values {
            let flag =
                FLAGS.iter().find(|flag| flag.name == *name).expect("only flags of the table are kept");
            if flag.is_switch {
                // Go's ways to say so, before anybody compares.
                *value = match value.as_str() {
                    "1" | "t" | "T" | "true" | "TRUE" | "True" => "true".to_owned(),
                    "0" | "f" | "F" | "false" | "FALSE" | "False" => "false".to_owned(),
                    _ => return Err(format!("--{name}={value}: a switch is true or false")),
                };
            }
            match flag.treatment {
                Honoured => {}
                Ignored(why) => self.notes.push(format!("--{name} changes nothing here: {why}")),
                Only(allowed, _) if allowed.contains(&value.as_str()) => {}
                Only(_, why) => return Err(format!("--{name} {value} cannot be honoured: {why}")),
            }
        }
        Ok(self)
    }
}

fn text(argument: OsString) -> Result<String, String> {
    argument.into_string().map_err(|argument| format!("{argument:?} is no text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str, environment: &[(&str, &str)]) -> Result<Said, String> {
        let environment: Vec<_> =
            environment.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Said::read(line.split_whitespace().map(OsString::from), environment)
    }

    #[test]
    fn flags_are_read_as_etcd_reads_them() {
        let said =
            read("--name n1 -data-dir=/x --heartbeat-interval=10 --debug --pre-vote=true", &[]).unwrap();
        assert_eq!((said.get("name"), said.get("data-dir")), (Some("n1"), Some("/x")));
        assert_eq!((said.get("heartbeat-interval"), said.is_on("debug")), (Some("10"), true));
        assert_eq!(said.notes, Vec::<String>::new());
        assert!(read("-h", &[]).unwrap().is_on("help"));
    }

    #[test]
    fn a_switch_may_be_said_in_all_of_gos_ways() {
        for yes in ["--pre-vote", "--pre-vote=1", "--pre-vote=t", "--pre-vote=TRUE"] {
            assert!(read(yes, &[]).unwrap().is_on("pre-vote"), "{yes}");
        }
        assert!(read("", &[("ETCD_PRE_VOTE", "1")]).unwrap().is_on("pre-vote"));
        for no in ["--auto-tls=0", "--auto-tls=f", "--auto-tls=False"] {
            assert_eq!(read(no, &[]).unwrap().get("auto-tls"), Some("false"), "{no}");
        }
        assert!(read("--pre-vote=f", &[]).is_err() && read("--auto-tls=1", &[]).is_err());
    }

    #[test]
    fn the_environment_says_what_flags_leave_out() {
        let environment =
            [("ETCD_NAME", "e"), ("ETCD_DATA_DIR", "/e"), ("ETCD_NOBODY", "x"), ("ETCDCTL_API", "3")];
        let said = read("--name f", &environment).unwrap();
        assert_eq!((said.get("name"), said.get("data-dir")), (Some("f"), Some("/e")));
        assert_eq!(
            said.notes,
            ["ETCD_NAME is outranked by --name", "ETCD_NOBODY in the environment means nothing here"]
        );
    }

    #[test]
    fn what_changes_nothing_is_said_and_what_cannot_be_honoured_is_refused() {
        let said = read(
            "--max-wals 5 --experimental-x --experimental-y 7 --name n1 --cert-file= --auto-tls=false",
            &[],
        );
        let said = said.unwrap();
        assert_eq!((said.get("name"), said.notes.len()), (Some("n1"), 3));
        assert!(said.notes[2].starts_with("--max-wals changes nothing here: "), "{:?}", said.notes);
        for (line, why) in [
            ("--cert-file /c", "--cert-file /c cannot be honoured: there is no TLS yet"),
            ("--force-new-cluster", "--force-new-cluster true cannot be honoured"),
            ("--auto-tls=maybe", "--auto-tls=maybe: a switch is true or false"),
            ("--nosuch", "flag provided but not defined: -nosuch"),
            ("--name", "flag needs an argument: -name"),
            ("gateway", "'gateway' is no flag"),
        ] {
            let refusal = read(line, &[]).unwrap_err();
            assert!(refusal.starts_with(why), "{line}: {refusal}");
        }
    }

    #[test]
    fn no_flag_is_there_twice() {
        for (position, flag) in FLAGS.iter().enumerate() {
            assert!(FLAGS[..position].iter().all(|other| other.name != flag.name), "{}", flag.name);
        }
    }
}
