//! The world: servers, disks, network, clients and checkers, moved on from event to event.
//!
//! It is one value on one thread, and time in it is a number. [`World::step`] takes the next thing that happens out
//! of the queue and lets it happen; nothing in between costs anything, so that an idle minute is over at once.
//! What a server does in its turn stands in `driver.rs`, what goes wrong in `strike.rs`, and how a run ends in
//! `finale.rs`.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

use jangada_node::effect::{AdminDone, Effect, Failure, Input};
use jangada_node::event::{Deed, Event};
use jangada_node::replica::Replica;
use jangada_raft::face::MembershipChange;
use jangada_raft::types::{Index, NodeId, Time};

use crate::calm::Calm;
use crate::check::{Committed, Findings, Invariant, Logs, Samples, Violation, recovered_is_possible};
use crate::client::Client;
use crate::coverage::{Counter, Coverage};
use crate::disk::SimDisk;
use crate::disk::tape::Note;
use crate::images::ledger::Memory;
use crate::network::{Links, Network, id_of, place_of};
use crate::observed::Observed;
use crate::plan::{Cut, Death, Plan};
use crate::queue::{Happening, Place, Queue};
use crate::records::Records;
use crate::rng::{Dice, Rng, stream};
use crate::server::{Server, Setup};
use crate::setup::Builder;
use crate::standing::Card;
use crate::story::Story;
use crate::workload::Workload;

/// Clocks that differ by so many millionths count as alike.
const ALIKE: u64 = 10_000;

/// A simulated cluster with its clients, in virtual time.
pub struct World<W: Workload> {
    pub(crate) plan: Plan,
    pub(crate) now: Time,
    pub(crate) queue: Queue,
    pub(crate) servers: Vec<Server<W::Machine>>,
    pub(crate) disks: Vec<SimDisk>,
    /// The disks that servers had before, until they are taken back with the new one.
    pub(crate) lost_disks: Vec<Vec<SimDisk>>,
    /// How long a server stays down that stops by a fault of its disk.
    pub(crate) disk_fault_down: Vec<Duration>,
    pub(crate) network: Network,
    pub(crate) disk_rng: Rng,
    pub(crate) fault_rng: Rng,
    pub(crate) watch_rng: Rng,
    /// In which of its lives each server was when its followers looked at it.
    pub(crate) looked_at: Vec<u64>,
    /// The servers whose disks were lost, or may be damaged: one at a time, or any (see `plan::Atlas`).
    pub(crate) fragile: BTreeSet<Place>,
    /// Of these the servers that have not read their disks since they were damaged, and how often somebody will look in
    /// before they are made to.
    pub(crate) unread: BTreeMap<Place, u32>,
    /// What servers have said of themselves.
    pub(crate) cards: Vec<Card>,
    pub(crate) workload: W,
    pub(crate) clients: Vec<Client>,
    /// Trouble is over: no fault strikes any more, and no client begins anything.
    pub(crate) healed: bool,
    /// Clients go on all the same, so that there is a time in which nothing goes wrong.
    pub(crate) epilogue: bool,
    pub(crate) operations: u64,
    pub(crate) answered: u64,
    pub(crate) administrators: u64,
    pub(crate) admin_answers: BTreeMap<u64, Result<AdminDone, Failure>>,

    pub(crate) logs: Logs,
    pub(crate) committed: Committed,
    pub(crate) samples: Samples,
    pub(crate) findings: Findings,
    pub(crate) coverage: Coverage,
    /// Whose turn it is: if something panics, it was there.
    pub(crate) acting: Option<Place>,
    pub(crate) calm: Calm,
    pub(crate) happened: u64,
    pub(crate) steps: u64,
    pub(crate) records: Records,
    pub(crate) messages: u64,
    pub(crate) message_bytes: u64,
    /// A timeline, if somebody wants one.
    pub(crate) story: Option<Story>,

    pub(crate) effects: Vec<Effect<Observed<W::Machine>>>,
    pub(crate) events: Vec<Event>,
    pub(crate) scratch: Vec<u8>,
}

impl World<crate::kv::Kv> {
    /// Begins to build a world from its seed.
    #[expect(
        clippy::new_ret_no_self,
        reason = "a world is built in steps: how many servers, what goes wrong"
    )]
    #[must_use]
    pub fn new(seed: u64) -> Builder {
        Builder::new(seed)
    }
}

