//! `jangada cluster`: the life of real processes.

use std::net::TcpListener;

use serde_json::Value;

use crate::support::{Cluster, expect_exit, http_get, jangada, stderr, stdout, wait};

#[test]
fn up_status_down_and_up_again() {
    let cluster = Cluster::up(3);
    let status = cluster.status();
    assert_eq!(status["servers"].as_array().unwrap().len(), 3);
    assert_eq!(status["tolerance"]["tolerates"], 1);
    for name in ["n1", "n2", "n3"] {
        let home = cluster.data().join(name);
        assert!(home.join("jangada.pid").exists() && home.join("jangada.log").exists());
    }
    let text = cluster.ok(&["status"]);
    assert!(text.contains("leader") && text.contains("3 of 3 voters answer; 1 may fail"), "{text}");
    let log = std::fs::read_to_string(cluster.data().join("n1/jangada.log")).unwrap();
    let ready =
        log.lines().find(|line| line.contains("ready")).unwrap_or_else(|| panic!("no ready line: {log}"));
    assert!(ready.contains("jangada client") && ready.contains("n1/data"), "{ready}");

    expect_exit(&cluster.client(&["set", "kept", "1"]), 0);
    let twice = cluster.run(&["up", "3"]);
    expect_exit(&twice, 4);
    assert!(stderr(&twice).contains("already holds a running cluster"), "{}", stderr(&twice));

    let down = cluster.ok(&["down"]);
    assert!(down.contains("n1, n2, n3"), "{down}");
    assert_eq!(cluster.ok(&["down"]).trim(), "nothing was running");
    let other = cluster.run(&["up", "5"]);
    expect_exit(&other, 4);
    cluster.ok(&["up", "3"]);
    assert_eq!(stdout(&cluster.client(&["get", "kept"])), "1\n");
}

#[test]
fn a_cluster_that_is_not_ready_in_time_leaves_no_process_behind_and_says_so() {
    let cluster = Cluster::place();
    let base = cluster.base.to_string();
    let failed = cluster.run(&["up", "5", "--base-port", &base, "--timeout", "0"]);
    expect_exit(&failed, 3);
    let said = stderr(&failed);
    assert!(said.contains("; and 2 more; none of them is left running; their logs are "), "{said}");
    for number in 1..=5 {
        assert!(TcpListener::bind(cluster.address(number)).is_ok(), "n{number} is gone");
    }
    expect_exit(&cluster.run(&["status"]), 2);
    // It is as if nobody had asked: another size may begin here.
    expect_exit(&cluster.run(&["up", "1", "--base-port", &base]), 0);
    cluster.ok(&["down"]);
    // Servers that were here before may have a long log to read.
    let slow = cluster.run(&["up", "1", "--timeout", "0"]);
    expect_exit(&slow, 3);
    assert!(stderr(&slow).contains("they go on starting: `jangada cluster --dir "), "{}", stderr(&slow));
    wait("a server that goes on starting", || cluster.status()["leader"].as_str().map(str::to_owned));
}

#[test]
fn more_servers_than_make_sense_are_refused_at_once() {
    let cluster = Cluster::place();
    for count in ["99", "26", "4294967295"] {
        let many = cluster.run(&["up", count]);
        expect_exit(&many, 2);
        assert!(stderr(&many).contains("too many for one machine: 25 at most"), "{}", stderr(&many));
    }
    assert!(!cluster.data().exists(), "nothing was begun");
}

#[test]
fn metrics_know_the_configuration_that_was_not_changed_since_the_start() {
    let cluster = Cluster::up(3);
    let leader = cluster.leader();
    cluster.ok(&["restart", &leader]);
    let term = cluster.server(&cluster.leader())["status"]["term"].as_u64().unwrap();
    for number in 1..=3 {
        wait("the whole cluster in the metrics", || {
            let page = http_get(&cluster.address(number), "/metrics")?;
            let has = |line: &str| page.lines().any(|found| found == line);
            (has("jangada_voters 3") && has("jangada_learners 0") && has(&format!("jangada_term {term}")))
                .then_some(())
        });
    }
}

#[test]
fn names_that_do_not_exist_and_servers_that_do_not_run_are_told() {
    let cluster = Cluster::up(1);
    let wrong = cluster.run(&["kill", "n9"]);
    expect_exit(&wrong, 2);
    assert!(stderr(&wrong).contains("n1"), "{}", stderr(&wrong));
    cluster.ok(&["kill", "n1"]);
    let twice = cluster.run(&["kill", "n1"]);
    expect_exit(&twice, 1);
    assert!(stderr(&twice).contains("not running"), "{}", stderr(&twice));
    let nowhere = jangada().args(["cluster", "--dir", "/nowhere/at/all", "status"]).output().unwrap();
    expect_exit(&nowhere, 2);
    assert!(stderr(&nowhere).contains("cluster up"), "{}", stderr(&nowhere));
    expect_exit(&cluster.run(&["up", "0"]), 2);
}

#[test]
fn a_taken_port_is_named_and_nothing_is_left_behind() {
    let cluster = Cluster::place();
    let taken = TcpListener::bind(("127.0.0.1", cluster.base + 3)).unwrap();
    let output = cluster.run(&["up", "3", "--base-port", &cluster.base.to_string()]);
    expect_exit(&output, 4);
    let text = stderr(&output);
    assert!(text.contains("n2's peer port") && text.contains(&(cluster.base + 3).to_string()), "{text}");
    drop(taken);
    expect_exit(&cluster.run(&["status"]), 2);
    cluster.ok(&["up", "3", "--base-port", &cluster.base.to_string()]);
}

