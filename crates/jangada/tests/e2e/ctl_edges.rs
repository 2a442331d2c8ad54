//! `jangada ctl` where things do not go well: members that are cut off, input that ends early, keys that nobody may delete.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;

use crate::ctl::{ctl, output, said, typed};
use crate::support::{
    Cluster, Guarded, ask, expect_exit, http_get, installed, jangada, ports, stderr, stdout, wait,
};
use crate::wire::Reply;

#[test]
fn a_member_that_nobody_finds_at_its_new_address_is_told_and_not_relied_on() {
    let cluster = Cluster::up(3);
    let (leader, follower) = (cluster.leader(), cluster.follower());
    let nobody = format!("127.0.0.1:{}", ports(1));
    let updated = output(&cluster, &["member", "update", &follower, "--peer-urls", &nobody]);
    expect_exit(&updated, 0);
    let warning = format!("warning: nobody can be reached at {nobody} from here (connection refused)");
    assert!(stderr(&updated).contains(&warning), "{}", stderr(&updated));
    let unheard = format!("{leader} does not hear it at {nobody}");
    let told = wait("a member that does not count", || {
        let status = output(&cluster, &["status"]);
        expect_exit(&status, 0);
        let told = stdout(&status);
        (told.contains("2 of 3 voters take part") && told.contains(&unheard)).then_some(told)
    });
    assert!(told.ends_with("; the next failure stops writes\n"), "{told}");
    let table = stdout(&output(&cluster, &["-o", "table", "status"]));
    assert!(table.starts_with("| NAME") && table.ends_with("; the next failure stops writes\n"), "{table}");
    let status = cluster.status();
    assert_eq!(status["tolerance"]["tolerates"], 0, "{status}");
    assert_eq!(status["tolerance"]["apart"][0], follower.as_str());
}

#[test]
fn a_check_that_is_stopped_leaves_no_keys_behind() {
    let cluster = Cluster::up(3);
    let count = || said(&cluster, &["get", "--prefix", "/jangada-check", "--count-only"]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        // It ends when all are written, which takes long.
        let mut check = Guarded::spawn(ctl(&cluster).args(["check", "datascale", "--load", "xl"]));
        wait("keys of the check", || (count() != "0\n").then_some(()));
        check.signal(signal);
        assert_eq!(check.exit_code(), Some(code), "{}", check.said());
        assert!(check.said().starts_with("stopped: what was written is deleted"), "{}", check.said());
        assert_eq!(count(), "0\n");
    }
}

#[test]
fn a_check_goes_on_when_its_leader_was_killed() {
    let cluster = Cluster::up(3);
    // It ends when all are written, which takes long.
    let mut check = Guarded::spawn(ctl(&cluster).args(["check", "datascale", "--load", "xl"]));
    // Nobody answers for a moment.
    let count = || {
        let told = output(&cluster, &["get", "--prefix", "/jangada-check", "--count-only"]);
        stdout(&told).trim().parse::<u64>().ok()
    };
    wait("keys of the check", || count().filter(|count| *count > 0));
    cluster.ok(&["kill", "leader"]);
    let then = wait("another leader", count);
    wait("more keys", || count().filter(|count| *count > then + 50));
    check.signal(Signal::INT);
    assert_eq!(check.exit_code(), Some(130), "{}", check.said());
    assert_eq!(count(), Some(0));
}

#[test]
fn a_check_that_is_stopped_while_it_cleans_up_goes_on_with_that() {
    let cluster = Cluster::up(3);
    let leader = cluster.leader();
    let address = cluster.server(&leader)["client_addr"].as_str().unwrap().to_owned();
    let through_leader = |arguments: &[&str]| {
        let mut command = jangada();
        command.args(["ctl", "--endpoints", &address, "--deadline", "6s"]).args(arguments);
        command
    };
    let mut check = Guarded::spawn(&mut through_leader(&["check", "perf"]));
    let count = || {
        let counted =
            through_leader(&["get", "--prefix", "/jangada-check", "--count-only"]).output().unwrap();
        stdout(&counted).trim().parse::<u64>().unwrap()
    };
    wait("keys of the check", || (count() > 0).then_some(()));
    // Nothing can be written, nor deleted, but whoever asks for it is heard.
    let others: Vec<&str> = ["n1", "n2", "n3"].into_iter().filter(|name| *name != leader).collect();
    others.iter().for_each(|name| drop(cluster.ok(&["pause", name])));
    wait("the first deletion", || {
        let metrics = http_get(&address, "/metrics")?;
        let line = metrics
            .lines()
            .find(|line| line.starts_with("grpc_server_started_total{") && line.contains("\"DeleteRange\""));
        (!line?.ends_with(" 0")).then_some(())
    });
    check.signal(Signal::INT);
    check.wait_said("what was written is being deleted; stop once more, and it stays");
    others.iter().for_each(|name| drop(cluster.ok(&["resume", name])));
    assert_eq!(check.exit_code(), Some(130), "{}", check.said());
    assert_eq!(count(), 0);
}

