//! Whose port that is on which a server of ours was to listen: asked of whoever answers there.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jangada_server::status::Status;
use serde_json::Value;

use super::layout::Layout;
use super::status;
use crate::client::http;

/// How long whoever is there may think about it.
const PATIENCE: Duration = Duration::from_millis(500);

/// Who answers at this address, and what to do: a part of a sentence each. Nothing if nobody says who it is.
pub fn by_whom(address: &str) -> Option<(String, String)> {
    match status::ask(address, PATIENCE) {
        Ok(status) => Some(of_ours(&status)),
        Err(_) => by_etcd(address).map(|who| (who, "stop it".to_owned())),
    }
}

fn of_ours(status: &Status) -> (String, String) {
    let data = data_dir(Path::new("/proc"), status.pid);
    let place = data.as_ref().map_or_else(String::new, |data| format!(", data in {}", data.display()));
    let cluster = match status.cluster_id.as_str() {
        "" => "which has no cluster yet".to_owned(),
        id => format!("of the cluster {id}"),
    };
    let who = format!("{} {cluster} answers there (process {}{place})", status.name, status.pid);
    // What `jangada cluster` has started it can stop.
    let dir = data.as_ref().and_then(|data| data.parent()?.parent()).filter(|dir| Layout::load(dir).is_ok());
    let what = dir.map_or_else(
        || "stop it".to_owned(),
        |dir| format!("stop it (`jangada cluster --dir {} down`)", dir.display()),
    );
    (who, what)
}

/// The data directory that the command line of a process on this machine names.
fn data_dir(proc: &Path, pid: u32) -> Option<PathBuf> {
    let process = proc.join(pid.to_string());
    let command_line = fs::read(process.join("cmdline")).ok()?;
    let arguments: Vec<&[u8]> = command_line.split(|byte| *byte == 0).collect();
    let named = arguments.windows(2).find(|pair| pair[0] == b"--data-dir")?[1];
    // It may be said from where the process is.
    let home = fs::read_link(process.join("cwd")).unwrap_or_default();
    Some(home.join(OsStr::from_bytes(named)))
}

fn by_etcd(address: &str) -> Option<String> {
    let answer = http::get(address, "/version", Instant::now() + PATIENCE).ok()?;
    let said: Value = serde_json::from_slice(&answer.body).ok()?;
    let version = said["etcdserver"].as_str()?;
    Some(format!("an etcd {version} answers there"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_is_found_from_where_its_process_is() {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("17");
        fs::create_dir(&process).unwrap();
        std::os::unix::fs::symlink("/home/ana", process.join("cwd")).unwrap();
        for (line, expected) in [
            (&b"jangada\0serve\0--data-dir\0d/n1/data\0"[..], Some("/home/ana/d/n1/data")),
            (b"jangada\0serve\0--data-dir\0/srv/n1\0--name\0n1\0", Some("/srv/n1")),
            (b"jangada\0serve\0", None),
        ] {
            fs::write(process.join("cmdline"), line).unwrap();
            assert_eq!(data_dir(proc.path(), 17), expected.map(PathBuf::from));
        }
        assert_eq!(data_dir(proc.path(), 18), None);
    }

    #[test]
    fn who_has_no_cluster_yet_is_told_as_well() {
        let (who, what) = of_ours(&Status { pid: u32::MAX, ..Status::starting("n1", 1) });
        assert_eq!(who, format!("n1 which has no cluster yet answers there (process {})", u32::MAX));
        assert_eq!(what, "stop it");
    }
}