#[test]
fn a_foreign_process_is_never_killed() {
    let cluster = Cluster::up(1);
    cluster.ok(&["kill", "n1"]);
    // The pid is used again by somebody else.
    let mut other = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    std::fs::write(cluster.data().join("n1/jangada.pid"), format!("{}\n", other.id())).unwrap();
    expect_exit(&cluster.run(&["kill", "n1"]), 1);
    assert!(other.try_wait().unwrap().is_none(), "it was killed");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[test]
fn two_are_added_in_one_change_and_the_leader_is_taken_out() {
    let cluster = Cluster::up(3);
    expect_exit(&cluster.client(&["set", "kept", "1"]), 0);
    let added: Value = serde_json::from_str(&cluster.ok(&["-o", "json", "add", "n4", "n5"])).unwrap();
    assert_eq!(added["before"]["tolerates"], 1);
    assert_eq!(added["after"]["tolerates"], 2);
    assert_eq!(added["after"]["voters"].as_array().unwrap().len(), 5);
    for name in ["n4", "n5"] {
        cluster.wait_caught_up(name);
    }
    let leader = cluster.leader();
    let removed = cluster.ok(&["remove", "leader"]);
    assert!(removed.contains(&format!("removed {leader}")) && removed.contains("4 voters"), "{removed}");
    let next = cluster.leader();
    assert_ne!(next, leader);
    assert_eq!(stdout(&cluster.client(&["get", "kept"])), "1\n");
    assert_eq!(cluster.server(&leader), Value::Null, "a removed server that is stopped is not shown");
}

#[test]
fn a_removed_server_that_comes_back_disturbs_nobody() {
    let cluster = Cluster::up(4);
    let leader = cluster.leader();
    let leaving = cluster.follower();
    cluster.ok(&["remove", &leaving]);
    let term = cluster.server(&leader)["status"]["term"].clone();
    // It comes back with its old data, believing to be a member.
    cluster.ok(&["restart", &leaving]);
    for number in 0..20 {
        expect_exit(&cluster.client(&["set", "k", &number.to_string()]), 0);
    }
    wait("its answer", || cluster.server(&leaving)["status"]["role"].as_str().map(str::to_owned));
    let after = cluster.server(&leader);
    assert_eq!(after["status"]["role"], "leader");
    assert_eq!(after["status"]["term"], term, "it disturbed the others");
}

#[test]
fn dangerous_changes_are_refused_before_anything_changes() {
    let cluster = Cluster::up(3);
    let voters = |cluster: &Cluster| cluster.status()["tolerance"]["voters"].clone();
    let before = voters(&cluster);
    for (arguments, exit, words) in [
        (&["remove", "n9"][..], 2, "n9"),
        (&["add", "n1"], 4, "member already"),
        (&["add", "n4", "n4"], 2, "twice"),
        (&["add", "x"], 2, "n1, n2"),
        (&["remove", "n1", "n2", "n3"], 4, "no member"),
        (&["transfer", "n9"], 2, "n9"),
    ] {
        let output = cluster.run(arguments);
        expect_exit(&output, exit);
        assert!(stderr(&output).contains(words), "{arguments:?}: {}", stderr(&output));
    }
    // Of those that would stay, too few live.
    let follower = cluster.follower();
    cluster.ok(&["kill", &follower]);
    let leader = cluster.leader();
    let other = ["n1", "n2", "n3"].into_iter().find(|name| *name != leader && *name != follower).unwrap();
    let output = cluster.run(&["remove", other]);
    expect_exit(&output, 4);
    cluster.ok(&["restart", &follower]);
    assert_eq!(voters(&cluster), before);
    assert!(!cluster.data().join("n4").exists(), "a refused server leaves nothing");
}

#[test]
fn whose_ports_are_taken_is_told() {
    let cluster = Cluster::up(1);
    let status = cluster.server("n1");
    let (id, pid) = (status["status"]["cluster_id"].as_str().unwrap(), &status["status"]["pid"]);
    let other = Cluster::place();
    let refused = other.run(&["up", "3", "--base-port", &cluster.base.to_string()]);
    expect_exit(&refused, 4);
    let dir = cluster.data();
    let sentence = format!(
        "n1's client port is not free: {}: n1 of the cluster {id} answers there (process {pid}, data in {}/n1/data); stop \
         it (`jangada cluster --dir {} down`), or choose another --base-port",
        cluster.address(1),
        dir.display(),
        dir.display()
    );
    assert!(stderr(&refused).contains(&sentence), "{}", stderr(&refused));
    assert!(!other.data().join("n1").exists(), "nothing was begun");
}

#[test]
fn members_set_changes_to_exactly_these() {
    let cluster = Cluster::up(3);
    let text = cluster.ok(&["members", "set", "n1,n4,n5"]);
    assert!(
        text.contains("added n4") && text.contains("removed n2") && text.contains("removed n3"),
        "{text}"
    );
    let status = cluster.status();
    assert_eq!(status["tolerance"]["voters"], serde_json::json!(["n1", "n4", "n5"]));
    expect_exit(&cluster.client(&["set", "a", "1"]), 0);
}

#[test]
fn the_lead_is_handed_over() {
    let cluster = Cluster::up(3);
    let follower = cluster.follower();
    let text = cluster.ok(&["transfer", &follower]);
    assert!(text.starts_with(&format!("{follower} leads")), "{text}");
    wait("its word for it", || (cluster.leader() == follower).then_some(()));
}
