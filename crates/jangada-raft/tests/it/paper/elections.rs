//! Paper §5.1, §5.2, §5.4.1; Figure 2, "RequestVote RPC" and "Rules for Servers"; Thesis §4.2.3 and §9.6.

use core::time::Duration;
use std::collections::BTreeSet;

use jangada_raft::config::Config;
use jangada_raft::event::{Event, RoleChange, RoleName};
use jangada_raft::face::{Input, Recovered};
use jangada_raft::message::Rpc;
use jangada_raft::types::{HardState, Index, NodeId, SnapshotMeta, Term};

use crate::solo::{
    ME, Solo, accepted, append, conflict, denied, granted, install, installed, pre_vote, snapshot_meta,
    verdict, vote, vote_requests,
};
use crate::world::ms;

/// No PreVote and no CheckQuorum: the paper alone.
fn classic(config: &mut Config) {
    config.pre_vote = false;
    config.check_quorum = false;
}

// ---- Giving a vote ----------------------------------------------------------------------------------------

#[test]
fn a_request_with_an_old_term_is_refused() {
    let mut solo = Solo::with_log(3, 5, &[1]);
    let sent = solo.receive(2, 4, vote(9, 4));
    assert!(!verdict(&sent));
    assert_eq!(sent[0].term, Term(5), "so that the candidate learns of it");
    assert_eq!(solo.term(), 5);
    assert_eq!(solo.raft.voted_for(), None);
}

#[test]
fn a_server_gives_one_vote_in_a_term() {
    let mut solo = Solo::new(5);
    assert!(verdict(&solo.receive(2, 7, vote(0, 0))));
    assert!(!verdict(&solo.receive(3, 7, vote(9, 6))));
    assert!(
        verdict(&solo.receive(2, 7, vote(0, 0))),
        "the same candidate may ask again: its answer was lost"
    );
    assert_eq!(solo.raft.voted_for(), Some(NodeId(2)));
}

#[test]
fn a_new_term_brings_a_new_vote() {
    let mut solo = Solo::new(5);
    assert!(verdict(&solo.receive(2, 7, vote(0, 0))));
    assert!(verdict(&solo.receive(3, 8, vote(0, 0))));
    assert_eq!(solo.raft.voted_for(), Some(NodeId(3)));
}

#[test]
fn nothing_within_a_term_gives_the_vote_back() {
    let mut solo = Solo::with(5, 0, &[], classic);
    assert!(verdict(&solo.receive(2, 7, vote(0, 0))));
    solo.receive(4, 7, append((0, 0), &[7], 0));
    solo.receive(4, 7, append((1, 7), &[], 1));
    solo.receive(4, 6, append((1, 7), &[], 1));
    assert_eq!(solo.raft.voted_for(), Some(NodeId(2)));
    assert!(!verdict(&solo.receive(3, 7, vote(9, 7))));
    let votes: BTreeSet<_> = solo
        .written
        .iter()
        .filter_map(|persist| persist.hard_state)
        .filter(|hard_state| hard_state.term == Term(7))
        .filter_map(|hard_state| hard_state.voted_for)
        .collect();
    assert_eq!(votes, BTreeSet::from([NodeId(2)]), "and the disk was never told otherwise");
}

#[test]
fn the_later_last_term_wins_and_among_equals_the_longer_log() {
    // Our log ends with entry 3 of term 4.
    let cases = [
        ((3, 4), true),
        ((4, 4), true),
        ((2, 4), false),
        ((99, 3), false),
        ((0, 0), false),
        ((1, 5), true),
        ((3, 5), true),
    ];
    for ((index, term), expected) in cases {
        let mut solo = Solo::with_log(3, 4, &[1, 4, 4]);
        let is_granted = verdict(&solo.receive(2, 9, vote(index, term)));
        assert_eq!(is_granted, expected, "a candidate whose log ends with {index}@{term}");
        // It does not depend on who asks.
        let mut solo = Solo::with_log(3, 4, &[1, 4, 4]);
        assert_eq!(verdict(&solo.receive(3, 9, vote(index, term))), expected);
        let mut solo = Solo::with_log(3, 4, &[1, 4, 4]);
        assert_eq!(
            verdict(&solo.receive(2, 5, pre_vote(index, term))),
            expected,
            "a pre-vote judges the same"
        );
    }
}

