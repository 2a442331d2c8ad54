//! Every command with arguments that are wrong, missing, too many, huge, or not of this world: one line says what and
//! what instead, nobody dies, and the next line is read. On real servers and in a made-up world, from a pipe and from a
//! script, in both languages.

use crate::laboratory::Place;
use crate::support::{expect_exit, jangada, stderr, stdout};

/// The words of the scripts and the laboratory's own.
const WORDS: &[&str] = &[
    "servers",
    "profile",
    "seed",
    "config",
    "log",
    "set",
    "get",
    "delete",
    "incr",
    "begin",
    "crash",
    "restart",
    "pause",
    "resume",
    "campaign",
    "snapshot",
    "stall",
    "unstall",
    "isolate",
    "partition",
    "disconnect",
    "reconnect",
    "cut",
    "heal",
    "lose",
    "slow",
    "hold",
    "deliver",
    "drop",
    "duplicate",
    "release",
    "add",
    "remove",
    "members",
    "transfer",
    "run",
    "wait",
    "always",
    "expect",
    "cannot",
    "mark",
    "let",
    "show",
    "watch",
    "why",
    "help",
    "timeout",
    "leader",
    "status",
    "scenario",
    "save",
    "step",
    "back",
    "goto",
    "fork",
    "lesson",
    "speed",
    "xyzzy",
    "lider",
];

/// What may follow them and cannot be meant.
const ARGUMENTS: &[&str] = &[
    "0",
    "-1",
    "nobody",
    "99999999999999999999",
    "18446744073709551615s",
    "n0 n10 n11",
    "\"",
    "\"a\"*999999999",
    "\u{1f6a3} \u{0131}\u{0307} \u{202e}",
    "| | |",
    "-> ->",
    "at at at at",
    "1 2 3 4 5 6 7 8 9 10 11 12 13",
    "300",
    "'; DROP TABLE logs; --",
];

/// Lines that are no mistakes, whatever the table says, or that take their time.
fn is_meant(word: &str, argument: &str) -> bool {
    let anything =
        ["set", "get", "delete", "incr", "save", "fork", "cannot", "mark", "begin", "scenario", "goto"];
    anything.contains(&word)
        || (word == "seed" && argument.parse::<u64>().is_ok())
        || (["run", "slow"].contains(&word) && argument.ends_with('s'))
        || (["why", "timeout", "restart"].contains(&word) && argument.is_empty())
}

fn table() -> Vec<String> {
    let mut lines = Vec::new();
    for word in WORDS {
        for argument in ARGUMENTS {
            if !is_meant(word, argument) {
                lines.push(format!("{word} {argument}"));
            }
        }
    }
    lines
}

/// The table through a pipe: each line is answered, and at the end somebody still listens.
fn piped(more: &[&str]) -> (Vec<String>, String) {
    let place = Place::new();
    let lines = table();
    let text = format!("{}\nget survivor\n", lines.join("\n"));
    let output = place.piped(&text, more);
    let (out, err) = (stdout(&output), stderr(&output));
    assert!(!err.contains("panicked"), "{err}");
    assert!(
        output.status.code().is_some_and(|code| code == 1 || code == 2),
        "{}\n{out}\n{err}",
        output.status
    );
    assert!(out.contains("get survivor: "), "it listens still:\n{out}\n{err}");
    (lines, out)
}

#[test]
fn nothing_that_is_typed_kills_a_made_up_world() {
    let (lines, out) = piped(&["--sim"]);
    assert!(out.lines().count() >= lines.len() / 2, "{out}");
}

#[test]
fn nothing_that_is_typed_kills_real_servers() {
    let (lines, out) = piped(&["--servers", "1"]);
    assert!(out.lines().count() >= lines.len() / 2, "{out}");
}

#[test]
fn every_wrong_line_of_a_script_is_told_before_anything_starts() {
    let place = Place::new();
    for word in ["crash", "lose", "slow", "servers", "lesson", "goto a b", "xyzzy", "set d"] {
        let file = place.dir.path().join("bad.txt");
        std::fs::write(&file, format!("set d 8\n{word} \u{1f6a3}\u{1f6a3} \"\n")).unwrap();
        for more in [&["--script", "bad.txt"][..], &["--script", "bad.txt", "--sim"]] {
            let output = place.piped("", more);
            expect_exit(&output, 2);
            assert_eq!(stdout(&output), "", "{word}");
            assert_eq!(stderr(&output).lines().count(), 1, "{word}: {}", stderr(&output));
        }
    }
}

