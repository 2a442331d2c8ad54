//! Every crash point of a scripted life: nothing that was promised is lost, nothing else appears.
//!
//! The script runs once for each operation of the disk, and stops there. Then the disk is found in each state
//! that the crash may leave: each prefix of the write that was under way; each subset of the sectors that it
//! changes (of more than five: each alone, each lost, each suffix); with and without the other changes that
//! were not synced. Each time the log must open and say one of two things: what was promised, or that and all
//! of what was under way.

use std::ops::Range;

use jangada_raft::types::Index;
use jangada_wal::mem_disk::{Fault, Unsynced};
use jangada_wal::{MemDisk, Wal};

use crate::script::{Memory, Run, Step, life, run};
use crate::support::{entry, small, snapshot};

const SECTOR: usize = 512;

/// The script, stopped in the middle of each operation that leaves something new to lose.
fn crashes(steps: &[Step]) -> impl Iterator<Item = (u64, MemDisk, Run)> {
    let disk = MemDisk::new();
    let outcome = run(&disk, steps);
    assert!(outcome.error.is_none(), "the script itself is sound: {:?}", outcome.error);
    let mut before = Vec::new();
    (0..disk.operations()).filter_map(move |operation| {
        let disk = MemDisk::new();
        disk.fail_at(operation, Fault::Crash);
        let outcome = run(&disk, steps);
        assert!(outcome.error.is_some(), "operation {operation} stops the script");
        let unsynced = disk.unsynced();
        // In the middle of a sync there is what was there before it.
        let news = operation == 0 || unsynced != before;
        before = unsynced;
        news.then_some((operation, disk, outcome))
    })
}

/// How finely a write is torn.
#[derive(Clone, Copy, PartialEq)]
enum Detail {
    Bytes,
    Sectors,
}

/// What survives of one unsynced change.
type Survival = Vec<Range<usize>>;

fn whole(change: &Unsynced) -> Survival {
    let bytes = match change {
        Unsynced::Write { data, .. } => 0..data.len(),
        Unsynced::Name { .. } => 0..1,
    };
    std::iter::once(bytes).collect()
}

/// Each way in which one change can survive: names whole or not at all, writes by prefix and by sector.
fn survivals(disk: &MemDisk, change: &Unsynced, detail: Detail) -> Vec<Survival> {
    let Unsynced::Write { file, offset, data } = change else { return vec![vec![], whole(change)] };
    let old = disk.durable_content(*file);
    let start = usize::try_from(*offset).unwrap();
    let changes = |at: usize| old.get(start + at).copied().unwrap_or(0) != data[at];
    let mut found = vec![vec![], whole(change)];
    // Two prefixes that differ only by bytes that were there before are the same disk.
    for end in (1..data.len()).filter(|end| detail == Detail::Bytes && changes(end - 1)) {
        found.push(std::iter::once(0..end).collect());
    }
    // Sectors of the disk, not of the write; only those that the write changes.
    let mut sectors: Vec<Range<usize>> = Vec::new();
    let mut from = 0;
    while from < data.len() {
        let to = data.len().min(from + SECTOR - (start + from) % SECTOR);
        if (from..to).any(changes) {
            sectors.push(from..to);
        }
        from = to;
    }
    let pick = |kept: &dyn Fn(usize) -> bool| -> Survival {
        (0..sectors.len()).filter(|at| kept(*at)).map(|at| sectors[at].clone()).collect()
    };
    if sectors.len() <= 5 {
        found.extend((1..(1_u32 << sectors.len())).map(|subset| pick(&|at| subset & (1 << at) != 0)));
    } else {
        found.extend((0..sectors.len()).map(|only| pick(&|at| at == only)));
        found.extend((0..sectors.len()).map(|lost| pick(&|at| at != lost)));
        found.extend((0..sectors.len()).map(|first| pick(&|at| at >= first)));
    }
    found
}

/// Every disk that may be found after the crash. The last change was under way; those before it were complete,
/// but not synced.
fn images(disk: &MemDisk, detail: Detail) -> Vec<MemDisk> {
    let unsynced = disk.unsynced();
    let mut found = vec![disk.power_loss(|_, _| vec![]), disk.power_loss(|_, change| whole(change))];
    for (torn, change) in unsynced.iter().enumerate() {
        let last = torn + 1 == unsynced.len();
        let others = match (torn, last) {
            (0, true) => 0..1,
            (_, true) => 1..3,
            (_, false) => 0..3,
        };
        for survival in survivals(disk, change, if last { detail } else { Detail::Sectors }) {
            // With all others there, with those before it, and alone.
            for others in others.clone() {
                found.push(disk.power_loss(|at, change| match others {
                    _ if at == torn => survival.clone(),
                    0 => whole(change),
                    1 if at < torn => whole(change),
                    _ => vec![],
                }));
            }
        }
    }
    found
}

