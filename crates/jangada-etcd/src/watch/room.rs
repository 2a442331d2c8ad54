//! How much room watches take up, and how much there is: for those of one stream, and for all of one thread.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Bounds on watches. A watch costs about a hundred bytes and the keys of its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WatchLimits {
    /// The most watches of one stream.
    pub of_a_stream: usize,
    /// The most watches of all streams of a thread.
    pub of_a_thread: usize,
    /// The most bytes of the keys of a thread's watches.
    pub key_bytes: usize,
}

/// What the watches of a thread take up.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) limits: WatchLimits,
    watches: AtomicUsize,
    key_bytes: AtomicUsize,
}

/// The place of one watch. Dropped, it is free again.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    key_bytes: usize,
}

impl Room {
    pub(crate) fn new(limits: WatchLimits) -> Room {
        Room { limits, watches: AtomicUsize::new(0), key_bytes: AtomicUsize::new(0) }
    }

    /// A place for one more watch with so many bytes of keys, on a stream that has `others`; none if there is no room.
    pub(crate) fn take(room: &Arc<Room>, others: usize, key_bytes: usize) -> Option<Place> {
        let limits = room.limits;
        let fits = others < limits.of_a_stream
            && room.watches.load(Relaxed) < limits.of_a_thread
            && room.key_bytes.load(Relaxed).saturating_add(key_bytes) <= limits.key_bytes;
        // One thread takes and gives: nobody comes in between.
        fits.then(|| {
            room.watches.fetch_add(1, Relaxed);
            room.key_bytes.fetch_add(key_bytes, Relaxed);
            Place { room: Arc::clone(room), key_bytes }
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.room.watches.fetch_sub(1, Relaxed);
        self.room.key_bytes.fetch_sub(self.key_bytes, Relaxed);
    }
}