#[test]
fn a_log_behind_a_snapshot_is_not_an_empty_log() {
    let recovered = || Recovered {
        hard_state: HardState { term: Term(4), voted_for: None },
        snapshot: snapshot_meta(10, 3, 3),
        entries: Vec::new(),
    };
    for ((index, term), expected) in [((9, 3), false), ((10, 3), true), ((12, 2), false), ((0, 0), false)] {
        let mut solo = Solo::restore(recovered(), |_| {});
        assert_eq!(verdict(&solo.receive(2, 9, vote(index, term))), expected, "{index}@{term}");
    }
    let mut solo = Solo::restore(recovered(), |_| {});
    let asked = solo.time_out();
    for (_, ask) in vote_requests(&asked) {
        assert_eq!(
            (ask.last_log_index, ask.last_log_term),
            (Index(10), Term(3)),
            "nor is it when it campaigns"
        );
    }
}

#[test]
fn a_vote_leaves_only_when_it_is_on_the_disk() {
    let mut solo = Solo::new(3);
    solo.has_quick_disk = false;
    assert!(solo.receive(2, 7, vote(0, 0)).is_empty(), "not before the disk has it");
    let hard_state = solo.writing[0].hard_state;
    let expected = HardState { term: Term(7), voted_for: Some(NodeId(2)) };
    assert_eq!(hard_state, Some(expected), "term and vote are one write");
    assert!(verdict(&solo.persist_all()));
}

#[test]
fn a_vote_of_a_passed_term_never_leaves() {
    let mut solo = Solo::new(3);
    solo.has_quick_disk = false;
    solo.receive(2, 7, vote(0, 0));
    solo.receive(3, 8, vote(0, 0));
    let sent = solo.persist_all();
    assert!(verdict(&sent));
    assert_eq!((sent[0].to, sent[0].term), (NodeId(3), Term(8)));
}

#[test]
fn a_refusal_too_waits_for_its_term_to_be_on_the_disk() {
    let mut solo = Solo::with_log(3, 4, &[1, 4, 4]);
    solo.has_quick_disk = false;
    assert!(solo.receive(2, 7, vote(0, 0)).is_empty());
    let sent = solo.persist_all();
    assert!(!verdict(&sent));
    assert_eq!(sent[0].term, Term(7));
}

// ---- Terms ------------------------------------------------------------------------------------------------

#[test]
fn a_later_term_makes_any_server_a_follower_of_that_term() {
    let messages = || {
        [
            append((0, 0), &[], 0),
            accepted(0, 0),
            conflict(0, 1, None, 1),
            denied(9, false),
            install(&snapshot_meta(5, 2, 3), 0, b"x", true),
            installed(0, 5, 0, false),
            vote(99, 9),
        ]
    };
    let follower = || Solo::with(3, 3, &[1], classic);
    let candidate = || {
        let mut solo = follower();
        solo.time_out();
        solo
    };
    let leader = || Solo::leader_with(3, 3, &[1], classic);
    for (role, make) in [
        (RoleName::Follower, &follower as &dyn Fn() -> Solo),
        (RoleName::Candidate, &candidate),
        (RoleName::Leader, &leader),
    ] {
        for message in messages() {
            let mut solo = make();
            assert_eq!(solo.role(), role);
            solo.receive(2, 9, message.clone());
            assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 9), "{role:?} hears {message:?}");
            let on_disk = solo.written.iter().rev().find_map(|persist| persist.hard_state);
            assert_eq!(on_disk.expect("a term is written").term, Term(9));
        }
    }
}

#[test]
fn a_refused_candidate_has_still_brought_its_term() {
    let mut solo = Solo::with(3, 3, &[1, 3], classic);
    assert!(!verdict(&solo.receive(2, 9, vote(0, 0))));
    assert_eq!((solo.term(), solo.raft.voted_for()), (9, None));
}

