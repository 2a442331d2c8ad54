//! The clients: each asks one thing after the other until the run is over.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::task::LocalSet;

use super::bell::Bell;
use super::grpc::Grpc;
use super::link::{Link, Outcome};
use super::plan::{Ask, Dice, End, Plan, Protocol, key};
use super::report::Report;
use super::resp::Resp;
use super::tally::Tally;

/// After an error a client rests so long: servers that refuse are not to be asked in a busy loop.
const REST: Duration = Duration::from_millis(20);
/// Between two lines about a run that is under way.
const BEAT: Duration = Duration::from_millis(500);
/// How many write at the same time when the keys are written beforehand.
const FILLERS: usize = 256;

/// How a run goes, while it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Glance {
    /// Since it began.
    pub elapsed: Duration,
    /// Answers a second, since the last glance.
    pub rate: f64,
    /// Their 99th percentile.
    pub p99: Duration,
    /// Errors since it began.
    pub failures: u64,
}

/// What all clients of a run share.
pub(super) struct Run {
    pub(super) plan: Plan,
    pub(super) value: Vec<u8>,
    pub(super) begun: Instant,
    asked: Cell<u64>,
    tally: RefCell<Tally>,
    /// If there is a rate to keep.
    bell: Option<Bell>,
}

/// Runs a plan against these servers, connections spread over them. `glance` is told how it goes.
///
/// # Errors
/// When there is no runtime for it.
pub fn run(plan: &Plan, servers: &[String], glance: impl Fn(Glance)) -> std::io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    Ok(tasks.block_on(&runtime, async {
        let links = open(plan, servers);
        logged_in(plan, &links).await;
        let run = Rc::new(Run::new(plan));
        let all = (0..plan.clients).map(|number| {
            let (run, link) = (Rc::clone(&run), links[number % links.len()].clone());
            tokio::task::spawn_local(async move { run.client(number, &link).await })
        });
        let all: Vec<_> = all.collect();
        let asked = async {
            for client in all {
                client.await.expect("a client does not panic and is not cancelled");
            }
        };
        watched(asked, || glance(run.look())).await;
        run.report(servers)
    }))
}

/// Waits until all have logged in, which is slow on purpose, and is not what is measured. Whoever cannot is waited for no
/// longer than for an answer; the clients hear why.
async fn logged_in(plan: &Plan, links: &[Link]) {
    if plan.login.is_none() {
        return;
    }
    let all = async {
        for link in links {
            link.until_up().await;
        }
    };
    let _late = tokio::time::timeout(plan.patience, all).await;
}

/// Writes every key once. `progress` is told how many there are by now.
///
/// # Errors
/// The first write that failed.
pub fn fill(plan: &Plan, servers: &[String], progress: impl Fn(u64)) -> Result<(), String> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
    let tasks = LocalSet::new();
    tasks.block_on(&runtime, async {
        let links = open(plan, servers);
        let run = Rc::new(Run::new(plan));
        let next = Rc::new(Cell::new(0));
        let fillers = (0..FILLERS.min(usize::try_from(plan.keys).unwrap_or(FILLERS))).map(|number| {
            let (run, next, link) = (Rc::clone(&run), Rc::clone(&next), links[number % links.len()].clone());
            tokio::task::spawn_local(async move {
                while next.get() < run.plan.keys {
                    let ask = Ask::Put { key: key(next.replace(next.get() + 1)) };
                    link.ask(&ask, &run.value).await?;
                }
                Ok::<(), String>(())
            })
        });
        let fillers: Vec<_> = fillers.collect();
        let filled = async {
            for filler in fillers {
                filler.await.expect("a filler does not panic and is not cancelled")?;
            }
            Ok(())
        };
        watched(filled, || progress(next.get())).await
    })
}

/// Waits for something, and looks at how it goes meanwhile.
pub(super) async fn watched<T>(work: impl Future<Output = T>, look: impl Fn()) -> T {
    let looking = async {
        loop {
            tokio::time::sleep(BEAT).await;
            look();
        }
    };
    tokio::select! {
        done = work => done,
        never = looking => never,
    }
}

fn open(plan: &Plan, servers: &[String]) -> Vec<Link> {
    let links = (0..plan.connections.min(plan.clients)).map(|number| {
        let mut servers = servers.to_vec();
        let first = number % servers.len();
        servers.rotate_left(first);
        let link = match plan.protocol {
            Protocol::Resp => Link::Resp(Rc::new(Resp::new(servers, plan))),
            Protocol::Etcd => Link::Etcd(Rc::new(Grpc::new(servers, plan))),
        };
        let kept = link.clone();
        tokio::task::spawn_local(async move { kept.keep().await });
        link
    });
    links.collect()
}

