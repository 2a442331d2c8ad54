//! What must hold in every state, and what was seen so far that it is held against.

use jangada_raft::types::{Entry, Membership, NodeId, Term};

use super::table::hash_of;
use crate::check::Invariant;

/// An invariant that does not hold, and how.
#[derive(Clone, Debug)]
pub(super) struct Broken {
    pub(super) invariant: Invariant,
    pub(super) sentence: String,
}

impl Broken {
    pub(super) fn new(invariant: Invariant, sentence: impl Into<String>) -> Broken {
        Broken { invariant, sentence: sentence.into() }
    }
}

/// An entry, as far as it matters here: its term, and a hash of what it carries. Its index is its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Print {
    pub(super) term: Term,
    payload: u64,
}

/// The prints of a log from index 1 on.
pub(super) fn prints<'a>(log: impl Iterator<Item = &'a Entry>) -> Vec<Print> {
    log.map(|entry| Print { term: entry.term, payload: hash_of(&entry.payload) }).collect()
}

/// What a server looks like from outside.
#[derive(Clone)]
pub(super) struct Summary {
    pub(super) id: NodeId,
    pub(super) term: Term,
    pub(super) leads: bool,
    pub(super) commit: usize,
    pub(super) log: Vec<Print>,
    /// The log on its disk.
    pub(super) disk: Vec<Print>,
}

/// A configuration, as far as majorities are concerned: a bit for each voter. Counted here by hand: it must
/// not be the core's own counting that says whether the core counts right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Quorum {
    voters: u16,
    outgoing: Option<u16>,
}

impl Quorum {
    pub(super) fn of(membership: &Membership) -> Quorum {
        let bits = |ids: &std::collections::BTreeSet<NodeId>| ids.iter().fold(0, |bits, id| bits | bit(*id));
        Quorum { voters: bits(&membership.voters), outgoing: membership.outgoing.as_ref().map(bits) }
    }

    fn agrees(self, yes: u16) -> bool {
        let majority = |half: u16| 2 * (half & yes).count_ones() > half.count_ones();
        majority(self.voters) && self.outgoing.is_none_or(majority)
    }
}

fn bit(id: NodeId) -> u16 {
    1 << id.0
}

/// What was seen on the way to a state and can be lost in it, in a crash: who led, and what was committed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct History {
    leaders: Vec<(Term, NodeId)>,
    committed: Vec<Committed>,
    /// The configuration by which the last of them was committed.
    quorum: Quorum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Committed {
    print: Print,
    /// The term of the leader that committed it.
    in_term: Term,
}

impl History {
    /// These entries are committed.
    pub(super) fn new(committed: &[Print], quorum: Quorum) -> History {
        let committed = committed.iter().map(|print| Committed { print: *print, in_term: print.term });
        History { committed: committed.collect(), quorum, ..History::default() }
    }

    /// Takes down what has just happened to a server. `None`: nothing that would be new.
    ///
    /// `led` says whether it was a leader before: one that commits its own removal steps down at the same
    /// moment (Paper §6). `quorum` is the configuration by which it committed something.
    pub(super) fn after(
        &self,
        server: &Summary,
        led: bool,
        quorum: Option<Quorum>,
    ) -> Result<Option<History>, Broken> {
        let Summary { id, term, .. } = *server;
        let mut next = None;
        if server.leads {
            match self.leaders.iter().find(|(of, _)| *of == term) {
                Some((_, leader)) if *leader != id => {
                    let sentence = format!("{leader} and {id} both lead in term {term}");
                    return Err(Broken::new(Invariant::ElectionSafety, sentence));
                }
                Some(_) => {}
                None => {
                    let changed: &mut History = next.get_or_insert_with(|| self.clone());
                    changed.leaders.push((term, id));
                    changed.leaders.sort_unstable_by_key(|(term, _)| *term);
                }
            }
        }
        for (position, print) in server.log.iter().enumerate().take(server.commit) {
            match self.committed.get(position) {
                Some(committed) if committed.print == *print => {}
                Some(committed) => {
                    let index = position + 1;
                    let sentence = format!(
                        "{id} commits {index}@{}, but {index}@{} was committed there in term {}",
                        print.term, committed.print.term, committed.in_term
                    );
                    return Err(Broken::new(Invariant::CommittedImmutable, sentence));
                }
                None if !server.leads && !led => {
                    let index = position + 1;
                    let sentence = format!("{id} commits {index}, which no leader has committed");
                    return Err(Broken::new(Invariant::CommittedImmutable, sentence));
                }
                None => {
                    let changed = next.get_or_insert_with(|| self.clone());
                    changed.committed.push(Committed { print: *print, in_term: term });
                    changed.quorum = quorum.unwrap_or_default();
                }
            }
        }
        Ok(next)
    }

    /// What must hold between the servers of one moment, but for what is overlooked.
    pub(super) fn check(&self, servers: &[&Summary], overlook: &[Invariant]) -> Result<(), Broken> {
        let looks_at = |invariant| !overlook.contains(&invariant);
        for (position, one) in servers.iter().enumerate() {
            if one.leads && looks_at(Invariant::LeaderCompleteness) {
                self.check_leader(one)?;
            }
            if looks_at(Invariant::LogMatching) {
                for other in &servers[position + 1..] {
                    check_log_matching(one, other)?;
                }
            }
        }
        let Some(last) = self.committed.last() else { return Ok(()) };
        if !looks_at(Invariant::CommittedDurableOnQuorum) {
            return Ok(());
        }
        let place = self.committed.len() - 1;
        let holders = servers.iter().filter(|server| server.disk.get(place) == Some(&last.print));
        let holders = holders.fold(0, |bits, server| bits | bit(server.id));
        if self.quorum.agrees(holders) {
            return Ok(());
        }
        let names: Vec<String> =
            (1..16).map(NodeId).filter(|id| holders & bit(*id) != 0).map(|id| id.to_string()).collect();
        let sentence = format!(
            "{}@{} is committed, but only on the disks of [{}], which is no majority",
            place + 1,
            last.print.term,
            names.join(" ")
        );
        Err(Broken::new(Invariant::CommittedDurableOnQuorum, sentence))
    }

    fn check_leader(&self, leader: &Summary) -> Result<(), Broken> {
        for (position, committed) in self.committed.iter().enumerate() {
            if committed.in_term < leader.term && leader.log.get(position) != Some(&committed.print) {
                let sentence = format!(
                    "{} leads in term {} without {}@{}, which was committed in term {}",
                    leader.id,
                    leader.term,
                    position + 1,
                    committed.print.term,
                    committed.in_term
                );
                return Err(Broken::new(Invariant::LeaderCompleteness, sentence));
            }
        }
        Ok(())
    }
}

fn check_log_matching(one: &Summary, other: &Summary) -> Result<(), Broken> {
    let shared = one.log.iter().zip(&other.log).rposition(|(one, other)| one.term == other.term);
    let Some(shared) = shared else { return Ok(()) };
    let differs = one.log[..=shared].iter().zip(&other.log).position(|(one, other)| one != other);
    let Some(differs) = differs else { return Ok(()) };
    let sentence = format!(
        "{} and {} both have {}@{}, but differ at {}",
        one.id,
        other.id,
        shared + 1,
        one.log[shared].term,
        differs + 1
    );
    Err(Broken::new(Invariant::LogMatching, sentence))
}
