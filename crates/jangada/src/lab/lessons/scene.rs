//! What the checks of lessons look at, and what they remember from task to task.

use std::collections::BTreeSet;

use jangada_node::event::{Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::{Index, NodeId, Term};
use jangada_sim::script::cluster::{Cluster, View};
use jangada_trace::language::Language;
use jangada_trace::say;

/// What is put into the sentence that says what was checked: the place's name, and what goes there.
pub type Facts = Vec<(&'static str, String)>;

/// Done, with what was seen; or not yet, because of this.
pub type Verdict = Result<Facts, String>;

/// The servers as they are, and what happened to them.
pub struct Scene<'a> {
    /// The servers.
    pub cluster: &'a dyn Cluster,
    /// Elections, votes, repairs, snapshots and configurations since they began.
    pub journal: Vec<Record>,
    /// The last request that has its answer.
    pub asked: Option<Asked>,
    /// What to say it in.
    pub language: Language,
}

/// A request and its answer.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who was asked.
    pub at: NodeId,
    /// What for, as it was typed.
    pub what: String,
    /// The answer.
    pub answer: String,
    /// The same in the language that is told in.
    pub told: String,
    /// It had no effect.
    pub refused: bool,
}

/// What a task leaves for the next ones.
#[derive(Clone, Debug)]
pub struct Notes {
    /// The server that it was about.
    pub server: NodeId,
    /// Its term.
    pub term: Term,
    /// The value of `d`.
    pub value: String,
    /// The last entry of the leader's log.
    pub last: Index,
}

impl Notes {
    /// About this server, as it is.
    pub fn about(view: &View<'_>) -> Notes {
        Notes { server: view.id, term: view.term, value: String::new(), last: view.last_index }
    }
}

impl Default for Notes {
    /// Before the first task is done: every first check writes its own.
    fn default() -> Notes {
        Notes { server: NodeId(1), term: Term(0), value: String::new(), last: Index::ZERO }
    }
}

impl Scene<'_> {
    /// The servers that run, as they are.
    pub fn views(&self) -> Vec<View<'_>> {
        self.cluster.servers().into_iter().filter_map(|id| self.cluster.view(id)).collect()
    }

    /// The servers that do not run.
    pub fn down(&self) -> Vec<NodeId> {
        self.cluster.servers().into_iter().filter(|id| self.cluster.view(*id).is_none()).collect()
    }

    /// Whoever leads in the highest term, and has committed an entry of it.
    ///
    /// # Errors
    /// Nobody does: a sentence.
    pub fn leader(&self) -> Result<View<'_>, String> {
        let views = self.views();
        let awake = views.into_iter().filter(|view| !self.cluster.is_paused(view.id));
        let highest = awake.max_by_key(|view| (view.term, view.is_leader()));
        match highest {
            Some(view) if view.is_leader() && view.rules => Ok(view),
            Some(view) if view.is_leader() => Err(say!(
                self.language,
                "{id} leads term {term} and has committed nothing of it yet: let time pass",
                id = view.id,
                term = view.term
            )),
            Some(view) => Err(say!(self.language, "nobody leads yet in term {term}", term = view.term)),
            None => Err(say!(self.language, "no server runs: `restart all`")),
        }
    }

    /// What happened in the core of servers, oldest first.
    pub fn happened(&self) -> impl Iterator<Item = (NodeId, RaftEvent)> {
        self.journal.iter().filter_map(|record| match record.event {
            Event::Raft(event) => Some((record.node, event)),
            Event::Disk(_) | Event::Net(_) | Event::Client(_) | Event::Deed(_) => None,
        })
    }

    /// Who voted for this server in this term, itself among them.
    pub fn voters_for(&self, candidate: NodeId, term: Term) -> BTreeSet<NodeId> {
        let votes = self.happened().filter_map(|(node, event)| match event {
            RaftEvent::VoteReceived { from, term: of, pre_vote: false, granted: true, .. }
                if node == candidate && of == term =>
            {
                Some(from)
            }
            RaftEvent::VoteGranted { to, term: of, pre_vote: false } if to == candidate && of == term => {
                Some(node)
            }
            _ => None,
        });
        votes.collect()
    }

    /// What a server has applied under `d`.
    pub fn value(&self, id: NodeId) -> Option<String> {
        self.cluster.value(id, "d").map(|value| String::from_utf8_lossy(&value).into_owned())
    }

    /// The running servers that have applied this value of `d`.
    pub fn holders(&self, value: &str) -> Vec<NodeId> {
        let ids = self.views().into_iter().map(|view| view.id);
        ids.filter(|id| self.value(*id).as_deref() == Some(value)).collect()
    }
}

/// How many are a majority of these.
pub fn majority(of: usize) -> usize {
    of / 2 + 1
}

/// `n1 n3 n4`.
pub fn names<'a>(ids: impl IntoIterator<Item = &'a NodeId>) -> String {
    ids.into_iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
