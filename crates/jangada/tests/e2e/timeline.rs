//! `jangada timeline`: of real processes, of their recordings, of what a lost leader leaves behind; and docs/timeline.md.

use std::path::Path;
use std::process::Output;

use crate::laboratory::Place;
use crate::support::{expect_exit, jangada, ports, stderr, stdout, wait};

struct Cluster {
    dir: tempfile::TempDir,
    base: u16,
}

impl Cluster {
    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = jangada();
        command.current_dir(self.dir.path()).env("JANGADA_BASE_PORT", self.base.to_string());
        command.env("JANGADA_SERVERS", self.servers());
        command.args(arguments).output().unwrap()
    }

    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        expect_exit(&output, 0);
        stdout(&output)
    }

    fn servers(&self) -> String {
        [0, 2, 4].map(|offset| format!("127.0.0.1:{}", self.base + offset)).join(",")
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.run(&["cluster", "kill", "all"]);
    }
}

#[test]
fn a_cluster_that_runs_is_seen_and_so_is_what_it_recorded() {
    let cluster = Cluster { dir: tempfile::tempdir().unwrap(), base: ports(20) };
    cluster.ok(&["cluster", "up", "3", "--record", "rec"]);
    cluster.ok(&["client", "set", "d", "8"]);
    // All three are asked; their clocks are brought together by the messages between them.
    let seen = cluster.run(&["timeline", "-o", "json"]);
    expect_exit(&seen, 0);
    let report: serde_json::Value = serde_json::from_str(&stdout(&seen)).unwrap();
    assert_eq!(report["servers"], serde_json::json!(["n1", "n2", "n3"]));
    assert_eq!(report["clocks_agree"], true, "{report}");
    assert!(report["messages"]["received"].as_u64().unwrap() > 5, "{report}");
    assert_eq!(report["messages"]["unrecorded"], 0, "{report}");
    assert!(report["violation"].is_null(), "{report}");

    // A dead server is told, and delays nobody. The others keep what they knew when their leader was lost.
    cluster.ok(&["cluster", "kill", "leader"]);
    cluster.ok(&["client", "set", "d", "9"]);
    let seen = cluster.run(&["timeline", "--last", "60s", "--format", "ascii"]);
    expect_exit(&seen, 0);
    let (picture, notes) = (stdout(&seen), String::from_utf8_lossy(&seen.stderr).into_owned());
    assert!(picture.is_ascii() && picture.contains("LEADER of term"), "{picture}");
    assert!(notes.contains("nothing of "), "{notes}");
    // Nobody said on the command line which cluster: it is told.
    let told =
        format!("this is the cluster at {}; `--servers HOST:PORT` asks another one", cluster.servers());
    assert!(notes.contains(&told), "{notes}");
    let own = cluster.run(&["timeline", "--servers", &cluster.servers(), "--last", "60s"]);
    assert!(!stderr(&own).contains("this is the cluster"), "{}", stderr(&own));
    // Who has fallen silent, and is not there any more, is not said to be silent only.
    wait("the one that nobody can reach", || {
        let seen = stdout(&cluster.run(&["timeline", "--last", "60s", "--width", "200"]));
        seen.contains("which refuses connections").then_some(())
    });
    let folder = cluster.dir.path().join("jangada.cluster");
    let left = wait("what the recorder wrote", || {
        let flights = ["n1", "n2", "n3"].map(|name| folder.join(name).join("data/flight"));
        flights.into_iter().find(|flight| flight.is_dir())
    });
    wait("the whole of it", || {
        let output = cluster.run(&["timeline", left.to_str().unwrap(), "--width", "200"]);
        stdout(&output).contains("election timeout").then_some(())
    });

    // The folder of the recordings holds all of it, from the first start on.
    let whole = wait("the last lines", || {
        let report = cluster.ok(&["timeline", "rec", "-o", "json"]);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        (report["servers"].as_array().unwrap().len() == 3
            && report["messages"]["received"].as_u64() > Some(10))
        .then_some(report)
    });
    assert_eq!(whole["clocks_agree"], true, "{whole}");
    cluster.ok(&["timeline", "rec", "--save", "run.html"]);
    let page = std::fs::read_to_string(cluster.dir.path().join("run.html")).unwrap();
    assert!(page.contains("3 servers") && page.ends_with("</html>\n"));
}

