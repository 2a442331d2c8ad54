//! What must not stand in any file: holes that were left open, and paths of somebody's machine.

use std::path::Path;

use crate::tidy::{Complaint, Tree};

/// The words, each with the reason. Put together here, so that this file does not contain them.
fn forbidden() -> [(String, &'static str); 6] {
    [
        (["to", "do!"].concat(), "a hole: finish it, or leave it out"),
        (["unimple", "mented!"].concat(), "a hole: finish it, or leave it out"),
        (["#[ign", "ore"].concat(), "a test that nobody runs proves nothing"),
        (["/wo", "rk/"].concat(), "a path of one machine"),
        (["/ro", "ot/"].concat(), "a path of one machine"),
        (["FIX", "ME"].concat(), "open an issue, or mend it"),
    ]
}

/// Every forbidden word in every file.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let rust = tree.rust.iter().map(|source| (source.path.as_path(), source.text.as_str()));
    let other = tree.other.iter().map(|(path, text)| (path.as_path(), text.as_str()));
    rust.chain(other).flat_map(|(path, text)| check_text(path, text)).collect()
}

fn check_text(path: &Path, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (word, why) in forbidden() {
            if line.contains(&word) {
                complaints.push(Complaint::new(path, number + 1, format!("`{word}`: {why}")));
            }
        }
    }
    complaints
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_is_found_in_its_line() {
        for (word, _) in forbidden() {
            let found = check_text(Path::new("a.md"), &format!("fine\nnot {word} fine\n"));
            assert_eq!(found.iter().map(|c| c.line).collect::<Vec<_>>(), [2]);
        }
        assert!(check_text(Path::new("a.md"), "the framework, the root, methods to do").is_empty());
    }
}
