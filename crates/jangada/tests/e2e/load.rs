//! `jangada load`: what it says of servers must be what they did.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::Output;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Cluster, ask, expect_exit, jangada, ports, stderr, stdout, wait};
use crate::wire::Reply;

fn load(arguments: &[&str]) -> Output {
    jangada().arg("load").args(arguments).output().unwrap()
}

/// A run that must succeed, as JSON.
#[track_caller]
fn report(arguments: &[&str]) -> Value {
    let output = load(&[arguments, &["-o", "json"]].concat());
    expect_exit(&output, 0);
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// How many keys there are now: a linearizable read, as `/status` tells what was so a moment ago.
fn keys(cluster: &Cluster) -> i64 {
    match ask(&cluster.address(1), &["DBSIZE"], Duration::from_secs(5)).unwrap() {
        Reply::Integer(keys) => keys,
        other => panic!("DBSIZE answers {other:?}"),
    }
}

#[test]
fn it_logs_in_where_servers_want_to_know_who_asks() {
    let cluster = Cluster::up(1);
    for arguments in [["user", "add", "root:secret"].as_slice(), &["auth", "enable"]] {
        let mut ctl = jangada();
        ctl.args(["ctl", "--endpoints", &cluster.address(1)]).args(arguments);
        expect_exit(&ctl.output().unwrap(), 0);
    }
    let address = cluster.address(1);
    for (protocol, refusal) in [("resp", "NOAUTH"), ("etcd", "user name is empty")] {
        let on = ["put", "--servers", &address, "--operations", "50", "--protocol", protocol];
        let run = report(&[&on[..], &["--user", "root:secret"]].concat());
        assert_eq!(
            (run["answered"].as_u64(), run["errors"].as_object().unwrap().len()),
            (Some(50), 0),
            "{run}"
        );
        let nobody = stdout(&load(&on));
        assert!(nobody.contains(refusal), "{nobody}");
        let by_environment =
            jangada().arg("load").args(on).env("JANGADA_USER", "root:secret").output().unwrap();
        expect_exit(&by_environment, 0);
    }
    let compare =
        ["compare", "put", "--servers", &address, "--against", &address, "--rounds", "1", "-n", "50"];
    let compared = stdout(&load(&compare));
    assert!(compared.contains("errors: 50 NOAUTH and 50 NOAUTH"), "{compared}");
}

#[test]
fn etcds_api_counts_what_was_done_too() {
    let cluster = Cluster::up(3);
    let dir = cluster.data();
    let on = ["--dir", dir.to_str().unwrap(), "--clients", "8", "--connections", "3", "--protocol", "etcd"];
    let run = |more: &[&str]| report(&[more, &on].concat());
    let clean = |run: &Value| run["errors"].as_object().unwrap().is_empty();

    let put = run(&["put", "--operations", "100", "--keys", "100000"]);
    assert!(clean(&put) && put["answered"].as_u64() == Some(100), "{put}");
    assert!((80..=100).contains(&keys(&cluster)), "{} keys", keys(&cluster));
    for freshness in [&["--seed", "2"][..], &["--serializable"]] {
        let get = run(&[&["get", "--operations", "100", "--fill", "--keys", "10"], freshness].concat());
        assert!(clean(&get), "{get}");
        assert_eq!(get["answered"].as_u64(), Some(100));
    }
    // The first ones find no key, later ones do.
    let txn = run(&["txn", "--operations", "200", "--keys", "20", "--seed", "3"]);
    assert!(clean(&txn) && txn["answered"].as_u64() == Some(200), "{txn}");
    assert!(txn["absent"].as_u64() < Some(20), "`get --fill` has written ten of them: {txn}");
    let lease = run(&["lease", "--operations", "100"]);
    assert!(clean(&lease) && lease["answered"].as_u64() == Some(100), "{lease}");
    let listed = stdout(
        &jangada().args(["ctl", "--endpoints", &cluster.address(1), "lease", "list"]).output().unwrap(),
    );
    assert!(listed.starts_with("found 0 leases"), "whoever is done gives its lease up: {listed}");
    let watch = run(&["watch", "--operations", "20"]);
    assert!(clean(&watch), "{watch}");
    assert_eq!((watch["puts"].as_u64(), watch["answered"].as_u64()), (Some(20), Some(160)));

    let refused = load(&["get", "--serializable", "--dir", dir.to_str().unwrap()]);
    expect_exit(&refused, 2);
}

#[test]
fn each_operation_that_is_counted_was_done() {
    let cluster = Cluster::up(3);
    let dir = cluster.data();
    let on = ["--dir", dir.to_str().unwrap(), "--clients", "8", "--connections", "3"];
    let run = |more: &[&str]| report(&[more, &on].concat());

    let get = run(&["get", "--operations", "50"]);
    assert_eq!(
        (get["answered"].as_u64(), get["absent"].as_u64()),
        (Some(50), Some(50)),
        "nothing is written yet"
    );
    let put = run(&["put", "--operations", "300", "--keys", "100000"]);
    assert_eq!((put["answered"].as_u64(), put["errors"].as_object().unwrap().len()), (Some(300), 0));
    assert!((250..=300).contains(&keys(&cluster)), "few of 100,000 keys meet: {}", keys(&cluster));
    assert_eq!(put["servers"].as_array().unwrap().len(), 3);
    assert!(put["latency_ms"]["p50"].as_f64().unwrap() > 0.0);
    assert!(put["server_cpu_us"].as_f64().is_some(), "servers of this machine have their CPU counted");

    let all = run(&["get", "--fill", "--keys", "40", "--operations", "200", "--leader"]);
    assert_eq!(
        (all["answered"].as_u64(), all["absent"].as_u64()),
        (Some(200), Some(0)),
        "all keys were written"
    );
    assert_eq!(all["servers"].as_array().unwrap().len(), 1);

    let text = stdout(&load(&[&["mixed", "--reads", "20", "-n", "100"][..], &on].concat()));
    assert!(text.starts_with("mixed: 8 clients on 3 connections to 3 servers"), "{text}");
    assert!(text.contains("100 answers") && text.ends_with("  no errors\n"), "{text}");
}

#[test]
fn at_a_given_rate_what_is_late_is_counted_from_when_it_was_due() {
    let cluster = Cluster::up(1);
    let address = cluster.address(1);
    let slow = report(&["put", "--servers", &address, "--rate", "200", "--duration", "1s", "--clients", "4"]);
    assert_eq!(slow["answered"].as_u64(), Some(200), "as many as were due, however fast the machine is");
    // One client cannot do a million a second: what it did not get round to asking waits.
    let late = report(&["put", "--servers", &address, "--rate", "1000000", "-n", "300", "--clients", "1"]);
    let (p50, max) = (&late["latency_ms"]["p50"], &late["latency_ms"]["max"]);
    let span = late["seconds"].as_f64().unwrap() * 1_000.0;
    assert!(max.as_f64().unwrap() > 0.9 * span, "the last one was due at the beginning: {late}");
    assert!(p50.as_f64().unwrap() > 0.2 * span, "{late}");
}

#[test]
fn a_leader_that_dies_is_started_again_and_the_clients_go_on() {
    let cluster = Cluster::up(3);
    let dir = cluster.data();
    let run = report(&[
        "put",
        "--dir",
        dir.to_str().unwrap(),
        "--clients",
        "6",
        "--connections",
        "3",
        "--kill-leader-every",
        "1s",
        "--duration",
        "4s",
        "--timeout",
        "2s",
    ]);
    let kills = run["kills"].as_array().unwrap();
    assert!(!kills.is_empty(), "{run}");
    assert!(run["answered"].as_u64().unwrap() > 0, "{run}");
    assert!(run["longest_gap_ms"].as_f64().unwrap() > 0.0);
    wait("who was killed runs again, and is heard", || {
        let status = cluster.status();
        status["tolerance"]["down"].as_array().unwrap().is_empty().then_some(())
    });
}

#[test]
fn two_targets_are_compared_in_turns() {
    let cluster = Cluster::up(1);
    let address = cluster.address(1);
    let twice = ["compare", "put", "--servers", &address, "--against", &address, "--rounds", "3", "-n", "60"];
    let compared = report(&twice);
    for side in ["a", "b"] {
        let runs = compared[side].as_array().unwrap();
        assert_eq!(runs.len(), 3);
        assert!(runs.iter().all(|run| run["answered"] == 60), "{compared}");
    }
    assert!(compared["ratios"]["rate"].as_f64().unwrap() > 0.0);
    let text = stdout(&load(&twice));
    assert!(text.contains("B ÷ A") && text.contains("errors: 0 and 0"), "{text}");
}

#[test]
fn what_cannot_be_is_told_and_nothing_hangs() {
    let refused = |arguments: &[&str], code, says: &str| {
        let output = load(arguments);
        expect_exit(&output, code);
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    };
    let nobody = format!("127.0.0.1:{}", ports(1));
    refused(&["put", "--servers", &nobody, "--timeout", "1s"], 3, "connection refused");
    refused(&["put", "--servers", "nowhere"], 2, "write HOST:PORT");
    refused(&["put", "--rate", "fast"], 2, "is no number of operations a second");
    refused(&["put", "--clients", "0"], 2, "0 is not in 1..");
    refused(&["put", "--kill-leader-every", "1s"], 2, "--dir");
    refused(&["put", "--dir", "/nonexistent"], 2, "/nonexistent");
    refused(&["compare", "get"], 2, "--against");

    // Somebody who takes connections and does not speak the protocol.
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = stranger.local_addr().unwrap().to_string();
    let talk = std::thread::spawn(move || {
        for stream in stranger.incoming() {
            let mut stream = stream.unwrap();
            let mut some = [0; 16];
            match stream.read(&mut some) {
                // The first connection only looks whether somebody is there.
                Ok(0) | Err(_) => {}
                Ok(_) if &some[..4] == b"over" => return,
                Ok(_) => drop(stream.write_all(b"220 mail.example.org\r\n")),
            }
        }
    });
    let output = load(&["put", "--servers", &address, "--duration", "300ms", "--timeout", "1s"]);
    expect_exit(&output, 1);
    assert!(
        stdout(&output).contains("0 answers") && stdout(&output).contains("starts with"),
        "{}",
        stdout(&output)
    );
    std::net::TcpStream::connect(address).unwrap().write_all(b"over").unwrap();
    talk.join().unwrap();
}
