//! Who may say what to us: the gate that each message passes before anything is done with it.

use crate::event::IgnoreReason;
use crate::message::{Message, Rpc};
use crate::role::Role;
use crate::server::Server;
use crate::types::NodeId;

/// Why a message is none of our business, if it is not. One of another cluster must never have an effect: a
/// server that was moved from one to another would mix their logs.
pub(crate) fn misdirected(server: &Server, message: &Message) -> Option<IgnoreReason> {
    if message.cluster != server.config.cluster {
        Some(IgnoreReason::WrongCluster)
    } else if message.to != server.id() || message.from == message.to {
        Some(IgnoreReason::WrongRecipient)
    } else {
        None
    }
}

/// Whether the sender may say this to us.
///
/// Requests are heard from anybody in the cluster, known or not: our configuration may lag behind, or be
/// empty as that of a server that is about to join (Paper §6 asks for the same: a server may have to follow a
/// leader, or vote for a candidate, that is not part of its own latest configuration). Answers, and the
/// questions that followers put to their leader, come only from those that belong to the configuration, or
/// that we have dealings with: a server that was removed has no say, whatever its term.
pub(crate) fn may_hear(server: &Server, role: &Role, from: NodeId, rpc: &Rpc) -> bool {
    let is_request = match rpc {
        Rpc::RequestVote(_) | Rpc::AppendEntries(_) | Rpc::InstallSnapshot(_) | Rpc::TimeoutNow => true,
        Rpc::RequestVoteReply(_)
        | Rpc::AppendEntriesReply(_)
        | Rpc::InstallSnapshotReply(_)
        | Rpc::ReadIndex(_)
        | Rpc::ReadIndexReply(_) => false,
    };
    let is_known = match role {
        Role::Leader(leader) => leader.progress.contains_key(&from),
        Role::Follower(follower) => follower.leader == Some(from),
        Role::PreCandidate(_) | Role::Candidate(_) => false,
    };
    is_request || is_known || server.membership().contains(from)
}
