//! `jangada sim script`: scenarios as text.

use std::io::Write;
use std::path::Path;
use std::process::{Output, Stdio};

use serde_json::Value;

use crate::examples::examples;
use crate::support::{expect_exit, jangada, stderr, stdout};

const FIGURE_8: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../../sim/scripts/paper/figure-8-overwritten.txt");

/// Plays a script that comes through a pipe.
fn play(text: &str, more: &[&str]) -> Output {
    let mut command = jangada();
    command.args(["sim", "script", "-"]).args(more);
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn the_examples_of_its_help() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::copy(FIGURE_8, dir.path().join("figure-8.txt")).unwrap();
    for line in examples(&["sim", "script"]) {
        let output = jangada().current_dir(dir.path()).args(&line).output().unwrap();
        expect_exit(&output, 0);
        assert_eq!(stderr(&output), "", "it went as the file says");
        if line.iter().any(|word| word == "json") {
            let report: Value = serde_json::from_str(&stdout(&output)).unwrap();
            assert_eq!((&report["as_written"], &report["failure"]), (&true.into(), &Value::Null));
            assert_eq!(report["steps"][0]["command"], "servers 5");
        } else {
            assert_eq!(stdout(&output), std::fs::read_to_string(FIGURE_8).unwrap());
        }
    }
}

#[test]
fn what_is_not_as_expected_ends_with_1_and_a_wrong_line_with_2() {
    let output = play("servers 3\nwait leader\nexpect no leader\nset d 8\n", &[]);
    expect_exit(&output, 1);
    assert!(stderr(&output).contains("line 3, `expect no leader`: it is not so"), "{}", stderr(&output));
    assert!(stdout(&output).contains("LEADER of term 1"), "what happened until then is told");
    let output = play("servers 3\ncrsh 2\n", &[]);
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("line 2: `crsh` is no command; did you mean `crash`?"));
    let output = jangada().args(["sim", "script", "nowhere.txt"]).output().unwrap();
    expect_exit(&output, 2);
    assert!(!Path::new("nowhere.txt").exists() && stderr(&output).contains("nowhere.txt"));
}

#[test]
fn what_went_otherwise_than_written_is_told() {
    let output = play("servers 3\nwait leader\nget d\n---\nget d: 8\n", &[]);
    expect_exit(&output, 0);
    assert!(stderr(&output).contains("- get d: 8"), "{}", stderr(&output));
}
