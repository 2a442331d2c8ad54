//! What a laboratory stands on: real servers, or the simulator's world.

use std::time::Duration;

use jangada_node::event::Record;
use jangada_raft::types::NodeId;
use jangada_sim::script::Simulated;
use jangada_sim::script::cluster::Cluster;
use jangada_trace::language::Language;

use super::live::Live;
use super::log;
use super::page::Portrait;

/// A cluster of the scripts that can say a little more about itself.
pub trait Backend: Cluster + 'static {
    /// Where a server's clients connect, if they can.
    fn address(&self, id: NodeId) -> Option<String>;

    /// What happened last, on one clock.
    fn recorded(&self) -> Vec<Record>;

    /// What a server has in its log, a line for each of the last entries.
    fn log_lines(&self, language: Language, id: NodeId) -> Vec<String>;

    /// What each server that runs and answers shows of itself.
    fn portraits(&self, language: Language) -> Vec<(NodeId, Portrait)>;

    /// Somebody wants other servers: nothing is gone on with.
    fn begin_anew(&mut self) {}

    /// Messages lost of a hundred, and how much longer each takes.
    fn weather(&self) -> (u8, Duration);
}

impl Backend for Live {
    fn begin_anew(&mut self) {
        self.forget_disks();
    }

    fn address(&self, id: NodeId) -> Option<String> {
        Some(self.ports().client(id).to_string())
    }

    fn recorded(&self) -> Vec<Record> {
        self.reel().records()
    }

    fn log_lines(&self, _: Language, id: NodeId) -> Vec<String> {
        Live::log_lines(self, id)
    }

    fn portraits(&self, language: Language) -> Vec<(NodeId, Portrait)> {
        self.look_at_all(move |replica| {
            let applied = (!replica.is_restoring()).then(|| replica.last_applied());
            Portrait::of(language, replica.raft(), applied)
        })
    }

    fn weather(&self) -> (u8, Duration) {
        self.network().everywhere()
    }
}

impl Backend for Simulated {
    fn address(&self, _: NodeId) -> Option<String> {
        None
    }

    fn recorded(&self) -> Vec<Record> {
        Simulated::recorded(self)
    }

    fn log_lines(&self, language: Language, id: NodeId) -> Vec<String> {
        self.raft(id).map_or_else(Vec::new, |raft| log::lines(language, raft))
    }

    fn portraits(&self, language: Language) -> Vec<(NodeId, Portrait)> {
        let portrait = |id| Some((id, Portrait::of(language, self.raft(id)?, self.view(id)?.applied)));
        self.servers().into_iter().filter_map(portrait).collect()
    }

    fn weather(&self) -> (u8, Duration) {
        Simulated::weather(self)
    }
}
