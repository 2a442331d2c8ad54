//! What the servers say of themselves: one stream of records, in the order in which it happened.
//!
//! It is the stream that a server writes to its log. It can be kept and written out as JSON lines
//! (`jangada_trace::jsonl`); its hash is what "the same seed gives the same run" means; and the safety reader of
//! `jangada-trace`, which sees nothing but this stream, gives a second opinion beside the checkers that see everything.

use std::hash::{Hash, Hasher};

use jangada_node::event::{Event, Record};
use jangada_raft::types::Time;
use jangada_trace::safety::Safety;

use crate::check::{Findings, Invariant};
use crate::network::id_of;
use crate::plan::Plan;
use crate::queue::Place;

/// The stream, and who reads it.
pub(crate) struct Records {
    /// For each server, how many records there are of its present start.
    seqs: Vec<u64>,
    count: u64,
    hash: u64,
    safety: Option<Safety>,
    kept: Option<Vec<Record>>,
}

impl Records {
    /// Before the first one.
    pub(crate) fn new(plan: &Plan) -> Records {
        Records {
            seqs: vec![0; plan.places()],
            count: 0,
            hash: plan.seed,
            safety: plan.second_opinion.then(Safety::new),
            kept: plan.keep_records.then(Vec::new),
        }
    }

    /// A server starts: it counts from the beginning.
    pub(crate) fn starts(&mut self, place: Place) {
        self.seqs[place] = 0;
    }

    /// Something happened on a server. All clocks of the world are this one: what a server's own clock says is of no
    /// use to whoever reads the records of several.
    pub(crate) fn take(&mut self, time: Time, place: Place, event: Event, findings: &mut Findings) -> Record {
        self.seqs[place] += 1;
        let record = Record { time, node: id_of(place), seq: self.seqs[place], event };
        self.count += 1;
        self.hash = mix(self.hash, &record);
        if let Some(safety) = &mut self.safety
            && let Err(violation) = safety.read(&record)
        {
            findings.report(Invariant::SecondOpinion, Some(record.node), || violation.to_string());
            // What comes after a violation says nothing more.
            self.safety = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(record);
        }
        record
    }

    /// How many there were.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// One number for all of them, in their order: equal runs give equal numbers.
    pub(crate) fn hash(&self) -> u64 {
        self.hash
    }

    /// All of them, if they were kept.
    pub(crate) fn into_kept(self) -> Vec<Record> {
        self.kept.unwrap_or_default()
    }
}

/// The hash of a stream that goes on with this record.
fn mix(hash: u64, record: &Record) -> u64 {
    struct Mixer(u64);
    impl Hasher for Mixer {
        fn finish(&self) -> u64 {
            self.0
        }
        fn write(&mut self, bytes: &[u8]) {
            self.0 = crate::observed::hash(self.0, bytes);
        }
        fn write_u64(&mut self, word: u64) {
            self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        fn write_u32(&mut self, word: u32) {
            self.write_u64(u64::from(word));
        }
        fn write_u8(&mut self, word: u8) {
            self.write_u64(u64::from(word));
        }
        fn write_isize(&mut self, word: isize) {
            self.write_u64(word.cast_unsigned() as u64);
        }
    }
    let mut mixer = Mixer(hash);
    record.hash(&mut mixer);
    mixer.finish()
}

#[cfg(test)]
mod tests {
    use jangada_raft::event::{Event as RaftEvent, RoleChange, RoleName};
    use jangada_raft::types::{Index, Term};

    use super::*;

    fn durable(last: u64) -> Event {
        Event::Raft(RaftEvent::Durable { last: Index(last) })
    }

    fn leads(term: u64) -> Event {
        let (role, why) = (RoleName::Leader, RoleChange::ElectionWon);
        Event::Raft(RaftEvent::RoleChanged { role, term: Term(term), why })
    }

    fn hash_of(happened: &[(u64, Place, Event)]) -> u64 {
        let (mut records, mut findings) = (Records::new(&Plan::quiet(1, 3)), Findings::default());
        for (time, place, event) in happened {
            records.take(Time(*time), *place, *event, &mut findings);
        }
        records.hash()
    }

    #[test]
    fn the_hash_is_of_what_happened_where_when_and_in_which_order() {
        let a = (1_000, 0, durable(1));
        let b = (1_000, 1, durable(2));
        let first = hash_of(&[a, b]);
        assert_eq!(first, hash_of(&[a, b]));
        assert_ne!(first, hash_of(&[b, a]), "in another order");
        assert_ne!(first, hash_of(&[a]), "one less");
        assert_ne!(first, hash_of(&[a, (1_001, 1, durable(2))]), "at another time");
        assert_ne!(first, hash_of(&[a, (1_000, 2, durable(2))]), "on another server");
        assert_ne!(first, hash_of(&[a, (1_000, 1, durable(3))]), "something else");
        // The end is the same, and the way to it was not.
        assert_ne!(hash_of(&[a, a, b]), hash_of(&[a, b, b]));
    }

    #[test]
    fn the_second_opinion_is_heard_once() {
        let plan = Plan { second_opinion: true, ..Plan::quiet(1, 3) };
        let (mut records, mut findings) = (Records::new(&plan), Findings::default());
        records.take(Time(1), 0, leads(1), &mut findings);
        records.take(Time(2), 1, leads(2), &mut findings);
        assert!(findings.violations.is_empty());
        records.take(Time(3), 2, leads(2), &mut findings);
        let [violation] = findings.violations.as_slice() else { panic!("{:?}", findings.violations) };
        assert_eq!(violation.invariant, Invariant::SecondOpinion);
        assert!(violation.sentence.contains("n2 and n3 both lead in term 2"), "{}", violation.sentence);
    }

    #[test]
    fn a_server_that_starts_counts_anew() {
        let plan = Plan { keep_records: true, ..Plan::quiet(1, 3) };
        let (mut records, mut findings) = (Records::new(&plan), Findings::default());
        records.take(Time(1), 0, durable(1), &mut findings);
        records.take(Time(2), 0, durable(2), &mut findings);
        records.starts(0);
        records.take(Time(3), 0, durable(2), &mut findings);
        let seqs: Vec<u64> = records.into_kept().iter().map(|record| record.seq).collect();
        assert_eq!(seqs, [1, 2, 1]);
    }
}
