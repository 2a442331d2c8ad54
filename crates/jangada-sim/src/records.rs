//! What the servers say of themselves: one stream of records, in the order in which it happened.
//!
//! It is the stream that a server writes to its log. It can be kept and written out as JSON lines
//! (`jangada_trace::jsonl`); its hash is what "the same seed gives the same run" means; and the safety reader of
//! `jangada-trace`, which sees nothing but this stream, gives a second opinion beside the checkers that see everything. What the plan
//! does to servers and links is noted between them, for pictures; neither the hash nor the second opinion has it.

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use jangada_node::event::{Deed, Event, Record};
use jangada_raft::types::Time;
use jangada_trace::deeds;
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
    /// Servers that stand still, as far as it was noted.
    paused: BTreeSet<Place>,
    /// Links that are cut, likewise.
    cut: BTreeSet<(Place, Place)>,
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
            paused: BTreeSet::new(),
            cut: BTreeSet::new(),
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

    /// The plan does this to a server. It goes into the stream that is kept, and is no part of what the servers say.
    pub(crate) fn note(&mut self, time: Time, place: Place, deed: Deed) {
        let is_news = match deed {
            Deed::Pause => self.paused.insert(place),
            Deed::Resume => self.paused.remove(&place),
            Deed::Crash => {
                self.paused.remove(&place);
                true
            }
            Deed::Start
            | Deed::Stall
            | Deed::Unstall
            | Deed::Cut { .. }
            | Deed::Mend { .. }
            | Deed::Lose { .. }
            | Deed::Slow { .. } => true,
        };
        if let Some(kept) = self.kept.as_mut().filter(|_| is_news) {
            kept.push(deeds::record(time, id_of(place), deed));
        }
    }

    /// These links are cut now, and all others are whole: what is new about that is noted.
    pub(crate) fn note_links(&mut self, time: Time, cut: BTreeSet<(Place, Place)>) {
        let before = std::mem::replace(&mut self.cut, cut.clone());
        for (from, to) in before.difference(&cut) {
            self.note(time, *from, Deed::Mend { to: id_of(*to) });
        }
        for (from, to) in cut.difference(&before) {
            self.note(time, *from, Deed::Cut { to: id_of(*to) });
        }
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

    #[test]
    fn what_the_plan_does_is_kept_and_not_counted() {
        let plan = Plan { keep_records: true, ..Plan::quiet(1, 3) };
        let (mut records, mut findings) = (Records::new(&plan), Findings::default());
        records.take(Time(1), 0, durable(1), &mut findings);
        let (hash, count) = (records.hash(), records.count());
        records.note_links(Time(2), [(0, 1), (1, 0)].into());
        records.note_links(Time(3), [(1, 0)].into());
        for deed in [Deed::Pause, Deed::Pause, Deed::Resume, Deed::Resume] {
            records.note(Time(4), 2, deed);
        }
        assert_eq!((records.hash(), records.count()), (hash, count));
        let kept = records.into_kept();
        let kept: Vec<(u64, u64, Event)> =
            kept.iter().skip(1).map(|record| (record.node.0, record.seq, record.event)).collect();
        let deeds = [
            (1, Deed::Cut { to: id_of(1) }),
            (2, Deed::Cut { to: id_of(0) }),
            (1, Deed::Mend { to: id_of(1) }),
            (3, Deed::Pause),
            (3, Deed::Resume),
        ];
        assert_eq!(kept, deeds.map(|(node, deed)| (node, 0, Event::Deed(deed))));
    }
}
