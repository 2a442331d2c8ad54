//! The states that were seen, and which of them need not be looked at.
//!
//! Of two states that differ only in the messages that were sent and in the budgets that are used up, the one
//! with more messages and fuller budgets can do all that the other can: nobody has to get a message. So only
//! the richest states are kept, as an antichain for each row of servers. States are compared, not their
//! hashes: none is mistaken for another.
#![expect(clippy::disallowed_types, reason = "looked up, never iterated over")]

use std::collections::HashMap;
use std::hash::BuildHasherDefault;

use super::table::Mixer;
use super::world::TOUCHED;

/// The servers and the history of a state.
type Key = [u32; KEY];

/// Room in it.
pub(super) const KEY: usize = 6;

const NONE: u32 = u32::MAX;

/// The antichains.
#[derive(Default)]
pub(super) struct Seen {
    /// The number of the last state of each chain.
    chains: HashMap<Key, u32, BuildHasherDefault<Mixer>>,
    states: Vec<State>,
    /// The messages of all states, one behind the other.
    messages: Vec<u16>,
}

/// One state.
struct State {
    /// The next one of the chain.
    next: u32,
    budgets: u32,
    first_message: usize,
    messages: u16,
    /// A richer one came: this one need not be looked at.
    is_beaten: bool,
    /// A bit for each message, several messages to a bit: most comparisons end here.
    sketch: u64,
}

impl Seen {
    /// Takes a state in under the next number. `None`: one that is as rich was there before.
    pub(super) fn insert(&mut self, key: &[u32], budgets: u32, messages: &[u32]) -> Option<u32> {
        let mut whole_key = [0; KEY];
        whole_key[..key.len()].copy_from_slice(key);
        let sketch = messages.iter().fold(0, |sketch, message| sketch | 1_u64 << (message % 64));
        let first = self.chains.get(&whole_key).copied().unwrap_or(NONE);
        let (mut at, mut before, mut head) = (first, NONE, first);
        while at != NONE {
            let state = &self.states[at as usize];
            let next = state.next;
            if is_poorer(budgets, state.budgets)
                && sketch & !state.sketch == 0
                && is_subset(messages.iter().copied(), self.messages_of(state))
            {
                return None;
            }
            if is_poorer(state.budgets, budgets)
                && state.sketch & !sketch == 0
                && is_subset(self.messages_of(state), messages.iter().copied())
            {
                self.states[at as usize].is_beaten = true;
                match before {
                    NONE => head = next,
                    before => self.states[before as usize].next = next,
                }
            } else {
                before = at;
            }
            at = next;
        }
        let number = u32::try_from(self.states.len()).expect("fewer states than memory has room for");
        self.states.push(State {
            next: head,
            budgets,
            first_message: self.messages.len(),
            messages: u16::try_from(messages.len()).expect("few messages"),
            is_beaten: false,
            sketch,
        });
        self.messages.extend(messages.iter().map(|message| u16::try_from(*message).expect("few messages")));
        self.chains.insert(whole_key, number);
        Some(number)
    }

    /// How many different rows of servers and histories there are.
    pub(super) fn rows(&self) -> usize {
        self.chains.len()
    }

    /// A richer one came since.
    pub(super) fn is_beaten(&self, number: u32) -> bool {
        self.states[number as usize].is_beaten
    }

    fn messages_of(&self, state: &State) -> impl Iterator<Item = u32> {
        let messages = &self.messages[state.first_message..][..usize::from(state.messages)];
        messages.iter().map(|message| u32::from(*message))
    }
}

/// Whether no budget has more left than in the other state. What has been touched must be the same.
fn is_poorer(one: u32, other: u32) -> bool {
    one >> TOUCHED == other >> TOUCHED
        && (0..TOUCHED).step_by(4).all(|budget| one >> budget & 15 >= other >> budget & 15)
}

/// Both rise.
fn is_subset(few: impl Iterator<Item = u32>, mut many: impl Iterator<Item = u32>) -> bool {
    'few: for one in few {
        for other in many.by_ref() {
            if other >= one {
                if other == one {
                    continue 'few;
                }
                return false;
            }
        }
        return false;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_richest_states_are_kept() {
        let mut seen = Seen::default();
        assert_eq!(seen.insert(&[1, 2], 0, &[3, 5]), Some(0));
        assert_eq!(seen.insert(&[1, 2], 0, &[3, 5]), None, "the same");
        assert_eq!(seen.insert(&[1, 2], 0, &[5]), None, "one message less");
        assert_eq!(seen.insert(&[1, 2], 1, &[3, 5]), None, "one crash less");
        assert_eq!(seen.insert(&[1, 3], 0, &[5]), Some(1), "another server");
        assert_eq!(seen.insert(&[1, 2], 1, &[3, 6]), Some(2), "neither is richer");
        assert_eq!(seen.insert(&[1, 2], 0, &[3, 6, 70]), Some(3));
        let beaten: Vec<bool> = (0..4).map(|number| seen.is_beaten(number)).collect();
        assert_eq!(beaten, [false, false, true, false]);
        assert_eq!(seen.insert(&[1, 2], 0, &[6, 70]), None);
        assert_eq!(seen.insert(&[1, 2], 0, &[3, 5, 6, 70]), Some(4));
        assert_eq!(seen.insert(&[1, 2], 0, &[3, 69]), Some(5), "the same sketch, another message");
    }
}