impl<W: Workload> World<W> {
    /// A world that follows a plan, at its very beginning: all founding servers are up, n1 campaigns.
    pub fn of(plan: Plan, workload: W) -> World<W> {
        let (seed, places) = (plan.seed, plan.places());
        let mut world = World {
            now: Time::ZERO,
            queue: Queue::new(seed),
            servers: (0..places).map(|place| Server::new(id_of(place))).collect(),
            disks: (0..places).map(|place| SimDisk::new(&id_of(place).to_string())).collect(),
            lost_disks: vec![Vec::new(); places],
            disk_fault_down: vec![Duration::from_millis(100); places],
            network: Network::new(seed, places, plan.network.clone()),
            disk_rng: stream(seed, "disks"),
            fault_rng: stream(seed, "faults"),
            watch_rng: stream(seed, "watches"),
            looked_at: vec![0; places],
            fragile: BTreeSet::new(),
            unread: BTreeMap::new(),
            cards: Vec::new(),
            workload,
            clients: Vec::new(),
            healed: false,
            epilogue: false,
            operations: 0,
            answered: 0,
            administrators: 0,
            admin_answers: BTreeMap::new(),
            logs: Logs::default(),
            committed: Committed::new(),
            samples: Samples::default(),
            findings: Findings::default(),
            coverage: Coverage::default(),
            acting: None,
            calm: Calm::new(),
            happened: 0,
            steps: 0,
            records: Records::new(&plan),
            messages: 0,
            message_bytes: 0,
            story: plan.tell_story.then(|| Story::new(places)),
            effects: Vec::new(),
            events: Vec::new(),
            scratch: Vec::new(),
            plan,
        };
        for place in 0..places {
            world.keep_past_of(&world.disks[place]);
            if world.plan.record_disks {
                world.disks[place].record();
            }
            world.start_now(place);
        }
        world.give(0, Input::Campaign);
        for (number, (at, _)) in world.plan.faults.iter().enumerate() {
            world.queue.push(crate::driver::after(Time::ZERO, *at), Happening::Fault(number));
        }
        world.workload.set_out(&world.plan.settings);
        world.begin_clients();
        world
    }

    /// The next thing happens. `false` if nothing ever will.
    pub fn step(&mut self) -> bool {
        let Some((time, what)) = self.queue.pop() else { return false };
        debug_assert!(time >= self.now, "time does not go back");
        self.now = time;
        self.findings.now = time;
        self.happened += 1;
        match what {
            Happening::Deliver { from, card, to, connection, bytes } => {
                if self.network.is_open(from, to, connection) {
                    self.deliver(from, card, to, bytes);
                } else {
                    self.coverage.count(Counter::LostInFlight);
                }
            }
            Happening::DeliverForeign { from, to, why, bytes } => self.deliver_foreign(from, to, why, bytes),
            Happening::Wake { server, start } => self.wake(server, start),
            Happening::DiskDone { server, start } => self.disk_done(server, start),
            Happening::Client { client } => self.client_turn(client),
            Happening::Look => self.followers_look(),
            Happening::Patience { client } => self.patience_over(client),
            Happening::Fault(number) => self.strike(number),
            Happening::PartOfFault(fault) => self.strike_with(*fault),
            Happening::Start { server, start } => {
                if self.servers[server].starts == start {
                    self.start_now(server);
                }
            }
            Happening::Repair => self.repair(),
            Happening::Rejoin(partition) => {
                self.narrate(|story, now| story.world(now, "a partition ends"));
                self.rejoin(partition);
            }
            Happening::Release(clog) => {
                self.narrate(|story, now| story.world(now, "clogged links are free"));
                self.network.release(clog);
                self.calm.disturb(self.now.max(self.network.drained()));
            }
            Happening::GiveUp { server, start, token } => {
                if self.servers[server].starts == start {
                    self.give(server, Input::GiveUp(token));
                }
            }
        }
        if self.calm.is_due(time) {
            self.look_around();
        }
        true
    }

    /// Lets so much virtual time pass.
    pub fn run_for(&mut self, duration: Duration) {
        let until = self.now + duration;
        while self.queue.next_time().is_some_and(|next| next <= until) {
            self.step();
        }
        self.now = until;
        self.findings.now = until;
    }

