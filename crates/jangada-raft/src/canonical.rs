//! One value for all servers that will do the same, for programs that search through everything that a cluster
//! can do. A host has no use for it.
//!
//! Two servers may differ in what has no bearing on what they will say and write: how many random numbers they
//! have drawn, how many messages they have sent, what the time is. A search that told them apart would never
//! end. What is kept of a time is the one thing that a rule asks about it: whether it is long ago.
//!
//! **Not kept**, so not to be used together with this: reads (their questions are told apart by the numbers of
//! messages), leases, and snapshots under way (they resume by the time).

use crate::disk::Disk;
use crate::progress::{CatchUp, Progress};
use crate::raft::Raft;
use crate::rng::Rng;
use crate::role::{ElectionTimer, Role};
use crate::types::{Index, Time};

impl Raft {
    /// Takes away what tells servers apart that will do the same, the events that they report apart. Call it
    /// after each [`Raft::take_output`]; from then on
    ///
    /// - the present is [`Raft::canonical_now`], and every time of the past is either that, if it counts as
    ///   recent, or long ago; all timers were set just now, election timers to the longest timeout;
    /// - the orders to the disk that are not confirmed are numbered from 1;
    /// - the next message has number 0.
    pub fn canonicalise(&mut self) {
        let now = self.canonical_now();
        let server = &mut self.server;
        let before = core::mem::replace(&mut server.now, now);
        server.rng = Rng::new(0);
        server.restart_numbers();
        server.disk.renumber();
        let (recent, patience) = (server.config.election_timeout_min, server.config.election_timeout_max);
        server.leader_heard = server
            .leader_heard
            .filter(|(_, heard_at)| before.since(*heard_at) < recent)
            .map(|(leader, _)| (leader, now));
        let heartbeat = now + server.config.heartbeat_interval;
        let timer = ElectionTimer::set(now, patience);
        match &mut self.role {
            Role::Follower(follower) => follower.timer = timer,
            Role::PreCandidate(campaign) | Role::Candidate(campaign) => {
                campaign.timer = timer;
                campaign.ask_again = heartbeat;
            }
            Role::Leader(leader) => {
                leader.heartbeat_at = heartbeat;
                if let Some(transfer) = &mut leader.transfer {
                    transfer.until = now + patience;
                }
                let everybody_is_close = server.log.last_index().0 <= server.config.caught_up_entries;
                for progress in leader.progress.values_mut() {
                    let is_here = before.since(progress.last_heard) < patience;
                    progress.last_heard = if is_here { now } else { Time::ZERO };
                    progress.forget_rounds(now, everybody_is_close);
                    if let Some(leaving) = &mut progress.leaving {
                        leaving.until = now + patience;
                    }
                }
            }
        }
    }

    /// The present of a server without a past: as late as it must be for `Time::ZERO` to be long ago.
    #[must_use]
    pub fn canonical_now(&self) -> Time {
        Time::ZERO + 2 * self.server.config.election_timeout_max
    }
}

impl Progress {
    /// How the last rounds of catching up went matters only where a follower can be far behind; what it was
    /// told of the commit index, only while it is leaving.
    fn forget_rounds(&mut self, now: Time, everybody_is_close: bool) {
        if everybody_is_close {
            self.catch_up = CatchUp::new(Index::ZERO, now);
        }
        if self.leaving.is_none() {
            self.commit_told = Index::ZERO;
        }
    }
}

impl Disk {
    /// What is not confirmed is numbered from 1.
    fn renumber(&mut self) {
        let confirmed = self.durable_id.0;
        for id in [&mut self.hard_state_id, &mut self.last_id, &mut self.durable_id] {
            id.0 = id.0.saturating_sub(confirmed);
        }
        for persist in &mut self.in_flight {
            persist.id.0 -= confirmed;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::face::{Input, Output, Recovered};
    use crate::types::{ClusterId, Membership, NodeId, PersistId};
    use core::time::Duration;

    fn server() -> Raft {
        let mut recovered = Recovered::default();
        recovered.snapshot.membership = Membership::of([1, 2, 3].map(NodeId)).into();
        Raft::restore(Time::ZERO, Config::classic(NodeId(1), ClusterId(7), 42), recovered)
    }

    /// Campaigns after so long; what the disk confirmed before is up to the caller.
    fn campaign(raft: &mut Raft, at: Duration) -> usize {
        let mut out = Output::default();
        raft.handle(Time::ZERO + at, Input::Campaign);
        raft.take_output(&mut out);
        raft.canonicalise();
        out.persist.expect("a term and a vote").entries.len()
    }

    #[test]
    fn the_way_to_a_state_is_forgotten() {
        let (mut early, mut late) = (server(), server());
        // One more timeout was drawn here.
        late.server.rng.next_u64();
        assert_ne!(early, late);
        campaign(&mut early, Duration::ZERO);
        campaign(&mut late, Duration::from_secs(1));
        assert_eq!(early, late);
    }

    #[test]
    fn what_the_disk_still_owes_is_kept() {
        let mut raft = server();
        campaign(&mut raft, Duration::ZERO);
        campaign(&mut raft, Duration::ZERO);
        let waits_for_two = raft.clone();
        raft.handle(Time::ZERO, Input::Persisted(PersistId(1)));
        raft.canonicalise();
        assert_ne!(raft, waits_for_two);
        raft.handle(Time::ZERO, Input::Persisted(PersistId(1)));
        let mut out = Output::default();
        raft.take_output(&mut out);
        assert_eq!(out.send.len(), 2, "the requests of the second campaign leave with its vote on the disk");
    }
}
