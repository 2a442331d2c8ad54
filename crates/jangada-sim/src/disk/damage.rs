//! Damage to bytes that were durable: what a reader must find, or be right not to miss.
//!
//! Each kind spares what nobody could find by reading this one disk: the log's very last batch, if it is gone as if it
//! had never been written (docs/wal-format.md says why). It may hit everything before that, the files that are closed,
//! and the snapshots.

use core::ops::Range;

use super::files::{Files, put};
use crate::rng::{Dice, Rng};

/// What happens to a disk at rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Damage {
    /// A bit flips.
    Bit,
    /// A sector cannot be read.
    LostSector,
    /// A sector shows what it held before it was last written.
    StaleSector,
    /// A write went to another place, in the same file or in another, and is missing where it belongs.
    Misdirected,
    /// The end of a file is zeros.
    ZeroedTail,
    /// A file is not there.
    FileGone,
}

impl Damage {
    /// All of them.
    pub const ALL: [Damage; 6] = [
        Damage::Bit,
        Damage::LostSector,
        Damage::StaleSector,
        Damage::Misdirected,
        Damage::ZeroedTail,
        Damage::FileGone,
    ];

    /// It needs to know what was overwritten.
    #[must_use]
    pub fn needs_past(self) -> bool {
        matches!(self, Damage::StaleSector | Damage::Misdirected)
    }
}

/// A write that was synced: where, and what stood there before.
#[derive(Clone, Debug)]
pub(super) struct Past {
    pub(super) file: usize,
    pub(super) place: Range<usize>,
    /// Shorter than the place if the file was.
    pub(super) old: Vec<u8>,
}

impl Past {
    fn touches(&self, file: usize, place: &Range<usize>) -> bool {
        self.file == file && self.place.start < place.end && place.start < self.place.end
    }
}

/// A log or a snapshot, and where damage to it is spared.
struct Target {
    name: String,
    file: usize,
    length: usize,
    /// From the log's last batch to the end of the page behind it; empty in other files.
    spared: Range<usize>,
}

impl Target {
    fn may_hit(&self, place: &Range<usize>) -> bool {
        let clear = self.spared.is_empty() || place.end <= self.spared.start;
        !place.is_empty() && place.end <= self.length && (clear || place.start >= self.spared.end)
    }

    fn is_last(&self) -> bool {
        !self.spared.is_empty()
    }
}

/// How often a place is drawn until one is found that may be hit.
const DRAWS: u32 = 64;
/// Zeros stand behind a batch up to a page's end.
const PAGE: usize = 4_096;
/// A batch's header.
const HEADER: usize = 32;

impl Files {
    /// Damages something. `false` if nothing has changed.
    pub(super) fn damage(&mut self, damage: Damage, rng: &mut Rng) -> bool {
        let targets = self.targets();
        if targets.is_empty() {
            return false;
        }
        match damage {
            Damage::Bit => self.flip(&targets, rng),
            Damage::LostSector => self.lose_sector(&targets, rng),
            Damage::StaleSector => (0..DRAWS).any(|_| self.show_stale(&targets, rng)),
            Damage::Misdirected => (0..DRAWS).any(|_| self.misdirect(&targets, rng)),
            Damage::ZeroedTail => (0..DRAWS).any(|_| self.zero_tail(&targets, rng)),
            Damage::FileGone => {
                let name = &any(&targets, rng).name;
                self.durable_names.remove(name);
                self.names.remove(name).is_some()
            }
        }
    }

    fn targets(&self) -> Vec<Target> {
        let mut targets = Vec::new();
        let mut last = None;
        for (name, file) in &self.names {
            let content = self.content(*file);
            if name.ends_with(".wal") {
                last = last.max(
                    last_batch(content).map(|(number, spared)| (number, *file, spared.start, spared.end)),
                );
            }
            if name.ends_with(".wal") || name.ends_with(".snapshot") {
                let (name, length) = (name.clone(), content.len());
                targets.push(Target { name, file: *file, length, spared: 0..0 });
            }
        }
        for target in &mut targets {
            if let Some((_, _, start, end)) = last.filter(|last| last.1 == target.file) {
                target.spared = start..end;
            }
        }
        targets
    }

