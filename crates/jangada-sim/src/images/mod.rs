//! Crash images: every disk that a crash can leave behind, and a server that starts on each.
//!
//! Scripted clusters live their lives while their disks keep a tape (`lives.rs`). Afterwards each tape is wound
//! forward operation by operation (`platter.rs`), and at each one the crash is cut in many ways (`cuts.rs`): what
//! was not synced survives or not, whole, in sectors or in bytes, in any combination. The server's own code
//! starts on what is left (`boot.rs`), and must find a log that it was on its way through, nothing that it has
//! promised missing (`ledger.rs`), and the state that this log leads to (`truth.rs`).
//!
//! Some of the starts are recorded in turn and cut again: a crash in the middle of a repair is a crash like others.

mod boot;
mod counts;
mod cuts;
pub(crate) mod ledger;
mod lives;
mod platter;
mod truth;

use std::collections::BTreeSet;

use jangada_raft::types::{NodeId, Payload};

use crate::disk::SimDisk;
use crate::disk::tape::Item;
use crate::plan::Plan;
use crate::rng::{Dice, Rng, stream};

use boot::Patient;
pub use counts::{Counts, Kind};
use ledger::{Ledger, Memory};
use platter::{Change, Image, Platter};
use truth::Truth;

/// A cluster's whole life, as its disks have recorded it.
struct Life {
    name: &'static str,
    plan: Plan,
    truth: Truth,
    tapes: Vec<Vec<Item>>,
}

/// Lives all lives, cuts all images and starts on each. Another seed gives other draws, and other lives.
///
/// # Panics
/// If a life itself goes wrong.
///
/// # Errors
/// What did not start, or not as it must: the life, the server, the operation, the cut, and a sentence.
pub fn all(seed: u64) -> Result<Counts, String> {
    let mut counts = Counts::default();
    for life in lives::all(seed) {
        for (tape, id) in life.tapes.iter().zip((1..).map(NodeId)) {
            let patient = Patient { plan: &life.plan, id, truth: &life.truth };
            let rng = stream(seed, &format!("images of {id} in {}", life.name));
            let mut walk = Walk::new(patient, rng, &mut counts);
            walk.along(tape).map_err(|why| format!("seed {seed}, life `{}`, {id}, {why}", life.name))?;
        }
    }
    Ok(counts)
}

/// Of so many images, one is gone on with after its start; its disk then loses its power and is read again.
const GO_ON_EVERY: u64 = 4;
/// Of so many, one has its start cut again.
const CUT_START_EVERY: u64 = 48;

/// A walk along a tape.
struct Walk<'a> {
    patient: Patient<'a>,
    platter: Platter,
    ledger: Ledger,
    rng: Rng,
    counts: &'a mut Counts,
    /// What was looked at since something was promised last.
    known: BTreeSet<u64>,
    /// A walk along the tape of a start.
    inner: bool,
}