/// Nothing here ends by its own deadline: whoever waits for the member that is stopped waits too long for the test.
#[test]
fn a_member_that_is_stopped_holds_up_no_command() {
    let cluster = Cluster::up(3);
    let stopped = cluster.follower();
    cluster.ok(&["pause", &stopped]);
    for arguments in [
        &["put", "a", "1"][..],
        &["get", "a"],
        &["lease", "grant", "60"],
        &["member", "list"],
        &["watch", "a", "--rev", "2", "--events", "1"],
        &["lock", "mine", "--", "true"],
        &["status"],
        &["del", "a"],
    ] {
        let mut command = Guarded::spawn(ctl(&cluster).args(["--deadline", "1000s"]).args(arguments));
        assert_eq!(command.exit_code(), Some(0), "{arguments:?}: {}", command.said());
    }
    // What asks each endpoint by itself waits for each of them, as long as it is told to.
    let mut health = Guarded::spawn(ctl(&cluster).args(["--deadline", "1s", "endpoint", "health"]));
    assert_eq!(health.exit_code(), Some(1), "{}", health.said());
    assert!(health.said().contains("no answer"), "{}", health.said());
}

#[test]
fn a_leader_that_is_stopped_has_its_row() {
    let cluster = Cluster::up(3);
    let leader = cluster.leader();
    cluster.ok(&["pause", &leader]);
    let count = "2 of 3 voters answer; the next failure stops writes\n";
    let told = wait("another leader that is followed", || {
        let told = stdout(&output(&cluster, &["status"]));
        (told.contains(" leader ") && told.ends_with(count)).then_some(told)
    });
    let row = told.lines().find(|line| line.starts_with(&leader)).unwrap();
    assert!(row.contains("no answer in ") && !row.contains("leader"), "{told}");
}

#[test]
fn auth_that_is_not_enabled_leaves_no_role_behind() {
    let cluster = Cluster::up(1);
    let refused = output(&cluster, &["auth", "enable"]);
    expect_exit(&refused, 4);
    assert!(stderr(&refused).contains("root user does not exist"), "{}", stderr(&refused));
    assert_eq!(said(&cluster, &["role", "list"]), "");
    said(&cluster, &["user", "add", "root:secret"]);
    assert_eq!(said(&cluster, &["auth", "enable"]), "Authentication Enabled\n");
    assert_eq!(said(&cluster, &["--user", "root:secret", "role", "list"]), "root\n");
}