    fn flip(&mut self, targets: &[Target], rng: &mut Rng) -> bool {
        // Behind the last batch nobody reads.
        let end = |target: &Target| if target.is_last() { target.spared.start } else { target.length };
        let bits: u64 = targets.iter().map(|target| end(target) as u64 * 8).sum();
        let mut bit = rng.below(bits);
        for target in targets {
            let here = end(target) as u64 * 8;
            if bit < here {
                let byte = usize::try_from(bit / 8).expect("a simulated disk is small");
                self.content_mut(target.file)[byte] ^= 1 << (bit % 8);
                return true;
            }
            bit -= here;
        }
        false
    }

    fn lose_sector(&mut self, targets: &[Target], rng: &mut Rng) -> bool {
        let target = any(targets, rng);
        let sector = sector_at(below(rng, target.length), rng);
        self.unreadable.push((target.file, sector));
        target.length > 0
    }

    fn show_stale(&mut self, targets: &[Target], rng: &mut Rng) -> bool {
        let Some((_, past, target)) = self.any_past(targets, rng) else { return false };
        let sector = sector_at(past.place.start + below(rng, past.place.len()), rng);
        if !target.may_hit(&sector) {
            return false;
        }
        let Some(newest) = self.newest(past.file, &sector) else { return false };
        let part = newest.place.start.max(sector.start)..newest.place.end.min(sector.end);
        self.revert(&newest, part)
    }

    fn misdirect(&mut self, targets: &[Target], rng: &mut Rng) -> bool {
        let Some((number, past, target)) = self.any_past(targets, rng) else { return false };
        // What was written over its end since is there: the batch behind it.
        let later = self.later(number, &past).map(|later| later.place.start).min();
        let place = past.place.start..later.unwrap_or(past.place.end).min(past.place.end);
        if !target.may_hit(&place) {
            return false;
        }
        let other = any(targets, rng);
        let start = below(rng, other.length) / 512 * 512 + place.start % 512;
        let there = start..start + place.len();
        let here = other.file == past.file && there.start < place.end && place.start < there.end;
        if here || !other.may_hit(&there) {
            return false;
        }
        let bytes = self.content(past.file)[place.clone()].to_vec();
        let came_not = self.revert(&past, place);
        let content = self.content_mut(other.file);
        let went_there = content[there.clone()] != bytes;
        put(content, there.start, &bytes);
        came_not || went_there
    }

    fn zero_tail(&mut self, targets: &[Target], rng: &mut Rng) -> bool {
        let target = any(targets, rng);
        if target.is_last() || target.length == 0 {
            return false;
        }
        let from = below(rng, target.length);
        let tail = &mut self.content_mut(target.file)[from..];
        let changed = tail.iter().any(|byte| *byte != 0);
        tail.fill(0);
        changed
    }

    /// Some write of the past, to a file that is there.
    fn any_past<'a>(&self, targets: &'a [Target], rng: &mut Rng) -> Option<(usize, Past, &'a Target)> {
        let past = self.past.as_ref().filter(|past| !past.is_empty())?;
        let number = below(rng, past.len());
        let past = past[number].clone();
        let target =
            targets.iter().find(|target| target.file == past.file && past.place.end <= target.length)?;
        Some((number, past, target))
    }

    /// The last write to any of these bytes.
    fn newest(&self, file: usize, place: &Range<usize>) -> Option<Past> {
        self.past.as_ref()?.iter().rev().find(|past| past.touches(file, place)).cloned()
    }

    /// What was written later over parts of this.
    fn later<'a>(&'a self, number: usize, past: &'a Past) -> impl Iterator<Item = &'a Past> {
        let all = self.past.iter().flatten().skip(number + 1);
        all.filter(|later| later.touches(past.file, &past.place))
    }

    /// A part of what was written is again what it was before.
    fn revert(&mut self, past: &Past, part: Range<usize>) -> bool {
        let (from, to) = (part.start - past.place.start, part.end - past.place.start);
        // There was nothing yet, or not so much.
        let Some(old) = past.old.get(from..to.min(past.old.len())) else { return false };
        let part = part.start..part.start + old.len();
        let content = self.content_mut(past.file);
        let changed = content[part.clone()] != *old;
        put(content, part.start, old);
        changed
    }
}

