//! The servers of an exercise, and what is between them: a cluster that scripts can be played on.
//!
//! Everything here is given: when timers ring, who campaigns, when heartbeats leave, what travels and what is lost. It
//! stands in virtual time, and one seed decides all that chance decides.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;
use std::time::Duration;

use jangada_node::effect::Token;
use jangada_node::event::Record;
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::rng::Rng;
use jangada_raft::types::{Index, Membership, NodeId, Term, Time};
use jangada_trace::safety::{Property, Safety};

use crate::check::{Findings, Invariant, Violation};
use crate::rng::{Dice, stream};
use crate::script::cluster::{Answer, Ask, Cluster, Deed, Setup, View};

use super::Election;
use super::message::{AppendEntries, Rpc};
use super::seat::{self, Seat};

/// Servers that run somebody's solution.
pub struct Peers<E> {
    setup: Setup,
    rng: Rng,
    now: Time,
    seats: BTreeMap<NodeId, Seat>,
    queue: BTreeMap<(Time, u64), Happening>,
    /// Numbers what is put into the queue, and messages.
    counted: u64,
    cut: BTreeSet<(NodeId, NodeId)>,
    loss: u8,
    slow: Duration,
    records: Vec<Record>,
    safety: Safety,
    findings: Findings,
    election: PhantomData<E>,
}

enum Happening {
    Arrives {
        from: NodeId,
        to: NodeId,
        sequence: u64,
        rpc: Rpc,
    },
    /// A server's timer: for a leader the next heartbeat, for everybody else the election timeout.
    Rings {
        id: NodeId,
        timer: u64,
    },
}

impl<E: Election> Default for Peers<E> {
    fn default() -> Peers<E> {
        Peers::new()
    }
}

impl<E: Election> Peers<E> {
    /// Without servers, until it is founded.
    #[must_use]
    pub fn new() -> Peers<E> {
        Peers {
            setup: Setup::new(0),
            rng: stream(0, "exercise"),
            now: Time::ZERO,
            seats: BTreeMap::new(),
            queue: BTreeMap::new(),
            counted: 0,
            cut: BTreeSet::new(),
            loss: 0,
            slow: Duration::ZERO,
            records: Vec::new(),
            safety: Safety::new(),
            findings: Findings::default(),
            election: PhantomData,
        }
    }

    fn seat(&mut self, id: NodeId) -> &mut Seat {
        self.seats.get_mut(&id).expect("only servers that were founded are named")
    }

    fn later(&mut self, after: Duration, what: Happening) {
        self.counted += 1;
        self.queue.insert((self.now + after, self.counted), what);
    }

    /// It happened; the checker of Figure 3 reads it like the events of any server.
    fn tell(&mut self, id: NodeId, event: RaftEvent) {
        let now = self.now;
        let record = self.seat(id).record(id, now, event);
        self.records.push(record);
        self.findings.now = now;
        if let Err(violation) = self.safety.read(&record) {
            let invariant = match violation.property {
                Property::ElectionSafety => Invariant::ElectionSafety,
                _ => Invariant::Monotonic,
            };
            self.findings.report(invariant, Some(id), || violation.explanation);
        }
    }

    /// Starts the timer of a server's present role.
    fn set_timer(&mut self, id: NodeId) {
        let (min, max) = (self.setup.raft.election_timeout_min, self.setup.raft.election_timeout_max);
        let leads = self.role(id) == Some(RoleName::Leader);
        let after = if leads { self.setup.raft.heartbeat_interval } else { self.rng.duration(min, max) };
        let seat = self.seat(id);
        seat.timer += 1;
        let timer = seat.timer;
        self.later(after, Happening::Rings { id, timer });
        if !leads {
            let after_nanos = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
            self.tell(id, RaftEvent::ElectionTimerReset { after_nanos });
        }
    }

