//! Lengths and headers: a file is one idea, a function fits a screen, and each file says what it is.

use std::path::Path;

use crate::source::Source;
use crate::tidy::{Complaint, Tree};

/// Most lines of a file, the tests inside it not counted.
pub const FILE_LINES: usize = 600;
/// Most lines of a file that is all tests.
pub const TEST_FILE_LINES: usize = 1_000;
/// Most lines of a function, its signature and braces with them.
pub const FUNCTION_LINES: usize = 70;

/// Files over their length, functions over theirs, files without a header, a missing changelog, crates without
/// the common lints.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints: Vec<Complaint> = tree.rust.iter().flat_map(check_source).collect();
    match tree.text("CHANGELOG.md") {
        Some(text) if text.contains("\n## ") => {}
        Some(_) => {
            complaints.push(Complaint::new("CHANGELOG.md", 0, "has no section: begin with `## Unreleased`"))
        }
        None => complaints.push(Complaint::new("CHANGELOG.md", 0, "is missing: users look there first")),
    }
    for (path, text) in &tree.other {
        let manifest = path.ends_with("Cargo.toml") && text.contains("\n[dependencies]");
        if manifest && !text.contains("[lints]\nworkspace = true") {
            complaints.push(Complaint::new(path, 0, "lacks `[lints] workspace = true`"));
        }
    }
    complaints
}

fn check_source(source: &Source) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let path = &source.path;
    if is_generated(path) {
        return complaints;
    }
    if !source.text.starts_with("//!") {
        complaints.push(Complaint::new(
            path,
            1,
            "does not begin with `//!`: say what the file is, and what not",
        ));
    }
    let all_tests = is_test_file(path);
    let (limit, lines) = if all_tests {
        (TEST_FILE_LINES, source.text.lines().count())
    } else {
        (FILE_LINES, source.lines_before_tests())
    };
    if lines > limit {
        complaints.push(Complaint::new(
            path,
            0,
            format!("has {lines} lines, {limit} at most: which second idea is in it?"),
        ));
    }
    if !all_tests {
        let before_tests = source.lines_before_tests();
        for function in source.functions() {
            let lines = function.last_line - function.first_line + 1;
            if lines > FUNCTION_LINES && !function.is_flat_table && function.first_line <= before_tests {
                let what = format!(
                    "`{}` has {lines} lines, {FUNCTION_LINES} at most (one flat `match` may say `// tidy: flat table`)",
                    function.name
                );
                complaints.push(Complaint::new(path, function.first_line, what));
            }
        }
    }
    complaints
}

/// Made by `xtask codegen`, which CI compares: nobody reads or edits these.
fn is_generated(path: &Path) -> bool {
    path.parent().is_some_and(|folder| folder.ends_with("src/generated"))
}

/// Integration tests, benches: files that no user runs.
fn is_test_file(path: &Path) -> bool {
    path.components().any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "benches")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaints(path: &str, text: &str) -> Vec<String> {
        check_source(&Source::new(path, text)).into_iter().map(|c| c.what).collect()
    }

    #[test]
    fn a_file_and_a_function_have_their_lengths() {
        let function = |lines: usize| format!("//! x\nfn f() {{\n{}}}\n", "    x();\n".repeat(lines - 2));
        assert!(complaints("src/a.rs", &function(FUNCTION_LINES)).is_empty());
        assert_eq!(complaints("src/a.rs", &function(FUNCTION_LINES + 1)).len(), 1);
        assert!(complaints("tests/it/a.rs", &function(FUNCTION_LINES + 1)).is_empty());
        let marked = function(FUNCTION_LINES + 1).replace("fn f", "// tidy: flat table\nfn f");
        assert!(complaints("src/a.rs", &marked).is_empty());

        let file = |lines: usize| format!("//! x\n{}", "mod m;\n".repeat(lines - 1));
        assert!(complaints("src/a.rs", &file(FILE_LINES)).is_empty());
        assert_eq!(complaints("src/a.rs", &file(FILE_LINES + 1)).len(), 1);
        let tests = format!("{}#[cfg(test)]\nmod tests {{}}\n", file(FILE_LINES));
        assert!(complaints("src/a.rs", &tests).is_empty());
    }

    #[test]
    fn a_file_says_what_it_is() {
        assert_eq!(complaints("src/a.rs", "fn f() {}").len(), 1);
        assert_eq!(complaints("src/generated.rs", "fn f() {}").len(), 1);
        assert!(complaints("crates/x/src/generated/a.rs", "fn f() {}").is_empty());
        assert!(complaints("src/a.rs", "//! F.\nfn f() {}").is_empty());
    }
}
