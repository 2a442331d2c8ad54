//! The command line itself.

use std::process::Output;

use crate::support::{Cluster, Guarded, expect_exit, jangada, ports, stderr, stdout, wait};

fn run(arguments: &[&str]) -> Output {
    jangada().args(arguments).output().unwrap()
}

#[test]
fn help_and_version_are_on_stdout() {
    let version = run(&["--version"]);
    expect_exit(&version, 0);
    assert!(stdout(&version).starts_with("jangada 0."), "{}", stdout(&version));
    for arguments in [&["--help"][..], &["serve", "--help"], &["cluster", "--help"], &["client", "--help"]] {
        let help = run(arguments);
        expect_exit(&help, 0);
        assert!(stdout(&help).contains("Examples"), "{arguments:?}");
    }
}

#[test]
fn nonsense_is_exit_code_2_and_leaves_stdout_empty() {
    for arguments in [
        &["fly"][..],
        &["serve", "--nonsense"],
        &["client", "--servers", "nowhere", "get", "a"],
        &["client", "--timeout", "-1", "get", "a"],
        &["client", "get"],
        &["serve", "--heartbeat-ms", "soon"],
        &["serve", "--listen-client", "0.0.0.0:0"],
        &["serve", "--peers", "n1=127.0.0.1:1,n1=127.0.0.1:2"],
        &["node", "--id", "x"],
    ] {
        let output = run(arguments);
        expect_exit(&output, 2);
        assert_eq!(stdout(&output), "", "{arguments:?}");
        assert!(!stderr(&output).is_empty(), "{arguments:?}");
    }
}

#[test]
fn errors_are_json_when_asked() {
    let output = run(&["-o", "json", "serve", "--name", "n2", "--peers", "n1=127.0.0.1:1"]);
    expect_exit(&output, 2);
    let error: serde_json::Value = serde_json::from_str(&stderr(&output)).unwrap();
    assert_eq!(error["exit"], 2);
    assert!(error["error"].as_str().unwrap().contains("n2 is not among --peers"), "{error}");
}

#[test]
fn a_wrong_key_in_the_file_is_named_with_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jangada.toml");
    std::fs::write(&path, "name = \"n1\"\nheartbeet-ms = 50\n").unwrap();
    let output = jangada().arg("serve").arg("--config").arg(&path).output().unwrap();
    expect_exit(&output, 2);
    let text = stderr(&output);
    assert!(text.contains("line 2") && text.contains("heartbeet-ms"), "{text}");
}

#[test]
fn a_flag_beats_the_environment_and_the_environment_beats_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("jangada.toml");
    std::fs::write(&path, "name = \"file\"\npeers = \"x=127.0.0.1:1\"\n").unwrap();
    // The name that counts is the one that is refused.
    let refused = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = jangada();
        command.arg("serve").arg("--config").arg(&path);
        command.envs(environment.map(|name| ("JANGADA_NAME", name)));
        if let Some(name) = flag {
            command.args(["--name", name]);
        }
        let output = command.output().unwrap();
        expect_exit(&output, 2);
        stderr(&output)
    };
    assert!(refused(None, None).contains("--name file is not"));
    assert!(refused(Some("environment"), None).contains("--name environment is not"));
    assert!(refused(Some("environment"), Some("flag")).contains("--name flag is not"));
}

#[test]
fn completions_are_written_for_each_shell() {
    for shell in ["bash", "zsh", "fish"] {
        let output = run(&["completions", shell]);
        expect_exit(&output, 0);
        assert!(stdout(&output).contains("jangada"), "{shell}");
    }
    expect_exit(&run(&["completions", "abacus"]), 2);
}

#[test]
fn a_reader_that_goes_away_is_no_crash() {
    let script = format!("{} completions zsh | head -1", env!("CARGO_BIN_EXE_jangada"));
    let output = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
    assert!(!stderr(&output).contains("panicked"), "{}", stderr(&output));
}

#[test]
fn the_log_tells_as_much_as_it_is_asked() {
    let started = |more: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        let server = Guarded::serve(dir.path(), ports(2), more);
        server.wait_said("ready: ");
        server.said()
    };
    assert!(started(&[]).contains("log opened: 0 entries"));
    assert!(!started(&["--log-level", "warn"]).contains("log opened"));

    let cluster = Cluster::up_with(3, &["--log-level", "trace"]);
    expect_exit(&cluster.client(&["set", "d", "8"]), 0);
    let leader = cluster.leader();
    let log = |name: &str| std::fs::read_to_string(cluster.data().join(name).join("jangada.log")).unwrap();
    for words in [
        "election timer set to",
        "→ n2 #",
        "RequestVote (last log index 0)",
        "votes for it in term",
        "LEADER of term",
        "AppendEntries, 1 entry after",
        "AppendEntries ok up to",
        "appended, term",
        "committed up to",
    ] {
        wait(words, || ["n1", "n2", "n3"].iter().any(|name| log(name).contains(words)).then_some(()));
    }
    assert!(log(&leader).contains("reaches"), "what is told at other levels is told too");
}
