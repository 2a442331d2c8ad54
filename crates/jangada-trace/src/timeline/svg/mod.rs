//! The picture for reports, as SVG: time goes to the right, each server is a lane with the colour of its role.
//!
//! Colour is never alone: roles are written into their bands, messages on their arrows, lost ones are dashed and end in a
//! cross, and a legend names what was used. Text that would cover other text is left out; every arrow and band has a
//! `<title>`, which viewers show under the pointer.

/// Writing to a string cannot fail.
macro_rules! put {
    ($out:expr, $($text:tt)*) => {
        writeln!($out, $($text)*).expect("writing to a string cannot fail")
    };
}

mod axis; // times, and where they are folded
mod labels; // text that does not cover text
mod lanes; // servers, and what they are
mod legend; // what is what
mod paint; // colours, dashes, words

use std::collections::BTreeSet;
use std::fmt::Write;

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::Event as RaftEvent;
use jangada_raft::types::Time;

use super::scale::{Room, Scale};
use super::scene::{Arrow, Fate, Scene};
use super::text::{ignored, label};
use super::topic::Topic;
use super::view::View;
use crate::language::Language;
use crate::names::Names;
use crate::phrases::{message, span};
use crate::{said, say};
use labels::Labels;
use legend::Used;
use paint::{Stroke, Tip, escape, stroke, topic_word};

const LEFT: f64 = 74.0;
const RIGHT: f64 = 26.0;
const TOP: f64 = 74.0;
/// From one lane to the next.
const LANE: f64 = 92.0;
/// Half of the thickness of a role's band.
const BAND: f64 = 10.0;
const LEGEND: f64 = 96.0;
/// How wide a stretch is in which nothing is to be seen.
const FOLD: f64 = 60.0;

/// How the picture is to be.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Its width in pixels.
    pub width: u32,
    /// It may become wider where there is much to be seen.
    pub may_grow: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style { width: 1_200, may_grow: true }
    }
}

/// Draws a part of a scene.
#[must_use]
pub fn paint(title: &str, scene: &Scene, names: &Names, view: &View, style: Style) -> String {
    let mut drawing = Drawing::new(scene, names, view, style);
    drawing.begin(title);
    drawing.keep_gaps_clear();
    drawing.axis();
    drawing.weather();
    drawing.lanes();
    drawing.gaps();
    drawing.repeats();
    drawing.arrows();
    drawing.marks();
    drawing.legend();
    drawing.out.push_str("</svg>\n");
    drawing.out
}

struct Drawing<'a> {
    scene: &'a Scene,
    names: &'a Names,
    view: &'a View,
    scale: Scale,
    width: f64,
    height: f64,
    labels: Labels,
    used: Used,
    out: String,
}

