//! `jangada node -id N`: one of the five servers of the university lab, one terminal each.
//!
//! The lab's table of peers, its timers and its log lines; not its bugs. Peers meet on localhost:3001 … 3005 as in the
//! lab; the lab had no clients, ours connect to localhost:4001 … 4005. The original forgot its term and its vote when
//! it was restarted; this one keeps them in `./node-data/nN`, unless told to forget. (`./lab-data` is `jangada lab`'s, which
//! deletes what it finds no use for.)

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::Args;
use jangada_server::config::Founding;
use jangada_trace::lab::{INVALID_ID, RESERVED_ID};

use super::serve::{self, Settings};
use crate::config_file::{LogFormat, LogLevel, LogStyle, Profile};
use crate::failure::{Exit, Failure};
use crate::output;

const EXAMPLES: &str = "\
Examples, one terminal each:
  $ jangada node -id 1
  $ jangada node -id 2 -seed jangada
  $ jangada node -id 3 --forget

Clients of server N connect to localhost:400N: `jangada client --servers localhost:4001 set d 8`.";

/// How many servers the lab has.
const SERVERS: i64 = 5;

/// Which of the five.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// The instance, 1 to 5 (also -id)
    #[arg(long, default_value_t = 1, allow_negative_numbers = true, value_name = "N")]
    pub id: i64,
    /// Seeds the random timeouts: the same text gives the same ones (also -seed)
    #[arg(long, value_name = "TEXT")]
    pub seed: Option<String>,
    /// Forget term, vote and log before the start, as the original did. Unsafe: a server that forgot its vote can
    /// vote twice in one term, and two leaders may be elected
    #[arg(long)]
    pub forget: bool,
    /// Where the five keep their disks
    #[arg(long, env = "JANGADA_LAB_DIR", default_value = "node-data", value_name = "DIR")]
    pub dir: PathBuf,
}

/// Runs the instance until Ctrl+C.
///
/// # Errors
/// 2 for an id that is not in the table; the server's own exit codes after that.
pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.id == 0 {
        output::note(&format!(
            "[MAIN] {RESERVED_ID}: 0 stands for no vote and no leader; the servers are 1 to 5."
        ));
        return Err(Failure::silent(Exit::Usage));
    }
    if !(1..=SERVERS).contains(&arguments.id) {
        output::note(INVALID_ID);
        return Err(Failure::silent(Exit::Usage));
    }
    let settings = settings(arguments.id, &arguments.dir);
    if arguments.forget {
        forget(&settings.data_dir)?;
    }
    let seed = arguments.seed.as_deref().map(|text| u64::from(fnv1a_32(text.as_bytes())));
    let log_format = settings.log_format;
    serve::serve(settings, Founding::Static, seed, |ready| serve::say_ready(ready, log_format))
}

fn settings(id: i64, dir: &Path) -> Settings {
    let address = |thousands: i64, id: i64| format!("localhost:{}", thousands * 1000 + id);
    let socket = |thousands: i64| {
        let port = u16::try_from(thousands * 1000 + id).expect("3001 to 4005 are ports");
        std::net::SocketAddr::from(([127, 0, 0, 1], port))
    };
    let peers: BTreeMap<String, String> =
        (1..=SERVERS).map(|id| (format!("n{id}"), address(3, id))).collect();
    Settings {
        name: format!("n{id}"),
        data_dir: dir.join(format!("n{id}")),
        listen_client: socket(4),
        also_listen_client: Vec::new(),
        listen_metrics: Vec::new(),
        listen_peer: socket(3),
        advertise_client: address(4, id),
        advertise_peer: None,
        peers,
        join: false,
        heartbeat_ms: 50,
        election_timeout_ms: (500, 5_000),
        profile: Profile::Classic,
        log_format: LogFormat::Text,
        log_level: LogLevel::Info,
        log_style: LogStyle::Lab,
        max_request_bytes: None,
        max_connections: None,
        snapshot_log_bytes: None,
        auto_compaction: None,
        quota_bytes: None,
        history: None,
        record: None,
        connection_threads: Some(1),
    }
}

fn forget(data_dir: &Path) -> Result<(), Failure> {
    output::note(
        "[MAIN] --forget: term, vote and log of this server are wiped, as in the original lab. It may now vote a \
         second time in a term in which it has voted: two leaders in one term are possible. What it had acknowledged is \
         gone until the leader has sent it again: if a majority forgets, committed writes are lost.",
    );
    match fs::remove_dir_all(data_dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Failure::usage(format!("cannot wipe {}: {error}", data_dir.display())))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The hash by which the lab turns a text into a seed (FNV-1a, 32 bits).
fn fnv1a_32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_that_of_the_lab() {
        let settings = settings(2, Path::new("node-data"));
        assert_eq!(settings.peers["n5"], "localhost:3005");
        assert_eq!(settings.peers.len(), 5);
        assert_eq!(settings.listen_peer.to_string(), "127.0.0.1:3002");
        assert_eq!(settings.advertise_client, "localhost:4002");
        assert_eq!(settings.data_dir, Path::new("node-data/n2"));
        assert_eq!((settings.heartbeat_ms, settings.election_timeout_ms), (50, (500, 5_000)));
        assert_eq!((settings.profile, settings.log_style), (Profile::Classic, LogStyle::Lab));
    }

    #[test]
    fn a_text_seeds_as_in_the_lab() {
        // The reference values of FNV-1a.
        assert_eq!(fnv1a_32(b""), 0x811c_9dc5);
        assert_eq!(fnv1a_32(b"a"), 0xe40c_292c);
        assert_eq!(fnv1a_32(b"foobar"), 0xbf9c_f968);
    }
}
