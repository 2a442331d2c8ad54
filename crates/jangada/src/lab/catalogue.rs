//! Whether the catalogue has every sentence that the code says, and no other.
//!
//! The sources are read as text: whatever stands in `say!` or `said!` is a sentence, and so is what help and the lists
//! of scenarios tell.

use std::collections::BTreeSet;
use std::path::Path;

use jangada_sim::script::help;
use jangada_trace::language::{PORTUGUESE, pairs};

use super::{scenarios, words};

/// Where people are spoken to in their language.
const SPOKEN: [&str; 5] =
    ["../jangada-trace/src", "../jangada-sim/src/script", "src/lab", "src/timeline", "src/commands"];

fn sources(folder: &Path, texts: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            // They tell of the macros themselves.
            && !["language.rs", "catalogue.rs"].iter().any(|name| path.ends_with(name))
        {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
}

/// The first string literal in a text, as the compiler reads it.
fn literal(text: &str) -> String {
    let mut letters = text[text.find('"').expect("a sentence") + 1..].chars();
    let mut read = String::new();
    loop {
        match letters.next().expect("a closed string") {
            '"' => return read,
            '\\' => match letters.next().expect("something escaped") {
                'n' => read.push('\n'),
                '\n' => {
                    let rest = letters.as_str().trim_start();
                    letters = rest.chars();
                }
                other => read.push(other),
            },
            letter => read.push(letter),
        }
    }
}

fn said() -> BTreeSet<String> {
    let mut texts = Vec::new();
    for folder in SPOKEN {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(folder), &mut texts);
    }
    let mut said = BTreeSet::new();
    for text in &texts {
        for call in ["say!(", "said!("] {
            said.extend(text.split(call).skip(1).map(literal));
        }
    }
    said.extend(help::COMMANDS.iter().map(|help| help.does.to_owned()));
    said.extend(help::CONDITIONS.iter().map(|(_, says, _)| (*says).to_owned()));
    said.extend(help::KNOBS.iter().map(|(_, takes)| (*takes).to_owned()));
    said.extend(words::WORDS.iter().map(|(_, does, _)| (*does).to_owned()));
    said.extend(scenarios::shown().map(str::to_owned));
    for name in scenarios::names() {
        let text = scenarios::text(name).unwrap();
        let comments = scenarios::commands(text).filter_map(|line| line.strip_prefix('#'));
        said.extend(comments.map(|comment| comment.trim().to_owned()));
    }
    said
}

/// What is put into a sentence.
fn places(sentence: &str) -> BTreeSet<&str> {
    let parts = sentence.split('{').skip(1);
    parts.filter_map(|part| Some(part.split_once('}')?.0)).collect()
}

#[test]
fn the_catalogue_has_every_sentence_and_no_other() {
    let known: BTreeSet<String> = pairs(PORTUGUESE).map(|(english, _)| english.to_owned()).collect();
    let said = said();
    let missing: Vec<&String> = said.difference(&known).collect();
    let left_over: Vec<&String> = known.difference(&said).collect();
    assert!(missing.is_empty(), "the Portuguese catalogue lacks: {missing:#?}");
    assert!(left_over.is_empty(), "nobody says any more: {left_over:#?}");
}

#[test]
fn the_same_things_are_put_into_a_sentence_in_both_languages() {
    for (english, portuguese) in pairs(PORTUGUESE) {
        assert_eq!(places(english), places(portuguese), "{english}");
        let commands = |text: &str| text.matches('`').count();
        assert_eq!(commands(english), commands(portuguese), "{english}");
        assert!(!portuguese.trim().is_empty(), "{english}");
    }
}