    fn role(&self, id: NodeId) -> Option<RoleName> {
        self.seats.get(&id)?.life.as_ref().map(super::Server::role)
    }

    fn send(&mut self, from: NodeId, to: NodeId, rpc: Rpc) {
        self.counted += 1;
        let sequence = self.counted;
        self.tell(from, seat::sent(to, sequence, rpc));
        let lost = self.rng.below(100) < u64::from(self.loss);
        let (min, max) = self.setup.delay;
        let after = self.rng.duration(min, max) + self.slow;
        if !lost && !self.cut.contains(&(from, to)) {
            self.later(after, Happening::Arrives { from, to, sequence, rpc });
        }
    }

    fn send_to_all(&mut self, from: NodeId, rpc: Rpc) {
        let others: Vec<NodeId> = self.seats.keys().copied().filter(|to| *to != from).collect();
        for to in others {
            self.send(from, to, rpc);
        }
    }

    /// What is given to a follower and a candidate: an election timeout without a leader is a campaign.
    fn campaign(&mut self, id: NodeId) {
        let Some((events, ask)) = self.seat(id).campaign() else { return };
        for event in events {
            self.tell(id, event);
        }
        self.set_timer(id);
        self.send_to_all(id, ask);
    }

    /// What is given to a leader: heartbeats, at once and then again and again.
    fn heartbeat(&mut self, id: NodeId) {
        let Some(server) = &self.seat(id).life else { return };
        let heartbeat = Rpc::AppendEntries(AppendEntries { term: server.current_term, leader: id });
        self.set_timer(id);
        self.send_to_all(id, heartbeat);
    }

    fn happens(&mut self, what: Happening) {
        match what {
            Happening::Arrives { from, to, sequence, rpc } => {
                // A message that is under way when its link is cut is lost.
                if !self.cut.contains(&(from, to)) {
                    self.arrives(from, to, sequence, rpc);
                }
            }
            Happening::Rings { id, timer } => {
                let seat = self.seat(id);
                if seat.timer != timer {
                    return;
                }
                if seat.paused {
                    // It rings when the server wakes.
                    self.later(Duration::from_millis(1), Happening::Rings { id, timer });
                } else if self.role(id) == Some(RoleName::Leader) {
                    self.heartbeat(id);
                } else {
                    self.campaign(id);
                }
            }
        }
    }

    fn arrives(&mut self, from: NodeId, to: NodeId, sequence: u64, rpc: Rpc) {
        let now = self.now;
        let before = self.role(to);
        let seat = self.seat(to);
        if seat.paused {
            return seat.missed.push((from, sequence, rpc));
        }
        let Some(role) = before else { return };
        self.tell(to, seat::received(from, sequence, rpc));
        let (events, answer) = self.seat(to).hear::<E>(now, from, rpc);
        for event in events {
            self.tell(to, event);
        }
        let server = self.seat(to).life.as_mut().expect("it runs");
        let (wants_reset, is) = (std::mem::take(&mut server.was_reset), server.role());
        if is == RoleName::Leader && role != RoleName::Leader {
            self.heartbeat(to);
        } else if wants_reset && is != RoleName::Leader || role == RoleName::Leader && is != role {
            // Whoever led had no election timeout, and needs one now.
            self.set_timer(to);
        }
        if let Some(answer) = answer {
            self.send(to, from, answer);
        }
    }
}

impl<E: Election> Cluster for Peers<E> {
    fn found(&mut self, setup: &Setup) -> Result<(), String> {
        if setup.servers < 2 {
            return Err("an election takes two servers at least: `servers 5`".into());
        }
        if !setup.logs.is_empty() {
            return Err("the servers of the exercise have no log: leave `log` out".into());
        }
        *self = Peers { setup: setup.clone(), rng: stream(setup.seed, "exercise"), ..Peers::new() };
        self.seats = (1..=setup.servers).map(|id| (NodeId(id), Seat::default())).collect();
        for id in 1..=setup.servers {
            self.befall(NodeId(id), Deed::Start)?;
        }
        Ok(())
    }

