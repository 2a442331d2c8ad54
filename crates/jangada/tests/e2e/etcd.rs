//! etcd's own command-line client against a cluster. Skipped where it is not installed.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Output, Stdio};

use crate::support::{Cluster, Guarded, expect_exit, http_get, installed, ports, stderr, stdout, wait};
use crate::users::http;

/// `etcdctl ARGUMENTS` with all of three servers, and `input` typed into it.
fn etcdctl(cluster: &Cluster, arguments: &[&str], input: &str) -> Output {
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &cluster.addresses(3).join(",")]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[track_caller]
fn said(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = etcdctl(cluster, arguments, "");
    expect_exit(&output, 0);
    stdout(&output)
}

#[test]
fn etcdctl_reads_and_writes() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    assert_eq!(said(&cluster, &["get", "d"]), "d\n8\n");
    assert_eq!(said(&cluster, &["put", "--prev-kv", "d", "9"]), "OK\nd\n8\n");
    assert_eq!(said(&cluster, &["get", "--rev", "2", "--print-value-only", "d"]), "8\n");
    assert_eq!(said(&cluster, &["put", "dd", "10"]), "OK\n");
    let backwards = ["get", "--prefix", "d", "--order", "DESCEND", "--sort-by", "KEY", "--keys-only"];
    assert_eq!(said(&cluster, &backwards), "dd\n\nd\n\n");
    let json = said(&cluster, &["get", "d", "-w", "json"]);
    assert!(json.contains(r#""create_revision":2,"mod_revision":3,"version":2"#), "{json}");

    // RESP and etcd see one store.
    assert_eq!(stdout(&cluster.client(&["get", "dd"])), "10\n");

    let txn = etcdctl(&cluster, &["txn"], "value(\"d\") = \"9\"\n\nput d 11\nget dd\n\nget d\n\n");
    expect_exit(&txn, 0);
    assert_eq!(stdout(&txn), "SUCCESS\n\nOK\n\ndd\n10\n");
    assert_eq!(said(&cluster, &["compaction", "4"]), "compacted revision 4\n");
    let gone = etcdctl(&cluster, &["get", "--rev", "3", "d"], "");
    expect_exit(&gone, 1);
    assert!(
        stderr(&gone).contains("etcdserver: mvcc: required revision has been compacted"),
        "{}",
        stderr(&gone)
    );
    assert_eq!(said(&cluster, &["del", "--prefix", "d"]), "2\n");
    let leased = etcdctl(&cluster, &["put", "--lease", "77", "d", "8"], "");
    assert!(stderr(&leased).contains("etcdserver: requested lease not found"), "{}", stderr(&leased));
}

#[test]
fn etcdctl_compares_members_saves_a_snapshot_and_moves_the_leader() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    for number in 0..300 {
        assert_eq!(said(&cluster, &["put", &format!("k{number:03}"), &"v".repeat(number)]), "OK\n");
    }
    assert_eq!(said(&cluster, &["del", "k007"]), "1\n");
    // Hashes and snapshots are of a member's own store, and each applies the log in its own time.
    wait("members that have applied all of it", || {
        let members = said(&cluster, &["endpoint", "status", "-w", "json"]);
        let members: serde_json::Value = serde_json::from_str(&members).unwrap();
        let mut members = members.as_array()?.iter();
        members.all(|member| member["Status"]["header"]["revision"] == 302).then_some(())
    });
    let hashes = said(&cluster, &["endpoint", "hashkv", "--rev", "300"]);
    let numbers: Vec<&str> = hashes.lines().filter_map(|line| line.split(", ").nth(1)).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| *number == numbers[0]), "{hashes}");

    let file = cluster.data().join("snapshot.db");
    let (file, first) = (file.to_str().unwrap(), cluster.address(1));
    let mut save = Command::new("etcdctl");
    save.env("ETCDCTL_API", "3").args(["--endpoints", &first, "snapshot", "save", file]);
    expect_exit(&save.output().unwrap(), 0);
    let status = said(&cluster, &["snapshot", "status", file, "-w", "json"]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    // 299 keys, and four notes of etcd's own.
    assert_eq!(
        (status["revision"].as_u64(), status["totalKey"].as_u64()),
        (Some(301), Some(303)),
        "{status}"
    );
    // etcd itself begins a new cluster from it.
    let data = cluster.data().join("restored");
    expect_exit(
        &etcdctl(&cluster, &["snapshot", "restore", file, "--data-dir", data.to_str().unwrap()], ""),
        0,
    );

    let members = said(&cluster, &["endpoint", "status", "-w", "json"]);
    let members: serde_json::Value = serde_json::from_str(&members).unwrap();
    let status = |member: &serde_json::Value| member["Status"].clone();
    let leader = status(&members[0])["leader"].as_u64().unwrap();
    let id = |member: &serde_json::Value| status(member)["header"]["member_id"].as_u64().unwrap();
    let other = members.as_array().unwrap().iter().map(id).find(|id| *id != leader).unwrap();
    let moved = said(&cluster, &["move-leader", &format!("{other:x}")]);
    assert_eq!(moved, format!("Leadership transferred from {leader:x} to {other:x}\n"));
}

