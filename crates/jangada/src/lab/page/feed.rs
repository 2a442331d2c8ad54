//! What there is to show: records, those of deeds among them, and what was said; and how all stands now.
//!
//! A ring of bounded length. Servers write into it from their own threads and never wait; each browser has a place in
//! it and takes what is new. One that is so slow that its place is gone begins anew, with how things stood at the
//! ring's beginning: nobody's memory grows because somebody does not read.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::types::{NodeId, Time};
use jangada_server::rig::Tap;
use jangada_trace::deeds;
use jangada_trace::names::Names;
use jangada_trace::{jsonl, kinds};

/// Items that are kept.
const MAX_ITEMS: usize = 65_536;
/// Items of one message to a browser.
const MAX_BATCH: usize = 4_096;

/// What a laboratory shows. Shared by whoever writes and whoever reads.
#[derive(Debug)]
pub struct Feed {
    /// Where real time counts from; a made-up world says what time it is.
    epoch: Option<Instant>,
    /// A lesson is played in a made-up world, while real servers rest.
    rests: AtomicBool,
    ring: Mutex<Ring>,
    readers: AtomicUsize,
}

#[derive(Debug, Default)]
struct Ring {
    items: VecDeque<Item>,
    /// The number of the first item.
    first: u64,
    /// Counts the worlds: what was read of another one is worth nothing.
    world: u64,
    /// How things stood before the first item.
    before: Standing,
    /// How all stands, in JSON, and how often that was said.
    state: (u64, Arc<str>),
    now: Time,
}

#[derive(Clone, Debug)]
enum Item {
    Record(Record),
    Said(Arc<str>),
}

#[derive(Clone, Debug, Default)]
struct Standing {
    time: Time,
    servers: BTreeMap<NodeId, (RoleName, u64)>,
    deeds: deeds::Standing,
}

/// A browser's place in the feed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    world: u64,
    next: u64,
    state: u64,
}

/// Something to send to a browser.
pub struct News {
    /// What it is to say when it comes back after an interruption.
    pub id: String,
    /// A JSON object.
    pub data: String,
}

impl Feed {
    /// An empty one, for servers whose time counts from `epoch`, or for a made-up world.
    pub fn new(epoch: Option<Instant>) -> Arc<Feed> {
        let ring = Mutex::new(Ring { world: 1, ..Ring::default() });
        Arc::new(Feed { epoch, rests: AtomicBool::new(false), ring, readers: AtomicUsize::new(0) })
    }

    /// What a server shows its records to, besides `other`.
    pub fn tap(self: &Arc<Feed>, other: Tap) -> Tap {
        let feed = Arc::clone(self);
        Arc::new(move |record: &Record| {
            feed.record(record);
            other(record);
        })
    }

    /// A record.
    pub fn record(&self, record: &Record) {
        // One for each message that arrives, and nobody draws it.
        if !matches!(record.event, Event::Raft(RaftEvent::ElectionTimerReset { .. })) {
            self.ring().push(Item::Record(*record));
        }
    }

    /// Lines were said.
    pub fn said(&self, text: &str) {
        self.ring().push(Item::Said(text.into()));
    }

    /// How all stands, as a JSON object.
    pub fn state(&self, now: Time, state: String) {
        let mut ring = self.ring();
        ring.now = now;
        if *ring.state.1 != *state {
            ring.state = (ring.state.0 + 1, state.into());
        }
    }

    /// What is kept of what happened, and before it what had been done by then.
    pub fn recorded(&self) -> Vec<Record> {
        let ring = self.ring();
        let before = ring.before.deeds.records(ring.before.time);
        let records = ring.items.iter().filter_map(|item| match item {
            Item::Record(record) => Some(*record),
            Item::Said(_) => None,
        });
        before.into_iter().chain(records).collect()
    }

    /// Another world takes the place of this one; what was said stays.
    pub fn begin_anew(&self) {
        let mut ring = self.ring();
        let said = std::mem::take(&mut ring.items).into_iter().filter(|item| matches!(item, Item::Said(_)));
        *ring = Ring { items: said.collect(), world: ring.world + 1, ..std::mem::take(&mut *ring) };
        ring.first = 0;
        ring.before = Standing::default();
    }

    /// What is shown from now on happens in a made-up world, or again on real servers.
    pub fn real_time_rests(&self, rests: bool) {
        self.rests.store(rests, Relaxed);
    }

    /// What is shown happens in a made-up world.
    pub fn is_made_up(&self) -> bool {
        self.epoch.is_none() || self.rests.load(Relaxed)
    }