impl<'a> Drawing<'a> {
    fn new(scene: &'a Scene, names: &'a Names, view: &'a View, style: Style) -> Drawing<'a> {
        let lanes = scene.lanes.len().max(1) as f64;
        let width = f64::from(style.width.max(400)) - LEFT - RIGHT;
        let scale = Scale::of(scene, view, Room { width, may_grow: style.may_grow, fold: FOLD });
        Drawing {
            scene,
            names,
            view,
            width: LEFT + scale.width + RIGHT,
            scale,
            height: TOP + LANE * (lanes - 1.0) + 46.0 + LEGEND,
            labels: Labels::default(),
            used: Used::default(),
            out: String::new(),
        }
    }

    fn x(&self, time: Time) -> f64 {
        LEFT + self.scale.x(time)
    }

    fn y(place: usize) -> f64 {
        TOP + LANE * place as f64
    }

    fn begin(&mut self, title: &str) {
        let (width, height) = (self.width, self.height);
        put!(
            self.out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" font-family="system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif" font-size="11">"#
        );
        put!(self.out, r##"<rect width="100%" height="100%" fill="#ffffff"/>"##);
        self.out.push_str(paint::PATTERNS);
        let tally = self.scene.tally();
        let lost = match tally.lost {
            0 => String::new(),
            lost => say!(self.view.language, ", {lost} lost", lost),
        };
        let about = say!(
            self.view.language,
            "{shown} shown of {all}; {sent} messages in all{lost}",
            shown = span(std::time::Duration::from_nanos(self.view.length())),
            all = span(self.scene.end.since(self.scene.begin)),
            sent = tally.sent,
            lost
        );
        put!(
            self.out,
            r##"<text x="14" y="24" font-size="15" font-weight="600" fill="#18222c">{}</text><text x="{:.0}" y="24" text-anchor="end" fill="#5a6672">{about}</text>"##,
            escape(title),
            self.width - RIGHT
        );
    }

    /// What was wrong with the network, above all lanes.
    fn weather(&mut self) {
        let shown = self.scene.weather.iter().filter(|w| w.begin <= self.view.to && w.end >= self.view.from);
        for weather in shown {
            let begin = self.x(weather.begin.max(self.view.from));
            let end = self.x(weather.end.min(self.view.to));
            let language = self.view.language;
            let (words, long) = (weather.words(language), span(weather.end.since(weather.begin)));
            let title = say!(language, "messages {words} for {long}", words, long);
            put!(
                self.out,
                r##"<rect x="{begin:.1}" y="48" width="{:.1}" height="3" fill="#b8860b"><title>{title}</title></rect>"##,
                (end - begin).max(1.0)
            );
            self.word(begin + 2.0, 61.0, &words, 10.0, "#8a6508");
        }
    }

    fn arrows(&mut self) {
        // Arrows that cannot be told from each other at this scale are drawn once.
        let mut drawn: BTreeSet<(usize, usize, Stroke, bool, i64)> = BTreeSet::new();
        let scene = self.scene;
        let mut shown: Vec<&Arrow> = Vec::new();
        for arrow in scene.arrows.iter().filter(|arrow| self.view.shows(arrow) && arrow.from != arrow.to) {
            let x = (self.x(arrow.first()) * 2.0) as i64;
            if drawn.insert((arrow.from, arrow.to, stroke(arrow), arrow.fate == Fate::Lost, x)) {
                shown.push(arrow);
            }
        }
        // What matters least lies at the bottom.
        shown.sort_by_key(|arrow| (!arrow.is_routine, arrow.fate == Fate::Lost));
        let ends: Vec<Ends> = shown.iter().map(|arrow| self.arrow(arrow)).collect();
        let mut by_matter: Vec<(&Arrow, Ends)> = shown.into_iter().zip(ends).collect();
        by_matter.sort_by_key(|(arrow, _)| (arrow.fate != Fate::Lost, arrow.is_routine));
        // What somebody tells several others at once is named once.
        let mut named: BTreeSet<(usize, &str, bool, Option<Time>)> = BTreeSet::new();
        for (arrow, ends) in by_matter.into_iter().filter(|(arrow, _)| !arrow.is_routine) {
            let said = (arrow.from, label(arrow), arrow.fate == Fate::Lost, arrow.left);
            if !named.contains(&said) && self.name_arrow(arrow, ends) {
                named.insert(said);
            }
        }
    }

    fn arrow(&mut self, arrow: &Arrow) -> Ends {
        let down = arrow.to > arrow.from;
        let edge = if down { BAND } else { -BAND };
        let (from, to) = (Self::y(arrow.from) + edge, Self::y(arrow.to) - edge);
        let (begin, end) = (self.x(arrow.first()), self.x(arrow.last()));
        let whole = Ends { x: (begin, end), y: (from, to) };
        let kind = stroke(arrow);
        self.used.strokes.insert(kind);
        let (color, dash) = paint::stroke_paint(kind);
        let title = self.title(arrow);
        let (tip, extra) = match (arrow.fate, arrow.left) {
            // It gets lost half way; nobody knows where.
            (Fate::Lost, _) => (whole.at(0.55), "stroke-dasharray=\"3 3\""),
            (Fate::OnTheWay | Fate::Unrecorded, _) => (whole.at(0.45), "stroke-dasharray=\"1 3\""),
            (_, None) => ((end, to), "stroke-dasharray=\"1 3\""),
            (Fate::Received | Fate::Ignored(_), Some(_)) => ((end, to), dash),
        };
        let start = if arrow.left.is_none() { whole.at(0.55) } else { (begin, from) };
        let thin = if arrow.is_routine { 0.8 } else { 1.3 };
        let dot = match paint::has_dot(kind) && arrow.left.is_some() && !arrow.is_routine {
            true => format!(r##"<circle cx="{:.1}" cy="{:.1}" r="2.4"/>"##, start.0, start.1),
            false => String::new(),
        };
        put!(
            self.out,
            r##"<g stroke="{color}" fill="{color}"><title>{title}</title><path d="M{:.1} {:.1}L{:.1} {:.1}" fill="none" stroke-width="{thin}" {extra}/>{dot}{}</g>"##,
            start.0,
            start.1,
            tip.0,
            tip.1,
            head(arrow, start, tip)
        );
        if arrow.fate == Fate::Lost { Ends { x: (begin, tip.0), y: (from, tip.1) } } else { whole }
    }

    fn title(&self, arrow: &Arrow) -> String {
        let language = self.view.language;
        let name = |place: usize| self.names.of(self.scene.lanes[place].node).into_owned();
        let took =
            arrow.left.zip(arrow.arrived).map(|(left, arrived)| format!(", {}", span(arrived.since(left))));
        let fate = match arrow.fate {
            Fate::Received => String::new(),
            Fate::Ignored(why) => format!(", {}", ignored(language, why)),
            Fate::Lost => format!(", {}", language.of(said!("lost"))),
            Fate::OnTheWay => format!(", {}", language.of(said!("on its way when the recording ends"))),
            Fate::Unrecorded => format!(", {}", language.of(said!("its arrival is not recorded"))),
        };
        let gist = message(language, arrow.kind, arrow.index.0, arrow.count);
        let text = format!(
            "{} → {} #{}: {}{}{fate}",
            name(arrow.from),
            name(arrow.to),
            arrow.sequence,
            say!(language, "{gist}, term {term}", gist, term = arrow.term),
            took.unwrap_or_default()
        );
        escape(&text)
    }

    /// Writes the name of a message beside its arrow, if there is room.
    fn name_arrow(&mut self, arrow: &Arrow, ends: Ends) -> bool {
        let language = self.view.language;
        let name = language.of(label(arrow));
        let text = match arrow.fate {
            Fate::Lost => say!(language, "{name} lost", name),
            Fate::Received | Fate::Ignored(_) | Fate::OnTheWay | Fate::Unrecorded => name.to_owned(),
        };
        let (color, _) = paint::stroke_paint(stroke(arrow));
        let size = (labels::width(&text, 9.5), 10.0);
        for along in [0.5, 0.36, 0.64, 0.24, 0.76] {
            let (x, y) = ends.at(along);
            for x in [x + 3.0, x - 3.0 - size.0] {
                let fits = x > LEFT - 8.0 && x + size.0 < self.width - 2.0;
                if fits && self.labels.is_free((x, y - 5.0), size) {
                    self.labels.take((x, y - 5.0), size);
                    put!(
                        self.out,
                        r##"<text x="{x:.1}" y="{:.1}" font-size="9.5" fill="{color}" stroke="#ffffff" stroke-width="2.5" paint-order="stroke">{text}</text>"##,
                        y + 3.2
                    );
                    return true;
                }
            }
        }
        false
    }

    /// Campaigns that went on and on: a line above the band, as long as they did.
    fn repeats(&mut self) {
        let scene = self.scene;
        for repeats in scene.repeats.iter().filter(|repeats| self.view.tells(repeats)) {
            let (begin, end) =
                (self.x(repeats.begin.max(self.view.from)), self.x(repeats.end.min(self.view.to)));
            let y = Self::y(repeats.lane) - BAND - 4.0;
            let name = self.names.of(scene.lanes[repeats.lane].node);
            let title = escape(&repeats.sentence(self.view.language, &name));
            let (color, _) = paint::stroke_paint(if repeats.stands { Stroke::Vote } else { Stroke::PreVote });
            put!(
                self.out,
                r##"<g stroke="{color}"><title>{title}</title><path d="M{begin:.1} {y:.1}H{end:.1}" fill="none" stroke-width="2" {}/></g>"##,
                paint::AGAIN
            );
            let times = say!(self.view.language, "{times} times more", times = repeats.times);
            let is_told = self.word(begin + 2.0, y - 4.0, &times, 9.5, color);
            // Between two gaps there is not much room.
            let mut places = self.clear(begin, end).into_iter().map(|(from, _)| from + 2.0);
            let short = format!("×{}", repeats.times);
            let _nowhere = is_told || places.any(|x| self.word(x, y - 4.0, &short, 9.5, color));
        }
    }

    /// What happened on single servers: under their bands.
    fn marks(&mut self) {
        let scene = self.scene;
        let mut last: Vec<f64> = vec![f64::NEG_INFINITY; scene.lanes.len()];
        for record in scene.between(self.view.from, self.view.to) {
            if !self.view.shows_record(record) {
                continue;
            }
            let (Some(place), Some(text)) = (scene.place(record.node), mark(self.view.language, record))
            else {
                continue;
            };
            let (x, y) = (self.x(record.time), Self::y(place) + BAND);
            if x - last[place] < 1.0 {
                continue;
            }
            last[place] = x;
            self.used.marks = true;
            put!(
                self.out,
                r##"<path d="M{x:.1} {y:.1}l-3 5h6z" fill="#33414e"><title>{text}</title></path>"##,
            );
            if !self.word(x + 4.0, y + 10.0, &text, 9.0, "#33414e") {
                self.word(x - 4.0 - labels::width(&text, 9.0), y + 10.0, &text, 9.0, "#33414e");
            }
        }
    }

    /// A text, if it covers nothing; whether it does not.
    fn word(&mut self, x: f64, y: f64, text: &str, size: f64, color: &str) -> bool {
        let extent = (labels::width(text, size), size);
        let fits = x + extent.0 < self.width - 2.0 && self.labels.is_free((x, y - size), extent);
        if fits {
            self.labels.take((x, y - size), extent);
            put!(
                self.out,
                r##"<text x="{x:.1}" y="{y:.1}" font-size="{size}" fill="{color}" stroke="#ffffff" stroke-width="2.5" paint-order="stroke">{}</text>"##,
                escape(text)
            );
        }
        fits
    }
}

/// Where an arrow begins and ends.
#[derive(Clone, Copy)]
struct Ends {
    x: (f64, f64),
    y: (f64, f64),
}

impl Ends {
    fn at(&self, along: f64) -> (f64, f64) {
        (self.x.0 + (self.x.1 - self.x.0) * along, self.y.0 + (self.y.1 - self.y.0) * along)
    }
}

/// The end of an arrow: a head, or a cross.
fn head(arrow: &Arrow, start: (f64, f64), tip: (f64, f64)) -> String {
    match arrow.fate {
        Fate::Lost => format!(
            r##"<path d="M{:.1} {:.1}l7 7m0 -7l-7 7" stroke="{}" stroke-width="1.8"/>"##,
            tip.0 - 3.5,
            tip.1 - 3.5,
            paint::LOST
        ),
        Fate::OnTheWay | Fate::Unrecorded => String::new(),
        Fate::Received | Fate::Ignored(_) => {
            let angle = (tip.1 - start.1).atan2(tip.0 - start.0).to_degrees();
            let hollow = matches!(arrow.fate, Fate::Ignored(_));
            let fill = if hollow { " fill=\"#ffffff\"" } else { "" };
            let shape = match paint::tip(arrow) {
                Tip::Head => "M0 0L-7 -3V3z",
                Tip::Bar => "M-1 -5h2v10h-2z",
            };
            format!(
                r##"<path d="{shape}" transform="translate({:.1} {:.1}) rotate({angle:.1})" stroke-width="0.8"{fill}/>"##,
                tip.0, tip.1
            )
        }
    }
}

/// What a mark says. Roles are bands, and messages arrows.
fn mark(language: Language, record: &Record) -> Option<String> {
    match record.event {
        Event::Raft(RaftEvent::RoleChanged { .. }) => None,
        Event::Raft(RaftEvent::Committed { index, .. }) => Some(say!(language, "commit {index}", index)),
        Event::Raft(RaftEvent::Truncated { from, last }) if from == last => {
            Some(say!(language, "removes {from}", from))
        }
        Event::Raft(RaftEvent::Truncated { from, last }) => {
            Some(say!(language, "removes {from}-{last}", from, last))
        }
        Event::Raft(RaftEvent::SnapshotTaken { index, .. }) => {
            Some(say!(language, "snapshot {index}", index))
        }
        Event::Raft(RaftEvent::SnapshotInstalled { index, .. }) => {
            Some(say!(language, "installs {index}", index))
        }
        Event::Raft(RaftEvent::MembershipChanged { voters, .. }) => {
            Some(say!(language, "{voters} voters", voters))
        }
        Event::Raft(RaftEvent::TransferStarted { .. }) => Some(say!(language, "hands over")),
        Event::Disk(DiskEvent::Opened { .. }) => Some(say!(language, "start")),
        event => Some(language.of(topic_word(Topic::of(&event))).to_owned()),
    }
}
