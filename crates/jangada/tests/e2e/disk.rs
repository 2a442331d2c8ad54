//! Data directories: wrong ones, used ones, full ones; and a good end.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;

use crate::support::{Cluster, Guarded, ask, expect_exit, http_get, installed, jangada, ports, stderr, wait};
use crate::wire::Reply;

const A_WHILE: Duration = Duration::from_secs(10);

#[test]
fn sigterm_is_a_clean_stop_and_everything_is_there_afterwards() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(2);
    let address = format!("127.0.0.1:{base}");
    for round in 0..3 {
        let mut server = Guarded::serve(dir.path(), base, &[]);
        server.wait_said("ready");
        if round > 0 {
            assert_eq!(ask(&address, &["GET", "k"], A_WHILE).unwrap(), Reply::Bulk(Some(b"v".to_vec())));
        }
        assert_eq!(ask(&address, &["SET", "k", "v"], A_WHILE).unwrap(), Reply::Status("OK".into()));
        server.signal(if round == 1 { Signal::INT } else { Signal::TERM });
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn a_port_that_the_system_chose_is_the_one_that_others_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for _round in 0..2 {
        let mut command = jangada();
        command.arg("serve").arg("--data-dir").arg(dir.path());
        command.args(["--listen-client", "localhost:0", "--listen-peer", "127.0.0.1:0"]);
        let mut server = Guarded::spawn(&mut command);
        server.wait_said("ready");
        let said = server.said();
        let (_, rest) = said.split_once("clients on ").unwrap();
        let (address, rest) = rest.split_once(", peers on ").unwrap();
        let port = |address: &str| address.rsplit_once(':').unwrap().1.to_owned();
        let status = wait("a leader", || {
            let status: serde_json::Value = serde_json::from_str(&http_get(address, "/status")?).ok()?;
            (status["role"] == "leader").then_some(status)
        });
        let told = format!("localhost:{}", port(address));
        assert_eq!(status["membership"]["members"][0]["client_addr"], told.as_str(), "{status}");
        assert_eq!(status["leader_client_addr"], told.as_str(), "{status}");
        let peer = status["membership"]["members"][0]["peer_addr"].as_str().unwrap();
        assert_ne!(port(peer), "0", "{status}");
        assert!(rest.starts_with("127.0.0.1:"), "{said}");
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn a_directory_of_another_server_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(2);
    let mut first = Guarded::serve(dir.path(), base, &["--name", "n1"]);
    first.wait_said("ready");
    first.signal(Signal::TERM);
    assert_eq!(first.exit_code(), Some(0));
    let mut second = Guarded::serve(dir.path(), base, &["--name", "n2"]);
    let code = second.exit_code();
    assert!(matches!(code, Some(2 | 4)), "{code:?}: {}", second.said());
    assert!(second.said().contains("n1") && second.said().contains("n2"), "{}", second.said());
}

#[test]
fn a_server_that_has_moved_says_why_nobody_finds_it() {
    let cluster = Cluster::up(3);
    let follower = cluster.follower();
    cluster.ok(&["kill", &follower]);
    let base = ports(2);
    let peer = |name: &&str| match *name == follower {
        true => format!("{name}=127.0.0.1:{}", base + 1),
        false => format!("{name}={}", cluster.server(name)["peer_addr"].as_str().unwrap()),
    };
    let peers: Vec<String> = ["n1", "n2", "n3"].iter().map(peer).collect();
    let dir = cluster.data().join(&follower).join("data");
    let moved = Guarded::serve(&dir, base, &["--name", &follower, "--peers", &peers.join(",")]);
    moved.wait_said("the cluster knows this server at");
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let one = Cluster::up(3);
    let other = Cluster::up(3);
    one.ok(&["down"]);
    other.ok(&["down"]);
    let (from, to) = (other.data().join("n1/data"), one.data().join("n1/data"));
    std::fs::remove_dir_all(&to).unwrap();
    expect_exit(&Command::new("cp").arg("-r").args([&from, &to]).output().unwrap(), 0);
    // It may notice at once or when it meets the others; it never serves them.
    let _ = one.run(&["restart", "n2", "n3"]);
    let _ = one.run(&["restart", "n1"]);
    expect_exit(&one.client(&["set", "a", "1"]), 0);
    let status = one.server("n1");
    assert!(status["process"] == "down" || status["status"]["leader"].is_null(), "{status}");
}

#[test]
fn a_directory_that_others_may_write_to_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let mut server = Guarded::serve(dir.path(), ports(2), &[]);
    assert_eq!(server.exit_code(), Some(2));
    assert!(server.said().contains(&format!("chmod go-w {}", dir.path().display())), "{}", server.said());
}

#[test]
fn a_directory_in_use_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let first = Guarded::serve(dir.path(), ports(2), &[]);
    first.wait_said("ready");
    let mut second = Guarded::serve(dir.path(), ports(2), &[]);
    assert_ne!(second.exit_code(), Some(0));
    assert!(second.said().contains("uses this directory already"), "{}", second.said());
}

