//! Random lives against the model, and random bytes against everything that reads.
//!
//! Proptest prints the failing input; `PROPTEST_CASES` makes the search longer.

use std::collections::BTreeSet;

use bytes::Bytes;
use jangada_raft::types::{Entry, Index, Membership, NodeId, Payload, SnapshotMeta, Target, Term};
use jangada_wal::checked_file::read_checked_file;
use jangada_wal::mem_disk::{Fault, Unsynced};
use jangada_wal::{MemDisk, SnapshotReader, Wal, codec};
use proptest::prelude::*;

use crate::script::{Memory, Step, go_on, life, run};
use crate::support::{IDENTITY, entry, small, vote};

fn set() -> impl Strategy<Value = BTreeSet<NodeId>> {
    prop::collection::btree_set(any::<u64>().prop_map(NodeId), 0..6)
}

fn membership() -> impl Strategy<Value = Membership> {
    let target = (set(), set()).prop_map(|(voters, learners)| Target { voters, learners });
    let context = prop::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from);
    (set(), prop::option::of(set()), set(), prop::option::of(target), context).prop_map(
        |(voters, outgoing, learners, target, context)| Membership {
            voters,
            outgoing,
            learners,
            target,
            context,
        },
    )
}

fn any_entry() -> impl Strategy<Value = Entry> {
    let payload = prop_oneof![
        Just(Payload::Noop),
        prop::collection::vec(any::<u8>(), 0..100).prop_map(|bytes| Payload::Command(bytes.into())),
        membership().prop_map(|membership| Payload::Membership(Box::new(membership))),
    ];
    (any::<u64>(), any::<u64>(), payload).prop_map(|(term, index, payload)| Entry {
        term: Term(term),
        index: Index(index),
        payload,
    })
}

/// A valid next step for a log in this state, chosen by three random numbers.
fn next_step(memory: &Memory, choice: u8, number: u64, length: usize) -> Step {
    let snapshot = memory.snapshot.as_ref().map_or(0, |meta| meta.last_included_index.0);
    let last = memory.entries.last().map_or(snapshot, |entry| entry.index.0);
    let snapshot_term = memory.snapshot.as_ref().map_or(0, |meta| meta.last_included_term.0);
    let last_term = memory.entries.last().map_or(snapshot_term, |entry| entry.term.0);
    let term = memory.hard_state.term.0.max(last_term);
    match choice % 16 {
        0 => Step::Maintain,
        1 => Step::Seal,
        2 | 3 => Step::Reopen,
        // Ours, ending with an entry that we have.
        4 | 5 if last > snapshot => {
            let held = &memory.entries[usize::try_from(number).unwrap_or(0) % memory.entries.len()];
            Step::Snapshot { index: held.index.0, term: held.term.0 }
        }
        // A leader's, of another history.
        6 => Step::Snapshot { index: snapshot + 1 + number % 5, term: term + 1 },
        7 => Step::Write {
            hard_state: Some(vote(term + 1, number)),
            truncate_from: (last > snapshot).then(|| snapshot + 1 + number % (last - snapshot)),
            entries: vec![],
        },
        _ => {
            let count = 1 + number % 3;
            let text = "x".repeat(length);
            let entries = (1..=count).map(|nth| entry(last + nth, term.max(1), &text)).collect();
            Step::Write { hard_state: None, truncate_from: None, entries }
        }
    }
}

/// A script of valid steps for a log that remembers this: the model runs ahead to know what is valid.
fn script(mut memory: Memory, choices: &[(u8, u64, usize)]) -> Vec<Step> {
    let mut steps = Vec::new();
    for (choice, number, length) in choices {
        let step = next_step(&memory, *choice, *number, *length);
        memory.expect(&step);
        steps.push(step);
    }
    steps
}

fn choices() -> impl Strategy<Value = Vec<(u8, u64, usize)>> {
    let length = prop_oneof![4 => 0..200_usize, 1 => 0..9_000_usize];
    prop::collection::vec((any::<u8>(), any::<u64>(), length), 1..60)
}

