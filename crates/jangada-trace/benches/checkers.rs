//! How fast histories are checked. `cargo bench -p jangada-trace` prints operations per second of each kind; the
//! histories are made by the tests' generator. A right one has an order to be found; in a wrong one, which ends with a
//! stale read, everything that might be an order has to be tried.
#![allow(clippy::disallowed_methods)] // A bench needs a clock.

#[path = "../tests/it/brute.rs"]
#[allow(dead_code)]
mod brute;
#[path = "../tests/it/generate.rs"]
#[allow(dead_code)]
mod generate;

use std::time::Instant;

use generate::{Chance, Mix, Shape, correct, correct_with_changes, with_a_stale_read};
use jangada_trace::history::History;
use jangada_trace::linearizable::{Limits, Verdict, check};
use jangada_trace::witness;

fn main() {
    let base = Shape {
        operations: 100_000,
        keys: 1_000,
        overlap: 5,
        unanswered: 0,
        refused: 0,
        unique_values: true,
        mix: Mix::Registers,
        revisions: true,
    };
    let one_key = Shape { operations: 2_000, keys: 1, ..base };
    let shapes = [
        ("registers, 1,000 keys", base),
        ("registers, 1,000 keys, 2 % unanswered", Shape { unanswered: 2, ..base }),
        ("registers, one key", one_key),
        ("registers, one key, 5 % unanswered", Shape { unanswered: 5, ..one_key }),
        ("strings, one key", Shape { mix: Mix::Strings, ..one_key }),
        ("strings, one key, 5 % unanswered", Shape { mix: Mix::Strings, unanswered: 5, ..one_key }),
        ("etcd, one key", Shape { mix: Mix::Etcd, ..one_key }),
        ("etcd, one key, 5 % unanswered", Shape { mix: Mix::Etcd, unanswered: 5, ..one_key }),
        ("all, 20 joined keys, 2 % unanswered", Shape { mix: Mix::All, keys: 20, unanswered: 2, ..one_key }),
    ];
    for (name, shape) in shapes {
        let history = correct(&mut Chance::new(1), shape);
        measure(name, &history);
        if let Some(stale) = with_a_stale_read(&history) {
            measure("    … and a stale read", &stale);
        }
    }
    let etcd = Shape { mix: Mix::Etcd, keys: 1_000, operations: 20_000, ..base };
    for (name, shape) in
        [("witness, etcd", etcd), ("witness, 2 % unanswered", Shape { unanswered: 2, ..etcd })]
    {
        let (history, changes) = correct_with_changes(&mut Chance::new(1), shape);
        let begun = Instant::now();
        let report = witness::check(&history, Some(&changes));
        let seconds = begun.elapsed().as_secs_f64();
        println!(
            "{name:<40} {:>9.0} operations/s {:>26.1} ms  {:?}",
            shape.operations as f64 / seconds,
            seconds * 1_000.0,
            report.verdict
        );
    }
}

fn measure(name: &str, history: &History) {
    let begun = Instant::now();
    // A search that is not done by then would take long.
    let limits = Limits { max_steps: 3_000_000, ..Limits::default() };
    let report = check(history, &limits);
    let seconds = begun.elapsed().as_secs_f64();
    let verdict = match report.verdict {
        Verdict::Linearizable => "right".to_string(),
        Verdict::NotLinearizable { .. } => "wrong".to_string(),
        Verdict::Undecided { why, .. } => why,
    };
    println!(
        "{name:<40} {:>9.0} operations/s {:>10} steps {:>9.1} ms  {verdict}",
        history.operations().len() as f64 / seconds,
        report.steps,
        seconds * 1_000.0,
    );
}
