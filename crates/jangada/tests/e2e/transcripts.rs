//! The transcripts of the documents, played again: a made-up world is the same each time, byte for byte.

use std::path::Path;

use crate::laboratory::Place;
use crate::support::{expect_exit, stdout};

/// The blocks of a document that begin with a made-up laboratory.
fn transcripts(document: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with("$ jangada lab --sim")).map(str::to_owned).collect()
}

#[test]
fn what_the_documents_show_is_what_happens() {
    let place = Place::new();
    let mut played = 0;
    for document in ["lab.md", "lessons.md"] {
        for transcript in transcripts(document) {
            let (command, rest) = transcript.split_once('\n').unwrap();
            let more: Vec<&str> = command.split(' ').skip(3).collect();
            let typed: Vec<&str> = rest.lines().filter_map(|line| line.strip_prefix("> ")).collect();
            let shown: Vec<&str> = rest.lines().filter(|line| !line.starts_with("> ")).collect();
            let output = place.piped(&format!("{}\n", typed.join("\n")), &more);
            let said = stdout(&output);
            assert_eq!(said.lines().collect::<Vec<_>>(), shown, "{document}: {command}");
            // A check that is refused is part of the lesson.
            expect_exit(&output, i32::from(said.contains("not yet, ") || said.contains("ainda não, ")));
            played += 1;
        }
    }
    assert!(played >= 3, "they are found");
}
