//! The bytes are those that `docs/wal-format.md` draws: built here a second time, by hand. Whoever changes
//! them changes the version too.

use jangada_raft::types::Index;
use jangada_wal::checked_file::write_file_atomically;
use jangada_wal::{MemDisk, SnapshotWriter};

use crate::support::{IDENTITY, entry, meta, open, vote};

fn crc(parts: &[&[u8]]) -> [u8; 4] {
    crc32c::crc32c(&parts.concat()).to_le_bytes()
}

/// What every checksum of a segment begins with.
fn place(sequence: u64, offset: u64) -> Vec<u8> {
    [&IDENTITY[..], &sequence.to_le_bytes(), &offset.to_le_bytes()].concat()
}

fn record(sequence: u64, offset: u64, kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(1 + body.len()).unwrap().to_le_bytes();
    let bytes = [&length[..], &[kind], body].concat();
    [&crc(&[&place(sequence, offset), &bytes])[..], &bytes].concat()
}

/// A batch of records, each given by kind and body, padded to a multiple of 8.
fn batch(sequence: u64, offset: u64, number: u64, next_index: u64, records: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![];
    for (kind, bytes) in records {
        body.extend(record(sequence, offset + 32 + body.len() as u64, *kind, bytes));
    }
    let header = [
        &b"jwal"[..],
        &u32::try_from(body.len()).unwrap().to_le_bytes(),
        &u32::try_from(records.len()).unwrap().to_le_bytes(),
        &number.to_le_bytes(),
        &next_index.to_le_bytes(),
    ]
    .concat();
    let mut all = [&crc(&[&place(sequence, offset), &header])[..], &header, &body].concat();
    all.resize(all.len().next_multiple_of(8), 0);
    all
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn hard_state(term: u64, candidate: Option<u64>) -> Vec<u8> {
    [numbers(&[term]), vec![u8::from(candidate.is_some())], numbers(&[candidate.unwrap_or(0)])].concat()
}

fn command(term: u64, index: u64, text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap().to_le_bytes();
    [&numbers(&[term, index])[..], &[1], &length, text.as_bytes()].concat()
}

#[test]
fn a_segment_is_as_drawn() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append_hard_state(vote(4, 2)).unwrap();
    wal.append_entries(&[entry(1, 4, "a"), entry(2, 4, "bc")]).unwrap();
    wal.sync().unwrap();
    wal.append_truncation(Index(2)).unwrap();
    wal.sync().unwrap();
    wal.seal().unwrap();

    let mut header = [&b"jangada\0segm"[..], &1_u32.to_le_bytes(), &IDENTITY, &1_u64.to_le_bytes()].concat();
    header.extend(crc(&[&header]));
    header.resize(4096, 0);
    let checkpoint = [hard_state(0, None), numbers(&[0, 0, 0, 0])].concat();
    let first = batch(
        1,
        4096,
        1,
        1,
        &[(5, checkpoint), (1, hard_state(4, Some(2))), (2, command(4, 1, "a")), (2, command(4, 2, "bc"))],
    );
    let second_at = 4096 + first.len() as u64;
    let second = batch(1, second_at, 2, 3, &[(3, numbers(&[2]))]);
    let seal = batch(1, second_at + second.len() as u64, 3, 2, &[]);
    let mut expected = [header, first, second, seal].concat();
    let content = disk.content("00000000000000000001.wal").unwrap();
    expected.resize(content.len(), 0);
    assert_eq!(content, expected);
}

#[test]
fn the_end_and_the_beginning_of_segments_are_as_drawn() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    let long = "x".repeat(5000);
    wal.append_hard_state(vote(1, 1)).unwrap();
    wal.append_entries(&[entry(1, 1, &long)]).unwrap();
    wal.sync().unwrap();
    wal.append_entries(&[entry(2, 1, &long)]).unwrap();
    wal.sync().unwrap();

    let checkpoint = [hard_state(0, None), numbers(&[0; 4])].concat();
    let first = [(5, checkpoint), (1, hard_state(1, Some(1))), (2, command(1, 1, &long))];
    let end_at = 4096 + batch(1, 4096, 1, 1, &first).len();
    let end = batch(1, end_at as u64, 2, 2, &[(6, numbers(&[2]))]);
    let content = disk.content("00000000000000000001.wal").unwrap();
    assert_eq!(content[end_at..end_at + end.len()], end);
    assert!(content[end_at + end.len()..].iter().all(|byte| *byte == 0));

    let checkpoint = [hard_state(1, Some(1)), numbers(&[0, 0, 1, 1])].concat();
    let next = batch(2, 4096, 3, 2, &[(5, checkpoint), (2, command(1, 2, &long))]);
    let content = disk.content("00000000000000000002.wal").unwrap();
    assert_eq!(content[4096..4096 + next.len()], next);
}

#[test]
fn a_snapshot_is_as_drawn() {
    let disk = MemDisk::new();
    let payload = vec![7; (64 << 10) + 3];
    let origin = jangada_wal::snapshot::Origin::Taken;
    let mut writer = SnapshotWriter::begin(&disk, &IDENTITY, &meta(9, 2), origin).unwrap();
    writer.write(0, &payload).unwrap();
    writer.finish().unwrap();

    // Index, term, no voters, no outgoing, no learners, no target, no context.
    let meta = [numbers(&[9, 2]), vec![0; 2 + 1 + 2 + 1 + 4]].concat();
    let length = u32::try_from(meta.len()).unwrap().to_le_bytes();
    let mut header = [&b"jangada\0snap"[..], &1_u32.to_le_bytes(), &IDENTITY, &length, &meta].concat();
    header.extend(crc(&[&header]));
    let (first, second) = payload.split_at(64 << 10);
    let footer = [&b"end."[..], &numbers(&[payload.len() as u64])].concat();
    let expected = [
        &header[..],
        first,
        &crc(&[&header, &numbers(&[0]), first]),
        second,
        &crc(&[&header, &numbers(&[1]), second]),
        &footer,
        &crc(&[&header, &footer]),
    ]
    .concat();
    assert_eq!(disk.content("00000000000000000009-00000000000000000002.snapshot").unwrap(), expected);
}

#[test]
fn a_checked_file_is_as_drawn() {
    let disk = MemDisk::new();
    write_file_atomically(&disk, "identity", b"n1").unwrap();
    let crc = crc(&[b"identity", b"n1"]);
    let expected = [&b"jangada\0file"[..], &2_u32.to_le_bytes(), &crc, b"n1"].concat();
    assert_eq!(disk.content("identity").unwrap(), expected);
}
