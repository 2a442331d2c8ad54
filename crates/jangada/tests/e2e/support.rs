//! Clusters and servers in temporary directories, on ports of their own, that die with the test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::wire::{Connection, Reply, WireError};

/// How long a condition may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The program under test, free of the environment's settings.
pub fn jangada() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_jangada"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("JANGADA_") {
            command.env_remove(name);
        }
    }
    for locale in ["LC_ALL", "LC_MESSAGES", "LANG"] {
        command.env_remove(locale);
    }
    command.stdin(Stdio::null());
    command
}

/// Waits for a condition.
pub fn wait<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The first of `count` ports in a row that nobody uses, below those that the system gives to outgoing connections.
pub fn ports(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let start = u16::try_from(std::process::id() % 150 * 100).unwrap();
    for _ in 0..300 {
        let base = 12_000 + (start + NEXT.fetch_add(count, Ordering::Relaxed)) % 16_000;
        if (base..base + count).all(|port| TcpListener::bind(("127.0.0.1", port)).is_ok()) {
            return base;
        }
    }
    panic!("no {count} free ports in a row");
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Asserts the exit code and shows what was printed if it is another.
#[track_caller]
pub fn expect_exit(output: &Output, code: i32) {
    let (out, err) = (stdout(output), stderr(output));
    assert_eq!(output.status.code(), Some(code), "{}\n--- stdout\n{out}\n--- stderr\n{err}", output.status);
}

/// A cluster started by `jangada cluster up`.
pub struct Cluster {
    pub dir: TempDir,
    pub base: u16,
}

impl Cluster {
    /// A place for a cluster; nothing runs.
    pub fn place() -> Cluster {
        Cluster { dir: tempfile::tempdir().unwrap(), base: ports(20) }
    }

    /// A running cluster of n1 … n`count`.
    pub fn up(count: usize) -> Cluster {
        Cluster::up_with(count, &[])
    }

    /// The same, with more flags for `serve`.
    pub fn up_with(count: usize, more: &[&str]) -> Cluster {
        let cluster = Cluster::place();
        let base = cluster.base.to_string();
        let mut arguments = vec!["up".to_owned(), count.to_string(), "--base-port".to_owned(), base];
        if !more.is_empty() {
            arguments.push("--".to_owned());
            arguments.extend(more.iter().map(|flag| (*flag).to_owned()));
        }
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        expect_exit(&cluster.run(&arguments), 0);
        cluster
    }

    pub fn data(&self) -> PathBuf {
        self.dir.path().join("c")
    }

    /// `jangada cluster --dir … ARGUMENTS`.
    pub fn run(&self, arguments: &[&str]) -> Output {
        jangada().arg("cluster").arg("--dir").arg(self.data()).args(arguments).output().unwrap()
    }

    /// The same, which must succeed; its standard output.
    #[track_caller]
    pub fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        expect_exit(&output, 0);
        stdout(&output)
    }

    /// `cluster status -o json`.
    pub fn status(&self) -> Value {
        serde_json::from_str(&self.ok(&["-o", "json", "status"])).unwrap()
    }

    /// The leader's name, by their own word.
    pub fn leader(&self) -> String {
        wait("a leader", || self.status()["leader"].as_str().map(str::to_owned))
    }

    /// Any running member that does not lead.
    pub fn follower(&self) -> String {
        let leader = self.leader();
        let status = self.status();
        let servers = status["servers"].as_array().unwrap().iter();
        let mut followers =
            servers.filter(|server| server["process"] == "running" && server["name"] != leader.as_str());
        followers.next().unwrap()["name"].as_str().unwrap().to_owned()
    }

    /// What `status` says of one server.
    pub fn server(&self, name: &str) -> Value {
        let status = self.status();
        let mut servers = status["servers"].as_array().unwrap().iter();
        servers.find(|server| server["name"] == name).cloned().unwrap_or(Value::Null)
    }

    /// The client address of n`number`.
    pub fn address(&self, number: u16) -> String {
        format!("127.0.0.1:{}", self.base + 2 * (number - 1))
    }

    /// The client addresses of n1 … n`count`.
    pub fn addresses(&self, count: u16) -> Vec<String> {
        (1..=count).map(|number| self.address(number)).collect()
    }

    /// `jangada client --servers … ARGUMENTS`, with all of n1 … n5.
    pub fn client(&self, arguments: &[&str]) -> Output {
        let servers = self.addresses(5).join(",");
        jangada().args(["client", "--servers", &servers]).args(arguments).output().unwrap()
    }

    /// Waits until n`number` has applied what `others` have committed.
    pub fn wait_caught_up(&self, name: &str) {
        wait("a server that catches up", || {
            let status = self.status();
            let servers = status["servers"].as_array()?;
            let commit =
                servers.iter().filter_map(|server| server["status"]["commit_index"].as_u64()).max()?;
            let own = servers.iter().find(|server| server["name"] == name)?;
            (own["status"]["applied_index"].as_u64()? >= commit).then_some(())
        });
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if thread::panicking() {
            self.show_logs();
        }
        // Removed ones too: every directory with a pid file.
        let Ok(entries) = std::fs::read_dir(self.data()) else { return };
        for entry in entries.flatten().filter(|entry| entry.path().join("jangada.pid").exists()) {
            let name = entry.file_name();
            let _ = self.run(&["kill", &name.to_string_lossy()]);
        }
    }
}

