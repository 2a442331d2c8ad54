//! All scripts under `sim/scripts` play as they are written. `JANGADA_BLESS=1` writes down what happens now.

use std::fs;
use std::path::{Path, PathBuf};

use jangada_sim::script::{Script, file, help, play};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../sim/scripts")
}

/// All scripts, in the order of their names.
fn scripts() -> Vec<(String, PathBuf)> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("the folder of the scripts") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "txt") {
                let name = path.strip_prefix(root()).expect("it is inside").display().to_string();
                found.push((name, path));
            }
        }
    }
    found.sort();
    assert!(!found.is_empty(), "there are scripts");
    found
}

fn read(path: &Path) -> (String, Script) {
    let text = fs::read_to_string(path).expect("a readable script");
    let script = Script::read(&text).unwrap_or_else(|why| panic!("{}: {why}", path.display()));
    (text, script)
}

/// What one script has to say against itself, if anything.
fn play_one(name: &str, path: &Path, bless: bool) -> Option<String> {
    let (text, script) = read(path);
    let played = play(&script);
    if let Some(failure) = played.failure {
        // What a script expects is its point: nothing blesses that away.
        let told: Vec<&str> =
            played.script.blocks.iter().flat_map(|block| &block.output).map(String::as_str).collect();
        return Some(format!("{name}, {failure}\nuntil then:\n{}", told.join("\n")));
    }
    let now = played.script.write();
    if now == text {
        return None;
    }
    if bless {
        fs::write(path, now).expect("the scripts can be written");
        return None;
    }
    let difference = file::difference(&text, &now);
    Some(format!(
        "{name} went otherwise than it is written:\n{difference}If that is right: JANGADA_BLESS=1 cargo test -p \
         jangada-sim --test it scripts::"
    ))
}

#[test]
fn every_script_plays_as_it_is_written() {
    let bless = std::env::var_os("JANGADA_BLESS").is_some_and(|value| value == "1");
    assert!(!bless || std::env::var_os("CI").is_none(), "in CI nothing is blessed");
    // One script alone, by a part of its name.
    let only = std::env::var("JANGADA_SCRIPT").unwrap_or_default();
    let wrong: Vec<String> = scripts()
        .iter()
        .filter(|(name, _)| name.contains(&only))
        .filter_map(|(name, path)| play_one(name, path, bless))
        .collect();
    assert!(wrong.is_empty(), "{} scripts\n\n{}", wrong.len(), wrong.join("\n\n"));
}

#[test]
fn every_script_says_what_it_shows_and_where_that_comes_from_and_asserts_it() {
    for (name, path) in scripts() {
        let (_, script) = read(&path);
        let heading = script.heading();
        assert!(heading.len() >= 2, "{name} begins with what it shows");
        assert!(heading.iter().any(|line| line.starts_with("Source: ")), "{name} names its source");
        assert!(script.asserts(), "{name} expects something");
    }
}

/// docs/scripts.md is the language's reference: what the parser knows stands there, in its own words.
#[test]
fn the_reference_has_every_word_of_the_language() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/scripts.md");
    let reference = fs::read_to_string(path).expect("the reference");
    let in_table = |text: &str| text.replace('|', "\\|");
    let mut wanted: Vec<String> = Vec::new();
    for command in help::COMMANDS {
        wanted.push(format!("| `{}` | {} |", in_table(command.usage), in_table(command.does)));
    }
    for (usage, says, _) in help::CONDITIONS {
        wanted.push(format!("| `{}` | {} |", in_table(usage), in_table(says)));
    }
    for (knob, takes) in help::KNOBS {
        wanted.push(format!("| `{knob}` | {takes} |"));
    }
    wanted.extend(help::MESSAGES.iter().chain(help::KINDS).map(|word| format!("`{word}`")));
    for line in wanted {
        assert!(reference.contains(&line), "docs/scripts.md lacks: {line}");
    }
}

/// Whoever looks up what an older system did finds the script that shows it.
#[test]
fn the_map_of_the_seeds_names_the_scripts_that_tell_their_stories() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/seeds-map.md");
    let map = fs::read_to_string(path).expect("the map of the seeds");
    for (name, _) in scripts() {
        let of_the_seeds =
            ["lab/", "go/", "store/", "defects/"].iter().any(|folder| name.starts_with(folder));
        assert!(
            !of_the_seeds || map.contains(&format!("`sim/scripts/{name}`")),
            "it lacks sim/scripts/{name}"
        );
    }
}

/// A wrong command and a failed expectation are told in a sentence, with how things stand.
#[test]
fn what_cannot_be_done_is_told() {
    for (text, says) in [
        ("wait leader", "line 1, `wait leader`: there is no cluster yet: begin with `servers N`"),
        ("servers 3\nwait leader\nseed 2", "the servers run already"),
        ("servers 3\nconfig heartbeat_interval 0ms\nrun 1ms", "heartbeat_interval is zero"),
        ("servers 3\nconfig election_timeout 5ms", "100ms now: first `config heartbeat_interval 1ms`"),
        ("servers 3\nconfig heartbeat_interval 2s", "first `config election_timeout 10s..20s`"),
        ("servers 3\nconfig delay 5", "`5` is no duration"),
        ("servers 3\nlog 4 1 1", "there are 3 servers, and no n4"),
        ("servers 3\nlog 1 2 1", "terms begin with 1 and never go back"),
        ("servers 3\ncrash 2\ncrash 2", "n2 does not run"),
        ("servers 3\nrestart 2", "n2 runs already"),
        ("servers 3\ncrash leader", "nobody leads"),
        ("servers 3\nlet old = 2\ncrash odl", "nobody is called `odl`; did you mean `old`?"),
        ("servers 3\ncrash 12", "there are at most 9 servers, and no n12"),
        ("servers 3\ncrash all\nget d", "no server runs"),
        ("servers 3\nhold\ndeliver 1 -> 2", "no such message is held"),
        ("servers 3\nexpect refused", "nothing was asked yet"),
        ("servers 3\ncampaign all", "one server is meant here"),
        ("servers 3\nwait leader\nexpect no leader", "it is not so\nat +0."),
        ("servers 3\ncut all -> all\nwait leader at most 1s", "not so after 1s\nat +1.000:\nn1 "),
        ("servers 3\nalways no leader for 5s", "no more so after "),
    ] {
        let played = play(&Script::read(text).expect(text));
        let failure = played.failure.unwrap_or_else(|| panic!("{text}: nothing failed"));
        assert!(failure.contains(says), "{text}: {failure}");
        assert_eq!(played.steps.iter().filter(|step| step.failure.is_some()).count(), 1, "{text}");
        assert_eq!(played.violations, [], "{text}");
    }
}

/// The same commands give the same run, down to the last line, and another seed another one.
#[test]
fn a_script_is_what_its_seed_makes_it() {
    let told = |seed: u64| {
        let text =
            format!("servers 5\nseed {seed}\nwatch elections votes messages log\nwait leader\nset d 8");
        let played = play(&Script::read(&text).expect("a good script"));
        assert_eq!(played.failure, None);
        played.script.write()
    };
    assert_eq!(told(7), told(7));
    assert_ne!(told(7).replace("seed 7", ""), told(8).replace("seed 8", ""));
}
