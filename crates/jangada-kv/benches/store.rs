//! How long the store takes for one request, and how much memory for one key.
//!
//! `cargo bench -p jangada-kv` prints a table; nothing here judges. A number as argument is the number of keys.
//! Not with criterion: what matters is a store of a million keys, filled once, and its resident memory.
#![allow(clippy::disallowed_methods)] // A bench needs a clock.

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;
use jangada_kv::{Command, Millis, Put, RangeRequest, Request, Restore, Set, Store};

const VALUE_BYTES: usize = 256;
const ROUNDS: u64 = 1_000_000;

fn main() {
    let keys: u64 = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(1_000_000);
    println!("{keys} keys of 16 bytes, values of {VALUE_BYTES} bytes");
    let before = resident_bytes();
    let mut store = Store::new();
    fill(&mut store, keys);
    let per_key = (resident_bytes() - before) / keys;
    println!("{:<44} {:>8} bytes a key, the store says {}", "memory", per_key, store.bytes() / keys);

    bench_reads(&store, keys);
    bench_writes(&mut store, keys);
    bench_snapshot(&mut store);
    once("KEYS *", || {
        black_box(store.read(Millis(1), &Request::Command(Command::Keys { pattern: Bytes::from("*") })));
    });
    once("FLUSHALL", || {
        store.apply(Millis(1), &Request::Command(Command::FlushAll));
    });
}

/// In a mixed order, as clients do it: a fair view of the index.
fn fill(store: &mut Store, keys: u64) {
    let mixed = |i| i * 7_368_787 % keys; // A prime: reaches each number once.
    each(
        "SET of a new key",
        keys,
        |i| set(mixed(i)),
        |request| {
            store.apply(Millis(1), request);
        },
    );
    assert_eq!(store.key_count(), keys);
}

fn bench_reads(store: &Store, keys: u64) {
    let mut random = Random(2);
    for (name, among) in [("GET", keys), ("GET of 1,000 hot keys", keys.min(1_000))] {
        each(
            name,
            ROUNDS,
            |_| get(random.below(among)),
            |request| {
                black_box(store.read(Millis(1), request));
            },
        );
    }
    let wide = RangeRequest { limit: 100, ..RangeRequest::new(jangada_kv::KeyRange::all()) };
    let wide = Request::Range(Box::new(wide));
    once("Range over all keys, limit 100", || {
        black_box(store.read(Millis(1), &wide));
    });
}

fn bench_writes(store: &mut Store, keys: u64) {
    let mut random = Random(3);
    each(
        "SET of an existing key",
        ROUNDS,
        |_| set(random.below(keys)),
        |request| {
            black_box(store.apply(Millis(1), request));
        },
    );
    each(
        "the same, decoded first",
        ROUNDS,
        |_| encoded_set(random.below(keys)),
        |bytes| {
            let request = Request::decode(bytes.clone()).expect("it was encoded");
            black_box(store.apply(Millis(1), &request));
        },
    );
    each(
        "Put of an existing key",
        ROUNDS,
        |_| put(random.below(keys)),
        |request| {
            black_box(store.apply(Millis(1), request));
        },
    );
    let counter = Request::Command(Command::Increment { key: Bytes::from("counter"), by: 1 });
    each(
        "INCR of one key",
        ROUNDS,
        |_| counter.clone(),
        |request| {
            black_box(store.apply(Millis(1), request));
        },
    );
}

fn bench_snapshot(store: &mut Store) {
    let mut bytes = Vec::new();
    let mut longest = 0.0_f64;
    once("a whole snapshot, written", || {
        let mut cursor = store.begin_snapshot();
        loop {
            let begun = Instant::now();
            let Some(chunk) = store.next_chunk(&mut cursor, 64 << 10) else { break };
            longest = longest.max(begun.elapsed().as_secs_f64());
            bytes.push(chunk);
        }
        store.end_snapshot(cursor);
    });
    println!("{:<44} {:>8.0} µs", "  its longest chunk of 64 KiB", longest * 1e6);
    let total: usize = bytes.iter().map(Bytes::len).sum();
    println!("{:<44} {:>8} MiB", "  its size", total >> 20);
    let before = resident_bytes();
    let mut restore = Restore::new();
    once("a whole snapshot, restored", || {
        for chunk in &bytes {
            restore.chunk(chunk).expect("it was just written");
        }
    });
    let restored = restore.finish().expect("it is whole");
    let per_key = (resident_bytes().saturating_sub(before)) / restored.key_count();
    println!("{:<44} {:>8} bytes a key", "  memory afterwards", per_key);
    once("state_hash", || assert_eq!(restored.state_hash(), store.state_hash()));
}

/// Makes and does `count` requests in batches, as a server would, and prints how long one took to do: in the median
/// batch, and in one of the fast ones, because other work on the machine makes some slow.
fn each<T>(name: &str, count: u64, mut make: impl FnMut(u64) -> T, mut work: impl FnMut(&T)) {
    const BATCH: u64 = 500;
    let mut batches: Vec<f64> = (0..count / BATCH)
        .map(|batch| {
            let requests: Vec<T> = (batch * BATCH..(batch + 1) * BATCH).map(&mut make).collect();
            let begun = Instant::now();
            requests.iter().for_each(&mut work);
            begun.elapsed().as_nanos() as f64 / BATCH as f64
        })
        .collect();
    batches.sort_by(f64::total_cmp);
    println!("{name:<44} {:>8.0} ns, {:.0} at best", batches[batches.len() / 2], batches[batches.len() / 20]);
}

fn once(name: &str, work: impl FnOnce()) {
    let begun = Instant::now();
    work();
    println!("{name:<44} {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
}

fn key(number: u64) -> Bytes {
    Bytes::from(format!("key:{number:012}"))
}

fn value() -> Bytes {
    Bytes::from_static(&[b'x'; VALUE_BYTES])
}

fn set(number: u64) -> Request {
    Request::Command(Command::Set(Set::new(key(number), value())))
}

fn put(number: u64) -> Request {
    Request::Put(Put::new(key(number), value()))
}

fn get(number: u64) -> Request {
    Request::Command(Command::Get { key: key(number) })
}

fn encoded_set(number: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(VALUE_BYTES + 32);
    set(number).encode(&mut bytes);
    Bytes::from(bytes)
}

/// Of this process, from Linux; 0 elsewhere.
fn resident_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or(0) * 4096
}

/// SplitMix64 (S. Vigna, public domain).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
