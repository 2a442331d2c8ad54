//! Elections: RequestVote, asked and answered, and the pre-vote before it.
//!
//! A server that hears no leader for its election timeout asks all voters for their votes in a new term, and
//! leads if a majority gives them. Two rules make that safe. A server gives one vote in a term, and remembers
//! it on its disk: so a term has at most one leader. And it gives none to a candidate whose log is behind its
//! own: what is committed is in the logs of a majority, so somebody who lacks it cannot win.
//!
//! An election, with the voters F and G:
//!
//! ```text
//!   C   no leader for an election timeout: would I win? (pre-vote, in the term after the present one)
//!   C ──pre-vote?──▶ F G    on_request_vote: "yes", if they hear no leader either and C's log is not behind
//!   C   a majority would: enters the new term, votes for itself, and writes both to its disk
//!   C ────vote?────▶ F G    on_request_vote: each enters the term, votes, and answers when its disk has it
//!   C   a majority has: leads
//! ```
//!
//! Paper §5.2 and §5.4.1; Figure 2, "RequestVote RPC"; Thesis §9.6 (PreVote) and §4.2.3 (servers that hear a
//! leader give no votes). Who becomes what as a result is decided in `raft.rs`.
//!
//! **Differs from the paper.** A candidate's requests leave only when its new term and its vote for itself
//! are on the disk, and its own vote counts only then. The paper asks for this before *answering*; asking is
//! no different: a candidate that forgot its campaign in a crash could vote for another in the same term,
//! while the votes of the first campaign are still on their way to it. It costs one sync of the disk in an
//! election and removes a case from the proof.

use alloc::collections::BTreeMap;

use crate::event::{Event, IgnoreReason, VoteRefusal};
use crate::message::{RequestVote, RequestVoteReply, Rpc};
use crate::quorum::{self, Tally};
use crate::role::{Campaign, ElectionTimer};
use crate::server::{Envelope, NUMBER_LIMIT, Server};
use crate::types::{Membership, NodeId};

/// Whether this server may campaign at all.
///
/// A server that is not a voter has no business to; but one that is *about* to be no voter may be needed
/// until that is certain: it can be the only one with the newest entries, and nobody without them can win
/// (Thesis §4.2.2). So it is enough to be a voter in a configuration that is not yet surely overruled; unless it
/// means an earlier disk of this server (`incarnation.rs`).
pub(crate) fn can_campaign(server: &Server) -> bool {
    // While a snapshot is being installed, the log stands still; a leader's cannot.
    server.installing.is_none()
        && server.term().next().0 < NUMBER_LIMIT
        && server
            .configurations
            .any_that_may_hold(server.commit_index(), |membership| gives_a_vote(server, membership))
}

/// Whether this server's own vote counts by this configuration.
fn gives_a_vote(server: &Server, membership: &Membership) -> bool {
    let id = server.id();
    membership.is_voter(id) && server.config.incarnation.is_meant(membership, id)
}

/// A campaign that has not asked anybody yet. The term of a real one has been entered, and the vote for
/// itself given, by the caller.
pub(crate) fn prepare(server: &mut Server, pre_vote: bool, leadership_transfer: bool) -> Campaign {
    Campaign {
        pre_vote,
        leadership_transfer,
        term: if pre_vote { server.term().next() } else { server.term() },
        votes: BTreeMap::new(),
        timer: ElectionTimer::start(server),
        ask_again: server.now + server.config.heartbeat_interval,
    }
}

/// Asks all voters for their vote, or whether they would give it (Paper §5.2; Figure 2, rules for
/// candidates).
pub(crate) fn start(server: &mut Server, campaign: &mut Campaign) -> Tally {
    if campaign.pre_vote {
        // A pre-vote binds nobody, so there is nothing to wait for.
        count(server, campaign, server.id(), true);
    }
    ask(server, campaign);
    standing(server, campaign)
}

/// Asks those who have not answered yet. A lost request would otherwise cost the whole election timeout
/// (Paper §5.1: "servers retry RPCs if they do not receive a response in a timely manner").
pub(crate) fn ask_again(server: &mut Server, campaign: &mut Campaign) {
    campaign.ask_again = server.now + server.config.heartbeat_interval;
    if campaign.pre_vote || server.disk.hard_state_is_durable() {
        ask(server, campaign);
    }
}

/// Asks whoever has not answered. A pre-vote goes out in the term that it is about, which nobody has entered;
/// a real request waits for the disk (see the top of this file).
fn ask(server: &mut Server, campaign: &Campaign) {
    let me = server.id();
    let rpc = RequestVote {
        pre_vote: campaign.pre_vote,
        leadership_transfer: campaign.leadership_transfer,
        last_log_index: server.log.last_index(),
        last_log_term: server.log.last_term(),
    };
    let silent = |id: &NodeId| *id != me && !campaign.votes.contains_key(id);
    for to in server.membership().all_voters().into_iter().filter(silent) {
        let rpc = Rpc::RequestVote(rpc.clone());
        if campaign.pre_vote {
            server.send_in_term(to, campaign.term, rpc);
        } else {
            server.send_when_term_is_durable(to, rpc);
        }
    }
}

/// The candidate's own vote is on its disk: now it counts.
pub(crate) fn on_own_vote_durable(server: &mut Server, campaign: &mut Campaign) -> Tally {
    let me = server.id();
    if server.disk.hard_state_is_durable() && !campaign.votes.contains_key(&me) {
        count(server, campaign, me, true);
    }
    standing(server, campaign)
}

