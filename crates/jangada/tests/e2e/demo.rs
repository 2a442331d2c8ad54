//! The demonstration holds what it claims, and leaves nothing behind.

use std::path::Path;

use rustix::process::Signal;

use crate::support::{Guarded, expect_exit, jangada, stdout, wait};

#[test]
fn every_claim_holds() {
    let temp = tempfile::tempdir().unwrap();
    let output = jangada().args(["-o", "json", "demo"]).env("TMPDIR", temp.path()).output().unwrap();
    expect_exit(&output, 0);
    let story: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
    assert_eq!(story["held"], true);
    assert!(story["claims"].as_array().unwrap().len() >= 10, "{story}");
    assert!(story["seconds"].as_f64().unwrap() < 40.0, "{story}");
    assert_eq!(left_in(temp.path()), 0);
}

#[test]
fn ctrl_c_leaves_no_process_and_no_directory() {
    let temp = tempfile::tempdir().unwrap();
    let mut demo = Guarded::spawn(jangada().arg("demo").env("TMPDIR", temp.path()));
    let pids = wait("three servers", || {
        let pids = pids_below(temp.path());
        (pids.len() == 3).then_some(pids)
    });
    demo.signal(Signal::INT);
    assert_eq!(demo.exit_code(), Some(130));
    assert_eq!(left_in(temp.path()), 0);
    for pid in pids {
        wait("the end of a server", || (!Path::new(&format!("/proc/{pid}/exe")).exists()).then_some(()));
    }
}

fn left_in(dir: &Path) -> usize {
    std::fs::read_dir(dir).unwrap().count()
}

fn pids_below(dir: &Path) -> Vec<u32> {
    let Some(Ok(demo)) = std::fs::read_dir(dir).unwrap().next() else { return Vec::new() };
    (1..=5)
        .filter_map(|number| std::fs::read_to_string(demo.path().join(format!("n{number}/jangada.pid"))).ok())
        .filter_map(|text| text.trim().parse().ok())
        .collect()
}
