//! Members that are added before they are started, by etcd's procedure.

use std::io::{Read, Write, copy};
use std::net::{TcpListener, TcpStream};
use std::process::Output;
use std::thread;

use crate::ctl::{output, said};
use crate::support::{Cluster, Guarded, expect_exit, http_get, jangada, ports, stderr, stdout, wait};

/// A member that was added and is to be started by what the answer said.
struct Promised {
    id: String,
    name: &'static str,
    /// Its client port; its peer port is the next one.
    port: u16,
    /// `ETCD_INITIAL_CLUSTER` of the answer.
    initial_cluster: String,
}

fn add(cluster: &Cluster, name: &str, port: u16, more: &[&str]) -> Output {
    let url = format!("--peer-urls=http://127.0.0.1:{}", port + 1);
    output(cluster, &[&["member", "add", name, &url], more].concat())
}

#[track_caller]
fn promised(cluster: &Cluster, name: &'static str, port: u16, more: &[&str]) -> Promised {
    let added = add(cluster, name, port, more);
    expect_exit(&added, 0);
    let text = stdout(&added);
    let id = text.strip_prefix("Member ").unwrap().trim_start().split(' ').next().unwrap().to_owned();
    let value = |variable: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{variable}=\"")));
        line.and_then(|line| line.strip_suffix('"')).unwrap().to_owned()
    };
    assert_eq!(
        (value("ETCD_NAME").as_str(), value("ETCD_INITIAL_CLUSTER_STATE").as_str()),
        (name, "existing")
    );
    let own = format!("http://127.0.0.1:{}", port + 1);
    assert_eq!(value("ETCD_INITIAL_ADVERTISE_PEER_URLS"), own);
    let initial_cluster = value("ETCD_INITIAL_CLUSTER");
    assert!(initial_cluster.split(',').any(|part| part == format!("{name}={own}")), "{initial_cluster}");
    Promised { id, name, port, initial_cluster }
}

impl Promised {
    /// Starts it with what the answer to its addition said.
    fn start(&self, cluster: &Cluster) -> Guarded {
        let Promised { name, port, initial_cluster, .. } = self;
        let client = format!("http://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{}", port + 1);
        let dir = cluster.data().join(name).display().to_string();
        let flags = [
            ("--name", *name),
            ("--data-dir", &dir),
            ("--listen-client-urls", &client),
            ("--advertise-client-urls", &client),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", initial_cluster),
            ("--initial-cluster-state", "existing"),
        ];
        Guarded::spawn(jangada().arg("etcd").args(flags.iter().flat_map(|(flag, value)| [*flag, *value])))
    }

    /// What MemberList says of it.
    fn listed(&self, cluster: &Cluster) -> Option<Vec<String>> {
        let list = said(cluster, &["member", "list"]);
        let mut rows = list.lines().map(|line| line.split(", ").map(str::to_owned).collect::<Vec<_>>());
        rows.find(|row| row[0] == self.id)
    }

    #[track_caller]
    fn expect(&self, cluster: &Cluster, is_learner: bool, has_come: bool) {
        let row = self.listed(cluster).unwrap();
        let state = if has_come { ["started", self.name] } else { ["unstarted", ""] };
        let peer = format!("http://127.0.0.1:{}", self.port + 1);
        let client = if has_come { format!("http://127.0.0.1:{}", self.port) } else { String::new() };
        assert_eq!(row[1..], [state[0], state[1], &peer, &client, &is_learner.to_string()]);
    }

    fn wait_started(&self, cluster: &Cluster) {
        wait("the promised member", || self.listed(cluster).filter(|row| row[1] == "started"));
    }
}

fn voters(cluster: &Cluster) -> Vec<String> {
    let voters = cluster.status()["tolerance"]["voters"].as_array().unwrap().clone();
    voters.iter().map(|name| name.as_str().unwrap().to_owned()).collect()
}

#[track_caller]
fn refused(cluster: &Cluster, arguments: &[&str], why: &str) {
    let refused = output(cluster, arguments);
    assert!(
        !refused.status.success() && stderr(&refused).contains(why),
        "{arguments:?}: {}",
        stderr(&refused)
    );
}

