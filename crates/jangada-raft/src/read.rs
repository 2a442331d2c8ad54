//! Linearizable reads without entries in the log: ReadIndex, and leases.
//!
//! Paper §8; Thesis §6.4 (ReadIndex), §6.4.1 (leases), §6.4 last part (reads on followers). A leader may
//! answer a read from its own state if, after the read came, a majority still took it for the leader. It asks
//! by *rounds*: a number that goes up, travels with each AppendEntries and comes back with each answer. One
//! round serves all reads that came before it; those that come while it is open wait for the next one.
//!
//! ```text
//!   reads a, b ──▶ L   nothing is open: round 7 begins for both, with the commit index of this moment
//!   L ──AppendEntries{round: 7}──▶ F G
//!   read c ──────▶ L   round 7 may be answered already: c waits for the next one
//!   F ──Accepted{round: 7}───────▶ L   with L itself a majority: a and b are confirmed, round 8 begins for c
//! ```
//!
//! Why it is right: an entry that was committed before the read came is in the log of whoever leads then. If
//! a majority answers a round, no later leader was elected before the round began, for it would have needed
//! one of these servers, which would be in its term by now and not answer. So the leader of the round has all
//! that was committed, and its commit index at the beginning of the round covers it, provided that it has
//! committed an entry of its own term (a new leader's commit index lags behind: Paper §8).
//!
//! First the leader's side, then the follower's.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::time::Duration;

use crate::event::{Event, IgnoreReason};
use crate::face::{ReadReady, Refusal};
use crate::message::{ReadIndex, ReadIndexReply, Rpc};
use crate::quorum;
use crate::replication;
use crate::role::{Follower, Leader};
use crate::server::{Envelope, Server};
use crate::types::{Index, NodeId, ReadId, Time};

/// What a leader knows about reads. At most one round is open: more would cost more messages, and serve
/// nobody earlier than the next one does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct LeaderReads {
    open: Option<OpenRound>,
    /// They came too late for the open round.
    waiting: Vec<Asker>,
    /// The first of them came at this time.
    waiting_since: Time,
    /// Rounds that no majority has answered yet, and when each began (only with leases).
    begun: VecDeque<(u64, Time)>,
    /// A majority heard us as their leader at this time or later.
    lease_from: Option<Time>,
    /// A TimeoutNow was sent. It may arrive at any time from now on and make somebody leader who need not
    /// wait for our lease to end. So there is no lease in this term any more.
    lease_forfeited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct OpenRound {
    number: u64,
    /// The commit index when the round began: what its reads must see at least.
    read_index: Index,
    reads: Vec<Asker>,
    since: Time,
}

/// Who wants to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Asker {
    Local(ReadId),
    Follower { id: NodeId, context: ReadId },
}

/// What a follower has asked its leader. One question at a time, for all reads that waited when it was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct ForwardedReads {
    asked: Option<Question>,
    /// They came too late for the question that is under way.
    waiting: Vec<ReadId>,
    waiting_since: Time,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Question {
    context: ReadId,
    reads: Vec<ReadId>,
    since: Time,
    ask_again: Time,
}

// ---- The leader -----------------------------------------------------------------------------------------

/// A read of one of our own clients. Like all reads, it is answered through `Output::reads`, never at once.
pub(crate) fn on_read(server: &mut Server, leader: &mut Leader, id: ReadId) {
    if is_full(server, leader) {
        server.refuse_read(id, Refusal::Busy);
    } else {
        take(server, leader, Asker::Local(id));
    }
}

/// A follower's question: it is treated like a read of our own, and only the answer takes another way.
pub(crate) fn on_read_index(
    server: &mut Server,
    leader: &mut Leader,
    envelope: Envelope,
    question: &ReadIndex,
) {
    let (id, context) = (envelope.from, question.context);
    if is_full(server, leader) {
        answer(server, leader, Asker::Follower { id, context }, None);
    } else {
        take(server, leader, Asker::Follower { id, context });
    }
}

/// Reads wait for a round, and rounds may take long; how many may wait is bounded.
fn is_full(server: &Server, leader: &Leader) -> bool {
    let open = leader.reads.open.as_ref().map_or(0, |round| round.reads.len());
    open + leader.reads.waiting.len() >= server.config.max_pending_reads
}

/// A lease answers at once; everybody else waits for the next round to begin, since the one that is open may
/// have been answered before this read came.
fn take(server: &mut Server, leader: &mut Leader, asker: Asker) {
    if has_lease(server, leader) {
        let index = server.commit_index();
        server.event(Event::ReadConfirmed { round: 0, index, reads: 1 });
        return answer(server, leader, asker, Some(index));
    }
    if leader.reads.waiting.is_empty() {
        leader.reads.waiting_since = server.now;
    }
    leader.reads.waiting.push(asker);
    leader.news = true;
}

