//! Every example in every help text is run, in its order, on ports of its own.

use std::net::TcpStream;
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::lab::the_lab;
use crate::support::{Guarded, expect_exit, jangada, ports, stdout, wait};

/// The example lines of `jangada WORDS --help`, each split into its arguments.
pub fn examples(words: &[&str]) -> Vec<Vec<String>> {
    let help = stdout(&jangada().args(words).arg("--help").output().unwrap());
    let joined = help.replace("\\\n", " ");
    let lines = joined.lines().filter_map(|line| line.trim().strip_prefix("$ jangada "));
    let found: Vec<Vec<String>> =
        lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect();
    assert!(!found.is_empty(), "{words:?} has no examples");
    found
}

/// The program in a directory and on ports of this test's own.
fn here(dir: &Path, base: u16) -> Command {
    let mut command = jangada();
    let address = |offset: u16| format!("127.0.0.1:{}", base + offset);
    command.current_dir(dir).env("JANGADA_BASE_PORT", base.to_string());
    command.env("JANGADA_SERVERS", [0, 2, 4].map(address).join(","));
    command.env("JANGADA_ENDPOINTS", [0, 2, 4].map(address).join(","));
    command.env("JANGADA_LISTEN_CLIENT", address(0));
    command
}

fn run_all(dir: &Path, base: u16, lines: &[Vec<String>]) {
    for line in lines {
        let output = here(dir, base).args(line).output().unwrap();
        eprintln!("$ jangada {}\n{}", line.join(" "), stdout(&output));
        expect_exit(&output, 0);
    }
}

/// The ports of a text are the default ones; here they are those of this test.
fn moved(line: &[String], base: u16) -> Vec<String> {
    let moved = line.iter().map(|word| {
        (0..6).fold(word.clone(), |word, offset| {
            word.replace(&format!(":{}", 2379 + offset), &format!(":{}", base + offset))
        })
    });
    moved.collect()
}

/// Stops the cluster even if an example failed.
struct Down<'a>(&'a Path, u16);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        let _ = here(self.0, self.1).args(["cluster", "kill", "all"]).output();
    }
}

/// The same for a cluster in a folder of this name.
struct DownIn<'a>(&'a Path, u16, &'a str);

impl Drop for DownIn<'_> {
    fn drop(&mut self) {
        let _ = here(self.0, self.1).args(["cluster", "--dir", self.2, "kill", "all"]).output();
    }
}

#[test]
fn those_of_the_program_itself() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    let _down = Down(dir.path(), base);
    // The demonstration has a test of its own.
    let lines: Vec<_> = examples(&[]).into_iter().filter(|line| line[0] != "demo").collect();
    run_all(dir.path(), base, &lines);
}

#[test]
fn those_of_cluster() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    let _down = Down(dir.path(), base);
    run_all(dir.path(), base, &examples(&["cluster"]));
}

#[test]
fn those_of_client_and_completions() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    let _down = Down(dir.path(), base);
    run_all(dir.path(), base, &[["cluster", "up", "3"].map(str::to_owned).to_vec()]);
    run_all(dir.path(), base, &examples(&["client"]));
    run_all(dir.path(), base, &examples(&["completions"]));
}

#[test]
fn those_of_ctl() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    let _down = Down(dir.path(), base);
    run_all(dir.path(), base, &examples(&["ctl"]));
}

#[test]
fn those_of_ping() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    let _down = Down(dir.path(), base);
    run_all(dir.path(), base, &[["cluster", "up", "3"].map(str::to_owned).to_vec()]);
    let lines: Vec<_> = examples(&["ping"]).iter().map(|line| moved(line, base)).collect();
    run_all(dir.path(), base, &lines);
}

#[test]
fn those_of_load() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    // Theirs is not the usual folder.
    let _down = DownIn(dir.path(), base, "try");
    let lines: Vec<_> = examples(&["load"]).iter().map(|line| moved(line, base)).collect();
    run_all(dir.path(), base, &lines);
}

#[test]
fn those_of_serve() {
    for line in examples(&["serve"]) {
        let dir = tempfile::tempdir().unwrap();
        let base = ports(20);
        let moved = moved(&line, base);
        let mut server = Guarded::spawn(here(dir.path(), base).args(&moved));
        wait("a server that listens", || TcpStream::connect(("127.0.0.1", base)).ok());
        server.signal(Signal::TERM);
        assert_eq!(server.exit_code(), Some(0), "{moved:?}: {}", server.said());
    }
}

#[test]
fn those_of_node() {
    let _lab = the_lab();
    let dir = tempfile::tempdir().unwrap();
    for line in examples(&["node"]) {
        let mut server = Guarded::spawn(here(dir.path(), 1).args(&line));
        server.wait_said("[SERVER] Listening on");
        server.signal(Signal::INT);
        assert!(matches!(server.exit_code(), Some(0 | 130)), "{line:?}");
    }
}

#[test]
fn those_of_timeline() {
    let dir = tempfile::tempdir().unwrap();
    run_all(dir.path(), 1, &examples(&["timeline"]));
    for file in ["run.html", "run.svg", "output.txt"] {
        assert!(dir.path().join(file).metadata().unwrap().len() > 500, "{file}");
    }
}

/// A line without what differs from run to run: numbers, hashes, who leads, and how wide a column is.
fn masked(line: &str) -> String {
    let is_hash = |word: &str| word.len() >= 8 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let words = line.split_whitespace().map(|word| match word {
        "leader" | "follower" => "role".to_owned(),
        word if is_hash(word) => "#".to_owned(),
        word => {
            let mut masked = word.replace(|c: char| c.is_ascii_digit(), "#");
            while masked.contains("##") || masked.contains("--") {
                masked = masked.replace("##", "#").replace("--", "-");
            }
            masked
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The commands of a document's transcripts, each with what it prints.
fn transcript(document: &str) -> Vec<(String, Vec<String>)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(document);
    let text = std::fs::read_to_string(path).unwrap().replace("\\\n", " ");
    let blocks = text.split("```text\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut played: Vec<(String, Vec<String>)> = Vec::new();
    for line in blocks.flat_map(str::lines) {
        match (line.strip_prefix("$ "), played.last_mut()) {
            (Some(command), _) => played.push((command.to_owned(), Vec::new())),
            (None, Some((_, printed))) => printed.push(masked(line)),
            (None, None) => panic!("a transcript begins with a command: {line}"),
        }
    }
    played
}

#[test]
fn the_transcripts_of_the_page_about_ctl_are_what_happens() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(20);
    let _down = Down(dir.path(), base);
    let bin = dir.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_jangada"), bin.join("jangada")).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let commands = transcript("ctl.md");
    assert!(commands.len() >= 10, "they are found");
    for (command, printed) in commands {
        let said = || {
            let mut shell = Command::new("sh");
            let environment = here(dir.path(), base);
            let variables = environment.get_envs().filter_map(|(name, value)| Some((name, value?)));
            shell.envs(variables).env("PATH", &path).current_dir(dir.path());
            stdout(&shell.args(["-c", &command]).stdin(std::process::Stdio::null()).output().unwrap())
        };
        // What the cluster says of itself is documented elsewhere.
        if command.starts_with("jangada cluster ") {
            said();
            continue;
        }
        // After a failure it takes a moment until all is as the page says.
        let is_as_documented = || {
            let lines: Vec<String> = said().lines().map(masked).collect();
            eprintln!("$ {command}\n{}", lines.join("\n"));
            (lines == printed).then_some(())
        };
        wait(&command, is_as_documented);
    }
}
