//! How clients of all kinds are served.

use std::io::{Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::{Cluster, ask, expect_exit, installed, jangada, netcat, stderr, stdout};
use crate::wire::Reply;

#[test]
fn one_word_at_a_time_with_its_exit_codes() {
    let cluster = Cluster::up(3);
    let set = cluster.client(&["set", "d", "8"]);
    expect_exit(&set, 0);
    assert_eq!(stdout(&set), "OK\n");
    let get = cluster.client(&["get", "d"]);
    expect_exit(&get, 0);
    assert_eq!(stdout(&get), "8\n");
    expect_exit(&cluster.client(&["set", "words", "a@b", "-", "c d"]), 0);
    assert_eq!(stdout(&cluster.client(&["get", "words"])), "a@b - c d\n");

    let missing = cluster.client(&["get", "nothing"]);
    expect_exit(&missing, 1);
    assert_eq!((stdout(&missing), stderr(&missing)), (String::new(), String::new()));
    let json = cluster.client(&["-o", "json", "get", "nothing"]);
    expect_exit(&json, 1);
    assert_eq!(stdout(&json), "{\"key\":\"nothing\",\"value\":null}\n");

    expect_exit(&cluster.client(&["set", "show", "1"]), 0);
    assert_eq!(stdout(&cluster.client(&["show"])), "d 8\nshow 1\nwords a@b - c d\n");
    let deleted = cluster.client(&["delete", "d", "words", "show"]);
    expect_exit(&deleted, 0);
    assert_eq!(stdout(&deleted), "3 deleted\n");
    expect_exit(&cluster.client(&["delete", "d"]), 1);
    assert_eq!(stdout(&cluster.client(&["show"])), "");
}

#[test]
fn an_empty_value_is_not_a_missing_key() {
    let cluster = Cluster::up(1);
    expect_exit(&cluster.client(&["set", "empty", ""]), 0);
    let get = cluster.client(&["get", "empty"]);
    expect_exit(&get, 0);
    assert_eq!(stdout(&get), "\n");
}

#[test]
fn a_pipe_is_read_to_its_last_line_and_nothing_is_lost() {
    let cluster = Cluster::up(3);
    let mut lines = String::from("\n   \n");
    for number in 0..300 {
        lines.push_str(&format!("set k{number} value {number}\n"));
    }
    // The last line has no end.
    lines.push_str("fly\nget k299");
    let mut child = jangada()
        .args(["client", "--servers", &cluster.addresses(3).join(",")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("line 303"), "{}", stderr(&output));
    let printed = stdout(&output);
    assert_eq!(printed.lines().filter(|line| *line == "OK").count(), 300);
    assert_eq!(printed.lines().last(), Some("value 299"));
}

/// `jangada client` on a terminal of its own (from util-linux's `script`). Each text is typed once as many prompts
/// have been shown as stand before it.
fn at_a_terminal(cluster: &Cluster, typed: &[(usize, &str)]) -> (Option<i32>, String) {
    let home = tempfile::tempdir().unwrap();
    let line = format!("{} client --servers {}", env!("CARGO_BIN_EXE_jangada"), cluster.address(1));
    // Should it wait for ever, `timeout` ends it.
    let mut child = Command::new("timeout")
        .args(["60", "script", "-qec", &line, "/dev/null"])
        .envs([("TERM", "xterm"), ("NO_COLOR", "1")])
        .env("XDG_STATE_HOME", home.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut screen = child.stdout.take().unwrap();
    let mut keyboard = child.stdin.take().unwrap();
    let mut shown = Vec::new();
    let mut typed = typed.iter().peekable();
    let mut read = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&shown);
        // The line is drawn anew for each key; but bracketed paste is switched on once for each prompt.
        let prompts = text.matches("\x1b[?2004h").count();
        if let Some((_, keys)) = typed.next_if(|(after, _)| prompts >= *after) {
            keyboard.write_all(keys.as_bytes()).unwrap();
        }
        match screen.read(&mut read) {
            Ok(0) | Err(_) => break,
            Ok(count) => shown.extend_from_slice(&read[..count]),
        }
    }
    let status = child.wait().unwrap();
    let history = std::fs::read_to_string(home.path().join("jangada/client_history")).unwrap();
    assert!(history.contains("set hello"), "{history}");
    (status.code(), String::from_utf8_lossy(&shown).into_owned())
}

#[test]
fn at_a_prompt_everything_typed_ahead_is_carried_out() {
    if !installed("script") {
        return;
    }
    let cluster = Cluster::up(1);
    let typed = "set hello big world\r\r  \rget hello\rget nothing\rfly\rquit\r";
    let (exit, shown) = at_a_terminal(&cluster, &[(1, typed)]);
    assert_eq!(exit, Some(0), "{shown}");
    let lines: Vec<&str> = shown.lines().map(str::trim).collect();
    for words in ["OK", "big world", "(nil)"] {
        assert!(lines.contains(&words), "{words} is missing:\n{shown:?}");
    }
    assert!(shown.contains("\"fly\" is not a word here"), "{shown}");
    let prompt = format!("jangada[{}]>", cluster.address(1));
    assert!(shown.contains(&prompt), "{shown}");
    assert!(shown.contains("get hello"), "what is sent stands on the screen: {shown}");
    // Ctrl+C leaves, with the exit code of that signal.
    let (exit, shown) = at_a_terminal(&cluster, &[(1, "set hello 1\r"), (2, "\x03")]);
    assert_eq!(exit, Some(130), "{shown}");
}

#[test]
fn any_server_will_do_and_a_dead_one_is_passed_over() {
    let cluster = Cluster::up(3);
    for address in cluster.addresses(3) {
        let set = jangada().args(["client", "--servers", &address, "set", "via", &address]).output().unwrap();
        expect_exit(&set, 0);
        let get = jangada().args(["client", "--servers", &address, "get", "via"]).output().unwrap();
        assert_eq!(stdout(&get), format!("{address}\n"));
        // One address is enough to see all of the cluster.
        let mut status = jangada();
        status.args(["client", "--servers", &address, "-o", "json", "status"]);
        let status: serde_json::Value = serde_json::from_str(&stdout(&status.output().unwrap())).unwrap();
        assert_eq!(status["leader"], cluster.leader(), "{status}");
        assert_eq!(status["servers"].as_array().map(Vec::len), Some(3), "{status}");
    }
    cluster.ok(&["kill", "leader"]);
    let set = cluster.client(&["set", "after", "1"]);
    expect_exit(&set, 0);
    assert_eq!(stdout(&cluster.client(&["get", "after"])), "1\n");
}

#[test]
fn several_clients_at_once_do_not_disturb_one_another() {
    let cluster = Cluster::up(3);
    let children: Vec<_> = (0..6)
        .map(|number| {
            let mut child = jangada()
                .args(["client", "--servers", &cluster.addresses(3).join(",")])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            let lines: String = (0..50).map(|line| format!("set k{number}-{line} {line}\n")).collect();
            child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
            child
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        expect_exit(&output, 0);
        assert_eq!(stdout(&output).lines().count(), 50);
    }
    assert_eq!(ask(&cluster.address(1), &["DBSIZE"], Duration::from_secs(5)).unwrap(), Reply::Integer(300));
}

#[test]
fn plain_words_through_a_socket() {
    let cluster = Cluster::up(3);
    for address in cluster.addresses(3) {
        let answers = netcat(&address, "set d 8\nget d\ndelete d\nget d\n", 4);
        assert_eq!(answers.len(), 4, "{answers:?}");
        assert!(answers[1].contains('8'), "{answers:?}");
        assert!(!answers[3].contains('8'), "{answers:?}");
    }
}

#[test]
fn redis_cli_finds_itself_at_home() {
    if !installed("redis-cli") {
        return;
    }
    let cluster = Cluster::up(3);
    let redis = |arguments: &[&str]| {
        let port = cluster.base.to_string();
        let output = Command::new("redis-cli").args(["-p", &port]).args(arguments).output().unwrap();
        stdout(&output).trim().to_owned()
    };
    assert_eq!(redis(&["PING"]), "PONG");
    assert_eq!(redis(&["SET", "k", "some value"]), "OK");
    assert_eq!(redis(&["GET", "k"]), "some value");
    assert_eq!(redis(&["SET", "k", "other", "NX"]), "");
    assert_eq!(redis(&["INCR", "n"]), "1");
    assert_eq!(redis(&["MSET", "a", "1", "b", "2"]), "OK");
    assert_eq!(redis(&["MGET", "a", "b", "c"]), "1\n2");
    assert_eq!(redis(&["EXPIRE", "a", "100"]), "1");
    assert_eq!(redis(&["TTL", "k"]), "-1");
    assert_eq!(redis(&["DEL", "a", "b", "c"]), "2");
    assert_eq!(redis(&["EXISTS", "k"]), "1");
    assert!(redis(&["GET"]).contains("wrong number of arguments"));
    assert!(redis(&["NOSUCHCOMMAND"]).contains("unknown command"));
}

#[test]
fn nobody_there_is_told_with_exit_code_3() {
    let cluster = Cluster::place();
    let output = cluster.client(&["--timeout", "0.3", "get", "d"]);
    expect_exit(&output, 3);
    assert!(stderr(&output).contains("connection refused"), "{}", stderr(&output));
    expect_exit(&cluster.client(&["--timeout", "0.3", "status"]), 3);
}
