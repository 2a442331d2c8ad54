//! Edits: how the wrong code gets into a copy of the sources, beside the right one.
//!
//! An edit names a file, a text that occurs there once, and what to write instead. In that, `PLANTED` stands for
//! "this mutant is switched on" and `RIGHT` for what stood there: `if PLANTED { wrong } else { RIGHT }`. So all
//! mutants live in one build and are chosen at run time, and with none switched on the copy does what the
//! original does.
//!
//! Texts are compared word by word: where a line is broken does not matter. Two mutants may change the same place
//! or one inside the other's: the inner one is applied first, and becomes part of the outer one's `RIGHT`; of two
//! with the same place, the lower number is the outer one. Places that cross each other are refused.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::mutants::catalogue::Mutant;
use crate::tidy::{Complaint, Tree};

/// One change of one file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// The file, from the top folder on.
    pub file: PathBuf,
    /// What stands there, once.
    pub instead_of: String,
    /// What is written instead.
    pub write: String,
}

/// An edit whose place is found.
struct Placed<'a> {
    number: u32,
    range: Range<usize>,
    write: &'a str,
}

/// Where `words` stands in `text`, with any white space between its words.
fn places(text: &str, words: &str) -> Vec<Range<usize>> {
    let words: Vec<&str> = words.split_whitespace().collect();
    let Some(first) = words.first() else { return Vec::new() };
    let starts = text.match_indices(first).map(|(start, _)| start);
    starts.filter_map(|start| end_of(text, start, &words).map(|end| start..end)).collect()
}

fn end_of(text: &str, start: usize, words: &[&str]) -> Option<usize> {
    let mut rest = &text[start..];
    for (position, word) in words.iter().enumerate() {
        if position > 0 {
            let trimmed = rest.trim_start();
            if trimmed.len() == rest.len() {
                return None;
            }
            rest = trimmed;
        }
        rest = rest.strip_prefix(word)?;
    }
    Some(text.len() - rest.len())
}

/// All edits that do not fit the sources as they are.
#[must_use]
pub fn misfits(tree: &Tree, mutants: &[Mutant]) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    for mutant in mutants {
        for edit in &mutant.edits {
            let path = mutant.path();
            let found = tree.rust.iter().find(|source| source.path == edit.file);
            match found.map(|source| places(&source.text, &edit.instead_of).len()) {
                Some(1) => {}
                None => {
                    let what = format!("changes {}, which is not there", edit.file.display());
                    complaints.push(Complaint::new(path, 0, what));
                }
                Some(count) => {
                    let what = format!(
                        "expects once in {}, and found {count} times: {}",
                        edit.file.display(),
                        edit.instead_of.split_whitespace().collect::<Vec<_>>().join(" ")
                    );
                    complaints.push(Complaint::new(path, 0, what));
                }
            }
        }
    }
    for (file, text) in files(tree, mutants) {
        if let Err(what) = apply(text, &file, mutants) {
            complaints.push(Complaint::new(file, 0, what));
        }
    }
    complaints
}

/// The Rust files that at least one mutant changes.
fn files<'a>(tree: &'a Tree, mutants: &[Mutant]) -> BTreeMap<PathBuf, &'a str> {
    let changed =
        |path: &Path| mutants.iter().any(|mutant| mutant.edits.iter().any(|edit| edit.file == path));
    let sources = tree.rust.iter().filter(|source| changed(&source.path));
    sources.map(|source| (source.path.clone(), source.text.as_str())).collect()
}

/// The file with all mutants in it.
///
/// # Errors
/// If two edits cross each other, or an inner one's place is not kept by the outer one. An edit that does not fit
/// is left out: [`misfits`] names it.
pub fn apply(text: &str, file: &Path, mutants: &[Mutant]) -> Result<String, String> {
    let mut placed = Vec::new();
    for mutant in mutants {
        for edit in mutant.edits.iter().filter(|edit| edit.file == file) {
            if let [range] = &places(text, &edit.instead_of)[..] {
                placed.push(Placed { number: mutant.number(), range: range.clone(), write: &edit.write });
            }
        }
    }
    // An outer place before those inside of it.
    placed.sort_by_key(|edit| (edit.range.start, std::cmp::Reverse(edit.range.end), edit.number));
    let is_on = condition(file);
    let mut out = String::new();
    let mut at = 0;
    let mut rest = &placed[..];
    while let Some((outer, behind)) = rest.split_first() {
        let inside = behind.iter().take_while(|edit| edit.range.start < outer.range.end).count();
        out.push_str(&text[at..outer.range.start]);
        out.push_str(&written(text, outer, &behind[..inside], &is_on)?);
        at = outer.range.end;
        rest = &behind[inside..];
    }
    out.push_str(&text[at..]);
    Ok(out)
}