/// The disk after a power loss; `keep` chooses what was in time.
fn survivors(disk: &MemDisk, keep: u64) -> MemDisk {
    disk.power_loss(|number, change| {
        let keep = keep.rotate_left(u32::try_from(number % 64).unwrap());
        match change {
            Unsynced::Name { .. } if keep % 2 == 0 => vec![],
            Unsynced::Name { .. } => std::iter::once(0..1).collect(),
            Unsynced::Write { data, .. } => {
                let kept = (0..data.len()).step_by(512);
                let kept = kept.filter(|at| keep.rotate_left((at / 512 % 64) as u32) & 2 == 0);
                kept.map(|at| at..data.len().min(at + 512)).collect()
            }
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_random_life_is_remembered(choices in choices()) {
        let steps = script(Memory::default(), &choices);
        let disk = MemDisk::new();
        let outcome = run(&disk, &steps);
        prop_assert!(outcome.error.is_none(), "{:?}", outcome.error);
        let (_, recovered) = Wal::open(disk.power_loss(|_, _| vec![]), small()).unwrap();
        prop_assert_eq!(recovered.torn_bytes, 0);
        prop_assert_eq!(Memory::of(recovered), outcome.promised);
    }

    #[test]
    fn a_random_life_survives_a_random_crash(choices in choices(), crash in any::<u64>(), keep in any::<u64>()) {
        let steps = script(Memory::default(), &choices);
        let disk = MemDisk::new();
        run(&disk, &steps);
        let operations = disk.operations();
        let disk = MemDisk::new();
        disk.fail_at(crash % operations, Fault::Crash);
        let outcome = run(&disk, &steps);
        let image = survivors(&disk, keep);
        let found = Memory::of(Wal::open(image, small()).unwrap().1);
        prop_assert!(found == outcome.promised || found == outcome.attempted);
    }

    /// The disk refuses, the process ends and is started again on what its page cache shows, and later the power
    /// fails: what the first life left in the cache alone is not relied upon in the second.
    #[test]
    fn a_random_life_after_a_refusal_survives_a_random_crash(
        lives in (choices(), choices()),
        (full, refusal) in any::<(bool, u64)>(),
        (crash, keep) in any::<(u64, u64)>(),
    ) {
        let steps = script(Memory::default(), &lives.0);
        let disk = MemDisk::new();
        run(&disk, &steps);
        let operations = disk.operations();
        let first = MemDisk::new();
        first.fail_at(refusal % operations, if full { Fault::DiskFull } else { Fault::Broken });
        run(&first, &steps);
        let second = || {
            let disk = first.process_killed();
            let (wal, recovered) = Wal::open(disk.clone(), small()).unwrap();
            drop(wal);
            (disk, Memory::of(recovered))
        };
        let (disk, memory) = second();
        let steps = script(memory.clone(), &lives.1);
        let opened = disk.operations();
        let whole = go_on(&disk, memory.clone(), &steps);
        prop_assert!(whole.error.is_none(), "{:?}", whole.error);
        let operations = disk.operations();
        let (disk, memory) = second();
        disk.fail_at(opened + crash % (operations - opened), Fault::Crash);
        let outcome = go_on(&disk, memory, &steps);
        let found = Memory::of(Wal::open(survivors(&disk, keep), small()).unwrap().1);
        prop_assert!(found == outcome.promised || found == outcome.attempted);
    }

    #[test]
    fn values_come_back_from_their_bytes(entry in any_entry(), membership in membership(), tail in any::<[u8; 3]>()) {
        let mut out = vec![];
        codec::encode_entry(&entry, &mut out);
        prop_assert_eq!(out.len(), codec::encoded_entry_len(&entry));
        let meta = SnapshotMeta { last_included_index: entry.index, last_included_term: entry.term, membership: membership.into() };
        codec::encode_snapshot_meta(&meta, &mut out);
        out.extend_from_slice(&tail);
        let mut input = Bytes::from(out);
        prop_assert_eq!(codec::decode_entry(&mut input), Ok(entry));
        prop_assert_eq!(codec::decode_snapshot_meta(&mut input), Ok(meta));
        prop_assert_eq!(&input[..], &tail[..]);
    }

    /// What decodes has no second encoding.
    #[test]
    fn random_bytes_decode_to_what_they_are_or_not_at_all(bytes in prop::collection::vec(prop_oneof![0..4_u8, any::<u8>()], 0..80)) {
        let bytes = Bytes::from(bytes);
        let mut rest = bytes.clone();
        if let Ok(membership) = codec::decode_membership(&mut rest) {
            let mut out = vec![];
            codec::encode_membership(&membership, &mut out);
            prop_assert_eq!(&out[..], &bytes[..bytes.len() - rest.len()]);
        }
        let mut rest = bytes.clone();
        if let Ok(entry) = codec::decode_entry(&mut rest) {
            let mut out = vec![];
            codec::encode_entry(&entry, &mut out);
            prop_assert_eq!(&out[..], &bytes[..bytes.len() - rest.len()]);
        }
    }

    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..9_000), headed in any::<bool>()) {
        let disk = MemDisk::new();
        let segment = format!("{:020}.wal", 1);
        let snapshot = format!("{:020}-{:020}.snapshot", 3, 1);
        if headed {
            // Behind a sound header, so that the garbage is looked at.
            drop(Wal::open(disk.clone(), small()).unwrap());
            let mut content = disk.content(&segment).unwrap();
            content.truncate(4096);
            content.extend_from_slice(&garbage);
            disk.set_content(&segment, &content);
        } else {
            disk.set_content(&segment, &garbage);
        }
        let _ = Wal::open(disk.clone(), small());
        disk.set_content(&snapshot, &garbage);
        disk.set_content("identity", &garbage);
        prop_assert!(SnapshotReader::open(&disk, &IDENTITY, Index(3)).is_err());
        prop_assert!(read_checked_file(&disk, "identity").is_err());
    }

    /// Several wounds at once, anywhere.
    #[test]
    fn a_wounded_log_never_panics(wounds in prop::collection::vec((any::<u8>(), any::<u32>(), any::<u8>(), 1..100_usize), 1..6)) {
        let disk = MemDisk::new();
        run(&disk, &life());
        let names: Vec<String> = jangada_wal::Disk::list(&disk).unwrap();
        for (which, at, value, count) in wounds {
            let name = &names[usize::from(which) % names.len()];
            let mut content = disk.content(name).unwrap();
            let start = at as usize % content.len();
            let end = content.len().min(start + count);
            content[start..end].fill(value);
            disk.set_content(name, &content);
        }
        let _ = Wal::open(disk, small());
    }
}
