//! Which events are told as they happen: for the stage, and for whoever tells of live servers.

use std::collections::BTreeSet;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleName};
use jangada_raft::types::NodeId;
use jangada_trace::words::{Level, Words};

use super::command::Kind;
use super::stage::Stage;

/// Is shown every record of a stage's cluster, in the order of their happening.
pub type Tap = Box<dyn FnMut(&Record) + Send>;

impl<C> Stage<C> {
    /// From now on `tap` sees all records, whatever is told of them.
    pub fn set_tap(&mut self, tap: Tap) {
        self.tap = Some(tap);
    }
}

/// The record's line, if its kind is watched. All records pass here: the words remember them, and `leading` has the
/// servers that lead.
#[must_use]
pub fn line(
    words: &mut Words,
    watched: &[Kind],
    leading: &mut BTreeSet<NodeId>,
    record: &Record,
) -> Option<String> {
    let kinds = kinds(&record.event, leading.contains(&record.node));
    if let Event::Raft(RaftEvent::RoleChanged { role, .. }) = record.event {
        if role == RoleName::Leader {
            leading.insert(record.node);
        } else {
            leading.remove(&record.node);
        }
    }
    if let Event::Disk(DiskEvent::Opened { .. }) = record.event {
        leading.remove(&record.node);
    }
    if kinds.iter().any(|kind| watched.contains(kind)) {
        return words.line(record, Level::Trace);
    }
    words.sentence(record, Level::Warn);
    None
}

/// What an event is about; `led`: its server led until now.
// tidy: flat table
fn kinds(event: &Event, led: bool) -> &'static [Kind] {
    match event {
        Event::Raft(event) => match event {
            RaftEvent::RoleChanged { role: RoleName::Leader, .. } => &[Kind::Elections, Kind::Leaders],
            RaftEvent::RoleChanged { .. } if led => &[Kind::Elections, Kind::Leaders],
            RaftEvent::RoleChanged { .. } => &[Kind::Elections],
            RaftEvent::TermChanged { .. } | RaftEvent::LeaderKnown { .. } => &[Kind::Terms],
            RaftEvent::VoteGranted { .. }
            | RaftEvent::VoteRefused { .. }
            | RaftEvent::VoteReceived { .. } => &[Kind::Votes],
            RaftEvent::Sent { .. } | RaftEvent::Received { .. } | RaftEvent::Ignored { .. } => {
                &[Kind::Messages]
            }
            RaftEvent::Appended { .. } | RaftEvent::Truncated { .. } | RaftEvent::LogConflict { .. } => {
                &[Kind::Log]
            }
            RaftEvent::Committed { .. } => &[Kind::Commits],
            RaftEvent::SnapshotTaken { .. } | RaftEvent::SnapshotInstalled { .. } => &[Kind::Snapshots],
            RaftEvent::MembershipChanged { .. } | RaftEvent::CaughtUp { .. } => &[Kind::Members],
            RaftEvent::TransferStarted { .. } | RaftEvent::TransferAborted { .. } => {
                &[Kind::Elections, Kind::Leaders]
            }
            RaftEvent::ReadConfirmed { .. } | RaftEvent::ReadRefused { .. } => &[Kind::Reads],
            RaftEvent::ProposalRefused { .. } => &[Kind::Clients],
            RaftEvent::ElectionTimerReset { .. } | RaftEvent::Durable { .. } => &[],
        },
        Event::Disk(_) => &[Kind::Snapshots],
        Event::Net(_) | Event::Deed(_) => &[],
        Event::Client(_) => &[Kind::Clients],
    }
}
