//! Configurations that may be known to no server any more, and are still about: in messages.
//!
//! A leader that dies right after it has sent an entry may have lost it, and whoever gets the message has it all the
//! same. Who judges what may be decided yet has to look into what is on its way, too.

use bytes::BytesMut;
use jangada_node::effect::Input;
use jangada_node::frame::{self, Frame, Route};
use jangada_raft::message::Rpc;
use jangada_raft::types::{Membership, Payload};

use crate::driver::MAX_FRAME;
use crate::network::id_of;
use crate::server::CLUSTER;
use crate::workload::Workload;
use crate::world::World;

impl<W: Workload> World<W> {
    /// The configurations in all messages that are on their way, or that have arrived and are not looked at yet.
    pub(crate) fn memberships_in_flight(&self) -> Vec<Membership> {
        let mut found = Vec::new();
        for (from, to, bytes) in self.queue.frames() {
            let route = Route { cluster: CLUSTER, from: id_of(from), to: id_of(to) };
            // What was damaged on its way will be refused.
            if let Ok(Some(frame)) = frame::decode(&mut BytesMut::from(bytes), route, MAX_FRAME) {
                found.extend(memberships_in(&frame));
            }
        }
        for process in self.servers.iter().filter_map(|server| server.process.as_deref()) {
            for input in &process.inbox {
                if let Input::Peer(_, frame) = input {
                    found.extend(memberships_in(frame));
                }
            }
        }
        found
    }
}

fn memberships_in(frame: &Frame) -> Vec<Membership> {
    let Frame::Raft(message) = frame else { return Vec::new() };
    match &message.rpc {
        Rpc::AppendEntries(append) => (append.entries.iter())
            .filter_map(|entry| match &entry.payload {
                Payload::Membership(membership) => Some(Membership::clone(membership)),
                Payload::Noop | Payload::Command(_) => None,
            })
            .collect(),
        Rpc::InstallSnapshot(install) => vec![Membership::clone(&install.meta.membership)],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;
    use std::collections::BTreeSet;

    use jangada_raft::types::NodeId;

    use crate::plan::Death;
    use crate::world::World;

    #[test]
    fn a_configuration_outlives_the_leader_that_lost_it() {
        let mut world = World::new(1).servers(3).quiet().build();
        world.run_for(Duration::from_secs(1));
        let leader = world.leader().expect("a quiet world has one");
        let voters: BTreeSet<NodeId> = (1..=3).map(NodeId).filter(|id| id.0 != 1 + leader.0 % 3).collect();
        world.change_members(leader, voters, BTreeSet::new());
        let is_sent = |world: &World<crate::kv::Kv>| !world.memberships_in_flight().is_empty();
        assert!(world.run_until(Duration::from_secs(1), is_sent));
        world.die(crate::network::place_of(leader), Death::Killed);
        assert!(is_sent(&world), "what it has sent arrives all the same");
    }
}
