//! How much memory answers may take that clients have not read yet, all connections together.
//!
//! A client decides how much it asks for, and when it reads. So what is made for clients and not yet in a socket is
//! counted, and while there is too much of it, a large answer is dropped on the replica thread as soon as it is made:
//! before anybody encodes it. Small answers always pass, and what has passed is never taken back: it is counted anew in
//! its next form (encoded, as JSON), so that the bound can be exceeded by what the threads have in hand at a moment.
//!
//! A connection knows how much of it is its own (`Account`), so that one which takes nothing of it can be ended.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use crate::handle::{Answers, RequestError};

/// What is not longer always passes, and is not even counted by itself.
pub const SMALL_ANSWER: usize = 16 * 1024;

/// A connection that holds no more than this may be as slow as it likes.
const MUCH: usize = 256 * 1024;

/// Pings and the like are no progress; so many bytes are.
const PROGRESS: u64 = 1024;

/// How often a connection is looked at before the time is over in which it must take something.
const LOOKS: u32 = 4;

/// The room for all answers of a server.
#[derive(Debug)]
pub struct AnswerRoom {
    taken: AtomicUsize,
    most: usize,
}

impl AnswerRoom {
    /// Room for `most` bytes.
    #[must_use]
    pub fn new(most: usize) -> AnswerRoom {
        AnswerRoom { taken: AtomicUsize::new(0), most }
    }

    /// How many bytes are made and not yet sent.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Relaxed)
    }

    /// Whether a large answer would be refused, however large.
    pub(crate) fn is_full(&self) -> bool {
        self.taken() >= self.most
    }

    /// Takes room if there is as much.
    fn try_take(&self, bytes: usize) -> bool {
        let grown = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= self.most);
        self.taken.fetch_update(Relaxed, Relaxed, grown).is_ok()
    }
}

/// Some of the room, until it is dropped.
#[derive(Debug)]
pub(crate) struct Taken {
    room: Arc<AnswerRoom>,
    bytes: usize,
}

impl Taken {
    /// Nothing yet.
    pub(crate) fn none(room: &Arc<AnswerRoom>) -> Taken {
        Taken { room: Arc::clone(room), bytes: 0 }
    }

    /// From now on it is so much, whether there is room or not.
    pub(crate) fn set(&mut self, bytes: usize) {
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => {
                self.room.taken.fetch_add(more, Relaxed);
            }
            None => {
                self.room.taken.fetch_sub(self.bytes - bytes, Relaxed);
            }
        }
        self.bytes = bytes;
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// Takes room for answers that have just been made, and drops those for which there is none.
pub(crate) fn admit(answers: &mut Answers, room: &Arc<AnswerRoom>) -> Taken {
    let mut taken = Taken::none(room);
    let mut small = 0;
    for answer in answers {
        let bytes = answer.as_ref().map_or(0, jangada_kv::Response::bytes);
        if bytes <= SMALL_ANSWER {
            small += bytes;
        } else if room.try_take(bytes) {
            taken.bytes += bytes;
        } else {
            *answer = Err(RequestError::NoRoom);
        }
    }
    if small > SMALL_ANSWER {
        taken.set(taken.bytes + small);
    }
    taken
}

/// What one connection has of it, and how much it has sent.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) room: Arc<AnswerRoom>,
    held: AtomicUsize,
    sent: AtomicU64,
}

impl Account {
    pub(crate) fn new(room: &Arc<AnswerRoom>) -> Arc<Account> {
        Arc::new(Account { room: Arc::clone(room), held: AtomicUsize::new(0), sent: AtomicU64::new(0) })
    }

    /// The client's system has taken so many bytes.
    pub(crate) fn sends(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Relaxed);
    }

    /// A part of an answer, until it is dropped.
    pub(crate) fn hold(self: &Arc<Account>, bytes: usize) -> Held {
        let mut taken = Taken::none(&self.room);
        taken.set(bytes);
        self.held.fetch_add(bytes, Relaxed);
        Held { account: Arc::clone(self), taken }
    }

    /// Waits until the client has taken nothing for `time` of much that waits for it. Returns how much that is.
    pub(crate) async fn stalled(&self, time: Duration) -> usize {
        let mut quiet = 0;
        let mut sent = self.sent.load(Relaxed);
        loop {
            tokio::time::sleep(time / LOOKS).await;
            let (held, now) = (self.held.load(Relaxed), self.sent.load(Relaxed));
            quiet = if held > MUCH && now - sent < PROGRESS { quiet + 1 } else { 0 };
            // In the first of them it may just have come.
            if quiet > LOOKS {
                return held;
            }
            sent = now;
        }
    }
}

/// What a connection holds of its account.
pub(crate) struct Held {
    account: Arc<Account>,
    taken: Taken,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.account.held.fetch_sub(self.taken.bytes, Relaxed);
    }
}

/// Says that a client was cut off. Not on the thread of the connections: a terminal that stands still must not hold them up.
pub(crate) fn tell_stalled(server: String, held: usize, time: Duration) {
    tokio::task::spawn_blocking(move || {
        eprintln!(
            "{server}: a client that took nothing of its answers for {} s was cut off; {} KiB waited for it",
            time.as_secs(),
            held / 1024
        );
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use jangada_kv::{Reply, Response};

    fn values(lengths: &[usize]) -> Answers {
        let value = |length: &usize| Ok(Response::Reply(Reply::Value(Bytes::from(vec![b'v'; *length]))));
        lengths.iter().map(value).collect()
    }

    #[test]
    fn large_answers_are_dropped_while_there_is_no_room_and_small_ones_pass() {
        let room = Arc::new(AnswerRoom::new(100_000));
        let mut first = values(&[60_000, 60_000, 1_000]);
        let taken = admit(&mut first, &room);
        let passed: Vec<bool> = first.iter().map(Result::is_ok).collect();
        assert_eq!((passed, &first[1]), (vec![true, false, true], &Err(RequestError::NoRoom)));
        assert!(admit(&mut values(&[60_000]), &room).bytes == 0);
        drop(taken);
        assert_eq!(room.taken(), 0);
        let again = admit(&mut values(&[60_000]), &room);
        assert!((60_000..61_000).contains(&room.taken()));
        drop(again);
    }

    #[test]
    fn many_small_answers_are_counted_together() {
        let room = Arc::new(AnswerRoom::new(20_000));
        let taken = admit(&mut values(&[10_000; 9]), &room);
        assert!(room.taken() >= 90_000 && room.is_full());
        drop(taken);
        assert!(!room.is_full());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_of_much_is_stalled_and_who_takes_something_is_not() {
        let account = Account::new(&Arc::new(AnswerRoom::new(1)));
        let time = Duration::from_secs(30);
        let day = 4 * Duration::from_secs(60 * 60 * 6);
        let little = account.hold(MUCH);
        assert!(tokio::time::timeout(day, account.stalled(time)).await.is_err());
        let much = account.hold(1);
        let reading = async {
            loop {
                tokio::time::sleep(time / 2).await;
                account.sends(PROGRESS);
            }
        };
        tokio::select! {
            ended = tokio::time::timeout(day, account.stalled(time)) => assert!(ended.is_err()),
            () = reading => {}
        }
        let begun = tokio::time::Instant::now();
        assert_eq!(account.stalled(time).await, MUCH + 1);
        assert!(begun.elapsed() < 2 * time);
        drop((little, much));
        assert_eq!(account.room.taken(), 0);
    }
}