fn check_opens(image: &MemDisk, outcome: &Run, context: &str) -> Memory {
    let (_, recovered) =
        Wal::open(image.clone(), small()).unwrap_or_else(|error| panic!("{context}: refused: {error}"));
    let found = Memory::of(recovered);
    assert!(
        found == outcome.promised || found == outcome.attempted,
        "{context}: neither promised nor attempted:\n{found:?}\npromised {:?}",
        outcome.promised
    );
    found
}

#[test]
fn every_prefix_of_every_write_and_every_torn_sector_opens() {
    let mut checked = 0;
    for (operation, disk, outcome) in crashes(&life()) {
        for image in images(&disk, Detail::Bytes) {
            check_opens(&image, &outcome, &format!("operation {operation}"));
            checked += 1;
        }
    }
    assert!(checked > 10_000, "only {checked} disks: the script has lost its content");
    println!("{checked} disks");
}

/// Goes on after the crash: what is appended to a repaired log is there, and the cut bytes are not.
#[test]
fn a_repaired_log_goes_on() {
    for (operation, disk, outcome) in crashes(&life()) {
        for image in images(&disk, Detail::Sectors) {
            let (mut wal, recovered) = Wal::open(image.clone(), small()).unwrap();
            let mut expected = Memory::of(recovered);
            assert!(expected == outcome.promised || expected == outcome.attempted);
            for text in ["short", &"a long one ".repeat(300), "short again"] {
                let next = entry(wal.last_index().next().0, 9, text);
                wal.append_entries(std::slice::from_ref(&next)).unwrap();
                wal.sync().unwrap();
                expected.entries.push(next);
                let found = Wal::open(image.power_loss(|_, _| vec![]), small()).unwrap().1;
                assert_eq!(found.torn_bytes, 0);
                assert_eq!(Memory::of(found), expected, "operation {operation}");
            }
        }
    }
}

/// The repair itself may be cut off.
#[test]
fn a_crash_during_recovery_loses_nothing() {
    for (operation, disk, outcome) in crashes(&life()) {
        for image in images(&disk, Detail::Sectors) {
            for second in 0.. {
                let again = image.process_killed();
                again.fail_at(second, Fault::Crash);
                if Wal::open(again.clone(), small()).is_ok() {
                    break;
                }
                for found in images(&again, Detail::Sectors) {
                    check_opens(&found, &outcome, &format!("operation {operation}, then {second}"));
                }
            }
        }
    }
}

/// A killed process leaves the page cache behind. What open reads from it and returns counts as durable from
/// then on, so it must be.
#[test]
fn what_open_returns_survives_the_next_power_loss() {
    for (operation, disk, outcome) in crashes(&life()) {
        let disk = disk.process_killed();
        let found = check_opens(&disk, &outcome, &format!("operation {operation}"));
        let after = check_opens(&disk.power_loss(|_, _| vec![]), &outcome, "after the power loss");
        assert_eq!(after, found, "operation {operation}");
        // And so does what is then written, in this segment and the next.
        let (mut wal, recovered) = Wal::open(disk.clone(), small()).unwrap();
        let mut expected = Memory::of(recovered);
        for _ in 0..3 {
            let next = entry(wal.last_index().next().0, 9, &"long ".repeat(1000));
            wal.append_entries(std::slice::from_ref(&next)).unwrap();
            wal.sync().unwrap();
            expected.entries.push(next);
            let found = Wal::open(disk.power_loss(|_, _| vec![]), small()).unwrap().1;
            assert_eq!(Memory::of(found), expected, "operation {operation}");
        }
    }
}

/// If nothing of a write reached the disk, nothing is torn.
#[test]
fn only_what_is_there_is_counted_as_torn() {
    for (operation, disk, _) in crashes(&life()) {
        let (_, recovered) = Wal::open(disk.power_loss(|_, _| vec![]), small()).unwrap();
        assert_eq!(recovered.torn_bytes, 0, "operation {operation}");
    }
}

/// The same after a failed sync, which leaves clean pages in the cache that the disk does not have.
#[test]
fn a_failed_operation_poisons_and_what_open_then_returns_is_durable() {
    let steps = life();
    for fault in [Fault::Broken, Fault::DiskFull] {
        for operation in 0.. {
            let disk = MemDisk::new();
            disk.fail_at(operation, fault);
            let outcome = run(&disk, &steps);
            if disk.operations() <= operation {
                break;
            }
            let error = outcome.error.as_ref().expect("every refusal is reported");
            assert_eq!(error.is_disk_full(), fault == Fault::DiskFull, "{error}");
            let context = format!("operation {operation} {fault:?}");
            let killed = disk.process_killed();
            let found = check_opens(&killed, &outcome, &context);
            let after = check_opens(&killed.power_loss(|_, _| vec![]), &outcome, &context);
            assert_eq!(after, found, "{context}");
            for image in images(&disk, Detail::Sectors).into_iter().step_by(3) {
                check_opens(&image, &outcome, &context);
            }
        }
    }
}

