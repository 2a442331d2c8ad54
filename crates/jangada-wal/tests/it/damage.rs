//! Damage to what was durable: refused with the place, and nothing is touched. It is never taken for a torn
//! tail, however it came about.

use jangada_raft::types::Index;
use jangada_wal::error::Damage;
use jangada_wal::{Disk, Error, MemDisk, Wal, WalConfig};

use crate::script::{Memory, life, run};
use crate::support::{IDENTITY, entries, entry, meta, open, small, snapshot};

/// A log of several segments, with a snapshot, that has come to rest.
fn rested() -> (MemDisk, Memory) {
    let disk = MemDisk::new();
    let outcome = run(&disk, &life());
    assert!(outcome.error.is_none());
    let (mut wal, recovered) = open(&disk);
    let mut memory = Memory::of(recovered);
    let text = "long ".repeat(900);
    for index in 16..=24 {
        let next = if index % 2 == 0 { entry(index, 5, &text) } else { entry(index, 5, "short") };
        wal.append_entries(std::slice::from_ref(&next)).unwrap();
        wal.sync().unwrap();
        memory.entries.push(next);
    }
    wal.seal().unwrap();
    assert!(segments(&disk).len() >= 3);
    (disk.process_killed(), memory)
}

fn segments(disk: &MemDisk) -> Vec<String> {
    disk.list().unwrap().into_iter().filter(|name| name.ends_with(".wal")).collect()
}

/// A log of three batches, of one entry each.
struct Three {
    disk: MemDisk,
    /// Its only segment.
    name: String,
    content: Vec<u8>,
    /// Where the second entry's text stands.
    second: usize,
}

fn three() -> Three {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    for index in 1..=3 {
        wal.append_entries(&entries(index..=index, 1)).unwrap();
        wal.sync().unwrap();
    }
    let name = segments(&disk).remove(0);
    let content = disk.content(&name).unwrap();
    let text = b"value 2 of";
    let second = content.windows(text.len()).position(|window| window == text).unwrap();
    Three { disk, name, content, second }
}

/// Opens a damaged disk: refused without a change, or as if nothing had happened (the damage was to bytes
/// that mean nothing).
fn check_refused_or_whole(disk: &MemDisk, memory: &Memory, context: &str) -> bool {
    let unsynced = disk.unsynced();
    match Wal::open(disk.clone(), small()) {
        Ok((_, recovered)) => {
            assert!(Memory::of(recovered) == *memory, "{context}: something is lost");
            false
        }
        Err(error) => {
            assert!(error.is_corruption(), "{context}: {error}");
            assert_eq!(disk.unsynced(), unsynced, "{context}: something was written");
            true
        }
    }
}

#[test]
fn a_flipped_bit_is_refused_or_means_nothing() {
    let (disk, memory) = rested();
    let mut refused = 0;
    for name in segments(&disk) {
        for byte in 0..disk.content(&name).unwrap().len() as u64 {
            let damaged = disk.process_killed();
            damaged.flip_bit(&name, 8 * byte + byte % 8);
            refused += usize::from(check_refused_or_whole(&damaged, &memory, &format!("{name} byte {byte}")));
        }
    }
    assert!(refused > 4_000, "most bytes of the log mean something, but only {refused} were missed");
}

/// All eight of them, lengths and numbers among them, where others flip one.
#[test]
fn any_bit_of_a_batch_is_refused_or_means_nothing() {
    let Three { disk, name, content, second } = three();
    let (_, recovered) = open(&disk.process_killed());
    let memory = Memory::of(recovered);
    let batch = (4096..second).rev().find(|at| content[at + 4..at + 8] == *b"jwal").unwrap();
    let mut refused = 0;
    for bit in 8 * batch..8 * second {
        let damaged = disk.process_killed();
        damaged.flip_bit(&name, bit as u64);
        refused += usize::from(check_refused_or_whole(&damaged, &memory, &format!("{name} bit {bit}")));
    }
    assert!(
        refused == 8 * (second - batch),
        "all of it means something, but {refused} bits alone were missed"
    );
}

