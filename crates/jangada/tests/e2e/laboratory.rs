//! `jangada lab`: real servers in one process, driven by lines from a pipe or a script.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::examples::examples;
use crate::support::{Guarded, PATIENCE, ask, expect_exit, jangada, ports, stderr, stdout, wait};
use crate::wire::Reply;

/// A folder and ports of its own.
pub struct Place {
    pub dir: TempDir,
    pub base: u16,
}

impl Place {
    pub fn new() -> Place {
        Place { dir: tempfile::tempdir().unwrap(), base: ports(40) }
    }

    pub fn lab(&self, more: &[&str]) -> Command {
        let mut command = jangada();
        command.current_dir(self.dir.path()).args(["lab", "--ports", &self.base.to_string()]).args(more);
        command
    }

    pub fn piped(&self, text: &str, more: &[&str]) -> Output {
        let mut command = self.lab(more);
        let mut child = pipes(&mut command).spawn().unwrap();
        child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn disks(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.dir.path().join("lab-data")).into_iter().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn pipes(command: &mut Command) -> &mut Command {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped())
}

/// The lines of `text` that have this in them.
pub fn lines<'a>(text: &'a str, part: &str) -> Vec<&'a str> {
    text.lines().filter(|line| line.contains(part)).collect()
}

#[test]
fn the_examples_of_its_help() {
    let place = Place::new();
    std::fs::write(place.dir.path().join("session.txt"), "set d 8\nexpect answer OK\n").unwrap();
    for line in examples(&["lab"]) {
        let more: Vec<&str> = line[1..].iter().map(String::as_str).collect();
        expect_exit(&place.piped("", &more), 0);
    }
}

