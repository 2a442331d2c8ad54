//! `jangada etcd`: servers that are started as etcd is.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use crate::support::{Guarded, ask, expect_exit, http_get, jangada, ports, stderr, stdout, wait};
use crate::wire::Reply;

/// etcd's flags for one of the members that `cluster` names.
fn flags(dir: &Path, name: &str, client: u16, cluster: &str) -> Vec<String> {
    let peer = client + 1;
    [
        ("name", name.to_owned()),
        ("data-dir", dir.join(format!("{name}.etcd")).display().to_string()),
        ("listen-client-urls", format!("http://127.0.0.1:{client}")),
        ("advertise-client-urls", format!("http://127.0.0.1:{client}")),
        ("listen-peer-urls", format!("http://127.0.0.1:{peer}")),
        ("initial-advertise-peer-urls", format!("http://127.0.0.1:{peer}")),
        ("initial-cluster", cluster.to_owned()),
        ("initial-cluster-token", "for-a-test".to_owned()),
        ("logger", "zap".to_owned()),
    ]
    .iter()
    .map(|(flag, value)| format!("--{flag}={value}"))
    .collect()
}

#[test]
fn three_members_are_started_in_etcds_words_and_say_when_they_are_ready() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(6);
    let names = ["infra0", "infra1", "infra2"];
    let client = |number: usize| base + 2 * u16::try_from(number).unwrap();
    let cluster = (0..3).map(|number| format!("{}=http://127.0.0.1:{}", names[number], client(number) + 1));
    let cluster = cluster.collect::<Vec<_>>().join(",");
    let start = |number: usize| {
        let flags = flags(dir.path(), names[number], client(number), &cluster);
        Guarded::spawn(jangada().arg("etcd").args(flags))
    };
    let mut members: Vec<Guarded> = (0..3).map(start).collect();
    for member in &members {
        member.wait_said("published local member to cluster through raft");
        member.wait_said("\"msg\":\"ready to serve client requests\"");
    }
    let address = |number: usize| format!("127.0.0.1:{}", client(number));
    let patience = Duration::from_secs(20);
    assert_eq!(ask(&address(0), &["SET", "d", "8"], patience).unwrap(), Reply::Status("OK".to_owned()));

    // Started again with the same words, a member is the same member.
    let mut last = members.pop().unwrap();
    last.signal(rustix::process::Signal::TERM);
    assert_eq!(last.exit_code(), Some(0));
    let again = start(2);
    again.wait_said("ready to serve client requests");
    let seen = wait("an answer", || ask(&address(2), &["GET", "d"], patience).ok());
    assert_eq!(seen, Reply::Bulk(Some(b"8".to_vec())));
}

#[test]
fn clients_come_to_two_addresses_and_figures_have_one_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let base = ports(4);
    let url = |offset: u16| format!("http://127.0.0.1:{}", base + offset);
    let mut command = jangada();
    command.arg("etcd").args(flags(dir.path(), "n", base, &format!("n={}", url(1))));
    // What is said last holds.
    command.args([
        "--listen-client-urls",
        &format!("{},{}", url(0), url(2)),
        "--listen-metrics-urls",
        &url(3),
    ]);
    let server = Guarded::spawn(&mut command);
    server.wait_said("ready to serve client requests");
    let get = |offset: u16, path: &str| http_get(&format!("127.0.0.1:{}", base + offset), path).unwrap();
    for port in [0, 2, 3] {
        assert_eq!(get(port, "/health"), r#"{"health":"true","reason":""}"#, "{port}");
        assert!(get(port, "/metrics").contains("\njangada_ready 1\n"), "{port}");
    }
    assert!(get(2, "/status").contains(r#""name":"n""#));
    assert_eq!(get(3, "/status"), "there are /metrics and /health here\n");
}

#[test]
fn a_program_called_etcd_is_one() {
    let dir = tempfile::tempdir().unwrap();
    let etcd = dir.path().join("etcd");
    symlink(env!("CARGO_BIN_EXE_jangada"), &etcd).unwrap();
    let version = Command::new(&etcd).arg("--version").output().unwrap();
    expect_exit(&version, 0);
    assert!(stdout(&version).starts_with("etcd Version: 3.5."), "{}", stdout(&version));
    let base = ports(2);
    let mut command = Command::new(&etcd);
    let url = format!("http://127.0.0.1:{base}");
    command.args([
        "-listen-client-urls",
        &url,
        "--listen-peer-urls",
        &format!("http://127.0.0.1:{}", base + 1),
    ]);
    command.args(["--initial-advertise-peer-urls", &format!("http://127.0.0.1:{}", base + 1)]);
    // The rest stands in the environment.
    command.env("ETCD_ADVERTISE_CLIENT_URLS", &url).env("ETCD_DATA_DIR", dir.path().join("data"));
    command.env("ETCD_SNAPSHOT_COUNT", "5");
    let server = Guarded::spawn(&mut command);
    server.wait_said("etcd: ready to serve client requests");
    server.wait_said("--snapshot-count changes nothing here: ");
}

#[test]
fn what_cannot_be_honoured_is_refused_by_its_name() {
    for (flags, why) in [
        (&["--cert-file", "/c"][..], "--cert-file /c cannot be honoured: there is no TLS yet"),
        (
            &["--nosuch"],
            "error verifying flags, flag provided but not defined: -nosuch. See 'jangada etcd --help'.",
        ),
        (&["--initial-cluster", "a=http://127.0.0.1:1"], "couldn't find local name \"default\""),
        (&["--listen-peer-urls", "http://127.0.0.1:1,http://127.0.0.2:1"], "one address is all there can be"),
    ] {
        let refused = jangada().arg("etcd").args(flags).output().unwrap();
        expect_exit(&refused, 2);
        assert!(stderr(&refused).contains(why), "{flags:?}: {}", stderr(&refused));
    }
    let help = jangada().args(["etcd", "--help"]).output().unwrap();
    expect_exit(&help, 0);
    assert!(stdout(&help).contains("--cert-file") && stdout(&help).contains("there is no TLS yet"));
}
