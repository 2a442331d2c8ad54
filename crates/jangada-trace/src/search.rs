//! The search for an order of operations that explains all answers, in one group of keys.
//!
//! Wing and Gong (1993) try each operation that may be the next one and go back when they are stuck; Lowe (2017) never
//! looks twice at the same pair of (operations done, state), which makes it fast enough to be of use; Porcupine made
//! this known. What is different here is how "operations done" is written down.
//!
//! Put the answers in the order in which they came. At the moment of the k-th answer all operations that were
//! answered before are done, and nothing that is invoked later is; so what is done is told by `k`, called the
//! *layer*, one bit for each operation that is on its way at that moment, and the set of unanswered operations that
//! were used. The bits are few, however long the history: one per concurrent client. A step does an operation that is
//! on its way; once the k-th operation is done, the node moves to layer k + 1. The first layer that no node
//! leaves has the answer that cannot be explained.
//!
//! An operation that changes nothing is done as soon as it fits: bringing it forward to there changes nothing for the
//! others, so no other place needs to be tried. Of two nodes that differ only in which unanswered operations they have
//! used, the one that has used fewer can do all that the other can.
//!
//! The search goes deep first, and finds an order in a correct history almost without going back. Where many are on
//! their way at once, the revisions of their answers say which to try first. That is a hint and no more: each step is
//! taken by the model alone, and if the order that they name does not work out, all others are tried. If the search has
//! used up a part of its budget, it starts anew, layer by layer, and then only has to remember one layer.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};

use jangada_kv::Revision;

use crate::linearizable::Limits;
use crate::places::Places;
use crate::resolve::Candidate;
use crate::states::{EMPTY, Outcomes, StateId, States};

/// Most states that are told of when the search is stuck.
const MAX_TOLD_STATES: usize = 5;
/// What a node costs while it is remembered, about, without the places of what is done.
const NODE_BYTES: usize = 48;
/// The same for what came of an operation in a state.
const OUTCOMES_BYTES: usize = 64;

/// What came of a search.
#[derive(Debug)]
pub(crate) enum Found {
    /// There is an order.
    Order,
    /// There is none: nothing explains the answer of this candidate, in the states that can be reached.
    Stuck {
        candidate: usize,
        states: Vec<StateId>,
    },
    Undecided {
        why: String,
    },
}

/// More operations are on their way at the same time than there are places for.
#[derive(Debug)]
pub(crate) struct TooMany;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Node<const WORDS: usize> {
    layer: u32,
    state: StateId,
    /// Of the operations on their way, those that are done.
    done: Places<WORDS>,
    /// The unanswered operations that were used.
    used: UsedId,
    /// What needs no help was tried; now try what does.
    needs_help: bool,
}

/// A set of unanswered operations, by number.
type UsedId = u32;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    DeepFirst,
    LayerByLayer,
}

/// `WORDS * 64` is how many operations may be on their way at the same time, unanswered ones not counted.
pub(crate) struct Search<'a, 'h, const WORDS: usize> {
    candidates: &'a [Candidate<'h>],
    pub(crate) states: States,
    /// Candidates by the moment of their answer.
    layers: Vec<u32>,
    /// The keys that each candidate is about, as bits.
    touches: Vec<u64>,
    /// The place of each candidate that was answered, in [`Node::done`].
    places: Vec<u16>,
    /// For each layer those that are on their way and not answered before, the likeliest first: by revision, those
    /// without one before the others, and then by answer.
    on_their_way: Vec<Vec<u32>>,
    /// Unanswered candidates by invocation, and for each the one before it that asks for the same.
    unanswered: Vec<(u32, Option<u32>)>,
    /// For each layer how many of them were invoked by then.
    unanswered_by: Vec<u32>,
    outcomes: BTreeMap<(u32, StateId), Outcomes>,
    used_sets: Vec<Vec<u64>>,
    used_counts: Vec<u32>,
    used_ids: BTreeMap<Vec<u64>, UsedId>,
    seen: BTreeSet<Node<WORDS>>,
    pub(crate) steps: u64,
    deepest: u32,
    deepest_states: Vec<StateId>,
}

enum Stop {
    TooManyPaths,
    Steps,
    Bytes,
}