/// What a failed sync left in the page cache is not relied upon later either: not even the file's length.
#[test]
fn a_crash_after_a_failed_operation_and_a_restart_opens() {
    let steps = life();
    for operation in 0.. {
        let disk = MemDisk::new();
        disk.fail_at(operation, Fault::Broken);
        let _failed = run(&disk, &steps);
        if disk.operations() <= operation {
            break;
        }
        for second in 0..12 {
            let disk = disk.process_killed();
            let (mut wal, recovered) = Wal::open(disk.clone(), small()).unwrap();
            let promised = Memory::of(recovered);
            disk.fail_at(disk.operations() + second, Fault::Crash);
            let next = entry(wal.last_index().next().0, 9, &"long ".repeat(1000));
            let mut attempted = promised.clone();
            attempted.entries.push(next.clone());
            let outcome = wal.append_entries(&[next]).and_then(|()| wal.sync());
            let outcome = Run { promised, attempted, error: outcome.err() };
            for image in images(&disk, Detail::Sectors) {
                check_opens(&image, &outcome, &format!("operation {operation}, then {second}"));
            }
        }
    }
}

#[test]
fn after_an_error_every_call_says_poisoned() {
    use jangada_wal::Error;
    for fault in [Fault::Broken, Fault::DiskFull] {
        for operation in [0, 1] {
            let disk = MemDisk::new();
            let (mut wal, _) = Wal::open(disk.clone(), small()).unwrap();
            disk.fail_at(disk.operations() + operation, fault);
            wal.append_entries(&[entry(1, 1, "a")]).unwrap();
            assert!(matches!(wal.sync(), Err(Error::Io { .. })));
            assert!(matches!(wal.sync(), Err(Error::Poisoned)));
            assert!(matches!(wal.append_entries(&[entry(2, 1, "b")]), Err(Error::Poisoned)));
            assert!(matches!(wal.append_truncation(Index(1)), Err(Error::Poisoned)));
            assert!(matches!(wal.maintain(), Err(Error::Poisoned)));
            assert!(matches!(wal.seal(), Err(Error::Poisoned)));
        }
    }
}

/// A segment grew, but only in the page cache: when it is used again, nothing is built on that length.
#[test]
fn a_recycled_segment_is_no_longer_than_the_disk_knows() {
    let large = "large ".repeat(4_000);
    let append = |wal: &mut Wal<MemDisk>, text: &str| {
        let next = entry(wal.last_index().next().0, 1, text);
        wal.append_entries(&[next]).and_then(|()| wal.sync())
    };
    for refused in 0.. {
        let disk = MemDisk::new();
        let (mut wal, _) = Wal::open(disk.clone(), small()).unwrap();
        append(&mut wal, "small").unwrap();
        // This one needs a longer segment of its own.
        disk.fail_at(disk.operations() + refused, Fault::Broken);
        if append(&mut wal, &large).is_ok() {
            break;
        }
        // The process ends, and is started again on what the page cache shows.
        let disk = disk.process_killed();
        let (mut wal, _) = Wal::open(disk.clone(), small()).unwrap();
        for _ in 0..4 {
            append(&mut wal, &large[..5_000]).unwrap();
        }
        wal.snapshot_taken(&snapshot(&disk, 4, 1).unwrap()).unwrap();
        for operation in 0.. {
            let disk = disk.process_killed();
            let (mut wal, recovered) = Wal::open(disk.clone(), small()).unwrap();
            let mut outcome =
                Run { promised: Memory::of(recovered), attempted: Memory::default(), error: None };
            disk.fail_at(disk.operations() + operation, Fault::Crash);
            for _ in 0..3 {
                outcome.attempted = outcome.promised.clone();
                outcome.attempted.entries.push(entry(wal.last_index().next().0, 1, &large));
                outcome.error = append(&mut wal, &large).err();
                if outcome.error.is_some() {
                    break;
                }
                outcome.promised = outcome.attempted.clone();
            }
            if outcome.error.is_none() {
                break;
            }
            for image in images(&disk, Detail::Sectors) {
                check_opens(&image, &outcome, &format!("refused {refused}, then {operation}"));
            }
        }
    }
}