fn any<'a>(targets: &'a [Target], rng: &mut Rng) -> &'a Target {
    &targets[below(rng, targets.len())]
}

fn below(rng: &mut Rng, bound: usize) -> usize {
    usize::try_from(rng.below(bound as u64)).expect("it is below a length")
}

/// The sector of 512 or 4,096 bytes that this byte stands in.
fn sector_at(byte: usize, rng: &mut Rng) -> Range<usize> {
    let size = rng.pick(&[512, 4_096]);
    let start = byte / size * size;
    start..start + size
}

/// The last batch of a segment, or the mark behind it that it was synced: its number, and where it stands, with the
/// zeros behind it. It has the highest number; a recycled segment holds older ones further behind, and one that is
/// prepared holds nothing else.
fn last_batch(content: &[u8]) -> Option<(u64, Range<usize>)> {
    let number = |at: usize| {
        let named = content.get(at + 4..at + 8) == Some(b"jwal");
        content.get(at + 16..).filter(|_| named)?.first_chunk().map(|number| u64::from_le_bytes(*number))
    };
    let last = (0..content.len() / 8).filter_map(|place| Some((number(place * 8)?, place * 8))).max()?;
    let (number, start) = last;
    let body = content.get(start + 8..)?.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
    Some((number, start..(start + 2 * HEADER + body).next_multiple_of(PAGE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::stream;

    /// A file of so many bytes, each page written on its own, twice.
    fn files(name: &str) -> Files {
        let mut files = Files::default();
        files.keep_past();
        let file = files.add();
        files.change_name(None, Some((name, file)));
        files.sync_names();
        for life in [1, 2] {
            for page in 0..4_u64 {
                files.write(file, page * 4_096, &[life; 4_096]);
                files.sync(file, |_| ());
            }
        }
        files
    }

    fn after(damage: Damage, seed: u64) -> (bool, Files) {
        let mut files = files("1.wal");
        let done = files.damage(damage, &mut stream(seed, "damage"));
        (done, files)
    }

    #[test]
    fn each_kind_does_what_it_says() {
        for seed in 0..50 {
            for damage in Damage::ALL {
                let (done, files) = after(damage, seed);
                assert!(done, "{damage:?}, seed {seed}");
                let content = files.content(0);
                let count = |byte: u8| content.iter().filter(|it| **it == byte).count();
                match damage {
                    Damage::Bit => assert_eq!(count(2), content.len() - 1),
                    Damage::LostSector => {
                        assert!(files.cannot_read(0, 0, content.len()));
                        assert_eq!(count(2), content.len());
                    }
                    Damage::StaleSector => assert!([512, 4_096].contains(&count(1)), "{}", count(1)),
                    Damage::Misdirected => assert!(count(1) > 0 && count(1) + count(2) == content.len()),
                    Damage::ZeroedTail => assert!(count(0) > 0 && content.ends_with(&[0])),
                    Damage::FileGone => assert!(files.names.is_empty() && files.durable_names.is_empty()),
                }
            }
        }
    }

    #[test]
    fn a_sector_that_is_written_can_be_read_again() {
        let (_, mut files) = after(Damage::LostSector, 1);
        let length = files.content(0).len();
        files.write(0, 0, &vec![3; length]);
        assert!(!files.cannot_read(0, 0, length));
    }
}