/// Begins a round: a message that names it is sent after everything that has happened so far.
pub(crate) fn begin_round(server: &Server, leader: &mut Leader) {
    leader.round += 1;
    if server.config.lease_reads {
        leader.reads.begun.push_back((leader.round, server.now));
    }
}

/// Confirms what the answers so far confirm, and begins the next round if somebody waits for it.
pub(crate) fn advance(server: &mut Server, leader: &mut Leader) {
    // Paper §8: a new leader does not know what is committed until an entry of its own term is.
    if server.commit_index() < leader.first_of_term {
        return;
    }
    confirm(server, leader);
    if leader.reads.open.is_none() && !leader.reads.waiting.is_empty() {
        begin_round(server, leader);
        leader.reads.open = Some(OpenRound {
            number: leader.round,
            read_index: server.commit_index(),
            reads: core::mem::take(&mut leader.reads.waiting),
            since: leader.reads.waiting_since,
        });
        // A single voter needs nobody's answer.
        confirm(server, leader);
        if leader.reads.open.is_some() {
            replication::heartbeat(leader);
        }
    }
}

/// Looks how far the answers reach. Rounds only go up, so an answer to a later one is an answer to all before
/// it; and they belong to one leadership, so an answer to an earlier leadership, which has another term,
/// never gets here.
fn confirm(server: &mut Server, leader: &mut Leader) {
    if leader.reads.open.is_none() && leader.reads.begun.is_empty() {
        return;
    }
    let me = server.id();
    let acked = |id: NodeId| match leader.progress.get(&id) {
        Some(progress) => progress.acked_round,
        None if id == me => leader.round,
        None => 0,
    };
    let Some(confirmed) = quorum::reached(server.membership(), acked) else { return };
    while let Some((_, began)) = leader.reads.begun.pop_front_if(|(round, _)| *round <= confirmed) {
        leader.reads.lease_from = Some(began);
    }
    let Some(round) = leader.reads.open.take_if(|round| round.number <= confirmed) else { return };
    let (index, reads) = (round.read_index, u32::try_from(round.reads.len()).unwrap_or(u32::MAX));
    server.event(Event::ReadConfirmed { round: round.number, index, reads });
    for asker in round.reads {
        answer(server, leader, asker, Some(index));
    }
}

/// Passes an answer on to whoever asked.
fn answer(server: &mut Server, leader: &mut Leader, asker: Asker, read_index: Option<Index>) {
    match (asker, read_index) {
        (Asker::Local(id), Some(index)) => server.outbox.reads.push(ReadReady { id, index: Ok(index) }),
        (Asker::Local(id), None) => server.refuse_read(id, Refusal::NotLeader { leader: None }),
        (Asker::Follower { id, context }, _) => {
            // The follower can answer only when it has applied that far: it should know that it may.
            if let Some(progress) = leader.progress.get_mut(&id) {
                progress.heartbeat_due |= read_index.is_some_and(|index| progress.commit_told < index);
            }
            server.send(id, Rpc::ReadIndexReply(ReadIndexReply { context, read_index }));
        }
    }
}

/// Whether no other leader can exist now: a majority promised, when it answered a round, to give no votes for
/// the shortest election timeout. Counted from when the round *began*, since no answer was given before that,
/// and shortened by what the clocks may differ (Thesis §6.4.1).
fn has_lease(server: &Server, leader: &Leader) -> bool {
    let drift = server.config.max_clock_drift_per_mille;
    let length: Duration = server.config.election_timeout_min * (1_000 - drift) / 1_000;
    server.config.lease_reads
        && !leader.reads.lease_forfeited
        && leader.transfer.is_none()
        && server.commit_index() >= leader.first_of_term
        && leader.reads.lease_from.is_some_and(|from| server.now.since(from) < length)
}

/// A TimeoutNow goes out.
pub(crate) fn forfeit_lease(leader: &mut Leader) {
    leader.reads.lease_forfeited = true;
}

/// Called with each heartbeat: a read that no majority confirms within an election timeout is refused. With
/// CheckQuorum the leader steps down at about the same time; without it, nobody else would tell the client.
pub(crate) fn give_up_old(server: &mut Server, leader: &mut Leader) {
    let (now, patience) = (server.now, server.config.election_timeout_max);
    let mut given_up = Vec::new();
    if let Some(round) = leader.reads.open.take_if(|round| now.since(round.since) >= patience) {
        given_up.extend(round.reads);
        leader.news = true;
    }
    if !leader.reads.waiting.is_empty() && now.since(leader.reads.waiting_since) >= patience {
        given_up.append(&mut leader.reads.waiting);
    }
    for asker in given_up {
        answer(server, leader, asker, None);
    }
}