/// How the campaign stands: by the configuration in force, and by nobody outside of it. In a joint one both
/// halves must agree (Paper §6). If that one means another disk of this server, its own vote is nobody's.
fn standing(server: &Server, campaign: &Campaign) -> Tally {
    let is_nobody = |id: NodeId| id == server.id() && !gives_a_vote(server, server.membership());
    quorum::tally(server.membership(), |id| campaign.votes.get(&id).copied().filter(|_| !is_nobody(id)))
}

/// Writes an answer down. Only voters of the configuration in force count in the end; who that is may still
/// change while the campaign runs, so it is not decided here.
fn count(server: &mut Server, campaign: &mut Campaign, from: NodeId, granted: bool) {
    // A late refusal does not take back a vote: a vote is for the whole term.
    let vote = campaign.votes.entry(from).or_insert(granted);
    *vote |= granted;
    let votes =
        campaign.votes.iter().filter(|(id, granted)| **granted && server.membership().is_voter(**id)).count();
    let votes = u32::try_from(votes).unwrap_or(u32::MAX);
    let (term, pre_vote) = (campaign.term, campaign.pre_vote);
    server.event(Event::VoteReceived { from, term, pre_vote, granted, votes });
}

/// What a voter knows besides what its `Server` knows: whether somebody leads already.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Leadership {
    /// Who leads in the present term, as far as known; this server itself, if it does.
    pub(crate) of_term: Option<NodeId>,
    /// Who led when we last heard of a leader, if that is less than the shortest election timeout ago.
    pub(crate) alive: Option<NodeId>,
}

/// Whether this request must not even make us enter its term: we hear a leader, and nobody who knows better
/// asked for the election (Thesis §4.2.3). Without this, a server that was removed, or cut off for a while,
/// could depose leaders at will.
pub(crate) fn protects(server: &Server, leadership: Leadership, ask: &RequestVote) -> Option<NodeId> {
    let applies = (ask.pre_vote || server.config.check_quorum) && !ask.leadership_transfer;
    leadership.alive.filter(|_| applies)
}

/// Answers RequestVote. Says whether a real vote was given: then the election timer starts anew
/// (Paper §5.2; Figure 2, "Rules for Servers", followers).
pub(crate) fn on_request_vote(
    server: &mut Server,
    leadership: Leadership,
    envelope: Envelope,
    ask: &RequestVote,
) -> bool {
    let Envelope { from: to, term, .. } = envelope;
    let pre_vote = ask.pre_vote;
    let refusal = judge(server, leadership, envelope, ask);
    match refusal {
        None => {
            if !pre_vote {
                server.vote_for(to);
            }
            server.event(Event::VoteGranted { to, term, pre_vote });
        }
        Some(why) => server.event(Event::VoteRefused { to, term, pre_vote, why }),
    }
    let vote_granted = refusal.is_none();
    // The answer, a refusal too, carries our term: a candidate or a leader that is behind learns of it.
    let reply = RequestVoteReply { pre_vote, campaign_term: term, vote_granted };
    server.send_when_term_is_durable(to, Rpc::RequestVoteReply(reply));
    vote_granted && !pre_vote
}

/// Why the vote cannot be given, if it cannot (Figure 2, RequestVote receiver rules 1 and 2).
fn judge(
    server: &Server,
    leadership: Leadership,
    envelope: Envelope,
    ask: &RequestVote,
) -> Option<VoteRefusal> {
    let Envelope { from: candidate, term, .. } = envelope;
    let by_leader = |leader: NodeId| match leadership.of_term {
        Some(of_term) if of_term == server.id() => VoteRefusal::IsLeader,
        Some(_) | None => VoteRefusal::LeaderAlive { leader },
    };
    // Rule 1.
    if term < server.term() {
        return Some(VoteRefusal::OldTerm);
    }
    if let Some(leader) = protects(server, leadership, ask) {
        return Some(by_leader(leader));
    }
    // Rule 2, the first half. In a term that we have not entered (a pre-vote), our vote is free.
    if term == server.term() {
        if let Some(leader) = leadership.of_term.filter(|leader| *leader != candidate) {
            return Some(by_leader(leader));
        }
        if let Some(voted_for) = server.voted_for().filter(|voted_for| *voted_for != candidate) {
            return Some(VoteRefusal::AlreadyVoted { voted_for });
        }
    }
    // Rule 2, the second half.
    (!is_up_to_date(server, ask)).then_some(VoteRefusal::LogBehind)
}

/// "If the logs have last entries with different terms, then the log with the later term is more up-to-date.
/// If the logs end with the same term, then whichever log is longer is more up-to-date." (Paper §5.4.1)
fn is_up_to_date(server: &Server, ask: &RequestVote) -> bool {
    (ask.last_log_term, ask.last_log_index) >= (server.log.last_term(), server.log.last_index())
}

/// An answer to a request of ours.
pub(crate) fn on_request_vote_reply(
    server: &mut Server,
    campaign: &mut Campaign,
    envelope: Envelope,
    reply: &RequestVoteReply,
) -> Tally {
    // By the campaign's term, not by the message's: a voter that refuses without entering our term answers
    // in its own, lower one.
    if reply.pre_vote != campaign.pre_vote || reply.campaign_term != campaign.term {
        server.ignore(envelope, IgnoreReason::Stale);
    } else if !server.membership().is_voter(envelope.from) {
        server.ignore(envelope, IgnoreReason::UnknownSender);
    } else {
        count(server, campaign, envelope.from, reply.vote_granted);
    }
    standing(server, campaign)
}
