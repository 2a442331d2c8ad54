//! What is set before the servers start.

use std::time::Duration;

use jangada_raft::types::NodeId;
use jangada_trace::language::Language;
use jangada_trace::say;

use super::cluster::{MAX_SERVERS, Prepared, Setup};
use super::command::Profile;
use super::tokens;

pub(crate) fn profile(setup: &mut Setup, profile: Profile) {
    let modern = profile == Profile::Default;
    setup.raft.pre_vote = modern;
    setup.raft.check_quorum = modern;
}

pub(crate) fn log(
    language: Language,
    setup: &mut Setup,
    server: u64,
    terms: &[u64],
    term: Option<u64>,
) -> Result<(), String> {
    if server > setup.servers {
        return Err(say!(
            language,
            "there are {servers} servers, and no n{server}",
            servers = setup.servers,
            server
        ));
    }
    if terms.contains(&0) || !terms.is_sorted() {
        return Err(say!(language, "terms begin with 1 and never go back"));
    }
    debug_assert!(server <= MAX_SERVERS, "no more servers are ever there");
    let last = terms.last().copied().unwrap_or(0);
    let term = term.unwrap_or(last);
    if term < last {
        return Err(say!(language, "a server in term {term} has no entry of term {last}", term, last));
    }
    setup.logs.insert(NodeId(server), Prepared { terms: terms.to_vec(), term });
    Ok(())
}

/// Sets a knob of [`super::help::KNOBS`].
pub(crate) fn set(language: Language, setup: &mut Setup, knob: &str, value: &str) -> Result<(), String> {
    let raft = &mut setup.raft;
    match knob {
        "election_timeout" => {
            let (min, max) = range(language, value)?;
            let least = raft.heartbeat_interval * 2;
            if min < least {
                return Err(say!(
                    language,
                    "an election_timeout is at least two heartbeat intervals, {least} now: first `config heartbeat_interval {fits}`",
                    least = written(least),
                    fits = written((min / 5).max(Duration::from_micros(1)))
                ));
            }
            (raft.election_timeout_min, raft.election_timeout_max) = (min, max);
        }
        "heartbeat_interval" => {
            let interval = duration(language, value)?;
            if interval * 2 > raft.election_timeout_min {
                return Err(say!(
                    language,
                    "an election_timeout, {least} at the least now, is no less than two heartbeat intervals: first `config \
                     election_timeout {from}..{to}`",
                    least = written(raft.election_timeout_min),
                    from = written(interval * 5),
                    to = written(interval * 10)
                ));
            }
            raft.heartbeat_interval = interval;
        }
        "commit_notice_after" => raft.commit_notice_after = Some(duration(language, value)?),
        "pre_vote" => raft.pre_vote = switch(language, value)?,
        "check_quorum" => raft.check_quorum = switch(language, value)?,
        "lease_reads" => raft.lease_reads = switch(language, value)?,
        "max_append_entries" => raft.max_append_entries = number(language, value)?,
        "max_inflight_messages" => raft.max_inflight_messages = number(language, value)?,
        "snapshot_chunk_bytes" => raft.snapshot_chunk_bytes = number(language, value)?,
        "keep_bytes_behind_snapshot" => raft.keep_bytes_behind_snapshot = number(language, value)?,
        "caught_up_entries" => raft.caught_up_entries = number(language, value)? as u64,
        "snapshot_after_bytes" => setup.replica.snapshot_after_bytes = number(language, value)?,
        "delay" => setup.delay = range(language, value)?,
        other => return Err(say!(language, "`{other}` is a knob that turns nothing", other)),
    }
    Ok(())
}

/// As it can be typed: `50ms`, `2s`.
fn written(time: Duration) -> String {
    match (time.as_micros(), time.as_millis()) {
        (micros, _) if micros % 1_000 != 0 => format!("{micros}us"),
        (_, millis) if millis % 1_000 != 0 => format!("{millis}ms"),
        (_, millis) => format!("{}s", millis / 1_000),
    }
}

fn number(language: Language, text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| say!(language, "`{text}` is no number", text))
}

fn switch(language: Language, text: &str) -> Result<bool, String> {
    match text {
        "on" => Ok(true),
        "off" => Ok(false),
        _ => Err(say!(language, "`{text}` is neither `on` nor `off`", text)),
    }
}

fn duration(language: Language, text: &str) -> Result<Duration, String> {
    tokens::duration(text)
        .ok_or_else(|| say!(language, "`{text}` is no duration: write `300ms`, `2s` or `1.5s`", text))
}

fn range(language: Language, text: &str) -> Result<(Duration, Duration), String> {
    let (min, max) = text.split_once("..").unwrap_or((text, text));
    let (min, max) = (duration(language, min)?, duration(language, max)?);
    if min > max {
        Err(say!(language, "`{text}`: the smaller one comes first", text))
    } else {
        Ok((min, max))
    }
}