#[test]
fn no_english_is_left_in_portuguese() {
    // Words that no Portuguese sentence has, and no command.
    const ENGLISH: &[&str] = &[
        "the",
        "is",
        "are",
        "it",
        "its",
        "of",
        "with",
        "and",
        "would",
        "voted",
        "term",
        "there",
        "server",
        "missing",
        "write",
        "which",
        "what",
        "who",
        "known",
        "so",
        "nothing",
        "nobody",
        "already",
        "down",
        "runs",
        "does",
        "lost",
        "answers",
        "later",
        "passed",
        "invalid",
        "created",
        "successful",
        "stopped",
    ];
    let place = Place::new();
    let session = "help\nwatch leaders elections votes terms log commits members snapshots reads messages clients\n\
                   wait leader\nset d 8\nget d\nget nada\nshow roles\nshow log\nshow terms\nshow members\n\
                   show network\nlog\nlog 1\nstatus\nleader\nwhy 1\nwhy leader\nisolate 1\nslow 2ms\nlose 3%\nstatus\n\
                   show network\nheal\ncrash leader\nwhy 1\nwait leader\nrestart all\nadd 4 5\nrun 1s\nremove leader\n\
                   run 1s\nsnapshot all\ntransfer follower\nrun 1s\npause 2\nstatus\nresume 2\nfork aqui\nback\ngoto aqui\n\
                   scenario\nscenario x\nlesson\nlesson 1\nlesson check\nlesson hint\nlesson stop\n\
                   hold\nset d 9 at 1\nshow network\nrelease\n\
                   timeline\ntimeline last 2s events all\ntimeline soon\ntimeline events humor\ntimeline to x.doc\n\
                   timeline depois\ntimeline last 3s to quadro.svg\ntimeline last 3s to quadro.html\n\
                   timeline last 3s to /nao/ha/quadro.txt\n\
                   menu\n\n9\n2 k 4\n3 k\n3 nada\n2\n3\n4 0\n5 0\n6 1\n6 1\n7 1\n7 1\n11 5\n12 5\n11 0\n11 x\n12 99\n\
                   4\n4 x\n4 -1\n4 42\n1\n1 x\n1 0\n1 3\n9\n8\n9\n13\noi\n1 3\nmenu\n";
    let session = format!("{session}{}\n", table().join("\n"));
    let output = place.piped(&session, &["--sim", "--servers", "3", "--lang", "pt"]);
    let svg = std::fs::read_to_string(place.dir.path().join("quadro.svg")).unwrap();
    let svg = svg.split('<').filter_map(|tag| Some(format!("{}\n", tag.split_once('>')?.1)));
    let page = std::fs::read_to_string(place.dir.path().join("quadro.html")).unwrap();
    assert!(page.contains("lang=\"pt-BR\"") && page.contains("Nada está selecionado."));
    let summary = page.split("<header>").nth(1).and_then(|rest| rest.split("</header>").next()).unwrap();
    let svg: String = svg.collect();
    let out = [stdout(&output), stderr(&output), svg, summary.to_owned()].join("\n");
    let mut left = Vec::new();
    let typed: Vec<&str> = session.lines().collect();
    // A complaint stands behind the line that it is about, which is what was typed.
    let complaint = |line: &'_ str| -> Option<String> {
        let (number, rest) = line.strip_prefix("stdin:")?.split_once(": ")?;
        let typed = typed.get(number.parse::<usize>().ok()?.checked_sub(1)?)?;
        let rest = rest.strip_prefix(typed.trim()).or_else(|| rest.split_once('…').map(|(_, rest)| rest))?;
        Some(rest.to_owned())
    };
    for line in out.lines().filter(|line| !line.starts_with("lab> ")) {
        let line = &*complaint(line).unwrap_or_else(|| line.to_owned());
        // Commands are English words: what stands between back-quotes, and how they are written.
        let spoken: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        let spoken = match line.get(43..) {
            Some(does) if does.starts_with(' ') && WORDS.iter().any(|word| line.starts_with(word)) => does,
            Some(_) | None => spoken.as_str(),
        };
        // Names of scenarios are English, too, and so is what is in a held message.
        let spoken =
            spoken.split_whitespace().filter(|word| !word.contains('-')).collect::<Vec<_>>().join(" ");
        let spoken = spoken.split("prevote").next().unwrap_or_default();
        // Behind this word stands a list of what may be typed.
        let spoken = spoken.split("existem ").next().unwrap_or_default();
        let words = spoken.split(|letter: char| !letter.is_alphanumeric());
        if words.clone().any(|word| ENGLISH.contains(&word.to_lowercase().as_str())) {
            left.push(line.to_owned());
        }
    }
    left.dedup();
    assert!(left.is_empty(), "{left:#?}");
}

#[test]
fn the_language_comes_from_the_flag_the_environment_or_the_locale() {
    let place = Place::new();
    let greeting = |flag: &[&str], environment: &[(&str, &str)]| {
        let mut command = place.lab(&["--sim"]);
        command.args(flag).envs(environment.iter().copied()).stdin(std::process::Stdio::null());
        stderr(&command.output().unwrap())
    };
    let (english, portuguese) = ("in a made-up world", "em um mundo simulado");
    assert!(greeting(&[], &[]).contains(english) && greeting(&[], &[]).contains("seed 1"));
    assert!(greeting(&[], &[("LANG", "pt_BR.UTF-8")]).contains(portuguese));
    assert!(greeting(&[], &[("LANG", "pt_BR.UTF-8"), ("JANGADA_LANG", "en")]).contains(english));
    assert!(greeting(&["--lang", "pt"], &[("JANGADA_LANG", "en")]).contains(portuguese));
    assert!(greeting(&[], &[("LANG", "de_DE.UTF-8")]).contains(english));
    let output = jangada().args(["lab", "--lang", "xx"]).output().unwrap();
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("there are `en` and `pt`"), "{}", stderr(&output));
    let output = jangada().env("JANGADA_LANG", "fr").args(["lab", "--sim"]).output().unwrap();
    expect_exit(&output, 2);
    assert!(stderr(&output).contains("JANGADA_LANG is `fr` here"), "{}", stderr(&output));
}
