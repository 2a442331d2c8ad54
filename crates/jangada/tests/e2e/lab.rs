//! The university lab: five processes on localhost:3001 … 3005, one after the other in this one test, because the
//! lab's ports are fixed.

use std::net::TcpListener;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::support::{Guarded, PATIENCE, ask, expect_exit, http_get, jangada, stderr, stdout, wait};
use crate::wire::Reply;

/// Only one lab at a time. Its ports cannot be chosen: if somebody has them, this waits for a while and then says so,
/// as the processes of another lab would answer in place of ours.
pub fn the_lab() -> MutexGuard<'static, ()> {
    static LAB: Mutex<()> = Mutex::new(());
    let lab = LAB.lock().unwrap_or_else(PoisonError::into_inner);
    let deadline = Instant::now() + PATIENCE;
    let is_taken = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_err();
    loop {
        let taken: Vec<u16> = (3_001..=3_005).chain(4_001..=4_005).filter(is_taken).collect();
        if taken.is_empty() {
            return lab;
        }
        assert!(
            Instant::now() < deadline,
            "the lab's ports are fixed, and others listen on {taken:?}: stop them, then try again"
        );
        thread::sleep(Duration::from_millis(50));
    }
}

fn node(dir: &Path, id: u16, more: &[&str]) -> Guarded {
    let mut command = jangada();
    command.current_dir(dir).args(["node", "-id", &id.to_string()]).args(more);
    Guarded::spawn(&mut command)
}

fn status(id: u16) -> Option<serde_json::Value> {
    serde_json::from_str(&http_get(&format!("127.0.0.1:{}", 4_000 + id), "/status")?).ok()
}

/// Whoever leads among `ids`, with its term.
fn leader(ids: &[u16]) -> Option<(u16, u64)> {
    let all = ids.iter().filter_map(|id| Some((*id, status(*id)?)));
    let leaders = all.filter(|(_, status)| status["role"] == "leader");
    leaders.filter_map(|(id, status)| Some((id, status["term"].as_u64()?))).max_by_key(|(_, term)| *term)
}

#[test]
fn wrong_ids_are_refused_in_the_labs_words() {
    for (id, words) in
        [("6", "[MAIN] Invalid instance id."), ("-1", "Invalid instance id"), ("0", "Reserved")]
    {
        let output = jangada().args(["node", "-id", id]).output().unwrap();
        expect_exit(&output, 2);
        assert!(stderr(&output).contains(words), "{id}: {}", stderr(&output));
    }
}

