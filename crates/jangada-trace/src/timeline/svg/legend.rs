//! What is what: only what was used is named.

use std::collections::BTreeSet;
use std::fmt::Write;

use jangada_raft::event::RoleName;

use super::lanes::initial;
use super::paint::{self, Stroke};
use super::{Drawing, LEGEND, labels};
use crate::said;
use crate::timeline::bands::Absence;
use crate::timeline::scene::Fate;

/// From one row to the next.
const ROW: f64 = 20.0;

/// What was drawn that not everybody knows.
#[derive(Default)]
pub(super) struct Used {
    pub(super) strokes: BTreeSet<Stroke>,
    /// Roles whose names did not fit into all their bands.
    roles: Vec<RoleName>,
    /// Terms were written as `t3`.
    pub(super) short_terms: bool,
    absences: Vec<Absence>,
    /// Something was marked under a band.
    pub(super) marks: bool,
}

impl Used {
    pub(super) fn role(&mut self, role: RoleName) {
        if !self.roles.contains(&role) {
            self.roles.push(role);
        }
    }

    pub(super) fn absence(&mut self, why: Absence) {
        if !self.absences.contains(&why) {
            self.absences.push(why);
        }
    }
}

impl Drawing<'_> {
    pub(super) fn legend(&mut self) {
        let mut place = (14.0, self.height - LEGEND + 18.0);
        self.bands_key(&mut place);
        self.arrows_key(&mut place);
        if self.used.marks {
            self.key(
                &mut place,
                r##"<path d="M14 -3l-3 5h6z" fill="#33414e"/>"##,
                said!("it happened here, on this server"),
            );
        }
        if !self.scale.folds.is_empty() {
            let shape = r##"<path d="M0 0h8m8 0h8" stroke="#c3ccd5" stroke-width="3"/><path d="M5 6l6 -12m2 12l6 -12" stroke="#8a6d00"/>"##;
            self.key(&mut place, shape, said!("quiet: time is left out"));
        }
    }

    /// Bands into which no name fits, and the hatchings of those who are not there.
    fn bands_key(&mut self, place: &mut (f64, f64)) {
        for role in std::mem::take(&mut self.used.roles) {
            let (fill, ink, name) = paint::role_paint(role);
            let initial = initial(self.view.language.of(name));
            let shape = format!(
                r##"<rect x="0" y="-8" width="24" height="16" rx="3" fill="{fill}" stroke="{ink}" stroke-opacity="0.35"/><text x="8" y="4" fill="{ink}">{initial}</text>"##
            );
            self.key(place, &shape, name);
        }
        if self.used.short_terms {
            let shape = r##"<text x="6" y="4" fill="#4a5866">t2</text>"##;
            self.key(place, shape, said!("in term 2"));
        }
        for why in std::mem::take(&mut self.used.absences) {
            let (pattern, name) = paint::absence(why);
            let shape =
                format!(r##"<rect x="0" y="-8" width="24" height="16" rx="3" fill="url(#{pattern})"/>"##);
            self.key(place, &shape, name);
        }
    }

    /// Every kind of arrow that was drawn.
    fn arrows_key(&mut self, place: &mut (f64, f64)) {
        for kind in std::mem::take(&mut self.used.strokes) {
            let (color, dash) = paint::stroke_paint(kind);
            let end = match kind == Stroke::Refused {
                true => "M22 -5h2v10h-2z",
                false => "M24 0l-6 -3v6z",
            };
            let dot = if paint::has_dot(kind) { 2.4 } else { 0.0 };
            let shape = format!(
                r##"<path d="M0 0h22" stroke="{color}" stroke-width="1.6" {dash}/><circle cx="2" cy="0" r="{dot}" fill="{color}"/><path d="{end}" fill="{color}"/>"##
            );
            self.key(place, &shape, paint::stroke_name(kind));
        }
        for (stands, kind) in [(false, Stroke::PreVote), (true, Stroke::Vote)] {
            let is_told = |r: &&_| self.view.tells(r);
            if self.scene.repeats.iter().filter(is_told).any(|repeats| repeats.stands == stands) {
                let (color, _) = paint::stroke_paint(kind);
                let shape =
                    format!(r##"<path d="M0 0h24" stroke="{color}" stroke-width="2" {}/>"##, paint::AGAIN);
                self.key(place, &shape, said!("asks again and again"));
            }
        }
        let shown = || self.scene.arrows.iter().filter(|arrow| self.view.shows(arrow));
        let is_lost = shown().any(|arrow| arrow.fate == Fate::Lost);
        let is_open = shown()
            .any(|arrow| matches!(arrow.fate, Fate::OnTheWay | Fate::Unrecorded) || arrow.left.is_none());
        let refuses = shown().any(|arrow| paint::tip(arrow) == paint::Tip::Bar);
        let is_ignored = shown().any(|arrow| matches!(arrow.fate, Fate::Ignored(_)));
        let keys = [
            (is_lost, said!("lost"), "stroke-dasharray=\"3 3\"", "M-3 -3l6 6m0 -6l-6 6"),
            (is_open, said!("one end is beyond the recording"), "stroke-dasharray=\"1 3\"", ""),
            (refuses, said!("it refuses"), "", "M0 -5v10"),
            (is_ignored, said!("ignored"), "", "M2 0L-5 -3V3z"),
        ];
        for (_, name, dash, end) in keys.into_iter().filter(|(is_used, ..)| *is_used) {
            let shape = format!(
                r##"<path d="M0 0h22" stroke="#5a6672" stroke-width="1.4" {dash}/><path d="{end}" fill="#ffffff" stroke="{}" stroke-width="1.6" transform="translate(22 0)"/>"##,
                paint::LOST
            );
            self.key(place, &shape, name);
        }
    }

    /// One shape, drawn around its left end, and what it is; in the next row if there is no room in this one.
    fn key(&mut self, place: &mut (f64, f64), shape: &str, name: &str) {
        let text = self.view.language.of(name);
        let wide = 31.0 + labels::width(text, 11.0) + 18.0;
        if place.0 > 14.0 && place.0 + wide > self.width {
            *place = (14.0, place.1 + ROW);
        }
        put!(
            self.out,
            r##"<g transform="translate({:.0} {:.0})">{shape}<text x="30" y="4" fill="#33414e">{text}</text></g>"##,
            place.0,
            place.1
        );
        place.0 += wide;
    }
}
