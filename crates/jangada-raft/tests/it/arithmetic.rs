//! Majorities against their definition, by trying all sets of up to seven servers: joint configurations, too.

use jangada_raft::quorum::{Tally, agrees, majority, reached, tally};
use jangada_raft::rng::Rng;
use jangada_raft::types::{Index, Membership, NodeId};

const SERVERS: u64 = 7;

/// The servers whose bits are set.
fn set(bits: u64) -> impl Iterator<Item = NodeId> + Clone {
    (0..SERVERS).filter(move |number| bits >> number & 1 == 1).map(NodeId)
}

/// More than half of `voters` are in `yes`. Nobody is never more than half.
fn more_than_half(voters: u64, yes: u64) -> bool {
    2 * (voters & yes).count_ones() > voters.count_ones()
}

fn configuration(voters: u64, outgoing: Option<u64>) -> Membership {
    Membership { outgoing: outgoing.map(|old| set(old).collect()), ..Membership::of(set(voters)) }
}

fn has(bits: u64) -> impl Fn(NodeId) -> bool {
    move |id| bits >> id.0 & 1 == 1
}

#[test]
fn two_majorities_of_one_configuration_share_a_server() {
    for voters in 1..1_u64 << SERVERS {
        let membership = configuration(voters, None);
        for yes in 0..1 << SERVERS {
            let expected = more_than_half(voters, yes);
            assert_eq!(agrees(&membership, has(yes)), expected);
            let rest = !yes & ((1 << SERVERS) - 1);
            assert!(!(expected && agrees(&membership, has(rest))), "two disjoint majorities");
        }
    }
    for count in 1..100 {
        assert!(2 * majority(count) > count && 2 * (majority(count) - 1) <= count);
    }
}

#[test]
fn a_joint_configuration_needs_both_majorities() {
    for old in 1..1_u64 << 5 {
        for new in 1..1_u64 << 5 {
            let membership = configuration(new, Some(old));
            for yes in 0..1 << 5 {
                let expected = more_than_half(old, yes) && more_than_half(new, yes);
                assert_eq!(agrees(&membership, has(yes)), expected, "old {old:b} new {new:b} yes {yes:b}");
            }
        }
    }
}

#[test]
fn a_majority_of_the_joint_configuration_meets_every_majority_of_either() {
    for (old, new) in [(0b00111, 0b11100), (0b00111, 0b11000), (0b1, 0b11110), (0b11111, 0b00100)] {
        let joint = configuration(new, Some(old));
        for yes in (0..1 << 5).filter(|yes| agrees(&joint, has(*yes))) {
            for half in [old, new] {
                let disjoint = agrees(&configuration(half, None), has(!yes));
                assert!(!disjoint, "old {old:b} new {new:b} yes {yes:b}");
            }
        }
    }
}

#[test]
fn a_campaign_is_lost_exactly_when_it_cannot_be_won_any_more() {
    let mut rng = Rng::new(11);
    for _ in 0..20_000 {
        let bits = |rng: &mut Rng| rng.next_u64() % (1 << SERVERS);
        let (voters, yes, answered) = (bits(&mut rng), bits(&mut rng), bits(&mut rng));
        let outgoing = rng.next_u64().is_multiple_of(2).then(|| bits(&mut rng));
        let membership = configuration(voters, outgoing);
        let granted = yes & answered;
        let silent_too = granted | !answered;
        let wins = |yes: u64| {
            more_than_half(voters, yes) && outgoing.is_none_or(|outgoing| more_than_half(outgoing, yes))
        };
        let expected = match (wins(granted), wins(silent_too)) {
            (true, _) => Tally::Won,
            (false, true) => Tally::Open,
            (false, false) => Tally::Lost,
        };
        let vote = |id: NodeId| has(answered)(id).then(|| has(yes)(id));
        assert_eq!(tally(&membership, vote), expected);
    }
}

#[test]
fn the_commit_index_is_the_highest_that_a_majority_has_reached() {
    let mut rng = Rng::new(12);
    for _ in 0..20_000 {
        let voters = rng.next_u64() % (1 << SERVERS);
        let outgoing = rng.next_u64().is_multiple_of(2).then(|| rng.next_u64() % (1 << SERVERS));
        let indexes: Vec<u64> = (0..SERVERS).map(|_| rng.next_u64() % 6).collect();
        let membership = configuration(voters, outgoing);
        let holds = |value: u64| {
            (0..SERVERS).filter(|id| indexes[*id as usize] >= value).fold(0, |bits, id| bits | 1 << id)
        };
        let reaches = |value: &u64| {
            let yes = holds(*value);
            more_than_half(voters, yes) && outgoing.is_none_or(|outgoing| more_than_half(outgoing, yes))
        };
        let expected = (0..6).rev().find(reaches).map(Index);
        assert_eq!(reached(&membership, |id| Index(indexes[id.0 as usize])), expected);
    }
}

#[test]
fn learners_have_no_say() {
    let mut membership = Membership::of(set(0b111));
    membership.learners = set(0b1111000).collect();
    assert!(!agrees(&membership, has(0b1111001)));
    assert_eq!(reached(&membership, |id| if id.0 > 0 { Index(9) } else { Index(1) }), Some(Index(9)));
    assert_eq!(reached(&membership, |id| if id.0 > 1 { Index(9) } else { Index(1) }), Some(Index(1)));
}
