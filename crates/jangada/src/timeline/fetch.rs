//! Recordings of servers that run: each gives what its flight recorder holds.

use std::thread;
use std::time::{Duration, Instant};

use jangada_trace::merge::Source;

use super::read::{Given, read_lines};
use crate::client::http;
use crate::client::wire::reason;
use crate::cluster::status::{Target, ask_cluster};

/// How long a server may take to give its records: 10 MB at most.
const PATIENCE: Duration = Duration::from_secs(3);
/// What is said of an address where nobody listens.
const REFUSED: &str = "connection refused";
/// Back-off: a server that gives them to somebody else does not say when it is done.
const ASK_AGAIN: Duration = Duration::from_millis(50);

/// What was heard of the servers.
#[derive(Debug, Default)]
pub struct Heard {
    /// The records of those that answered.
    pub given: Given,
    /// The others, and why there is nothing of them.
    pub silent: Vec<String>,
    /// The names of those of them where nobody listens.
    pub refused: Vec<String>,
    /// Members that nobody could be asked for: none of those that answered knows where their clients connect.
    pub nowhere: Vec<String>,
}

/// Asks these servers and the members that they name, all at once: one that is dead delays nobody for more than a second.
pub fn from_servers(addresses: &[String], span: Duration) -> Heard {
    let begun = Instant::now();
    let mut heard = Heard::default();
    let mut targets = Vec::new();
    let overview = ask_cluster(addresses);
    let refused = overview.views.iter().filter(|view| view.answer.as_ref().is_err_and(|why| why == REFUSED));
    let name = |target: &Target| match target.name.is_empty() {
        true => overview.name_at(&target.address).map(str::to_owned),
        false => Some(target.name.clone()),
    };
    heard.refused = refused.filter_map(|view| name(&view.target)).collect();
    heard.nowhere = overview.nowhere().into_iter().map(str::to_owned).collect();
    for view in overview.views {
        let Target { name, address } = view.target;
        match view.answer {
            Ok(status) => targets.push(Target { name: status.name, address }),
            Err(why) if name.is_empty() => heard.silent.push(format!("{address}: {why}")),
            Err(why) => heard.silent.push(format!("{name} ({address}): {why}")),
        }
    }
    let answers: Vec<Result<(i64, Vec<u8>), String>> = thread::scope(|scope| {
        let ask = |target| scope.spawn(move || ask(target, span, begun));
        let asked: Vec<_> = targets.iter().map(ask).collect();
        asked.into_iter().map(|one| one.join().expect("asking does not panic")).collect()
    });
    for (target, answer) in targets.iter().zip(answers) {
        let whose = format!("{} ({})", target.name, target.address);
        match answer {
            Ok((shift, lines)) => take(&mut heard.given, &whose, shift, &lines),
            Err(why) => heard.silent.push(format!("{whose}: {why}")),
        }
    }
    heard
}

/// The records of one server. A line that cannot be read is left out, and told, as in a file.
fn take(given: &mut Given, whose: &str, shift: i64, lines: &[u8]) {
    let read = read_lines(whose, lines, &mut given.names);
    let (records, damage) = read.expect("bytes in memory can be read");
    given.sources.push(Source { records, shift_ns: Some(shift) });
    given.damaged.extend(damage);
}

/// The records of one server, and how far its clock is behind ours, whose time counts from `begun`.
fn ask(target: &Target, span: Duration, begun: Instant) -> Result<(i64, Vec<u8>), String> {
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
        return Ok((ours.saturating_sub(theirs), answer.body));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jangada_trace::language::Language;

    #[test]
    fn of_an_answer_with_a_damaged_line_the_rest_is_there() {
        let beat = |seq: u64| {
            format!(
                "{{\"time_ns\":{seq},\"node\":\"n1\",\"seq\":{seq},\"event\":\"committed\",\"index\":{seq},\"term\":1}}\n"
            )
        };
        let mut given = Given::default();
        let lines = [beat(1).as_bytes(), b"{\"time_ns\":2,\"no\xff\n", beat(3).as_bytes()].concat();
        take(&mut given, "n1 (127.0.0.1:2379)", -5, &lines);
        let seqs: Vec<u64> = given.sources[0].records.iter().map(|record| record.seq).collect();
        assert_eq!((seqs, given.sources[0].shift_ns), (vec![1, 3], Some(-5)));
        let said = given.damaged[0].sentence(Language::English);
        assert_eq!(said, "n1 (127.0.0.1:2379): line 2 cannot be read, and is left out: it is no text");
    }
}
