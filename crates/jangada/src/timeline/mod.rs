//! Pictures of what happened: a recording is read or fetched, and painted in one of many forms.
//!
//! What can be done without files and sockets is done in `jangada_trace::timeline`; here is the rest.

mod fetch; // recordings of servers that run
mod html; // a page of its own
mod kind; // the forms, and the endings of their files
mod read; // recordings out of files
mod terminal; // what a terminal can show
mod window; // which part of a recording

use jangada_node::event::Record;
use jangada_raft::types::Time;
use jangada_trace::jsonl;
use jangada_trace::language::Language;
use jangada_trace::merge::{Agreement, Clock, Merged, Source, merge};
use jangada_trace::names::Names;
use jangada_trace::phrases::{message, span};
use jangada_trace::safety::Safety;
use jangada_trace::say;
use jangada_trace::timeline::text::{self, Style};
use jangada_trace::timeline::{Absence, Scene, Tally, Topics, View, perfetto, svg, table};
use jangada_trace::words::{Level, Words};

pub use fetch::from_servers;
pub use kind::Kind;
pub use read::{Given, from_files};
pub use terminal::{plain_kind, terminal_width};
pub use window::Window;
use window::seconds;

/// What happened, on one clock.
#[derive(Clone, Debug)]
pub struct Recording {
    /// What it is called.
    pub title: String,
    /// What became of everything.
    pub scene: Scene,
    /// What the servers are called.
    pub names: Names,
    /// The clocks that were set.
    pub clocks: Vec<Clock>,
    /// Whether they could be.
    pub agreement: Agreement,
    /// What the safety reader says.
    pub verdict: Result<(), String>,
}

/// How a picture is to be.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Its form.
    pub kind: Kind,
    /// Columns of a terminal.
    pub width: Option<usize>,
    /// Most rows of a terminal's picture.
    pub max_rows: usize,
}

impl Recording {
    /// Brings sources together.
    pub fn of(title: String, sources: Vec<Source>, names: Names) -> Recording {
        Recording::merged(title, merge(sources), names)
    }

    /// The same, with times that count from the first record.
    pub fn from_zero(title: String, sources: Vec<Source>, names: Names) -> Recording {
        let mut merged = merge(sources);
        let first = merged.records.first().map_or(0, |record| record.time.0);
        merged.records.iter_mut().for_each(|record| record.time.0 -= first);
        Recording::merged(title, merged, names)
    }

    /// Where these servers should be, nobody listens now: whoever fell silent among them does not run any more.
    pub fn refuse(&mut self, names: &[String]) {
        for lane in &mut self.scene.lanes {
            if names.iter().any(|name| *name == self.names.of(lane.node)) {
                let last = lane.quiet.iter_mut().rfind(|quiet| quiet.why == Absence::Silent);
                last.into_iter()
                    .filter(|quiet| quiet.end >= self.scene.end)
                    .for_each(|quiet| quiet.why = Absence::Refused);
            }
        }
    }

    fn merged(title: String, merged: Merged, names: Names) -> Recording {
        let Merged { records, clocks, agreement } = merged;
        let verdict = judge(&records);
        Recording { title, scene: Scene::of(records), names, clocks, agreement, verdict }
    }

    /// Servers that have a clock of their own and what was done about it, in a sentence; `None` if nothing was.
    pub fn about_clocks(&self, language: Language) -> Option<String> {
        let widest = self.clocks.iter().filter_map(|clock| clock.slack_ns).max();
        let within = widest.map_or(String::new(), |slack| {
            let within = span(std::time::Duration::from_nanos(slack));
            say!(language, ", right to within {within}", within)
        });
        let drifting = self.clocks.iter().filter(|clock| clock.rate_ppb.unsigned_abs() >= 1_000).count();
        let drifting = match drifting {
            0 => String::new(),
            some => say!(language, "; {some} of them run faster or slower than the first", some),
        };
        match self.agreement {
            Agreement::Given => None,
            Agreement::Corrected => Some(say!(
                language,
                "{clocks} clocks were set by the messages between them{within}{drifting}",
                clocks = self.clocks.len(),
                within,
                drifting
            )),
            Agreement::Impossible { backwards } => Some(say!(
                language,
                "no setting of the clocks explains all messages: {backwards} of them arrive before they have left, and are \
                 shown right behind that",
                backwards
            )),
        }
    }

