//! How many connections the operating system has room for.
//!
//! Connections and files come out of one number (`ulimit -n`). A server that gives all of them to clients cannot open the
//! next segment of its log, and ends; so some are kept for the disk and the other servers.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Kept for the log, snapshots, the other servers and what else there is.
const RESERVE: u64 = 128;

/// Takes all descriptors that this process may have, and says how many connections of clients there can be: as many as were
/// wished, or fewer, and then why.
pub(crate) fn room_for(wished: usize) -> (usize, Option<String>) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let all = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
        // If it is not allowed, what there is must do.
        let _not_allowed = setrlimit(Resource::Nofile, all);
    }
    room_in(getrlimit(Resource::Nofile).current, wished)
}

/// The same, of so many descriptors; no number: there is no limit.
fn room_in(descriptors: Option<u64>, wished: usize) -> (usize, Option<String>) {
    let Some(descriptors) = descriptors else { return (wished, None) };
    let room = descriptors.saturating_sub(RESERVE).max(descriptors / 2).max(1);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room >= wished {
        return (wished, None);
    }
    let why = format!(
        "only {room} connections of clients can be open at once, not {wished}: this process may have {descriptors} open \
         files and connections, and some are kept for the log and the other servers; raise the limit (ulimit -n, \
         LimitNOFILE=)"
    );
    (room, Some(why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_descriptors_are_kept_for_the_log() {
        assert_eq!(room_in(None, 10_000), (10_000, None));
        assert_eq!(room_in(Some(20_000), 10_000), (10_000, None));
        let (room, why) = room_in(Some(1_024), 10_000);
        assert_eq!(room, 896);
        assert!(why.is_some_and(|why| why.contains("ulimit -n")));
        assert_eq!(room_in(Some(100), 10_000).0, 50, "few enough for half to be a reserve");
    }
}
