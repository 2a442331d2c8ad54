//! A disk in memory that can lose, tear, refuse and spoil.
//!
//! It keeps apart what a running process sees (the page cache) and what survives a power loss, without copying
//! a file: each write remembers what it overwrote, and a sync forgets that. A power loss takes the unsynced
//! changes back and lets a drawn part of them happen after all. What was synced is read by `synced.rs` on the
//! way, so that checkers know what the disk holds without asking the server.
//!
//! `power.rs` has the crashes, `damage.rs` what happens to bytes that were durable, `files.rs` the contents.

mod damage;
mod files;
mod power;
pub mod synced;
pub(crate) mod tape; // what was done to a disk, for images of its crashes

use std::cell::{Ref, RefCell};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::rc::Rc;

use jangada_wal::Disk;

use crate::rng::Rng;
pub use damage::Damage;
pub(crate) use files::{Change, Files};
pub use power::Loss;
use synced::{LogView, apply_batch};
use tape::{Item, Note};

/// A disk. Clones are handles on the same one.
#[derive(Clone)]
pub struct SimDisk {
    state: Rc<RefCell<State>>,
}

/// An open file.
#[derive(Clone, Copy, Debug)]
pub struct SimFile(usize);

/// What goes wrong with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DiskFault {
    /// The process, or the machine, stops in the middle of it.
    Stop,
    /// The disk is full; of a write, the first half is there.
    Full,
    /// An error of the device. A sync that fails marks its pages clean, as Linux does: the cache goes on showing
    /// what the disk will never have.
    Broken,
}

pub(crate) struct State {
    name: String,
    files: Files,
    /// Operations that change or sync something, so far.
    operations: u64,
    /// Bytes that they have written.
    written_bytes: u64,
    /// The operation of this number goes wrong.
    fault: Option<(u64, DiskFault)>,
    stopped: bool,
    /// A fault was injected since the last start.
    faulted: bool,
    /// Something was damaged, and perhaps nobody has noticed yet.
    damaged: bool,
    /// What the synced bytes say.
    synced: LogView,
    /// What the page cache may say of a log whose sync has failed.
    lost: Vec<LogView>,
    /// All that was done, if somebody wants to know.
    tape: Option<Vec<Item>>,
}

impl SimDisk {
    /// An empty disk, called so in error messages.
    #[must_use]
    pub fn new(name: &str) -> SimDisk {
        let state = State {
            name: name.to_owned(),
            files: Files::default(),
            operations: 0,
            written_bytes: 0,
            fault: None,
            stopped: false,
            faulted: false,
            damaged: false,
            synced: LogView::default(),
            lost: Vec::new(),
            tape: None,
        };
        SimDisk { state: Rc::new(RefCell::new(state)) }
    }

    /// What the log on this disk says, as far as it was synced.
    #[must_use]
    pub fn synced(&self) -> Ref<'_, LogView> {
        Ref::map(self.state.borrow(), |state| &state.synced)
    }

    /// How many operations that change or sync something there have been.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.state.borrow().operations
    }

    /// How many bytes were written so far.
    #[must_use]
    pub fn written_bytes(&self) -> u64 {
        self.state.borrow().written_bytes
    }

    /// An operation that is still to come goes wrong.
    pub(crate) fn fault_is_pending(&self) -> bool {
        let state = self.state.borrow();
        state.fault.is_some_and(|(at, _)| at >= state.operations)
    }

    /// The operation that comes after so many others goes wrong.
    pub fn fail_after(&self, operations: u64, fault: DiskFault) {
        let mut state = self.state.borrow_mut();
        state.fault = Some((state.operations + operations, fault));
    }

    /// No fault is to come.
    pub fn calm(&self) {
        self.state.borrow_mut().fault = None;
    }

    /// Whether a fault was injected since the last start: then a server may stop without being wrong.
    #[must_use]
    pub fn was_faulted(&self) -> bool {
        self.state.borrow().faulted
    }

    /// Something happens to what is durable. The disk must be at rest: nothing waits for a sync. Returns whether
    /// anything was there that it could happen to.
    pub fn damage(&self, damage: Damage, rng: &mut Rng) -> bool {
        let mut state = self.state.borrow_mut();
        let damaged = state.files.damage(damage, rng);
        state.damaged |= damaged;
        damaged
    }

    /// Keeps what is overwritten from now on: some kinds of damage bring it back.
    pub fn keep_past(&self) {
        self.state.borrow_mut().files.keep_past();
    }

    /// It was damaged since [`SimDisk::trust`].
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        self.state.borrow().damaged
    }

    /// Whatever was damaged did no harm.
    pub fn trust(&self) {
        let mut state = self.state.borrow_mut();
        state.damaged = false;
        state.files.unreadable.clear();
    }

    /// What waits for a sync.
    #[must_use]
    pub fn unsynced_changes(&self) -> usize {
        self.state.borrow().files.changes.len()
    }

    /// The power fails: of what was not synced, a drawn part survives. Returns what the log may say now: what was
    /// synced, and that with each further batch that was written.
    pub fn power_loss(&self, loss: Loss, rng: &mut Rng) -> Vec<LogView> {
        let mut state = self.state.borrow_mut();
        let views = state.possible_views();
        state.files.power_loss(loss, rng);
        let State { tape, files, .. } = &mut *state;
        if let Some(tape) = tape {
            tape.push(files.as_left());
        }
        state.restart();
        views
    }

    /// Only the process ends: the page cache survives. Returns what the log may say now, as
    /// [`SimDisk::power_loss`].
    pub fn process_ended(&self) -> Vec<LogView> {
        let mut state = self.state.borrow_mut();
        let views = state.possible_views();
        state.restart();
        views
    }

    /// A disk that holds these files under these names, durably, and records what is done to it.
    pub(crate) fn holding(files: Vec<Vec<u8>>, names: BTreeMap<String, usize>) -> SimDisk {
        let disk = SimDisk::new("image");
        disk.state.borrow_mut().files = Files::holding(files, names);
        disk.record();
        disk
    }

    /// From now on all that is done goes on a tape.
    pub(crate) fn record(&self) {
        self.state.borrow_mut().tape = Some(Vec::new());
    }

    /// Puts a note on the tape, if there is one.
    pub(crate) fn note(&self, note: impl FnOnce() -> Note) {
        if let Some(tape) = &mut self.state.borrow_mut().tape {
            tape.push(Item::Note(note()));
        }
    }

    /// The tape, which ends with this.
    pub(crate) fn take_tape(&self) -> Vec<Item> {
        self.state.borrow_mut().tape.take().unwrap_or_default()
    }

    /// The log was read back, and says this, durably.
    pub(crate) fn recovered(&self, view: LogView) {
        let mut state = self.state.borrow_mut();
        state.synced = view;
        state.lost.clear();
    }
}

