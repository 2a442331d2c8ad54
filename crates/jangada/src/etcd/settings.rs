//! What etcd's flags mean to our server.

use jangada_kv::Retention;

use crate::config_file::{LogFormat, LogLevel, Options};

use super::flags::Said;

/// Where etcd listens for clients, and for peers, if nobody says.
const CLIENT_URL: &str = "http://localhost:2379";
const PEER_URL: &str = "http://localhost:2380";

/// How much history is kept if nobody says: etcd's users expect it to be there until they compact it.
const HISTORY: Retention = Retention { revisions: 100_000, bytes: 256 << 20 };

/// The settings of a server that was described in etcd's words.
///
/// # Errors
/// A sentence about what cannot be.
pub fn options(said: &Said) -> Result<Options, String> {
    let name = said.get("name").unwrap_or("default").to_owned();
    let listen_client =
        addresses("listen-client-urls", said.get("listen-client-urls").unwrap_or(CLIENT_URL))?;
    let metrics = said.get("listen-metrics-urls").filter(|urls| !urls.is_empty());
    let listen_metrics = metrics.map(|urls| addresses("listen-metrics-urls", urls)).transpose()?;
    let listen_peer = address(said, "listen-peer-urls", PEER_URL)?;
    if said.get("listen-client-urls").is_some() && said.get("advertise-client-urls").is_none() {
        return Err(
            "--advertise-client-urls is required when --listen-client-urls is set explicitly".to_owned()
        );
    }
    let advertise_client = address(said, "advertise-client-urls", CLIENT_URL)?;
    let advertise_peer = address(said, "initial-advertise-peer-urls", PEER_URL)?;
    let members = members(said, &name, &advertise_peer)?;
    let join = match said.get("initial-cluster-state").unwrap_or("new") {
        "new" => false,
        "existing" => true,
        other => return Err(format!("--initial-cluster-state {other}: it is new or existing")),
    };
    // Who joins is added by the others, and is not asked about itself.
    // Nor is one without a name, which is how etcdctl prints those who have not come yet.
    let peers = members.iter().filter(|(member, _)| !join || (*member != name && !member.is_empty()));
    let peers: Vec<String> = peers.map(|(member, address)| format!("{member}={address}")).collect();
    if join && peers.is_empty() {
        return Err(
            "--initial-cluster-state existing: --initial-cluster must name members that run".to_owned()
        );
    }
    let (heartbeat_ms, timeout) = times(said)?;
    // etcd draws from one timeout to two.
    let election = timeout.map(|timeout| format!("{timeout}-{}", timeout.saturating_mul(2)));
    for flag in NUMBERS {
        number(said, flag)?;
    }
    Ok(Options {
        data_dir: Some(said.get("data-dir").map_or_else(|| format!("{name}.etcd"), str::to_owned).into()),
        name: Some(name),
        listen_client: Some(listen_client),
        listen_metrics,
        listen_peer: Some(listen_peer),
        advertise_client: Some(advertise_client),
        advertise_peer: Some(advertise_peer),
        peers: Some(peers.join(",")),
        join: Some(join),
        heartbeat_ms,
        election_timeout_ms: election,
        log_format: Some(if said.get("logger") == Some("zap") { LogFormat::Json } else { LogFormat::Text }),
        log_level: Some(log_level(said)?),
        // Whoever names an address in etcd's words means it; the warning is printed all the same.
        insecure: Some(true),
        auto_compaction: auto_compaction(said)?,
        max_request_bytes: number(said, "max-request-bytes")?,
        quota_backend_bytes: quota(said)?,
        history_revisions: Some(history(said)?.revisions),
        history_bytes: Some(history(said)?.bytes),
        ..Options::default()
    })
}

/// Flags that change nothing, and are numbers all the same.
const NUMBERS: [&str; 7] = [
    "snapshot-count",
    "max-snapshots",
    "max-wals",
    "backend-batch-limit",
    "max-concurrent-streams",
    "bcrypt-cost",
    "auth-token-ttl",
];

