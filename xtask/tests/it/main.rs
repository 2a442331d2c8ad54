//! The work tree itself: what its documents name must exist.

use std::path::Path;

use xtask::tidy::{Complaint, Tree, links, maps};

fn tree() -> Tree {
    Tree::read(&xtask::root()).expect("the work tree can be read")
}

fn none(complaints: &[Complaint]) {
    let lines: Vec<String> = complaints.iter().map(ToString::to_string).collect();
    assert!(lines.is_empty(), "\n{}", lines.join("\n"));
}

/// Every rule of the paper's figures is mapped to a function and a test, and both exist.
#[test]
fn every_function_and_test_of_the_paper_map_exists() {
    let tree = tree();
    let text = tree.text("docs/paper-map.md").expect("docs/paper-map.md exists");
    none(&maps::check_map(&tree, Path::new("docs/paper-map.md"), text));
}

/// Every deed of the three original systems has its row, and what the row names exists.
#[test]
fn every_function_and_test_of_the_seeds_map_exists() {
    none(&maps::check(&tree()));
}

#[test]
fn every_link_leads_somewhere() {
    none(&links::check(&tree()));
}