impl<'a, 'h, const WORDS: usize> Search<'a, 'h, WORDS> {
    /// Candidates are in the order of their invocation.
    pub(crate) fn new(
        candidates: &'a [Candidate<'h>],
        states: States,
    ) -> Result<Search<'a, 'h, WORDS>, TooMany> {
        let mut layers: Vec<u32> =
            (0..candidates.len() as u32).filter(|id| candidates[*id as usize].until.is_some()).collect();
        layers.sort_by_key(|id| candidates[*id as usize].until);
        let (places, on_their_way) = arrange::<WORDS>(candidates, &layers)?;
        let unanswered = unanswered(candidates);
        let unanswered_by = layers
            .iter()
            .map(|id| {
                let until = candidates[*id as usize].until.expect("a layer is an answer");
                let is_invoked =
                    |(id, _): &(u32, Option<u32>)| candidates[*id as usize].operation.invoked <= until;
                unanswered.partition_point(is_invoked) as u32
            })
            .collect();
        let touches = candidates.iter().map(|candidate| states.touched_by(&candidate.request)).collect();
        Ok(Search {
            candidates,
            states,
            touches,
            layers,
            places,
            on_their_way,
            unanswered,
            unanswered_by,
            outcomes: BTreeMap::new(),
            used_sets: vec![Vec::new()],
            used_counts: vec![0],
            used_ids: BTreeMap::from([(Vec::new(), 0)]),
            seen: BTreeSet::new(),
            steps: 0,
            deepest: 0,
            deepest_states: Vec::new(),
        })
    }

    /// The first try, which is all that a right history needs: about one step for each operation.
    pub(crate) fn deep_first(&mut self, limits: &Limits) -> Found {
        let first_try = limits.max_steps.min(100_000 + 50 * self.candidates.len() as u64);
        let walked = self.walk(Order::DeepFirst, first_try, limits.max_bytes);
        self.conclude(walked)
    }

    /// All that is left of the budget, after a first try that came to no end; what that found if nothing is left.
    pub(crate) fn layer_by_layer(&mut self, limits: &Limits, first: Found) -> Found {
        let rest = limits.max_steps.saturating_sub(self.steps);
        if rest == 0 {
            return first;
        }
        let walked = self.walk(Order::LayerByLayer, rest, limits.max_bytes);
        self.conclude(walked)
    }

    fn conclude(&mut self, walked: Result<bool, Stop>) -> Found {
        let why = match walked {
            Ok(true) => return Found::Order,
            Ok(false) => {
                let candidate = self.layers[self.deepest as usize] as usize;
                return Found::Stuck { candidate, states: std::mem::take(&mut self.deepest_states) };
            }
            Err(Stop::TooManyPaths) => {
                "one request touches too many keys with a deadline, or compares too much that is not known"
                    .to_string()
            }
            Err(Stop::Steps) => format!("no end after {} steps", self.steps),
            Err(Stop::Bytes) => format!("no end within the memory allowed, after {} steps", self.steps),
        };
        let answered = self.deepest;
        Found::Undecided { why: format!("{why}; the first {answered} answers can be explained") }
    }

    /// Whether the end was reached.
    fn walk(&mut self, order: Order, max_steps: u64, max_bytes: usize) -> Result<bool, Stop> {
        self.seen.clear();
        let last_step = self.steps + max_steps;
        let mut deep = vec![Node { layer: 0, state: EMPTY, done: Places::NONE, used: 0, needs_help: false }];
        // By layer, and then by the number of unanswered operations used: those that can do more come first.
        let mut waiting: BTreeMap<(u32, u32), Vec<Node<WORDS>>> = BTreeMap::new();
        let mut current = 0;
        loop {
            if order == Order::LayerByLayer {
                for node in deep.drain(..) {
                    waiting.entry((node.layer, self.used_counts[node.used as usize])).or_default().push(node);
                }
                let Some(mut first) = waiting.first_entry() else { return Ok(false) };
                deep.extend(first.get_mut().pop());
                if first.get().is_empty() {
                    first.remove();
                }
            }
            let Some(node) = deep.pop() else { return Ok(false) };
            self.steps += 1;
            if self.steps > last_step {
                return Err(Stop::Steps);
            }
            let seen = self.seen.len() * (NODE_BYTES + size_of::<Places<WORDS>>());
            if seen + self.states.bytes() + self.outcomes.len() * OUTCOMES_BYTES > max_bytes {
                return Err(Stop::Bytes);
            }
            if node.needs_help {
                self.successors(node, &mut deep)?;
                continue;
            }
            let Some(settled) = self.settle(node)? else { return Ok(true) };
            if order == Order::LayerByLayer && settled.layer > node.layer {
                deep.push(settled);
                continue;
            }
            if order == Order::LayerByLayer && settled.layer > current {
                // Nothing leads back to a layer.
                self.seen.clear();
                self.outcomes.clear();
                current = settled.layer;
            }
            if self.is_known(settled) {
                continue;
            }
            self.seen.insert(settled);
            self.note(settled);
            self.successors(settled, &mut deep)?;
        }
    }

    /// Does all that needs no choice: goes on to the first layer whose own operation is not done, and does what
    /// changes nothing and fits. `None` at the end.
    fn settle(&mut self, mut node: Node<WORDS>) -> Result<Option<Node<WORDS>>, Stop> {
        'layer: while let Some(own) = self.layers.get(node.layer as usize).copied() {
            let place = self.places[own as usize];
            if node.done.has(place) {
                node.done = node.done.without(place);
                node.layer += 1;
                continue;
            }
            for nth in 0..self.on_their_way[node.layer as usize].len() {
                let id = self.on_their_way[node.layer as usize][nth];
                let place = self.places[id as usize];
                if node.done.has(place) || !self.candidates[id as usize].is_pure {
                    continue;
                }
                if self.outcomes(id, node.state)?.as_slice().contains(&node.state) {
                    node.done = node.done.with(place);
                    if id == own {
                        continue 'layer;
                    }
                }
            }
            return Ok(Some(node));
        }
        Ok(None)
    }

    /// Whether a node was seen that can do all that this one can.
    fn is_known(&self, node: Node<WORDS>) -> bool {
        let from = Node { used: 0, ..node };
        let to = Node { used: UsedId::MAX, ..node };
        self.seen.range(from..=to).any(|seen| self.is_subset(seen.used, node.used))
    }

    fn is_subset(&self, small: UsedId, large: UsedId) -> bool {
        let (small, large) = (&self.used_sets[small as usize], &self.used_sets[large as usize]);
        small.len() <= large.len() && small.iter().zip(large).all(|(small, large)| small & !large == 0)
    }

    fn note(&mut self, node: Node<WORDS>) {
        if node.layer > self.deepest {
            self.deepest = node.layer;
            self.deepest_states.clear();
        }
        let has_room = self.deepest_states.len() < MAX_TOLD_STATES;
        if node.layer == self.deepest && has_room && !self.deepest_states.contains(&node.state) {
            self.deepest_states.push(node.state);
        }
    }

    /// What may come next. The likeliest comes last, as it is taken first. Those that need help come back here when all
    /// of these have failed.
    fn successors(&mut self, node: Node<WORDS>, next: &mut Vec<Node<WORDS>>) -> Result<(), Stop> {
        if node.needs_help {
            return self.successors_with_help(node, next);
        }
        if self.unanswered_by[node.layer as usize] > 0 {
            next.push(Node { needs_help: true, ..node });
        }
        for nth in (0..self.on_their_way[node.layer as usize].len()).rev() {
            let id = self.on_their_way[node.layer as usize][nth];
            let place = self.places[id as usize];
            if !node.done.has(place) {
                let outcomes = self.outcomes(id, node.state)?;
                let done = node.done.with(place);
                next.extend(outcomes.as_slice().iter().map(|state| Node { state: *state, done, ..node }));
            }
        }
        Ok(())
    }

    /// What may come next with the help of unanswered operations, right before it.
    ///
    /// They are only ever used right before an answered operation that goes otherwise without them: moved back to such
    /// a place, or left out if there is none, they explain as much. So only those matter that are about its keys,
    /// or about keys of others that do.
    fn successors_with_help(&mut self, node: Node<WORDS>, next: &mut Vec<Node<WORDS>>) -> Result<(), Stop> {
        let first = next.len();
        let mut helped_for: BTreeMap<u64, Vec<(StateId, UsedId)>> = BTreeMap::new();
        for nth in (0..self.on_their_way[node.layer as usize].len()).rev() {
            let id = self.on_their_way[node.layer as usize][nth];
            let place = self.places[id as usize];
            if node.done.has(place) {
                continue;
            }
            let keys = self.keys_that_matter(node, self.touches[id as usize]);
            if let Entry::Vacant(vacant) = helped_for.entry(keys) {
                vacant.insert(self.helped(node, keys)?);
            }
            let mut reached = Vec::new();
            for (state, used) in &helped_for[&keys] {
                for state in self.outcomes(id, *state)?.as_slice() {
                    let is_less =
                        |other: &(StateId, UsedId)| other.0 == *state && self.is_subset(other.1, *used);
                    if !reached.iter().any(is_less) {
                        reached.push((*state, *used));
                    }
                }
            }
            let done = node.done.with(place);
            next.extend(
                reached.into_iter().filter(|(_, used)| *used != node.used).map(|(state, used)| Node {
                    state,
                    done,
                    used,
                    needs_help: false,
                    ..node
                }),
            );
        }
        next[first..].sort_by_key(|node| std::cmp::Reverse(self.used_counts[node.used as usize]));
        Ok(())
    }

    /// These keys, and those that unanswered operations connect them with.
    fn keys_that_matter(&self, node: Node<WORDS>, mut keys: u64) -> u64 {
        let invoked = &self.unanswered[..self.unanswered_by[node.layer as usize] as usize];
        loop {
            let connected = invoked.iter().map(|(id, _)| self.touches[*id as usize]);
            let more = connected.filter(|touched| touched & keys != 0).fold(keys, |keys, more| keys | more);
            if more == keys {
                return keys;
            }
            keys = more;
        }
    }

    /// The states that can be reached with nothing but unanswered operations about these keys, those with fewer of
    /// them first.
    fn helped(&mut self, node: Node<WORDS>, keys: u64) -> Result<Vec<(StateId, UsedId)>, Stop> {
        let mut helped = vec![(node.state, node.used)];
        let mut at = 0;
        while at < helped.len() {
            let (state, used) = helped[at];
            at += 1;
            self.steps += 1;
            for place in 0..self.unanswered_by[node.layer as usize] {
                let (id, before) = self.unanswered[place as usize];
                let is_used = |place: u32| self.uses(used, place);
                let is_free = !is_used(place) && before.is_none_or(is_used);
                if !is_free || self.touches[id as usize] & keys == 0 {
                    continue;
                }
                for after in self.outcomes(id, state)?.as_slice() {
                    let more = self.with(used, place);
                    let is_less =
                        |other: &(StateId, UsedId)| other.0 == *after && self.is_subset(other.1, more);
                    if !helped.iter().any(is_less) {
                        helped.push((*after, more));
                    }
                }
            }
        }
        Ok(helped)
    }

    fn outcomes(&mut self, id: u32, state: StateId) -> Result<Outcomes, Stop> {
        if let Some(known) = self.outcomes.get(&(id, state)) {
            return Ok(known.clone());
        }
        let candidate = &self.candidates[id as usize];
        let operation = candidate.operation;
        let revision: Option<Revision> = operation.revision();
        let outcomes = self
            .states
            .outcomes(state, &candidate.request, operation.response(), revision)
            .map_err(|_| Stop::TooManyPaths)?;
        self.outcomes.insert((id, state), outcomes.clone());
        Ok(outcomes)
    }

    fn uses(&self, used: UsedId, place: u32) -> bool {
        let word = self.used_sets[used as usize].get(place as usize / 64);
        word.is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    fn with(&mut self, used: UsedId, place: u32) -> UsedId {
        let mut set = self.used_sets[used as usize].clone();
        let word = place as usize / 64;
        set.resize(set.len().max(word + 1), 0);
        set[word] |= 1 << (place % 64);
        if let Some(known) = self.used_ids.get(&set) {
            return *known;
        }
        let id = UsedId::try_from(self.used_sets.len()).expect("the search ends long before");
        self.used_counts.push(self.used_counts[used as usize] + 1);
        self.used_sets.push(set.clone());
        self.used_ids.insert(set, id);
        id
    }
}