impl State {
    fn restart(&mut self) {
        (self.stopped, self.fault, self.faulted) = (false, None, false);
    }

    fn possible_views(&self) -> Vec<LogView> {
        if !self.lost.is_empty() {
            return self.lost.clone();
        }
        let mut views = vec![self.synced.clone()];
        for change in &self.files.changes {
            if let Change::Write { file, offset, .. } = change {
                let mut view = views.last().expect("there is one from the start").clone();
                // Of a write that was cut short the rest may have stood there already.
                if apply_batch(&mut view, self.files.cached_from(*file, *offset)) {
                    views.push(view);
                }
            }
        }
        views
    }

    fn check_running(&self) -> io::Result<()> {
        if self.stopped { Err(io::Error::other("the machine has stopped")) } else { Ok(()) }
    }

    /// Counts an operation; says how it goes wrong, if it does.
    fn operation(&mut self) -> Option<DiskFault> {
        let number = self.operations;
        self.operations += 1;
        let fault = self.fault.filter(|(at, _)| *at == number).map(|(_, fault)| fault);
        self.stopped |= fault == Some(DiskFault::Stop);
        self.faulted |= fault.is_some();
        fault
    }

    fn tape(&mut self, item: impl FnOnce() -> Item) {
        if let Some(tape) = &mut self.tape {
            tape.push(item());
        }
    }

    fn change_name(&mut self, from: Option<&str>, to: Option<(&str, usize)>) -> io::Result<()> {
        self.check_running()?;
        let fault = self.operation();
        if matches!(fault, None | Some(DiskFault::Stop)) {
            self.files.change_name(from, to);
            self.tape(|| Item::Name {
                from: from.map(str::to_owned),
                to: to.map(|(name, file)| (name.to_owned(), file)),
            });
        }
        outcome(fault)
    }
}

fn outcome(fault: Option<DiskFault>) -> io::Result<()> {
    match fault {
        None => Ok(()),
        Some(DiskFault::Stop) => Err(io::Error::other("the machine stops")),
        Some(DiskFault::Full) => Err(ErrorKind::StorageFull.into()),
        Some(DiskFault::Broken) => Err(io::Error::other("the device failed")),
    }
}

impl Disk for SimDisk {
    type File = SimFile;

