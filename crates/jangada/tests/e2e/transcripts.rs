//! The transcripts of the documents, played again: a made-up world is the same each time, byte for byte; real servers say
//! the same sentences at other times, and others of them lead.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Instant;

use crate::laboratory::Place;
use crate::support::{PATIENCE, expect_exit, stderr, stdout};

/// The blocks of a document that begin like this.
fn transcripts(document: &str, begins: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
    let text = std::fs::read_to_string(path).unwrap();
    let blocks = text.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    blocks.filter(|block| block.starts_with(begins)).map(str::to_owned).collect()
}

#[test]
fn what_the_documents_show_is_what_happens() {
    let place = Place::new();
    let mut played = 0;
    for document in ["lab.md", "lessons.md"] {
        for transcript in transcripts(document, "$ jangada lab --sim") {
            let (command, rest) = transcript.split_once('\n').unwrap();
            let more: Vec<&str> = command.split(' ').skip(3).collect();
            let typed: Vec<&str> = rest.lines().filter_map(|line| line.strip_prefix("> ")).collect();
            let shown: Vec<&str> = rest.lines().filter(|line| !line.starts_with("> ")).collect();
            let output = place.piped(&format!("{}\n", typed.join("\n")), &more);
            // Who reads a pipe names the line; who types at the prompt knows which.
            let said = (1..).zip(&typed).fold(stdout(&output), |said, (number, line)| {
                said.replace(&format!("stdin:{number}: {line}: "), "")
            });
            assert_eq!(said.lines().collect::<Vec<_>>(), shown, "{document}: {command}");
            // A check that is refused is part of the lesson.
            expect_exit(&output, i32::from(said.contains("not yet, ") || said.contains("ainda não, ")));
            played += 1;
        }
    }
    assert!(played >= 3, "they are found");
}

#[test]
fn the_exercise_for_a_class_is_solved_by_its_answer_and_not_without_it() {
    let place = Place::new();
    let answer = transcripts("lab.md", "# answer.txt").pop().expect("it is found");
    for (text, code, says) in [
        (answer.clone(), 0, "answer.svg: 5 servers"),
        (
            answer.replace("wait leader changed\n", "# Nothing.\n"),
            1,
            "answer.txt:11: expect one leader: it is not so",
        ),
    ] {
        std::fs::write(place.dir.path().join("answer.txt"), text).unwrap();
        let output = place.piped("", &["--sim", "--script", "answer.txt"]);
        expect_exit(&output, code);
        assert!(stdout(&output).contains(says), "{}", stdout(&output));
    }
}

/// A line without what differs from run to run: every number is `#`, and of a list of servers only one is left.
fn masked(line: &str) -> String {
    let mut masked = String::new();
    for c in line.chars() {
        match c {
            '0'..='9' if masked.ends_with('#') => {}
            '0'..='9' => masked.push('#'),
            // Inside of a number, or before the next one.
            '.' | ':' if masked.ends_with('#') => {}
            c => masked.push(c),
        }
    }
    let words = masked.replace("# µs", "# ms").replace("# s ", "# ms ");
    let mut kept: Vec<&str> = words.split_whitespace().collect();
    kept.dedup_by(|later, earlier| later == earlier && *later == "n#");
    kept.join(" ")
}

#[test]
fn what_differs_from_run_to_run_is_masked() {
    let line = "+0.549  n1     n3 n2 voted (with its own 3 of 5: enough) → LEADER of term 1";
    assert_eq!(masked(line), "+# n# voted (with its own # of # enough) → LEADER of term #");
    assert_eq!(masked("  n1 127.0.0.1:3001   n2 :3002"), masked("  n1 127.0.0.1:41   n2 :42"));
    assert_eq!(masked("committed in 2.8 ms)"), masked("committed in 841 µs)"));
    assert_ne!(masked("get d: 8"), masked("get d: (none)"));
}

/// A laboratory of real servers that is typed to, line by line.
struct Typed {
    lines: Receiver<String>,
    /// What was said, as far as it was read.
    said: Vec<String>,
    /// What stands before this was expected.
    at: usize,
}

impl Typed {
    fn hear(from: impl Read + Send + 'static, lines: Sender<String>) {
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                // Nobody listens any more when the test is over.
                let _over = lines.send(line);
            }
        });
    }

    /// The next line that is like this one, if it is said in time; what stands before it is passed over.
    fn next(&mut self, like: &str) -> Option<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let found = self.said[self.at..].iter().position(|said| masked(said) == masked(like));
            if let Some(found) = found {
                self.at += found + 1;
                return Some(self.said[self.at - 1].clone());
            }
            let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()?;
            self.said.push(line);
        }
    }
}

/// The same servers under the names that they have here: whoever leads in the document is whoever leads now.
#[derive(Default)]
struct Cast(BTreeMap<char, char>);

impl Cast {
    fn plays(&mut self, documented: &str, said: &str) {
        let server = |line: &str| line.split_whitespace().nth(1).and_then(|name| name.chars().nth(1));
        if let (Some(role), Some(actor)) = (server(documented), server(said)) {
            self.0.insert(role, actor);
        }
    }

    /// A line to type: numbers of servers stand alone there.
    fn line(&mut self, line: &str) -> String {
        let translate = |word: &str| match word.chars().collect::<Vec<_>>()[..] {
            [role @ '1'..='5'] => self.actor(role).to_string(),
            _ => word.to_owned(),
        };
        let is_about_servers = !["set", "get"].iter().any(|verb| line.starts_with(verb));
        if is_about_servers {
            line.split(' ').map(translate).collect::<Vec<_>>().join(" ")
        } else {
            line.to_owned()
        }
    }

    fn actor(&self, role: char) -> char {
        let taken = |actor: &char| self.0.values().any(|other| other == actor);
        let mut free = ('1'..='5').filter(|actor| !taken(actor));
        self.0.get(&role).copied().or_else(|| free.next()).expect("five servers play five")
    }
}

#[test]
fn what_the_documents_show_of_real_servers_is_what_they_say() {
    let transcript = transcripts("lab.md", "jangada lab · 5 servers").pop().expect("it is found");
    let place = Place::new();
    let mut child = place.lab(&[]);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (sender, lines) = channel();
    Typed::hear(child.stdout.take().unwrap(), sender);
    let mut session = Typed { lines, said: Vec::new(), at: 0 };
    let mut cast = Cast::default();
    let (greeting, rest) = transcript.split_once('\n').unwrap();
    for line in rest.lines() {
        if let Some((_, command)) = line.strip_prefix("lab[").and_then(|rest| rest.split_once("]> ")) {
            writeln!(stdin, "{}", cast.line(command)).unwrap();
            continue;
        }
        let said = session
            .next(line)
            .unwrap_or_else(|| panic!("never said: {line}\nbut:\n{}", session.said.join("\n")));
        if line.contains("LEADER of term") {
            cast.plays(line, &said);
        }
    }
    drop(stdin);
    let end = child.wait_with_output().unwrap();
    expect_exit(&end, 0);
    assert!(stderr(&end).lines().any(|line| masked(line) == masked(greeting)), "{}", stderr(&end));
}