/// Gives each answered candidate a place that no other one has at the same time, and tells who is on its way at each
/// answer. Windows that touch overlap: the clock could not tell them apart.
fn arrange<const WORDS: usize>(
    candidates: &[Candidate<'_>],
    layers: &[u32],
) -> Result<(Vec<u16>, Vec<Vec<u32>>), TooMany> {
    let mut places = vec![0; candidates.len()];
    let mut on_their_way = Vec::with_capacity(layers.len());
    let mut taken = Places::<WORDS>::NONE;
    let mut open: Vec<u32> = Vec::new();
    let mut invoked =
        (0..candidates.len() as u32).filter(|id| candidates[*id as usize].until.is_some()).peekable();
    let mut rank = vec![0; candidates.len()];
    for (layer, id) in layers.iter().enumerate() {
        rank[*id as usize] = layer;
    }
    for own in layers {
        let until = candidates[*own as usize].until;
        while let Some(id) = invoked.next_if(|id| Some(candidates[*id as usize].operation.invoked) <= until) {
            let place = taken.first_free().ok_or(TooMany)?;
            taken = taken.with(place);
            places[id as usize] = place;
            let at = open.partition_point(|other| rank[*other as usize] < rank[id as usize]);
            open.insert(at, id);
        }
        assert!(open.first() == Some(own), "an answer comes after its question and after earlier answers");
        let mut likeliest_first = open.clone();
        likeliest_first.sort_by_key(|id| candidates[*id as usize].operation.revision());
        on_their_way.push(likeliest_first);
        open.remove(0);
        taken = taken.without(places[*own as usize]);
    }
    Ok((places, on_their_way))
}

fn unanswered(candidates: &[Candidate<'_>]) -> Vec<(u32, Option<u32>)> {
    let mut last_alike: BTreeMap<Vec<u8>, u32> = BTreeMap::new();
    let mut unanswered = Vec::new();
    for (id, candidate) in (0..).zip(candidates) {
        if candidate.until.is_none() {
            let mut bytes = Vec::new();
            candidate.request.encode(&mut bytes);
            let before = last_alike.insert(bytes, unanswered.len() as u32);
            unanswered.push((id, before));
        }
    }
    unanswered
}