impl Cluster {
    fn show_logs(&self) {
        for number in 1..=7 {
            let path = self.data().join(format!("n{number}/jangada.log"));
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(25)..].join("\n");
            eprintln!("--- the end of n{number}'s log\n{tail}");
        }
    }
}

/// A process that is killed with the test, and whose stderr is collected.
pub struct Guarded {
    pub child: Child,
    said: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
}

impl Guarded {
    pub fn spawn(command: &mut Command) -> Guarded {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::new(Mutex::new(String::new()));
        let (input, copy) = (child.stderr.take().unwrap(), Arc::clone(&said));
        let reader = thread::spawn(move || {
            for line in BufReader::new(input).lines().map_while(Result::ok) {
                copy.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        Guarded { child, said, reader: Some(reader) }
    }

    /// `jangada serve` with a directory and two ports.
    pub fn serve(dir: &Path, base: u16, more: &[&str]) -> Guarded {
        let mut command = jangada();
        command.arg("serve").arg("--data-dir").arg(dir);
        command.args(["--listen-client", &format!("127.0.0.1:{base}")]);
        Guarded::spawn(command.args(["--listen-peer", &format!("127.0.0.1:{}", base + 1)]).args(more))
    }

    /// What it has said on stderr so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn wait_said(&self, words: &str) {
        let said = || self.said();
        let deadline = Instant::now() + PATIENCE;
        while !said().contains(words) {
            assert!(Instant::now() < deadline, "it never said {words:?}, but:\n{}", said());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end, and for its last word.
    pub fn exit_code(&mut self) -> Option<i32> {
        let child = &mut self.child;
        let status = wait("the end of a process", || child.try_wait().unwrap());
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
        status.code()
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("--- a process said\n{}", self.said());
        }
    }
}

/// The body of the answer to `GET path`; nothing if nobody answers.
pub fn http_get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned())
}

/// One command to one server; the connection is not kept.
pub fn ask(address: &str, words: &[&str], patience: Duration) -> Result<Reply, WireError> {
    let deadline = Instant::now() + patience;
    let mut connection = Connection::open(address, deadline).map_err(WireError::NotSent)?;
    let arguments: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
    connection.call(&arguments, deadline)
}

/// Clients that write keys of their own to any of the servers and keep account of what was acknowledged.
pub struct Load {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<BTreeMap<String, String>>>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    pub fn start(servers: Vec<String>, clients: usize) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let acknowledged: Arc<Mutex<BTreeMap<String, String>>> = Arc::default();
        let clients = (0..clients).map(|client| {
            let (stop, acknowledged, servers) =
                (Arc::clone(&stop), Arc::clone(&acknowledged), servers.clone());
            thread::spawn(move || write_on(client, &servers, &stop, &acknowledged))
        });
        let clients = clients.collect();
        Load { stop, acknowledged, clients }
    }

