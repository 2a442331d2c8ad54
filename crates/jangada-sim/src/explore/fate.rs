//! What a message that is under way can still do.
//!
//! Nothing is ever taken from the network, so what was sent piles up, and states pile up that differ in nothing
//! but messages that tell nobody anything. Here is said which these are. That a message has no effect *now* is
//! not believed but tried, on the core itself; that it stays so, each rule owes to a promise of the protocol,
//! which it names.
//!
//! A search in which all are kept ([`Config::keeps_all`]) reaches the same servers in the same rows; a test
//! compares the two.

use jangada_raft::event::RoleName;
use jangada_raft::message::{AppendEntries, AppendEntriesReply, AppendOutcome, Message, Rpc};
use jangada_raft::types::{Index, NodeId};

use super::config::Config;
use super::local::Local;

/// What a message can still do to its recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate<M> {
    /// Anything.
    Alive,
    /// Nothing, whatever happens.
    Dead,
    /// A request for a vote that will always be refused: all that can change is the term in the answer.
    Refused,
    /// Entries of a leader that is none any more: all that can change is the term in the answer.
    Outdated,
    /// Entries that are on the recipient's disk already, and it knows that they are the leader's. If it crashes
    /// they could tell it so again; this shorter message can too. If it does not, they can do nothing.
    Held(M),
}

impl<M> Fate<M> {
    pub(super) fn map<N>(self, change: impl FnOnce(M) -> N) -> Fate<N> {
        match self {
            Fate::Alive => Fate::Alive,
            Fate::Dead => Fate::Dead,
            Fate::Refused => Fate::Refused,
            Fate::Outdated => Fate::Outdated,
            Fate::Held(short) => Fate::Held(change(short)),
        }
    }
}

impl Fate<Message> {
    /// The fate of a message that has no effect on its recipient now.
    pub(super) fn of(message: &Message, to: &Local, config: &Config) -> Fate<Message> {
        if config.keeps_all {
            return Fate::Alive;
        }
        let dead_if = |is_dead| if is_dead { Fate::Dead } else { Fate::Alive };
        // With pre-votes and protected leaders an answer may change, and a server that is heard of may matter.
        // What is still being written may be lost.
        let is_settled = !config.modern && to.writes() == 0;
        let (term, disk) = (message.term, to.disk.hard_state);
        match &message.rpc {
            // A vote is for the whole term, and remembered (Paper §5.2).
            Rpc::RequestVote(_) => {
                let voted_otherwise = disk.voted_for.is_some_and(|candidate| candidate != message.from);
                let is_refused = term < disk.term || term == disk.term && voted_otherwise;
                if is_settled && is_refused { Fate::Refused } else { Fate::Alive }
            }
            Rpc::RequestVoteReply(reply) => {
                // What is durable of a term stays even in a crash, and nobody campaigns twice in a term.
                let is_of_the_past = term <= disk.term && reply.campaign_term <= disk.term;
                let goes_on =
                    to.raft.role_name() == RoleName::Candidate && to.raft.term() == reply.campaign_term;
                // While it goes on: the vote is counted, since it has no effect. It is not counted twice.
                dead_if(is_of_the_past && (reply.pre_vote || !goes_on || is_settled))
            }
            Rpc::AppendEntries(append) => {
                if !is_settled {
                    Fate::Alive
                } else if term < disk.term {
                    Fate::Outdated
                } else if term == to.raft.term() && is_held(append, to) {
                    Fate::Held(shortened(message, append))
                } else {
                    Fate::Alive
                }
            }
            Rpc::AppendEntriesReply(reply) => {
                // Nobody leads twice in a term.
                let is_of_the_past = term < disk.term
                    || term == disk.term
                        && to.raft.term() == term
                        && to.raft.role_name() == RoleName::Follower;
                let is_old_news = is_settled
                    && term == disk.term
                    && !may_return(message.from, to, config)
                    && is_known(reply, message.from, to);
                dead_if(is_of_the_past || is_old_news)
            }
            Rpc::InstallSnapshot(_)
            | Rpc::InstallSnapshotReply(_)
            | Rpc::TimeoutNow
            | Rpc::ReadIndex(_)
            | Rpc::ReadIndexReply(_) => Fate::Alive,
        }
    }
}

/// All that it says is on the recipient's disk, and the recipient knows it to be the leader's and knows what is
/// committed of it. While the leader leads, it contradicts none of that (Paper §5.3, log matching).
fn is_held(append: &AppendEntries, to: &Local) -> bool {
    let at = |index: Index| to.disk.log.get(usize::try_from(index.0.checked_sub(1)?).ok()?);
    let fits = append.prev_log_index == Index::ZERO
        || at(append.prev_log_index).is_some_and(|entry| entry.term == append.prev_log_term);
    fits && append.leader_commit <= to.raft.commit_index()
        && !append.entries.is_empty()
        && append.entries.iter().all(|entry| at(entry.index) == Some(entry))
}

/// The same with its last entry alone: whoever has that one has all before it (Paper §5.3).
fn shortened(message: &Message, append: &AppendEntries) -> Message {
    let mut short = append.clone();
    if let [.., before, last] = append.entries.as_slice() {
        (short.prev_log_index, short.prev_log_term) = (before.index, before.term);
        short.entries = vec![last.clone()];
    }
    Message { rpc: Rpc::AppendEntries(short), ..message.clone() }
}

/// A leader that knows of a match beyond it: matchIndex never falls while it leads, and below it nothing is
/// believed to be missing.
fn is_known(reply: &AppendEntriesReply, from: NodeId, leader: &Local) -> bool {
    let progress = leader.raft.progress().find(|progress| progress.id == from);
    progress.is_some_and(|progress| match &reply.outcome {
        AppendOutcome::Accepted { match_index } => *match_index < progress.match_index,
        AppendOutcome::Conflict { prev_log_index, .. } => *prev_log_index <= progress.match_index,
    })
}

/// Whether a leader can forget what it knows of a follower: takes it away, and adds it again.
fn may_return(follower: NodeId, leader: &Local, config: &Config) -> bool {
    let mut wishes = config.wishes.iter().filter(|(asked, _)| u64::from(*asked) == leader.id().0);
    config.changes > 0 && wishes.any(|(_, wish)| wish.iter().all(|id| u64::from(*id) != follower.0))
}
