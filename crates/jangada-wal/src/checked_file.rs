//! Small files, written whole or not at all: who this node is, for instance.
//!
//! The content is the caller's. Its checksum covers the file's name too, so that a file that was renamed by
//! hand is not taken for another.

use crate::disk::Disk;
use crate::error::{Action, Damage, Error};

const MAGIC: [u8; 8] = *b"jangada\0";
const KIND: u32 = u32::from_le_bytes(*b"file");
const HEADER_BYTES: usize = 20;

/// Writes a file so that after a crash either the old or the new content is there, whole. On return it is
/// durable.
///
/// # Errors
/// If the disk refuses.
///
/// # Panics
/// If the content has 4 GiB or more.
pub fn write_file_atomically<D: Disk>(disk: &D, name: &str, content: &[u8]) -> Result<(), Error> {
    let aside = format!("{name}.tmp");
    let names = disk.list().map_err(Error::io(disk, Action::List, name, None))?;
    if names.contains(&aside) {
        // Left behind by a crash.
        disk.remove(&aside).map_err(Error::io(disk, Action::Remove, &aside, None))?;
    }
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&KIND.to_le_bytes());
    let length = u32::try_from(content.len()).expect("a checked file is small");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(&checksum(name, content).to_le_bytes());
    bytes.extend_from_slice(content);

    let file = disk.create(&aside).map_err(Error::io(disk, Action::Create, &aside, None))?;
    disk.write_at(&file, 0, &bytes).map_err(Error::io(disk, Action::Write, &aside, Some(0)))?;
    disk.sync_data(&file).map_err(Error::io(disk, Action::Sync, &aside, None))?;
    disk.rename(&aside, name).map_err(Error::io(disk, Action::Rename, name, None))?;
    disk.sync_dir().map_err(Error::io(disk, Action::SyncDir, name, None))
}

/// The content of a file that [`write_file_atomically`] wrote; `None` if there is no such file.
///
/// # Errors
/// If the disk refuses, or the file is damaged.
pub fn read_checked_file<D: Disk>(disk: &D, name: &str) -> Result<Option<Vec<u8>>, Error> {
    let names = disk.list().map_err(Error::io(disk, Action::List, name, None))?;
    if !names.iter().any(|other| other == name) {
        return Ok(None);
    }
    let file = disk.open(name).map_err(Error::io(disk, Action::Open, name, None))?;
    let length = disk.len(&file).map_err(Error::io(disk, Action::Read, name, None))?;
    let corrupt = |damage| Error::Corrupt { path: disk.path(name), offset: 0, index: None, damage };
    let read = |offset: u64, buffer: &mut [u8]| {
        disk.read_at(&file, offset, buffer).map_err(Error::io(disk, Action::Read, name, Some(offset)))
    };
    let mut header = [0; HEADER_BYTES];
    if read(0, &mut header)? < HEADER_BYTES || header[..8] != MAGIC || header[8..12] != KIND.to_le_bytes() {
        return Err(corrupt(Damage::FileHeader));
    }
    let stored = u32::from_le_bytes([header[12], header[13], header[14], header[15]]);
    if length != HEADER_BYTES as u64 + u64::from(stored) {
        return Err(corrupt(Damage::Length));
    }
    let mut content = vec![0; stored as usize];
    if read(HEADER_BYTES as u64, &mut content)? < content.len() {
        return Err(corrupt(Damage::Length));
    }
    if header[16..20] != checksum(name, &content).to_le_bytes() {
        return Err(corrupt(Damage::Chunk));
    }
    Ok(Some(content))
}

fn checksum(name: &str, content: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(name.as_bytes()), content)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mem_disk::MemDisk;

    #[test]
    fn content_comes_back_and_an_absent_file_is_none() {
        let disk = MemDisk::new();
        assert_eq!(read_checked_file(&disk, "identity").unwrap(), None);
        write_file_atomically(&disk, "identity", b"n1").unwrap();
        write_file_atomically(&disk, "identity", b"n2").unwrap();
        assert_eq!(read_checked_file(&disk, "identity").unwrap().unwrap(), b"n2");
    }

    #[test]
    fn any_flipped_bit_another_name_and_a_cut_are_refused() {
        let disk = MemDisk::new();
        write_file_atomically(&disk, "identity", b"n1").unwrap();
        let sound = disk.content("identity").unwrap();
        for bit in 0..sound.len() * 8 {
            disk.flip_bit("identity", bit as u64);
            assert!(read_checked_file(&disk, "identity").is_err(), "bit {bit}");
            disk.flip_bit("identity", bit as u64);
        }
        disk.rename("identity", "other").unwrap();
        assert!(read_checked_file(&disk, "other").unwrap_err().is_corruption());
    }
}