#[test]
fn etcdctl_grants_leases_and_keeps_them_alive() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    let granted = said(&cluster, &["lease", "grant", "600"]);
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(600s)\n"));
    assert_eq!(said(&cluster, &["lease", "list"]), format!("found 1 leases\n{id}\n"));
    assert_eq!(said(&cluster, &["put", "--lease", &id, "d", "8"]), "OK\n");
    let left = said(&cluster, &["lease", "timetolive", "--keys", &id]);
    assert!(left.starts_with(&format!("lease {id} granted with TTL(600s), remaining(")), "{left}");
    assert!(left.ends_with("attached keys([d])\n"), "{left}");
    let kept = said(&cluster, &["lease", "keep-alive", "--once", &id]);
    assert_eq!(kept, format!("lease {id} keepalived with TTL(600)\n"));
    assert_eq!(said(&cluster, &["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    assert_eq!(said(&cluster, &["get", "d"]), "");
    assert_eq!(said(&cluster, &["lease", "timetolive", &id]), format!("lease {id} already expired\n"));

    // Nobody keeps this one alive: what is under it goes by itself.
    wait("a put while its lease lives", || {
        let granted = said(&cluster, &["lease", "grant", "2"]);
        let put = etcdctl(&cluster, &["put", "--lease", granted.split(' ').nth(1)?, "d", "8"], "");
        // On a busy machine two seconds may pass between two commands.
        let is_late = stderr(&put).contains("etcdserver: requested lease not found");
        assert!(put.status.success() || is_late, "{}", stderr(&put));
        put.status.success().then_some(())
    });
    wait("the end of the lease", || said(&cluster, &["get", "d"]).is_empty().then_some(()));
    assert_eq!(said(&cluster, &["lease", "list"]), "found 0 leases\n");

    // etcdctl makes locks of leases, transactions and watches.
    assert_eq!(said(&cluster, &["lock", "a-lock", "echo", "held"]), "held\n");
}

#[test]
fn etcdctl_sees_the_cluster() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    let members = said(&cluster, &["member", "list"]);
    assert_eq!(members.lines().count(), 3, "{members}");
    for number in 1..=3 {
        let urls = format!(
            "started, n{number}, http://127.0.0.1:{}, http://{}, false",
            cluster.base + 2 * (number - 1) + 1,
            cluster.address(number)
        );
        assert!(members.contains(&urls), "{urls} is not in\n{members}");
    }
    let status = said(&cluster, &["endpoint", "status", "-w", "simple"]);
    assert_eq!(status.lines().count(), 3, "{status}");
    assert_eq!(
        status.lines().filter(|line| line.contains(", true, false, ")).count(),
        1,
        "one leads:\n{status}"
    );
    assert!(status.lines().all(|line| line.contains(", 3.5.")), "{status}");
    let health = etcdctl(&cluster, &["endpoint", "health"], "");
    expect_exit(&health, 0);
    assert_eq!(http_get(&cluster.address(1), "/health").unwrap(), r#"{"health":"true","reason":""}"#);
    assert!(http_get(&cluster.address(1), "/version").unwrap().contains(r#""etcdcluster":"3.5.0""#));
}

#[test]
fn etcdctl_watches_through_a_member_that_does_not_lead() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    let follower: u16 = cluster.follower()[1..].parse().unwrap();
    let mut command = Command::new("etcdctl");
    command.env("ETCDCTL_API", "3").args(["--endpoints", &cluster.address(follower)]);
    command.args(["watch", "--rev", "2", "--prefix", "d", "--prev-kv"]);
    let mut watch = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    for (key, value) in [("d", "9"), ("c", "beside it"), ("dd", "10")] {
        assert_eq!(said(&cluster, &["put", key, value]), "OK\n");
    }
    assert_eq!(said(&cluster, &["del", "d"]), "1\n");
    let told = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    let told: Vec<String> = told.filter(|line| !line.is_empty()).take(15).collect();
    watch.kill().unwrap();
    watch.wait().unwrap();
    let expected = ["PUT", "d", "8", "PUT", "d", "8", "d", "9", "PUT", "dd", "10", "DELETE", "d", "9", "d"];
    assert_eq!(told, expected);
}

#[test]
fn etcdctl_changes_the_members() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    let refused = |arguments: &[&str], why: &str| {
        let output = etcdctl(&cluster, arguments, "");
        expect_exit(&output, 1);
        assert!(stderr(&output).contains(why), "{arguments:?}: {}", stderr(&output));
    };
    let base = ports(4);
    let url = |number: u16| format!("http://127.0.0.1:{}", base + 2 * number + 1);
    let add = |name: &str, url: &str, more: &[&str]| {
        let arguments = [&["member", "add", name, "--peer-urls", url], more].concat();
        etcdctl(&cluster, &arguments, "")
    };
    // Two learners at once, through whichever member etcdctl asks.
    let peers: Vec<String> =
        (1..=3).map(|n| format!("n{n}=127.0.0.1:{}", cluster.base + 2 * (n - 1) + 1)).collect();
    let start = |number: u16| {
        let dir = cluster.data().join(format!("n{}", number + 4));
        let name = format!("n{}", number + 4);
        let more = ["--name", &name, "--join", "--peers", &peers.join(",")];
        Guarded::serve(&dir, base + 2 * number, &more)
    };
    let joining = [start(0), start(1)];
    for (number, server) in joining.iter().enumerate() {
        server.wait_said("ready: ");
        let number = u16::try_from(number).unwrap();
        let added = add(&format!("n{}", number + 4), &url(number), &["--learner"]);
        expect_exit(&added, 0);
        let told = format!("Member {:>16} added to cluster", number + 4);
        assert!(stdout(&added).contains(&told), "{}", stdout(&added));
    }
    refused(&["member", "add", "n4", "--peer-urls", &url(0)], "Peer URLs already exists");
    let list = said(&cluster, &["member", "list"]);
    assert_eq!(list.lines().filter(|line| line.ends_with(", true")).count(), 2, "{list}");

    // A vote is given once a learner holds the log.
    let promote = || etcdctl(&cluster, &["member", "promote", "4"], "");
    let promoted =
        wait("a learner that is in step", || Some(promote()).filter(|output| output.status.success()));
    assert!(stdout(&promoted).contains("promoted in cluster"), "{}", stdout(&promoted));
    refused(&["member", "promote", "4"], "can only promote a learner member");
    // A member that does not lead asks the one that does, and tells its reason.
    let follower: u16 = cluster.follower()[1..].parse().unwrap();
    let through_follower = |arguments: &[&str]| {
        let mut command = Command::new("etcdctl");
        command.env("ETCDCTL_API", "3").args(["--endpoints", &cluster.address(follower)]).args(arguments);
        command.output().unwrap()
    };
    let nobody = through_follower(&["member", "promote", "9"]);
    assert!(stderr(&nobody).contains("member not found"), "{}", stderr(&nobody));
    assert_eq!(cluster.status()["tolerance"]["voters"].as_array().unwrap().len(), 4);
    let moved = url(9);
    expect_exit(&through_follower(&["member", "update", "5", "--peer-urls", &moved]), 0);
    assert!(said(&cluster, &["member", "list"]).contains(&format!("n5, {moved}, ")));
    for id in ["5", "4"] {
        let removed = said(&cluster, &["member", "remove", id]);
        assert!(removed.contains("removed from cluster"), "{removed}");
    }
    refused(&["member", "remove", "4"], "member not found");
    assert_eq!(said(&cluster, &["member", "list"]).lines().count(), 3);
    assert_eq!(said(&cluster, &["get", "d", "--print-value-only"]), "8\n");
}

/// Each write makes an entry: who is asked in between has applied one more each time.
#[test]
fn status_shows_the_write_before_it() {
    let cluster = Cluster::up(1);
    let address = cluster.address(1);
    let ask = |path: &str, body: &str| -> serde_json::Value {
        let (code, said) = http(&address, &format!("POST {path}"), "", body);
        assert_eq!(code, 200, "{said}");
        serde_json::from_str(&said).unwrap()
    };
    let mut before = 0;
    for number in 0..50 {
        ask("/v3/kv/put", r#"{"key":"YQ==","value":"YQ=="}"#);
        let status = ask("/v3/maintenance/status", "{}");
        let index = |name: &str| status[name].as_str().unwrap().parse::<u64>().unwrap();
        let applied = index("raftAppliedIndex");
        assert!(
            applied > before && index("raftIndex") >= applied,
            "write {number}: {status}, {before} before"
        );
        before = applied;
    }
}

#[test]
fn dashboards_see_each_peer_and_how_long_calls_take() {
    let cluster = Cluster::up(3);
    let leader = cluster.leader();
    let address = cluster.server(&leader)["client_addr"].as_str().unwrap().to_owned();
    let body = r#"{"key":"YQ==","value":"YQ=="}"#;
    assert_eq!(http(&address, "POST /v3/kv/put", "", body).0, 200);
    let others = ["n1", "n2", "n3"].into_iter().filter(|name| *name != leader);
    let ids: Vec<u64> = others.map(|name| cluster.server(name)["status"]["id"].as_u64().unwrap()).collect();
    let is_counted = |page: &str, sample: &str| {
        page.lines()
            .any(|line| line.strip_prefix(sample).is_some_and(|count| count.parse::<u64>().unwrap() > 0))
    };
    wait("what is measured of each follower", || {
        // A linearizable read has the leader hear from the others.
        assert_eq!(http(&address, "POST /v3/kv/range", "", r#"{"key":"YQ=="}"#).0, 200);
        let page = http_get(&address, "/metrics")?;
        let all = ids.iter().all(|id| {
            is_counted(&page, &format!("etcd_network_peer_sent_bytes_total{{To=\"{id:x}\"}} "))
                && is_counted(&page, &format!("etcd_network_peer_received_bytes_total{{From=\"{id:x}\"}} "))
                && is_counted(
                    &page,
                    &format!("etcd_network_peer_round_trip_time_seconds_count{{To=\"{id:x}\"}} "),
                )
        });
        all.then_some(())
    });
    let labels = r#"grpc_service="etcdserverpb.KV",grpc_method="Put",grpc_type="unary""#;
    let page = http_get(&address, "/metrics").unwrap();
    assert!(page.contains(&format!("grpc_server_handling_seconds_count{{{labels}}} 1\n")), "{page}");
    assert!(
        !page.contains(r#"grpc_server_handling_seconds_count{grpc_service="etcdserverpb.Lease""#),
        "{page}"
    );
}

/// What both are told twice is the same but for the time that is left, so that programs that read etcdctl's words can read ours.
#[test]
fn ctl_prints_json_and_fields_as_etcdctl_does() {
    if !installed("etcdctl") {
        return;
    }
    let cluster = Cluster::up(3);
    let ours = |arguments: &[&str]| {
        let output = crate::ctl::output(&cluster, arguments);
        expect_exit(&output, 0);
        stdout(&output)
    };
    for put in [["put", "d", "8"], ["put", "d", "9"], ["put", "e", "1"]] {
        ours(&put);
    }
    ours(&["lease", "grant", "3600"]);
    let listed: serde_json::Value = serde_json::from_str(&ours(&["lease", "list", "-o", "json"])).unwrap();
    let lease = format!("{:x}", listed["leases"][0]["id"].as_u64().unwrap());
    ours(&["put", "leased", "1", "--lease", &lease]);
    for grant in [["role", "add", "app"].as_slice(), &["role", "grant-permission", "app", "read", "a", "b"]] {
        ours(grant);
    }
    let asked: [&[&str]; 7] = [
        &["get", "--prefix", ""],
        &["put", "--prev-kv", "d", "9"],
        &["member", "list"],
        &["lease", "list"],
        &["lease", "timetolive", &lease, "--keys"],
        &["lease", "keep-alive", "--once", &lease],
        &["role", "get", "app"],
    ];
    // Members answer in turns, and each tells its own number and revision; the lease goes on ending.
    let aside = ["member_id", "MemberID", "revision", "Revision", "raft_term", "RaftTerm", "ttl", "TTL"];
    let moves = ["version", "Version", "mod_revision", "ModRevision", "PrevVersion", "PrevModRevision"];
    let settle = |said: &str, format: &str| -> Vec<String> {
        let parts = if format == "json" { said.replace(['{', '}', ','], "\n") } else { said.to_owned() };
        let name = |line: &&str| line.split('"').nth(1).map(str::to_owned).unwrap_or_default();
        let mut told: Vec<String> =
            parts
                .lines()
                .filter(|line| !aside.contains(&&*name(line)))
                .map(|line| {
                    if moves.contains(&&*name(&line)) { name(&line) } else { line.trim().replace("  ", " ") }
                })
                .filter(|line| !line.is_empty())
                .collect();
        told.sort();
        told
    };
    for arguments in asked {
        for format in ["json", "fields"] {
            let theirs = said(&cluster, &[&["-w", format], arguments].concat());
            let ours = ours(&[&["-o", format], arguments].concat());
            assert_eq!(settle(&ours, format), settle(&theirs, format), "{arguments:?}: {theirs}");
        }
    }
}
