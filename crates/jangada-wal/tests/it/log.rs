//! What goes in comes out.

use jangada_raft::types::Index;
use jangada_wal::file_disk::LOCK_FILE;
use jangada_wal::{Disk, Error, FileDisk, MemDisk, Wal, WalConfig};

use crate::script::{Memory, life, run};
use crate::support::{entries, entry, open, small, snapshot, vote};

#[test]
fn a_new_log_is_empty_and_says_that_it_is_new() {
    let disk = MemDisk::new();
    let (wal, recovered) = open(&disk);
    assert!(recovered.fresh);
    assert!(recovered.entries.is_empty());
    drop(wal);
    assert!(!open(&disk).1.fresh);
}

#[test]
fn what_was_synced_comes_back() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append_hard_state(vote(3, 2)).unwrap();
    wal.append_entries(&entries(1..=4, 3)).unwrap();
    wal.sync().unwrap();
    wal.append_truncation(Index(3)).unwrap();
    wal.append_entries(&[entry(3, 4, "other")]).unwrap();
    wal.sync().unwrap();
    let (wal, recovered) = open(&disk);
    assert_eq!(recovered.hard_state, vote(3, 2));
    assert_eq!(recovered.entries, [entries(1..=2, 3), vec![entry(3, 4, "other")]].concat());
    assert_eq!(recovered.torn_bytes, 0);
    assert_eq!(wal.last_index(), Index(3));
}

#[test]
fn the_log_goes_on_through_many_segments_and_opens() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    for index in 1..=500 {
        wal.append_entries(&entries(index..=index, 1 + index / 100)).unwrap();
        wal.sync().unwrap();
        if index % 7 == 0 {
            while wal.maintain().unwrap() {}
        }
        if index % 50 == 0 {
            let recovered;
            (wal, recovered) = open(&disk);
            assert_eq!(recovered.entries.len() as u64, index);
        }
    }
    let (_, recovered) = open(&disk);
    assert!(recovered.entries.iter().zip(1..).all(|(entry, index)| entry.index == Index(index)));
}

#[test]
fn a_batch_larger_than_a_segment_has_one_of_its_own() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    let large = entry(2, 1, &"x".repeat(100_000));
    wal.append_entries(&entries(1..=1, 1)).unwrap();
    wal.sync().unwrap();
    wal.append_entries(std::slice::from_ref(&large)).unwrap();
    wal.sync().unwrap();
    wal.append_entries(&entries(3..=3, 1)).unwrap();
    wal.sync().unwrap();
    assert_eq!(open(&disk).1.entries, [entries(1..=1, 1), vec![large], entries(3..=3, 1)].concat());
}

#[test]
fn a_snapshot_replaces_the_beginning_and_segments_are_used_again() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    for round in 1..=20_u64 {
        for index in (round * 100 - 99)..=(round * 100) {
            wal.append_entries(&entries(index..=index, round)).unwrap();
            wal.sync().unwrap();
        }
        let meta = snapshot(&disk, round * 100 - 10, round).unwrap();
        wal.snapshot_taken(&meta).unwrap();
        let recovered;
        (wal, recovered) = open(&disk);
        assert_eq!(recovered.snapshot, Some(meta));
        assert_eq!(recovered.entries, entries((round * 100 - 9)..=(round * 100), round));
    }
    assert!(disk.content(&format!("{:020}.wal", 1)).is_none());
}

#[test]
fn a_snapshot_of_another_history_leaves_no_entry() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append_entries(&entries(1..=10, 1)).unwrap();
    let meta = snapshot(&disk, 5, 2).unwrap();
    wal.snapshot_taken(&meta).unwrap();
    assert_eq!(wal.last_index(), Index(5));
    wal.append_entries(&entries(6..=7, 3)).unwrap();
    wal.sync().unwrap();
    let (_, recovered) = open(&disk);
    assert_eq!(recovered.snapshot, Some(meta));
    assert_eq!(recovered.entries, entries(6..=7, 3));
}

/// The disk in memory imitates this one.
#[test]
fn the_scripted_life_goes_the_same_way_in_a_real_directory() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FileDisk::open(directory.path()).unwrap();
    let outcome = run(&disk, &life());
    assert!(outcome.error.is_none(), "{:?}", outcome.error);
    assert_eq!(Memory::of(open(&disk).1), outcome.promised);
    let mut names = disk.list().unwrap();
    names.retain(|name| name != LOCK_FILE);
    names.sort();
    let in_memory = MemDisk::new();
    run(&in_memory, &life());
    assert_eq!(names, in_memory.list().unwrap());
}

/// The log lives on a thread of its own.
#[test]
fn the_log_can_be_sent_to_another_thread() {
    fn sendable<T: Send>() {}
    sendable::<Wal<FileDisk>>();
}

#[test]
fn another_nodes_log_and_a_lost_log_are_refused() {
    let disk = MemDisk::new();
    let lost = WalConfig { create: false, ..small() };
    assert!(matches!(Wal::open(disk.clone(), lost).err(), Some(Error::NoLog { .. })));
    drop(open(&disk));
    let other = WalConfig { identity: *b"cluster-1,node-2", ..small() };
    assert!(matches!(Wal::open(disk.clone(), other).err(), Some(Error::Foreign { .. })));
}
