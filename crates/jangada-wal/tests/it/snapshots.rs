//! Snapshot files: any payload, in any chunks, back from any offset; no damage goes unseen.

use jangada_raft::types::{Index, NodeId};
use jangada_wal::mem_disk::Fault;
use jangada_wal::snapshot::{Origin, list_snapshots};
use jangada_wal::{Disk, Error, MemDisk, SnapshotReader, SnapshotWriter};

use crate::support::{IDENTITY, entries, meta, open, snapshot};

fn payload(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

fn write(disk: &MemDisk, index: u64, payload: &[u8], step: usize) {
    let mut writer = SnapshotWriter::begin(disk, &IDENTITY, &meta(index, 1), Origin::Taken).unwrap();
    for (number, chunk) in payload.chunks(step).enumerate() {
        writer.write((number * step) as u64, chunk).unwrap();
    }
    assert_eq!(writer.next_offset(), payload.len() as u64);
    writer.finish().unwrap();
}

fn reader(disk: &MemDisk, index: u64) -> SnapshotReader<MemDisk> {
    SnapshotReader::open(disk, &IDENTITY, Index(index)).unwrap()
}

#[test]
fn payloads_around_the_chunk_size_come_back_from_any_offset() {
    const CHUNK: usize = 64 << 10;
    let disk = MemDisk::new();
    let lengths = [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 17];
    for (index, length) in (1..).zip(lengths) {
        let payload = payload(length);
        write(&disk, index, &payload, 10_007);
        let reader = reader(&disk, index);
        assert_eq!(reader.payload_bytes(), length as u64);
        for offset in
            [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, length.saturating_sub(1), length, length + 9]
        {
            for max in [0, 1, 100, CHUNK, CHUNK + 1, usize::MAX] {
                let start = offset.min(length);
                let end = length.min(start.saturating_add(max));
                let (data, done) = reader.read_at(offset as u64, max).unwrap();
                assert_eq!(data, payload[start..end], "{length} from {offset}, {max} at most");
                assert_eq!(done, end == length, "{length} from {offset}, {max} at most");
            }
        }
    }
}

#[test]
fn a_chunk_that_comes_twice_does_no_harm_and_a_gap_is_refused() {
    let disk = MemDisk::new();
    let payload = payload(300);
    let mut writer = SnapshotWriter::begin(&disk, &IDENTITY, &meta(4, 2), Origin::Received).unwrap();
    writer.write(0, &payload[..100]).unwrap();
    writer.write(0, &payload[..100]).unwrap();
    writer.write(50, &payload[50..150]).unwrap();
    let gap = writer.write(200, &payload[200..]).unwrap_err();
    assert!(matches!(gap, Error::SnapshotGap { expected: 150, found: 200 }));
    writer.write(150, &payload[150..]).unwrap();
    assert_eq!(writer.finish().unwrap(), meta(4, 2));
    assert_eq!(reader(&disk, 4).read_at(0, usize::MAX).unwrap(), (payload.into(), true));
}

#[test]
fn the_description_comes_back_with_membership_and_context() {
    let disk = MemDisk::new();
    let mut meta = meta(9, 3);
    meta.membership.voters = [1, 2, 3].map(NodeId).into();
    meta.membership.context = vec![5; 1000].into();
    let writer = SnapshotWriter::begin(&disk, &IDENTITY, &meta, Origin::Taken).unwrap();
    assert_eq!(writer.meta(), &meta);
    writer.finish().unwrap();
    assert_eq!(reader(&disk, 9).meta(), &meta);
}

#[test]
fn a_snapshot_has_no_name_before_it_is_whole_and_both_origins_can_be_under_way() {
    let disk = MemDisk::new();
    let mut taken = SnapshotWriter::begin(&disk, &IDENTITY, &meta(5, 1), Origin::Taken).unwrap();
    let mut received = SnapshotWriter::begin(&disk, &IDENTITY, &meta(5, 1), Origin::Received).unwrap();
    taken.write(0, b"ours").unwrap();
    received.write(0, b"theirs").unwrap();
    assert_eq!(list_snapshots(&disk).unwrap(), []);
    received.finish().unwrap();
    assert_eq!(list_snapshots(&disk).unwrap(), [Index(5)]);
    taken.discard().unwrap();
    assert_eq!(&reader(&disk, 5).read_at(0, 100).unwrap().0[..], b"theirs");
    assert_eq!(disk.list().unwrap().len(), 1);
}

#[test]
fn any_flipped_bit_and_any_cut_is_seen() {
    let disk = MemDisk::new();
    write(&disk, 3, &payload(70_000), 70_000);
    let name = disk.list().unwrap().remove(0);
    let sound = disk.content(&name).unwrap();
    let check = |disk: &MemDisk| -> Result<(), Error> {
        let reader = SnapshotReader::open(disk, &IDENTITY, Index(3))?;
        reader.read_at(0, usize::MAX).map(drop)
    };
    let step = |byte: u64| if (200..sound.len() as u64 - 100).contains(&byte) { 61 } else { 1 };
    let mut byte = 0;
    while byte < sound.len() as u64 {
        disk.flip_bit(&name, 8 * byte + byte % 8);
        assert!(check(&disk).is_err(), "byte {byte}");
        disk.flip_bit(&name, 8 * byte + byte % 8);
        byte += step(byte);
    }
    check(&disk).unwrap();
    for length in [0, 10, 36, 60, 100, 65_536, sound.len() - 17, sound.len() - 16, sound.len() - 1] {
        disk.set_content(&name, &sound[..length]);
        assert!(check(&disk).unwrap_err().is_corruption(), "cut to {length}");
    }
    disk.set_content(&name, &[&sound[..], b"x"].concat());
    assert!(check(&disk).is_err());
}

#[test]
fn a_renamed_snapshot_and_another_nodes_are_refused() {
    let disk = MemDisk::new();
    snapshot(&disk, 3, 1).unwrap();
    let other = SnapshotReader::open(&disk, b"cluster-1,node-2", Index(3)).err();
    assert!(matches!(other, Some(Error::Foreign { .. })));
    let name = disk.list().unwrap().remove(0);
    disk.rename(&name, &name.replace('3', "4")).unwrap();
    assert!(SnapshotReader::open(&disk, &IDENTITY, Index(4)).err().unwrap().is_corruption());
    assert!(matches!(SnapshotReader::open(&disk, &IDENTITY, Index(3)).err(), Some(Error::Missing { .. })));
}

#[test]
fn older_snapshots_go_and_an_open_one_stays_readable() {
    let disk = MemDisk::new();
    let (mut wal, _) = open(&disk);
    wal.append_entries(&entries(1..=9, 1)).unwrap();
    wal.snapshot_taken(&snapshot(&disk, 3, 1).unwrap()).unwrap();
    let sent = reader(&disk, 3);
    let newer = snapshot(&disk, 5, 1).unwrap();
    // One that is durable, but whose marker is still on its way, is not "old".
    snapshot(&disk, 9, 1).unwrap();
    wal.snapshot_taken(&newer).unwrap();
    assert_eq!(list_snapshots(&disk).unwrap(), [Index(5), Index(9)]);
    assert_eq!(&sent.read_at(0, 100).unwrap().0[..], b"state at 3");
    // After a restart it never got one: it goes.
    drop(wal);
    assert_eq!(open(&disk).1.snapshot, Some(meta(5, 1)));
    assert_eq!(list_snapshots(&disk).unwrap(), [Index(5)]);
}

#[test]
fn a_refusal_of_the_disk_names_the_file() {
    for fault in [Fault::DiskFull, Fault::Broken] {
        for operation in 0..5 {
            let disk = MemDisk::new();
            disk.fail_at(operation, fault);
            let error = snapshot(&disk, 2, 1).unwrap_err();
            assert_eq!(error.is_disk_full(), fault == Fault::DiskFull);
            assert!(error.to_string().contains("00000002-"), "{error}");
            // What is left behind is in nobody's way.
            let disk = disk.process_killed();
            snapshot(&disk, 2, 1).unwrap();
            reader(&disk, 2);
        }
    }
}