impl Run {
    pub(super) fn new(plan: &Plan) -> Run {
        let begun = Instant::now();
        // Letters that no compression makes shorter than a byte or so each.
        let value =
            (0..plan.value_bytes).map(|at| b'a' + u8::try_from(at * 7 % 26).expect("below 26")).collect();
        let bell = plan.rate.map(|_| Bell::new());
        let tally = RefCell::new(Tally::new(begun));
        Run { plan: plan.clone(), value, begun, asked: Cell::new(0), tally, bell }
    }

    async fn client(&self, number: usize, link: &Link) {
        let mut dice = Dice::new(&self.plan, number);
        while let Some(since) = self.next_turn().await {
            match link.ask(&dice.next_ask(), &self.value).await {
                Ok(outcome) => self.answered(since, outcome == Outcome::Done),
                Err(why) => self.rest_after(&why).await,
            }
        }
    }

    /// Something that began then is done.
    pub(super) fn answered(&self, since: Instant, found: bool) {
        let now = Instant::now();
        self.tally.borrow_mut().answered(now, now.saturating_duration_since(since), found);
    }

    pub(super) fn failed(&self, why: &str) {
        self.tally.borrow_mut().failed(why);
    }

    pub(super) async fn rest_after(&self, why: &str) {
        self.failed(why);
        tokio::time::sleep(REST).await;
    }

    /// What was seen by now.
    pub(super) fn report(&self, servers: &[String]) -> Report {
        let now = Instant::now();
        self.tally.borrow_mut().close_gap(now);
        Report::of(&self.plan, servers, now.duration_since(self.begun), &self.tally.borrow())
    }

    /// Waits for a client's next turn: since when that operation is counted; `None` when the run is over.
    ///
    /// At a given rate it counts from when it was due, not from when somebody was free to ask: a server that stands
    /// still delays all who would have asked meanwhile.
    pub(super) async fn next_turn(&self) -> Option<Instant> {
        let number = self.asked.get();
        let due = self.plan.rate.map(|rate| self.begun + Duration::from_secs_f64(number as f64 / rate));
        let over = match self.plan.end {
            End::After(span) => due.unwrap_or_else(Instant::now).duration_since(self.begun) >= span,
            End::Operations(count) => number >= count,
        };
        if over {
            return None;
        }
        self.asked.set(number + 1);
        if let (Some(due), Some(bell)) = (due, &self.bell) {
            bell.rings(due).await;
        }
        Some(due.unwrap_or_else(Instant::now))
    }

    pub(super) fn look(&self) -> Glance {
        let mut tally = self.tally.borrow_mut();
        let (answers, p99) = tally.window();
        Glance {
            elapsed: self.begun.elapsed(),
            rate: answers as f64 / BEAT.as_secs_f64(),
            p99: Duration::from_micros(p99),
            failures: tally.failures(),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::client::login::Login;
    use crate::load::plan::Work;

    /// Logins are slow on purpose: a run that counted them would measure passwords.
    #[tokio::test(flavor = "current_thread")]
    async fn a_run_begins_when_all_have_logged_in() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let plan = Plan {
            work: Work::Put,
            protocol: Protocol::Resp,
            serializable: false,
            clients: 2,
            connections: 2,
            keys: 1,
            value_bytes: 1,
            reads: 0,
            rate: None,
            end: End::Operations(1),
            seed: 1,
            patience: Duration::from_secs(20),
            login: Some(Login::of("ana:hers", None)),
        };
        let answering = async {
            let mut streams = Vec::new();
            for _ in 0..plan.connections {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut bytes = [0; 256];
                assert!(stream.read(&mut bytes).await.unwrap() > 0);
                streams.push(stream);
            }
            // Only now that both have asked is anybody answered.
            for stream in &mut streams {
                stream.write_all(b"+OK\r\n").await.unwrap();
            }
            streams
        };
        LocalSet::new()
            .run_until(async {
                let links = open(&plan, &[server]);
                let (_streams, ()) = tokio::join!(answering, logged_in(&plan, &links));
                let is_up = |link: &Link| matches!(link, Link::Resp(link) if link.is_up());
                assert!(links.iter().all(is_up));
            })
            .await;
    }
}
