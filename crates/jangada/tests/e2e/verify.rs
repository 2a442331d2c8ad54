//! `jangada sim --record` and `jangada sim verify`: a run is kept, and judged from what was kept.

use crate::examples::examples;
use crate::support::{expect_exit, jangada, stderr, stdout};

#[test]
fn a_run_that_is_kept_can_be_judged_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    let kept =
        jangada().args(["sim", "--seed", "3", "--nodes", "3", "--record"]).arg(&file).output().unwrap();
    expect_exit(&kept, 0);
    let judged = jangada().args(["sim", "verify"]).arg(&file).output().unwrap();
    expect_exit(&judged, 0);
    assert!(stdout(&judged).contains("0 gaps"), "{}", stdout(&judged));
    assert!(stdout(&judged).contains("nothing in them violates"), "{}", stdout(&judged));

    // The same server leads twice as another one, in a term that has a leader.
    let lines = std::fs::read_to_string(&file).unwrap();
    let elected = |line: &&str| line.contains(r#""role":"leader""#);
    let line = lines.lines().find(elected).expect("there was a leader");
    let node = if line.contains(r#""node":"n1""#) { "n1" } else { panic!("n1 campaigns first: {line}") };
    let forged = line.replace(node, "n3").replace(r#""seq":"#, r#""seq":9000"#);
    let mut lines: Vec<&str> = lines.lines().collect();
    let at = lines.iter().position(|known| *known == line).unwrap() + 1;
    lines.insert(at, &forged);
    std::fs::write(&file, lines.join("\n")).unwrap();
    let judged = jangada().args(["sim", "verify"]).arg(&file).output().unwrap();
    expect_exit(&judged, 1);
    let expected = format!("line {}: election safety: n1 and n3 both lead in term 1", at + 1);
    assert!(stderr(&judged).contains(&expected), "{}", stderr(&judged));

    let judged = jangada().args(["sim", "verify"]).arg(&file).args(["-o", "json"]).output().unwrap();
    expect_exit(&judged, 1);
    let report: serde_json::Value = serde_json::from_str(&stdout(&judged)).unwrap();
    assert_eq!(report["violation"]["property"], "election safety");
}

#[test]
fn the_examples_of_its_help() {
    let folder = tempfile::tempdir().unwrap();
    for line in examples(&["sim", "verify"]) {
        expect_exit(&jangada().current_dir(folder.path()).args(line).output().unwrap(), 0);
    }
}

#[test]
fn a_file_that_is_no_stream_is_a_usage_error_with_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("run.jsonl");
    let good = r#"{"time_ns":1,"node":"n1","seq":1,"event":"durable","last":1}"#;
    std::fs::write(&file, format!("{good}\n{{}}\n")).unwrap();
    let judged = jangada().args(["sim", "verify"]).arg(&file).output().unwrap();
    expect_exit(&judged, 2);
    assert!(stderr(&judged).contains("line 2"), "{}", stderr(&judged));
}
