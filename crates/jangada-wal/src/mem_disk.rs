//! A disk in memory that can crash and refuse: for tests of everything that stands on the log.
//!
//! It keeps apart what a running process sees (the page cache) and what survives a power loss. Every change
//! since the last sync is remembered, and [`MemDisk::power_loss`] lets the test say which of them, and which
//! bytes of a write, reached the disk in time: any subset is a disk that may really be found.
//!
//! A killed process is simpler: the page cache survives, so the test just goes on with the same disk.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::rc::Rc;

use crate::disk::Disk;

/// A disk in memory. Clones are handles on the same disk.
#[derive(Clone, Debug, Default)]
pub struct MemDisk {
    state: Rc<RefCell<State>>,
}

/// An open file of a [`MemDisk`].
#[derive(Clone, Copy, Debug)]
pub struct MemFile(usize);

/// A change that a power loss may undo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Bytes that were written to a file.
    Write {
        /// The file, by a number that says nothing else.
        file: usize,
        /// Where.
        offset: u64,
        /// What.
        data: Vec<u8>,
    },
    /// A file lost a name, got one, or both at once.
    Name {
        /// The name that went.
        from: Option<String>,
        /// The name that came, and the file's number.
        to: Option<(String, usize)>,
    },
}

/// How an operation fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The machine stops in the middle of it: it may survive in part, and nothing works any more until
    /// [`MemDisk::power_loss`] or [`MemDisk::process_killed`].
    Crash,
    /// The disk is full; of a write, the first half is there.
    DiskFull,
    /// An error of the device. A sync that fails forgets what it should have written, as Linux does: the
    /// page cache shows it, the disk will never have it.
    Broken,
}

#[derive(Clone, Debug, Default)]
struct State {
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    files: Vec<FileState>,
    /// In the order of their happening.
    unsynced: Vec<Unsynced>,
    /// Changes and syncs so far.
    operations: u64,
    fault: Option<(u64, Fault)>,
    stopped: bool,
}

#[derive(Clone, Debug, Default)]
struct FileState {
    cached: Vec<u8>,
    durable: Vec<u8>,
}

impl MemDisk {
    /// An empty disk.
    #[must_use]
    pub fn new() -> MemDisk {
        MemDisk::default()
    }

    /// A file's content as a process sees it, if there is such a file.
    #[must_use]
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        state.names.get(name).map(|file| state.files[*file].cached.clone())
    }

    /// Replaces a file's content, durably, or creates it: whatever may be found on a disk.
    pub fn set_content(&self, name: &str, content: &[u8]) {
        let mut state = self.state.borrow_mut();
        let file = state.files.len();
        state.files.push(FileState { cached: content.to_vec(), durable: content.to_vec() });
        state.names.insert(name.to_owned(), file);
        state.durable_names.insert(name.to_owned(), file);
    }

    /// Flips one bit of a file, as a decaying disk would.
    ///
    /// # Panics
    /// If the file does not exist or is too short.
    pub fn flip_bit(&self, name: &str, bit: u64) {
        let mut state = self.state.borrow_mut();
        let file = *state.names.get(name).expect("the test names a file that exists");
        let byte = usize::try_from(bit / 8).expect("the test names a bit within the file");
        state.files[file].cached[byte] ^= 1 << (bit % 8);
        if let Some(durable) = state.files[file].durable.get_mut(byte) {
            *durable ^= 1 << (bit % 8);
        }
    }

    /// How many operations that change or sync something there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// The operation with this number, counted from 0 as [`MemDisk::operations`] counts, fails.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.state.borrow_mut().fault = Some((operation, fault));
    }

    /// What a power loss may undo, in the order of its happening.
    #[must_use]
    pub fn unsynced(&self) -> Vec<Unsynced> {
        self.state.borrow().unsynced.clone()
    }

    /// What the disk itself holds of a file, by the number that an [`Unsynced`] gives: what a write that is
    /// lost leaves there.
    #[must_use]
    pub fn durable_content(&self, file: usize) -> Vec<u8> {
        self.state.borrow().files[file].durable.clone()
    }

    /// The disk after a power loss. `survives` says which bytes of each unsynced change were in time, as
    /// ranges within its data; a change of names survives if there is any range at all.
    #[must_use]
    pub fn power_loss(&self, mut survives: impl FnMut(usize, &Unsynced) -> Vec<Range<usize>>) -> MemDisk {
        let state = self.state.borrow();
        let mut names = state.durable_names.clone();
        let mut files = state.files.clone();
        for (number, change) in state.unsynced.iter().enumerate() {
            let ranges = survives(number, change);
            match change {
                Unsynced::Write { file, offset, data } => {
                    for range in ranges {
                        let at = offset + range.start as u64;
                        put(&mut files[*file].durable, at, &data[range]);
                    }
                }
                Unsynced::Name { from, to } if !ranges.is_empty() => rename(&mut names, from, to),
                Unsynced::Name { .. } => {}
            }
        }
        for file in &mut files {
            file.cached.clone_from(&file.durable);
        }
        let state = State { durable_names: names.clone(), names, files, ..State::default() };
        MemDisk { state: Rc::new(RefCell::new(state)) }
    }

    /// The same disk, page cache and all, after the process was killed: a copy to go on with.
    #[must_use]
    pub fn process_killed(&self) -> MemDisk {
        let mut state = self.state.borrow().clone();
        (state.stopped, state.fault, state.operations) = (false, None, 0);
        MemDisk { state: Rc::new(RefCell::new(state)) }
    }
}

