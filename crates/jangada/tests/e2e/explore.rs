//! `jangada sim explore`: everything that small clusters can do.

use serde_json::Value;

use crate::examples::examples;
use crate::support::{expect_exit, jangada, stderr, stdout};

#[test]
fn the_examples_of_its_help() {
    // All worlds at once are searched by the tests of `jangada-sim`.
    for line in examples(&["sim", "explore"]).iter().filter(|line| line.len() > 2) {
        let output = jangada().args(line).output().unwrap();
        expect_exit(&output, 0);
        if line.iter().any(|word| word == "json") {
            let worlds: Value = serde_json::from_str(&stdout(&output)).unwrap();
            let world = &worlds[0];
            assert_eq!((&world["name"], &world["complete"]), (&"replace".into(), &true.into()));
            assert!(world["states"].as_u64().unwrap() > 1_000, "{world}");
            assert_eq!(world["violation"], Value::Null);
        } else {
            assert!(stdout(&output).contains("complete"), "{}", stdout(&output));
        }
    }
}

#[test]
fn a_world_that_is_not_there_is_a_usage_error() {
    let output = jangada().args(["sim", "explore", "figure-9"]).output().unwrap();
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("figure-8"), "{}", stderr(&output));
}
