//! Two targets in turns, in one run: what a machine does meanwhile hits both.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::report::{Report, named};

/// Runs of two targets, and what one is to the other.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Where the two are: the addresses of each, as they were named.
    pub targets: [String; 2],
    /// Of the first target, one for each round.
    pub a: Vec<Report>,
    /// Of the second.
    pub b: Vec<Report>,
    /// Medians over the rounds, each of B ÷ A.
    pub ratios: Ratios,
}

/// B ÷ A.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ratios {
    /// Of the answers a second.
    pub rate: Option<f64>,
    /// Of the median latency.
    pub p50: Option<f64>,
    /// Of the 99th percentile.
    pub p99: Option<f64>,
    /// Of the servers' CPU for each answer.
    pub server_cpu: Option<f64>,
}

impl Comparison {
    /// Runs each target once in a round; who begins changes from round to round.
    ///
    /// # Errors
    /// That of the first run that cannot be.
    pub fn of<E>(
        targets: [String; 2],
        rounds: usize,
        mut run: impl FnMut(Side) -> Result<Report, E>,
    ) -> Result<Comparison, E> {
        let (mut a, mut b) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let order = if round % 2 == 0 { [Side::A, Side::B] } else { [Side::B, Side::A] };
            for side in order {
                match side {
                    Side::A => a.push(run(side)?),
                    Side::B => b.push(run(side)?),
                }
            }
        }
        let ratio = |of: &dyn Fn(&Report) -> Option<f64>| {
            let pairs = a.iter().zip(&b).filter_map(|(a, b)| Some((of(a)?, of(b)?)));
            median(pairs.filter(|(a, _)| *a > 0.0).map(|(a, b)| b / a).collect())
        };
        let ratios = Ratios {
            rate: ratio(&|report| Some(report.rate)),
            p50: ratio(&|report| Some(report.latency_ms.p50)),
            p99: ratio(&|report| Some(report.latency_ms.p99)),
            server_cpu: ratio(&|report| report.server_cpu_us),
        };
        Ok(Comparison { targets, a, b, ratios })
    }
}

/// One of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The first: what the other is measured by.
    A,
    /// The second.
    B,
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (values.get((values.len().max(1) - 1) / 2)?, values.get(values.len() / 2)?);
    Some((low + high) / 2.0)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Ratios { rate, p50, p99, server_cpu } = self.ratios;
        let [a, b] = &self.targets;
        writeln!(f, "A is {a}\nB is {b}")?;
        writeln!(f, "{:<24} {:>12} {:>12}  {:<3} {:>6}", "medians", "A", "B", "", "B ÷ A")?;
        self.row(f, "answers", "/s", rate, &|report| Some(report.rate))?;
        self.row(f, "p50", "ms", p50, &|report| Some(report.latency_ms.p50))?;
        self.row(f, "p99", "ms", p99, &|report| Some(report.latency_ms.p99))?;
        self.row(f, "servers' CPU an answer", "µs", server_cpu, &|report| report.server_cpu_us)?;
        write!(f, "errors: {} and {}", failures(&self.a), failures(&self.b))
    }
}

impl Comparison {
    fn row(
        &self,
        f: &mut fmt::Formatter<'_>,
        name: &str,
        unit: &str,
        ratio: Option<f64>,
        of: &dyn Fn(&Report) -> Option<f64>,
    ) -> fmt::Result {
        let digits = if unit == "/s" { 0 } else { 2 };
        let shown =
            |value: Option<f64>, digits| value.map_or("?".to_owned(), |value| format!("{value:.digits$}"));
        let side = |reports: &[Report]| shown(median(reports.iter().filter_map(of).collect()), digits);
        let (a, b) = (side(&self.a), side(&self.b));
        writeln!(f, "{name:<24} {a:>12} {b:>12}  {unit:<3} {:>6}", shown(ratio, 2))
    }
}

/// What went wrong in all runs of a side.
fn failures(reports: &[Report]) -> String {
    let mut all = BTreeMap::new();
    for (why, count) in reports.iter().flat_map(|report| &report.errors) {
        *all.entry(why.clone()).or_insert(0) += count;
    }
    if all.is_empty() { "0".to_owned() } else { named(&all) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_in_the_middle() {
        assert_eq!(median(Vec::new()), None);
        assert_eq!(median(vec![3.0]), Some(3.0));
        assert_eq!(median(vec![9.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 9.0]), Some(3.5));
    }

    #[test]
    fn who_begins_changes_and_nobody_is_left_out() {
        let mut order = Vec::new();
        let targets = || ["one:1".to_owned(), "two:2".to_owned()];
        let stop = Comparison::of(targets(), 2, |side| {
            order.push(side);
            if order.len() == 4 { Err(()) } else { Ok(crate::load::report::tests::any()) }
        });
        assert!(stop.is_err());
        assert_eq!(order, [Side::A, Side::B, Side::B, Side::A]);
    }

    #[test]
    fn what_is_printed_says_which_is_which() {
        let run = |_| Ok::<_, ()>(crate::load::report::tests::any());
        let seen = Comparison::of(["one:1".to_owned(), "two:2".to_owned()], 1, run).unwrap().to_string();
        assert!(seen.starts_with("A is one:1\nB is two:2\nmedians "), "{seen}");
    }
}
