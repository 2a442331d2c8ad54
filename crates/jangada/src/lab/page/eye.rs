//! Looks at the servers for the page, on the thread that carries commands out: how each stands, and how the links are.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jangada_raft::types::NodeId;
use jangada_trace::language::Language;
use serde_json::{Map, Value, json};

use super::super::backend::Backend;
use super::super::looking;
use super::feed::Feed;
use super::portrait::{self, Entries, Portrait};

/// Between two looks at real servers while somebody watches.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Looks, and tells the feed. Clones are the same eye.
#[derive(Clone)]
pub struct Eye {
    feed: Arc<Feed>,
    seen: Arc<Mutex<Seen>>,
    language: Language,
}

/// What was seen last.
#[derive(Default)]
struct Seen {
    portraits: BTreeMap<NodeId, Portrait>,
    looked: Option<Instant>,
    /// What the backend cannot know: where in time a made-up world can go.
    travel: Value,
}

impl Eye {
    /// An eye that tells this feed, in this language.
    pub fn new(feed: Arc<Feed>, language: Language) -> Eye {
        Eye { feed, seen: Arc::default(), language }
    }

    /// Whom it tells.
    pub fn feed(&self) -> &Arc<Feed> {
        &self.feed
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another world begins.
    pub fn begin_anew(&self) {
        self.feed.begin_anew();
        let travel = self.seen().travel.take();
        *self.seen() = Seen { travel, ..Seen::default() };
    }

    /// A made-up world takes the place of real servers for a while, or gives it back.
    pub fn real_time_rests(&self, rests: bool) {
        self.feed.real_time_rests(rests);
        self.seen().travel = Value::Null;
        self.begin_anew();
    }

    /// Where in time this world can go; part of what is told with the next look.
    pub fn travels(&self, travel: Value) {
        self.seen().travel = travel;
    }

    /// A look, if the last one is some time ago and somebody wants to see.
    pub fn glance<B: Backend>(&self, cluster: &B) {
        let due = self.seen().looked.is_none_or(|looked| looked.elapsed() >= LOOK_AGAIN);
        if due && self.feed.is_read() {
            self.look(cluster);
        }
    }

    /// How all stands now.
    pub fn look<B: Backend>(&self, cluster: &B) {
        let now = cluster.now();
        let mut seen = self.seen();
        seen.looked = Some(Instant::now());
        // One that stands still, or does not answer in time, shows what it was.
        seen.portraits.extend(cluster.portraits(self.language));
        let seen = &*seen;
        let mut entries = Entries::new();
        let mut servers = Vec::new();
        for id in &cluster.servers() {
            let state = match cluster.view(*id) {
                None => "down",
                Some(_) if cluster.is_paused(*id) => "paused",
                Some(_) => "up",
            };
            let shown = (state != "down").then(|| seen.portraits.get(id)).flatten();
            shown.into_iter().for_each(|portrait| portrait.add_entries(&mut entries));
            let portrait = shown.and_then(|portrait| serde_json::to_value(portrait).ok());
            let mut server = match portrait {
                Some(Value::Object(fields)) => fields,
                _ => Map::new(),
            };
            server.insert("name".into(), id.to_string().into());
            server.insert("state".into(), state.into());
            server.insert("address".into(), cluster.address(*id).into());
            servers.push(Value::Object(server));
        }
        let (loss, delay) = cluster.weather();
        let state = json!({
            "words": looking::leader(self.language, cluster),
            "servers": servers,
            "entries": portrait::written(entries),
            "cut": cut(cluster),
            "loss": loss,
            "delay_ms": u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
            "travel": seen.travel,
        });
        self.feed.state(now, state.to_string());
    }
}

/// The ways on which everything is lost.
fn cut<B: Backend>(cluster: &B) -> Vec<[String; 2]> {
    let servers = cluster.servers();
    let pairs = servers.iter().flat_map(|from| servers.iter().map(move |to| (*from, *to)));
    let cut = pairs.filter(|(from, to)| from != to && cluster.is_cut(*from, *to));
    cut.map(|(from, to)| [from.to_string(), to.to_string()]).collect()
}
