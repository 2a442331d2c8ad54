//! The flight recorder: what happened last on this server, in a ring that is always on.
//!
//! Records are plain `Copy` data: the replica thread puts those of one step into a ring that was allocated once, under one
//! lock; text is made when somebody asks (`GET /debug/records`), on that one's thread. After a panic, and when a leader was
//! lost, the ring is written into the folder `flight` of the data directory (`flight.rs`). With `--record` everything goes
//! to a file, too (`record_file.rs`).

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use jangada_node::event::Record;
use jangada_raft::types::{NodeId, Time};
use jangada_trace::jsonl;
use jangada_trace::names::Names;

/// So many records are kept: some 5 MB.
pub const KEPT_RECORDS: usize = 1 << 16;

/// The ring of one server. Clones are the same ring.
#[derive(Clone, Debug, Default)]
pub struct Recorder(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    ring: Mutex<Ring>,
    names: Mutex<Names>,
    epoch: OnceLock<Instant>,
    /// Tells this start of the server from all others: each counts its records anew.
    start: OnceLock<String>,
    /// Somebody is being given the records.
    busy: AtomicBool,
}

#[derive(Debug, Default)]
struct Ring {
    records: Vec<Record>,
    /// Where the next one goes, once the ring is full.
    next: usize,
}

impl Ring {
    fn push(&mut self, record: Record) {
        if self.records.len() < KEPT_RECORDS {
            if self.records.is_empty() {
                self.records.reserve_exact(KEPT_RECORDS);
            }
            self.records.push(record);
            return;
        }
        self.records[self.next] = record;
        self.next = (self.next + 1) % KEPT_RECORDS;
    }

    /// Those of the time since then, the oldest first.
    fn since(&self, time: Time) -> Vec<Record> {
        let (late, early) = self.records.split_at(self.next);
        let from = |half: &[Record]| half.partition_point(|record| record.time < time);
        [&early[from(early)..], &late[from(late)..]].concat()
    }

    /// At most so many of those that follow this one, the latest.
    fn after(&self, seq: u64, most: usize) -> Vec<Record> {
        let (late, early) = self.records.split_at(self.next);
        let (mut early, mut late) = (newer(early, seq), newer(late, seq));
        late = &late[late.len().saturating_sub(most)..];
        early = &early[early.len().saturating_sub(most - late.len())..];
        [early, late].concat()
    }
}

/// Those that follow this one.
fn newer(records: &[Record], seq: u64) -> &[Record] {
    &records[records.partition_point(|record| record.seq <= seq)..]
}

/// What was asked of the recorder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Excerpt {
    /// What the server's clock shows now.
    pub(crate) now: Time,
    /// One JSON object on each line.
    pub(crate) lines: String,
}

impl Recorder {
    /// The server's time counts from here.
    pub(crate) fn begins(&self, epoch: Instant) {
        let _it_began_before = self.0.epoch.set(epoch);
        let _it_has_one = self.0.start.set(format!("{:016x}", crate::random::u64()));
    }

    /// Which start of the server this is; empty before it begins.
    pub(crate) fn start(&self) -> &str {
        self.0.start.get().map_or("", String::as_str)
    }

    /// Keeps what happened in one step.
    pub fn keep(&self, records: &[Record]) {
        let mut ring = lock(&self.0.ring);
        records.iter().for_each(|record| ring.push(*record));
    }

    /// What a server is called.
    pub(crate) fn name(&self, id: NodeId, name: &str) {
        lock(&self.0.names).insert(id, name);
    }

    /// What the servers are called.
    pub(crate) fn names(&self) -> Names {
        lock(&self.0.names).clone()
    }

    /// All that the ring holds.
    pub(crate) fn all(&self) -> Vec<Record> {
        lock(&self.0.ring).since(Time::ZERO)
    }

    /// What happened in the last `span`, as text. `None` while somebody else is being given it: the text of a full ring
    /// has 10 MB, of which one is enough.
    pub(crate) fn last(&self, span: Duration) -> Option<Excerpt> {
        if self.0.busy.swap(true, Ordering::Acquire) {
            return None;
        }
        let now = self.now();
        let first = now.0.saturating_sub(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX));
        let records = lock(&self.0.ring).since(Time(first));
        let lines = text(&records, &self.names());
        self.0.busy.store(false, Ordering::Release);
        Some(Excerpt { now, lines })
    }

    /// At most `most` of the records that follow this one, the latest of them: for who looks again and again.
    pub(crate) fn after(&self, seq: u64, most: usize) -> Excerpt {
        let records = lock(&self.0.ring).after(seq, most);
        // Later than all of them: they were taken before.
        let now = self.now();
        Excerpt { now, lines: text(&records, &self.names()) }
    }

    /// What the server's clock shows.
    fn now(&self) -> Time {
        let epoch = self.0.epoch.get().copied().unwrap_or_else(Instant::now);
        Time(u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX))
    }
}

/// One JSON object on each line.
pub(crate) fn text(records: &[Record], names: &Names) -> String {
    let mut lines = String::with_capacity(records.len() * 160);
    for record in records {
        jsonl::write(&mut lines, record, names);
        lines.push('\n');
    }
    lines
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is complete in itself; and after a panic is when the ring is wanted most.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_node::event::Event;
    use jangada_raft::event::Event as RaftEvent;
    use jangada_raft::types::Index;

    fn record(seq: u64) -> Record {
        let event = Event::Raft(RaftEvent::Durable { last: Index(seq) });
        Record { time: Time(seq * 10), node: NodeId(1), seq, event }
    }

    #[test]
    fn the_ring_keeps_the_last_ones_in_their_order() {
        let recorder = Recorder::default();
        let many = KEPT_RECORDS as u64 + 1_000;
        for step in (1..=many).collect::<Vec<u64>>().chunks(7) {
            recorder.keep(&step.iter().map(|seq| record(*seq)).collect::<Vec<_>>());
        }
        let kept: Vec<u64> = recorder.all().iter().map(|record| record.seq).collect();
        assert_eq!(kept.len(), KEPT_RECORDS);
        assert!(kept.iter().copied().eq(1_001..=many));
        let late = lock(&recorder.0.ring).since(Time((many - 1) * 10));
        assert_eq!(late, [record(many - 1), record(many)]);
        let after = |seq, most| -> Vec<u64> {
            lock(&recorder.0.ring).after(seq, most).iter().map(|record| record.seq).collect()
        };
        assert_eq!(after(many - 3, 100), [many - 2, many - 1, many]);
        assert_eq!(after(many - 3, 2), [many - 1, many], "the latest");
        assert!(after(many, 100).is_empty());
        let whole: Vec<u64> = (1_001..=many).collect();
        assert_eq!(after(0, KEPT_RECORDS), whole, "over the ring's seam");
        assert_eq!(after(0, 1_500), whole[whole.len() - 1_500..]);
    }

    #[test]
    fn what_is_asked_for_comes_as_lines_with_the_time() {
        let recorder = Recorder::default();
        recorder.begins(Instant::now());
        recorder.keep(&[record(1), record(2)]);
        recorder.name(NodeId(1), "db-1");
        let excerpt = recorder.last(Duration::from_secs(60)).expect("nobody else asks");
        assert!(excerpt.now.0 > 0);
        assert_eq!(excerpt.lines.lines().count(), 2);
        assert!(excerpt.lines.contains(r#""node":"db-1""#), "{}", excerpt.lines);
    }
}