#[test]
fn a_lost_sector_or_page_is_refused_or_meant_nothing() {
    let (disk, memory) = rested();
    let names = segments(&disk);
    for (at, name) in names.iter().enumerate() {
        let content = disk.content(name).unwrap();
        for size in [512, 4096] {
            for start in (0..content.len()).step_by(size) {
                // The last batch and its seal may lie in one sector: whoever loses both has lost the proof.
                let used = content.iter().rposition(|byte| *byte != 0).unwrap_or(0);
                if at + 1 == names.len() && start + size > used - 512 {
                    continue;
                }
                let damaged = disk.process_killed();
                let mut other = content.clone();
                other[start..start + size].fill(0);
                damaged.set_content(name, &other);
                check_refused_or_whole(&damaged, &memory, &format!("{name} bytes {start}+{size}"));
            }
        }
    }
}

#[test]
fn a_block_that_belongs_elsewhere_is_not_accepted() {
    let (disk, memory) = rested();
    let names = segments(&disk);
    for (at, to) in names.iter().enumerate() {
        let content = disk.content(to).unwrap();
        let used = content.iter().rposition(|byte| *byte != 0).unwrap_or(0);
        for from in &names {
            let source = disk.content(from).unwrap();
            for (target, block) in (0..content.len())
                .step_by(512)
                .flat_map(|target| source.chunks_exact(512).step_by(3).map(move |block| (target, block)))
            {
                if at + 1 == names.len() && target + 512 > used - 512 {
                    continue;
                }
                let damaged = disk.process_killed();
                let mut other = content.clone();
                other[target..target + 512].copy_from_slice(block);
                damaged.set_content(to, &other);
                check_refused_or_whole(&damaged, &memory, &format!("{to} at {target} from {from}"));
            }
        }
    }
}

