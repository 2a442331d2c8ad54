//! What a student takes home of a laboratory: pictures and saved sessions.

use crate::laboratory::{Place, lines};
use crate::support::{expect_exit, stderr, stdout};

#[test]
fn a_saved_picture_holds_the_whole_session_unless_somebody_says_otherwise() {
    let place = Place::new();
    let typed = "set d 8\nrun 2s\ntimeline to all.svg\ntimeline from 0.2s until 0.3s to part.svg\n";
    let output = place.piped(typed, &["--sim", "--seed", "7"]);
    expect_exit(&output, 0);
    let said = stdout(&output);
    assert!(said.contains("all.svg: 5 servers, 785 records, 0.000 to 2.279 s; 352 messages"), "{said}");
    assert!(said.contains("a part: `timeline last 2s to all.svg`"), "{said}");
    assert!(
        said.contains("part.svg: 5 servers, 131 records, 0.200 to 0.300 s of 0.000 to 2.279 s"),
        "{said}"
    );
    let picture = |name| std::fs::read_to_string(place.dir.path().join(name)).unwrap();
    assert!(picture("all.svg").contains(">start<"), "it begins with the session");
    assert!(!picture("part.svg").contains(">start<"), "it begins later");
}

#[test]
fn a_quiet_prompt_says_what_was_the_last_thing() {
    let place = Place::new();
    let typed = "set d 8\nrun 2s\ntimeline\ntimeline last 0s\ntimeline events votes\n";
    let output = place.piped(typed, &["--sim", "--seed", "7"]);
    let said = stdout(&output);
    let last = "last, at 0.328 s: n2: committed up to 2, term 1; more: `timeline from 0.3s`";
    assert_eq!(lines(&said, last).len(), 2, "{said}");
    assert!(said.contains("nothing but heartbeats from 1.279 to 2.279 s"), "{said}");
    assert!(
        said.contains("nothing of the kind happened from 1.279 to 2.279 s; last, at 0.278 s: n1: n2 votes"),
        "{said}"
    );
    assert!(!said.contains("t (ms)"), "a heading without anything below it says nothing: {said}");
    assert_eq!(lines(&stderr(&output), "nothing").len(), 0);
}
