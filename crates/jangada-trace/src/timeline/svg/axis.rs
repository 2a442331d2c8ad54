//! Times above the lanes, and where quiet stretches are folded.

use std::fmt::Write;

use jangada_raft::types::Time;

use super::{BAND, Drawing, LEGEND, labels};
use crate::phrases::span;
use crate::say;
use crate::timeline::scale::Fold;

/// The gap in the lanes that says that time is folded.
const GAP: f64 = 7.0;
/// The least distance of two lines at round times.
const TICKS: f64 = 84.0;

impl Drawing<'_> {
    /// Lines at round times; where none lies between two folds, at the first time there.
    pub(super) fn axis(&mut self) {
        let bottom = self.height - LEGEND;
        let step = round_step((TICKS / self.scale.per_nano) as u64 + 1);
        let in_seconds = step >= 100_000_000 || self.view.to.0 >= 10_000_000_000;
        let (unit, per_unit) = if in_seconds { ("s", 1e9) } else { ("ms", 1e6) };
        let digits = |step: u64| {
            let whole = |digits: &i32| (step as f64 / per_unit * 10_f64.powi(*digits)).fract() < 1e-6;
            usize::try_from((0..9).find(whole).unwrap_or(9)).unwrap_or(9)
        };
        for (begin, end) in self.scale.stretches(self.view.to) {
            let mut at = begin.0.div_ceil(step) * step;
            let mut digits = digits(step);
            if at > end.0 {
                (at, digits) = (begin.0, digits + 1);
            }
            while at <= end.0 {
                let x = self.x(Time(at));
                put!(self.out, r##"<path d="M{x:.1} 46V{bottom:.0}" stroke="#e9edf1"/>"##);
                let text = format!("{:.digits$} {unit}", at as f64 / per_unit);
                let half = labels::width(&text, 10.0) / 2.0;
                self.word(x.max(half + 2.0) - half, 42.0, &text, 10.0, "#6b7783");
                at += step;
            }
        }
    }

    /// How long each fold is, above it; and nothing is written over its gap.
    pub(super) fn keep_gaps_clear(&mut self) {
        let bottom = self.height - LEGEND;
        for fold in self.scale.folds.clone() {
            let (left, right) = self.gap(fold);
            self.labels.take((left - 3.0, 46.0), (right - left + 6.0, bottom - 46.0));
            let long = span(fold.length());
            let half = labels::width(&long, 9.5) / 2.0;
            let (x, room) = ((left + right) / 2.0 - half, 4.0);
            self.word(x, 42.0, &long, 9.5, "#8a6d00");
            self.labels.take((x - room, 32.0), (2.0 * (half + room), 10.0));
        }
    }

    /// Where the lanes have a gap.
    fn gap(&self, fold: Fold) -> (f64, f64) {
        let middle = (self.x(fold.begin) + self.x(fold.end)) / 2.0;
        (middle - GAP / 2.0, middle + GAP / 2.0)
    }

    /// What is left between two places, if no gap is written over.
    pub(super) fn clear(&self, begin: f64, end: f64) -> Vec<(f64, f64)> {
        let mut from = begin;
        let mut clear = Vec::new();
        for (left, right) in self.scale.folds.iter().map(|fold| self.gap(*fold)) {
            if right > from && left < end {
                clear.push((from, left));
                from = right;
            }
        }
        clear.push((from, end));
        clear
    }

    /// Gaps in the lanes where time is folded.
    pub(super) fn gaps(&mut self) {
        let (lanes, language, bottom) = (self.scene.lanes.len(), self.view.language, self.height - LEGEND);
        for fold in self.scale.folds.clone() {
            let (left, right) = self.gap(fold);
            let title = say!(language, "nothing to be seen for {long}", long = span(fold.length()));
            put!(
                self.out,
                r##"<g stroke="#8a6d00"><title>{title}</title><rect x="{left:.1}" y="44" width="{GAP}" height="{:.0}" fill="#ffffff" stroke="none"/><path d="M{left:.1} 46V{bottom:.0}M{right:.1} 46V{bottom:.0}" stroke-dasharray="2 4" stroke-opacity="0.6"/>"##,
                bottom - 44.0
            );
            let high = 2.0 * BAND + 6.0;
            for place in 0..lanes {
                let (x, y) = (left - 3.0, Self::y(place) + BAND + 3.0);
                put!(self.out, r##"<path d="M{x:.1} {y:.1}l6 -{high:.0}m{GAP} 0l-6 {high:.0}"/>"##);
            }
            self.out.push_str("</g>\n");
        }
    }
}

/// The first of 1, 2, 5, 10, 20 … that is no smaller.
fn round_step(least: u64) -> u64 {
    let mut step: u64 = 1;
    loop {
        for times in [1, 2, 5] {
            if step.saturating_mul(times) >= least {
                return step.saturating_mul(times);
            }
        }
        step = step.saturating_mul(10);
    }
}
