//! Power losses: which of the unsynced changes were in time.

use std::ops::Range;

use crate::rng::{Dice, Rng};

use super::files::{Change, Files, put, rename};

/// How much of what was not synced a power loss takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loss {
    /// All of it.
    Everything,
    /// Nothing: all was in time.
    Nothing,
    /// What came last: the changes before a drawn one survive.
    Latest,
    /// Any of the changes, each whole or not at all.
    AnyChanges,
    /// Any of the changes; of each write any of its sectors, 512 or 4,096 bytes long.
    AnySectors,
    /// Any of the changes; of each write what stands before, behind or around some drawn byte.
    AnyBytes,
}

impl Loss {
    /// All of them.
    pub const ALL: [Loss; 6] =
        [Loss::Everything, Loss::Nothing, Loss::Latest, Loss::AnyChanges, Loss::AnySectors, Loss::AnyBytes];

    pub(crate) fn survivors(
        self,
        rng: &mut Rng,
        offset: usize,
        length: usize,
        in_time: bool,
    ) -> Vec<Range<usize>> {
        let all = 0..length;
        match self {
            Loss::Everything => vec![],
            Loss::Nothing => vec![all],
            Loss::Latest => {
                if in_time {
                    vec![all]
                } else {
                    vec![]
                }
            }
            Loss::AnyChanges => {
                if rng.chance(500) {
                    vec![all]
                } else {
                    vec![]
                }
            }
            Loss::AnySectors => sectors(rng, offset, length),
            Loss::AnyBytes => {
                let cut = usize::try_from(rng.below(length as u64 + 1)).unwrap_or(0);
                let survives = match rng.below(4) {
                    0 => 0..0,
                    1 => all,
                    2 => 0..cut,
                    _ => cut..length,
                };
                if survives.is_empty() { vec![] } else { vec![survives] }
            }
        }
    }
}

/// Any of the sectors that the write touches, each with an even chance.
fn sectors(rng: &mut Rng, offset: usize, length: usize) -> Vec<Range<usize>> {
    let sector = rng.pick(&[512, 4_096]);
    let mut ranges = Vec::new();
    let mut at = 0;
    while at < length {
        let end = ((offset + at) / sector + 1) * sector - offset;
        let end = end.min(length);
        if rng.chance(500) {
            ranges.push(at..end);
        }
        at = end;
    }
    ranges
}

impl Files {
    /// What is left after a power loss.
    pub(super) fn power_loss(&mut self, loss: Loss, rng: &mut Rng) {
        let written = self.written();
        let in_time = rng.below(self.changes.len() as u64 + 1);
        let mut names = self.durable_names.clone();
        let mut contents: Vec<Option<Vec<u8>>> = vec![None; self.count()];
        for (number, change) in self.changes.iter().enumerate() {
            let in_time = (number as u64) < in_time;
            match change {
                Change::Write { file, offset, length, .. } => {
                    let content = contents[*file].get_or_insert_with(|| self.durable_content(*file));
                    for range in loss.survivors(rng, *offset, *length, in_time) {
                        put(content, offset + range.start, &written[number][range]);
                    }
                }
                Change::Name { from, to } => {
                    if !loss.survivors(rng, 0, 1, in_time).is_empty() {
                        rename(&mut names, from, to);
                    }
                }
            }
        }
        self.reset(names, contents);
    }
}
