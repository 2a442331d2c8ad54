//! Do the documents' links lead somewhere? Only those inside the project; the web is not asked.

use std::path::{Component, Path, PathBuf};

use crate::tidy::{Complaint, Tree};

/// Every relative link of every document whose target is missing.
#[must_use]
pub fn check(tree: &Tree) -> Vec<Complaint> {
    let mut complaints = Vec::new();
    let documents = tree.other.iter().filter(|(path, _)| path.extension().is_some_and(|e| e == "md"));
    for (path, text) in documents {
        for (line, target) in links(text) {
            let file = target.split('#').next().unwrap_or_default();
            let leads = match resolve(path, file) {
                Some(resolved) => {
                    tree.paths.contains(&resolved)
                        || tree.paths.iter().any(|path| path.starts_with(&resolved))
                }
                None => false,
            };
            if !file.is_empty() && !leads {
                complaints.push(Complaint::new(path, line, format!("the link to `{target}` leads nowhere")));
            }
        }
    }
    complaints
}

/// The targets of `[text](target)`, outside of code, that are not addresses of the web.
fn links(text: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    let mut in_code = false;
    for (number, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if in_code {
            continue;
        }
        // Inside a line, every second piece between backticks is code.
        for piece in line.split('`').step_by(2) {
            for rest in piece.split("](").skip(1) {
                let target = rest.split([')', ' ']).next().unwrap_or_default();
                if !target.contains("://") && !target.starts_with("mailto:") {
                    found.push((number + 1, target));
                }
            }
        }
    }
    found
}

/// A target as a path from the top folder on; `None` if it leaves the project.
fn resolve(document: &Path, target: &str) -> Option<PathBuf> {
    let mut path = document.parent().unwrap_or(Path::new("")).to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                if !path.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_followed() {
        let text = "[a](b.md) [b](../c/d.md#x) [web](https://x.y) `[code](no)`\n```\n[code](no)\n```\n[out](../../x) [here](#top)";
        let tree = Tree {
            paths: ["docs/a.md", "docs/b.md", "c/d.md"].map(PathBuf::from).into(),
            rust: Vec::new(),
            other: vec![("docs/a.md".into(), text.into()), ("docs/e.md".into(), "[gone](gone.md)".into())],
        };
        let found: Vec<_> = check(&tree).into_iter().map(|c| c.to_string()).collect();
        assert_eq!(
            found,
            [
                "docs/a.md:5: the link to `../../x` leads nowhere",
                "docs/e.md:1: the link to `gone.md` leads nowhere"
            ]
        );
    }
}
