//! The servers of the story: real processes on free ports in a directory of their own. They never outlive it: not
//! when it ends, not when it fails, not after Ctrl+C, not even when it is killed itself (`--die-with-parent`).

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jangada_server::status::Status;

use crate::cluster::layout::{Layout, Server, ports};
use crate::cluster::process;
use crate::cluster::run::{self, START_PATIENCE, Stage as Reached};
use crate::cluster::status::{self, Overview, STATUS_PATIENCE};
use crate::failure::{Exit, Failure};
use crate::output;

/// How long anything in the story may take.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// Ports are taken from here; above, the system gives them to outgoing connections.
const PORTS: std::ops::Range<u16> = 12_000..30_000;

/// The stage.
#[derive(Debug)]
pub struct Stage {
    /// All servers that will appear.
    pub layout: Layout,
    keep: bool,
    /// Set after Ctrl+C: from then on another thread clears everything away and ends the process.
    interrupted: Arc<AtomicBool>,
}

impl Stage {
    /// Prepares for `count` servers; none is started.
    ///
    /// # Errors
    /// When there is no room for them.
    pub fn prepare(count: u32, keep: bool) -> Result<Stage, Failure> {
        let dir = fresh_directory()?;
        let layout = Layout::plan(&dir, count, free_ports(count)?, &[])?;
        let stage = Stage { layout, keep, interrupted: Arc::default() };
        stage.watch_signals()?;
        Ok(stage)
    }

    /// Keeps the directory: something in it may explain what went wrong.
    pub fn keep(&mut self) {
        self.keep = true;
    }

    /// After Ctrl+C servers vanish, and whatever fails then is no news: waits for the end of this process.
    pub fn yield_to_signal(&self) {
        while self.interrupted.load(Ordering::SeqCst) {
            thread::park();
        }
    }

    /// The server called n`number`.
    pub fn server(&self, number: usize) -> &Server {
        &self.layout.servers[number - 1]
    }

    /// Founds the cluster with the first `count` servers.
    ///
    /// # Errors
    /// When they do not start.
    pub fn found(&mut self, count: usize) -> Result<(), Failure> {
        let members: Vec<String> = self.layout.servers[..count]
            .iter()
            .map(|server| format!("{}={}", server.name, server.peer))
            .collect();
        for (index, server) in self.layout.servers.iter_mut().enumerate() {
            server.peers = members.join(",");
            server.join = index >= count;
        }
        let founders = self.layout.servers[..count].to_vec();
        self.start(&founders, Reached::Ready)
    }

    /// Starts servers and waits until they have come that far.
    ///
    /// # Errors
    /// When they do not.
    pub fn start(&self, servers: &[Server], reached: Reached) -> Result<(), Failure> {
        let mut started = run::start(&self.layout, servers, &["--die-with-parent"])?;
        run::wait_for(&self.layout, &mut started, reached, Instant::now() + START_PATIENCE)
    }

    /// Kills servers with SIGKILL, all at once.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn kill(&self, servers: &[Server]) -> Result<(), Failure> {
        run::kill(&self.layout, servers).map(drop)
    }

    /// What `server` says about itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn ask(&self, server: &Server) -> Result<Status, Failure> {
        let answer = status::ask(&server.client, STATUS_PATIENCE);
        answer.map_err(|why| Failure::unreachable(format!("{}: {why}", server.name)))
    }

    /// What all of `servers` say.
    pub fn overview(&self, servers: &[Server]) -> Overview {
        run::overview(&self.layout, |server| servers.iter().any(|chosen| chosen.name == server.name))
    }

    /// Waits until one of `servers` leads, in a term above `above`.
    ///
    /// # Errors
    /// When none does.
    pub fn leader(&self, servers: &[Server], above: u64) -> Result<(Server, u64), Failure> {
        self.wait("a leader", || {
            let overview = self.overview(servers);
            let leader = overview.leader().filter(|leader| leader.term > above)?;
            Some((self.layout.find(&leader.name).ok()?.clone(), leader.term))
        })
    }

    /// Waits until `server` has applied all that the others have committed by now.
    ///
    /// # Errors
    /// When it does not.
    pub fn caught_up(&self, server: &Server, others: &[Server]) -> Result<Duration, Failure> {
        let begun = Instant::now();
        let target = self.overview(others).statuses().map(|status| status.commit_index).max().unwrap_or(0);
        self.wait("a server that catches up", || {
            let status = self.ask(server).ok()?;
            (status.applied_index >= target).then_some(())
        })?;
        Ok(begun.elapsed())
    }

    /// Waits until `condition` gives something.
    ///
    /// # Errors
    /// After [`PATIENCE`].
    pub fn wait<T>(&self, what: &str, mut condition: impl FnMut() -> Option<T>) -> Result<T, Failure> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = condition() {
                return Ok(found);
            }
            if Instant::now() >= deadline {
                let seconds = PATIENCE.as_secs();
                return Err(Failure::new(Exit::No, format!("waited {seconds} s in vain for {what}")));
            }
            thread::sleep(process::POLL);
        }
    }

    /// After Ctrl+C nothing remains, whatever the story is doing at that moment.
    fn watch_signals(&self) -> Result<(), Failure> {
        let (layout, interrupted) = (self.layout.clone(), Arc::clone(&self.interrupted));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
        thread::spawn(move || {
            let exit = runtime.block_on(async {
                use tokio::signal::unix::{SignalKind, signal};
                let (Ok(mut interrupt), Ok(mut terminate)) =
                    (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
                else {
                    // Without handlers the signals end this process, and with it the servers.
                    return std::future::pending().await;
                };
                tokio::select! {
                    _ = interrupt.recv() => 130,
                    _ = terminate.recv() => 143,
                }
            });
            interrupted.store(true, Ordering::SeqCst);
            clear(&layout, false);
            std::process::exit(exit);
        });
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.yield_to_signal();
        clear(&self.layout, self.keep);
    }
}

/// Kills all servers and removes their directory.
fn clear(layout: &Layout, keep: bool) {
    // Whoever is gone already needs no signal; whoever cannot be killed dies with this process.
    let _ = run::kill(layout, &layout.servers);
    if keep {
        output::note(&format!("the servers' data and logs are kept in {}", layout.dir.display()));
    } else if let Err(error) = fs::remove_dir_all(&layout.dir) {
        output::note(&format!("cannot remove {}: {error}", layout.dir.display()));
    }
}

fn fresh_directory() -> Result<PathBuf, Failure> {
    let base = std::env::temp_dir();
    for attempt in 0..100 {
        let dir = base.join(format!("jangada-demo-{}-{attempt}", std::process::id()));
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(Failure::usage(format!("cannot make {}: {error}", dir.display()))),
        }
    }
    Err(Failure::usage(format!("{} is full of old demonstrations; remove jangada-demo-*", base.display())))
}

/// The first port of a block that nobody uses.
fn free_ports(count: u32) -> Result<u16, Failure> {
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.subsec_nanos());
    let width = u32::from(PORTS.end - PORTS.start) - 2 * count;
    for attempt in 0..200_u32 {
        let offset = (nanos / 1_000 + std::process::id() * 37 + attempt * 97) % width;
        let base =
            PORTS.start + u16::try_from(offset).expect("the offset is below the width of a range of ports");
        let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
        let numbers = (1..=count).filter_map(|number| ports(base, number));
        if numbers.into_iter().all(|(client, peer)| is_free(client) && is_free(peer)) {
            return Ok(base);
        }
    }
    Err(Failure::usage("no free block of ports on 127.0.0.1; stop some servers"))
}
