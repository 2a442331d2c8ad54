//! Leadership transfer: the leader picks its successor.
//!
//! Thesis §3.10. The leader takes no more proposals, brings the target up to date, and tells it to campaign
//! at once (TimeoutNow). If that comes to nothing within an election timeout, the leader goes on.
//!
//! Safety does not hang on any of this: the target wins by the same votes as in any other election. What is
//! special is that it neither waits nor asks beforehand, and that its requests say that the leader wanted it,
//! so that servers which hear that leader vote all the same (Thesis §4.2.3).

use crate::event::{Event, IgnoreReason};
use crate::face::{Answer, Refusal};
use crate::message::Rpc;
use crate::read;
use crate::role::{Follower, Leader};
use crate::server::{Envelope, Server};
use crate::types::{NodeId, Time};

/// Leadership on its way to another server. It lives and dies with the leadership: whoever leads again later
/// does not refuse proposals because of an old transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    pub(crate) target: NodeId,
    /// The leader goes on by itself after this.
    pub(crate) until: Time,
    /// TimeoutNow was sent since the last heartbeat.
    told: bool,
}

/// Begins to hand leadership over. The target must be able to win, so it must be a voter of the configuration
/// that stays. From now on no proposals are taken (Thesis §3.10, step 1: "The prior leader stops accepting
/// new client requests"), or the target would never have all of them.
pub(crate) fn begin(server: &mut Server, leader: &mut Leader, target: NodeId) -> Answer {
    let refusal = match leader.transfer {
        Some(transfer) if transfer.target == target => return Answer::Done,
        Some(_) => Some(Refusal::Transferring),
        None if target == server.id() || !server.membership().voters.contains(&target) => {
            Some(Refusal::BadTarget)
        }
        None => None,
    };
    if let Some(why) = refusal {
        return Answer::Refused(why);
    }
    let until = server.now + server.config.election_timeout_max;
    leader.transfer = Some(Transfer { target, until, told: false });
    leader.news = true;
    server.event(Event::TransferStarted { to: target });
    Answer::Done
}

/// Once the target holds the whole log, it is told (steps 2 and 3).
pub(crate) fn advance(server: &mut Server, leader: &mut Leader) {
    let Some(transfer) = &mut leader.transfer else { return };
    // No proposals are taken, so the end of the log stands still and the target can reach it.
    let Some(progress) = leader.progress.get(&transfer.target) else { return };
    if !transfer.told && progress.match_index == server.log.last_index() {
        transfer.told = true;
        let target = transfer.target;
        read::forfeit_lease(leader);
        server.send(target, Rpc::TimeoutNow);
    }
}

/// The target may not have got the message: tell it again with each heartbeat.
pub(crate) fn tell_again(leader: &mut Leader) {
    if let Some(transfer) = &mut leader.transfer {
        transfer.told = false;
        leader.news = true;
    }
}

/// The time is up: the leader takes proposals again (Thesis §3.10: "if leadership transfer does not complete
/// after about an election timeout, the prior leader aborts the transfer").
pub(crate) fn abort_if_late(server: &mut Server, leader: &mut Leader) {
    if let Some(transfer) = leader.transfer.take_if(|transfer| server.now >= transfer.until) {
        server.event(Event::TransferAborted { to: transfer.target });
        leader.news = true;
    }
}

/// TimeoutNow arrived. Says whether it comes from whom it must: the leader of this term.
pub(crate) fn on_timeout_now(server: &mut Server, follower: &Follower, envelope: Envelope) -> bool {
    if follower.leader.is_some_and(|leader| leader != envelope.from) {
        server.ignore(envelope, IgnoreReason::UnknownSender);
        return false;
    }
    true
}
