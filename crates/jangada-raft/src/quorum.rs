//! Majorities, of one configuration or of both halves of a joint one.
//!
//! The only place that counts votes. Everything that needs "a majority" (a vote, a commit, a read round, the
//! check of the quorum) asks here, so a joint configuration can be forgotten nowhere (Paper §6: "agreement
//! … requires separate majorities from both the old and new configurations").

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use crate::types::{Membership, NodeId};

/// How a campaign stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// A majority (of each half) said yes.
    Won,
    /// It cannot be won any more: in one half a majority is out of reach.
    Lost,
    /// Neither yet.
    Open,
}

/// How many servers are more than half of `count`. Of nobody there is no majority: one vote is never cast.
#[must_use]
pub fn majority(count: usize) -> usize {
    count / 2 + 1
}

/// Whether a majority of each half answers yes.
#[must_use]
pub fn agrees(membership: &Membership, yes: impl Fn(NodeId) -> bool) -> bool {
    halves(membership).all(|half| agrees_half(half, &yes))
}

/// Whether a majority of these voters answers yes.
pub(crate) fn agrees_half(voters: &BTreeSet<NodeId>, yes: impl Fn(NodeId) -> bool) -> bool {
    voters.iter().filter(|id| yes(**id)).count() >= majority(voters.len())
}

/// How a campaign stands in which each server answered yes, no, or not at all yet.
#[must_use]
pub fn tally(membership: &Membership, vote: impl Fn(NodeId) -> Option<bool>) -> Tally {
    if agrees(membership, |id| vote(id) == Some(true)) {
        Tally::Won
    } else if agrees(membership, |id| vote(id) != Some(false)) {
        Tally::Open
    } else {
        Tally::Lost
    }
}

/// The highest value that a majority of each half has reached; `None` if a half is empty.
///
/// Used for the commit index (Paper §5.3, §5.4.2) and for read rounds (Thesis §6.4).
#[must_use]
pub fn reached<T: Copy + Ord>(membership: &Membership, at: impl Fn(NodeId) -> T) -> Option<T> {
    let reached_by_half = |half: &BTreeSet<NodeId>| highest_of_majority(half, &at);
    let new = reached_by_half(&membership.voters)?;
    match &membership.outgoing {
        Some(outgoing) => Some(new.min(reached_by_half(outgoing)?)),
        None => Some(new),
    }
}

fn highest_of_majority<T: Copy + Ord>(half: &BTreeSet<NodeId>, at: impl Fn(NodeId) -> T) -> Option<T> {
    // Asked with each answer of a follower, so the few voters of a usual cluster fit on the stack.
    let mut few = [at(*half.first()?); 16];
    let mut many = Vec::new();
    let values = match few.get_mut(..half.len()) {
        Some(few) => few,
        None => {
            many.resize(half.len(), at(*half.first()?));
            &mut many[..]
        }
    };
    for (value, id) in values.iter_mut().zip(half) {
        *value = at(*id);
    }
    // In rising order, everybody from this place on has reached what stands there: they are a majority.
    values.sort_unstable();
    Some(values[half.len() - majority(half.len())])
}

/// C_new, and C_old if the configuration is joint.
fn halves(membership: &Membership) -> impl Iterator<Item = &BTreeSet<NodeId>> {
    core::iter::once(&membership.voters).chain(membership.outgoing.iter())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(numbers: &[u64]) -> BTreeSet<NodeId> {
        numbers.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn a_majority_is_more_than_half() {
        let expected = [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (6, 4), (7, 4)];
        for (count, needed) in expected {
            assert_eq!(majority(count), needed, "of {count}");
        }
    }

    #[test]
    fn nobody_is_no_majority() {
        let nobody = Membership::default();
        assert!(!agrees(&nobody, |_| true));
        assert_eq!(tally(&nobody, |_| Some(true)), Tally::Lost);
        assert_eq!(reached(&nobody, |_| 7), None);
        let half_empty = Membership { outgoing: Some(BTreeSet::new()), ..Membership::of([NodeId(1)]) };
        assert!(!agrees(&half_empty, |_| true));
        assert_eq!(reached(&half_empty, |_| 7), None);
    }

    /// All assignments of values 0..3 to the members, against the definition: the highest value that more
    /// than half of each half have reached.
    #[test]
    fn reached_agrees_with_brute_force() {
        let configurations = [
            Membership::of(ids(&[0])),
            Membership::of(ids(&[0, 1])),
            Membership::of(ids(&[0, 1, 2])),
            Membership::of(ids(&[0, 1, 2, 3, 4])),
            Membership { outgoing: Some(ids(&[0, 1, 2])), ..Membership::of(ids(&[2, 3, 4])) },
            Membership { outgoing: Some(ids(&[0])), ..Membership::of(ids(&[0, 1, 2, 3])) },
        ];
        for membership in &configurations {
            for assignment in 0..4_u64.pow(5) {
                let at = |id: NodeId| (assignment >> (2 * id.0)) & 3;
                let half_reaches = |half: &BTreeSet<NodeId>, value: u64| {
                    let count = half.iter().filter(|id| at(**id) >= value).count();
                    2 * count > half.len()
                };
                let expected: Vec<u64> = (0..4)
                    .filter(|value| {
                        half_reaches(&membership.voters, *value)
                            && membership.outgoing.as_ref().is_none_or(|old| half_reaches(old, *value))
                    })
                    .collect();
                assert_eq!(reached(membership, at), expected.last().copied());
            }
        }
    }

    #[test]
    fn many_voters_are_counted_like_few() {
        for count in 1..40 {
            let membership = Membership::of((0..count).map(NodeId));
            let majority = majority(usize::try_from(count).expect("small")) as u64;
            assert_eq!(reached(&membership, |id| id.0), Some(count - majority));
        }
    }

    #[test]
    fn a_joint_campaign_is_lost_when_one_half_is_lost() {
        let joint = Membership { outgoing: Some(ids(&[1, 2, 3])), ..Membership::of(ids(&[3, 4, 5])) };
        let votes = |yes: &[u64], no: &[u64]| {
            let (yes, no) = (ids(yes), ids(no));
            tally(&joint, move |id| {
                if yes.contains(&id) {
                    Some(true)
                } else if no.contains(&id) {
                    Some(false)
                } else {
                    None
                }
            })
        };
        assert_eq!(votes(&[3, 4, 5], &[]), Tally::Open, "the old half has one vote of three");
        assert_eq!(votes(&[1, 3, 4], &[]), Tally::Won);
        assert_eq!(votes(&[3, 4, 5], &[1, 2]), Tally::Lost);
        assert_eq!(votes(&[], &[4]), Tally::Open);
    }
}