/// A whole sound batch, written where another one should be.
#[test]
fn a_misdirected_batch_is_not_accepted() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    // Three batches of equal length behind the first: each fits exactly into the place of another.
    for index in 1..=4 {
        wal.append_entries(&[entry(index, 1, &format!("value {index}"))]).unwrap();
        wal.sync().unwrap();
    }
    drop(wal);
    let name = segments(&disk).remove(0);
    let content = disk.content(&name).unwrap();
    let batches: Vec<usize> =
        (4096..8192).step_by(8).filter(|at| content[at + 4..at + 8] == *b"jwal").collect();
    let [_, second, third, fourth] = batches[..] else { panic!("four batches: {batches:?}") };
    let mut swapped = content.clone();
    swapped[second..third].copy_from_slice(&content[third..fourth]);
    disk.set_content(&name, &swapped);
    match Wal::open(disk, small()).err() {
        Some(Error::Corrupt { offset, index, damage, .. }) => {
            assert_eq!((offset, index, damage), (second as u64, Some(Index(2)), Damage::Batch));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lost_file_is_missed() {
    let (disk, _) = rested();
    for name in disk.list().unwrap() {
        if name.ends_with(".spare") {
            continue;
        }
        let damaged = disk.process_killed();
        damaged.remove(&name).unwrap();
        let error = Wal::open(damaged, small()).err().unwrap_or_else(|| panic!("{name} was not missed"));
        assert!(error.is_corruption(), "{name}: {error}");
    }
}

/// No crash makes a file shorter than its last batch and a free header: every cut that takes more than zeros
/// away is seen, sealed or not.
#[test]
fn a_file_that_was_cut_short_is_not_a_torn_tail() {
    let (disk, memory) = rested();
    let names = segments(&disk);
    for name in &names {
        let content = disk.content(name).unwrap();
        // Behind it may stand what is left of a recycled segment's former life, with lower numbers.
        let field = |at: usize, bytes: usize| &content[at..at + bytes];
        let number = |at: &usize| u64::from_le_bytes(field(at + 16, 8).try_into().unwrap());
        let headers = (4096..content.len() - 32).filter(|at| *field(at + 4, 4) == *b"jwal");
        let last = headers.max_by_key(number).unwrap();
        let body_bytes = u32::from_le_bytes(field(last + 8, 4).try_into().unwrap()) as usize;
        let end = last + 32 + body_bytes;
        for length in 0..content.len() {
            let damaged = disk.process_killed();
            let mut rest = content[..length].to_vec();
            if body_bytes == 0 && length < content.len() - 32 {
                // As if there were no seal.
                rest[last.min(length)..end.min(length)].fill(0);
            }
            damaged.set_content(name, &rest);
            let refused = check_refused_or_whole(&damaged, &memory, &format!("{name}, {length} bytes"));
            assert!(refused == (length < end), "{name}, {length} bytes of {end}: refused {refused}");
        }
    }
}

#[test]
fn the_message_says_where_the_file_ends() {
    let Three { disk, name, content, second: at } = three();
    disk.set_content(&name, &content[..at]);
    assert_eq!(
        Wal::open(disk, small()).err().unwrap().to_string(),
        format!(
            "mem:{name} is damaged at byte {at}: the file ends here, though it was longer once; entries from \
             index 2 on are affected; nothing was changed, restore the file or replace this node"
        )
    );
}

/// Of the files behind the log's end, only the next one may be there.
#[test]
fn a_segment_that_follows_nothing_is_refused() {
    let (disk, _) = rested();
    let names = segments(&disk);
    let number: u64 = names.last().unwrap().trim_end_matches(".wal").parse().unwrap();
    for ahead in 1..=2 {
        let other = MemDisk::new();
        let (mut wal, _) = open(&other);
        wal.append_entries(&entries(1..=1, 1)).unwrap();
        wal.sync().unwrap();
        let content = other.content(&segments(&other)[0]).unwrap();
        let damaged = disk.process_killed();
        damaged.set_content(&format!("{:020}.wal", number + ahead), &content);
        assert!(Wal::open(damaged, small()).err().unwrap().is_corruption());
    }
}

#[test]
fn a_lost_beginning_is_a_hole() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    for index in 1..=4 {
        wal.append_entries(&[entry(index, 1, &"long ".repeat(1000))]).unwrap();
        wal.sync().unwrap();
    }
    disk.remove(&segments(&disk)[0]).unwrap();
    match Wal::open(disk, small()).err() {
        Some(Error::Corrupt { index, damage, .. }) => {
            assert_eq!((index, damage), (Some(Index(1)), Damage::Hole));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_message_names_file_offset_and_index() {
    let Three { disk, name, content, second: at } = three();
    disk.flip_bit(&name, 8 * at as u64);
    let batch = (4096..at).rev().find(|at| content[at + 4..at + 8] == *b"jwal").unwrap();
    assert_eq!(
        Wal::open(disk, small()).err().unwrap().to_string(),
        format!(
            "mem:{name} is damaged at byte {batch}: a record's checksum is wrong, though later batches are \
             there; entries from index 2 on are affected; nothing was changed, restore the file or replace \
             this node"
        )
    );
}

/// Without the seal nobody can tell: the last batch may have been under way when the power went.
#[test]
fn damage_to_the_very_last_batch_is_seen_only_if_it_was_sealed() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append_entries(&entries(1..=1, 1)).unwrap();
    wal.sync().unwrap();
    wal.append_entries(&entries(2..=2, 1)).unwrap();
    wal.sync().unwrap();
    let name = segments(&disk).remove(0);
    let content = disk.content(&name).unwrap();
    let at = 8 * content.iter().rposition(|byte| *byte != 0).unwrap() as u64;

    let unsealed = disk.process_killed();
    unsealed.flip_bit(&name, at);
    let (_, recovered) = open(&unsealed);
    assert_eq!(recovered.entries, entries(1..=1, 1));
    assert!(recovered.torn_bytes > 0);

    wal.seal().unwrap();
    disk.flip_bit(&name, at);
    assert!(Wal::open(disk, small()).err().unwrap().is_corruption());
}

#[test]
fn the_log_is_not_cut_for_a_snapshot_that_is_not_there() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append_entries(&entries(1..=3, 1)).unwrap();
    wal.sync().unwrap();
    assert!(matches!(wal.snapshot_taken(&meta(2, 1)), Err(Error::Missing { .. })));
    assert_eq!(open(&disk).1.entries, entries(1..=3, 1));
}

#[test]
fn a_snapshot_without_its_log_is_no_new_beginning() {
    let disk = MemDisk::new();
    snapshot(&disk, 7, 2).unwrap();
    assert!(matches!(Wal::open(disk, small()).err(), Some(Error::Missing { .. })));
}

#[test]
fn another_version_is_named() {
    let disk = MemDisk::new();
    drop(open(&disk));
    let name = segments(&disk).remove(0);
    let mut content = disk.content(&name).unwrap();
    content[12] = 2;
    let checksum = crc32c::crc32c(&content[..40]).to_le_bytes();
    content[40..44].copy_from_slice(&checksum);
    disk.set_content(&name, &content);
    let error = Wal::open(disk, WalConfig::new(IDENTITY)).err().unwrap();
    assert!(matches!(error, Error::UnknownVersion { version: 2, .. }), "{error}");
}
