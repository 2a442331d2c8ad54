//! What a leader knows about one follower, and how much it may send to it.
//!
//! `nextIndex[]` and `matchIndex[]` of Figure 2, with the windows that bound what is under way. What is sent
//! and what an answer means stands in `replication.rs` and `snapshot.rs`.
//!
//! The two indexes differ in what they are worth. `match_index` is knowledge: the follower said so, and
//! commits rest on it. `next_index` is a guess: the leader tries its luck there, and is corrected at the
//! price of a message.
//!
//! ```text
//!            the logs agree                  the entries are compacted away
//!   Probe ───────────────────▶ Replicate ───────────────────────────────▶ Snapshot
//!     ▲                          │    ▲                                      │
//!     └──────────────────────────┘    └──────────────────────────────────────┘
//!       something is missing                         installed
//! ```

use alloc::collections::VecDeque;
use core::time::Duration;

use crate::snapshot::Transmission;
use crate::types::{Index, Time};

/// One follower as the leader sees it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// The follower holds the leader's log up to here, on its disk. Never falls, but for followers that may
    /// forget.
    pub(crate) match_index: Index,
    /// The next entry to send to it; above `match_index`.
    pub(crate) next_index: Index,
    pub(crate) mode: Mode,
    /// Messages that a stream may have under way, if that is less than `Config::max_inflight_messages`: one
    /// after a refusal, one more for each that arrives. On a way that loses or reorders, what is sent behind
    /// a gap is refused, message by message; a whole window sent again for each refusal would bring as many
    /// refusals as it has messages, and so on.
    pub(crate) pace: usize,
    /// When the last message of the present term came from it.
    pub(crate) last_heard: Time,
    /// The highest round that it has answered.
    pub(crate) acked_round: u64,
    /// It must get a message at the next opportunity, even if there are no entries for it.
    pub(crate) heartbeat_due: bool,
    /// The highest `leader_commit` that was sent to it.
    pub(crate) commit_told: Index,
    pub(crate) catch_up: CatchUp,
    /// It is not in the configuration any more, but shall still learn of that.
    pub(crate) leaving: Option<Leaving>,
}

/// How the leader talks to a follower.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mode {
    /// It is not known where the logs agree: one message at a time until an answer tells.
    Probe {
        /// Entries are under way; only heartbeats go out until the answer.
        asked: bool,
    },
    /// The logs agree up to `next_index - 1`: entries are streamed without waiting for answers.
    Replicate(Window),
    /// The entries that it needs are compacted away: it gets the snapshot.
    Snapshot(Transmission),
}

/// How closely a follower follows, measured in rounds: in each, it must get what the leader had when the
/// round began (Thesis §4.2.1). A busy leader is always some entries ahead of everybody; but when a round
/// takes less than an election timeout, the follower keeps pace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct CatchUp {
    target: Index,
    began: Time,
    /// The end of the last round that was short enough.
    kept_pace_at: Option<Time>,
    /// Told to the world already.
    pub(crate) reported: bool,
}

impl CatchUp {
    pub(crate) fn new(target: Index, now: Time) -> CatchUp {
        CatchUp { target, began: now, kept_pace_at: None, reported: false }
    }

    /// The follower holds everything up to `match_index`, and the leader has entries up to `last`.
    pub(crate) fn on_match(&mut self, match_index: Index, last: Index, now: Time, short: Duration) {
        if match_index >= self.target {
            if now.since(self.began) <= short {
                self.kept_pace_at = Some(now);
            }
            (self.target, self.began) = (last, now);
        }
    }

    /// It kept pace not longer ago than this.
    pub(crate) fn keeps_pace(&self, now: Time, patience: Duration) -> bool {
        self.kept_pace_at.is_some_and(|at| now.since(at) < patience)
    }
}

/// A follower that has been removed is told the entry that removes it, so that it need not campaign to find
/// out that nobody listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leaving {
    /// The entry that removes it.
    pub(crate) index: Index,
    /// It is forgotten after this, whatever it knows.
    pub(crate) until: Time,
}

/// Entries that were sent and not answered yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Window {
    /// For each message: its last entry and what it counts for.
    sent: VecDeque<(Index, usize)>,
    bytes: usize,
}

impl Progress {
    /// A follower of which nothing is known: the leader tries its luck at `next_index`
    /// (Figure 2: "initialized to leader last log index + 1").
    pub(crate) fn new(next_index: Index, now: Time) -> Progress {
        Progress {
            match_index: Index::ZERO,
            next_index,
            mode: Mode::Probe { asked: false },
            pace: usize::MAX,
            last_heard: now,
            acked_round: 0,
            heartbeat_due: false,
            commit_told: Index::ZERO,
            catch_up: CatchUp::new(next_index.previous(), now),
            leaving: None,
        }
    }

