//! One JSON object per event, on one line. `docs/events.md` lists every name and field.
//!
//! The field names are a promise: a field may be added, an old one never changes its name or its meaning.
//! Servers appear under their names, never under bare numbers; times are nanoseconds since the program began.

use jangada_node::event::{ClientEvent, Deed, DiskEvent, Event, NetEvent, Record};
use jangada_raft::event::{Event as RaftEvent, VoteRefusal};
use jangada_raft::face::Refusal;

use crate::json::Object;
use crate::kinds;
use crate::names::Names;

/// A record as a JSON object, without a newline.
#[must_use]
pub fn line(record: &Record, names: &Names) -> String {
    let mut out = String::with_capacity(160);
    write(&mut out, record, names);
    out
}

/// Writes a record as a JSON object at the end of `out`, without a newline.
pub fn write(out: &mut String, record: &Record, names: &Names) {
    let mut object = Object::open(out);
    object.number("time_ns", record.time.0).text("node", &names.of(record.node)).number("seq", record.seq);
    match &record.event {
        Event::Raft(event) => raft_event(&mut object, event, names),
        Event::Disk(event) => disk_event(&mut object, event),
        Event::Net(event) => net_event(&mut object, event, names),
        Event::Client(event) => client_event(&mut object, event, names),
        Event::Deed(deed) => self::deed(&mut object, *deed, names),
    }
    object.close();
}

// tidy: flat table
fn raft_event(object: &mut Object<'_>, event: &RaftEvent, names: &Names) {
    match *event {
        RaftEvent::TermChanged { old, new, from } => {
            let from = from.map(|from| names.of(from));
            object.text("event", "term_changed").number("old", old.0).number("new", new.0);
            object.maybe("from", from.as_deref());
        }
        RaftEvent::RoleChanged { role, term, why } => {
            object.text("event", "role_changed").text("role", kinds::role(role)).number("term", term.0);
            object.text("why", kinds::role_change(why));
        }
        RaftEvent::LeaderKnown { leader, term } => {
            object.text("event", "leader_known").text("leader", &names.of(leader)).number("term", term.0);
        }
        RaftEvent::ElectionTimerReset { after_nanos } => {
            object.text("event", "election_timer_reset").number("after_ns", after_nanos);
        }
        RaftEvent::VoteGranted { to, term, pre_vote } => {
            object.text("event", "vote_granted").text("to", &names.of(to)).number("term", term.0);
            object.truth("pre_vote", pre_vote);
        }
        RaftEvent::VoteRefused { to, term, pre_vote, why } => {
            object.text("event", "vote_refused").text("to", &names.of(to)).number("term", term.0);
            object.truth("pre_vote", pre_vote).text("why", kinds::vote_refusal(why));
            vote_refusal_detail(object, why, names);
        }
        RaftEvent::VoteReceived { from, term, pre_vote, granted, votes } => {
            object.text("event", "vote_received").text("from", &names.of(from)).number("term", term.0);
            object.truth("pre_vote", pre_vote).truth("granted", granted).number("votes", votes.into());
        }
        RaftEvent::Sent { to, sequence, term, kind, index, count } => {
            object.text("event", "sent").text("to", &names.of(to)).number("sequence", sequence);
            object.number("term", term.0).text("kind", kinds::message(kind));
            object.number("index", index.0).number("count", count.into());
        }
        RaftEvent::Received { from, sequence, term, kind, index, count } => {
            object.text("event", "received").text("from", &names.of(from)).number("sequence", sequence);
            object.number("term", term.0).text("kind", kinds::message(kind));
            object.number("index", index.0).number("count", count.into());
        }
        RaftEvent::Ignored { from, sequence, kind, why } => {
            object.text("event", "ignored").text("from", &names.of(from)).number("sequence", sequence);
            object.text("kind", kinds::message(kind)).text("why", kinds::ignore_reason(why));
        }
        RaftEvent::Appended { first, last, term } => {
            object.text("event", "appended").number("first", first.0).number("last", last.0);
            object.number("term", term.0);
        }
        RaftEvent::Durable { last } => {
            object.text("event", "durable").number("last", last.0);
        }
        RaftEvent::Truncated { from, last } => {
            object.text("event", "truncated").number("first", from.0).number("last", last.0);
        }
        RaftEvent::LogConflict { peer, prev_log_index, next_index } => {
            object.text("event", "log_conflict").text("peer", &names.of(peer));
            object.number("prev_log_index", prev_log_index.0).number("next_index", next_index.0);
        }
        RaftEvent::Committed { index, term } => {
            object.text("event", "committed").number("index", index.0).number("term", term.0);
        }
        RaftEvent::SnapshotTaken { index, term } => {
            object.text("event", "snapshot_taken").number("index", index.0).number("term", term.0);
        }
        RaftEvent::SnapshotInstalled { index, term, from } => {
            object.text("event", "snapshot_installed").number("index", index.0).number("term", term.0);
            object.text("from", &names.of(from));
        }
        RaftEvent::MembershipChanged { index, stage, voters, learners } => {
            object.text("event", "membership_changed").number("index", index.0);
            object.text("stage", kinds::stage(stage));
            object.number("voters", voters.into()).number("learners", learners.into());
        }
        RaftEvent::CaughtUp { peer, match_index } => {
            object.text("event", "caught_up").text("peer", &names.of(peer));
            object.number("match_index", match_index.0);
        }
        RaftEvent::TransferStarted { to } => {
            object.text("event", "transfer_started").text("to", &names.of(to));
        }
        RaftEvent::TransferAborted { to } => {
            object.text("event", "transfer_aborted").text("to", &names.of(to));
        }
        RaftEvent::ReadConfirmed { round, index, reads } => {
            object.text("event", "read_confirmed").number("round", round).number("index", index.0);
            object.number("reads", reads.into());
        }
        RaftEvent::ReadRefused { id } => {
            object.text("event", "read_refused").number("read", id.0);
        }
        RaftEvent::ProposalRefused { why } => {
            object.text("event", "proposal_refused").text("why", kinds::refusal(why));
            refusal_detail(object, why, names);
        }
    }
}