#[test]
fn a_killed_leader_is_replaced_and_nothing_is_lost() {
    let place = Place::new();
    let script = "set d 8\nmark\nlet old = leader\ncrash leader\nwait leader changed at most 20s\n\
                  get d\nexpect answer 8\nrestart old\nwait settled at most 20s\nexpect value d 8 everywhere\n";
    let output = place.piped(script, &[]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    assert!(lines(&out, "LEADER of term").len() >= 2, "{out}");
    assert!(lines(&out, "set d 8: OK   (index ")[0].contains("on disk at n"), "{out}");
    assert!(lines(&out, "get d: 8   (linearizable: ")[0].contains("am I still leader?"), "{out}");
    assert!(out.contains("power off") && out.contains("starts on the disk that it left"), "{out}");
    assert!(stderr(&output).contains("5 servers in this process"), "{}", stderr(&output));
    assert_eq!(place.disks(), [""; 0], "nothing is left behind");
}

/// What a recording of `jangada lab` says, line by line.
fn recording(place: &Place, file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(place.dir.path().join(file)).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_session_ends_with_a_timeline_in_which_no_arrow_points_back() {
    let place = Place::new();
    let script = "wait one leader at most 20s\nset d 8\nexpect answer OK\nmark\nlet old = leader\ncrash leader\n\
                  wait leader changed at most 20s\nwait one leader at most 20s\nget d\nexpect answer 8\n\
                  timeline last 60s to run.jsonl\ntimeline last 60s to run.txt\ntimeline last 1s\n";
    let output = place.piped(script, &[]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    assert!(lines(&out, "set d 8: OK").len() == 1 && lines(&out, "get d: 8").len() == 1, "{out}");
    // At the prompt: lanes, and arrows between them.
    assert!(out.contains("   t (ms)    n1") && out.contains("append"), "{out}");
    let picture = std::fs::read_to_string(place.dir.path().join("run.txt")).unwrap();
    for part in ["LEADER of term", "vote", "──append──", "ok", "is down", "✕"] {
        assert!(picture.contains(part), "{part}: {picture}");
    }
    let records = recording(&place, "run.jsonl");
    let mut sent: BTreeMap<(String, u64), (u64, usize)> = BTreeMap::new();
    let name = |value: &Value| value.as_str().unwrap().to_owned();
    let of =
        |event: &'static str| records.iter().enumerate().filter(move |(_, record)| record["event"] == event);
    for (place, record) in of("sent") {
        let message = (name(&record["node"]), record["sequence"].as_u64().unwrap());
        sent.insert(message, (record["time_ns"].as_u64().unwrap(), place));
    }
    let mut arrows = 0;
    for (place, record) in of("received") {
        let message = (name(&record["from"]), record["sequence"].as_u64().unwrap());
        let (left, before) = sent.get(&message).unwrap_or_else(|| panic!("nobody sent this: {record}"));
        assert!(record["time_ns"].as_u64().unwrap() >= *left && place > *before, "it points back: {record}");
        arrows += 1;
    }
    assert!(arrows > 20, "{arrows} messages of two elections and a write");
    let leaders: Vec<String> = of("role_changed")
        .filter(|(_, record)| record["role"] == "leader")
        .map(|(_, record)| name(&record["node"]))
        .collect();
    let crashed: Vec<String> = of("deed")
        .map(|(_, record)| format!("{} {}", name(&record["node"]), name(&record["what"])))
        .collect();
    let [.., old, new] = leaders.as_slice() else { panic!("{leaders:?}") };
    assert_ne!(old, new);
    assert_eq!(crashed, [format!("{old} crash")], "what was done is recorded, and nothing else");
}

#[test]
fn a_minority_decides_nothing_and_says_why() {
    let place = Place::new();
    let script = "servers 5\nwait leader at most 20s\npartition 1 2 | 3 4 5\nwait one leader at most 20s\n\
                  set a 1 at 1\nexpect not answer OK\nwait leader at most 20s\nset a 2 at 4\nexpect answer OK\n\
                  why 1\nstatus\nheal\nwait settled at most 20s\nexpect value a 2 everywhere\nexpect not absent a at 1\n";
    let output = place.piped(script, &[]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    // Whoever had led there may have appended it before it stepped down: then nobody can know.
    let answer = lines(&out, "set a 1: ")[0];
    assert!(answer.contains("no quorum: 2 of 5 voters") || answer.contains("outcome unknown: "), "{answer}");
    assert!(out.contains("cut: n1→n3"), "{out}");
    assert!(out.contains("set a 2: OK"), "{out}");
}

#[test]
fn what_is_not_as_expected_ends_with_1_and_an_unreadable_line_with_2() {
    let place = Place::new();
    let output = place.piped("wait leader at most 20s\nexpect no leader\nset d 8\n", &[]);
    expect_exit(&output, 1);
    assert!(stdout(&output).contains("it is not so"), "{}", stdout(&output));
    assert!(!stdout(&output).contains("set d 8"), "nothing more is done");
    let output = place.piped("crsh 2\n", &[]);
    expect_exit(&output, 2);
    let file = place.dir.path().join("bad.txt");
    std::fs::write(&file, "set d 8\ncrsh 2\n").unwrap();
    let output = place.piped("", &["--script", "bad.txt"]);
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("did you mean `crash`?"), "{}", stderr(&output));
    assert_eq!(stdout(&output), "", "a script is read before anything starts");
}

#[test]
fn bad_input_is_one_line_that_says_what_and_what_instead() {
    let place = Place::new();
    let script = "crash 1\ncrash 1\nrestart 2\ncrash 7\nadd 3\nadd 1\nresume 2\nlose many\nslow\nxyzzy\n\n   \n\
                  transfer 8\nget nothing at 1\nwhy 9\nlog 7\npartition 1 2\nset d 8\n";
    let output = place.piped(script, &[]);
    expect_exit(&output, 2);
    let out = stdout(&output);
    for says in [
        "n1 is down already: `restart 1`",
        "n2 runs already: `crash 2` it first",
        "there is no n7: there are n1 n2 n3 n4 n5; `add 7` would make one",
        "n3 is a member already: `remove 3` lets it go",
        "n1 is a member already: it is down, and `restart 1` brings it back",
        "n2 does not stand still: nothing to resume",
        "`many` is no share of messages: write `30%`",
        "a duration, such as `300ms`, is missing (usage: `slow DURATION`)",
        "`xyzzy` is no command: `help` lists them",
        "n1 does not run",
        "there is no n9: there are n1 n2 n3 n4 n5",
        "`|` is missing at the end (usage: `partition S.. | S..`)",
    ] {
        assert_eq!(lines(&out, says).len(), 1, "{says}\n{out}");
    }
    assert!(out.contains("set d 8: OK"), "it goes on all the same: {out}");
}

#[test]
fn the_numbered_menu_has_the_prototypes_words_and_not_its_bugs() {
    let place = Place::new();
    let script = "menu\n1 3\n2 k 4\n3 k\n3 none\n9\n4 0\n5 0\n6 1\n6 1\n7 1\n7 1\n11 3\n11 x\n12 x\n11 0\n12 3\n\n\
                  hello\n99\n6\n6 -1\n6 42\n1\n1 x\n1 -1\n1 0\n8\n9\n10\n1 3\n";
    let output = place.piped(script, &[]);
    expect_exit(&output, 1);
    let out = stdout(&output);
    for says in [
        "CLUSTER OF 3 PEERS CREATED !!!",
        "WRITE TO KEY k WITH VALUE 4 SUCCESSFUL",
        "READ KEY k VALUE 4",
        "KeyNotFound:none",
        "LEADER ID: ",
        "PEER 0 DISCONNECTED",
        "PEER 0 RECONNECTED",
        "PEER 1 CRASHED",
        "PEER 1 RESTARTED",
        "id 1 alive in restart peer",
        "Added ServerIDs: [3] to cluster",
        "Removed ServerIDs: [3] from cluster",
        "Wrong input",
        "Invalid Command",
        "peer id not passed",
        "invalid peer id passed: -1",
        "invalid server id 42 passed",
        "number of peers not passed",
        "err: invalid number of peers",
        "ALL SERVERS STOPPED AND RAFT SERVICE STOPPED",
        "raft cluster not created",
        "STOPPING EXECUTION, NO INPUTS WILL BE TAKEN FURTHER",
    ] {
        assert!(out.contains(says), "{says}\n{out}");
    }
    assert_eq!(lines(&out, "Invalid Server ID: x").len(), 2, "`11 x` and `12 x` do nothing: {out}");
    // `11 0` wipes nobody; and what to do instead is said in the menu's own numbers.
    assert!(out.contains("peer 0 is a member already: `12 0` lets it go"), "{out}");
    assert!(out.contains("peer 1 is down already: `7 1`"), "{out}");
    assert_eq!(lines(&out, "CREATED !!!").len(), 1, "nothing is taken after 10");
}

#[test]
fn a_saved_session_plays_as_a_script() {
    let place = Place::new();
    let script = "servers 3\nset a 1\ncrash 2\nset b 2\nrestart 2\nsave session.txt\n";
    expect_exit(&place.piped(script, &[]), 0);
    let saved = std::fs::read_to_string(place.dir.path().join("session.txt")).unwrap();
    assert!(saved.contains("servers 3\nset a 1\n") && saved.contains("crash 2\n"), "{saved}");
    let output = place.piped("", &["--script", "session.txt"]);
    expect_exit(&output, 0);
    assert!(stdout(&output).contains("set b 2: OK"), "{}", stdout(&output));
}

/// A laboratory that is left alone until the test is done with it.
fn open(place: &Place, more: &[&str]) -> Guarded {
    let mut command = place.lab(more);
    Guarded::spawn(command.stdin(Stdio::piped()))
}

#[test]
fn clients_join_in_and_sigterm_leaves_nothing_behind() {
    let place = Place::new();
    let mut lab = open(&place, &["--servers", "3"]);
    let address = |server: u16| format!("127.0.0.1:{}", place.base + server);
    let set = || match ask(&address(1), &["SET", "greeting", "hello"], PATIENCE) {
        Ok(Reply::Status(_)) => Some(()),
        Ok(_) | Err(_) => None,
    };
    wait("a write through n1", set);
    let get = || ask(&address(3), &["GET", "greeting"], PATIENCE).ok();
    assert_eq!(wait("a read through n3", get), Reply::Bulk(Some(b"hello".to_vec())));
    assert_eq!(place.disks(), ["lab.txt", "n1", "n2", "n3"]);
    lab.signal(Signal::TERM);
    assert_eq!(lab.exit_code(), Some(0), "{}", lab.said());
    assert!(lab.said().contains("SIGNAL RECEIVED"));
    assert!(!place.dir.path().join("lab-data").exists());
}

#[test]
fn ports_and_folders_of_others_are_left_alone() {
    let place = Place::new();
    let _taken = TcpListener::bind(("127.0.0.1", place.base + 2)).unwrap();
    std::fs::create_dir(place.dir.path().join("lab-data")).unwrap();
    std::fs::write(place.dir.path().join("lab-data/thesis.tex"), "x").unwrap();
    let output = place.piped("servers 1\nset d 8\nexpect answer OK\n", &["--keep"]);
    expect_exit(&output, 0);
    let said = stderr(&output);
    assert!(said.contains(&format!("this laboratory begins at {}", place.base + 20)), "{said}");
    assert!(stdout(&output).contains(&format!("n1 127.0.0.1:{}", place.base + 21)), "{}", stdout(&output));
    assert_eq!(place.disks(), ["thesis.tex"]);
    assert!(place.dir.path().join("lab-data-2/n1").exists(), "it was to be kept");
}

#[test]
fn whoever_keeps_the_disks_goes_on_with_them() {
    let place = Place::new();
    expect_exit(
        &place.piped("servers 3\nset d 8\nexpect answer OK\nwait settled at most 20s\n", &["--keep"]),
        0,
    );
    let output =
        place.piped("wait leader at most 20s\nget d\nexpect answer 8\nexpect members 1 2 3\n", &["--keep"]);
    expect_exit(&output, 0);
    assert!(stderr(&output).contains("goes on with the disks of the last time"), "{}", stderr(&output));
}

#[test]
fn what_one_laboratory_was_asked_to_keep_no_other_one_deletes() {
    let place = Place::new();
    let begins = "servers 3\nset d 8\nexpect answer OK\nwait settled at most 20s\n";
    expect_exit(&place.piped(begins, &["--keep"]), 0);
    let is_empty = "wait leader at most 20s\nget d\nexpect answer not found\n";
    let output = place.piped(is_empty, &[]);
    expect_exit(&output, 0);
    assert!(stderr(&output).contains("./lab-data has disks that are kept"), "{}", stderr(&output));
    assert!(!place.dir.path().join("lab-data-2").exists(), "nobody wants these");
    // Others than were kept are not begun with.
    let (ports, base) = ((place.base + 20).to_string(), place.base);
    for (more, says) in [
        (["--servers", "5"], "are those of a laboratory of 3 servers: without --servers".to_owned()),
        (["--ports", &ports], format!("`--ports {base}` goes on with them")),
    ] {
        let mut command = jangada();
        command.current_dir(place.dir.path()).args(["lab", "--keep"]).args(more);
        if more[0] != "--ports" {
            command.args(["--ports", &base.to_string()]);
        }
        let output = command.stdin(Stdio::null()).output().unwrap();
        assert!(stderr(&output).contains(&says), "{says}\n{}", stderr(&output));
        assert!(!output.status.success());
    }
    // Without a word about ports it finds its own; and whoever begins anew puts the disks aside.
    let mut command = jangada();
    command.current_dir(place.dir.path()).args(["lab", "--keep"]);
    let mut child = pipes(&mut command).spawn().unwrap();
    let anew = format!("wait leader at most 20s\nget d\nexpect answer 8\nservers 3\n{is_empty}");
    child.stdin.take().unwrap().write_all(anew.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    expect_exit(&output, 0);
    assert!(
        stdout(&output).contains("`--keep --data-dir ./lab-data-2` goes on with them"),
        "{}",
        stdout(&output)
    );
    let output = place
        .piped("wait leader at most 20s\nget d\nexpect answer 8\n", &["--keep", "--data-dir", "lab-data-2"]);
    expect_exit(&output, 0);
}

#[test]
fn the_menu_is_left_by_the_words_that_leave_the_laboratory() {
    let place = Place::new();
    for word in ["exit", "quit", "shutdown"] {
        let output = place.piped(&format!("menu\n{word}\nmenu\nset d 8\n"), &["--sim"]);
        expect_exit(&output, 0);
        assert!(!stdout(&output).contains("Wrong input") && !stdout(&output).contains("set d 8"));
    }
}

#[test]
fn a_message_is_told_by_its_number_in_its_senders_life() {
    let place = Place::new();
    let output = place.piped("watch messages\nwait leader\n", &["--sim"]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    assert!(out.contains(" #1 PreVote"), "{out}");
    assert!(!out.contains("#1099511627"), "{out}");
}

#[test]
fn options_that_a_world_has_no_use_for_are_refused() {
    let place = Place::new();
    for (more, says) in [
        (&["--sim", "--keep"][..], "cannot be used with '--keep'"),
        (&["--sim", "--data-dir", "x"], "cannot be used with '--data-dir"),
        (
            &["--seed", "8"],
            "real servers have no seed, only a made-up world has: `jangada lab --sim --seed 8`",
        ),
    ] {
        let output = place.piped("", more);
        expect_exit(&output, 2);
        assert!(stderr(&output).contains(says), "{}", stderr(&output));
    }
}

#[test]
fn slow_motion_shows_the_same() {
    let place = Place::new();
    let script = "wait leader\nset d 8\ncrash leader\nwait leader at most 2s\nrun 20ms\nshow roles\n";
    let slow = format!("speed 5\n{script}");
    assert_eq!(made_up(&place, script), made_up(&place, &slow));
    let output = place.piped("speed 2\nspeed fast\n", &["--servers", "1"]);
    expect_exit(&output, 2);
    let out = stdout(&output);
    assert!(out.contains("real time cannot be slowed") && out.contains("`fast` is no speed"), "{out}");
}

#[test]
fn members_come_and_go_and_leadership_is_handed_over() {
    let place = Place::new();
    let script = "servers 3\nset d 8\nadd 4 5\nexpect answer OK\nwait members 1 2 3 4 5 at most 20s\n\
                  wait value d 8 on 5 servers at most 20s\nlet new = follower\ntransfer new\nexpect answer OK\n\
                  wait leader new at most 20s\nwait settled at most 20s\nremove leader\nexpect answer OK\nwait leader at most 20s\n\
                  timeout follower\nwait leader at most 20s\nset d 9\nexpect answer OK\nlog leader\n";
    let output = place.piped(script, &[]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    assert!(out.contains("n4 starts") || out.contains("starts with an empty disk"), "{out}");
    assert!(lines(&out, r#"SET "d" "9""#)[0].contains("committed"), "{out}");
}

#[test]
fn weather_slows_and_loses_and_paused_servers_wake() {
    let place = Place::new();
    let script = "servers 3\nset a 1\nslow 20ms\nset a 2\nexpect answer OK\nstatus\nslow 0s\nlose 20%\n\
                  run 1s\nlose 0%\nwait leader at most 20s\nset a 3\nlet slept = leader\nmark\n\
                  pause slept\nwait leader changed at most 20s\nset a 4\nexpect answer OK\nresume slept\n\
                  wait role slept follower at most 20s\nwait settled at most 20s\nexpect value a 4 everywhere\n";
    let output = place.piped(script, &[]);
    let out = stdout(&output);
    assert!(out.contains("every message takes 20ms longer"), "{out}");
    assert!(out.contains("stands still") && out.contains("goes on"), "{out}");
    expect_exit(&output, 0);
}

#[test]
fn a_follower_returns_under_both_profiles() {
    let place = Place::new();
    let output = place.piped("scenario returning-follower\n", &[]);
    expect_exit(&output, 0);
    let out = stdout(&output);
    assert!(lines(&out, "is newer → Follower").len() == 1, "only the classic leader had to step down: {out}");
}

#[test]
fn the_script_of_a_path_that_is_not_there_is_told() {
    let output = jangada().args(["lab", "--script", "nowhere.txt"]).output().unwrap();
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("nowhere.txt") && !Path::new("nowhere.txt").exists());
}

/// What a made-up world tells of these lines.
fn made_up(place: &Place, script: &str) -> String {
    let output = place.piped(script, &["--sim", "--seed", "7"]);
    expect_exit(&output, 0);
    stdout(&output)
}

#[test]
fn a_made_up_world_is_the_same_each_time_and_can_be_travelled_through() {
    let place = Place::new();
    let script =
        "wait leader\nset d 8\nfork before\ncrash leader\nwait leader\nget d\nexpect answer 8\nshow roles\n";
    let told = made_up(&place, script);
    assert_eq!(told, made_up(&place, script), "the same lines, the same world, byte for byte");
    let went_on = lines(&told, "LEADER of term 2").first().map(|line| (*line).to_owned()).unwrap();

    // Back before the crash, nobody is down; forward again it happens as it happened.
    let travelled =
        format!("{script}goto before\nexpect not down leader\nshow roles\ncrash leader\nwait leader\n");
    let told = made_up(&place, &travelled);
    assert_eq!(lines(&told, &went_on).len(), 2, "{told}");
    assert!(told.contains("`goto before` comes back to +"), "{told}");

    // A fork keeps its name, and one without a name gets one that is free.
    let forked = format!("{script}fork before\nfork fork2\nfork\nfork 3\ngoto before\n");
    let output = place.piped(&forked, &["--sim", "--seed", "7"]);
    let told = stdout(&output);
    for says in [
        "there is a fork `before` already, which `goto before` comes back to: choose another name",
        "`goto fork3` comes back to",
        "`3` already means something: choose another name",
    ] {
        assert!(told.contains(says), "{says}\n{told}");
    }
    assert_eq!(lines(&told, "it is +").len(), 1, "{told}");

    // In the middle of an election, and step by step.
    let moment = went_on.split(' ').next().unwrap();
    let travelled =
        format!("{script}goto 10ms\nexpect no leader\ngoto {moment}\nback\nexpect no leader\nstep 3\n");
    let told = made_up(&place, &travelled);
    assert!(told.contains("it is +0.010"), "{told}");
    assert!(place.disks().is_empty(), "nothing of it touches a disk");
}

#[test]
fn time_travel_is_for_made_up_worlds_and_says_so() {
    let place = Place::new();
    let output = place.piped("servers 1\nback\nset d 8\nexpect answer OK\n", &[]);
    expect_exit(&output, 1);
    assert!(stdout(&output).contains("real time goes one way"), "{}", stdout(&output));
    let output = place.piped("goto nowhere\n", &["--sim"]);
    expect_exit(&output, 1);
    assert!(stdout(&output).contains("`nowhere` is neither a time"), "{}", stdout(&output));
}

/// A laboratory that is in the middle of this line, typed through a pipe that stays open.
fn in_the_middle_of(place: &Place, line: &str, more: &[&str]) -> (Guarded, std::process::ChildStdin) {
    let mut command = place.lab(more);
    let mut lab = Guarded::spawn(command.stdin(Stdio::piped()));
    let mut input = lab.child.stdin.take().unwrap();
    writeln!(input, "wait leader\nsave begun.txt\n{line}").unwrap();
    wait("a line that is under way", || place.dir.path().join("begun.txt").exists().then_some(()));
    (lab, input)
}

#[test]
fn a_made_up_world_that_is_to_run_for_ages_ends_when_it_is_told_to() {
    for (signal, line, code) in [
        (Signal::TERM, "goto 9999999s", 0),
        (Signal::INT, "always not value d 8 at 1 for 9999999s", 130),
        (Signal::HUP, "run 9999999s", 0),
    ] {
        let place = Place::new();
        let (mut lab, _input) = in_the_middle_of(&place, line, &["--sim"]);
        lab.signal(signal);
        assert_eq!(lab.exit_code(), Some(code), "{line}: {}", lab.said());
    }
}

#[test]
fn a_laboratory_whose_terminal_is_gone_tidies_up() {
    let place = Place::new();
    let (mut lab, _input) = in_the_middle_of(&place, "wait leader changed at most 600s", &[]);
    lab.signal(Signal::HUP);
    assert_eq!(lab.exit_code(), Some(0), "{}", lab.said());
    assert_eq!(place.disks(), [""; 0], "nothing is left behind");
}

#[test]
fn who_hears_nothing_any_more_is_told_nothing_more() {
    let place = Place::new();
    let mut command = place.lab(&["--sim"]);
    let mut child = pipes(&mut command).spawn().unwrap();
    let (mut input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    drop(output);
    // It ends though more could come: this pipe stays open.
    writeln!(input, "status\nstatus").unwrap();
    let status = wait("its end", || child.try_wait().unwrap());
    assert_eq!(status.code(), Some(1));
}

#[test]
fn values_cannot_steer_the_terminal() {
    let place = Place::new();
    let output = place.piped("set d \x1b[31mred\x07\nget d\nshow d\n\x1b[2J\n", &["--sim"]);
    let told = stdout(&output) + &stderr(&output);
    assert!(told.contains("\\u{1b}[31mred\\u{7}"), "{told}");
    assert!(!told.contains(['\x1b', '\x07']), "{told:?}");
}

#[test]
fn whatever_fails_in_a_script_or_a_pipe_is_named_by_its_line_and_its_command() {
    let place = Place::new();
    let script =
        "# a story\n\nwait leader\ncrash 1\ncrash 1\nback 0 0\nlesson check\nmenu\n99\nmenu\nexpect term 7\n";
    let without = script.replace("back 0 0\n", "\n");
    std::fs::write(place.dir.path().join("story.txt"), without).unwrap();
    let (piped, played) =
        (place.piped(script, &["--sim"]), place.piped("", &["--sim", "--script", "story.txt"]));
    for (output, name, all) in [(&piped, "stdin", true), (&played, "story.txt", false)] {
        expect_exit(output, 1);
        let out = stdout(output);
        for (says, always) in [
            (":5: crash 1: n1 is down already: `restart 1`", true),
            (":6: back 0 0: ", false),
            (":7: lesson check: no lesson is under way", true),
            (":9: 99: Invalid Command", true),
            (":11: expect term 7: it is not so\n", true),
        ] {
            assert_eq!(out.contains(&format!("\n{name}{says}")), all || always, "{name}{says}\n{out}");
        }
    }
}

#[test]
fn a_script_with_a_wrong_line_says_which_and_plays_nothing() {
    let place = Place::new();
    let script = place.dir.path().join("story.txt");
    std::fs::write(&script, "# a story\n\nset d 8\nfoo bar\n").unwrap();
    let output = place.piped("", &["--sim", "--script", "story.txt"]);
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("story.txt:4: foo bar: `foo` is no command"), "{}", stderr(&output));
    assert!(stdout(&output).is_empty(), "{}", stdout(&output));
}

#[test]
fn a_session_of_a_made_up_world_is_saved_as_one() {
    let place = Place::new();
    let saved = place.piped("wait leader\nset d 8\nsave s.txt\n", &["--sim"]);
    assert!(stdout(&saved).contains("`jangada lab --sim --script s.txt` plays them"), "{}", stdout(&saved));
    let text = std::fs::read_to_string(place.dir.path().join("s.txt")).unwrap();
    assert!(text.starts_with("# A session of `jangada lab --sim`"), "{text}");
    expect_exit(&place.piped("", &["--sim", "--script", "s.txt"]), 0);
}

#[test]
fn save_says_that_what_came_before_was_another_run() {
    let place = Place::new();
    let lines = "wait leader\nset a 1\nservers 3\nseed 36\nwait leader\nsave s.txt\n";
    let saved = stdout(&place.piped(lines, &["--sim"]));
    assert!(
        saved.contains("begin with the last `servers 3`, and what came before was another run"),
        "{saved}"
    );
    let text = std::fs::read_to_string(place.dir.path().join("s.txt")).unwrap();
    assert_eq!(text.matches("seed ").count(), 1, "{text}");
}

#[test]
fn before_time_begins_no_election_is_said_to_be_under_way() {
    let place = Place::new();
    let told = stdout(&place.piped("servers 3\nstatus\n", &["--sim"]));
    assert!(told.contains("nobody leads: no time has passed: `run 1s`"), "{told}");
}

#[test]
fn a_removed_server_is_no_member_as_soon_as_its_leader_knows() {
    let place = Place::new();
    let told = stdout(&place.piped("servers 3\nwait leader\nremove follower\nstatus\n", &["--sim"]));
    assert!(told.contains("no member"), "{told}");
}

#[test]
fn a_laboratory_has_no_json_and_says_what_has() {
    let place = Place::new();
    let output = place.piped("", &["-o", "json"]);
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("client -o json"), "{}", stderr(&output));
}