    fn now(&self) -> Time {
        self.now
    }

    fn pass(&mut self, until: Time) -> Result<bool, String> {
        let next = self.queue.first_entry().filter(|next| next.key().0 <= until);
        let Some(next) = next else {
            self.now = until;
            return Ok(false);
        };
        let ((time, _), what) = next.remove_entry();
        self.now = time;
        self.happens(what);
        Ok(true)
    }

    fn take_records(&mut self) -> Vec<Record> {
        std::mem::take(&mut self.records)
    }

    fn take_answers(&mut self) -> Vec<(Token, Answer)> {
        Vec::new()
    }

    fn violations(&self) -> &[Violation] {
        &self.findings.violations
    }

    fn servers(&self) -> Vec<NodeId> {
        self.seats.keys().copied().collect()
    }

    fn is_paused(&self, id: NodeId) -> bool {
        self.seats.get(&id).is_some_and(|seat| seat.paused)
    }

    fn view(&self, id: NodeId) -> Option<View<'_>> {
        let seat = self.seats.get(&id)?;
        let server = seat.life.as_ref()?;
        let heard = seat.leader.filter(|(term, ..)| *term == server.current_term);
        let leads = server.role() == RoleName::Leader;
        Some(View {
            id,
            role: server.role(),
            term: server.current_term,
            voted_for: server.voted_for,
            leader: if leads { Some(id) } else { heard.map(|(_, leader, _)| leader) },
            leader_last_heard: heard.map(|(.., when)| when),
            rules: leads,
            first_index: Index(1),
            last_index: Index::ZERO,
            last_term: Term::ZERO,
            commit_index: Index::ZERO,
            applied: Some(Index::ZERO),
            snapshot: Index::ZERO,
            membership: Cow::Owned(Membership::of(self.seats.keys().copied())),
            membership_index: Index::ZERO,
            membership_is_committed: true,
        })
    }

    fn log_terms(&self, _: NodeId) -> Vec<Term> {
        Vec::new()
    }

    fn value(&self, _: NodeId, _: &str) -> Option<Vec<u8>> {
        None
    }

    fn befall(&mut self, id: NodeId, deed: Deed) -> Result<(), String> {
        match deed {
            Deed::Start => {
                let servers = self.seats.len();
                let Some(seat) = self.seats.get_mut(&id) else {
                    return Err(format!("{id} is no server of the exercise: its members do not change"));
                };
                seat.start(id, servers);
                self.set_timer(id);
            }
            Deed::Crash => self.seat(id).stop(),
            Deed::Pause => self.seat(id).paused = true,
            Deed::Resume => {
                let seat = self.seat(id);
                seat.paused = false;
                for (from, sequence, rpc) in std::mem::take(&mut seat.missed) {
                    self.arrives(from, id, sequence, rpc);
                }
            }
            Deed::Campaign => self.campaign(id),
            Deed::Snapshot | Deed::Stall | Deed::Unstall => {
                return Err("the exercise has no log, and its disks are always quick".into());
            }
        }
        Ok(())
    }

    fn ask(&mut self, _: NodeId, _: Token, _: Ask) -> Result<(), String> {
        Err("the servers of the exercise elect a leader, and can do nothing else".into())
    }

    fn set_link(&mut self, from: NodeId, to: NodeId, works: bool) -> Result<(), String> {
        if works {
            self.cut.remove(&(from, to));
        } else {
            self.cut.insert((from, to));
        }
        Ok(())
    }

    fn set_loss(&mut self, percent: u8) -> Result<(), String> {
        self.loss = percent;
        Ok(())
    }

    fn set_delay(&mut self, delay: Duration) -> Result<(), String> {
        self.slow = delay;
        Ok(())
    }

    fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.cut.contains(&(from, to))
    }
}
