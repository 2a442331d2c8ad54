//! Administrators' wishes that take a while: another membership, another leader.

use std::collections::BTreeSet;

use jangada_raft::face::{Answer, Input as RaftInput, MembershipChange, Refusal};
use jangada_raft::types::{NodeId, Term};

use crate::effect::{AdminDone, Effect, Failure, Token};
use crate::replica::Replica;
use crate::state_machine::StateMachine;

/// A wish under way.
pub(crate) struct Wish {
    token: Token,
    term: Term,
    goal: Goal,
}

enum Goal {
    Members { voters: BTreeSet<NodeId>, learners: BTreeSet<NodeId> },
    Leader(NodeId),
}

impl<S: StateMachine> Replica<S> {
    pub(crate) fn on_change_membership(&mut self, token: Token, change: MembershipChange) {
        let goal = Goal::Members { voters: change.voters.clone(), learners: change.learners.clone() };
        let answer = self.raft.handle(self.now, RaftInput::ChangeMembership(change));
        match answer {
            Answer::Refused(Refusal::NoChange) => {
                self.effects.push(Effect::AdminReply(token, Ok(AdminDone::MembershipChanged)));
            }
            Answer::Refused(refusal) => {
                self.effects.push(Effect::AdminReply(token, Err(Failure::Refused(refusal))));
            }
            Answer::Appended { .. } | Answer::Done => {
                self.wishes.push(Wish { token, term: self.raft.term(), goal });
            }
        }
    }

    pub(crate) fn on_transfer(&mut self, token: Token, to: NodeId) {
        if self.raft.is_leader() && to == self.raft.id() {
            let term = self.raft.term();
            return self.effects.push(Effect::AdminReply(token, Ok(AdminDone::Transferred { term })));
        }
        match self.raft.handle(self.now, RaftInput::TransferTo(to)) {
            Answer::Refused(refusal) => {
                self.effects.push(Effect::AdminReply(token, Err(Failure::Refused(refusal))));
            }
            Answer::Appended { .. } | Answer::Done => {
                self.wishes.push(Wish { token, term: self.raft.term(), goal: Goal::Leader(to) });
            }
        }
    }

    /// Whoever asked has lost patience. New servers that have not caught up are let go; a change that has
    /// gone further is completed, as only its end can be safe.
    pub(crate) fn on_give_up(&mut self, token: Token) {
        let Some(position) = self.wishes.iter().position(|wish| wish.token == token) else { return };
        let wish = self.wishes.swap_remove(position);
        let membership = self.raft.membership();
        let catching_up = membership.target.is_some() && membership.outgoing.is_none();
        if matches!(wish.goal, Goal::Members { .. }) && catching_up {
            let target = membership.target.clone().unwrap_or_default();
            let mut learners = membership.learners.clone();
            learners.retain(|learner| !target.voters.contains(learner));
            let cancel = MembershipChange {
                voters: membership.voters.clone(),
                learners,
                context: membership.context.clone(),
            };
            self.raft.handle(self.now, RaftInput::ChangeMembership(cancel));
        }
    }

    /// Answers the wishes that have come true, or cannot come true any more.
    pub(crate) fn answer_wishes(&mut self) {
        if self.wishes.is_empty() {
            return;
        }
        let membership = self.raft.membership();
        let settled = membership.outgoing.is_none()
            && membership.target.is_none()
            && self.raft.membership_index() <= self.raft.commit_index();
        let (leader, term, transferring) =
            (self.raft.leader(), self.raft.term(), self.raft.transferring_to().is_some());
        let outcome = |wish: &Wish| match &wish.goal {
            Goal::Members { voters, learners } => {
                let wished = membership.voters == *voters && membership.learners == *learners;
                if settled && wished {
                    Some(Ok(AdminDone::MembershipChanged))
                } else {
                    (term != wish.term).then_some(Err(Failure::OutcomeUnknown))
                }
            }
            Goal::Leader(to) if leader == Some(*to) => Some(Ok(AdminDone::Transferred { term })),
            Goal::Leader(_) => {
                let over = !transferring && leader.is_some();
                over.then_some(Err(Failure::TransferFailed))
            }
        };
        let mut answers = Vec::new();
        self.wishes.retain(|wish| match outcome(wish) {
            None => true,
            Some(answer) => {
                answers.push((wish.token, answer));
                false
            }
        });
        for (token, answer) in answers {
            self.effects.push(Effect::AdminReply(token, answer));
        }
    }
}
