//! Recordings of servers that run: each gives what its flight recorder holds.

use std::thread;
use std::time::{Duration, Instant};

use jangada_trace::jsonl_read::read_learning;
use jangada_trace::merge::Source;

use super::read::Given;
use crate::client::http;
use crate::client::wire::reason;
use crate::cluster::status::{Target, ask_cluster};

/// How long a server may take to give its records: 10 MB at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// A server that gives them to somebody else is asked again after this.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What was heard of the servers.
#[derive(Debug, Default)]
pub struct Heard {
    /// The records of those that answered.
    pub given: Given,
    /// The others, and why there is nothing of them.
    pub silent: Vec<String>,
    /// Members that nobody could be asked for: none of those that answered knows where their clients connect.
    pub nowhere: Vec<String>,
}

/// Asks these servers and the members that they name, all at once: one that is dead delays nobody for more than a second.
pub fn from_servers(addresses: &[String], span: Duration) -> Heard {
    let begun = Instant::now();
    let mut heard = Heard::default();
    let mut targets = Vec::new();
    let overview = ask_cluster(addresses);
    heard.nowhere = overview.nowhere().into_iter().map(str::to_owned).collect();
    for view in overview.views {
        let Target { name, address } = view.target;
        match view.answer {
            Ok(status) => targets.push(Target { name: status.name, address }),
            Err(why) if name.is_empty() => heard.silent.push(format!("{address}: {why}")),
            Err(why) => heard.silent.push(format!("{name} ({address}): {why}")),
        }
    }
    let answers: Vec<Result<(i64, String), String>> = thread::scope(|scope| {
        let ask = |target| scope.spawn(move || ask(target, span, begun));
        let asked: Vec<_> = targets.iter().map(ask).collect();
        asked.into_iter().map(|one| one.join().expect("asking does not panic")).collect()
    });
    for (target, answer) in targets.iter().zip(answers) {
        let source = answer.and_then(|(shift, lines)| {
            let names = &mut heard.given.names;
            let records = lines.lines().map(|line| read_learning(line, names).map_err(|why| why.to_string()));
            Ok(Source { records: records.collect::<Result<_, _>>()?, shift_ns: Some(shift) })
        });
        match source {
            Ok(source) => heard.given.sources.push(source),
            Err(why) => heard.silent.push(format!("{} ({}): {why}", target.name, target.address)),
        }
    }
    heard
}

/// The records of one server, and how far its clock is behind ours, whose time counts from `begun`.
fn ask(target: &Target, span: Duration, begun: Instant) -> Result<(i64, String), String> {
    let deadline = Instant::now() + PATIENCE;
    let path = format!("/debug/records?last_ms={}", span.as_millis());
    loop {
        let asked = begun.elapsed();
        let answer = http::get(&target.address, &path, deadline).map_err(|error| reason(&error))?;
        if answer.status == 503 && Instant::now() + ASK_AGAIN < deadline {
            thread::sleep(ASK_AGAIN);
            continue;
        }
        if answer.status != 200 {
            return Err(format!("HTTP {}: {}", answer.status, answer.text()));
        }
        let theirs = answer.header("jangada-time-ns").and_then(|time| time.parse::<i64>().ok());
        let theirs = theirs.ok_or("its answer does not say what time it is there")?;
        let ours = i64::try_from(asked.as_nanos()).unwrap_or(i64::MAX);
        let lines = String::from_utf8(answer.body).map_err(|_| "its records are no text".to_owned())?;
        return Ok((ours.saturating_sub(theirs), lines));
    }
}
