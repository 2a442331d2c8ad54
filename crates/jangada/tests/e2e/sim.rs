//! `jangada sim`: plans that are saved and run again, failures that are told.

use std::path::Path;
use std::process::Output;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{expect_exit, jangada, stderr, stdout};

fn sim(dir: &TempDir, arguments: &[&str]) -> Output {
    jangada().current_dir(dir.path()).arg("sim").args(arguments).output().unwrap()
}

fn json(output: &Output) -> Value {
    serde_json::from_str(&stdout(output)).unwrap()
}

/// A small plan in which all messages take seconds: after everything has healed nobody can be elected.
fn hopeless(dir: &TempDir) {
    expect_exit(&sim(dir, &["--seed", "3", "--nodes", "3", "--save-plan", "good.json"]), 0);
    let good = std::fs::read_to_string(dir.path().join("good.json")).unwrap();
    let mut plan: Value = serde_json::from_str(&good).unwrap();
    plan["plan"]["network"]["delay_min"] = "5s".into();
    plan["plan"]["network"]["delay_max"] = "6s".into();
    plan["plan"]["trouble"] = "2s".into();
    std::fs::write(dir.path().join("bad.json"), plan.to_string()).unwrap();
}

#[test]
fn a_plan_that_was_saved_is_the_same_run() {
    let dir = tempfile::tempdir().unwrap();
    let of_seed = json(&sim(&dir, &["--seed", "4", "--nodes", "3", "-o", "json"]));
    let saved = sim(&dir, &["--seed", "4", "--nodes", "3", "--save-plan", "plan.json"]);
    expect_exit(&saved, 0);
    assert!(stderr(&saved).contains("jangada sim --plan plan.json"), "{}", stderr(&saved));
    let of_plan = json(&sim(&dir, &["--plan", "plan.json", "-o", "json"]));
    for same in ["events", "records", "simulated_seconds", "coverage", "failed", "story"] {
        assert_eq!(of_seed[same], of_plan[same], "{same}");
    }
    assert_eq!(of_plan["story"], Value::Null);
}

#[test]
fn a_plan_that_fails_is_told_made_small_and_fails_again() {
    let dir = tempfile::tempdir().unwrap();
    hopeless(&dir);
    let told = sim(&dir, &["--plan", "bad.json"]);
    expect_exit(&told, 1);
    let text = stdout(&told);
    for part in
        ["liveness_after_heal at ", "planned fault", "n2   starts", "everything heals", "there is no leader"]
    {
        assert!(text.contains(part), "no `{part}` in\n{text}");
    }
    assert!(stderr(&told).contains("jangada sim --plan bad.json"), "{}", stderr(&told));

    let output = sim(&dir, &["--plan", "bad.json", "--save-plan", "small.json", "-o", "json"]);
    expect_exit(&output, 1);
    let small = json(&output);
    let story = &small["story"];
    assert_eq!(small["failed"][0]["invariant"], "liveness_after_heal");
    assert_eq!(story["violation"]["invariant"], "liveness_after_heal");
    assert_eq!((&story["after"]["faults"], &story["after"]["operations"]), (&0.into(), &0.into()), "{story}");
    assert!(story["after"]["servers"].as_u64() < story["before"]["servers"].as_u64(), "{story}");
    assert!(!story["timeline"].as_array().unwrap().is_empty());
    assert_eq!(story["needs"], Value::Array(Vec::new()));

    let again = json(&sim(&dir, &["--plan", "small.json", "-o", "json"]));
    assert_eq!(again["story"]["violation"], story["violation"]);
    assert_eq!(again["story"]["timeline"], story["timeline"]);
    std::fs::write(dir.path().join("inside.json"), story["plan"].to_string()).unwrap();
    let inside = json(&sim(&dir, &["--plan", "inside.json", "-o", "json"]));
    assert_eq!(inside["story"], again["story"], "what JSON has is the same plan");
}

#[test]
fn what_is_no_plan_is_a_usage_error() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(Path::new(dir.path()).join(name), text).unwrap();
    write("empty.json", "");
    write("later.json", r#"{"jangada_plan": 9, "plan": {}}"#);
    write("typo.json", "{\"jangada_plan\": 1,\n \"plan\": {\"seet\": 1}}");
    for (arguments, says) in [
        (&["--plan", "nowhere.json"][..], "nowhere.json: "),
        (&["--plan", "empty.json"], "no plan"),
        (&["--plan", "later.json"], "form 9"),
        (&["--plan", "typo.json"], "unknown field `seet`"),
        (&["--plan", "typo.json"], "at line 2"),
        (&["--plan", "typo.json", "--seed", "1"], "cannot be used with"),
        (&["--save-plan", "new.json"], "by --seed or --plan"),
    ] {
        let output = sim(&dir, arguments);
        expect_exit(&output, 2);
        assert!(stderr(&output).contains(says), "{arguments:?}: {}", stderr(&output));
    }
}
