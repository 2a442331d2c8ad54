//! The exercise: an election with eight holes, which a student fills in.
//!
//! `examples/exercise.rs` is the sheet. Timers, links, disks and campaigns are given; what a server does with what it
//! hears is not. As it stands every server says no to everything, so that nobody is ever elected. [`check`] says which
//! hole is empty, which one does what the paper does not, and whether five servers made of it elect a leader and keep
//! one ([`scenes`]). The servers are a [`Cluster`](crate::script::Cluster) ([`Peers`]), so that the scripts' whole
//! language can be played on them, and their events are those of the real core, so that the readers of those judge
//! and tell them, too.
//!
//! It is the election alone, of Paper §5.1 and §5.2: no log, no pre-vote, no change of members. docs/exercise.md has the
//! task.

mod server; // what a hole is given, and may do
mod message; // the two questions and their answers
mod peers; // five servers, and what is between them
mod seat; // one of them
mod cases; // single situations, a few for each hole
mod judge; // which of them a solution gets right
pub mod scenes; // what is demanded of five servers
mod report; // the whole, in words

pub use message::{AppendEntries, AppendEntriesReply, RequestVote, RequestVoteReply};
pub use peers::Peers;
pub use report::{HoleState, Report, check, log, play};
pub use server::{HOLES, Server};

/// What a server does with what it hears, by its role: the eight holes.
///
/// `me` is the server; what a hole changes in it counts, and is on its disk before the answer leaves. A hole that finds
/// itself to be a follower now may call the follower's: "the message is processed again in the new role".
pub trait Election {
    /// Hole 1. A candidate asks a follower for its vote.
    fn follower_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply;
    /// Hole 2. A leader makes itself known to a follower.
    fn follower_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply;
    /// Hole 3. Another candidate asks a candidate for its vote.
    fn candidate_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply;
    /// Hole 4. A candidate is told what became of its request.
    fn candidate_on_request_vote_reply(me: &mut Server, reply: RequestVoteReply);
    /// Hole 5. A leader makes itself known to a candidate.
    fn candidate_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply;
    /// Hole 6. A candidate asks a leader for its vote.
    fn leader_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply;
    /// Hole 7. Another leader makes itself known to a leader.
    fn leader_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply;
    /// Hole 8. A leader is told what became of its heartbeat.
    fn leader_on_append_entries_reply(me: &mut Server, reply: AppendEntriesReply);
}
