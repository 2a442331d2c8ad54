//! Clients that watch: what servers tell them of the store's changes, held against what was committed.
//!
//! Each of them watches some ranges at some server, hears slowly or not at all for a while, loses its connection with all
//! that is on it, and goes on at another server where it left off. Which change is told to which watch is decided by
//! [`jangada_kv::watch`], as in production; the tasks and streams around it are not simulated.

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use jangada_kv::watch::{Interest, Recent, Slice, Told, Watches};
use jangada_kv::{KeyRange, Revision, Store};
use jangada_node::kv_machine::KvMachine;
use jangada_node::state_machine::StateMachine;
use jangada_raft::types::{NodeId, Time};

use crate::check::Invariant;
use crate::coverage::{Counter, Coverage};
use crate::rng::{Dice, Rng};
use crate::watched::{Heard, Wish};
use crate::workload::CommittedCommand;

/// How many clients watch.
const CLIENTS: usize = 3;
/// Watches of each.
const WATCHES: usize = 3;
/// Messages that a client has not heard; then the server waits.
const WAITING: usize = 4;
/// Events in a slice: few, so that there are many slices.
const ENOUGH: usize = 5;
/// How long a client is away that has lost its connection.
const AWAY: [Duration; 4] = [Duration::ZERO, Duration::ZERO, Duration::from_secs(2), Duration::from_secs(12)];

/// All clients that watch.
#[derive(Default)]
pub(crate) struct Watchers {
    clients: Vec<Client>,
    /// What each server has read last for all who watch there.
    recent: BTreeMap<NodeId, Recent>,
    /// Watches that were given up.
    ended: Vec<Wish>,
    seen: Coverage,
}

#[derive(Default)]
struct Client {
    wishes: Vec<Wish>,
    connection: Option<Connection>,
    away_until: Time,
}

struct Connection {
    server: NodeId,
    watches: Watches<()>,
    /// What is on its way to the client.
    sent: VecDeque<(Option<i64>, Heard)>,
    progress_wanted: u32,
}

impl Watchers {
    /// Whoever is connected to this server is served and listens; who is connected to nobody may come.
    pub(crate) fn look(&mut self, server: NodeId, store: &Store, at: Time, rng: &mut Rng) {
        if self.clients.is_empty() {
            self.clients.resize_with(CLIENTS, Client::default);
        }
        let recent = self.recent.entry(server).or_default();
        for client in &mut self.clients {
            if client.connection.is_none() && at >= client.away_until && rng.chance(300) {
                client.connect(server, store, rng, &mut self.ended);
            }
            let Some(connection) = client.connection.as_mut().filter(|it| it.server == server) else {
                continue;
            };
            if rng.chance(20) {
                connection.progress_wanted += 1;
            }
            while connection.sent.len() < WAITING && connection.advance(recent, store) {}
            let hears = rng.pick(&[0, 1, 4, WAITING]);
            client.hear(hears, &mut self.seen);
            if rng.chance(8) {
                client.lose_connection(at + rng.pick(&AWAY), &mut self.seen);
            }
        }
    }

    /// A server is down: its connections are gone, with all that is on them.
    pub(crate) fn cut(&mut self, server: NodeId, at: Time) {
        self.recent.remove(&server);
        for client in &mut self.clients {
            if client.connection.as_ref().is_some_and(|connection| connection.server == server) {
                client.lose_connection(at, &mut self.seen);
            }
        }
    }

    /// Nothing happens any more: whoever is connected to this server hears all that there is.
    pub(crate) fn hear_all(&mut self, server: NodeId, store: &Store) {
        let recent = self.recent.entry(server).or_default();
        for client in &mut self.clients {
            while let Some(connection) = client.connection.as_mut().filter(|it| it.server == server) {
                let more = connection.advance(recent, store);
                client.hear(usize::MAX, &mut self.seen);
                // Whoever came too late is not connected any more, and has not begun again.
                if !more && client.connection.is_some() {
                    client.wishes.iter_mut().for_each(|wish| wish.complete_to = store.revision());
                    break;
                }
            }
        }
    }

    pub(crate) fn cover(&self, coverage: &mut Coverage) {
        *coverage += &self.seen;
    }

    /// Holds what was heard against what was committed.
    pub(crate) fn judge(&self, committed: &[CommittedCommand]) -> Result<(), (Invariant, String)> {
        let mut machine = KvMachine::new();
        let mut all = Vec::new();
        for entry in committed {
            let before = machine.store.revision();
            machine.apply(entry.stamp, &entry.command);
            // At once: later it may be forgotten.
            all.extend(machine.store.changes(before.next()).into_iter().flatten());
        }
        let wishes = self.ended.iter().chain(self.clients.iter().flat_map(|client| &client.wishes));
        for wish in wishes {
            wish.judge(&all, machine.store.floor())?;
        }
        Ok(())
    }
}

