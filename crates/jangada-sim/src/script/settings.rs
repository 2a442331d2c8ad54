//! What is set before the servers start.

use std::time::Duration;

use jangada_raft::types::NodeId;

use super::cluster::{MAX_SERVERS, Prepared, Setup};
use super::command::Profile;
use super::tokens;

pub(crate) fn profile(setup: &mut Setup, profile: Profile) {
    let modern = profile == Profile::Default;
    setup.raft.pre_vote = modern;
    setup.raft.check_quorum = modern;
}

pub(crate) fn log(setup: &mut Setup, server: u64, terms: &[u64], term: Option<u64>) -> Result<(), String> {
    if server > setup.servers {
        return Err(format!("there are {} servers, and no n{server}", setup.servers));
    }
    if terms.contains(&0) || !terms.is_sorted() {
        return Err("terms begin with 1 and never go back".into());
    }
    debug_assert!(server <= MAX_SERVERS, "no more servers are ever there");
    let last = terms.last().copied().unwrap_or(0);
    let term = term.unwrap_or(last);
    if term < last {
        return Err(format!("a server in term {term} has no entry of term {last}"));
    }
    setup.logs.insert(NodeId(server), Prepared { terms: terms.to_vec(), term });
    Ok(())
}

/// Sets a knob of [`super::help::KNOBS`].
pub(crate) fn set(setup: &mut Setup, knob: &str, value: &str) -> Result<(), String> {
    let raft = &mut setup.raft;
    match knob {
        "election_timeout" => (raft.election_timeout_min, raft.election_timeout_max) = range(value)?,
        "heartbeat_interval" => raft.heartbeat_interval = duration(value)?,
        "pre_vote" => raft.pre_vote = switch(value)?,
        "check_quorum" => raft.check_quorum = switch(value)?,
        "lease_reads" => raft.lease_reads = switch(value)?,
        "max_append_entries" => raft.max_append_entries = number(value)?,
        "max_inflight_messages" => raft.max_inflight_messages = number(value)?,
        "snapshot_chunk_bytes" => raft.snapshot_chunk_bytes = number(value)?,
        "keep_bytes_behind_snapshot" => raft.keep_bytes_behind_snapshot = number(value)?,
        "caught_up_entries" => raft.caught_up_entries = number(value)? as u64,
        "snapshot_after_bytes" => setup.replica.snapshot_after_bytes = number(value)?,
        "delay" => setup.delay = range(value)?,
        other => return Err(format!("`{other}` is a knob that turns nothing")),
    }
    Ok(())
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

fn switch(text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(format!("`{text}` is neither `on` nor `off`")),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    tokens::duration(text).ok_or_else(|| format!("`{text}` is no duration: write `300ms`, `2s` or `1.5s`"))
}

fn range(text: &str) -> Result<(Duration, Duration), String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let (min, max) = (duration(min)?, duration(max)?);
    if min > max { Err(format!("`{text}`: the smaller one comes first")) } else { Ok((min, max)) }
}