    /// Lets time pass until the condition holds, or `patience` is over. Says which.
    pub fn run_until(&mut self, patience: Duration, condition: impl Fn(&World<W>) -> bool) -> bool {
        let until = self.now + patience;
        loop {
            if condition(self) {
                return true;
            }
            if self.queue.next_time().is_none_or(|next| next > until) {
                return false;
            }
            self.step();
        }
    }

    /// Virtual time.
    #[must_use]
    pub fn now(&self) -> Time {
        self.now
    }

    /// The plan that this world follows.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// A server's replica, if it runs.
    #[must_use]
    pub fn replica(&self, id: NodeId) -> Option<&Replica<Observed<W::Machine>>> {
        self.servers.get(place_of(id))?.process.as_ref().map(|process| &process.replica)
    }

    /// All servers that run.
    pub fn running(&self) -> impl Iterator<Item = &Replica<Observed<W::Machine>>> {
        self.servers.iter().filter_map(|server| server.process.as_ref()).map(|process| &process.replica)
    }

    /// A server's disk.
    ///
    /// # Panics
    /// If there is no such server.
    #[must_use]
    pub fn disk(&self, id: NodeId) -> &SimDisk {
        &self.disks[place_of(id)]
    }

    /// Who leads: of several, the one in the highest term.
    #[must_use]
    pub fn leader(&self) -> Option<NodeId> {
        let leaders = self.running().filter(|replica| replica.raft().is_leader());
        leaders.max_by_key(|replica| replica.raft().term()).map(Replica::id)
    }

    /// The last entry that anybody has committed.
    #[must_use]
    pub fn commit_index(&self) -> Index {
        self.committed.last()
    }