#[test]
fn whoever_is_behind_is_told_the_term_and_never_met_with_silence() {
    let meta = snapshot_meta(5, 2, 3);
    for message in [vote(9, 2), pre_vote(9, 2), append((0, 0), &[], 0), install(&meta, 0, b"x", true)] {
        for tweak in [classic as fn(&mut Config), |_: &mut Config| {}] {
            let mut solo = Solo::with(3, 7, &[1], tweak);
            let sent = solo.receive(2, 3, message.clone());
            assert_eq!(sent.len(), 1, "{message:?} is answered");
            assert_eq!((sent[0].to, sent[0].term), (NodeId(2), Term(7)), "with our term");
            assert_eq!(solo.log(), [1], "and has no other effect");
        }
    }
}

// ---- The election timer -----------------------------------------------------------------------------------

#[test]
fn an_election_timeout_without_a_leader_starts_a_campaign() {
    let mut solo = Solo::with(3, 3, &[1, 2], classic);
    let asked = vote_requests(&solo.time_out());
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 4));
    assert_eq!(solo.raft.voted_for(), Some(ME), "it votes for itself");
    let to: Vec<u64> = asked.iter().map(|(to, _)| to.0).collect();
    assert_eq!(to, [2, 3], "it asks all others");
    for (_, ask) in asked {
        assert_eq!((ask.last_log_index, ask.last_log_term), (Index(2), Term(2)));
        assert!(!ask.pre_vote);
    }
    assert!(solo.raft.next_deadline() > solo.now, "and its timer runs again");
}

#[test]
fn election_timeouts_are_drawn_anew_within_their_range() {
    let mut solo = Solo::with(3, 0, &[], classic);
    let mut drawn = BTreeSet::new();
    for _ in 0..50 {
        solo.time_out();
        for event in solo.events.drain(..) {
            if let Event::ElectionTimerReset { after_nanos } = event {
                drawn.insert(after_nanos);
            }
        }
    }
    assert!(drawn.len() > 40, "timeouts differ: {}", drawn.len());
    let config = solo.raft.config();
    let (min, max) = (config.election_timeout_min, config.election_timeout_max);
    let (least, most) = (*drawn.first().expect("some"), *drawn.last().expect("some"));
    assert!(u128::from(least) >= min.as_nanos() && u128::from(most) <= max.as_nanos());
    assert!(Duration::from_nanos(most - least) > (max - min) / 2, "and are spread over the range");
}

#[test]
fn two_servers_of_one_cluster_draw_different_timeouts() {
    let deadline = |id: u64| {
        let mut config = Config::classic(NodeId(id), crate::world::CLUSTER, 9);
        config.seed = 9;
        let recovered = Recovered { snapshot: snapshot_meta(0, 0, 3), ..Recovered::default() };
        jangada_raft::Raft::restore(jangada_raft::types::Time::ZERO, config, recovered).next_deadline()
    };
    assert_ne!(deadline(1), deadline(2), "or they would split their votes for ever");
}

#[test]
fn the_leader_and_a_given_vote_put_the_campaign_off_and_nothing_else_does() {
    let puts_off = |message: Rpc, term: u64, from: u64| {
        let mut solo = Solo::with(5, 3, &[1, 3], |config| {
            classic(config);
            config.election_timeout_max = config.election_timeout_min + ms(1);
        });
        solo.receive(2, 3, append((2, 3), &[], 0));
        solo.pass(ms(100));
        let before = solo.raft.next_deadline();
        solo.receive(from, term, message);
        let after = solo.raft.next_deadline();
        assert!(after >= before, "nothing brings the campaign forward");
        after > before
    };
    assert!(puts_off(append((2, 3), &[], 0), 3, 2), "a heartbeat of the leader");
    assert!(puts_off(append((9, 3), &[], 0), 3, 2), "even one that does not fit our log");
    assert!(puts_off(append((2, 3), &[3], 0), 3, 2), "entries of the leader");
    assert!(puts_off(install(&snapshot_meta(9, 3, 5), 0, b"x", false), 3, 2), "a snapshot of the leader");
    assert!(puts_off(vote(2, 3), 4, 3), "a vote that was given");
    assert!(!puts_off(vote(1, 1), 4, 3), "a vote that was refused for the log");
    assert!(!puts_off(vote(2, 3), 3, 3), "a vote that was refused for the leader");
    assert!(!puts_off(append((2, 3), &[], 0), 2, 3), "a leader of an earlier term");
    assert!(!puts_off(pre_vote(2, 3), 4, 3), "a pre-vote, whatever the answer");
    assert!(!puts_off(denied(3, false), 3, 4), "an answer that nobody asked for");
}

