//! JSON lines: valid, stable, documented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jangada_raft::types::NodeId;
use jangada_trace::{jsonl, jsonl_read, names::Names};

use crate::{golden, samples};

fn all_lines() -> Vec<String> {
    let names = Names::from_iter([(NodeId(5), "\"quoted\"")]);
    let events = samples::every_event();
    let lines = events.into_iter().enumerate();
    lines.map(|(i, e)| jsonl::line(&samples::record(i as u64, 2, i as u64 + 1, e), &names)).collect()
}

#[test]
fn every_event_has_its_line() {
    golden::check("events.jsonl", &(all_lines().join("\n") + "\n"));
}

#[test]
fn every_line_is_read_back_as_the_record_that_it_was() {
    let names = Names::from_iter([(NodeId(5), "\"quoted\"")]);
    for (i, event) in (0..).zip(samples::every_event()) {
        let record = samples::record(i, 2, i + 1, event);
        let line = jsonl::line(&record, &names);
        assert_eq!(jsonl_read::read(&line, &names), Ok(record), "{line}");
    }
}

#[test]
fn what_is_no_record_is_refused_with_a_reason() {
    let read = |line: &str| match jsonl_read::read(line, &Names::from_iter([(NodeId(5), "alpha")])) {
        Ok(record) => panic!("{line} is read as {record:?}"),
        Err(why) => why.to_string(),
    };
    let line = |rest: &str| format!(r#"{{"time_ns":1,"node":"n2","seq":1{rest}}}"#);
    for (text, expected) in [
        (String::new(), "an object was expected"),
        (line(""), r#""event" is missing"#),
        (line(r#","event":7"#), r#""event" is no text"#),
        (line(r#","event":"invented""#), r#"an unknown event "invented""#),
        (line(r#","event":"durable""#), r#""last" is missing"#),
        (line(r#","event":"durable","last":true"#), r#""last" is no number"#),
        (line(r#","event":"vote_granted","to":"n1","term":1,"pre_vote":0"#), "neither true nor false"),
        (
            line(r#","event":"role_changed","role":"king","term":1,"why":"asked""#),
            r#""king", which is not known"#,
        ),
        (line(r#","event":"transfer_started","to":"n5""#), "no server is called so"),
        (line(r#","event":"transfer_started","to":"n+5""#), "no server is called so"),
        (line(r#","event":"outcome_unknown","requests":4294967296"#), "does not fit"),
    ] {
        assert!(read(&text).contains(expected), "{text}: {}", read(&text));
    }
    assert!(read(&" ".repeat(1 << 20)).contains("at most"));
}

/// A reader that is older than the writer goes on.
#[test]
fn fields_that_are_not_known_are_skipped() {
    let line = r#"{"date":"2026","time_ns":1,"node":"alpha","seq":3,"event":"durable","last":4,"more":null}"#;
    let record = jsonl_read::read(line, &Names::from_iter([(NodeId(5), "alpha")])).unwrap();
    assert_eq!((record.node, record.seq), (NodeId(5), 3));
}

#[test]
fn every_line_is_json() {
    for line in all_lines() {
        let value: serde_json::Value = serde_json::from_str(&line).expect(&line);
        let fields = value.as_object().expect("a line is an object");
        for field in ["time_ns", "node", "seq", "event"] {
            assert!(fields.contains_key(field), "{line} has no {field}");
        }
    }
}

/// `docs/events.md` has a row "| `name` | `field`, `field` | …" for each event, with exactly its fields.
#[test]
fn every_event_and_field_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/events.md");
    let text = std::fs::read_to_string(path).unwrap();
    let mut documented: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| `")) {
        let mut cells = line.split('|').skip(1);
        let name = cells.next().unwrap().trim().trim_matches('`').to_owned();
        let fields = cells.next().unwrap().split(',').map(|f| f.trim().trim_matches('`').to_owned());
        documented.insert(name, fields.filter(|field| !field.is_empty()).collect());
    }
    let mut written: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in all_lines() {
        let value: serde_json::Map<String, serde_json::Value> = serde_json::from_str(&line).unwrap();
        let fields = written.entry(value["event"].as_str().unwrap().to_owned()).or_default();
        let common = ["time_ns", "node", "seq", "event"];
        fields.extend(value.keys().filter(|key| !common.contains(&key.as_str())).cloned());
    }
    for (event, fields) in &written {
        assert_eq!(documented.get(event), Some(fields), "fields of `{event}` in docs/events.md");
    }
    for event in documented.keys() {
        assert!(written.contains_key(event), "docs/events.md names `{event}`, which is never written");
    }
}

#[test]
fn names_can_be_learnt_from_the_lines() {
    let line = r#"{"time_ns":1,"node":"db-1","seq":1,"event":"sent","to":"db-2","sequence":1,"term":1,"kind":"vote","index":0,"count":0}"#;
    let mut names = Names::new();
    assert!(jsonl_read::read(line, &names).is_err());
    let record = jsonl_read::read_learning(line, &mut names).unwrap();
    assert_eq!(jsonl::line(&record, &names), line);
    let screen = line.replace("db-2", "\\u001b[2J");
    assert!(jsonl_read::read_learning(&screen, &mut names).is_err());
}