#[test]
fn nobody_there_is_an_answer_too() {
    let output = jangada().args(["timeline", "--servers", "127.0.0.1:1"]).output().unwrap();
    expect_exit(&output, 3);
    let output = jangada().args(["timeline", "no-such-file"]).output().unwrap();
    expect_exit(&output, 2);
    let both = jangada().args(["timeline", "a.jsonl", "--servers", "127.0.0.1:1"]).output().unwrap();
    expect_exit(&both, 2);
    assert!(stderr(&both).contains("cannot be used with"), "{}", stderr(&both));
    let output = jangada().args(["timeline", "a", "--save", "picture.doc"]).output().unwrap();
    expect_exit(&output, 2);
}

/// A recording of three servers in a made-up world, 0.4 s long.
fn recorded(dir: &Path) {
    let script = "servers 3\nwait leader\nset d 8\nrun 100ms\ntimeline last 5s to run.jsonl\n";
    std::fs::write(dir.join("script.txt"), script).unwrap();
    let mut command = jangada();
    command.current_dir(dir).args(["lab", "--sim", "--seed", "7", "--script", "script.txt"]);
    expect_exit(&command.output().unwrap(), 0);
}

fn timeline(dir: &Path, arguments: &[&str]) -> Output {
    jangada().current_dir(dir).arg("timeline").args(arguments).output().unwrap()
}

#[test]
fn a_damaged_line_is_left_out_and_told() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path());
    let file = dir.path().join("run.jsonl");
    let whole = std::fs::read_to_string(&file).unwrap();
    let picture = stdout(&timeline(dir.path(), &["run.jsonl"]));
    assert!(picture.contains("LEADER of term 1"), "{picture}");

    std::fs::write(&file, &whole[..whole.len() - 20]).unwrap();
    let torn = timeline(dir.path(), &["run.jsonl"]);
    expect_exit(&torn, 0);
    let last = whole.lines().count();
    let said = format!("run.jsonl: line {last}, the last one, was cut off, and is left out");
    assert!(stderr(&torn).contains(&said), "{}", stderr(&torn));

    std::fs::write(&file, whole.replacen('\n', "\nnothing of the kind\n{\"time_ns\":", 1)).unwrap();
    let damaged = timeline(dir.path(), &["run.jsonl"]);
    expect_exit(&damaged, 0);
    assert!(stdout(&damaged).contains("LEADER of term 1"));
    let said = "run.jsonl: 2 lines cannot be read, and are left out; the first is line 2: ";
    assert!(stderr(&damaged).contains(said), "{}", stderr(&damaged));

    // Nothing that can be read is an error, unless it lies in a folder beside what can.
    std::fs::write(dir.path().join("other.jsonl"), "nothing of the kind\n").unwrap();
    let nothing = timeline(dir.path(), &["run.jsonl", "other.jsonl"]);
    expect_exit(&nothing, 2);
    assert!(stderr(&nothing).contains("other.jsonl has no record that can be read; line 1: "));
    let folder = timeline(dir.path(), &["."]);
    expect_exit(&folder, 0);
    assert!(stderr(&folder).contains("other.jsonl: line 1 cannot be read"), "{}", stderr(&folder));
}

#[test]
fn a_span_in_which_nothing_lies_is_told() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path());
    let backwards = timeline(dir.path(), &["run.jsonl", "--from", "5s", "--to", "1s"]);
    expect_exit(&backwards, 2);
    assert!(stderr(&backwards).contains("--from 5s is later than --to 1s"), "{}", stderr(&backwards));

    let report = stdout(&timeline(dir.path(), &["run.jsonl", "-o", "json"]));
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    let spans = format!(
        "{:.3} to {:.3} s",
        report["from_seconds"].as_f64().unwrap(),
        report["to_seconds"].as_f64().unwrap()
    );
    for (more, from) in
        [(&["--from", "7s"][..], "7.000"), (&["--to", "8s", "--from", "7s", "--save", "x.svg"], "7.000")]
    {
        let beyond = timeline(dir.path(), &[&["run.jsonl"][..], more].concat());
        expect_exit(&beyond, 2);
        let said = stderr(&beyond);
        assert!(said.contains(from) && said.contains(&spans), "{said}");
        assert_eq!(stdout(&beyond), "");
    }
    assert!(!dir.path().join("x.svg").exists());

    // Inside the recording an empty span is a picture, of servers that do nothing; and so is one without such events.
    let quiet = timeline(dir.path(), &["run.jsonl", "--events", "snapshots"]);
    expect_exit(&quiet, 0);
    assert!(stderr(&quiet).contains("nothing of the kind happened from"), "{}", stderr(&quiet));
}

