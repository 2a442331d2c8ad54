//! `jangada ping` and `jangada cluster ping`: the way between servers by itself, whatever Raft does.

use serde_json::Value;

use crate::support::{Cluster, Guarded, expect_exit, jangada, ports, stderr, stdout, wait};

#[test]
fn numbers_come_back_doubled_from_every_server() {
    let cluster = Cluster::up(3);
    let table = cluster.ok(&["ping", "--count", "7"]);
    assert_eq!(table.lines().count(), 4, "{table}");
    for name in ["n1", "n2", "n3"] {
        assert!(table.lines().any(|line| line.starts_with(name) && line.contains("7 of 7")), "{table}");
    }
    let address = format!("127.0.0.1:{}", cluster.base + 3);
    let output = jangada().args(["-o", "json", "ping", "--count", "5", &address]).output().unwrap();
    expect_exit(&output, 0);
    let told: Value = serde_json::from_str(&stdout(&output)).unwrap();
    let server = &told["servers"][0];
    assert_eq!((&server["name"], &server["ok"]), (&Value::from("n2"), &Value::from(true)), "{told}");
    assert_eq!(server["round_seconds"].as_array().unwrap().len(), 5, "{told}");
    assert_eq!(server["cluster"].as_str().unwrap().len(), 16, "{told}");
}

/// It says which way is broken and how; nobody needs a leader for it, and the living are told of all the same.
#[test]
fn a_broken_way_is_named_and_nobody_needs_a_leader() {
    let cluster = Cluster::up(3);
    cluster.ok(&["kill", "n1"]);
    cluster.ok(&["pause", "n2"]);
    let output = cluster.run(&["ping"]);
    expect_exit(&output, 3);
    let (table, why) = (stdout(&output), stderr(&output));
    assert!(table.lines().any(|line| line.starts_with("n3") && line.contains("10 of 10")), "{table}");
    assert!(
        why.contains(&format!("n1 at 127.0.0.1:{}: refused: nobody listens there", cluster.base + 1)),
        "{why}"
    );
    assert!(why.contains(&format!("n2 at 127.0.0.1:{}: silent", cluster.base + 3)), "{why}");
    expect_exit(&cluster.run(&["ping", "n3"]), 0);
    expect_exit(&cluster.run(&["ping", "n9"]), 2);
}

#[test]
fn a_port_for_clients_and_an_address_that_is_none_are_told() {
    let cluster = Cluster::up(1);
    let output = jangada().args(["ping", &cluster.address(1)]).output().unwrap();
    expect_exit(&output, 3);
    assert!(stderr(&output).contains("peer port"), "{}", stderr(&output));
    expect_exit(&jangada().args(["ping", "nowhere"]).output().unwrap(), 2);
    expect_exit(&jangada().args(["ping"]).output().unwrap(), 2);
    expect_exit(&jangada().args(["ping", "--count", "0", "127.0.0.1:1"]).output().unwrap(), 2);
}

/// The first thing to look at when a new cluster does not begin: its members wait for one another.
#[test]
fn a_server_that_waits_for_its_founding_answers_too() {
    let (dir, base) = (tempfile::tempdir().unwrap(), ports(4));
    let peers = format!("n1=127.0.0.1:{},n2=127.0.0.1:{}", base + 1, base + 3);
    let server = Guarded::serve(dir.path(), base, &["--name", "n1", "--peers", &peers]);
    let address = format!("127.0.0.1:{}", base + 1);
    let told = wait("an echo", || {
        let output = jangada().args(["-o", "json", "ping", &address]).output().unwrap();
        output.status.success().then(|| stdout(&output))
    });
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["servers"][0]["name"], &told["servers"][0]["cluster"]),
        (&Value::from("n1"), &Value::Null)
    );
    drop(server);
}