/// Heartbeat and election timeout, as far as they were said.
fn times(said: &Said) -> Result<(Option<u64>, Option<u64>), String> {
    let (heartbeat, timeout) = (number(said, "heartbeat-interval")?, number(said, "election-timeout")?);
    match (heartbeat, timeout) {
        (Some(heartbeat), Some(timeout)) if timeout < heartbeat.saturating_mul(5) => Err(format!(
            "--election-timeout[{timeout}ms] should be at least as 5 times as --heartbeat-interval[{heartbeat}ms]"
        )),
        times => Ok(times),
    }
}

/// The addresses of a flag that takes URLs, in our words.
fn addresses(flag: &str, urls: &str) -> Result<String, String> {
    let addresses: Result<Vec<String>, String> =
        urls.split(',').map(|url| host_and_port(flag, url)).collect();
    Ok(addresses?.join(","))
}

/// The address of a flag that takes URLs: one, where a server has one.
fn address(said: &Said, flag: &str, default: &str) -> Result<String, String> {
    let mut urls = said.get(flag).unwrap_or(default).split(',');
    let first = host_and_port(flag, urls.next().unwrap_or_default())?;
    match urls.find(|url| host_and_port(flag, url).as_ref() != Ok(&first)) {
        None => Ok(first),
        Some(second) => {
            Err(format!("--{flag}: {second} beside http://{first}: one address is all there can be"))
        }
    }
}

fn host_and_port(flag: &str, url: &str) -> Result<String, String> {
    let url = url.trim();
    let rest = match url.split_once("://") {
        Some(("http", rest)) => rest.trim_end_matches('/'),
        Some(("https", _)) => return Err(format!("--{flag} {url} cannot be honoured: there is no TLS yet")),
        _ => return Err(format!("--{flag} {url:?}: write http://HOST:PORT")),
    };
    let port = rest.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    match port {
        Some(_) if !rest.contains('/') => Ok(rest.to_owned()),
        _ => Err(format!("--{flag} {url:?}: write http://HOST:PORT")),
    }
}

/// The members that `--initial-cluster` names, this one among them.
fn members(said: &Said, name: &str, own: &str) -> Result<Vec<(String, String)>, String> {
    let Some(text) = said.get("initial-cluster") else { return Ok(vec![(name.to_owned(), own.to_owned())]) };
    let mut members = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (member, url) =
            part.split_once('=').ok_or_else(|| format!("--initial-cluster: {part:?} should be NAME=URL"))?;
        members.push((member.to_owned(), host_and_port("initial-cluster", url)?));
    }
    match members.iter().find(|(member, _)| member == name) {
        None => Err(format!("couldn't find local name \"{name}\" in the initial cluster configuration")),
        Some((_, address)) if address != own => Err(format!(
            "--initial-cluster has {name}=http://{address} but missing from --initial-advertise-peer-urls=http://{own}"
        )),
        Some(_) => Ok(members),
    }
}

fn number(said: &Said, flag: &str) -> Result<Option<u64>, String> {
    let Some(text) = said.get(flag) else { return Ok(None) };
    text.parse().map(Some).map_err(|_| format!("--{flag} {text}: a number is wanted"))
}

/// The quota; less than nothing is no quota, and nothing the default.
fn quota(said: &Said) -> Result<Option<u64>, String> {
    let Some(text) = said.get("quota-backend-bytes") else { return Ok(None) };
    let bytes: i64 = text.parse().map_err(|_| format!("--quota-backend-bytes {text}: a number is wanted"))?;
    Ok(Some(u64::try_from(bytes).unwrap_or(u64::MAX)))
}

/// What `--auto-compaction` would say; a number without a unit is hours, or revisions, as the mode has it.
fn auto_compaction(said: &Said) -> Result<Option<String>, String> {
    let kept = said.get("auto-compaction-retention").unwrap_or("0");
    let unit = match said.get("auto-compaction-mode").unwrap_or("periodic") {
        "periodic" => "h",
        "revision" => "",
        other => return Err(format!("--auto-compaction-mode {other}: it is periodic or revision")),
    };
    match kept.parse::<u64>() {
        Ok(0) => Ok(None),
        Ok(number) => Ok(Some(format!("{number}{unit}"))),
        Err(_) if unit == "h" => Ok(Some(kept.to_owned())),
        Err(_) => Err(format!("--auto-compaction-retention {kept}: a number of revisions is wanted")),
    }
}