fn disk_event(object: &mut Object<'_>, event: &DiskEvent) {
    match *event {
        DiskEvent::Opened { entries, last, snapshot, torn_bytes } => {
            object.text("event", "log_opened").number("entries", entries).number("last", last.0);
            object.number("snapshot", snapshot.0).number("torn_bytes", torn_bytes);
        }
        DiskEvent::SnapshotStarted { index } => {
            object.text("event", "snapshot_started").number("index", index.0);
        }
        DiskEvent::SnapshotWritten { index, bytes } => {
            object.text("event", "snapshot_written").number("index", index.0).number("bytes", bytes);
        }
        DiskEvent::SnapshotLoaded { index, bytes } => {
            object.text("event", "snapshot_loaded").number("index", index.0).number("bytes", bytes);
        }
    }
}

fn net_event(object: &mut Object<'_>, event: &NetEvent, names: &Names) {
    match *event {
        NetEvent::Connected { peer } => {
            object.text("event", "link_up").text("peer", &names.of(peer));
        }
        NetEvent::Lost { peer, why } => {
            object
                .text("event", "link_lost")
                .text("peer", &names.of(peer))
                .text("why", kinds::link_loss(why));
        }
        NetEvent::Accepted { peer } => {
            object.text("event", "link_accepted").text("peer", &names.of(peer));
        }
        NetEvent::FrameRefused { peer, why } => {
            let peer = peer.map(|peer| names.of(peer));
            object.text("event", "frame_refused").maybe("peer", peer.as_deref());
            object.text("why", kinds::frame_refusal(why));
        }
        NetEvent::Dropped { peer, messages } => {
            object.text("event", "messages_dropped").text("peer", &names.of(peer));
            object.number("messages", messages.into());
        }
    }
}

fn client_event(object: &mut Object<'_>, event: &ClientEvent, names: &Names) {
    match *event {
        ClientEvent::Forwarded { to, requests } => {
            object.text("event", "requests_forwarded").text("to", &names.of(to));
            object.number("requests", requests.into());
        }
        ClientEvent::Refused { requests } => {
            object.text("event", "requests_refused").number("requests", requests.into());
        }
        ClientEvent::OutcomeUnknown { requests } => {
            object.text("event", "outcome_unknown").number("requests", requests.into());
        }
        ClientEvent::ExpiryProposed { index } => {
            object.text("event", "expiry_proposed").number("index", index.0);
        }
    }
}

fn deed(object: &mut Object<'_>, deed: Deed, names: &Names) {
    object.text("event", "deed").text("what", kinds::deed(deed));
    match deed {
        Deed::Cut { to } | Deed::Mend { to } => {
            object.text("to", &names.of(to));
        }
        Deed::Lose { percent } => {
            object.number("percent", percent.into());
        }
        Deed::Slow { by_nanos } => {
            object.number("delay_ns", by_nanos);
        }
        Deed::Crash | Deed::Start | Deed::Pause | Deed::Resume | Deed::Stall | Deed::Unstall => {}
    }
}

fn vote_refusal_detail(object: &mut Object<'_>, why: VoteRefusal, names: &Names) {
    match why {
        VoteRefusal::AlreadyVoted { voted_for } => {
            object.text("voted_for", &names.of(voted_for));
        }
        VoteRefusal::LeaderAlive { leader } => {
            object.text("leader", &names.of(leader));
        }
        VoteRefusal::OldTerm | VoteRefusal::LogBehind | VoteRefusal::IsLeader => {}
    }
}

fn refusal_detail(object: &mut Object<'_>, why: Refusal, names: &Names) {
    match why {
        Refusal::NotLeader { leader } => {
            let leader = leader.map(|leader| names.of(leader));
            object.maybe("leader", leader.as_deref());
        }
        Refusal::Busy
        | Refusal::TooLarge
        | Refusal::Transferring
        | Refusal::ChangePending
        | Refusal::TooEarly
        | Refusal::BadMembership
        | Refusal::NoChange
        | Refusal::BadTarget => {}
    }
}