#[test]
fn a_taken_port_is_named() {
    let base = ports(2);
    let _taken = std::net::TcpListener::bind(("127.0.0.1", base)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut server = Guarded::serve(dir.path(), base, &[]);
    assert_eq!(server.exit_code(), Some(2));
    assert!(server.said().contains(&base.to_string()), "{}", server.said());
}

/// Mounts a small tmpfs, if this test may.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(megabytes: u32) -> Option<SmallDisk> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={megabytes}m");
        let mount =
            Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(dir.path()).output();
        match mount {
            Ok(output) if output.status.success() => Some(SmallDisk(dir)),
            Ok(output) => {
                eprintln!("skipped: cannot mount a tmpfs: {}", stderr(&output).trim());
                None
            }
            Err(error) => {
                eprintln!("skipped: cannot mount a tmpfs: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_a_clear_error_and_loses_nothing() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let data = disk.0.path().join("data");
    let base = ports(2);
    let address = format!("127.0.0.1:{base}");
    let mut server = Guarded::serve(&data, base, &[]);
    server.wait_said("ready");
    // Somebody else fills the disk while we write.
    let mut acknowledged = 0_u32;
    let value = "x".repeat(100_000);
    let filler = disk.0.path().join("filler");
    for number in 0..3_000 {
        if number == 20 {
            let mut bytes = std::fs::File::create(&filler).unwrap();
            let _ = std::io::copy(&mut std::io::repeat(0), &mut bytes);
        }
        match ask(&address, &["SET", &format!("k{number}"), &value], A_WHILE) {
            Ok(Reply::Status(_)) => acknowledged = number + 1,
            Ok(_) | Err(_) => break,
        }
    }
    assert!((20..3_000).contains(&acknowledged), "{acknowledged} writes on a full disk");
    let ended = wait("a word about the disk, or the end", || {
        let ended = server.child.try_wait().unwrap();
        let said = server.said().to_lowercase();
        (ended.is_some() || said.contains("space") || said.contains("full")).then_some(ended)
    });
    if let Some(status) = ended {
        assert_eq!(status.code(), Some(6), "{}", server.said());
    }
    drop(server);
    std::fs::remove_file(&filler).unwrap();
    let server = Guarded::serve(&data, base, &[]);
    server.wait_said("ready");
    for number in 0..acknowledged {
        let found = ask(&address, &["STRLEN", &format!("k{number}")], A_WHILE).unwrap();
        assert_eq!(found, Reply::Integer(100_000), "k{number} of {acknowledged}");
    }
}

#[test]
fn a_lost_disk_does_not_come_back_under_the_old_name() {
    let cluster = Cluster::up(3);
    expect_exit(&cluster.client(&["set", "a", "1"]), 0);
    let follower = cluster.follower();
    cluster.ok(&["kill", &follower]);
    std::fs::remove_dir_all(cluster.data().join(&follower).join("data")).unwrap();
    let _ = cluster.run(&["restart", &follower]);
    // Whether it stops or only is not let in: it follows nobody and votes for nobody.
    let status = wait("a word about it", || {
        let log = std::fs::read_to_string(cluster.data().join(&follower).join("jangada.log")).ok()?;
        let status = cluster.server(&follower);
        (status["process"] == "down" || log.contains("lost") || log.contains("incarnation")).then_some(status)
    });
    assert!(status["process"] == "down" || status["status"]["leader"].is_null(), "{status}");
    expect_exit(&cluster.client(&["get", "a"]), 0);

    // Once it is out of the cluster nobody counts on its old disk, and it may come back as a newcomer.
    cluster.ok(&["remove", &follower]);
    cluster.ok(&["add", &follower]);
    cluster.wait_caught_up(&follower);
    let address = cluster.server(&follower)["client_addr"].as_str().unwrap().to_owned();
    assert_eq!(ask(&address, &["GET", "a"], A_WHILE).unwrap(), Reply::Bulk(Some(b"1".to_vec())));
}

/// It knows the new leader by its old disk, and has nobody else to learn from.
#[test]
fn a_member_that_slept_through_a_change_of_disks_follows_the_new_one() {
    let cluster = Cluster::up(4);
    expect_exit(&cluster.client(&["set", "a", "1"]), 0);
    let (leader, sleeper) = (cluster.leader(), cluster.follower());
    cluster.ok(&["kill", &sleeper]);
    let renewed = ["n1", "n2", "n3", "n4"].into_iter().find(|name| **name != leader && **name != sleeper);
    let renewed = renewed.unwrap();
    cluster.ok(&["remove", renewed]);
    std::fs::remove_dir_all(cluster.data().join(renewed).join("data")).unwrap();
    cluster.ok(&["add", renewed]);
    cluster.wait_caught_up(renewed);
    cluster.ok(&["transfer", renewed]);
    cluster.ok(&["restart", &sleeper]);
    expect_exit(&cluster.client(&["set", "a", "2"]), 0);
    cluster.wait_caught_up(&sleeper);
    assert_eq!(cluster.leader(), renewed, "no other leader was needed for that");
}

#[test]
fn the_name_of_each_directory_that_is_made_is_on_the_disk() {
    if !installed("strace") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    // It opens its directory, and then finds the port taken.
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let synced = || {
        let calls = dir.path().join("calls");
        let mut command = Command::new("strace");
        command.args(["-f", "-y", "-e", "trace=fsync", "-o"]).arg(&calls).arg(env!("CARGO_BIN_EXE_jangada"));
        command.args(["serve", "--data-dir", "a/b/c", "--listen-client", &address]).current_dir(dir.path());
        let output = command.output().unwrap();
        assert!(!output.status.success(), "{}", stderr(&output));
        std::fs::read_to_string(calls).unwrap()
    };
    let is_in = |calls: &str, path: &str| {
        let path = dir.path().canonicalize().unwrap().join(path);
        calls.contains(&format!("<{}>)", path.display().to_string().trim_end_matches('/')))
    };
    let first = synced();
    for parent in ["", "a", "a/b"] {
        assert!(is_in(&first, parent), "{parent}: {first}");
    }
    // Whoever made it may have died before that.
    let again = synced();
    assert!(is_in(&again, "a/b"), "{again}");
}
