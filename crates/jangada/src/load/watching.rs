//! One client writes, the others watch: how long it takes until each of them has heard of each write.
//!
//! A value begins with the time at which its put was due, so that whoever hears of it knows how long that took. The
//! writer has a connection of its own: the time of a put is not to be that of the answers to others.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use jangada_etcd::etcdserverpb::{WatchCreateRequest, WatchResponse};
use tokio::sync::watch;
use tokio::task::LocalSet;
use tokio::time::timeout;

use super::grpc::{Grpc, Talk};
use super::plan::{Dice, Plan};
use super::report::Report;
use super::run::{Glance, Run, watched};

/// All keys of `plan::key`, and nothing else.
const FROM: &[u8] = b"load/";
const TO: &[u8] = b"load0";
/// The time at the front of a value: hexadecimal digits of nanoseconds.
const STAMP_BYTES: usize = 16;

/// Runs a plan of watches. What is counted in the report are deliveries.
///
/// # Errors
/// When there is no runtime for it.
pub fn run(plan: &Plan, servers: &[String], glance: impl Fn(Glance)) -> std::io::Result<Report> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tasks = LocalSet::new();
    Ok(tasks.block_on(&runtime, async {
        let (writer, streams) = open(plan, servers).await;
        let run = Rc::new(Run::new(plan));
        let (heard, mut hearing) = watch::channel(0_u64);
        let heard = Rc::new(heard);
        let mut listening = 0;
        for stream in streams {
            match stream {
                Ok(stream) => {
                    listening += 1;
                    tokio::task::spawn_local(listen(Rc::clone(&run), Rc::clone(&heard), stream));
                }
                Err(why) => run.failed(&why),
            }
        }
        let puts = Cell::new(0_u64);
        let all = async {
            write(&run, &writer, &puts).await;
            // Whoever has not heard of everything by then is counted below.
            let everybody = hearing.wait_for(|heard| *heard >= puts.get() * listening);
            let _late = timeout(plan.patience, everybody).await;
        };
        watched(all, || glance(run.look())).await;
        for _ in *heard.borrow()..puts.get() * listening {
            run.failed("not delivered");
        }
        let mut report = run.report(servers);
        report.puts = Some(puts.get());
        report
    }))
}

/// The writer's connection, and a stream for each watcher.
async fn open(plan: &Plan, servers: &[String]) -> (Rc<Grpc>, Vec<Result<Talk, String>>) {
    let open_one = |number| Grpc::kept(servers, plan, number);
    let writer = open_one(0);
    let links: Vec<_> = (0..plan.connections.min(plan.clients)).map(open_one).collect();
    let mut streams = Vec::with_capacity(plan.clients);
    for number in 0..plan.clients {
        let (key, range_end) = (FROM.into(), TO.into());
        let create = WatchCreateRequest { key, range_end, ..WatchCreateRequest::default() };
        streams.push(links[number % links.len()].watch(create).await);
    }
    (writer, streams)
}

async fn write(run: &Run, writer: &Grpc, puts: &Cell<u64>) {
    let mut dice = Dice::new(&run.plan, 0);
    let mut value = run.value.clone();
    value.resize(value.len().max(STAMP_BYTES), b'.');
    while let Some(since) = run.next_turn().await {
        let stamp = format!("{:0STAMP_BYTES$x}", since.duration_since(run.begun).as_nanos());
        value[..STAMP_BYTES].copy_from_slice(stamp.as_bytes());
        match writer.ask(&dice.next_ask(), &value).await {
            Ok(_done) => puts.set(puts.get() + 1),
            Err(why) => run.rest_after(&why).await,
        }
    }
}

async fn listen(run: Rc<Run>, heard: Rc<watch::Sender<u64>>, mut stream: Talk) {
    loop {
        match stream.hear::<WatchResponse>().await {
            Ok(response) => {
                for event in &response.events {
                    let value = event.kv.as_ref().map_or(&[][..], |kv| &kv.value);
                    if let Some(since) = stamped(value) {
                        heard.send_modify(|heard| *heard += 1);
                        run.answered(run.begun + since, true);
                    }
                }
            }
            Err(why) => return run.failed(&why),
        }
    }
}

/// When the put of this value was due, since the run began; none for values of somebody else.
fn stamped(value: &[u8]) -> Option<Duration> {
    let stamp = std::str::from_utf8(value.get(..STAMP_BYTES)?).ok()?;
    Some(Duration::from_nanos(u64::from_str_radix(stamp, 16).ok()?))
}