    /// What did not hold so far: the first case of each invariant.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.findings.violations
    }

    /// What has happened so far.
    #[must_use]
    pub fn coverage(&self) -> &Coverage {
        &self.coverage
    }

    /// The clients and their history.
    pub fn workload(&mut self) -> &mut W {
        &mut self.workload
    }

    /// A server dies at once, and stays down. Nothing happens if it is down.
    pub fn crash(&mut self, id: NodeId, death: Death) {
        self.die(place_of(id), death);
    }

    /// A server that is down starts.
    pub fn restart(&mut self, id: NodeId) {
        let place = place_of(id);
        self.servers[place].retired = false;
        self.start_now(place);
    }

    /// The network comes apart in this way, until [`World::rejoin`] or [`World::heal`].
    pub fn part(&mut self, cut: &Cut) -> usize {
        let links = self.links(cut);
        self.coverage.count(Counter::Partitions);
        self.disturb(Duration::ZERO);
        let partition = self.network.part(links);
        self.note_links();
        partition
    }

    /// Whoever keeps records notes which links are cut now.
    fn note_links(&mut self) {
        if self.plan.keep_records {
            self.records.note_links(self.now, self.network.cut_links());
        }
    }

    /// The links that have this shape now.
    pub(crate) fn links(&self, cut: &Cut) -> Links {
        self.network.shape(cut, self.leader().map(place_of))
    }

    /// What `from` sends to `to` is lost, until [`World::rejoin`] or [`World::heal`].
    pub fn cut(&mut self, from: NodeId, to: NodeId) -> usize {
        self.part(&Cut::OneWay(from, to))
    }

    /// One partition ends.
    pub fn rejoin(&mut self, partition: usize) {
        self.disturb(Duration::ZERO);
        self.network.rejoin(partition);
        self.note_links();
    }

    /// All partitions end, and messages travel well.
    pub fn heal(&mut self) {
        self.disturb(Duration::ZERO);
        self.network.heal();
        self.note_links();
    }

    /// Asks a server for other members. The answer comes by [`World::administrator_answer`].
    pub fn change_members(
        &mut self,
        at: NodeId,
        voters: BTreeSet<NodeId>,
        learners: BTreeSet<NodeId>,
    ) -> u64 {
        let token = self.administrator_token();
        let change = MembershipChange { context: self.book_for(at, &voters, &learners), voters, learners };
        self.give(place_of(at), Input::ChangeMembership { token, change });
        token.0
    }

    /// Asks a server to hand leadership over. The answer comes by [`World::administrator_answer`].
    pub fn transfer(&mut self, at: NodeId, to: NodeId) -> u64 {
        let token = self.administrator_token();
        self.give(place_of(at), Input::Transfer { token, to });
        token.0
    }

    /// What became of a wish.
    #[must_use]
    pub fn administrator_answer(&self, wish: u64) -> Option<Result<AdminDone, Failure>> {
        self.admin_answers.get(&wish).copied()
    }

    /// A server takes a snapshot, or campaigns, or does anything else that it can be told.
    pub fn tell(&mut self, id: NodeId, input: Input<Observed<W::Machine>>) {
        self.give(place_of(id), input);
    }

    /// Adds to the timeline, if there is one; it ends with what does not hold.
    pub(crate) fn narrate(&mut self, what: impl FnOnce(&mut Story, Time)) {
        if let Some(story) = &mut self.story
            && self.findings.violations.is_empty()
        {
            what(story, self.now);
        }
    }

    /// A server that is down starts now.
    pub(crate) fn start_now(&mut self, place: Place) {
        let server = &mut self.servers[place];
        if server.process.is_some() || server.retired {
            return;
        }
        let fast = self.fault_rng.below(u64::from(self.plan.settings.drift_per_mille) * 1_000 + 1);
        if fast > ALIKE {
            self.coverage.count(Counter::FastClocks);
        }
        let setup = Setup { plan: &self.plan, now: self.now, fast };
        let disk = &self.disks[place];
        self.coverage.count(Counter::Starts);
        self.unread.remove(&place);
        self.calm.disturb(self.now);
        self.acting = Some(place);
        let outcome = server.start(&setup, disk, Observed::new(W::machine, W::state_hash));
        self.acting = None;
        match outcome {
            Ok(mut opened) => {
                let possible = std::mem::take(&mut server.possible);
                let batch = if possible.is_empty() {
                    0
                } else {
                    recovered_is_possible(server.id, &opened.view, &possible, &mut self.findings)
                };
                opened.view.set_batch(batch);
                disk.recovered(opened.view);
                if let Some(process) = &server.process {
                    disk.note(|| Note::Opened(Box::new(Memory::of(process.replica.raft()))));
                }
                self.hand_out_card(place);
                self.narrate(|story, now| story.starts(now, place));
                self.records.note(self.now, place, Deed::Start);
                self.records.starts(place);
                self.record(place, Event::Disk(opened.event));
                self.act(place);
            }
            // What it needs to read or repair is refused: somebody tries again later.
            Err(_) if disk.was_faulted() => {
                self.coverage.count(Counter::DiskErrors);
                // A reader changes nothing that the log says: what was possible before still is.
                disk.process_ended();
                let down = self.disk_fault_down[place];
                self.start_after(place, down);
            }
            Err(_) if disk.is_damaged() => self.refuse_damage(place),
            Err(why) => {
                let id = server.id;
                self.findings.report(Invariant::Boots, Some(id), || format!("{id} does not start: {why}"));
                server.retired = true;
            }
        }
    }

    /// A server dies. What its disk was doing is done in part.
    pub(crate) fn die(&mut self, place: Place, death: Death) {
        if self.servers[place].process.is_none() {
            return;
        }
        self.coverage.count(Counter::Crashes);
        self.narrate(|story, now| story.dies(now, place, &crate::telling::dying(death)));
        self.disturb(Duration::ZERO);
        let disk = self.disks[place].clone();
        let busy = self.servers[place].process.as_ref().is_some_and(|process| process.in_flight.is_some());
        if busy {
            let operations = self.disk_rng.below(8);
            disk.fail_after(operations, crate::disk::DiskFault::Stop);
            let _died_in_the_middle = self.run_disk(place, &mut Vec::new());
        }
        let server = &mut self.servers[place];
        server.doom = None;
        // The writer's open files go before the disk changes under them.
        server.process = None;
        server.possible = match death {
            Death::Killed => disk.process_ended(),
            Death::Power(loss) => disk.power_loss(loss, &mut self.disk_rng),
        };
        self.records.note(self.now, place, Deed::Crash);
        self.disconnect_clients(place);
    }

    /// A server that is down starts after a while.
    pub(crate) fn start_after(&mut self, place: Place, down: Duration) {
        let start = self.servers[place].starts;
        self.queue.push(self.now + down, Happening::Start { server: place, start });
    }
}