    /// Somebody looks at the page.
    pub fn is_read(&self) -> bool {
        self.readers.load(Relaxed) > 0
    }

    /// One more browser, which says so when it goes by dropping this.
    pub fn reader(self: &Arc<Feed>) -> Reader {
        self.readers.fetch_add(1, Relaxed);
        Reader(Arc::clone(self))
    }

    fn ring(&self) -> MutexGuard<'_, Ring> {
        // Each change is done when the lock is given back.
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self, ring: &Ring) -> Time {
        let epoch = self.epoch.filter(|_| !self.rests.load(Relaxed));
        let passed = epoch.map(|epoch| u64::try_from(epoch.elapsed().as_nanos()).unwrap_or(u64::MAX));
        passed.map_or(ring.now, Time)
    }

    /// What is new since this place, if anything is; the place moves on.
    pub fn news(&self, place: &mut Place) -> Option<News> {
        let (items, before, state, left, mut data) = {
            let ring = self.ring();
            let end = ring.first + ring.items.len() as u64;
            let lost = place.world != ring.world || !(ring.first..=end).contains(&place.next);
            if lost {
                *place = Place { world: ring.world, next: ring.first, state: 0 };
            }
            let new_state = place.state != ring.state.0;
            if place.next == end && !new_state && !lost {
                return None;
            }
            let skip = usize::try_from(place.next - ring.first).expect("it is within the ring");
            let items: Vec<Item> = ring.items.iter().skip(skip).take(MAX_BATCH).cloned().collect();
            place.next += items.len() as u64;
            place.state = ring.state.0;
            let state = new_state.then(|| Arc::clone(&ring.state.1));
            let left = end - place.next;
            (items, lost.then(|| ring.before.clone()), state, left, self.heading(&ring, lost))
        };
        // Everything that takes long happens without the lock.
        let mut records = before.map(|before| before.lines()).unwrap_or_default();
        let mut said = Vec::new();
        for item in items {
            match item {
                Item::Said(text) => said.push(text),
                Item::Record(record) => records.push(jsonl::line(&record, &Names::new())),
            }
        }
        let said: Vec<&str> = said.iter().map(AsRef::as_ref).collect();
        let said = serde_json::to_string(&said).expect("strings can be written");
        let _ = write!(data, ",\"left\":{left},\"said\":{said},\"records\":[{}]", records.join(","));
        if let Some(state) = state.filter(|state| !state.is_empty()) {
            let _ = write!(data, ",\"state\":{state}");
        }
        data.push('}');
        Some(News { id: place.id(), data })
    }

    /// What time it is, and when somebody looked at the servers last; the beginning of an object.
    fn heading(&self, ring: &Ring, restarts: bool) -> String {
        let (now, seen) = (self.now(ring).0, ring.now.0);
        format!("{{\"now_ns\":{now},\"seen_ns\":{seen},\"restarts\":{restarts}")
    }

    /// Nothing is new since this place, and it is this late.
    pub fn pulse(&self, place: &Place) -> News {
        let heading = self.heading(&self.ring(), false);
        News { id: place.id(), data: format!("{heading},\"left\":0,\"said\":[],\"records\":[]}}") }
    }
}

/// A browser that looks.
pub struct Reader(Arc<Feed>);

impl Reader {
    /// What is new since this place.
    pub fn news(&self, place: &mut Place) -> Option<News> {
        self.0.news(place)
    }

    /// Nothing is, and it is this late.
    pub fn pulse(&self, place: &Place) -> News {
        self.0.pulse(place)
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.0.readers.fetch_sub(1, Relaxed);
    }
}

impl Place {
    fn id(&self) -> String {
        format!("{}.{}", self.world, self.next)
    }

    /// The place behind the message with this id; what cannot be read is the beginning.
    pub fn behind(id: &str) -> Place {
        let numbers =
            id.split_once('.').and_then(|(world, next)| Some((world.parse().ok()?, next.parse().ok()?)));
        numbers.map(|(world, next)| Place { world, next, state: 0 }).unwrap_or_default()
    }
}

impl Ring {
    fn push(&mut self, item: Item) {
        if self.items.len() == MAX_ITEMS
            && let Some(oldest) = self.items.pop_front()
        {
            self.first += 1;
            self.before.pass(&oldest);
        }
        self.items.push_back(item);
    }
}