    fn path(&self, name: &str) -> String {
        format!("{}:{name}", self.state.borrow().name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.state.borrow();
        state.check_running()?;
        Ok(state.files.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let state = self.state.borrow();
        state.check_running()?;
        state.files.names.get(name).map(|file| SimFile(*file)).ok_or_else(|| ErrorKind::NotFound.into())
    }

    fn create(&self, name: &str) -> io::Result<SimFile> {
        let mut state = self.state.borrow_mut();
        if state.files.names.contains_key(name) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        let file = state.files.add();
        state.change_name(None, Some((name, file)))?;
        Ok(SimFile(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        let file = *state.files.names.get(from).ok_or(ErrorKind::NotFound)?;
        state.change_name(Some(from), Some((to, file)))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        if !state.files.names.contains_key(name) {
            return Err(ErrorKind::NotFound.into());
        }
        state.change_name(Some(name), None)
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check_running()?;
        let fault = state.operation();
        if fault.is_none() {
            state.files.sync_names();
            state.tape(|| Item::SyncNames);
        }
        outcome(fault)
    }

    fn len(&self, file: &SimFile) -> io::Result<u64> {
        let state = self.state.borrow();
        state.check_running()?;
        Ok(state.files.length(file.0))
    }

    fn read_at(&self, file: &SimFile, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let state = self.state.borrow();
        state.check_running()?;
        if state.files.cannot_read(file.0, offset, buffer.len()) {
            return Err(io::Error::other("the sector cannot be read"));
        }
        Ok(state.files.read(file.0, offset, buffer))
    }

    fn write_at(&self, file: &SimFile, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check_running()?;
        let fault = state.operation();
        let written = match fault {
            None | Some(DiskFault::Stop) => data,
            Some(DiskFault::Full) => &data[..data.len() / 2],
            Some(DiskFault::Broken) => &[],
        };
        state.written_bytes += written.len() as u64;
        state.files.write(file.0, offset, written);
        let file = file.0;
        state.tape(|| Item::Write {
            file,
            offset: usize::try_from(offset).expect("a simulated disk is small"),
            data: written.to_vec(),
        });
        outcome(fault)
    }

    fn sync_data(&self, file: &SimFile) -> io::Result<()> {
        let mut state = self.state.borrow_mut();
        state.check_running()?;
        match state.operation() {
            None => {
                let State { files, synced, .. } = &mut *state;
                files.sync(file.0, |bytes| {
                    apply_batch(synced, bytes);
                });
                state.tape(|| Item::Sync(file.0));
                Ok(())
            }
            Some(DiskFault::Stop) => outcome(Some(DiskFault::Stop)),
            fault => {
                state.lost = state.possible_views();
                state.files.lose(file.0);
                outcome(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;

    fn content(disk: &SimDisk, name: &str) -> Option<Vec<u8>> {
        let file = disk.open(name).ok()?;
        let mut buffer = vec![0; usize::try_from(disk.len(&file).unwrap()).unwrap()];
        disk.read_at(&file, 0, &mut buffer).unwrap();
        Some(buffer)
    }

    fn with_unsynced() -> SimDisk {
        let disk = SimDisk::new("n1");
        let file = disk.create("x").unwrap();
        disk.write_at(&file, 0, b"old").unwrap();
        disk.sync_data(&file).unwrap();
        disk.sync_dir().unwrap();
        disk.write_at(&file, 1, b"NEW").unwrap();
        disk.write_at(&file, 0, b"!").unwrap();
        disk.rename("x", "y").unwrap();
        disk
    }

    #[test]
    fn a_power_loss_takes_back_what_was_not_synced() {
        let disk = with_unsynced();
        assert_eq!(content(&disk, "y").unwrap(), b"!NEW");
        disk.power_loss(Loss::Everything, &mut stream(1, "x"));
        assert_eq!((content(&disk, "x"), content(&disk, "y")), (Some(b"old".to_vec()), None));
    }

    #[test]
    fn any_part_of_it_may_survive() {
        let mut seen = std::collections::BTreeSet::new();
        for seed in 0..200 {
            let disk = with_unsynced();
            disk.power_loss(Loss::AnyBytes, &mut stream(seed, "x"));
            seen.insert((content(&disk, "x"), content(&disk, "y")));
        }
        assert!(seen.contains(&(None, Some(b"!NEW".to_vec()))), "all of it");
        assert!(seen.contains(&(Some(b"old".to_vec()), None)), "nothing");
        assert!(seen.len() > 6, "and much in between: {}", seen.len());
    }

    #[test]
    fn after_a_failed_sync_the_cache_shows_what_the_disk_will_never_have() {
        let disk = with_unsynced();
        let file = disk.open("y").unwrap();
        disk.sync_dir().unwrap();
        disk.fail_after(0, DiskFault::Broken);
        assert!(disk.sync_data(&file).is_err());
        disk.process_ended();
        assert_eq!(content(&disk, "y").unwrap(), b"!NEW");
        disk.sync_data(&file).unwrap();
        disk.write_at(&file, 3, b"?").unwrap();
        disk.sync_data(&file).unwrap();
        disk.power_loss(Loss::Everything, &mut stream(1, "x"));
        assert_eq!(content(&disk, "y").unwrap(), b"old?", "only what was written anew is there");
    }
}
