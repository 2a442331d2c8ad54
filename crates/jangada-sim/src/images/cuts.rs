//! Where a crash can cut: which parts of the unsynced changes survive.

use std::ops::Range;

use crate::disk::Loss;
use crate::rng::{Dice, Rng};

use super::counts::Kind;
use super::platter::{Change, Platter, Survival};

/// One way in which the changes can survive, and what it is called.
pub(crate) struct Cut {
    pub(crate) kind: Kind,
    /// For each change.
    pub(crate) survivals: Vec<Survival>,
}

/// Unsynced changes that are looked at one by one; the draws go over all of them.
const ONE_BY_ONE: usize = 6;
/// Draws of each law.
const DRAWS: usize = 8;
/// Bytes of one write at which it is torn, besides its first, its last and those around its header.
const DRAWN_BYTES: usize = 12;
/// Most prefixes of one write by whole sectors.
const SECTORS: usize = 12;

/// The cuts. The last change was under way; those before it were complete, but not synced.
pub(crate) fn cuts(platter: &Platter, rng: &mut Rng) -> Vec<Cut> {
    let changes = &platter.unsynced;
    let all: Vec<Survival> = changes.iter().map(whole).collect();
    let nothing: Vec<Survival> = changes.iter().map(|_| Vec::new()).collect();
    let mut cuts = vec![
        Cut { kind: Kind::NothingSurvives, survivals: nothing.clone() },
        Cut { kind: Kind::EverythingSurvives, survivals: all.clone() },
    ];
    let Some(last) = changes.len().checked_sub(1) else { return cuts };
    for one in changes.len().saturating_sub(ONE_BY_ONE)..changes.len() {
        let until = |at: usize| if at <= one { all[at].clone() } else { Vec::new() };
        let without = |at: usize| if at == one { Vec::new() } else { all[at].clone() };
        let alone = |at: usize| if at == one { all[at].clone() } else { Vec::new() };
        let of = |which: &dyn Fn(usize) -> Survival| (0..=last).map(which).collect();
        cuts.push(Cut { kind: Kind::LaterLost, survivals: of(&until) });
        cuts.push(Cut { kind: Kind::OneLost, survivals: of(&without) });
        cuts.push(Cut { kind: Kind::OneAlone, survivals: of(&alone) });
    }
    for (kind, survival) in torn(platter, &changes[last], rng) {
        // With all that came before it, and alone.
        for before in [&all, &nothing] {
            let mut survivals = before.clone();
            survivals[last].clone_from(&survival);
            cuts.push(Cut { kind, survivals });
        }
    }
    let laws = [
        (Loss::AnyChanges, Kind::AnyChanges),
        (Loss::AnySectors, Kind::AnySectors),
        (Loss::AnyBytes, Kind::AnyBytes),
    ];
    for (law, kind) in laws.into_iter().flat_map(|law| [law; DRAWS]) {
        let survivals = changes.iter().map(|change| match change {
            Change::Write { offset, data, .. } => law.survivors(rng, *offset, data.len(), true),
            Change::Name { .. } => law.survivors(rng, 0, 1, true),
        });
        cuts.push(Cut { kind, survivals: survivals.collect() });
    }
    cuts
}

fn whole(change: &Change) -> Survival {
    only(match change {
        Change::Write { data, .. } => 0..data.len(),
        Change::Name { .. } => 0..1,
    })
}

/// The write that was under way, in parts. A name cannot be torn.
fn torn(platter: &Platter, change: &Change, rng: &mut Rng) -> Vec<(Kind, Survival)> {
    let Change::Write { file, offset, data } = change else { return Vec::new() };
    let mut found = Vec::new();
    for (sector, kind) in [(512, Kind::TornAtSector512), (4_096, Kind::TornAtSector4096)] {
        let borders = borders(*offset, data.len(), sector);
        for border in &borders {
            found.push((kind, only(0..*border)));
            found.push((kind, only(*border..data.len())));
        }
        for two in borders.windows(2) {
            // One sector is missing; only one is there.
            found.push((kind, vec![0..two[0], two[1]..data.len()]));
            found.push((kind, only(two[0]..two[1])));
        }
    }
    let changed = changed(platter.durable(*file), *offset, data);
    let mut bytes = vec![changed.start + 1, changed.end.saturating_sub(1), 31, 32, 33];
    bytes.extend((0..DRAWN_BYTES).map(|_| {
        changed.start + usize::try_from(rng.below(changed.len() as u64)).expect("less than a length")
    }));
    for byte in bytes.into_iter().filter(|byte| (1..data.len()).contains(byte)) {
        found.push((Kind::TornAtByte, only(0..byte)));
        found.push((Kind::TornAtByte, only(byte..data.len())));
    }
    found
}

fn only(range: Range<usize>) -> Survival {
    std::iter::once(range).collect()
}

/// Where in a write the disk's sectors end; of many, some from its beginning and some from its end.
fn borders(offset: usize, length: usize, sector: usize) -> Vec<usize> {
    let first = (offset / sector + 1) * sector;
    let all: Vec<usize> = (first..offset + length).step_by(sector).map(|border| border - offset).collect();
    if all.len() <= SECTORS {
        return all;
    }
    let (begin, end) = (&all[..SECTORS / 2], &all[all.len() - SECTORS / 2..]);
    [begin, end].concat()
}

/// The part of a write that changes anything: zeros over zeros are no news.
fn changed(old: &[u8], offset: usize, data: &[u8]) -> Range<usize> {
    let differs = |at: usize| old.get(offset + at).copied().unwrap_or(0) != data[at];
    let first = (0..data.len()).find(|at| differs(*at)).unwrap_or(0);
    let last = (0..data.len()).rfind(|at| differs(*at)).map_or(first, |at| at + 1);
    first..last
}