/// Waits until a process has said these lines in this order, whatever stands between them, from `since` on; gives back
/// where the last of them ends.
fn says_in_order(node: &Guarded, since: usize, lines: &[String]) -> usize {
    let in_order = |said: &str| {
        let mut at = since;
        for line in lines {
            at += said.get(at..)?.find(line.as_str())? + line.len();
        }
        Some(at)
    };
    let deadline = Instant::now() + PATIENCE;
    loop {
        let said = node.said();
        if let Some(at) = in_order(&said) {
            return at;
        }
        assert!(Instant::now() < deadline, "never in this order: {lines:#?}\n{said}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// How one comes to lead in the reports: its timeout ends, it stands, it counts, it leads.
fn rises(id: u16, term: u64) -> Vec<String> {
    [
        "Election timeout.".to_owned(),
        "[CANDIDATE] Run Logic.".to_owned(),
        format!("[CANDIDATE] Running for term '{term}'."),
        format!("[CANDIDATE] Vote granted by 'localhost:300{id}'."),
        "[CANDIDATE] VoteCount:  1".to_owned(),
        "[CANDIDATE] Vote granted by 'localhost:300".to_owned(),
        "[CANDIDATE] VoteCount:  2".to_owned(),
        "[CANDIDATE] Vote granted by 'localhost:300".to_owned(),
        "[CANDIDATE] VoteCount:  3".to_owned(),
        "[CANDIDATE] Becoming leader.".to_owned(),
        "[LEADER] Run Logic.".to_owned(),
    ]
    .into()
}

/// How one hears of a leader: each of its heartbeats puts the election off.
fn follows(leader: u16) -> Vec<String> {
    vec![
        "[FOLLOWER] Reseting election timeout.".to_owned(),
        format!("[FOLLOWER] Accept AppendEntry from 'localhost:300{leader}'."),
    ]
}

/// `jangada timeline`, told the address of the first server alone.
fn timeline(dir: &Path, more: &[&str]) -> std::process::Output {
    let servers = ["timeline", "--servers", "127.0.0.1:4001"];
    jangada().current_dir(dir).args(servers).args(more).output().unwrap()
}

#[test]
fn lanes_that_nobody_knows_where_to_ask_for_are_told() {
    let _lab = the_lab();
    let dir = tempfile::tempdir().unwrap();
    let _alone = node(dir.path(), 1, &[]);
    wait("the one server", || status(1)?["membership"]["members"][4]["name"].as_str().map(|_| ()));
    let notes = wait("what it knows", || {
        let output = timeline(dir.path(), &[]);
        (output.status.code() == Some(0)).then(|| stderr(&output))
    });
    assert!(notes.contains("nothing of n2, n3, n4, n5"), "{notes}");
    assert!(notes.contains("--servers 127.0.0.1:4001,HOST:PORT"), "{notes}");
}

#[test]
fn five_processes_elect_lose_and_elect_again() {
    let _lab = the_lab();
    let dir = tempfile::tempdir().unwrap();
    let all = [1, 2, 3, 4, 5];
    let mut nodes: Vec<Option<Guarded>> = all.map(|id| Some(node(dir.path(), id, &["-seed", "lab"]))).into();
    let of = |id: u16| usize::from(id - 1);

    // S35: started one by one, one of them leads.
    let (first, first_term) = wait("a leader", || leader(&all));
    let leads = nodes[of(first)].as_ref().unwrap();
    // Figure 1: one rises, all others hear of it, those that started late among them.
    says_in_order(leads, 0, &rises(first, first_term));
    for id in all.into_iter().filter(|id| *id != first) {
        says_in_order(nodes[of(id)].as_ref().unwrap(), 0, &follows(first));
    }
    for words in [
        "[SERVER] Listening on 'localhost:300",
        "[SERVER] Accepting connections.",
        "[FOLLOWER] Run Logic.",
        "[CANDIDATE] Running for term",
        "[LEADER] Run Logic.",
    ] {
        leads.wait_said(words);
    }
    let written = ask(&format!("127.0.0.1:{}", 4_000 + first), &["SET", "d", "8"], Duration::from_secs(10));
    assert_eq!(written.unwrap(), Reply::Status("OK".into()));

    // One address is enough to see all five: they have told each other where their clients connect.
    wait("all five lanes", || {
        let output = timeline(dir.path(), &["-o", "json"]);
        let report: serde_json::Value = serde_json::from_str(&stdout(&output)).ok()?;
        (report["servers"] == serde_json::json!(["n1", "n2", "n3", "n4", "n5"])).then_some(())
    });

    // S36, S37: without it another one leads in a higher term; when it returns, it follows.
    let before: Vec<usize> =
        nodes.iter().map(|node| node.as_ref().map_or(0, |node| node.said().len())).collect();
    nodes[of(first)] = None;
    let rest: Vec<u16> = all.into_iter().filter(|id| *id != first).collect();
    let (second, second_term) = wait("another leader", || leader(&rest));
    assert!(second_term > first_term);
    // Figures 2 and 3: another rises in a later term, whose first words the others hear; the four go on.
    says_in_order(nodes[of(second)].as_ref().unwrap(), before[of(second)], &rises(second, second_term));
    for id in rest.iter().copied().filter(|id| *id != second) {
        says_in_order(nodes[of(id)].as_ref().unwrap(), before[of(id)], &follows(second));
    }
    nodes[of(first)] = Some(node(dir.path(), first, &[]));
    wait("the old leader to follow", || {
        let status = status(first)?;
        (status["role"] == "follower" && status["leader"] == format!("n{second}").as_str()).then_some(())
    });

    // Figure 2: it begins as a follower, and stays one.
    let returned = nodes[of(first)].as_ref().unwrap();
    let mut lines = vec!["[FOLLOWER] Run Logic.".to_owned()];
    lines.extend(follows(second));
    says_in_order(returned, 0, &lines);
    assert!(!returned.said().contains("[LEADER]"), "{}", returned.said());

    // S38: two leaders killed one after the other, three elect.
    let mut left: Vec<u16> = all.to_vec();
    for _ in 0..2 {
        let (id, _) = wait("a leader", || leader(&left));
        nodes[of(id)] = None;
        left.retain(|other| *other != id);
    }
    let (third, third_term) = wait("a leader of three", || leader(&left));
    // Figure 4: three of five votes are enough.
    let rose = says_in_order(nodes[of(third)].as_ref().unwrap(), 0, &rises(third, third_term));
    assert!(rose > 0);

    // S39: three killed, the two left never elect; their terms keep rising.
    nodes[of(third)] = None;
    left.retain(|other| *other != third);
    wait("terms that rise in vain", || {
        let terms = left.iter().filter_map(|id| status(*id)?["term"].as_u64()).max()?;
        (terms >= third_term + 2).then_some(())
    });
    assert_eq!(leader(&left), None);
    // Figure 5: they stand again and again, in later and later terms, and count to two.
    let stands = |term: u64| format!("[CANDIDATE] Running for term '{term}'.");
    let stood = |node: &Guarded| {
        let said = node.said();
        (third_term + 1..third_term + 20).filter(|term| said.contains(&stands(*term))).count()
    };
    let two = || left.iter().map(|id| nodes[of(*id)].as_ref().unwrap());
    wait("two that stand for one term after the other", || {
        (two().map(stood).sum::<usize>() >= 3).then_some(())
    });
    wait("two votes and no more", || {
        let after = |node: &Guarded| {
            node.said().rsplit_once(&stands(third_term + 1)).map(|(_, rest)| rest.to_owned())
        };
        two().filter_map(after).any(|rest| rest.contains("VoteCount:  2")).then_some(())
    });
    for node in two() {
        let said = node.said();
        let since = said.find(&stands(third_term + 1)).unwrap_or(said.len());
        assert!(!said[since..].contains("VoteCount:  3"), "{said}");
    }

    // S8, S9: Ctrl+C ends one, in the lab's words.
    let mut last = nodes[of(left[0])].take().unwrap();
    last.signal(Signal::INT);
    assert!(matches!(last.exit_code(), Some(0 | 130)), "{:?}", last.exit_code());
    assert!(last.said().contains("[SERVER] Ended accepting connections. Err: stopped"), "{}", last.said());
}
