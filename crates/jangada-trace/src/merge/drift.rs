//! Clocks that run at different speeds: 50 parts in a million are 3 ms in a minute, more than a message needs.
//!
//! Between two clocks, each message is a point: when, and how far the one can be ahead of the other at most (or, in the
//! other direction, at least). If the clocks run evenly, a straight line lies between all points above and all below, and
//! its slope is the drift. Points are thinned out first, to the strictest one in each short time.

use std::collections::BTreeMap;

use super::starts::{Passage, Start, nanos};

/// The strictest points of so many spans of time are looked at.
const SPANS: usize = 128;
/// No clock is worse than this: 1 part in 200.
const WORST: f64 = 0.005;

/// A bound at a time.
type Point = (i64, i64);

#[derive(Default)]
struct Between {
    /// The clock is ahead by this at most.
    above: Vec<Point>,
    /// And by this at least.
    below: Vec<Point>,
}

/// Sets the speed of each clock to that of the one with most records, as far as messages in both directions lie between
/// them; in steps, from clock to clock.
pub(super) fn set_rates(starts: &mut [Start], passages: &[Passage]) {
    let mut pairs: BTreeMap<(usize, usize), Between> = BTreeMap::new();
    for passage in passages {
        let (left, arrived) = (nanos(passage.left), nanos(passage.arrived));
        // For both ends: how far the key's first clock is ahead of its second.
        pairs.entry((passage.from, passage.to)).or_default().below.push((left, left - arrived));
        pairs.entry((passage.to, passage.from)).or_default().above.push((arrived, arrived - left));
    }
    let Some(first) = (0..starts.len()).max_by_key(|clock| starts[*clock].records.len()) else { return };
    let mut known = vec![false; starts.len()];
    known[first] = true;
    let mut reached = vec![first];
    while let Some(from) = reached.pop() {
        for to in 0..starts.len() {
            let Some(between) = pairs.get(&(from, to)).filter(|_| !known[to]) else { continue };
            if between.above.is_empty() || between.below.is_empty() {
                continue;
            }
            // D = from - to grows by this per nanosecond of `from`: so `to` runs slower by it.
            let gain = slope(&thin(&between.above, false), &thin(&between.below, true));
            starts[to].rate = starts[from].rate / (1.0 - gain);
            known[to] = true;
            reached.push(to);
        }
    }
}

/// The strictest point of each span of time.
fn thin(points: &[Point], want_highest: bool) -> Vec<Point> {
    let first = points.iter().map(|point| point.0).min().unwrap_or(0);
    let last = points.iter().map(|point| point.0).max().unwrap_or(0);
    let span = (last - first) / SPANS as i64 + 1;
    let mut best: BTreeMap<i64, Point> = BTreeMap::new();
    for point in points {
        let kept = best.entry((point.0 - first) / span).or_insert(*point);
        if (point.1 > kept.1) == want_highest && point.1 != kept.1 {
            *kept = *point;
        }
    }
    best.into_values().collect()
}

/// The slope of a line above all points that lie below, and below all that lie above: the middle of those that are possible,
/// 0 if none is.
fn slope(above: &[Point], below: &[Point]) -> f64 {
    let (mut least, mut most) = (-WORST, WORST);
    for low in below {
        for high in above {
            let (apart, room) = ((high.0 - low.0) as f64, (high.1 - low.1) as f64);
            if apart > 0.0 {
                most = most.min(room / apart);
            } else if apart < 0.0 {
                least = least.max(room / apart);
            }
        }
    }
    if least <= most { (least + most) / 2.0 } else { 0.0 }
}