    /// The follower holds everything up to `index`. An answer that comes late never moves anything back.
    /// Says whether it was news.
    pub(crate) fn matched(&mut self, index: Index) -> bool {
        let is_news = index > self.match_index;
        self.match_index = self.match_index.max(index);
        self.next_index = self.next_index.max(self.match_index.next());
        if let Mode::Replicate(window) = &mut self.mode {
            self.pace = self.pace.saturating_add(window.free_to(self.match_index));
        }
        is_news
    }

    /// The logs agree up to `next_index - 1`.
    pub(crate) fn replicate(&mut self) {
        self.mode = Mode::Replicate(Window::default());
    }

    /// Something was lost or contradicts: try at `next_index`, carefully.
    pub(crate) fn probe(&mut self, next_index: Index) {
        if self.is_replicating() {
            self.pace = 1;
        }
        self.next_index = next_index.max(self.match_index.next());
        self.mode = Mode::Probe { asked: false };
    }

    /// The follower has refused an entry that it had acknowledged: from `next_index` on, nothing is known of
    /// it any more.
    pub(crate) fn forgot(&mut self, next_index: Index) {
        self.match_index = self.match_index.min(next_index.previous());
    }

    pub(crate) fn is_replicating(&self) -> bool {
        matches!(self.mode, Mode::Replicate(_))
    }
}

impl Window {
    /// Another message may be sent. An empty window takes any message: it must be possible to send an entry
    /// that is larger than the bound.
    pub(crate) fn has_room(&self, max_messages: usize, max_bytes: usize) -> bool {
        self.sent.is_empty() || (self.sent.len() < max_messages && self.bytes < max_bytes)
    }

    /// A message with entries up to `last` was sent.
    pub(crate) fn add(&mut self, last: Index, bytes: usize) {
        debug_assert!(
            self.sent.back().is_none_or(|(previous, _)| *previous < last),
            "entries go out in order"
        );
        self.sent.push_back((last, bytes));
        self.bytes += bytes;
    }

    /// Everything up to `index` has arrived. Says how many messages that were.
    fn free_to(&mut self, index: Index) -> usize {
        let before = self.sent.len();
        while let Some((_, bytes)) = self.sent.pop_front_if(|(last, _)| *last <= index) {
            self.bytes -= bytes;
        }
        before - self.sent.len()
    }

    pub(crate) fn messages(&self) -> usize {
        self.sent.len()
    }

    pub(crate) fn last_sent(&self) -> Option<Index> {
        self.sent.back().map(|(last, _)| *last)
    }

    /// The sum of the parts is the whole.
    pub(crate) fn is_consistent(&self) -> bool {
        self.bytes == self.sent.iter().map(|(_, bytes)| *bytes).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_moves_nothing_back() {
        let mut progress = Progress::new(Index(10), Time::ZERO);
        assert!(progress.matched(Index(8)));
        assert!(!progress.matched(Index(3)));
        assert_eq!((progress.match_index, progress.next_index), (Index(8), Index(10)));
        progress.probe(Index(2));
        assert_eq!(progress.next_index, Index(9), "what matches is never probed again");
    }

    #[test]
    fn who_gets_in_a_short_time_what_there_was_keeps_pace() {
        let (short, patience) = (Duration::from_millis(100), Duration::from_millis(300));
        let ms = |ms: u64| Time::ZERO + Duration::from_millis(ms);
        let mut catch_up = CatchUp::new(Index(1_000), Time::ZERO);
        catch_up.on_match(Index(1_000), Index(5_000), ms(900), short);
        assert!(!catch_up.keeps_pace(ms(900), patience), "the first round took long");
        catch_up.on_match(Index(4_999), Index(8_000), ms(950), short);
        assert!(!catch_up.keeps_pace(ms(950), patience), "the second one is not over");
        catch_up.on_match(Index(5_500), Index(8_500), ms(990), short);
        assert!(catch_up.keeps_pace(ms(990), patience), "3,000 entries behind, but 90 ms");
        assert!(!catch_up.keeps_pace(ms(1_290), patience), "that was long ago");
    }

    #[test]
    fn the_window_bounds_messages_and_bytes() {
        let mut window = Window::default();
        assert!(window.has_room(2, 100), "an empty window takes anything");
        window.add(Index(1), 1_000);
        assert!(!window.has_room(2, 100), "full in bytes");
        assert!(window.has_room(2, 5_000));
        window.add(Index(5), 10);
        assert!(!window.has_room(2, 5_000), "full in messages");
        window.free_to(Index(4));
        assert_eq!((window.messages(), window.bytes), (1, 10));
        window.free_to(Index(5));
        assert_eq!((window.messages(), window.bytes), (0, 0));
        assert!(window.is_consistent());
    }
}