// ---- Being a candidate ------------------------------------------------------------------------------------

#[test]
fn a_candidate_with_the_votes_of_a_majority_leads() {
    let mut solo = Solo::with(5, 0, &[], classic);
    solo.time_out();
    solo.receive(2, 1, granted(1, false));
    solo.receive(2, 1, granted(1, false));
    solo.receive(2, 1, granted(1, false));
    assert_eq!(solo.role(), RoleName::Candidate, "a vote that arrives three times is one vote");
    solo.receive(3, 1, denied(1, false));
    assert_eq!(solo.role(), RoleName::Candidate);
    solo.receive(4, 1, granted(1, false));
    assert_eq!((solo.role(), solo.term()), (RoleName::Leader, 1), "three of five");
}

#[test]
fn votes_of_an_earlier_campaign_do_not_count() {
    let mut solo = Solo::with(5, 0, &[], classic);
    solo.time_out();
    solo.receive(2, 1, granted(1, false));
    solo.time_out();
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 2));
    solo.receive(3, 1, granted(1, false));
    solo.receive(4, 2, granted(1, false));
    assert_eq!(solo.role(), RoleName::Candidate, "nor do late ones");
    solo.receive(5, 2, granted(2, false));
    assert_eq!(solo.role(), RoleName::Candidate, "its own and one more");
    solo.receive(4, 2, granted(2, false));
    assert_eq!(solo.role(), RoleName::Leader);
}

#[test]
fn pre_votes_for_an_earlier_term_do_not_count() {
    let mut solo = Solo::with_log(5, 3, &[1]);
    solo.time_out();
    solo.receive(2, 3, granted(4, true));
    // It learns of a later term and asks anew, about the term after that.
    solo.receive(3, 7, denied(4, true));
    solo.time_out();
    assert_eq!((solo.role(), solo.term()), (RoleName::PreCandidate, 7));
    solo.receive(2, 3, granted(4, true));
    solo.receive(4, 3, granted(4, true));
    assert_eq!(solo.role(), RoleName::PreCandidate, "those were words about term 4");
    solo.receive(2, 3, granted(8, true));
    solo.receive(4, 3, granted(8, true));
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 8));
}

#[test]
fn pre_votes_are_not_votes() {
    let mut solo = Solo::new(3);
    solo.time_out();
    assert_eq!((solo.role(), solo.term()), (RoleName::PreCandidate, 0));
    solo.receive(2, 0, granted(1, true));
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 1));
    solo.receive(3, 0, granted(1, true));
    solo.receive(3, 1, granted(1, true));
    assert_eq!(solo.role(), RoleName::Candidate, "a late pre-vote elects nobody");
    solo.receive(3, 1, granted(1, false));
    assert_eq!(solo.role(), RoleName::Leader);
}

#[test]
fn a_vote_of_a_server_outside_of_the_cluster_does_not_count() {
    let mut solo = Solo::with(3, 0, &[], classic);
    solo.time_out();
    solo.receive(8, 1, granted(1, false));
    solo.receive(9, 1, granted(1, false));
    assert_eq!(solo.role(), RoleName::Candidate);
}

#[test]
fn a_candidates_own_vote_counts_only_when_it_is_on_its_disk() {
    let mut solo = Solo::with(3, 0, &[], classic);
    solo.has_quick_disk = false;
    let sent = solo.time_out();
    assert!(vote_requests(&sent).is_empty(), "it does not even ask before that");
    solo.receive(2, 1, granted(1, false));
    assert_eq!(solo.role(), RoleName::Candidate, "one vote of three");
    solo.persist_all();
    assert_eq!(solo.role(), RoleName::Leader);
}

#[test]
fn a_cluster_of_one_elects_itself_when_its_vote_is_on_its_disk() {
    let mut solo = Solo::new(1);
    solo.has_quick_disk = false;
    solo.time_out();
    solo.ring();
    assert_ne!(solo.role(), RoleName::Leader);
    solo.persist_all();
    assert_eq!((solo.role(), solo.term()), (RoleName::Leader, 1));
}