impl Standing {
    /// This happened, and is forgotten but for what it changed.
    fn pass(&mut self, item: &Item) {
        let Item::Record(record) = item else { return };
        self.time = record.time;
        if let Event::Deed(deed) = record.event {
            return self.deeds.see(record.node, deed);
        }
        let server = self.servers.entry(record.node).or_insert((RoleName::Follower, 0));
        match record.event {
            Event::Raft(RaftEvent::RoleChanged { role, term, .. }) => *server = (role, term.0),
            Event::Raft(RaftEvent::TermChanged { new, .. }) => server.1 = new.0,
            Event::Disk(DiskEvent::Opened { .. }) => server.0 = RoleName::Follower,
            _ => {}
        }
    }

    fn lines(&self) -> Vec<String> {
        let time = self.time;
        let server = |(id, (role, term)): (&NodeId, &(RoleName, u64))| {
            let (time, role) = (time.0, kinds::role(*role));
            format!(
                "{{\"time_ns\":{time},\"event\":\"server\",\"node\":\"{id}\",\"role\":\"{role}\",\"term\":{term},\
                 \"state\":\"up\"}}"
            )
        };
        let deeds = self.deeds.records(time);
        let deeds = deeds.iter().map(|record| jsonl::line(record, &Names::new()));
        self.servers.iter().map(server).chain(deeds).collect()
    }
}

#[cfg(test)]
mod tests {
    use jangada_node::event::Deed;

    use super::*;

    fn role(time: u64, role: RoleName, term: u64) -> Record {
        let why = jangada_raft::event::RoleChange::Asked;
        let event = RaftEvent::RoleChanged { role, term: jangada_raft::types::Term(term), why };
        Record { time: Time(time), node: NodeId(1), seq: time, event: Event::Raft(event) }
    }

    fn deed(time: u64, deed: Deed) -> Record {
        deeds::record(Time(time), NodeId(2), deed)
    }

    fn read(news: &News) -> serde_json::Value {
        serde_json::from_str(&news.data).unwrap()
    }

    #[test]
    fn a_browser_that_comes_back_goes_on_where_it_was() {
        let feed = Feed::new(None);
        feed.record(&role(1, RoleName::Candidate, 1));
        feed.said("+0.1 \"quoted\"");
        let mut place = Place::default();
        let first = feed.news(&mut place).unwrap();
        assert_eq!(read(&first)["restarts"], true);
        assert_eq!(read(&first)["records"].as_array().unwrap().len(), 1);
        assert_eq!(read(&first)["said"][0], "+0.1 \"quoted\"");
        assert!(feed.news(&mut place).is_none());
        feed.record(&deed(5, Deed::Crash));
        let again = feed.news(&mut Place::behind(&first.id)).unwrap();
        assert_eq!(read(&again)["restarts"], false);
        assert_eq!(read(&again)["records"][0]["what"], "crash");
        assert_eq!(Place::behind("rubbish"), Place::default());
    }

    #[test]
    fn one_that_is_too_slow_begins_anew_with_how_things_stood() {
        let feed = Feed::new(None);
        feed.record(&role(1, RoleName::Leader, 7));
        let mut place = Place::default();
        let _first = feed.news(&mut place);
        for time in 2..MAX_ITEMS as u64 + 2 {
            feed.record(&deed(time, if time % 2 == 0 { Deed::Pause } else { Deed::Resume }));
        }
        assert_eq!(feed.ring().items.len(), MAX_ITEMS, "the ring is bounded");
        feed.record(&deed(1 << 20, Deed::Crash));
        feed.record(&deed(1 << 20, Deed::Start));
        let news = read(&feed.news(&mut place).unwrap());
        assert_eq!(news["restarts"], true);
        assert_eq!(news["records"][0]["role"], "leader");
        assert_eq!(news["records"][0]["term"], 7);
        assert!(news["records"].as_array().unwrap().len() <= MAX_BATCH + 2);
    }

    #[test]
    fn another_world_is_another_story() {
        let feed = Feed::new(None);
        feed.record(&role(1, RoleName::Leader, 7));
        feed.said("before");
        let mut place = Place::default();
        let _first = feed.news(&mut place);
        feed.begin_anew();
        feed.state(Time(3), "{\"a\":1}".into());
        let news = read(&feed.news(&mut place).unwrap());
        assert_eq!((&news["restarts"], &news["now_ns"]), (&true.into(), &3.into()));
        assert_eq!(news["records"].as_array().unwrap().len(), 0);
        assert_eq!(news["state"]["a"], 1);
    }
}
