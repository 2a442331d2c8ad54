//! Every input of the corpus goes through its target.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use jangada_fuzz::{TARGETS, find};

/// What panicked, wherever it did: a panic in a task is not one of the test's.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn corpus(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

#[test]
fn the_corpus_passes() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("{panic}");
        PANICS.lock().unwrap().push(panic.to_string());
    }));
    for target in TARGETS {
        let files = corpus(target.name);
        assert!(files.len() >= 3, "{} has hardly a corpus", target.name);
        for file in files {
            let input = std::fs::read(&file).unwrap();
            (target.run)(&input);
            let panics = std::mem::take(&mut *PANICS.lock().unwrap());
            assert!(panics.is_empty(), "{}: {panics:?}", file.display());
        }
    }
}

#[test]
fn a_target_is_found_by_its_name() {
    assert_eq!(find("gateway").unwrap().name, "gateway");
    assert!(find("gate").is_none());
}