#[test]
fn a_candidate_that_hears_the_leader_of_its_term_follows_it() {
    let meta = snapshot_meta(5, 1, 3);
    for message in [append((0, 0), &[1], 0), append((7, 1), &[], 0), install(&meta, 0, b"x", false)] {
        let mut solo = Solo::with(3, 0, &[], classic);
        solo.time_out();
        let sent = solo.receive(2, 1, message.clone());
        assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 1), "after {message:?}");
        assert_eq!(solo.raft.leader(), Some(NodeId(2)));
        assert_eq!(sent.len(), 1, "and answers it at once");
        assert_eq!(solo.raft.voted_for(), Some(ME), "but its vote of the term is given");
    }
}

#[test]
fn a_candidate_ignores_a_leader_of_an_earlier_term() {
    let mut solo = Solo::with(3, 4, &[1], classic);
    solo.time_out();
    solo.receive(2, 4, append((1, 1), &[4], 0));
    assert_eq!((solo.role(), solo.term(), solo.log()), (RoleName::Candidate, 5, vec![1]));
}

#[test]
fn a_split_vote_ends_in_another_campaign() {
    let mut solo = Solo::with(4, 0, &[], classic);
    solo.time_out();
    solo.receive(2, 1, granted(1, false));
    solo.receive(3, 1, vote(0, 0));
    assert_eq!(solo.role(), RoleName::Candidate);
    let mut sent = solo.time_out();
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 2), "in a new term");
    sent.retain(|message| message.term == Term(2));
    assert_eq!(vote_requests(&sent).len(), 3, "all are asked anew");
}

#[test]
fn a_candidate_refuses_the_others_of_its_term() {
    let mut solo = Solo::with(3, 0, &[], classic);
    solo.time_out();
    assert!(!verdict(&solo.receive(2, 1, vote(9, 1))));
    assert_eq!(solo.role(), RoleName::Candidate);
}

#[test]
fn a_request_that_was_lost_is_sent_again() {
    let mut solo = Solo::with(3, 0, &[], classic);
    solo.time_out();
    solo.receive(2, 1, denied(1, false));
    let asked = vote_requests(&solo.ring());
    let to: Vec<u64> = asked.iter().map(|(to, _)| to.0).collect();
    assert_eq!((solo.term(), to), (1, vec![3]), "to those who have not answered");
}

#[test]
fn a_leader_that_restarts_begins_as_a_follower() {
    let mut solo = Solo::with_log(1, 0, &[]);
    solo.win();
    assert_eq!(solo.role(), RoleName::Leader);
    let hard_state = HardState { term: Term(1), voted_for: Some(ME) };
    let snapshot =
        SnapshotMeta { membership: solo.raft.membership().clone().into(), ..SnapshotMeta::default() };
    let restarted = Solo::restore(Recovered { hard_state, snapshot, entries: Vec::new() }, |_| {});
    assert_eq!((restarted.role(), restarted.term()), (RoleName::Follower, 1));
    assert_eq!(restarted.raft.voted_for(), Some(ME), "and remembers its vote");
}

// ---- PreVote and CheckQuorum ------------------------------------------------------------------------------

#[test]
fn a_pre_vote_changes_nobodys_term() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    let asked = solo.time_out();
    assert_eq!((solo.role(), solo.term(), solo.raft.voted_for()), (RoleName::PreCandidate, 3, None));
    for message in &asked {
        assert_eq!(message.term, Term(4), "it asks about the term that it would enter");
    }
    assert!(vote_requests(&asked).iter().all(|(_, ask)| ask.pre_vote));
    let mut voter = Solo::with_log(3, 3, &[1]);
    assert!(verdict(&voter.receive(2, 4, pre_vote(1, 1))));
    assert!(verdict(&voter.receive(3, 9, pre_vote(1, 1))), "it binds nobody");
    assert_eq!((voter.term(), voter.raft.voted_for(), voter.written.len()), (3, None, 0));
}