#[test]
fn a_voter_is_added_then_started_and_votes() {
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    let n4 = promised(&cluster, "n4", ports(2), &[]);
    n4.expect(&cluster, false, false);
    let again = add(&cluster, "n4", n4.port, &["--learner"]);
    assert!(stderr(&again).contains("Peer URLs already exist"), "{}", stderr(&again));
    refused(&cluster, &["member", "promote", &n4.id], "in sync with leader");

    // It does not count: one of three may still fail, whatever the fourth does.
    assert_eq!(voters(&cluster), ["n1", "n2", "n3"]);
    let status = said(&cluster, &["status"]);
    assert!(status.contains("3 of 3 voters answer; 1 more may fail"), "{status}");
    let away = cluster.follower();
    cluster.ok(&["kill", &away]);
    assert_eq!(said(&cluster, &["put", "d", "9"]), "OK\n");
    cluster.ok(&["restart", &away]);
    cluster.wait_caught_up(&away);

    let _running = n4.start(&cluster);
    n4.wait_started(&cluster);
    n4.expect(&cluster, false, true);
    wait("four voters", || (voters(&cluster) == ["n1", "n2", "n3", "n4"]).then_some(()));
    // Three of four must agree now: without its vote there are two.
    let other = cluster.follower();
    cluster.ok(&["kill", &other]);
    assert_eq!(said(&cluster, &["put", "d", "10"]), "OK\n");
    let own = format!("--endpoints=127.0.0.1:{}", n4.port);
    wait("the write at the newcomer", || {
        let read = jangada()
            .args(["ctl", &own, "get", "d", "--print-value-only", "--consistency=s"])
            .output()
            .unwrap();
        (stdout(&read) == "10\n").then_some(())
    });
}

#[test]
fn who_was_added_and_never_came_goes_without_a_trace() {
    let cluster = Cluster::up(3);
    let base = ports(8);
    let [n4, n5] = [("n4", base), ("n5", base + 2)].map(|(name, port)| promised(&cluster, name, port, &[]));
    let third = add(&cluster, "n6", base + 4, &[]);
    assert!(stderr(&third).contains("not enough started members"), "{}", stderr(&third));
    let learner = promised(&cluster, "n6", base + 4, &["--learner"]);
    learner.expect(&cluster, true, false);
    refused(&cluster, &["member", "promote", &learner.id], "in sync with leader");

    let moved = format!("--peer-urls=http://127.0.0.1:{}", base + 7);
    refused(
        &cluster,
        &["member", "update", &n4.id, &moved.replace(&(base + 7).to_string(), &(base + 3).to_string())],
        "Peer URLs",
    );
    said(&cluster, &["member", "update", &n4.id, &moved]);
    assert!(n4.listed(&cluster).unwrap()[3].ends_with(&(base + 7).to_string()));
    for gone in [&n4, &n5, &learner] {
        let removed = said(&cluster, &["member", "remove", &gone.id]);
        assert!(removed.contains("removed from cluster"), "{removed}");
    }
    refused(&cluster, &["member", "remove", &n4.id], "member not found");
    assert_eq!(said(&cluster, &["member", "list"]).lines().count(), 3);

    // Who comes all the same waits to be added.
    let _late = n5.start(&cluster);
    let status = wait("its status", || http_get(&format!("127.0.0.1:{}", n5.port), "/status"));
    assert!(status.contains("not a member of the cluster yet"), "{status}");
    assert_eq!(voters(&cluster), ["n1", "n2", "n3"]);
    assert_eq!(said(&cluster, &["member", "list"]).lines().count(), 3);
}

#[test]
fn a_promise_outlives_the_leader_that_gave_it() {
    let cluster = Cluster::up(3);
    let base = ports(4);
    let n4 = promised(&cluster, "n4", base, &[]);
    let learner = promised(&cluster, "learner", base + 2, &["--learner"]);
    let dead = cluster.leader();
    cluster.ok(&["kill", &dead]);
    wait("another leader", || Some(cluster.leader()).filter(|leader| *leader != dead));
    cluster.ok(&["restart", &dead]);
    cluster.wait_caught_up(&dead);
    n4.expect(&cluster, false, false);
    let _running = [n4.start(&cluster), learner.start(&cluster)];
    for (newcomer, is_learner) in [(&n4, false), (&learner, true)] {
        newcomer.wait_started(&cluster);
        newcomer.expect(&cluster, is_learner, true);
    }
    wait("four voters", || (voters(&cluster).len() == 4).then_some(()));
    let promoted = || output(&cluster, &["member", "promote", &learner.id]);
    wait("a learner that is in step", || promoted().status.success().then_some(()));
    assert_eq!(voters(&cluster).len(), 5);
    learner.expect(&cluster, false, true);
}