#[test]
fn a_picture_speaks_what_its_reader_does() {
    let dir = tempfile::tempdir().unwrap();
    recorded(dir.path());
    for (more, environment, words) in [
        (&["--lang", "pt"][..], None, "mandato 1"),
        (&[], Some("pt"), "mandato 1"),
        (&["--lang", "en"], Some("pt"), "term 1"),
    ] {
        let mut command = jangada();
        command.current_dir(dir.path()).args(["timeline", "run.jsonl"]).args(more);
        command.envs(environment.map(|language| ("JANGADA_LANG", language)));
        let output = command.output().unwrap();
        expect_exit(&output, 0);
        assert!(stdout(&output).contains(words), "{more:?} {environment:?}: {}", stdout(&output));
    }
    let none = timeline(dir.path(), &["run.jsonl", "--lang", "pt", "--events", "snapshots"]);
    assert!(stderr(&none).contains("nada disso aconteceu"), "{}", stderr(&none));
}

/// The blocks of a page that begin like this.
fn blocks(page: &str) -> Vec<&str> {
    let fenced = page.split("```text\n").skip(1);
    fenced.map(|block| block.split("```").next().expect("a block ends")).collect()
}

/// A block that begins with `# FILE` is that file; one that begins with `$ jangada` is what the program answers.
fn replay(dir: &Path, block: &str) -> String {
    let mut now = String::new();
    if let Some((file, text)) = block.strip_prefix("# ").and_then(|rest| rest.split_once('\n')) {
        std::fs::write(dir.join(file), text).unwrap();
        return block.to_owned();
    }
    for line in block.lines().filter_map(|line| line.strip_prefix("$ jangada ")) {
        let mut command = jangada();
        command.current_dir(dir).env("LC_ALL", "C.UTF-8").args(line.split_whitespace());
        let output = command.output().unwrap();
        expect_exit(&output, 0);
        now += &format!("$ jangada {line}\n{}", stdout(&output));
    }
    now
}

#[test]
fn the_page_about_timelines_is_what_the_program_does() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/timeline.md");
    let page = std::fs::read_to_string(&file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let mut renewed = page.clone();
    for block in blocks(&page) {
        renewed = renewed.replace(block, &replay(dir.path(), block));
    }
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&file, renewed).unwrap();
        return;
    }
    let differs = page.lines().zip(renewed.lines()).find(|(page, now)| page != now);
    assert!(
        page == renewed,
        "docs/timeline.md is not what the program does (UPDATE=1 renews it): {differs:?}"
    );
}

#[test]
fn a_picture_that_cannot_be_is_refused_with_one_that_could() {
    let place = Place::new();
    expect_exit(&place.piped("wait leader\ntimeline last 5s to run.jsonl\n", &["--sim"]), 0);
    for (more, says) in [
        (["--width", "0"], "write 40 to 10000"),
        (["--width", "1"], "write 40 to 10000"),
        (["--from", "5s"], "and what is asked for begins at 5.000 s"),
        (["--width", "120"], "counts pixels, 800 to 10000, not 120"),
    ] {
        let mut command = jangada();
        command.current_dir(place.dir.path()).args(["timeline", "run.jsonl", "--save", "run.svg"]).args(more);
        let output = command.output().unwrap();
        expect_exit(&output, 2);
        assert!(stderr(&output).contains(says), "{says}\n{}", stderr(&output));
    }
}

#[test]
fn a_picture_for_reports_is_as_wide_on_stdout_as_in_a_file() {
    let place = Place::new();
    expect_exit(&place.piped("wait leader\ntimeline to run.jsonl\n", &["--sim"]), 0);
    let svg = |more: &[&str]| {
        let mut command = jangada();
        command.current_dir(place.dir.path()).args(["timeline", "run.jsonl", "--format", "svg"]).args(more);
        let output = command.output().unwrap();
        expect_exit(&output, 0);
        stdout(&output)
    };
    svg(&["--save", "run.svg"]);
    let saved = std::fs::read_to_string(place.dir.path().join("run.svg")).unwrap();
    assert!(svg(&[]) == saved, "the terminal's columns are no pixels");
    assert!(svg(&["--width", "900"]).contains("width=\"900\""));
}
