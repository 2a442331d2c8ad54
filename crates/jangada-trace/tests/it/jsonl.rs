//! JSON lines: valid, stable, documented.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use jangada_raft::types::NodeId;
use jangada_trace::{jsonl, names::Names};

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
