//! `jangada ctl`: etcdctl's words, at our own servers and at a real etcd.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::support::{Cluster, Guarded, expect_exit, installed, jangada, ports, stderr, stdout, wait};

/// `jangada ctl` with all of three servers.
pub fn ctl(cluster: &Cluster) -> Command {
    let mut command = jangada();
    command.args(["ctl", "--endpoints", &cluster.addresses(3).join(",")]);
    for variable in ["ETCDCTL_ENDPOINTS", "ETCDCTL_USER", "ETCDCTL_PASSWORD"] {
        command.env_remove(variable);
    }
    command
}

/// The same with `input` typed into it.
pub fn typed(cluster: &Cluster, arguments: &[&str], input: &str) -> Output {
    let mut command = ctl(cluster);
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

pub fn output(cluster: &Cluster, arguments: &[&str]) -> Output {
    typed(cluster, arguments, "")
}

#[track_caller]
pub fn said(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = output(cluster, arguments);
    expect_exit(&output, 0);
    stdout(&output)
}

#[test]
fn keys_are_written_read_and_deleted_in_etcdctls_words() {
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    assert_eq!(said(&cluster, &["get", "d"]), "d\n8\n");
    assert_eq!(said(&cluster, &["put", "--prev-kv", "d", "9"]), "OK\nd\n8\n");
    assert_eq!(said(&cluster, &["get", "--rev", "2", "--print-value-only", "d"]), "8\n");
    let piped = typed(&cluster, &["put", "dd"], "with\nlines");
    expect_exit(&piped, 0);
    assert_eq!(said(&cluster, &["get", "-o", "raw", "dd"]), "with\nlines", "as it is");
    let backwards = ["get", "--prefix", "d", "--order", "DESCEND", "--keys-only"];
    assert_eq!(said(&cluster, &backwards), "dd\n\nd\n\n");
    let json: serde_json::Value = serde_json::from_str(&said(&cluster, &["get", "d", "-w", "json"])).unwrap();
    assert_eq!((json["count"].as_u64(), json["kvs"][0]["value"].as_str()), (Some(1), Some("OQ==")));
    assert_eq!(json["kvs"][0]["mod_revision"], 3);
    assert!(said(&cluster, &["get", "d", "-o", "fields"]).contains("\"ModRevision\" : 3\n"));
    let table = said(&cluster, &["-o", "table", "get", "--prefix", ""]);
    assert!(table.lines().any(|line| line.starts_with("| d   | 9")), "{table}");

    expect_exit(&output(&cluster, &["get", "nobody"]), 1);
    assert_eq!(said(&cluster, &["del", "--prefix", "d"]), "2\n");
    expect_exit(&output(&cluster, &["del", "d"]), 1);
    expect_exit(&output(&cluster, &["get"]), 2);
    expect_exit(&output(&cluster, &["get", ""]), 2);
    let refused = output(&cluster, &["get", "--rev", "99", "d"]);
    expect_exit(&refused, 4);
    assert!(stderr(&refused).contains("required revision is a future revision"), "{}", stderr(&refused));
}

#[test]
fn a_dead_or_sleeping_member_delays_no_news_of_the_others() {
    let cluster = Cluster::up(3);
    let status = || output(&cluster, &["-o", "json", "status"]);
    let all: serde_json::Value = serde_json::from_str(&stdout(&status())).unwrap();
    assert_eq!((all["answering"].as_u64(), all["tolerates"].as_u64()), (Some(3), Some(1)), "{all}");
    cluster.ok(&["kill", "leader"]);
    wait("two of three that have a leader", || status().status.success().then_some(()));
    // No status takes longer than a second, and one that waits for the dead takes all of it. It takes 10 ms; the best of
    // five is not that of a busy moment.
    let timed = || {
        let begun = Instant::now();
        (output(&cluster, &["status"]), begun.elapsed())
    };
    let (seen, took) = std::iter::repeat_with(timed).take(5).min_by_key(|(_, took)| *took).unwrap();
    expect_exit(&seen, 0);
    let text = stdout(&seen);
    assert!(text.contains("connection refused"), "{text}");
    assert!(text.ends_with("2 of 3 voters answer; the next failure stops writes\n"), "{text}");
    assert!(took < Duration::from_secs(1), "{took:?}");

    // One that sleeps keeps its port open: what is asked of the others does not wait for it.
    let follower = cluster.follower();
    cluster.ok(&["pause", &follower]);
    let alone = output(&cluster, &["status"]);
    expect_exit(&alone, 3);
    assert!(stdout(&alone).contains("no answer in "), "{}", stdout(&alone));
    assert!(stdout(&alone).ends_with("no quorum: 1 of 3 voters answers; writes wait until 1 more returns\n"));
    let waited = output(&cluster, &["--deadline", "300ms", "put", "a", "1"]);
    expect_exit(&waited, 3);
    expect_exit(&output(&cluster, &["get", "--consistency", "s", "--prefix", ""]), 0);
    cluster.ok(&["resume", &follower]);
}

#[test]
fn nobody_there_is_exit_code_3() {
    let nobody =
        jangada().args(["ctl", "--endpoints", "127.0.0.1:1", "--deadline", "0.2", "get", "a"]).output();
    let nobody = nobody.unwrap();
    expect_exit(&nobody, 3);
    assert!(stderr(&nobody).contains("127.0.0.1:1: connection refused; trying again"), "{}", stderr(&nobody));
    let status = jangada().args(["ctl", "--endpoints", "127.0.0.1:1", "status"]).output().unwrap();
    expect_exit(&status, 3);
    let tls = jangada().args(["ctl", "--endpoints", "https://127.0.0.1:1", "status"]).output().unwrap();
    expect_exit(&tls, 2);
}

#[test]
fn a_watch_goes_on_at_another_member_and_misses_nothing() {
    let cluster = Cluster::up(3);
    let mut command = ctl(&cluster);
    command.args(["watch", "--prefix", "k", "--rev", "1", "-o", "json"]);
    let mut watch =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(watch.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut heard = Vec::new();
    for number in 0..30 {
        if number % 10 == 5 {
            // Whoever tells the watch is among them.
            cluster.ok(&["restart", &format!("n{}", number / 10 + 1)]);
        }
        let value = number.to_string();
        wait("a put", || output(&cluster, &["put", "k", &value]).status.success().then_some(()));
        // A put whose outcome was unknown may have been done, too.
        let is_told = told.by_ref().any(|line| {
            let told: serde_json::Value = serde_json::from_str(&line).unwrap();
            for event in told["Events"].as_array().unwrap() {
                heard.push(event["kv"]["mod_revision"].as_u64().unwrap());
            }
            said(&cluster, &["get", "k", "--rev", &heard[heard.len() - 1].to_string(), "-o", "raw"]) == value
        });
        assert!(is_told, "{heard:?}");
    }
    watch.kill().unwrap();
    let mut words = String::new();
    watch.stderr.take().unwrap().read_to_string(&mut words).unwrap();
    watch.wait().unwrap();
    assert!(heard.windows(2).all(|pair| pair[0] < pair[1]), "in order, nothing twice: {heard:?}");
    assert!(words.contains(" tells from revision "), "{words}");
    let few = said(&cluster, &["watch", "k", "--rev", "1", "--events", "2"]);
    assert_eq!(few, "PUT\nk\n0\nPUT\nk\n1\n", "no more than are wanted");
}

#[test]
fn each_endpoint_answers_by_itself() {
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    let health = said(&cluster, &["endpoint", "health"]);
    assert_eq!(health.lines().filter(|line| line.contains(" is healthy: ")).count(), 3, "{health}");
    let mut through_one = jangada();
    through_one.args(["ctl", "--endpoints", &cluster.address(1), "endpoint", "status", "--cluster"]);
    let status = stdout(&through_one.output().unwrap());
    assert_eq!(status.lines().count(), 3, "{status}");
    assert_eq!(status.lines().filter(|line| line.contains(", true, false, ")).count(), 1, "{status}");
    let hash = || {
        let hashes = output(&cluster, &["endpoint", "hashkv", "--rev", "2"]);
        hashes.status.success().then(|| stdout(&hashes))
    };
    let hashes = wait("members that have applied it", hash);
    let numbers: Vec<&str> = hashes.lines().filter_map(|line| line.split(", ").nth(1)).collect();
    assert!(numbers.len() == 3 && numbers.iter().all(|number| *number == numbers[0]), "{hashes}");
    cluster.ok(&["kill", &cluster.follower()]);
    let sick = output(&cluster, &["endpoint", "health"]);
    expect_exit(&sick, 1);
    let future = output(&cluster, &["endpoint", "hashkv", "--rev", "9999"]);
    expect_exit(&future, 4);
    assert!(stderr(&future).contains("future revision"), "{}", stderr(&future));
    assert!(stdout(&sick).contains("is unhealthy: connection refused"), "{}", stdout(&sick));
}

#[test]
fn leases_are_granted_kept_alive_and_ended() {
    let cluster = Cluster::up(3);
    let granted = said(&cluster, &["lease", "grant", "600"]);
    let id = granted.split(' ').nth(1).unwrap().to_owned();
    assert_eq!(granted, format!("lease {id} granted with TTL(600s)\n"));
    assert_eq!(said(&cluster, &["put", "--lease", &id, "d", "8"]), "OK\n");
    let left = said(&cluster, &["lease", "timetolive", "--keys", &id]);
    assert!(left.starts_with(&format!("lease {id} granted with TTL(600s), remaining(")), "{left}");
    assert!(left.ends_with("attached keys([d])\n"), "{left}");
    let kept = said(&cluster, &["lease", "keep-alive", "--once", &id]);
    assert_eq!(kept, format!("lease {id} keepalived with TTL(600)\n"));
    assert_eq!(said(&cluster, &["lease", "list"]), format!("found 1 leases\n{id}\n"));
    assert_eq!(said(&cluster, &["lease", "revoke", &id]), format!("lease {id} revoked\n"));
    expect_exit(&output(&cluster, &["lease", "revoke", &id]), 1);
    expect_exit(&output(&cluster, &["lease", "timetolive", &id]), 1);
    expect_exit(&output(&cluster, &["lease", "keep-alive", &id]), 1);
    expect_exit(&output(&cluster, &["get", "d"]), 1);
}

/// Whoever holds the lock `L`, until it is interrupted.
fn holder(cluster: &Cluster) -> Child {
    let mut holder = ctl(cluster);
    let mut holder = holder.args(["lock", "L"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("L/"), "{line}");
    holder
}

fn interrupt(process: &Child) {
    let pid = rustix::process::Pid::from_child(process);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
}

#[test]
fn a_lock_is_held_while_a_command_runs_with_its_fencing_token() {
    let cluster = Cluster::up(3);
    let shell = |script: &str| output(&cluster, &["lock", "L", "--", "sh", "-c", script]);
    let first = shell("echo $JANGADA_FENCING_TOKEN $JANGADA_LOCK_KEY; exit 7");
    expect_exit(&first, 7);
    let told = stdout(&first);
    let (token, key) = told.trim().split_once(' ').unwrap();
    assert!(key.starts_with("L/"), "{told}");
    let second = stdout(&shell("echo $JANGADA_FENCING_TOKEN"));
    assert!(second.trim().parse::<u64>().unwrap() > token.parse::<u64>().unwrap(), "{second} after {token}");
    assert_eq!(said(&cluster, &["lease", "list"]), "found 0 leases\n", "nothing is left behind");

    // Who waits has the lock when the holder ends, and not before.
    let mut holder = holder(&cluster);
    let mut waiting = ctl(&cluster);
    let waiting = waiting.args(["lock", "L", "echo", "mine"]).stdout(Stdio::piped()).spawn().unwrap();
    let count = || said(&cluster, &["get", "--prefix", "L/", "--count-only"]);
    wait("two in the queue", || (count() == "2\n").then_some(()));
    interrupt(&holder);
    assert_eq!(holder.wait().unwrap().code(), Some(0));
    assert_eq!(stdout(&waiting.wait_with_output().unwrap()), "mine\n");
}

#[test]
fn a_place_in_the_queue_is_kept_however_long_the_wait() {
    let cluster = Cluster::up(3);
    let mut holder = holder(&cluster);
    let mut waiting = ctl(&cluster);
    waiting.args(["--deadline", "2s", "lock", "L", "sh", "-c", "echo $JANGADA_LOCK_KEY"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let keys = || said(&cluster, &["get", "--prefix", "L/", "--keys-only", "--sort-by", "CREATE"]);
    let second = wait("two in the queue", || {
        let keys = keys();
        keys.lines().filter(|key| !key.is_empty()).nth(1).map(str::to_owned)
    });
    // Longer than a question is waited for without a greeting, and than the deadline.
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(4) {
        assert!(keys().lines().any(|key| key == second), "the first key is still there");
    }
    interrupt(&holder);
    assert_eq!(holder.wait().unwrap().code(), Some(0));
    let ended = waiting.wait_with_output().unwrap();
    assert_eq!(
        (stdout(&ended).trim(), stderr(&ended).as_str()),
        (second.as_str(), ""),
        "without another attempt"
    );
}

#[test]
fn a_lost_place_in_the_queue_is_followed_by_one_with_another_lease() {
    let cluster = Cluster::up(3);
    let mut holder = holder(&cluster);
    let mut waiting = ctl(&cluster);
    waiting.args(["--deadline", "20s", "lock", "L", "sh", "-c", "echo $JANGADA_LOCK_KEY"]);
    let waiting = waiting.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let second = || {
        let keys = output(&cluster, &["get", "--prefix", "L/", "--keys-only", "--sort-by", "CREATE"]);
        stdout(&keys).lines().filter(|key| !key.is_empty()).nth(1).map(str::to_owned)
    };
    let first_place = wait("two in the queue", second);
    // Whoever the place was taken at is among them.
    for member in ["n1", "n2", "n3"] {
        cluster.ok(&["restart", member]);
    }
    wait("another place", || second().filter(|key| *key != first_place));
    interrupt(&holder);
    assert_eq!(holder.wait().unwrap().code(), Some(0));
    let ended = waiting.wait_with_output().unwrap();
    expect_exit(&ended, 0);
    assert!(stderr(&ended).contains("the place in the queue is gone; trying again"), "{}", stderr(&ended));
    assert_ne!(stdout(&ended).trim(), first_place);
    assert_eq!(said(&cluster, &["lease", "list"]), "found 0 leases\n", "nothing is left behind");
}

#[test]
fn a_command_under_a_lock_ends_with_the_lease_whatever_the_deadline() {
    let cluster = Cluster::up(3);
    let mut holder = ctl(&cluster);
    holder.args(["--deadline", "60s", "lock", "--ttl", "3", "L", "--", "sh", "-c"]);
    holder.arg("trap 'echo asked to end; exit' TERM; echo holds; while :; do sleep 0.1; done");
    let mut holder = holder.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(holder.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(told.next().as_deref(), Some("holds"));
    let begun = Instant::now();
    for member in ["n1", "n2", "n3"] {
        cluster.ok(&["pause", member]);
    }
    assert_eq!(told.next().as_deref(), Some("asked to end"));
    // Three seconds and what a busy machine takes; the call that keeps it alive may take sixty.
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    for member in ["n1", "n2", "n3"] {
        cluster.ok(&["resume", member]);
    }
    expect_exit(&holder.wait_with_output().unwrap(), 1);
}

#[test]
fn an_election_has_one_leader_after_the_other() {
    let cluster = Cluster::up(3);
    let stand = |proposal: &str| {
        let mut candidate = ctl(&cluster);
        candidate.args(["elect", "E", proposal]).stdout(Stdio::piped()).spawn().unwrap()
    };
    let mut first = stand("one");
    let mut told = BufReader::new(first.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.next().unwrap().starts_with("E/"));
    assert_eq!(told.next().unwrap(), "one");
    let mut listening = ctl(&cluster);
    let mut listening =
        listening.args(["elect", "--listen", "E", "-o", "raw"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut heard = listening.stdout.take().unwrap();
    let mut three = [0; 3];
    heard.read_exact(&mut three).unwrap();
    assert_eq!(&three, b"one");
    let mut second = stand("two");
    let pid = rustix::process::Pid::from_child(&first);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(0));
    heard.read_exact(&mut three).unwrap();
    assert_eq!(&three, b"two");
    for child in [&mut second, &mut listening] {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn a_txn_is_read_from_stdin() {
    let cluster = Cluster::up(1);
    assert_eq!(said(&cluster, &["put", "d", "9"]), "OK\n");
    let text = "value(\"d\") = \"9\"\n\nput d 11\nput dd 10\nget dd\n\nget d\n\n";
    let done = typed(&cluster, &["txn"], text);
    expect_exit(&done, 0);
    assert_eq!(stdout(&done), "SUCCESS\n\nOK\n\nOK\n\ndd\n10\n");
    let not_done = typed(&cluster, &["txn"], text);
    expect_exit(&not_done, 1);
    assert_eq!(stdout(&not_done), "FAILURE\n\nd\n11\n");
    let wrong = typed(&cluster, &["txn"], "size(\"d\") = \"9\"\n");
    expect_exit(&wrong, 2);
    assert!(stderr(&wrong).contains("what can be compared is"), "{}", stderr(&wrong));
}

#[test]
fn members_alarms_and_the_leader_are_looked_after() {
    let cluster = Cluster::up(3);
    let members = said(&cluster, &["member", "list"]);
    assert_eq!(members.lines().filter(|line| line.contains(", started, n")).count(), 3, "{members}");
    let other = cluster.follower();
    let moved = said(&cluster, &["move-leader", &other]);
    assert!(moved.starts_with("Leadership transferred from "), "{moved}");
    wait("the other leader", || (cluster.leader() == other).then_some(()));
    let again = said(&cluster, &["move-leader", &other]);
    assert!(
        again.starts_with(&format!("{other} (")) && again.ends_with(") leads already; nothing was done\n")
    );
    expect_exit(&output(&cluster, &["move-leader", "nobody"]), 1);
    expect_exit(&output(&cluster, &["member", "remove", "99"]), 1);
    assert_eq!(said(&cluster, &["alarm", "list"]), "");
    assert_eq!(said(&cluster, &["alarm", "disarm"]), "");
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    assert_eq!(said(&cluster, &["compaction", "2"]), "compacted revision 2\n");
    let again = output(&cluster, &["compaction", "2"]);
    expect_exit(&again, 4);
    assert!(stderr(&again).contains("has been compacted"), "{}", stderr(&again));
    assert_eq!(said(&cluster, &["defrag"]).lines().count(), 3);
    let removed = said(&cluster, &["member", "remove", &cluster.follower()]);
    assert!(removed.contains(" removed from cluster "), "{removed}");
}

/// `jangada ctl snapshot restore` for one of `count` members, whose data is `dir/NAME`.
fn restore(file: &Path, dir: &Path, name: &str, members: &str) -> Output {
    let mut command = jangada();
    command.args(["ctl", "snapshot", "restore"]).arg(file).args([
        "--name",
        name,
        "--initial-cluster",
        members,
    ]);
    command.arg("--data-dir").arg(dir.join(name)).output().unwrap()
}

/// Three servers on directories that were restored, told where each other is.
fn serve_restored(dir: &Path, base: u16) -> Vec<Guarded> {
    let peers: Vec<String> = (1..=3).map(|n| format!("n{n}=127.0.0.1:{}", base + 2 * (n - 1) + 1)).collect();
    let serve = |number: u16| {
        let name = format!("n{number}");
        let more = ["--name", &name, "--peers", &peers.join(",")];
        Guarded::serve(&dir.join(&name), base + 2 * (number - 1), &more)
    };
    (1..=3).map(serve).collect()
}

/// `jangada ctl` with three servers from `base` on.
fn at(base: u16, arguments: &[&str]) -> Output {
    let endpoints: Vec<String> = (0..3).map(|n| format!("127.0.0.1:{}", base + 2 * n)).collect();
    jangada()
        .args(["ctl", "--endpoints", &endpoints.join(","), "--deadline", "20s"])
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn a_cluster_begins_anew_with_the_keys_of_a_snapshot() {
    let cluster = Cluster::up(1);
    for number in 0..200 {
        expect_exit(&output(&cluster, &["put", &format!("k{number:03}"), &"v".repeat(number)]), 0);
    }
    assert_eq!(said(&cluster, &["put", "k000", "again"]), "OK\n");
    assert_eq!(said(&cluster, &["del", "k007"]), "1\n");
    let file = cluster.data().join("saved.db");
    let saved = output(&cluster, &["snapshot", "save", file.to_str().unwrap()]);
    expect_exit(&saved, 0);
    let status = output(&cluster, &["-o", "json", "snapshot", "status", file.to_str().unwrap()]);
    let status: serde_json::Value = serde_json::from_str(&stdout(&status)).unwrap();
    assert_eq!(
        (status["storeRevision"].as_u64(), status["keys"].as_u64()),
        (Some(203), Some(199)),
        "{status}"
    );
    if installed("etcdctl") {
        let mut theirs = Command::new("etcdctl");
        theirs.env("ETCDCTL_API", "3").args(["snapshot", "status", file.to_str().unwrap(), "-w", "json"]);
        let theirs: serde_json::Value = serde_json::from_str(&stdout(&theirs.output().unwrap())).unwrap();
        // The revision is that of the newest key, though the newest of all was a deletion.
        for part in ["hash", "revision", "totalKey", "totalSize"] {
            assert_eq!(theirs[part], status[part], "{part}");
        }
    }

    let (dir, base) = (tempfile::tempdir().unwrap(), ports(6));
    let members: Vec<String> =
        (1..=3).map(|n| format!("n{n}=http://127.0.0.1:{}", base + 2 * (n - 1) + 1)).collect();
    for name in ["n1", "n2", "n3"] {
        let restored = restore(&file, dir.path(), name, &members.join(","));
        expect_exit(&restored, 0);
        assert!(
            stdout(&restored).starts_with("199 keys at revision 203 restored into "),
            "{}",
            stdout(&restored)
        );
    }
    let twice = restore(&file, dir.path(), "n1", &members.join(","));
    expect_exit(&twice, 4);
    assert!(stderr(&twice).contains("is not empty"), "{}", stderr(&twice));

    let servers = serve_restored(dir.path(), base);
    let all = || {
        let got = at(base, &["get", "--prefix", "k", "--count-only"]);
        got.status.success().then(|| stdout(&got))
    };
    assert_eq!(wait("three servers with the keys", all), "199\n");
    let fields = stdout(&at(base, &["get", "k000", "-o", "fields"]));
    for line in ["\"Revision\" : 203", "\"CreateRevision\" : 2", "\"ModRevision\" : 202", "\"Version\" : 2"] {
        assert!(fields.contains(line), "{line} is not in\n{fields}");
    }
    expect_exit(&at(base, &["put", "k007", "back"]), 0);
    wait("all three, under the addresses that they have", || {
        let status = at(base, &["status"]);
        stdout(&status).contains("3 of 3 voters answer").then_some(())
    });
    // The three have one history: what is told of one is true of all.
    let hashes = stdout(&wait("hashes of all", || {
        let hashes = at(base, &["endpoint", "hashkv", "--rev", "204"]);
        hashes.status.success().then_some(hashes)
    }));
    let hashes: std::collections::BTreeSet<&str> =
        hashes.lines().filter_map(|line| line.split(", ").nth(1)).collect();
    assert_eq!(hashes.len(), 1, "{hashes:?}");
    drop(servers);
    // And it lasts.
    let servers = serve_restored(dir.path(), base);
    let back = || Some(at(base, &["get", "k007", "-o", "raw"])).filter(|got| got.status.success());
    assert_eq!(stdout(&wait("the same servers", back)), "back");
    drop(servers);
}

/// What a server answers to a line in Redis's words.
fn typed_to_redis(address: &str, line: &str) -> String {
    let mut connection = std::net::TcpStream::connect(address).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    let bulks: String = words.iter().map(|word| format!("${}\r\n{word}\r\n", word.len())).collect();
    connection.write_all(format!("*{}\r\n{bulks}", words.len()).as_bytes()).unwrap();
    let mut answer = String::new();
    BufReader::new(connection).read_line(&mut answer).unwrap();
    answer
}

#[test]
fn a_snapshot_says_what_is_not_restored() {
    let cluster = Cluster::up(1);
    assert_eq!(said(&cluster, &["put", "stays", "1"]), "OK\n");
    assert_eq!(typed_to_redis(&cluster.address(1), "SET ends 1 EX 600"), "+OK\r\n");
    assert_eq!(typed_to_redis(&cluster.address(1), "SET lasts 1 EX 600"), "+OK\r\n");
    assert_eq!(typed_to_redis(&cluster.address(1), "PERSIST lasts"), ":1\r\n");
    let lease = said(&cluster, &["lease", "grant", "600"]);
    assert_eq!(said(&cluster, &["put", "leased", "1", "--lease", lease.split(' ').nth(1).unwrap()]), "OK\n");
    assert_eq!(said(&cluster, &["user", "add", "root:secret"]), "User root created\n");
    assert_eq!(said(&cluster, &["auth", "enable"]), "Authentication Enabled\n");
    let file = cluster.data().join("saved.db");
    let name = file.to_str().unwrap();
    said(&cluster, &["--user", "root:secret", "snapshot", "save", name]);
    let status = said(&cluster, &["-o", "json", "snapshot", "status", name]);
    let status: serde_json::Value = serde_json::from_str(&status).unwrap();
    assert_eq!(status["keys"].as_u64(), Some(4), "{status}");

    let members = "n1=http://127.0.0.1:1";
    let refused = restore(&file, cluster.dir.path(), "n1", members);
    expect_exit(&refused, 4);
    assert!(stderr(&refused).contains("--without-users"), "{}", stderr(&refused));
    let mut open = jangada();
    open.args(["ctl", "snapshot", "restore", name, "--without-users", "--name", "n1"]);
    open.args(["--initial-cluster", members, "--data-dir"]).arg(cluster.dir.path().join("n1"));
    let restored = open.output().unwrap();
    expect_exit(&restored, 0);
    assert!(stdout(&restored).starts_with("2 keys at revision "), "{}", stdout(&restored));
    for left_out in ["1 keys were under leases", "1 keys had deadlines of their own"] {
        assert!(stderr(&restored).contains(left_out), "{}", stderr(&restored));
    }
    if installed("etcd") && installed("etcdctl") {
        let theirs = cluster.dir.path().join("theirs");
        let mut restore = Command::new("etcdctl");
        restore.env("ETCDCTL_API", "3").args(["snapshot", "restore", name, "--data-dir"]).arg(&theirs);
        expect_exit(&restore.output().unwrap(), 0);
        let base = ports(2);
        let url = |port: u16| format!("http://127.0.0.1:{port}");
        let mut etcd = Command::new("etcd");
        etcd.arg("--data-dir").arg(&theirs).args(["--listen-client-urls", &url(base)]);
        etcd.args(["--advertise-client-urls", &url(base), "--listen-peer-urls", &url(base + 1)]);
        let _etcd = Guarded::spawn(&mut etcd);
        let all = || {
            let got = at(base, &["get", "--prefix", "", "--count-only"]);
            got.status.success().then(|| stdout(&got))
        };
        assert_eq!(wait("etcd with all keys and without users", all), "4\n");
    }
}

#[test]
fn a_damaged_snapshot_is_refused() {
    let cluster = Cluster::up(1);
    assert_eq!(said(&cluster, &["put", "a", "1"]), "OK\n");
    let file = cluster.data().join("saved.db");
    expect_exit(&output(&cluster, &["snapshot", "save", file.to_str().unwrap()]), 0);
    let whole = std::fs::read(&file).unwrap();
    let mut wrong = whole.clone();
    wrong[9_000] ^= 1;
    for (content, why) in
        [(&wrong[..], "it is damaged"), (&whole[..whole.len() - 5], "cut short"), (&[], "cut short")]
    {
        std::fs::write(&file, content).unwrap();
        expect_exit(&output(&cluster, &["snapshot", "status", file.to_str().unwrap()]), 5);
        let refused = restore(&file, cluster.dir.path(), "n1", "n1=http://127.0.0.1:1");
        expect_exit(&refused, 5);
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
        assert!(!cluster.dir.path().join("n1").exists(), "nothing was made of it");
    }
}

#[test]
fn a_real_etcd_understands_it_and_its_snapshots_are_understood() {
    if !installed("etcd") {
        return;
    }
    let (dir, base) = (tempfile::tempdir().unwrap(), ports(8));
    let url = |port: u16| format!("http://127.0.0.1:{port}");
    let mut etcd = Command::new("etcd");
    etcd.arg("--data-dir").arg(dir.path().join("etcd")).args(["--listen-client-urls", &url(base + 6)]);
    etcd.args(["--advertise-client-urls", &url(base + 6), "--listen-peer-urls", &url(base + 7)]);
    etcd.args([
        "--initial-advertise-peer-urls",
        &url(base + 7),
        "--initial-cluster",
        &format!("default={}", url(base + 7)),
    ]);
    let _etcd = Guarded::spawn(&mut etcd);
    let ask = |arguments: &[&str]| {
        let endpoint = format!("127.0.0.1:{}", base + 6);
        jangada().args(["ctl", "--endpoints", &endpoint]).args(arguments).output().unwrap()
    };
    let told = |arguments: &[&str]| {
        let output = ask(arguments);
        expect_exit(&output, 0);
        stdout(&output)
    };
    wait("etcd", || ask(&["put", "a", "1"]).status.success().then_some(()));
    assert_eq!(told(&["put", "a", "2"]), "OK\n");
    assert_eq!(told(&["put", "b", "1"]), "OK\n");
    assert_eq!(told(&["get", "a"]), "a\n2\n");
    assert_eq!(told(&["del", "b"]), "1\n");
    assert!(told(&["status"]).ends_with("1 of 1 voters answers; the next failure stops writes\n"));
    assert_eq!(told(&["watch", "a", "--rev", "2", "--events", "1"]), "PUT\na\n1\n");
    let token = told(&["lock", "L", "sh", "-c", "echo $JANGADA_FENCING_TOKEN"]);
    assert!(token.trim().parse::<u64>().unwrap() > 4, "{token}");
    let granted = told(&["lease", "grant", "600"]);
    assert_eq!(told(&["put", "--lease", granted.split(' ').nth(1).unwrap(), "leased", "1"]), "OK\n");
    assert!(told(&["endpoint", "health"]).contains("is healthy"));
    assert_eq!(told(&["alarm", "list"]), "");

    let file = dir.path().join("etcd.db");
    told(&["snapshot", "save", file.to_str().unwrap()]);
    let restored = restore(&file, dir.path(), "n1", &format!("n1=http://127.0.0.1:{}", base + 1));
    expect_exit(&restored, 0);
    assert!(stderr(&restored).contains("1 keys were under leases and are left out"), "{}", stderr(&restored));
    let peers = format!("n1=127.0.0.1:{}", base + 1);
    let _ours = Guarded::serve(&dir.path().join("n1"), base, &["--name", "n1", "--peers", &peers]);
    let got = || Some(at(base, &["get", "--prefix", ""])).filter(|got| got.status.success());
    assert_eq!(stdout(&wait("our server with etcd's keys", got)), "a\n2\n");
}

#[test]
fn users_do_what_their_roles_allow() {
    let cluster = Cluster::up(3);
    let run = |arguments: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        said(&cluster, &words)
    };
    let denied = |arguments: &str, why: &str| {
        let words: Vec<&str> = arguments.split(' ').collect();
        let refused = output(&cluster, &words);
        expect_exit(&refused, 4);
        assert!(stderr(&refused).contains(why), "{}", stderr(&refused));
    };
    assert_eq!(run("user add root:secret"), "User root created\n");
    expect_exit(&typed(&cluster, &["user", "add", "ana"], "word\n"), 0);
    assert_eq!(run("role add kitchen"), "Role kitchen created\n");
    assert_eq!(run("role grant-permission kitchen readwrite pan/ --prefix"), "Role kitchen updated\n");
    assert_eq!(run("user grant-role ana kitchen"), "Role kitchen is granted to user ana\n");
    assert_eq!(
        run("role get kitchen"),
        "Role kitchen\nKV Read:\n\trange [pan/, pan0)\nKV Write:\n\trange [pan/, pan0)\n"
    );
    assert_eq!(run("user get ana"), "User: ana\nRoles: kitchen\n");
    assert_eq!(run("user list"), "ana\nroot\n");
    assert_eq!(run("auth enable"), "Authentication Enabled\n");

    denied("put pan/a 1", "etcdserver: user name is empty");
    denied("--user ana:wrong put pan/a 1", "authentication failed, invalid user ID or password");
    assert_eq!(run("--user ana:word put pan/a 1"), "OK\n");
    denied("--user ana:word put knife 1", "etcdserver: permission denied");
    assert_eq!(run("--user root:secret put knife 1"), "OK\n");
    assert_eq!(run("--user ana:word get pan/a -o raw"), "1");
    let status = run("--user root:secret auth status");
    assert!(status.starts_with("Authentication Status: true\n"), "{status}");
    denied("endpoint hashkv", "user name is empty");
    assert_eq!(run("--user root:secret endpoint hashkv").lines().count(), 3);
    // Who looks after the members need not say who they are.
    assert!(run("status").ends_with("failures stop writes\n"));
    assert_eq!(run("--user root:secret user delete ana"), "User ana deleted\n");
    denied("--user ana:word get pan/a", "authentication failed, invalid user ID or password");
    assert_eq!(run("--user root:secret auth disable"), "Authentication Disabled\n");
    assert_eq!(run("get pan/a -o raw"), "1");
}

#[test]
fn what_was_refused_for_want_of_a_leader_is_done_when_there_is_one() {
    let cluster = Cluster::up(3);
    assert_eq!(said(&cluster, &["put", "d", "8"]), "OK\n");
    let leader = cluster.leader();
    let follower = cluster.follower();
    cluster.ok(&["kill", &leader]);
    cluster.ok(&["kill", &follower]);
    let mut put = ctl(&cluster);
    put.args(["--deadline", "30s", "put", "d", "9"]);
    let mut put = put.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(put.stderr.take().unwrap()).lines().map_while(Result::ok);
    assert!(told.any(|line| line.contains("; trying again")), "the trouble is told");
    cluster.ok(&["restart", &leader]);
    let at_last: Vec<String> = told.collect();
    let done = put.wait_with_output().unwrap();
    // It was either refused until there was a leader, or nobody can know: then it is said, and not done twice.
    match done.status.code() {
        Some(0) => {
            assert!(at_last.iter().any(|line| line.contains(" answered after ")), "{at_last:?}");
            assert_eq!(said(&cluster, &["get", "d", "-o", "fields"]).matches("\"Version\" : 2").count(), 1);
        }
        Some(3) => assert!(at_last.iter().any(|line| line.contains("outcome unknown")), "{at_last:?}"),
        other => panic!("{other:?}: {at_last:?}"),
    }
}
