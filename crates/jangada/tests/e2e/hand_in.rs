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

#[test]
fn a_saved_session_is_not_written_over_by_playing_it() {
    let place = Place::new();
    expect_exit(&place.piped("set d 8\nsave s.txt\nget d\nsave s.txt\n", &["--sim"]), 0);
    let file = place.dir.path().join("s.txt");
    let saved = std::fs::read_to_string(&file).unwrap();
    assert!(saved.ends_with("set d 8\nget d\n"), "who plays it does not mean to save it again: {saved}");
    // A line by hand does no harm either, and neither does a picture of that name.
    for line in ["save s.txt", "save ./s.txt", "timeline to s.txt"] {
        std::fs::write(&file, format!("{saved}{line}\n")).unwrap();
        let played = place.piped("", &["--sim", "--script", "s.txt"]);
        expect_exit(&played, 1);
        let said = stdout(&played);
        assert!(said.contains("s.txt is the script that is being played, and is left as it is"), "{said}");
        assert_eq!(std::fs::read_to_string(&file).unwrap(), format!("{saved}{line}\n"));
    }
}

#[test]
fn the_log_of_a_made_up_server_tells_what_is_in_it_with_its_accents() {
    let place = Place::new();
    let said = stdout(&place.piped("set coração maré\nlog leader\n", &["--sim", "--seed", "7"]));
    assert_eq!(lines(&said, "SET \"coração\" \"maré\"").len(), 1, "{said}");
}

#[test]
fn the_first_election_of_a_made_up_world_is_told_whatever_comes_first() {
    let place = Place::new();
    let said = stdout(&place.piped("set d 8\n", &["--sim", "--seed", "7"]));
    assert_eq!(lines(&said, "LEADER of term 1").len(), 1, "{said}");
}

#[test]
fn the_conditions_are_told_where_they_are_needed() {
    let place = Place::new();
    for word in ["wait", "expect", "always"] {
        let said = stdout(&place.piped(&format!("help {word}\n"), &["--sim"]));
        for part in ["CONDITION", "one leader", "value K V WHERE", "`on N servers`"] {
            assert!(said.contains(part), "{word}: {said}");
        }
    }
}

#[test]
fn a_server_that_there_is_not_is_told_and_not_only_that_it_is_not_so() {
    let place = Place::new();
    let said = stdout(&place.piped("expect leader n9\n", &["--sim"]));
    assert!(said.contains("there is no n9, there are n1 n2 n3 n4 n5"), "{said}");
}

#[test]
fn the_seed_that_was_given_is_that_of_every_world() {
    let place = Place::new();
    let typed = "wait leader\nservers 3\nwait leader\nsave s.txt\n";
    let said = stdout(&place.piped(typed, &["--sim", "--seed", "7"]));
    let alone = stdout(&place.piped("wait leader\n", &["--sim", "--seed", "7", "--servers", "3"]));
    assert!(said.contains(&alone), "{said}\n{alone}");
    let saved = std::fs::read_to_string(place.dir.path().join("s.txt")).unwrap();
    assert!(saved.contains("servers 3\nseed 7\nwait leader\n"), "{saved}");
    // Who greets says which world it is, and a place is called the same wherever the lines come from.
    std::fs::write(place.dir.path().join("seed.txt"), "servers 3\nseed 9\ncrash 4\n").unwrap();
    let scripted = place.piped("", &["--sim", "--script", "seed.txt"]);
    assert!(stderr(&scripted).contains("3 servers in a made-up world, seed 9"), "{}", stderr(&scripted));
    let read = place.piped("crash 9\n", &["--sim", "--script", "-"]);
    assert!(stdout(&read).contains("stdin:1: crash 9"), "{}", stdout(&read));
}