/// What is written at the place of `outer`, with the edits inside of it.
fn written(text: &str, outer: &Placed, inside: &[Placed], is_on: &str) -> Result<String, String> {
    let mut right = String::new();
    let mut at = outer.range.start;
    let mut rest = inside;
    while let Some((inner, behind)) = rest.split_first() {
        if inner.range.end > outer.range.end {
            return Err(format!("the edits of M{} and M{} cross each other", outer.number, inner.number));
        }
        let deeper = behind.iter().take_while(|edit| edit.range.start < inner.range.end).count();
        right.push_str(&text[at..inner.range.start]);
        right.push_str(&written(text, inner, &behind[..deeper], is_on)?);
        at = inner.range.end;
        rest = &behind[deeper..];
    }
    right.push_str(&text[at..outer.range.end]);
    if !inside.is_empty() && !outer.write.contains("RIGHT") {
        let (outer, inner) = (outer.number, inside[0].number);
        return Err(format!("M{outer} does not keep, as RIGHT, the place that M{inner} changes"));
    }
    let planted = is_on.replace("NUMBER", &outer.number.to_string());
    Ok(outer.write.trim_end().replace("PLANTED", &planted).replace("RIGHT", &right))
}

/// How a file asks whether a mutant is switched on: the switch lives in the core, and, as the store depends on
/// nothing, once more in the store.
fn condition(file: &Path) -> String {
    let of_its_own = ["crates/jangada-raft/src", "crates/jangada-kv/src"];
    if of_its_own.iter().any(|folder| file.starts_with(folder)) {
        "crate::planted::is_on(NUMBER)".to_owned()
    } else {
        "jangada_raft::planted::is_on(NUMBER)".to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(id: &str, edits: &[(&str, &str)]) -> Mutant {
        let edits = edits.iter().map(|(instead_of, write)| Edit {
            file: PathBuf::from("crates/jangada-wal/src/a.rs"),
            instead_of: (*instead_of).to_owned(),
            write: (*write).to_owned(),
        });
        Mutant {
            id: id.to_owned(),
            title: String::new(),
            source: String::new(),
            checker: Vec::new(),
            note: String::new(),
            kill: None,
            edits: edits.collect(),
        }
    }

    fn applied(text: &str, mutants: &[Mutant]) -> Result<String, String> {
        let out = apply(text, Path::new("crates/jangada-wal/src/a.rs"), mutants)?;
        Ok(out.replace("jangada_raft::planted::is_on", "on"))
    }

    #[test]
    fn words_are_compared_and_not_lines() {
        let text = "let a = f(x,\n        y);\nlet b = 1;";
        assert_eq!(places(text, "f(x, y);").len(), 1);
        assert_eq!(&text[places(text, "f(x, y);")[0].clone()], "f(x,\n        y);");
        assert!(places(text, "f(x,y);").is_empty());
        assert_eq!(places(text, "let").len(), 2);
    }

    #[test]
    fn the_wrong_code_stands_beside_the_right_one() {
        let one = mutant("M3", &[("a + b", "if PLANTED { 0 } else { RIGHT }")]);
        assert_eq!(applied("let c = a + b;", &[one]).unwrap(), "let c = if on(3) { 0 } else { a + b };");
    }

    #[test]
    fn edits_of_one_place_go_into_each_other() {
        let mutants = [
            mutant("M1", &[("b", "(if PLANTED { 1 } else { RIGHT })")]),
            mutant("M2", &[("a + b", "(if PLANTED { 2 } else { RIGHT })")]),
            mutant("M4", &[("b", "(if PLANTED { 4 } else { RIGHT })")]),
            mutant("M5", &[("d", "(if PLANTED { 5 } else { RIGHT })")]),
        ];
        assert_eq!(
            applied("c = a + b; d", &mutants).unwrap(),
            "c = (if on(2) { 2 } else { a + (if on(1) { 1 } else { (if on(4) { 4 } else { b }) }) }); \
             (if on(5) { 5 } else { d })"
        );
        let crossing = [mutant("M1", &[("a b", "RIGHT")]), mutant("M2", &[("b c", "RIGHT")])];
        assert!(applied("a b c", &crossing).unwrap_err().contains("cross"));
        let forgetful = [mutant("M1", &[("a b", "x")]), mutant("M2", &[("b", "RIGHT")])];
        assert!(applied("a b c", &forgetful).unwrap_err().contains("does not keep"));
    }
}
