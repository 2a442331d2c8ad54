//! Servers die, sleep and wake in a random order while clients write and read: no read is ever stale, and nothing
//! acknowledged is lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::support::{Cluster, expect_all, wait};
use crate::wire::{Connection, Reply};

/// Faults one after the other; `JANGADA_SLOW=1` asks for more.
const ROUNDS: u32 = 10;
const SLOW_ROUNDS: u32 = 200;

/// A small generator of our own (SplitMix64): a seed means the same for ever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) >> 33).unwrap() % bound
    }
}

#[test]
fn no_read_is_stale_while_servers_die_sleep_and_wake() {
    let seed = match std::env::var("JANGADA_SEED") {
        Ok(text) => text.parse().unwrap(),
        Err(_) => u64::from(std::process::id()),
    };
    eprintln!("replay the order of the faults with JANGADA_SEED={seed}");
    let rounds = if std::env::var_os("JANGADA_SLOW").is_some() { SLOW_ROUNDS } else { ROUNDS };
    let cluster = Cluster::up(3);
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients = (0..3_u64).map(|client| {
        let (stop, done) = (Arc::clone(&stop), Arc::clone(&done));
        let servers = cluster.addresses(3);
        thread::spawn(move || Register::new(client, seed, servers).run(&stop, &done))
    });
    let clients: Vec<_> = clients.collect();

    let mut chance = Chance(seed);
    for _ in 0..rounds {
        let victim = match chance.below(2) {
            0 => cluster.leader(),
            _ => format!("n{}", chance.below(3) + 1),
        };
        let (hurt, heal) = if chance.below(2) == 0 { ("kill", "restart") } else { ("pause", "resume") };
        cluster.ok(&[hurt, &victim]);
        let before = done.load(Ordering::Relaxed);
        wait("operations without it", || (done.load(Ordering::Relaxed) >= before + 100).then_some(()));
        cluster.ok(&[heal, &victim]);
        let before = done.load(Ordering::Relaxed);
        wait("operations with it", || (done.load(Ordering::Relaxed) >= before + 50).then_some(()));
    }
    stop.store(true, Ordering::Relaxed);
    let mut acknowledged = BTreeMap::new();
    for client in clients {
        acknowledged.extend(client.join().expect("a read was stale: see above"));
    }
    for address in cluster.addresses(3) {
        expect_all(&acknowledged, &address);
    }
}

/// A client that alone writes its key, counting up, and reads it through any server.
struct Register {
    client: u64,
    chance: Chance,
    servers: Vec<String>,
    /// A write with an unknown outcome may take effect at any time: from then on another key is used.
    epoch: u64,
    acknowledged: u64,
    finished: BTreeMap<String, String>,
    /// A server that did not answer, and until when it is left alone: a paused one would cost a second each time.
    avoided: Option<(String, Instant)>,
}

impl Register {
    fn new(client: u64, seed: u64, servers: Vec<String>) -> Register {
        let chance = Chance(seed ^ (client + 1));
        Register {
            client,
            chance,
            servers,
            epoch: 0,
            acknowledged: 0,
            finished: BTreeMap::new(),
            avoided: None,
        }
    }

    /// Gives back the keys whose last value is certain.
    fn run(mut self, stop: &AtomicBool, done: &AtomicU64) -> BTreeMap<String, String> {
        while !stop.load(Ordering::Relaxed) {
            if self.write() && self.read() {
                done.fetch_add(1, Ordering::Relaxed);
            }
            thread::sleep(Duration::from_millis(1));
        }
        self.finish();
        self.finished
    }

    fn key(&self) -> String {
        format!("register-{}-{}", self.client, self.epoch)
    }

    /// The next number; `false` if it was not acknowledged.
    fn write(&mut self) -> bool {
        let (key, value) = (self.key(), (self.acknowledged + 1).to_string());
        match self.ask(&[b"SET", key.as_bytes(), value.as_bytes()]) {
            Some(Reply::Status(_)) => {
                self.acknowledged += 1;
                true
            }
            Some(Reply::Error(text)) if !text.starts_with("UNKNOWNOUTCOME") => false,
            Some(other @ (Reply::Integer(_) | Reply::Bulk(_) | Reply::Array(_))) => {
                panic!("SET gave {other:?}")
            }
            // Unknown: what was read so far stays true, but nothing more can be said of this key.
            Some(Reply::Error(_)) | None => {
                self.epoch += 1;
                self.acknowledged = 0;
                false
            }
        }
    }

    /// What was acknowledged last must be read, through whichever server.
    fn read(&mut self) -> bool {
        let key = self.key();
        match self.ask(&[b"GET", key.as_bytes()]) {
            Some(Reply::Bulk(Some(value))) => {
                let value = String::from_utf8(value).unwrap();
                assert_eq!(value, self.acknowledged.to_string(), "{key}: a read that is stale, or too new");
                true
            }
            Some(Reply::Error(_)) | None => false,
            Some(other) => {
                panic!("{key} was acknowledged {} times, but GET gave {other:?}", self.acknowledged)
            }
        }
    }

    fn finish(&mut self) {
        if self.acknowledged > 0 {
            self.finished.insert(self.key(), self.acknowledged.to_string());
        }
    }

    /// Any server, a connection of its own; `None` if there was no answer.
    fn ask(&mut self, command: &[&[u8]]) -> Option<Reply> {
        let now = Instant::now();
        let avoided = self.avoided.take_if(|(_, until)| *until > now);
        let servers: Vec<&String> = self
            .servers
            .iter()
            .filter(|server| avoided.as_ref().is_none_or(|(bad, _)| bad != *server))
            .collect();
        let address = servers[self.chance.below(servers.len())].clone();
        self.avoided = avoided;
        let deadline = now + Duration::from_secs(1);
        let reply =
            Connection::open(&address, deadline).ok().and_then(|mut open| open.call(command, deadline).ok());
        if reply.is_none() {
            self.avoided = Some((address, Instant::now() + Duration::from_millis(500)));
        }
        reply
    }
}