    /// "3 servers, 4213 records, 0.000 to 2.310 s, 830 messages: 812 received, 18 lost"; of a part, of how much it is one.
    pub fn summary(&self, language: Language, view: &View) -> String {
        let scene = &self.scene;
        let Tally { sent, received, lost, on_the_way, unrecorded, .. } = scene.tally_of(view.from, view.to);
        let mut fates =
            vec![say!(language, "{received} received", received), say!(language, "{lost} lost", lost)];
        if on_the_way > 0 {
            fates.push(say!(language, "{on_the_way} on their way at the end", on_the_way));
        }
        if unrecorded > 0 {
            fates.push(say!(language, "{unrecorded} beyond what is recorded", unrecorded));
        }
        let (servers, fates) = (scene.lanes.len(), fates.join(", "));
        let (from, to) = (seconds(view.from), seconds(view.to));
        if (view.from, view.to) == (scene.begin, scene.end) {
            let records = scene.records.len();
            return say!(
                language,
                "{servers} servers, {records} records, {from} to {to} s; {sent} messages: {fates}",
                servers,
                records,
                from,
                to,
                sent,
                fates
            );
        }
        say!(
            language,
            "{servers} servers, {records} records, {from} to {to} s of {begin} to {end} s; {sent} messages: {fates}",
            servers,
            records = scene.between(view.from, view.to).len(),
            from,
            to,
            begin = seconds(scene.begin),
            end = seconds(scene.end),
            sent,
            fates
        )
    }

    /// If a picture of this part shows nothing: that, and what was the last thing before it, and when.
    pub fn about_nothing(&self, view: &View) -> Option<(String, Time)> {
        let (scene, language) = (&self.scene, view.language);
        if view.has_something(scene) {
            return None;
        }
        let (from, to) = (seconds(view.from), seconds(view.to));
        let nothing = match view.topics == Topics::default() {
            true => say!(language, "nothing but heartbeats from {from} to {to} s", from, to),
            false => say!(language, "nothing of the kind happened from {from} to {to} s", from, to),
        };
        let name = |lane: usize| self.names.of(scene.lanes[lane].node);
        let (time, what) = match view.latest(scene) {
            (Some(record), _) => {
                let mut words = Words::new(self.names.clone()).in_language(language);
                let until = scene.records.iter().take_while(|other| !std::ptr::eq(*other, record));
                until.for_each(|before| drop(words.sentence(before, Level::Warn)));
                let sentence = words.sentence(record, Level::Trace).unwrap_or_default();
                (record.time, format!("{}: {sentence}", self.names.of(record.node)))
            }
            (None, Some(arrow)) => {
                let gist = message(language, arrow.kind, arrow.index.0, arrow.count);
                (arrow.first(), format!("{} → {}: {gist}", name(arrow.from), name(arrow.to)))
            }
            (None, None) => return Some((nothing, scene.begin)),
        };
        Some((say!(language, "{nothing}; last, at {at} s: {what}", nothing, at = seconds(time), what), time))
    }

    /// Paints a part of it. Says how many rows did not fit.
    pub fn paint(&self, view: &View, look: Look) -> (String, usize) {
        match look.kind {
            Kind::Text | Kind::Ascii => {
                let style =
                    Style { ascii: look.kind == Kind::Ascii, width: look.width, max_rows: look.max_rows };
                let painted = text::paint(&self.scene, &self.names, view, style);
                (painted.text, painted.left_out)
            }
            Kind::Table => (tables(&[(self, *view)], false), 0),
            Kind::Svg => {
                let width = look.width.and_then(|width| u32::try_from(width).ok());
                let style =
                    width.map_or_else(svg::Style::default, |width| svg::Style { width, may_grow: false });
                (svg::paint(&self.title, &self.scene, &self.names, view, style), 0)
            }
            Kind::Html => (html::page(self, view), 0),
            Kind::Perfetto => (perfetto::paint(&self.scene, &self.names, view), 0),
            Kind::Jsonl => (self.lines(view), 0),
        }
    }

    /// The records, one JSON object on each line.
    fn lines(&self, view: &View) -> String {
        let records = self.scene.between(view.from, view.to);
        let mut out = String::with_capacity(records.len() * 140);
        for record in records {
            jsonl::write(&mut out, record, &self.names);
            out.push('\n');
        }
        out
    }
}

/// Tables of several recordings, with a last line for all of them.
pub fn tables(recordings: &[(&Recording, View)], ascii: bool) -> String {
    let mut parts = Vec::new();
    for (recording, view) in recordings {
        parts.push(table::Part {
            title: &recording.title,
            scene: &recording.scene,
            names: &recording.names,
            view: *view,
            verdict: recording.verdict.as_ref().copied().map_err(String::as_str),
        });
    }
    table::paint(&parts, ascii)
}

/// What the safety reader finds.
fn judge(records: &[Record]) -> Result<(), String> {
    let mut safety = Safety::new();
    for record in records {
        safety.read(record).map_err(|violation| violation.to_string())?;
    }
    Ok(())
}