/// The leadership ends: nothing can be confirmed any more.
pub(crate) fn abandon(server: &mut Server, leader: &mut Leader) {
    let open = leader.reads.open.take().map_or(Vec::new(), |round| round.reads);
    for asker in open.into_iter().chain(core::mem::take(&mut leader.reads.waiting)) {
        answer(server, leader, asker, None);
    }
}

/// A question came to a server that does not lead.
pub(crate) fn refuse_question(server: &mut Server, from: NodeId, question: &ReadIndex) {
    let reply = ReadIndexReply { context: question.context, read_index: None };
    server.send(from, Rpc::ReadIndexReply(reply));
}

// ---- The follower ---------------------------------------------------------------------------------------

/// A read of one of our clients: the leader is asked for a read index, all that wait in one question.
pub(crate) fn forward(server: &mut Server, follower: &mut Follower, id: ReadId) {
    let reads = &mut follower.reads;
    let pending = reads.waiting.len() + reads.asked.as_ref().map_or(0, |question| question.reads.len());
    if follower.leader.is_none() {
        return server.refuse_read(id, Refusal::NotLeader { leader: None });
    }
    if pending >= server.config.max_pending_reads {
        return server.refuse_read(id, Refusal::Busy);
    }
    if reads.waiting.is_empty() {
        reads.waiting_since = server.now;
    }
    reads.waiting.push(id);
}

/// Asks, if there is something to ask and nothing is asked already. Called once for each output, so that all
/// reads since the last one share a question.
pub(crate) fn flush(server: &mut Server, follower: &mut Follower) {
    let Some(leader) = follower.leader else { return };
    if follower.reads.asked.is_some() || follower.reads.waiting.is_empty() {
        return;
    }
    // The number is one that no start of this server used before: an answer to an earlier life, which would
    // be too old for this question, is never taken for one to this.
    let context = ReadId(server.take_sequence());
    follower.reads.asked = Some(Question {
        context,
        reads: core::mem::take(&mut follower.reads.waiting),
        since: follower.reads.waiting_since,
        ask_again: server.now + server.config.heartbeat_interval,
    });
    server.send(leader, Rpc::ReadIndex(ReadIndex { context }));
}

/// The leader's answer. It counts only for the question under way: one to an earlier question may be older
/// than the reads that wait now.
pub(crate) fn on_read_index_reply(
    server: &mut Server,
    follower: &mut Follower,
    envelope: Envelope,
    reply: &ReadIndexReply,
) {
    if follower.leader != Some(envelope.from) {
        return server.ignore(envelope, IgnoreReason::UnknownSender);
    }
    let Some(question) = follower.reads.asked.take_if(|question| question.context == reply.context) else {
        return server.ignore(envelope, IgnoreReason::Stale);
    };
    match reply.read_index {
        // Applying that far may take a moment yet; the host waits for it.
        Some(index) => {
            let ready = question.reads.into_iter().map(|id| ReadReady { id, index: Ok(index) });
            server.outbox.reads.extend(ready);
        }
        None => refuse(server, question.reads, follower.leader),
    }
}

/// When [`on_time_passed`] wants to be called.
pub(crate) fn next_deadline(server: &Server, follower: &Follower) -> Time {
    follower.reads.asked.as_ref().map_or(Time::NEVER, |question| {
        question.ask_again.min(question.since + server.config.election_timeout_max)
    })
}

/// A question without an answer is asked again, under the same number: its reads came before it was asked the
/// first time, so any answer will do. After an election timeout the reads are refused.
pub(crate) fn on_time_passed(server: &mut Server, follower: &mut Follower) {
    let Some(leader) = follower.leader else { return };
    let (now, patience) = (server.now, server.config.election_timeout_max);
    if let Some(question) = follower.reads.asked.take_if(|question| now.since(question.since) >= patience) {
        refuse(server, question.reads, Some(leader));
    }
    if let Some(question) = &mut follower.reads.asked
        && now >= question.ask_again
    {
        question.ask_again = now + server.config.heartbeat_interval;
        let context = question.context;
        server.send(leader, Rpc::ReadIndex(ReadIndex { context }));
    }
}

/// The leader is lost, or another one leads: nobody can answer what was asked.
pub(crate) fn abandon_forwarded(server: &mut Server, reads: &mut ForwardedReads) {
    let asked = reads.asked.take().map_or(Vec::new(), |question| question.reads);
    refuse(server, asked, None);
    let waiting = core::mem::take(&mut reads.waiting);
    refuse(server, waiting, None);
}

fn refuse(server: &mut Server, reads: Vec<ReadId>, leader: Option<NodeId>) {
    for id in reads {
        server.refuse_read(id, Refusal::NotLeader { leader });
    }
}
