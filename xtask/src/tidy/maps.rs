//! Do the functions and tests that the maps name exist? `docs/paper-map.md` says where each rule of the paper lives,
//! `docs/seeds-map.md` where each deed of the three original systems does; a map that lies is worse than none.
//!
//! A map is made of Markdown tables. In the columns whose heading says "function", "where" or "test", a name in
//! backticks such as `election::on_request_vote` or `Raft::handle` is a promise: there is a function of that name, in a
//! file whose path or content has the words before it. In a "test" column it is a `#[test]`. A name with a slash is a
//! file. A row whose "test" cell names no test says `open` there.

use std::path::Path;

use crate::source::Source;
use crate::tidy::{Complaint, Tree};

const MAPS: [&str; 2] = ["docs/paper-map.md", "docs/seeds-map.md"];

/// How many items each list of the original systems has: see `docs/seeds-map.md`.
const SEEDS: [(&str, usize); 6] = [("S", 40), ("G", 86), ("P", 44), ("Sx", 7), ("Gx", 24), ("Px", 9)];

/// Names in the maps that do not exist, items that are missing, maps that are missing.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for map in MAPS {
        match tree.text(map) {
            Some(text) => complaints.extend(check_map(tree, Path::new(map), text)),
            None => complaints.push(Complaint::new(map, 0, "is missing")),
        }
    }
    complaints.extend(check_seeds(tree.text("docs/seeds-map.md").unwrap_or_default()));
    complaints
}

/// Takes one map.
#[must_use]
pub fn check_map(tree: &Tree, path: &Path, text: &str) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let mut headings: Vec<String> = Vec::new();
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        if !line.starts_with('|') {
            headings.clear();
            continue;
        }
        if headings.is_empty() {
            headings = cells(line).iter().map(|cell| cell.to_lowercase()).collect();
            continue;
        }
        if line.chars().all(|c| matches!(c, '|' | '-' | ':' | ' ')) {
            continue;
        }
        for (heading, cell) in headings.iter().zip(cells(line)) {
            let wants_test = heading.contains("test");
            if !wants_test && !heading.contains("function") && !heading.contains("where") {
                continue;
            }
            for name in code(cell) {
                if let Some(what) = missing(tree, name, wants_test) {
                    complaints.push(Complaint::new(path, number + 1, what));
                }
            }
            if wants_test && code(cell).is_empty() && !cell.contains("open") {
                complaints.push(Complaint::new(path, number + 1, "names no test and does not say `open`"));
            }
        }
    }
    complaints
}

/// What is wrong with a name; nothing if it exists.
fn missing(tree: &Tree, name: &str, wants_test: bool) -> Option<String> {
    if name.contains('/') {
        let file = Path::new(name.trim_end_matches('/'));
        let exists = tree.paths.iter().any(|path| path.starts_with(file));
        return (!exists).then(|| format!("there is no file `{name}`"));
    }
    let segments: Vec<&str> = name.trim_end_matches("()").split("::").collect();
    let is_name =
        |segment: &str| !segment.is_empty() && segment.chars().all(|c| c.is_alphanumeric() || c == '_');
    if !segments.iter().copied().all(is_name) {
        // A flag, a command, a text: only a test column may hold nothing else.
        return wants_test.then(|| format!("`{name}` cannot be the name of a test"));
    }
    let (last, qualifiers) = segments.split_last()?;
    let found = tree.rust.iter().any(|source| {
        has(source, last, wants_test) && qualifiers.iter().all(|qualifier| belongs(source, qualifier))
    });
    let kind = if wants_test { "test" } else { "function or type" };
    (!found).then(|| format!("there is no {kind} `{name}`"))
}

/// Whether a word before `::` fits a file: as a part of its path, or as something that it declares.
fn belongs(source: &Source, qualifier: &str) -> bool {
    let crate_folder = format!("jangada-{qualifier}").replace('_', "-");
    let on_path = source.path.with_extension("").components().any(|part| {
        let part = part.as_os_str().to_string_lossy();
        part == qualifier || part == crate_folder || part == qualifier.replace('_', "-")
    });
    on_path || source.declares(qualifier)
}

