//! The settings of the store, its quota and how much history it keeps: whoever leads sees to it that the store knows those
//! that it was started with.
//!
//! What they decide is decided by the store, on all members alike; this only says how much there may be. The leader's word
//! holds for all, so members should be started with the same.

use std::time::Duration;

use jangada_kv::{Quota, Request, Retention};
use tokio::time::MissedTickBehavior;

use crate::handle::{BatchItem, Handle, Kind, STAMP_BYTES};
use crate::status::{RoleName, Status};

/// How often somebody looks.
const LOOK: Duration = Duration::from_millis(100);
/// How long it may take to be carried out.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks after them as long as the server lives. Nothing is said of history unless it was asked for. Needs a `LocalSet`.
pub(crate) fn start(handle: &Handle, quota_bytes: Option<u64>, history: Option<Retention>) {
    let bytes = quota_bytes.unwrap_or(Quota::default().bytes);
    tokio::task::spawn_local(run(handle.clone(), bytes, history));
}

async fn run(handle: Handle, bytes: u64, history: Option<Retention>) {
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // The status that was acted upon: it takes a moment until the next one shows what came of it.
    let mut acted_at = None;
    loop {
        ticks.tick().await;
        let status = handle.status();
        let quota = wanted_quota(&status, bytes).map(Request::SetQuota);
        let history = history.and_then(|history| wanted_history(&status, history)).map(Request::SetRetention);
        let requests: Vec<BatchItem> = quota.into_iter().chain(history).map(item).collect();
        if requests.is_empty() {
            continue;
        }
        if acted_at == Some(status.uptime_ms) {
            continue;
        }
        acted_at = Some(status.uptime_ms);
        // If it was not carried out, the next look asks again.
        let _ = handle.submit(Kind::Write, requests, PATIENCE).await;
    }
}

fn item(request: Request) -> BatchItem {
    let mut encoded = vec![0; STAMP_BYTES];
    request.encode(&mut encoded);
    BatchItem::Write { encoded }
}

/// What a leader has to say about the history.
fn wanted_history(status: &Status, history: Retention) -> Option<Retention> {
    let there = status.history;
    let is_there = there.most_revisions == history.revisions && there.most_bytes == history.bytes;
    (!is_there && status.role == RoleName::Leader).then_some(history)
}

/// What a leader has to say about the quota.
///
/// The alarm will bear the name of whoever said it last. Nobody needs to say anything about the default while there is
/// plenty of space; once half of it is used, a member that is there should stand behind it.
fn wanted_quota(status: &Status, bytes: u64) -> Option<Quota> {
    let there = status.quota;
    let is_filling = status.live_bytes > there.bytes / 2;
    let is_known = status.membership.members.iter().any(|member| member.id == there.member);
    let is_wanted = there.bytes != bytes || (is_filling && !is_known);
    (is_wanted && status.role == RoleName::Leader).then_some(Quota { bytes, member: status.id })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::status::QuotaStatus;

    #[test]
    fn the_leader_says_what_it_was_started_with() {
        let mut status = Status::starting("n1", 7);
        let default = Quota::default().bytes;
        assert_eq!(wanted_quota(&status, 300), None, "a follower says nothing");
        status.role = RoleName::Leader;
        assert_eq!(wanted_quota(&status, 300), Some(Quota { bytes: 300, member: 7 }));
        assert_eq!(wanted_quota(&status, default), None, "the store has it anyway");
        status.quota = QuotaStatus { bytes: 300, member: 8 };
        assert_eq!(wanted_quota(&status, 300), None);
        assert_eq!(wanted_quota(&status, default), Some(Quota { bytes: default, member: 7 }));
    }

    #[test]
    fn the_leader_says_how_much_history_there_shall_be() {
        let mut status = Status::starting("n1", 7);
        let history = Retention { revisions: 300, bytes: 1 << 20 };
        assert_eq!(wanted_history(&status, history), None, "a follower says nothing");
        status.role = RoleName::Leader;
        assert_eq!(wanted_history(&status, Retention::default()), None, "the store has it anyway");
        assert_eq!(wanted_history(&status, history), Some(history));
        status.history.most_revisions = 300;
        assert_eq!(wanted_history(&status, history), Some(history));
        status.history.most_bytes = 1 << 20;
        assert_eq!(wanted_history(&status, history), None);
    }

    #[test]
    fn a_quota_that_may_soon_matter_is_that_of_a_member() {
        let mut status = Status { role: RoleName::Leader, ..Status::starting("n1", 7) };
        status.quota = QuotaStatus { bytes: 300, member: 8 };
        status.live_bytes = 150;
        assert_eq!(wanted_quota(&status, 300), None);
        status.live_bytes = 151;
        assert_eq!(wanted_quota(&status, 300), Some(Quota { bytes: 300, member: 7 }), "8 is gone");
    }
}
