//! The states of a group of keys that a search has met: each is kept once and has a number.

use std::collections::BTreeMap;
use std::rc::Rc;

use bytes::Bytes;
use jangada_kv::{KeyRange, Request, Response, Revision};

use crate::answers::fits;
use crate::keys::{Reach, reach};
use crate::model::{Cell, Cells, Choices, Step, Touched};

/// Most ways in which one request may go in one state (which of its keys have expired, say).
const MAX_PATHS: usize = 4_096;
/// What a state or cell costs beside its own bytes, about.
const OVERHEAD_BYTES: usize = 96;

/// A state, by number.
pub(crate) type StateId = u32;

/// The empty state.
pub(crate) const EMPTY: StateId = 0;

/// All states met so far.
pub(crate) struct States {
    /// The keys of the group, in order.
    keys: Vec<Bytes>,
    /// Whether versions are told apart. If not, states that differ in them alone are the same.
    tracks_versions: bool,
    cells: Vec<Cell>,
    cell_ids: BTreeMap<Cell, u32>,
    /// For each key 0 if it does not exist, else the number of its cell plus one.
    states: Vec<Rc<[u32]>>,
    state_ids: BTreeMap<Rc<[u32]>, StateId>,
    bytes: usize,
}

/// A request went more ways than can be followed.
#[derive(Debug)]
pub(crate) struct TooManyPaths;

/// The states that a request can lead to; most lead to one.
#[derive(Clone, Debug)]
pub(crate) enum Outcomes {
    None,
    One([StateId; 1]),
    Many(Rc<[StateId]>),
}

impl Outcomes {
    pub(crate) fn as_slice(&self) -> &[StateId] {
        match self {
            Outcomes::None => &[],
            Outcomes::One(one) => one,
            Outcomes::Many(many) => many,
        }
    }
}

struct View<'a> {
    states: &'a States,
    cells: &'a [u32],
}

impl Cells for View<'_> {
    fn cell(&self, key: &[u8]) -> Option<&Cell> {
        self.states.cell_at(self.cells, self.states.place(key)?)
    }

    fn keys_in(&self, range: &KeyRange) -> Vec<Bytes> {
        let keys = self.states.keys.iter().zip(self.cells);
        keys.filter(|(key, cell)| **cell != 0 && range.contains(key)).map(|(key, _)| key.clone()).collect()
    }

    fn keys_vanish(&self) -> bool {
        true
    }
}

impl States {
    /// `keys` are in order.
    pub(crate) fn new(keys: Vec<Bytes>, tracks_versions: bool) -> States {
        let empty: Rc<[u32]> = vec![0; keys.len()].into();
        States {
            keys,
            tracks_versions,
            cells: Vec::new(),
            cell_ids: BTreeMap::new(),
            states: vec![empty.clone()],
            state_ids: BTreeMap::from([(empty, EMPTY)]),
            bytes: 0,
        }
    }

    /// What the states take up, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The cell of a key in a state.
    pub(crate) fn cell(&self, state: StateId, key: &[u8]) -> Option<&Cell> {
        let place = self.place(key)?;
        self.cell_at(&self.states[state as usize], place)
    }

    /// The keys that a request is about, as bits; in a large group a bit stands for several.
    pub(crate) fn touched_by(&self, request: &Request) -> u64 {
        let Reach::Ranges(ranges) = reach(request) else { return 0 };
        let keys = (0_u32..).zip(&self.keys);
        let touched = keys.filter(|(_, key)| ranges.iter().any(|range| range.contains(key)));
        touched.fold(0, |bits, (place, _)| bits | 1 << (place % 64))
    }

    /// The states that `request` can lead to from `state` if it is answered with `given`, or with anything.
    pub(crate) fn outcomes(
        &mut self,
        state: StateId,
        request: &Request,
        given: Option<&Response>,
        revision: Option<Revision>,
    ) -> Result<Outcomes, TooManyPaths> {
        let cells = self.states[state as usize].clone();
        let mut choices = Choices::default();
        let mut found: Vec<StateId> = Vec::new();
        for _ in 0..MAX_PATHS {
            let view = View { states: self, cells: &cells };
            let mut step = Step::new(&view, None, revision, &mut choices);
            let expected = step.run(request);
            let touched = step.touched;
            if given.is_none_or(|given| fits(request, &expected, given)) {
                let after = self.changed(state, touched);
                if !found.contains(&after) {
                    found.push(after);
                }
            }
            if !choices.next_path() {
                return Ok(match *found.as_slice() {
                    [] => Outcomes::None,
                    [one] => Outcomes::One([one]),
                    ref many => Outcomes::Many(many.into()),
                });
            }
        }
        Err(TooManyPaths)
    }

    fn place(&self, key: &[u8]) -> Option<usize> {
        self.keys.binary_search_by(|own| own.as_ref().cmp(key)).ok()
    }

    fn cell_at(&self, cells: &[u32], place: usize) -> Option<&Cell> {
        let number = cells[place].checked_sub(1)?;
        Some(&self.cells[number as usize])
    }

    fn changed(&mut self, state: StateId, touched: Vec<Touched>) -> StateId {
        if touched.is_empty() {
            return state;
        }
        let mut cells = self.states[state as usize].to_vec();
        for Touched { key, cell, .. } in touched {
            let place = self.keys.binary_search(&key).expect("a request touches only keys of its group");
            cells[place] = cell.map_or(0, |cell| self.number(cell) + 1);
        }
        if let Some(known) = self.state_ids.get(cells.as_slice()) {
            return *known;
        }
        let id = StateId::try_from(self.states.len()).expect("the search ends long before");
        let cells: Rc<[u32]> = cells.into();
        self.bytes += cells.len() * 4 + OVERHEAD_BYTES;
        self.states.push(cells.clone());
        self.state_ids.insert(cells, id);
        id
    }

    fn number(&mut self, mut cell: Cell) -> u32 {
        if !self.tracks_versions {
            cell.version = None;
        }
        if let Some(known) = self.cell_ids.get(&cell) {
            return *known;
        }
        let number = u32::try_from(self.cells.len()).expect("the search ends long before");
        self.bytes += cell.value.len() + 2 * OVERHEAD_BYTES;
        self.cells.push(cell.clone());
        self.cell_ids.insert(cell, number);
        number
    }
}
