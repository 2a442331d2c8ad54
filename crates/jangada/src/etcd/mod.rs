//! `jangada etcd`: a server that is started in etcd's words, for whatever starts etcd today.
//!
//! The same when the program itself is called `etcd`. It speaks etcd's API anyway (docs/etcd.md); this is its command
//! line, its environment, and the lines that those who start it wait for.

pub mod flags; // which flags there are, and how they are read
mod settings; // what they mean

use std::ffi::OsString;
use std::time::Duration;

use jangada_server::Ready;
use jangada_server::config::Founding;

use self::flags::{FLAGS, Said, Treatment};
use crate::commands::serve;
use crate::config_file::LogFormat;
use crate::failure::Failure;
use crate::output;

/// How often somebody looks, while the server starts, whether it can answer: a status that is published wakes nobody.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a server until it is stopped.
///
/// # Errors
/// 2 for what cannot be honoured; the server's own exit codes after that.
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Result<(), Failure> {
    let said = Said::read(arguments, std::env::vars_os())
        .map_err(|why| Failure::usage(format!("error verifying flags, {why}. See 'jangada etcd --help'.")))?;
    if said.is_on("help") {
        return output::line(&help());
    }
    if said.is_on("version") {
        return output::line(&format!(
            "etcd Version: {}\njangada Version: {}",
            jangada_etcd::SPOKEN_VERSION,
            env!("CARGO_PKG_VERSION")
        ));
    }
    let options = settings::options(&said)
        .map_err(|why| Failure::usage(format!("error verifying flags, {why}. See 'jangada etcd --help'.")))?;
    let settings = serve::check(options)?;
    let log_format = settings.log_format;
    for note in said.notes.iter().chain(&settings::about_history(&said)) {
        tell(log_format, "warn", note, &[]);
    }
    serve::warn_of_strangers(&settings);
    serve::serve(settings, Founding::Handshake, None, move |ready| tell_when_ready(ready.clone(), log_format))
}

/// The lines that starters of etcd wait for. etcd is ready once it has found its cluster: so are we.
fn tell_when_ready(ready: Ready, format: LogFormat) {
    let telling = move || {
        while ready.handle.status().problem.is_some() {
            std::thread::sleep(LOOK);
        }
        let client = ready.client.to_string();
        tell(
            format,
            "info",
            "published local member to cluster through raft",
            &[("local-member-name", &ready.name), ("client-urls", &format!("http://{client}"))],
        );
        tell(format, "info", "ready to serve client requests", &[]);
        tell(
            format,
            "info",
            "serving client traffic insecurely; this is strongly discouraged!",
            &[("address", &client)],
        );
    };
    // Without the thread the server runs as well; only its lines would be missing.
    if let Err(error) = std::thread::Builder::new().name("ready".to_owned()).spawn(telling) {
        output::note(&format!("nobody will say when the server is ready: {error}"));
    }
}

/// A line in the shape of etcd's own.
fn tell(format: LogFormat, level: &str, message: &str, fields: &[(&str, &str)]) {
    output::note(&match format {
        LogFormat::Text => {
            let fields: String = fields.iter().map(|(name, value)| format!(", {name} {value}")).collect();
            format!("etcd: {message}{fields}")
        }
        LogFormat::Json => {
            let mut line = serde_json::Map::new();
            line.insert("level".to_owned(), level.into());
            line.insert("msg".to_owned(), message.into());
            line.extend(fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())));
            serde_json::Value::Object(line).to_string()
        }
    });
}

fn help() -> String {
    let mut honoured = Vec::new();
    let mut only = String::new();
    let mut ignored = String::new();
    for flag in &FLAGS {
        match flag.treatment {
            Treatment::Honoured => honoured.push(format!("--{}", flag.name)),
            Treatment::Only(values, why) => {
                let values: Vec<&str> = values.iter().copied().filter(|value| !value.is_empty()).collect();
                let values = if values.is_empty() { "not at all".to_owned() } else { values.join(", ") };
                only += &format!("  --{:<32} {values}: {why}\n", flag.name);
            }
            Treatment::Ignored(why) => ignored += &format!("  --{:<32} {why}\n", flag.name),
        }
    }
    format!(
        "A server that is started in etcd's words\n\nUsage: jangada etcd [FLAGS], or etcd [FLAGS] if the program is \
         called so\n\nEach flag may also stand in the environment (--data-dir is ETCD_DATA_DIR); a flag outranks \
         it.\nURLs are http://HOST:PORT: several, with commas, where clients or /metrics are listened for, one for each other \
         flag.\n\nHonoured:\n  {}\n\nTaken with these values \
         only:\n{only}\nTaken, but changing nothing:\n{ignored}  --{:<32} experiments of etcd's\n\nExamples:\n  $ \
         jangada etcd\n  $ jangada etcd --name n1 --data-dir n1.etcd \\\n      --listen-client-urls \
         http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \\\n      --listen-peer-urls \
         http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \\\n      --initial-cluster \
         n1=http://127.0.0.1:2380,n2=http://127.0.0.1:2382,n3=http://127.0.0.1:2384\n\njangada serve has more.",
        honoured.join("\n  "),
        "experimental-…",
    )
}