fn has(source: &Source, name: &str, wants_test: bool) -> bool {
    if wants_test {
        return source.functions().iter().any(|function| function.is_test && function.name == name);
    }
    source.functions().iter().any(|function| function.name == name) || source.declares(name)
}

/// Every item of the original systems has exactly one row, in order.
fn check_seeds(text: &str) -> Vec<Complaint> {
    let path = Path::new("docs/seeds-map.md");
    let mut rows =
        text.lines().enumerate().filter(|(_, line)| line.starts_with("| ")).filter_map(|(at, line)| {
            let id = cells(line).first().copied().unwrap_or_default();
            let letters = id.trim_end_matches(|c: char| c.is_ascii_digit());
            let known = id != letters && SEEDS.iter().any(|(list, _)| *list == letters);
            known.then_some((at + 1, id))
        });
    for (list, count) in SEEDS {
        for number in 1..=count {
            let expected = format!("{list}{number}");
            match rows.next() {
                Some((_, id)) if id == expected => {}
                Some((line, id)) => {
                    return vec![Complaint::new(
                        path,
                        line,
                        format!("`{id}` stands where `{expected}` belongs"),
                    )];
                }
                None => return vec![Complaint::new(path, 0, format!("`{expected}` has no row"))],
            }
        }
    }
    rows.map(|(line, id)| Complaint::new(path, line, format!("`{id}` is one row too many"))).collect()
}

/// The cells of a row.
fn cells(line: &str) -> Vec<&str> {
    line.trim().trim_matches('|').split('|').map(str::trim).collect()
}

/// What stands between backticks.
fn code(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree() -> Tree {
        let election = "//! x\nimpl Raft { fn on_request_vote(&mut self) {} }\nstruct Tally;";
        let paper = "//! x\n#[test]\nfn votes_once() {}\nfn helper() {}";
        let paths = ["crates/jangada-raft/src/election.rs", "crates/jangada-raft/tests/it/paper.rs"];
        Tree {
            paths: paths.map(std::path::PathBuf::from).into(),
            rust: vec![Source::new(paths[0], election), Source::new(paths[1], paper)],
            other: Vec::new(),
        }
    }

    fn complaints(row: &str) -> Vec<String> {
        let text = format!("| Rule | Function | Test |\n|---|---|---|\n{row}\n");
        check_map(&tree(), Path::new("m.md"), &text).into_iter().map(|c| c.what).collect()
    }

    #[test]
    fn names_that_exist_are_believed() {
        for row in [
            "| a `b` c | `election::on_request_vote` | `paper::votes_once` |",
            "| a | `raft::election::Raft::on_request_vote()`, `Tally` | `votes_once` |",
            "| a | `--flag x`, `crates/jangada-raft/src/` | open |",
        ] {
            assert_eq!(complaints(row), Vec::<String>::new(), "{row}");
        }
    }

    #[test]
    fn names_that_do_not_exist_are_named() {
        for row in [
            "| a | `log::on_request_vote` | `votes_once` |",
            "| a | `on_vote` | `votes_once` |",
            "| a | `Tally` | `helper` |",
            "| a | `Tally` | `votes once` |",
            "| a | `Tally` | |",
            "| a | `crates/jangada-kv/src/` | open |",
        ] {
            assert_eq!(complaints(row).len(), 1, "{row}");
        }
    }

    #[test]
    fn every_seed_has_its_row() {
        let mut rows: Vec<String> = SEEDS
            .iter()
            .flat_map(|(list, count)| (1..=*count).map(move |n| format!("| {list}{n} | x |")))
            .collect();
        assert_eq!(check_seeds(&rows.join("\n")), []);
        assert_eq!(rows.len(), 210);
        rows.remove(41);
        assert_eq!(check_seeds(&rows.join("\n"))[0].what, "`G3` stands where `G2` belongs");
    }
}
