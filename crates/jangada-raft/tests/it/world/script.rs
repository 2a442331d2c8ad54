//! The words that scenarios are told in: build a cluster, cut, crash, wait for something, look.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use jangada_raft::config::Config;
use jangada_raft::event::Event;
use jangada_raft::face::{Answer, Input, MembershipChange, ReadReady, Refusal};
use jangada_raft::message::Message;
use jangada_raft::quorum;
use jangada_raft::types::{Entry, HardState, Index, Membership, NodeId, Payload, ReadId, Term, Time};

use super::{CLUSTER, Disk, Node, World};

/// How long a scenario waits for something at most: virtual time, so it costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Milliseconds.
pub(crate) const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Servers by their numbers.
pub(crate) fn ids(numbers: impl IntoIterator<Item = u64>) -> BTreeSet<NodeId> {
    numbers.into_iter().map(NodeId).collect()
}

/// A command.
pub(crate) fn command(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// An entry with a command that names it.
pub(crate) fn entry(index: u64, term: u64) -> Entry {
    let payload = Payload::Command(command(&format!("{index}@{term}")));
    Entry { index: Index(index), term: Term(term), payload }
}

/// A log from index 1 on, by the terms of its entries.
pub(crate) fn entries(terms: &[u64]) -> Vec<Entry> {
    terms.iter().zip(1..).map(|(term, index)| entry(index, *term)).collect()
}

/// What is waited for, in words.
pub(crate) struct Until(pub(crate) &'static str);

impl World {
    /// A new cluster of `count` servers, n1 first.
    pub(crate) fn new(count: u64, seed: u64) -> World {
        World::with(count, seed, |_| {})
    }

    /// The same with another configuration.
    pub(crate) fn with(count: u64, seed: u64, tweak: impl Fn(&mut Config)) -> World {
        let logs = (1..=count).map(|number| (number, Vec::new()));
        World::with_logs(logs, 0, seed, tweak)
    }

    /// A cluster in the classic profile: neither PreVote nor CheckQuorum.
    pub(crate) fn classic(count: u64, seed: u64) -> World {
        World::with(count, seed, |config| *config = Config::classic(config.id, config.cluster, config.seed))
    }

    /// A cluster whose servers start in `term` with these logs (the terms of their entries).
    pub(crate) fn with_logs(
        logs: impl IntoIterator<Item = (u64, Vec<u64>)>,
        term: u64,
        seed: u64,
        tweak: impl Fn(&mut Config),
    ) -> World {
        let logs: BTreeMap<u64, Vec<u64>> = logs.into_iter().collect();
        let membership = Membership::of(logs.keys().copied().map(NodeId));
        let disk = |terms: &[u64]| {
            let term = terms.last().copied().unwrap_or(0).max(term);
            let hard_state = HardState { term: Term(term), voted_for: None };
            Disk { hard_state, entries: entries(terms), ..Disk::founding(membership.clone()) }
        };
        let disks = logs.iter().map(|(number, terms)| (NodeId(*number), disk(terms))).collect();
        World::of(seed, disks, |id| {
            let mut config = Config::new(id, CLUSTER, seed);
            tweak(&mut config);
            config
        })
    }

    /// A server that is to join: it knows neither entries nor members.
    pub(crate) fn add_blank(&mut self, number: u64) -> NodeId {
        let config = self.nodes.values().next().expect("a world has servers").config.clone();
        let id = NodeId(number);
        self.add_node(Config { id, ..config }, Disk::default());
        id
    }

    // ---- Waiting ------------------------------------------------------------------------------------------

    /// Lets the world go on until the condition holds.
    pub(crate) fn run_until(&mut self, what: &Until, is_so: impl Fn(&World) -> bool) {
        let deadline = self.now + PATIENCE;
        while !is_so(self) {
            let goes_on = self.step();
            assert!(goes_on && self.now < deadline, "waited in vain until {}: {}", what.0, self.summary());
        }
    }

    /// Lets the world go on for so long.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let deadline = self.now + duration;
        while self.next_time().is_some_and(|at| at <= deadline) {
            self.step();
        }
        self.now = deadline;
    }

    /// The same, and the condition holds all the while.
    pub(crate) fn run_while(&mut self, duration: Duration, what: &str, is_so: impl Fn(&World) -> bool) {
        let deadline = self.now + duration;
        assert!(is_so(self), "at the beginning, {what}: {}", self.summary());
        while self.next_time().is_some_and(|at| at <= deadline) {
            self.step();
            assert!(is_so(self), "all the while, {what}: {}", self.summary());
        }
        self.now = deadline;
    }

    /// Each running server in a few words.
    pub(crate) fn summary(&self) -> String {
        let mut lines = vec![format!("at {:?}", Duration::from_nanos(self.now.0))];
        for (id, node) in &self.nodes {
            lines.push(match &node.raft {
                None => format!("{id} is down"),
                Some(raft) => format!(
                    "{id} {:?} t{} last {}@{} commit {} leader {:?} {:?}",
                    raft.role_name(),
                    raft.term(),
                    raft.last_index(),
                    raft.last_term(),
                    raft.commit_index(),
                    raft.leader(),
                    raft.membership(),
                ),
            });
        }
        let reads: Vec<_> =
            self.reads.iter().map(|(read, asked)| format!("{} at {}", read.0, asked.node)).collect();
        lines.push(format!("unanswered reads: {reads:?}"));
        lines.join("\n")
    }

    // ---- Looking ------------------------------------------------------------------------------------------

    /// Who leads in the highest term.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        let leaders = self.nodes.values().filter(|node| node.leads());
        leaders.max_by_key(|node| node.term()).map(Node::id)
    }

    pub(crate) fn leads_in(&self, id: NodeId, term: Term) -> bool {
        self.nodes[&id].leads() && self.nodes[&id].term() == term
    }

    /// The servers that run and do not lead.
    pub(crate) fn followers(&self) -> Vec<NodeId> {
        let leader = self.leader();
        self.nodes
            .values()
            .filter(|node| node.is_up())
            .map(Node::id)
            .filter(|id| Some(*id) != leader)
            .collect()
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    pub(crate) fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("a server of this world")
    }

    pub(crate) fn term(&self, id: NodeId) -> Term {
        self.nodes[&id].term()
    }

    pub(crate) fn highest_term(&self) -> Term {
        self.nodes.values().map(Node::term).max().expect("a world has servers")
    }

    pub(crate) fn commit(&self, id: NodeId) -> Index {
        self.nodes[&id].commit_index()
    }

    /// The terms of the entries that a server's log holds, from index 1 on.
    pub(crate) fn log(&self, id: NodeId) -> Vec<u64> {
        self.nodes[&id].ahead.entries.iter().map(|entry| entry.term.0).collect()
    }

    /// The commands that were applied everywhere, in order, as far as this server's log still has them.
    pub(crate) fn commands(&self, id: NodeId) -> Vec<String> {
        let node = &self.nodes[&id];
        let applied = node.ahead.entries.iter().filter(|entry| entry.index <= node.machine.last_applied());
        applied
            .filter_map(|entry| match &entry.payload {
                Payload::Command(command) => Some(String::from_utf8_lossy(command).into_owned()),
                Payload::Noop | Payload::Membership(_) => None,
            })
            .collect()
    }

    /// What this server has told of, if events are recorded.
    pub(crate) fn events_of(&self, id: NodeId) -> impl Iterator<Item = Event> {
        let events = self.events.as_ref().expect("events are recorded");
        events.iter().filter(move |(who, _)| *who == id).map(|(_, event)| *event)
    }

    /// All running servers have applied the same, which is all that is committed.
    pub(crate) fn is_settled(&self) -> bool {
        let committed = self.checker.committed();
        let agrees =
            |node: &Node| node.machine.last_applied() == committed && node.raft().last_index() == committed;
        self.nodes.values().filter(|node| node.is_up()).all(agrees)
    }

    pub(crate) fn answer(&self, read: ReadId) -> Option<ReadReady> {
        self.answers.get(&read).copied()
    }

    pub(crate) fn unanswered_reads(&self) -> usize {
        self.reads.len()
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        let timer = self.nodes.values().filter_map(Node::wakes_at).min();
        let deed = self.agenda.first_key_value().map(|((at, _), _)| *at);
        timer.into_iter().chain(deed).min()
    }

    // ---- Doing --------------------------------------------------------------------------------------------

    /// Waits for a leader that has committed an entry of its own term and has a majority in its term.
    pub(crate) fn elect(&mut self) -> NodeId {
        self.run_until(&Until("somebody leads"), |world| world.leader().is_some_and(|id| world.rules(id)));
        self.leader().expect("it leads")
    }

    /// It leads, and a majority is with it.
    fn rules(&self, id: NodeId) -> bool {
        let node = self.node(id);
        let follows = |other: NodeId| {
            self.nodes.get(&other).is_some_and(|other| other.is_up() && other.term() == node.term())
        };
        node.raft().has_committed_own_term() && quorum::agrees(node.raft().membership(), follows)
    }

    /// Makes this one the leader.
    pub(crate) fn elect_node(&mut self, id: NodeId) {
        self.input(id, Input::Campaign);
        self.run_until(&Until("the chosen one leads"), |world| {
            world.node(id).is_up() && world.node(id).raft().has_committed_own_term()
        });
    }

    pub(crate) fn propose(&mut self, id: NodeId, text: &str) -> Answer {
        self.input(id, Input::Propose(command(text)))
    }

    /// Proposes and waits until it is committed; the entry's index.
    pub(crate) fn write(&mut self, text: &str) -> Index {
        let leader = self.elect();
        let Answer::Appended { index, .. } = self.propose(leader, text) else {
            panic!("a leader takes {text}");
        };
        self.run_until(&Until("it is committed"), |world| world.checker.committed() >= index);
        index
    }

    /// The same, with the leader that `choose` names.
    pub(crate) fn write_with(&mut self, choose: impl Fn(&World) -> Option<NodeId>, text: &str) -> Index {
        self.run_until(&Until("the chosen one can commit"), |world| {
            choose(world).is_some_and(|id| world.node(id).raft().has_committed_own_term())
        });
        let leader = choose(self).expect("it was there just now");
        let Answer::Appended { index, .. } = self.propose(leader, text) else {
            panic!("a leader takes {text}");
        };
        self.run_until(&Until("it is committed"), |world| world.checker.committed() >= index);
        index
    }

    pub(crate) fn settle(&mut self) {
        self.run_until(&Until("all agree"), World::is_settled);
    }

    pub(crate) fn change(&mut self, id: NodeId, voters: impl IntoIterator<Item = u64>) -> Answer {
        self.change_to(id, voters, [])
    }

    pub(crate) fn change_to(
        &mut self,
        id: NodeId,
        voters: impl IntoIterator<Item = u64>,
        learners: impl IntoIterator<Item = u64>,
    ) -> Answer {
        let change = MembershipChange { voters: ids(voters), learners: ids(learners), context: Bytes::new() };
        self.input(id, Input::ChangeMembership(change))
    }

    /// Waits until the configuration of these voters is committed at all of them.
    pub(crate) fn run_until_members(&mut self, voters: impl IntoIterator<Item = u64>) {
        let expected = Membership::of(ids(voters));
        self.run_until(&Until("the change is complete"), |world| {
            expected.voters.iter().all(|id| {
                let raft = world.node(*id).raft();
                *raft.committed_membership() == expected && *raft.membership() == expected
            })
        });
    }

    pub(crate) fn cut(&mut self, a: NodeId, b: NodeId) {
        self.network.part(&[a], &[b]);
    }

    /// Nothing passes to it or from it.
    pub(crate) fn isolate(&mut self, id: NodeId) {
        let others: Vec<NodeId> = self.nodes.keys().copied().filter(|other| *other != id).collect();
        self.network.part(&[id], &others);
    }

    /// Two groups that do not hear each other.
    pub(crate) fn split(&mut self, one: impl IntoIterator<Item = u64>) {
        let one = ids(one);
        let (one, other): (Vec<NodeId>, Vec<NodeId>) = self.nodes.keys().partition(|id| one.contains(id));
        self.network.part(&one, &other);
    }

    pub(crate) fn heal(&mut self) {
        self.network.heal();
    }

    /// Messages for which `passes` says `false` are lost from now on.
    pub(crate) fn only(&mut self, passes: impl Fn(&Message) -> bool + 'static) {
        self.network.lets_through = Box::new(passes);
    }

    /// Nothing that this server writes becomes durable until [`World::free_disk`].
    pub(crate) fn stall_disk(&mut self, id: NodeId) {
        self.node_mut(id).disk_stalls = true;
    }

    pub(crate) fn free_disk(&mut self, id: NodeId) {
        self.node_mut(id).disk_stalls = false;
        let last = self.node(id).writing.back().map(|(number, _)| *number);
        if let Some(number) = last {
            self.disk_done(id, number);
        }
    }

    /// The oldest write of a stalled disk becomes durable.
    pub(crate) fn write_one(&mut self, id: NodeId) {
        let number = self.node(id).writing.front().expect("something is being written").0;
        self.disk_done(id, number);
    }
}

/// Refused for this reason.
pub(crate) fn refused(why: Refusal) -> Answer {
    Answer::Refused(why)
}
