//! The lanes: which server is what, when it is there, and when it is not.

use std::fmt::Write;

use jangada_raft::event::RoleName;

use super::paint::{escape, role_paint};
use super::{BAND, Drawing, LEFT, RIGHT, labels, paint};
use crate::phrases::span;
use crate::say;
use crate::timeline::bands::{Absence, RoleSpan};

impl Drawing<'_> {
    pub(super) fn lanes(&mut self) {
        for (place, lane) in self.scene.lanes.iter().enumerate() {
            let y = Self::y(place);
            put!(
                self.out,
                r##"<text x="14" y="{:.1}" font-size="14" font-weight="600" fill="#18222c">{}</text><path d="M{LEFT} {y}H{:.0}" stroke="#c3ccd5"/>"##,
                y + 5.0,
                escape(&self.names.of(lane.node)),
                self.width - RIGHT
            );
            for quiet in
                lane.quiet.iter().filter(|quiet| quiet.begin <= self.view.to && quiet.end >= self.view.from)
            {
                let (begin, end) =
                    (self.x(quiet.begin.max(self.view.from)), self.x(quiet.end.min(self.view.to)));
                let (pattern, text) = paint::absence(quiet.why);
                self.used.absence(quiet.why);
                let text = self.view.language.of(text);
                let long = span(quiet.end.since(quiet.begin));
                let title = say!(self.view.language, "{state} for {long}", state = text, long);
                put!(
                    self.out,
                    r##"<rect x="{begin:.1}" y="{:.1}" width="{:.1}" height="{:.1}" fill="url(#{pattern})" rx="3"><title>{title}</title></rect>"##,
                    y - 30.0,
                    (end - begin).max(1.0),
                    60.0
                );
                let wide = labels::width(text, 10.0) + 5.0;
                let clear = self.clear(begin, end);
                let at = clear.iter().find(|(from, to)| from + wide < *to).map_or(begin, |(from, _)| *from);
                self.word(at + 5.0, y - 20.0, text, 10.0, "#6b4b4b");
            }
            // What stands between the lanes does not cover them.
            self.labels.take((LEFT, y - BAND), (self.width - LEFT, 2.0 * BAND));
            self.roles(place);
            self.veil(place);
        }
    }

    /// Whoever is down or stands still is no leader that one could ask: what it was last is only just to be seen.
    fn veil(&mut self, place: usize) {
        let y = Self::y(place);
        for quiet in self.scene.lanes[place].quiet.iter().filter(|quiet| quiet.why != Absence::CutOff) {
            if quiet.begin > self.view.to || quiet.end < self.view.from {
                continue;
            }
            let (begin, end) = (self.x(quiet.begin.max(self.view.from)), self.x(quiet.end.min(self.view.to)));
            let (pattern, _) = paint::absence(quiet.why);
            put!(
                self.out,
                r##"<rect x="{begin:.1}" y="{:.1}" width="{:.1}" height="{:.0}" fill="url(#{pattern})" fill-opacity="0.8" pointer-events="none"/>"##,
                y - BAND - 0.5,
                (end - begin).max(1.0),
                2.0 * BAND + 1.0
            );
        }
    }

    fn roles(&mut self, place: usize) {
        let y = Self::y(place);
        for role in &self.scene.lanes[place].roles {
            if role.begin > self.view.to || role.end < self.view.from {
                continue;
            }
            let (begin, end) = (self.x(role.begin.max(self.view.from)), self.x(role.end.min(self.view.to)));
            let language = self.view.language;
            let (fill, ink, name) = role_paint(role.role);
            let name = language.of(name);
            let term = match role.term.0 {
                0 => String::new(),
                term => say!(language, " · term {term}", term),
            };
            let (state, long) = (format!("{name}{term}"), span(role.end.since(role.begin)));
            let title = say!(language, "{state} for {long}", state, long);
            put!(
                self.out,
                r##"<rect x="{begin:.1}" y="{:.1}" width="{:.1}" height="{:.0}" rx="3" fill="{fill}" stroke="{ink}" stroke-opacity="0.35"><title>{title}</title></rect>"##,
                y - BAND,
                (end - begin).max(1.5),
                2.0 * BAND
            );
            self.name_role(role, (begin, end), y, &state);
        }
    }

    /// Writes the longest text that fits into a band. Where there is little room, the term is worth more than the role,
    /// which colours tell; the legend then says which colour is which.
    fn name_role(&mut self, role: &RoleSpan, (begin, end): (f64, f64), y: f64, state: &str) {
        let (_, ink, name) = role_paint(role.role);
        let weight = if role.role == RoleName::Leader { "600" } else { "400" };
        let name = self.view.language.of(name);
        let term = if role.term.0 == 0 { String::new() } else { format!(" t{}", role.term) };
        let initial = initial(name);
        let texts = [
            state.to_owned(),
            format!("{name}{term}"),
            format!("{initial}{term}"),
            term.trim_start().to_owned(),
            initial,
        ];
        let clear = self.clear(begin, end);
        let place = |text: &str| {
            let wide = labels::width(text, 11.0) + 8.0;
            clear.iter().find(|(from, to)| wide < to - from).map(|(from, _)| *from)
        };
        let mut texts = texts.into_iter().filter(|text| !text.is_empty());
        let Some((from, text)) = texts.find_map(|text| Some((place(&text)?, text))) else {
            return self.used.role(role.role);
        };
        if !text.starts_with(name) {
            self.used.role(role.role);
        }
        self.used.short_terms |= text != state && text.ends_with(term.trim_start()) && !term.is_empty();
        put!(
            self.out,
            r##"<text x="{:.1}" y="{:.1}" fill="{ink}" font-weight="{weight}">{text}</text>"##,
            from + 5.0,
            y + 4.0
        );
    }
}

/// What is left of a role's name in a narrow band.
pub(super) fn initial(name: &str) -> String {
    name.chars().take(1).flat_map(char::to_uppercase).collect()
}