impl Client {
    fn connect(&mut self, server: NodeId, store: &Store, rng: &mut Rng, ended: &mut Vec<Wish>) {
        let now = store.revision();
        while self.wishes.len() < WATCHES {
            self.wishes.push(wish(now, rng));
        }
        if rng.chance(200) {
            let which = usize::try_from(rng.below(WATCHES as u64)).unwrap_or(0);
            ended.push(core::mem::replace(&mut self.wishes[which], wish(now, rng)));
        }
        let mut watches = Watches::new(now);
        let mut sent = VecDeque::new();
        for (id, wish) in (0..).zip(&self.wishes) {
            let from = wish.from.unwrap_or(now.next());
            watches.begin(id, wish.interest.clone(), from, now, ());
            sent.push_back((Some(id), Heard::Begun(from)));
        }
        self.connection = Some(Connection { server, watches, sent, progress_wanted: 0 });
    }

    fn lose_connection(&mut self, away_until: Time, seen: &mut Coverage) {
        seen.count(Counter::WatchesInterrupted);
        self.connection = None;
        self.away_until = away_until;
    }

    /// Takes so many messages.
    fn hear(&mut self, count: usize, seen: &mut Coverage) {
        for _ in 0..count {
            let next = self.connection.as_mut().and_then(|connection| connection.sent.pop_front());
            let Some((id, heard)) = next else { return };
            for (_, wish) in (0..).zip(&mut self.wishes).filter(|(place, _)| id.is_none_or(|id| id == *place))
            {
                wish.hears(heard.clone());
            }
            match heard {
                Heard::Begun(_) => {}
                Heard::Events(events) => seen.add(Counter::ChangesWatched, events.len() as u64),
                Heard::Progress(_) => seen.count(Counter::ProgressTold),
                Heard::Forgotten(_) => {
                    // The watch has ended. To begin it again, the client connects anew.
                    seen.count(Counter::WatchesTooLate);
                    self.connection = None;
                    return;
                }
            }
        }
    }
}

impl Connection {
    /// What a stream of the etcd services does in one turn. True: there is more.
    fn advance(&mut self, recent: &mut Recent, store: &Store) -> bool {
        let now = store.revision();
        if let Some(from) = self.watches.head_due(now) {
            match newest(recent, store, from) {
                Some(slice) => {
                    let told = self.watches.tell_head(&slice);
                    self.sent.extend(as_sent(told));
                }
                None => self.watches.fall_behind(now),
            }
        }
        if let Some(from) = self.watches.behind_due() {
            match history(store, from) {
                Some(slice) => {
                    let told = self.watches.tell_behind(&slice);
                    self.sent.extend(as_sent(told));
                }
                None => {
                    for id in self.watches.forgotten(store.floor()) {
                        self.watches.end(id);
                        self.sent.push_back((Some(id), Heard::Forgotten(store.floor())));
                    }
                }
            }
        }
        if self.progress_wanted > 0
            && let Some(through) = self.watches.progress()
        {
            self.progress_wanted -= 1;
            self.sent.push_back((None, Heard::Progress(through)));
        }
        self.watches.behind_due().is_some() || now > self.watches.head()
    }
}

fn as_sent(told: Vec<Told<'_>>) -> impl Iterator<Item = (Option<i64>, Heard)> {
    told.into_iter()
        .map(|Told { id, events }| (Some(id), Heard::Events(events.into_iter().cloned().collect())))
}

/// Changes at the head, which the clients of a server share.
fn newest(recent: &mut Recent, store: &Store, from: Revision) -> Option<Arc<Slice>> {
    if let Some(slice) = recent.from(from) {
        return Some(slice);
    }
    let slice = history(store, from)?;
    if recent.end().is_none_or(|end| from > end) {
        recent.keep(&slice);
    }
    Some(slice)
}

fn history(store: &Store, from: Revision) -> Option<Arc<Slice>> {
    store.some_changes(from, ENOUGH, usize::MAX).ok().map(|changes| Arc::new(Slice::new(from, changes)))
}

/// A watch that some client would like.
fn wish(now: Revision, rng: &mut Rng) -> Wish {
    let one = |key: &'static [u8]| KeyRange::One(Bytes::from_static(key));
    let range = match rng.below(5) {
        0 => KeyRange::all(),
        1 => one(b"k0"),
        2 => one(b"n0"),
        3 => KeyRange::Span { from: Bytes::from_static(b"k1"), to: Bytes::from_static(b"k4") },
        _ => KeyRange::From(Bytes::from_static(b"k3")),
    };
    let interest = Interest { range, no_puts: rng.chance(100), no_deletes: rng.chance(100) };
    let from = match rng.below(4) {
        0 => Some(Revision(now.0.saturating_sub(rng.below(60)).max(1))),
        1 => Some(Revision(now.0 + 1 + rng.below(20))),
        _ => None,
    };
    Wish::new(interest, from)
}