impl<'a> Walk<'a> {
    fn new(patient: Patient<'a>, rng: Rng, counts: &'a mut Counts) -> Walk<'a> {
        let (platter, ledger) = (Platter::default(), Ledger::default());
        Walk { patient, platter, ledger, rng, counts, known: BTreeSet::new(), inner: false }
    }

    fn along(&mut self, tape: &[Item]) -> Result<(), String> {
        for (number, item) in tape.iter().enumerate() {
            let at = |why: String| format!("item {number} ({}): {why}", words(item));
            match item {
                // In the middle of a write anything of it can be there; in the middle of a sync, anything at all.
                Item::Write { .. } | Item::Name { .. } => {
                    self.platter.done(item);
                    self.cut(1).map_err(at)?;
                }
                Item::Sync(_) | Item::SyncNames => {
                    self.cut(1).map_err(at)?;
                    self.platter.done(item);
                }
                Item::PowerLoss { .. } => self.platter.done(item),
                Item::Note(note) => {
                    self.ledger.note(note).map_err(at)?;
                    self.known.clear();
                }
            }
        }
        self.cut(0).map_err(|why| format!("at the end: {why}"))
    }

    /// The power fails here.
    fn cut(&mut self, operations: u64) -> Result<(), String> {
        self.counts.operations += operations;
        if !self.inner && !self.platter.unsynced.is_empty() {
            self.kill().map_err(|why| format!("killed: {why}"))?;
        }
        for cut in cuts::cuts(&self.platter, &mut self.rng) {
            if self.inner && self.rng.chance(700) {
                continue;
            }
            // What is lost may have been lost before: then the disk is known, and still a disk without it.
            self.count_changes(&cut.survivals);
            let image = self.platter.image(&cut.survivals);
            if !self.known.insert(platter::number(&image)) {
                continue;
            }
            self.counts.images += 1;
            self.counts.count(cut.kind);
            self.look(&image).map_err(|why| format!("{}, {:?}: {why}", cut.kind.name(), cut.survivals))?;
        }
        Ok(())
    }

    /// A server starts on an image.
    fn look(&mut self, image: &Image) -> Result<(), String> {
        let disk = a_disk(image);
        let mut booted = self.patient.start(&disk, self.ledger.begun)?;
        self.ledger.admits(&booted.found)?;
        self.count_start(image, &booted.found, booted.torn_bytes, booted.snapshot);
        if !self.inner && self.counts.images.is_multiple_of(CUT_START_EVERY) {
            // Its repair is durable without any further word, and can be cut off at any point.
            self.cut_start(image, &disk)?;
            return Ok(());
        }
        if self.patient.go_on(&mut booted, &disk)? {
            self.counts.count(Kind::StateCompared);
        }
        if self.counts.images.is_multiple_of(GO_ON_EVERY) {
            self.read_again(Platter::holding(image), &disk.take_tape())?;
            self.counts.count(Kind::WentOn);
        }
        Ok(())
    }

    /// Only the process is killed here. It starts on what the page cache shows, most of which is on the disk too;
    /// then the power fails.
    fn kill(&mut self) -> Result<(), String> {
        let (files, names) = self.platter.cached();
        let disk = SimDisk::holding(files, names);
        let mut booted = self.patient.start(&disk, self.ledger.begun)?;
        if self.rng.chance(500) {
            self.patient.go_on(&mut booted, &disk)?;
        }
        self.counts.count(Kind::KilledThenPowerLoss);
        self.read_again(self.platter.clone(), &disk.take_tape())
    }

    /// After all that a start and a leader's first word did to a disk, nothing of it may depend on a sync to come.
    fn read_again(&mut self, mut platter: Platter, tape: &[Item]) -> Result<(), String> {
        let mut ledger = self.ledger.clone();
        for item in tape {
            platter.done(item);
            if let Item::Note(note) = item {
                ledger.note(note)?;
            }
        }
        let nothing = vec![Vec::new(); platter.unsynced.len()];
        let disk = a_disk(&platter.image(&nothing));
        let booted = self.patient.start(&disk, true).map_err(|why| format!("when read again: {why}"))?;
        ledger.admits(&booted.found).map_err(|why| format!("when read again: {why}"))
    }

    /// The start itself is cut at each of its operations.
    fn cut_start(&mut self, image: &Image, disk: &SimDisk) -> Result<(), String> {
        let tape = disk.take_tape();
        let mut inner = Walk {
            patient: Patient { ..self.patient },
            platter: Platter::holding(image),
            ledger: self.ledger.clone(),
            rng: self.rng.clone(),
            counts: &mut *self.counts,
            known: BTreeSet::new(),
            inner: true,
        };
        let before = inner.counts.images;
        inner.along(&tape).map_err(|why| format!("then, in the start on it, {why}"))?;
        let images = inner.counts.images - before;
        (0..images).for_each(|_| self.counts.count(Kind::CrashInStart));
        Ok(())
    }

    fn count_changes(&mut self, survivals: &[platter::Survival]) {
        for (change, survival) in self.platter.unsynced.iter().zip(survivals) {
            let kept = !survival.is_empty();
            let kind = match change {
                Change::Write { .. } if kept => continue,
                Change::Write { .. } => Kind::WriteLost,
                Change::Name { from: None, .. } if kept => Kind::CreateKept,
                Change::Name { from: None, .. } => Kind::CreateLost,
                Change::Name { to: None, .. } if kept => Kind::RemoveKept,
                Change::Name { to: None, .. } => Kind::RemoveLost,
                Change::Name { .. } if kept => Kind::RenameKept,
                Change::Name { .. } => Kind::RenameLost,
            };
            self.counts.count(kind);
        }
    }

    fn count_start(&mut self, image: &Image, found: &Memory, torn_bytes: u64, snapshot: bool) {
        let named = |suffix: &str| image.keys().any(|name| name.ends_with(suffix));
        let membership = found.entries.iter().rev().find_map(|entry| match &entry.payload {
            Payload::Membership(membership) => Some(membership),
            Payload::Noop | Payload::Command(_) => None,
        });
        let seen = [
            (Kind::TornTailRepaired, torn_bytes > 0),
            (Kind::SnapshotLoaded, snapshot),
            (Kind::MoreThanPromised, self.ledger.is_beyond(found)),
            (Kind::OnlyPromised, self.ledger.is_under_way() && !self.ledger.is_beyond(found)),
            (Kind::TruncationUnderWay, self.ledger.truncates()),
            (Kind::SnapshotHalfReceived, named(".received.tmp")),
            (Kind::SnapshotHalfTaken, named(".taken.tmp")),
            (Kind::SpareSegments, named(".spare")),
            (Kind::JointConfiguration, membership.is_some_and(|membership| membership.is_joint())),
            (Kind::FirstStart, !self.ledger.begun),
        ];
        for (kind, _) in seen.into_iter().filter(|(_, seen)| *seen) {
            self.counts.count(kind);
        }
    }
}

fn a_disk(image: &Image) -> SimDisk {
    let files = image.values().map(|content| content.bytes.to_vec()).collect();
    SimDisk::holding(files, image.keys().cloned().zip(0..).collect())
}

fn words(item: &Item) -> String {
    match item {
        Item::Write { file, offset, data } => {
            format!("writes {} bytes at {offset} of file {file}", data.len())
        }
        Item::Name { from, to } => format!("{from:?} becomes {to:?}"),
        Item::Sync(file) => format!("syncs file {file}"),
        Item::SyncNames => "syncs the names".to_owned(),
        Item::PowerLoss { .. } => "the power fails".to_owned(),
        Item::Note(note) => {
            let mut words = format!("{note:?}");
            words.truncate(60);
            words
        }
    }
}