#[test]
fn a_lock_that_may_not_be_released_is_told() {
    let cluster = Cluster::up(3);
    for arguments in [
        ["user", "add", "root:secret"].as_slice(),
        &["user", "add", "ana:hers"],
        &["role", "add", "locks"],
        &["role", "grant-permission", "locks", "readwrite", "--prefix", "L/"],
        &["user", "grant-role", "ana", "locks"],
        &["auth", "enable"],
    ] {
        said(&cluster, arguments);
    }
    let mut holder = ctl(&cluster);
    holder.args(["--user", "ana:hers", "lock", "L"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut holder = holder.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("L/"), "{line}");
    said(&cluster, &["--user", "root:secret", "user", "revoke-role", "ana", "locks"]);
    rustix::process::kill_process(rustix::process::Pid::from_child(&holder), Signal::TERM).unwrap();
    let ended = holder.wait_with_output().unwrap();
    expect_exit(&ended, 4);
    let told = stderr(&ended);
    assert!(told.starts_with("not released (") && told.contains("permission denied"), "{told}");
    assert!(told.contains("ends by itself, in 10 s at most"), "{told}");
}

#[test]
fn a_txn_that_was_cut_off_is_not_carried_out() {
    let cluster = Cluster::up(1);
    let whole = "value(\"a\") = \"0\"\n\nput a 1\n\nput a 2\n\n";
    for end in 0..whole.len() {
        let cut = typed(&cluster, &["txn"], &whole[..end]);
        expect_exit(&cut, 2);
        let in_a_line = !whole[..end].ends_with('\n') && end > 0;
        assert!(in_a_line || stderr(&cut).contains("EOF"), "{}", stderr(&cut));
    }
    expect_exit(&output(&cluster, &["get", "a"]), 1);
    expect_exit(&typed(&cluster, &["txn"], whole), 1);
    assert_eq!(said(&cluster, &["get", "a"]), "a\n2\n");
}

#[test]
fn a_number_may_be_negative_where_a_number_belongs() {
    let cluster = Cluster::up(1);
    assert_eq!(said(&cluster, &["put", "-1", "-2"]), "OK\n");
    assert_eq!(said(&cluster, &["get", "-1", "--limit", "-4"]), "-1\n-2\n");
    let refused = output(&cluster, &["compaction", "-1"]);
    expect_exit(&refused, 4);
    assert!(stderr(&refused).contains("required revision has been compacted"), "{}", stderr(&refused));
    let granted = said(&cluster, &["lease", "grant", "-5"]);
    assert!(granted.contains(" granted with TTL("), "{granted}");
    // Nothing that begins so is not a failure, as from etcdctl.
    assert_eq!(said(&cluster, &["get", "--prefix", "nobody"]), "");
}

#[test]
fn what_is_restored_begins_as_the_last_line_says() {
    let cluster = Cluster::up(1);
    said(&cluster, &["put", "d", "8"]);
    let (dir, base) = (tempfile::tempdir().unwrap(), ports(2));
    let file = dir.path().join("saved.db");
    said(&cluster, &["snapshot", "save", file.to_str().unwrap()]);
    let restore = |more: &[&str]| {
        let mut command = ctl(&cluster);
        command.current_dir(dir.path()).args(["snapshot", "restore", "saved.db"]).args(more).output().unwrap()
    };
    let restored = restore(&[]);
    expect_exit(&restored, 0);
    assert_eq!(stderr(&restored), "start it with `jangada serve`\n");
    let ports = [format!("127.0.0.1:{base}"), format!("127.0.0.1:{}", base + 1)];
    let mut serve = jangada();
    serve.current_dir(dir.path()).args(["serve", "--listen-client", &ports[0], "--listen-peer", &ports[1]]);
    let server = Guarded::spawn(&mut serve);
    server.wait_said("n1 ready");
    let read = || jangada().args(["ctl", "--endpoints", &ports[0], "get", "d"]).output().unwrap();
    wait("the key that was saved", || (stdout(&read()) == "d\n8\n").then_some(()));
    let all = "n1=http://a:1,n2=http://b:2";
    let second = restore(&["--name", "n2", "--data-dir", "n2", "--initial-cluster", all]);
    expect_exit(&second, 0);
    let line =
        "`jangada serve --name n2 --data-dir n2 --peers n1=a:1,n2=b:2` (and --listen-client HOST:PORT)\n";
    assert!(stderr(&second).ends_with(line), "{}", stderr(&second));
}

#[test]
fn what_cannot_be_meant_is_refused_in_a_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(2);
    let server = Guarded::serve(&dir.path().join("data"), base, &[]);
    server.wait_said("n1 ready");
    let address = format!("127.0.0.1:{base}");
    let refused = |arguments: &[&str]| {
        let output = jangada().args(["ctl", "--endpoints", &address]).args(arguments).output().unwrap();
        expect_exit(&output, 2);
        stderr(&output)
    };
    for word in [&["get", "a"][..], &["watch", "a"], &["endpoint", "hashkv"]] {
        let said = refused(&[word, &["--rev", "-1"]].concat());
        assert!(said.contains("there is no such revision: the first is 1"), "{said}");
    }
    for name in ["", ":secret"] {
        assert!(refused(&["user", "add", name]).contains("the new user has no name"), "{name}");
    }
    let nowhere = dir.path().join("nowhere/saved.db");
    for file in [nowhere.as_path(), dir.path()] {
        let said = refused(&["snapshot", "save", file.to_str().unwrap()]);
        let sentence = format!("no snapshot was saved: {} cannot be written: ", file.display());
        assert!(said.contains(&sentence) && !said.contains(".part"), "{said}");
    }
    let left = std::fs::read_dir(dir.path().parent().unwrap()).unwrap().map_while(Result::ok);
    let own = dir.path().file_name().unwrap().to_str().unwrap();
    let left: Vec<_> = left
        .filter(|file| file.file_name().to_str().is_some_and(|name| name.starts_with(own) && name != own))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn what_is_refused_for_want_of_a_leader_says_so_and_is_not_of_unknown_outcome() {
    let cluster = Cluster::up(3);
    let follower = cluster.follower();
    // Who was never told how much is committed says that instead.
    expect_exit(&cluster.client(&["set", "before", "1"]), 0);
    cluster.wait_caught_up(&follower);
    for name in ["n1", "n2", "n3"].into_iter().filter(|name| *name != follower) {
        cluster.ok(&["kill", name]);
    }
    wait("a member that knows that nobody leads", || cluster.status()["leader"].is_null().then_some(()));
    for arguments in [["user", "add", "ana:something"].as_slice(), &["put", "a", "1"], &["alarm", "list"]] {
        let refused = output(&cluster, &[&["--deadline", "2s"], arguments].concat());
        expect_exit(&refused, 3);
        let seconds = stderr(&refused);
        let seconds =
            seconds.split_once("nothing was done in ").and_then(|(_, rest)| rest.split_once(" s: "));
        let seconds: f64 = seconds.expect("the time that passed").0.parse().unwrap();
        assert!(seconds > 0.0, "{}", stderr(&refused));
        assert!(
            stderr(&refused).contains("etcdserver: no leader (no quorum: 1 of 3 voters"),
            "{}",
            stderr(&refused)
        );
    }
}

/// Each door of this member says these words; gRPC says `etcd` besides.
fn expect_told_why(address: &str, etcd: &str, why: &str) {
    let refused = |arguments: &[&str]| {
        let mut command = jangada();
        command.args(["ctl", "--endpoints", address, "--deadline", "1s"]).args(arguments);
        let output = command.output().unwrap();
        expect_exit(&output, 3);
        stderr(&output)
    };
    let (put, get) = (refused(&["put", "a", "1"]), refused(&["get", "a"]));
    assert!(put.contains("nothing was done in ") && put.contains(why), "{put}");
    assert!(get.contains(&format!("{etcd} ({why}")), "{get}");
    for words in [&["SET", "a", "1"][..], &["AUTH", "ana", "hers"]] {
        let Reply::Error(told) = ask(address, words, Duration::from_secs(10)).unwrap() else {
            panic!("{words:?} was answered")
        };
        assert!(told.starts_with(&format!("CLUSTERDOWN {why}")), "{told}");
    }
    if installed("etcdctl") {
        let mut etcdctl = Command::new("etcdctl");
        etcdctl.env("ETCDCTL_API", "3").args([
            "--endpoints",
            address,
            "--command-timeout",
            "2s",
            "put",
            "a",
            "1",
        ]);
        let told = stderr(&etcdctl.output().unwrap());
        assert!(told.trim_end().ends_with(etcd), "{told}");
    }
}

#[test]
fn a_member_that_was_removed_says_so_at_every_door() {
    let cluster = Cluster::up(3);
    let leaving = cluster.follower();
    let address = cluster.server(&leaving)["client_addr"].as_str().unwrap().to_owned();
    said(&cluster, &["member", "remove", &leaving]);
    wait("a member that knows it", || {
        let status = cluster.server(&leaving);
        let problem = status["status"]["problem"].as_str()?.to_owned();
        problem.contains("no member of the cluster any more").then_some(())
    });
    expect_told_why(
        &address,
        "etcdserver: server stopped",
        "this server is no member of the cluster any more: ask ",
    );
}

/// Its log does not say that it was removed, and the others are there; they may tell it, or not.
#[test]
fn a_member_that_slept_through_its_removal_does_not_say_that_somebody_is_being_elected() {
    let cluster = Cluster::up(3);
    let leaving = cluster.follower();
    let address = cluster.server(&leaving)["client_addr"].as_str().unwrap().to_owned();
    cluster.ok(&["kill", &leaving]);
    cluster.ok(&["remove", &leaving]);
    cluster.ok(&["restart", &leaving]);
    let suspects = wait("a member that suspects or knows it", || {
        let status = cluster.server(&leaving);
        let problem = status["status"]["problem"].as_str()?;
        let knows = problem.contains("no member of the cluster any more");
        (knows || problem.contains("removed while it was away")).then_some(!knows)
    });
    match suspects {
        true => expect_told_why(&address, "etcdserver: no leader", "this server has heard no leader for "),
        false => {
            expect_told_why(&address, "etcdserver: server stopped", "this server is no member of the cluster")
        }
    }
}