/// How much history the store keeps, whatever is compacted sooner.
fn history(said: &Said) -> Result<Retention, String> {
    Ok(Retention {
        revisions: number(said, "history-revisions")?.unwrap_or(HISTORY.revisions),
        bytes: number(said, "history-bytes")?.unwrap_or(HISTORY.bytes),
    })
}

/// That less of the history is kept than was asked for.
pub fn about_history(said: &Said) -> Option<String> {
    let kept = said.get("auto-compaction-retention").filter(|kept| *kept != "0")?;
    let Retention { revisions, bytes } = history(said).ok()?;
    let is_enough = said.get("auto-compaction-mode") == Some("revision")
        && kept.parse::<u64>().is_ok_and(|kept| kept <= revisions);
    (!is_enough).then(|| {
        format!(
            "--auto-compaction-retention {kept}: of the history the last {revisions} revisions and {} MiB of old values are \
             kept, and no more, whatever is asked for (--history-revisions, --history-bytes)",
            bytes >> 20
        )
    })
}

fn log_level(said: &Said) -> Result<LogLevel, String> {
    match said.get("log-level").unwrap_or("info") {
        _ if said.is_on("debug") => Ok(LogLevel::Debug),
        "debug" => Ok(LogLevel::Debug),
        "info" => Ok(LogLevel::Info),
        "warn" | "error" | "dpanic" | "panic" | "fatal" => Ok(LogLevel::Warn),
        other => Err(format!("--log-level {other}: there are debug, info, warn, error, panic, fatal")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, String> {
        let said = Said::read(line.split_whitespace().map(Into::into), []).unwrap();
        options(&said)
    }

    #[test]
    fn a_server_alone_has_etcds_defaults() {
        let options = read("").unwrap();
        assert_eq!(options.name.as_deref(), Some("default"));
        assert_eq!(options.data_dir.unwrap().to_str(), Some("default.etcd"));
        assert_eq!(options.listen_client.as_deref(), Some("localhost:2379"));
        assert_eq!(options.peers.as_deref(), Some("default=localhost:2380"));
    }

    #[test]
    fn a_member_of_three_is_what_its_flags_say() {
        let urls = "--name b --listen-client-urls http://127.0.0.1:1 --advertise-client-urls http://127.0.0.1:1/ \
                    --listen-peer-urls http://127.0.0.1:2 --initial-advertise-peer-urls http://127.0.0.1:2 \
                    --initial-cluster a=http://127.0.0.1:4,b=http://127.0.0.1:2 --election-timeout 500";
        let options = read(urls).unwrap();
        assert_eq!(options.peers.as_deref(), Some("a=127.0.0.1:4,b=127.0.0.1:2"));
        assert_eq!((options.join, options.election_timeout_ms.as_deref()), (Some(false), Some("500-1000")));
        let joining = read(&format!("{urls} --initial-cluster-state existing")).unwrap();
        assert_eq!((joining.join, joining.peers.as_deref()), (Some(true), Some("a=127.0.0.1:4")));
        // As etcdctl prints it while another member has not come yet.
        let expected = urls.replace("a=http", "=http://127.0.0.1:5,a=http");
        let joining = read(&format!("{expected} --initial-cluster-state existing")).unwrap();
        assert_eq!(joining.peers.as_deref(), Some("a=127.0.0.1:4"));
    }

    #[test]
    fn clients_and_figures_may_have_several_addresses() {
        let line = "--listen-client-urls http://10.0.0.1:2379,http://127.0.0.1:2379 --advertise-client-urls \
                    http://10.0.0.1:2379 --listen-metrics-urls http://127.0.0.1:2381";
        let options = read(line).unwrap();
        assert_eq!(options.listen_client.as_deref(), Some("10.0.0.1:2379,127.0.0.1:2379"));
        assert_eq!(options.advertise_client.as_deref(), Some("10.0.0.1:2379"));
        assert_eq!(options.listen_metrics.as_deref(), Some("127.0.0.1:2381"));
        assert_eq!(read("--listen-metrics-urls=").unwrap().listen_metrics, None);
    }

    #[test]
    fn history_is_kept_for_hours_or_by_revisions() {
        let kept = |line: &str| read(line).unwrap().auto_compaction;
        assert_eq!(kept("--auto-compaction-retention 0"), None);
        assert_eq!(kept("--auto-compaction-retention 2").as_deref(), Some("2h"));
        assert_eq!(kept("--auto-compaction-retention 5m").as_deref(), Some("5m"));
        let by_revision = "--auto-compaction-mode revision --auto-compaction-retention 500";
        assert_eq!(kept(by_revision).as_deref(), Some("500"));
    }

    #[test]
    fn more_of_the_past_is_kept_than_elsewhere_unless_somebody_says_how_much() {
        let kept = |line: &str| {
            let options = read(line).unwrap();
            (options.history_revisions.unwrap(), options.history_bytes.unwrap())
        };
        assert_eq!(kept(""), (100_000, 256 << 20));
        assert_eq!(kept("--history-revisions 7 --history-bytes=8"), (7, 8));
    }

    #[test]
    fn a_quota_below_zero_is_none() {
        let quota = |line: &str| read(line).unwrap().quota_backend_bytes;
        assert_eq!((quota(""), quota("--quota-backend-bytes 0")), (None, Some(0)));
        assert_eq!(quota("--quota-backend-bytes=16777216"), Some(16 << 20));
        assert_eq!(quota("--quota-backend-bytes=-1"), Some(u64::MAX));
    }

    #[test]
    fn who_asks_for_more_history_than_there_is_hears_of_it() {
        let about =
            |line: &str| about_history(&Said::read(line.split_whitespace().map(Into::into), []).unwrap());
        assert_eq!(about(""), None);
        assert_eq!(about("--auto-compaction-retention 0"), None);
        assert_eq!(about("--auto-compaction-mode revision --auto-compaction-retention 1000"), None);
        let much = about("--auto-compaction-mode revision --auto-compaction-retention 1000000").unwrap();
        assert!(much.contains("the last 100000 revisions and 256 MiB"), "{much}");
        let line = "--auto-compaction-mode revision --auto-compaction-retention 1000000";
        assert_eq!(about(&format!("{line} --history-revisions 1000000")), None);
        assert!(about("--auto-compaction-retention 24h").is_some());
    }

    #[test]
    fn what_cannot_be_is_told() {
        for (line, why) in [
            ("--listen-client-urls http://127.0.0.1:1", "--advertise-client-urls is required"),
            (
                "--listen-peer-urls https://127.0.0.1:1",
                "--listen-peer-urls https://127.0.0.1:1 cannot be honoured",
            ),
            ("--listen-metrics-urls http://a:1,x", "--listen-metrics-urls \"x\": write http://HOST:PORT"),
            ("--listen-peer-urls unix://x:1", "--listen-peer-urls \"unix://x:1\": write http://HOST:PORT"),
            ("--listen-peer-urls http://127.0.0.1", "--listen-peer-urls \"http://127.0.0.1\": write"),
            ("--listen-peer-urls http://a:1,http://b:1", "--listen-peer-urls: http://b:1 beside http://a:1"),
            ("--initial-cluster a=http://127.0.0.1:1", "couldn't find local name \"default\""),
            (
                "--initial-cluster default=http://127.0.0.1:1",
                "--initial-cluster has default=http://127.0.0.1:1 but",
            ),
            ("--initial-cluster default", "--initial-cluster: \"default\" should be NAME=URL"),
            ("--initial-cluster-state old", "--initial-cluster-state old: it is new or existing"),
            ("--initial-cluster-state existing", "--initial-cluster-state existing: --initial-cluster must"),
            ("--heartbeat-interval soon", "--heartbeat-interval soon: a number is wanted"),
            ("--history-bytes much", "--history-bytes much: a number is wanted"),
            ("--snapshot-count abc", "--snapshot-count abc: a number is wanted"),
            (
                "--heartbeat-interval 100 --election-timeout 200",
                "--election-timeout[200ms] should be at least as 5 times as --heartbeat-interval[100ms]",
            ),
            ("--log-level loud", "--log-level loud: there are debug"),
        ] {
            let refusal = read(line).unwrap_err();
            assert!(refusal.starts_with(why), "{line}: {refusal}");
        }
    }
}
