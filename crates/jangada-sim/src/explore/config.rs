//! How large the world is that is searched through, and what may happen in it how often.

use jangada_raft::types::{Index, Term};

use crate::check::Invariant;

/// A small world. Everything in it that could go on for ever has a bound here, and within these bounds nothing
/// is left out.
#[derive(Clone, Debug)]
pub struct Config {
    /// What it is called.
    pub name: &'static str,
    /// The servers are n1 up to this one; nine at most.
    pub servers: u8,
    /// Those that found the cluster; the others are empty and wait to be added.
    pub founders: Vec<u8>,
    /// What each server's disk holds at the beginning, n1's first; empty disks where nothing is said.
    pub relics: Vec<Relic>,
    /// All disks begin with a snapshot up to here (and their relics reach at least so far): what is in it is
    /// committed, and everybody knows so.
    pub snapshot: u64,
    /// Who may campaign in which term: whose election timer may ring in the term before it, at any time.
    /// Everybody in all of them, if empty.
    pub campaigns: Vec<(u64, u8)>,
    /// No server enters a later term than this one.
    pub max_term: Term,
    /// How often a client proposes a command to a leader.
    pub proposals: u8,
    /// How often a leader is asked for a change of the members.
    pub changes: u8,
    /// Who can be asked for which voters.
    pub wishes: Vec<(u8, Vec<u8>)>,
    /// How often a server crashes. It loses what its disk has not written yet, all of it or any tail, and
    /// starts again at once.
    pub crashes: u8,
    /// How often a leader sends heartbeats, or a candidate asks again.
    pub repeats: u8,
    /// Writes to the disk take as long as they like; otherwise they are done at once.
    pub slow_disks: bool,
    /// The most entries in a message.
    pub entries_per_message: usize,
    /// PreVote and CheckQuorum, as in production. Without them a server can do more: it protects no leader.
    pub modern: bool,
    /// What is not looked at, of what can be held against a single state: to see what else a bug breaks.
    pub overlook: Vec<Invariant>,
    /// Messages that can do nothing any more make states differ too: many more of them, to prove that it
    /// makes no difference.
    pub keeps_all: bool,
    /// The search gives up, incomplete, when it has seen so many states.
    pub max_states: usize,
}

/// What a server's disk holds at the beginning.
#[derive(Clone, Debug, Default)]
pub struct Relic {
    /// The term.
    pub term: u64,
    /// Whom it voted for in it.
    pub voted_for: Option<u8>,
    /// The terms of its entries, from index 1 on. The first one is the founding configuration, the others are
    /// commands; the same index and term mean the same command.
    pub log: Vec<u64>,
    /// Its last entry is this set of voters, and no command.
    pub voters: Option<Vec<u8>>,
}

impl Relic {
    /// A log, and the term that it was left in.
    #[must_use]
    pub fn new(term: u64, log: &[u64]) -> Relic {
        Relic { term, log: log.to_vec(), ..Relic::default() }
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (Index, Term)> {
        self.log.iter().zip(1..).map(|(term, index)| (Index(index), Term(*term)))
    }
}

impl Default for Config {
    /// Three fresh servers that can do nothing yet but elect a leader of term 1.
    fn default() -> Config {
        Config {
            name: "default",
            servers: 3,
            founders: vec![1, 2, 3],
            relics: Vec::new(),
            snapshot: 0,
            campaigns: Vec::new(),
            max_term: Term(1),
            proposals: 0,
            changes: 0,
            wishes: Vec::new(),
            crashes: 0,
            repeats: 0,
            slow_disks: false,
            entries_per_message: 8,
            modern: false,
            overlook: Vec::new(),
            keeps_all: false,
            max_states: 200_000_000,
        }
    }
}