#[test]
fn who_comes_back_with_another_disk_is_told_so() {
    let cluster = Cluster::up(3);
    let n4 = promised(&cluster, "n4", ports(2), &[]);
    let running = n4.start(&cluster);
    n4.wait_started(&cluster);
    drop(running);
    std::fs::remove_dir_all(cluster.data().join("n4")).unwrap();
    let mut emptied = n4.start(&cluster);
    assert_eq!(emptied.exit_code(), Some(4));
    assert!(emptied.said().contains("is called n4 already"), "{}", emptied.said());
    // As operators of etcd do it: out, and in again.
    said(&cluster, &["member", "remove", &n4.id]);
    let again = promised(&cluster, "n4", n4.port, &[]);
    assert_ne!(again.id, n4.id);
    let _running = again.start(&cluster);
    again.wait_started(&cluster);
    again.expect(&cluster, false, true);
}

/// Lets through to another port who only asks, and nobody who would be a link: a server that can be met and not reached.
fn only_who_asks(from: u16, to: u16) {
    const HEADER_BYTES: usize = 13;
    let door = TcpListener::bind(("127.0.0.1", from)).unwrap();
    thread::spawn(move || {
        for caller in door.incoming() {
            let mut caller = caller.unwrap();
            let mut hello = vec![0; HEADER_BYTES];
            if caller.read_exact(&mut hello).is_err() {
                continue;
            }
            let length = u32::from_le_bytes(hello[5..9].try_into().unwrap()) as usize;
            hello.resize(HEADER_BYTES + length, 0);
            if caller.read_exact(&mut hello[HEADER_BYTES..]).is_err() {
                continue;
            }
            let asks = String::from_utf8_lossy(&hello).contains(r#""purpose":"ask""#);
            if let Ok(mut server) = TcpStream::connect(("127.0.0.1", to))
                && asks
            {
                server.write_all(&hello).unwrap();
                // Whoever asked may have had enough.
                let _gone = copy(&mut server, &mut caller);
            }
        }
    });
}

/// The configuration in force, by the leader's word.
fn membership(cluster: &Cluster) -> serde_json::Value {
    let leader: u16 = cluster.leader()[1..].parse().unwrap();
    let status = wait("the leader's status", || http_get(&cluster.address(leader), "/status"));
    serde_json::from_str::<serde_json::Value>(&status).unwrap()["membership"].clone()
}

#[test]
fn who_comes_and_cannot_catch_up_holds_nobody_up() {
    let cluster = Cluster::up(3);
    let base = ports(4);
    let n4 = promised(&cluster, "n4", base, &[]);
    let peers: Vec<String> =
        (1..=3).map(|n| format!("n{n}=127.0.0.1:{}", cluster.base + 2 * (n - 1) + 1)).collect();
    let at = format!("127.0.0.1:{}", base + 1);
    only_who_asks(base + 1, base + 3);
    let more = ["--name", "n4", "--join", "--peers", &peers.join(","), "--advertise-peer", &at];
    let _unreachable = Guarded::serve(&cluster.data().join("n4"), base + 2, &more);
    let stage = |wanted: &str| membership(&cluster)["stage"] == wanted;
    wait("its arrival", || stage("catch_up").then_some(()));
    assert_eq!(membership(&cluster)["promised"].as_array().unwrap().len(), 0);
    wait("the promise to be one again", || {
        let expected = membership(&cluster)["promised"].as_array().unwrap().clone();
        expected.first().map(|promise| assert_eq!(promise["peer_addr"], at))
    });
    wait("its second arrival", || stage("catch_up").then_some(()));
    // Nobody waits for it who does not want to.
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    said(&cluster, &["member", "remove", &n4.id]);
    assert!(stage("final"));
    assert_eq!(said(&cluster, &["member", "list"]).lines().count(), 3);
}