    pub fn count(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until `more` writes have been acknowledged from now on.
    pub fn wait_more(&self, more: usize) {
        let target = self.count() + more;
        wait("acknowledged writes", || (self.count() >= target).then_some(()));
    }

    /// Stops, and gives back what was acknowledged.
    pub fn stop(self) -> BTreeMap<String, String> {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().unwrap();
        }
        self.acknowledged.lock().unwrap().clone()
    }
}

/// Writes one key after the other; after any trouble it goes on with a new key at the next server.
fn write_on(
    client: usize,
    servers: &[String],
    stop: &AtomicBool,
    acknowledged: &Mutex<BTreeMap<String, String>>,
) {
    let mut next = client;
    let mut connection: Option<Connection> = None;
    let mut number = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let (key, value) = (format!("c{client}-{number}"), format!("v{client}-{number}"));
        let deadline = Instant::now() + Duration::from_secs(2);
        if connection.is_none() {
            next += 1;
            connection = Connection::open(&servers[next % servers.len()], deadline).ok();
        }
        let Some(open) = &mut connection else {
            thread::sleep(Duration::from_millis(5));
            continue;
        };
        match open.call(&[b"SET", key.as_bytes(), value.as_bytes()], deadline) {
            Ok(Reply::Status(_)) => {
                acknowledged.lock().unwrap().insert(key, value);
            }
            Ok(_) => thread::sleep(Duration::from_millis(5)),
            Err(_) => connection = None,
        }
        // A steady stream, not a record: the other tests want the processor too.
        thread::sleep(Duration::from_millis(1));
    }
}

/// Asserts that each acknowledged write is found through `address`.
#[track_caller]
pub fn expect_all(acknowledged: &BTreeMap<String, String>, address: &str) {
    assert!(!acknowledged.is_empty(), "nothing was acknowledged: the test proves nothing");
    let mut connection = wait("a connection", || Connection::open(address, Instant::now() + PATIENCE).ok());
    let pairs: Vec<(&String, &String)> = acknowledged.iter().collect();
    for batch in pairs.chunks(500) {
        let mut command: Vec<&[u8]> = vec![b"MGET"];
        command.extend(batch.iter().map(|(key, _)| key.as_bytes()));
        let values = wait("an answer to MGET", || {
            match connection.call(&command, Instant::now() + PATIENCE) {
                Ok(Reply::Array(Some(values))) => Some(values),
                // No leader yet.
                Ok(Reply::Error(_)) => None,
                other => panic!("{address} answered MGET with {other:?}"),
            }
        });
        for ((key, value), found) in batch.iter().zip(values) {
            let found = match found {
                Reply::Bulk(Some(found)) => String::from_utf8_lossy(&found).into_owned(),
                other => format!("{other:?}"),
            };
            assert_eq!(&found, *value, "{key}, read through {address}");
        }
    }
}

/// Sends text as netcat would and reads until `lines` lines have come.
pub fn netcat(address: &str, text: &str, lines: usize) -> Vec<String> {
    use std::io::Write;
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    BufReader::new(stream.take(1 << 20)).lines().take(lines).map(Result::unwrap).collect()
}

/// Whether a program is installed; says so when a test is skipped for it.
pub fn installed(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok();
    if !found {
        assert!(std::env::var_os("JANGADA_REQUIRE_CLIENTS").is_none(), "{program} is not installed");
        eprintln!("skipped: {program} is not installed");
    }
    found
}