impl State {
    /// Counts an operation; says how it fails, if it does.
    fn operation(&mut self) -> Option<Fault> {
        let number = self.operations;
        self.operations += 1;
        let fault = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        self.stopped |= fault == Some(Fault::Crash);
        fault
    }

    fn check_running(&self) -> io::Result<()> {
        if self.stopped { Err(io::Error::other("the machine has stopped")) } else { Ok(()) }
    }

    fn change_name(&mut self, from: Option<String>, to: Option<(String, usize)>) -> io::Result<()> {
        self.check_running()?;
        let fault = self.operation();
        if matches!(fault, None | Some(Fault::Crash)) {
            rename(&mut self.names, &from, &to);
            self.unsynced.push(Unsynced::Name { from, to });
        }
        outcome(fault)
    }
}

fn outcome(fault: Option<Fault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(Fault::Crash) => Err(io::Error::other("the machine stops")),
        Some(Fault::DiskFull) => Err(ErrorKind::StorageFull.into()),
        Some(Fault::Broken) => Err(io::Error::other("the device failed")),
    }
}

fn rename(names: &mut BTreeMap<String, usize>, from: &Option<String>, to: &Option<(String, usize)>) {
    if let Some(from) = from {
        names.remove(from);
    }
    if let Some((to, file)) = to {
        names.insert(to.clone(), *file);
    }
}

fn put(content: &mut Vec<u8>, offset: u64, data: &[u8]) {
    let start = usize::try_from(offset).expect("a test disk is small");
    let end = start + data.len();
    if content.len() < end {
        content.resize(end, 0);
    }
    content[start..end].copy_from_slice(data);
}

impl Disk for MemDisk {
    type File = MemFile;

    fn path(&self, name: &str) -> String {
        format!("mem:{name}")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state.borrow();
        state.check_running()?;
        Ok(state.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<MemFile> {
        let state = self.state.borrow();
        state.check_running()?;
        state.names.get(name).map(|file| MemFile(*file)).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<MemFile> {
        let mut state = self.state.borrow_mut();
        if state.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.len();
        state.files.push(FileState::default());
        state.change_name(None, Some((name.to_owned(), file)))?;
        Ok(MemFile(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let file = *state.names.get(from).ok_or(ErrorKind::NotFound)?;
        state.change_name(Some(from.to_owned()), Some((to.to_owned(), file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if !state.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change_name(Some(name.to_owned()), None)
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check_running()?;
        let fault = state.operation();
        if fault.is_none() {
            state.unsynced.retain(|change| matches!(change, Unsynced::Write { .. }));
            state.durable_names = state.names.clone();
        }
        outcome(fault)
    }

    fn len(&self, file: &MemFile) -> io::Result<u64> {
        let state = self.state.borrow();
        state.check_running()?;
        Ok(state.files[file.0].cached.len() as u64)
    }

    fn read_at(&self, file: &MemFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.state.borrow();
        state.check_running()?;
        let content = &state.files[file.0].cached;
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(content.len());
        let count = buffer.len().min(content.len() - start);
        buffer[..count].copy_from_slice(&content[start..start + count]);
        Ok(count)
    }

    fn write_at(&self, file: &MemFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check_running()?;
        let fault = state.operation();
        let written = match fault {
            None | Some(Fault::Crash) => data,
            Some(Fault::DiskFull) => &data[..data.len() / 2],
            Some(Fault::Broken) => &[],
        };
        put(&mut state.files[file.0].cached, offset, written);
        state.unsynced.push(Unsynced::Write { file: file.0, offset, data: written.to_vec() });
        outcome(fault)
    }

    fn sync_data(&self, file: &MemFile) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check_running()?;
        let fault = state.operation();
        if fault == Some(Fault::Crash) {
            return outcome(fault);
        }
        let State { unsynced, files, .. } = &mut *state;
        unsynced.retain(|change| match change {
            Unsynced::Write { file: other, offset, data } if *other == file.0 => {
                if fault.is_none() {
                    put(&mut files[*other].durable, *offset, data);
                }
                false
            }
            Unsynced::Write { .. } | Unsynced::Name { .. } => true,
        });
        outcome(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_loss_keeps_what_was_synced_and_what_it_is_told() {
        let disk = MemDisk::new();
        let file = disk.create("x").unwrap();
        disk.write_at(&file, 0, b"old").unwrap();
        disk.sync_data(&file).unwrap();
        disk.sync_dir().unwrap();
        disk.write_at(&file, 1, b"NEW").unwrap();
        disk.rename("x", "y").unwrap();
        assert_eq!(disk.content("y").unwrap(), b"oNEW");
        let lost = disk.power_loss(|_, _| vec![]);
        assert_eq!((lost.content("x").unwrap(), lost.content("y")), (b"old".to_vec(), None));
        let torn = disk.power_loss(|_, _| std::iter::once(1..2).collect());
        assert_eq!((torn.content("y").unwrap(), torn.content("x")), (b"olE".to_vec(), None));
    }

    #[test]
    fn a_failed_sync_leaves_bytes_that_will_never_be_durable() {
        let disk = MemDisk::new();
        let file = disk.create("x").unwrap();
        disk.sync_dir().unwrap();
        disk.fail_at(3, Fault::Broken);
        disk.write_at(&file, 0, b"abc").unwrap();
        disk.sync_data(&file).unwrap_err();
        disk.sync_data(&file).unwrap();
        assert_eq!(disk.content("x").unwrap(), b"abc");
        assert_eq!(disk.power_loss(|_, _| vec![]).content("x").unwrap(), b"");
    }
}