#[test]
fn a_vote_is_refused_while_a_leader_is_heard() {
    for message in [vote(9, 3), pre_vote(9, 3)] {
        let mut solo = Solo::with_log(3, 3, &[1]);
        solo.receive(2, 3, append((1, 1), &[], 0));
        solo.pass(solo.raft.config().election_timeout_min - ms(1));
        assert!(!verdict(&solo.receive(3, 4, message.clone())), "{message:?}");
        assert_eq!(solo.term(), 3, "its term has no effect either");
        assert_eq!(solo.raft.leader(), Some(NodeId(2)));
    }
}

#[test]
fn a_server_that_has_not_heard_its_leader_for_long_gives_its_vote_again() {
    let mut solo = Solo::with(3, 3, &[1], |config| {
        config.election_timeout_min = ms(300);
        config.election_timeout_max = ms(10_000);
        config.seed = 5;
    });
    solo.receive(2, 3, append((1, 1), &[], 0));
    solo.now = solo.now + ms(300);
    if solo.raft.next_deadline() > solo.now {
        assert!(verdict(&solo.receive(3, 4, pre_vote(1, 1))), "after the shortest election timeout");
    }
    assert!(verdict(&solo.receive(3, 4, vote(1, 1))));
}

#[test]
fn a_leader_gives_no_votes_and_keeps_its_term() {
    let mut solo = Solo::leader(3, 3, &[1]);
    assert!(!verdict(&solo.receive(3, 9, pre_vote(99, 9))));
    assert!(!verdict(&solo.receive(3, 9, vote(99, 9))));
    assert_eq!((solo.role(), solo.term()), (RoleName::Leader, 4));
}

#[test]
fn a_pre_candidate_knows_no_leader_and_answers_others() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    solo.receive(2, 3, append((1, 1), &[], 0));
    solo.time_out();
    assert_eq!(solo.role(), RoleName::PreCandidate);
    assert!(verdict(&solo.receive(3, 4, pre_vote(1, 1))), "or two of them would wait for each other");
}

#[test]
fn a_refused_pre_candidate_learns_the_later_term() {
    let mut solo = Solo::with_log(3, 3, &[1]);
    solo.time_out();
    solo.receive(2, 8, denied(4, true));
    assert_eq!((solo.role(), solo.term()), (RoleName::Follower, 8));
    solo.time_out();
    solo.receive(3, 8, granted(9, true));
    assert_eq!((solo.role(), solo.term()), (RoleName::Candidate, 9));
}

#[test]
fn the_only_server_with_the_longest_log_can_win_from_a_lower_term() {
    // The others are in term 8 already, but their logs are behind: they refuse the pre-vote and must tell.
    let mut voter = Solo::with_log(3, 8, &[1]);
    let sent = voter.receive(3, 4, pre_vote(5, 3));
    assert!(!verdict(&sent));
    assert_eq!(sent[0].term, Term(8));
    assert!(verdict(&voter.receive(3, 9, pre_vote(5, 3))));
}

#[test]
fn a_leader_that_hears_no_majority_steps_down() {
    let mut solo = Solo::leader(5, 0, &[]);
    let timeout = solo.raft.config().election_timeout_max;
    for _ in 0..20 {
        let round = solo.round();
        solo.receive(2, 1, accepted(round, 0));
        solo.receive(3, 1, accepted(round, 0));
    }
    assert_eq!(solo.role(), RoleName::Leader, "two followers and itself");
    let before = solo.now;
    while solo.role() == RoleName::Leader {
        let round = solo.round();
        solo.receive(2, 1, accepted(round, 0));
        assert!(solo.now < before + timeout * 2, "one follower is not enough");
    }
    let left = solo.events.iter().any(|event| {
        matches!(event, Event::RoleChanged { role: RoleName::Follower, why: RoleChange::QuorumLost, .. })
    });
    assert!(left);
    assert_eq!(solo.term(), 1, "in its term");
}

#[test]
fn without_check_quorum_a_leader_stays() {
    let mut solo = Solo::leader_with(3, 0, &[], classic);
    solo.pass(Duration::from_secs(60));
    assert_eq!(solo.role(), RoleName::Leader);
}

#[test]
fn campaigning_can_be_asked_for() {
    let mut solo = Solo::new(3);
    solo.input(Input::Campaign);
    assert_eq!(solo.role(), RoleName::PreCandidate);
}
