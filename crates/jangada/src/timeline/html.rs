//! A page of its own that shows a recording: zoom, move, filter, select a message and read it.
//!
//! The page carries everything: styles, the diagram of the browser page (`web/diagram.js`, `model.js`, `words.js`), and the
//! records as rows of numbers, of which a million are some 40 MB. Nothing is fetched from anywhere.

use std::collections::BTreeSet;
use std::fmt::Write;

use jangada_node::event::{Event, Record};
use jangada_raft::event::{Event as RaftEvent, MessageKind};
use jangada_raft::types::{NodeId, Time};
use jangada_trace::deeds::Standing;
use jangada_trace::language::Language;
use jangada_trace::timeline::scale::{Room, Scale};
use jangada_trace::timeline::{Absence, Fate, Lane, Quiet, RoleSpan, Scene, Tally, View};
use jangada_trace::{jsonl, kinds, say};
use serde_json::json;

use super::Recording;
use crate::lab::assets;

const PAGE: &str = include_str!("../../web/timeline.html");
/// In an order in which each has what it needs.
const MODULES: [(&str, &str); 4] = [
    ("model.js", include_str!("../../web/model.js")),
    ("words.js", include_str!("../../web/words.js")),
    ("diagram.js", include_str!("../../web/diagram.js")),
    ("timeline.js", include_str!("../../web/timeline.js")),
];

/// Writes a part of a recording as a page.
pub fn page(recording: &Recording, view: &View) -> String {
    let scene = &recording.scene;
    let records = scene.between(view.from, view.to);
    let mut out = String::with_capacity(records.len() * 44 + (1 << 17));
    let page = assets::page_in(view.language, PAGE);
    for piece in page.split("@@") {
        match piece {
            "title" => {
                out.push_str(&escape(&say!(view.language, "{title} · timeline", title = recording.title)))
            }
            "summary" => out.push_str(&escape(&summary(recording, view))),
            "head" => out.push_str(&head(recording, view)),
            "rows" => rows(recording, view, &mut out),
            "modules" => out.push_str(&modules(view.language)),
            text => out.push_str(text),
        }
    }
    out
}

fn summary(recording: &Recording, view: &View) -> String {
    let scene = &recording.scene;
    let Tally { sent, received, lost, .. } = scene.tally();
    let shown = scene.between(view.from, view.to).len();
    let language = view.language;
    let of = match scene.records.len() {
        all if shown < all => say!(language, " of {all}", all),
        _ => String::new(),
    };
    let clocks = recording.about_clocks(language).map_or(String::new(), |sentence| format!(" · {sentence}"));
    let violated = |why| say!(language, " · violated: {why}", why);
    let verdict = recording.verdict.as_ref().err().map_or(String::new(), violated);
    say!(
        language,
        "{servers} servers · {shown}{of} records · {sent} messages: {received} received, {lost} lost{clocks}{verdict}",
        servers = scene.lanes.len(),
        shown,
        of,
        sent,
        received,
        lost,
        clocks,
        verdict
    )
}

/// How wide the diagram is on a usual screen, and a fold of quiet time in it.
const USUAL_WIDTH: f64 = 1_150.0;
const FOLD_WIDTH: f64 = 56.0;

fn head(recording: &Recording, view: &View) -> String {
    let scene = &recording.scene;
    let servers: Vec<_> = scene.lanes.iter().map(|lane| recording.names.of(lane.node).into_owned()).collect();
    let latency = scene.arrows.iter().filter_map(|arrow| Some(arrow.arrived?.since(arrow.left?)));
    // Longer than any message that arrived was under way: what is older and has not arrived is lost.
    let grace = latency.max().unwrap_or_default().as_nanos().min(1 << 50) as u64;
    let room = Room { width: USUAL_WIDTH, may_grow: false, fold: FOLD_WIDTH };
    let scale = Scale::of(scene, view, room);
    let folds: Vec<[u64; 2]> = scale.folds.iter().map(|fold| [fold.begin.0, fold.end.0]).collect();
    let head = json!({"servers": servers, "from_ns": view.from.0, "to_ns": view.to.0.max(view.from.0 + 1), "grace_ns": grace,
        "folds": folds, "fold_ns": (FOLD_WIDTH / scale.per_nano).max(1.0)});
    harmless(&head.to_string())
}

/// A line for each record, and for what is known beside them.
fn rows(recording: &Recording, view: &View, out: &mut String) {
    let scene = &recording.scene;
    let mut besides = besides(recording, view).into_iter().peekable();
    let mut before = 0;
    for record in scene.between(view.from, view.to) {
        while let Some((time, row)) = besides.next_if(|(time, _)| *time <= record.time) {
            writeln!(out, "j {row}").expect("writing to a string cannot fail");
            before = time.0;
        }
        row(recording, record, &mut before, out);
    }
    for (_, row) in besides {
        writeln!(out, "j {row}").expect("writing to a string cannot fail");
    }
}

fn row(recording: &Recording, record: &Record, before: &mut u64, out: &mut String) {
    let scene = &recording.scene;
    let place = |node: NodeId| scene.place(node).unwrap_or(0);
    let (later, node) = (record.time.0.saturating_sub(*before), place(record.node));
    let written = match record.event {
        Event::Raft(RaftEvent::Sent { to, sequence, term, kind, index, count }) => {
            writeln!(out, "s {later} {node} {} {sequence} {term} {} {index} {count}", place(to), number(kind))
        }
        Event::Raft(RaftEvent::Received { from, sequence, term, kind, index, count }) => {
            writeln!(
                out,
                "r {later} {node} {} {sequence} {term} {} {index} {count}",
                place(from),
                number(kind)
            )
        }
        Event::Raft(RaftEvent::Appended { first, last, term }) => {
            writeln!(out, "a {later} {node} {first} {last} {term}")
        }
        Event::Raft(RaftEvent::Durable { last }) => writeln!(out, "d {later} {node} {last}"),
        Event::Raft(RaftEvent::Committed { index, term }) => writeln!(out, "c {later} {node} {index} {term}"),
        // The diagram has no use for it, and there are many.
        Event::Raft(RaftEvent::ElectionTimerReset { .. }) => return,
        _ => writeln!(out, "j {}", harmless(&jsonl::line(record, &recording.names))),
    };
    written.expect("writing to a string cannot fail");
    *before = record.time.0;
}

/// What no record says but all of them together: who was what when the picture begins, what had been done by then, and,
/// where nobody recorded that, who was down, stood still, was cut off. In the order of time.
fn besides(recording: &Recording, view: &View) -> Vec<(Time, String)> {
    let (scene, names) = (&recording.scene, &recording.names);
    let mut rows = Vec::new();
    let mut standing = Standing::default();
    scene
        .records
        .iter()
        .take_while(|record| record.time < view.from)
        .for_each(|record| standing.see_record(record));
    let deeds = standing.records(view.from);
    let tell: BTreeSet<NodeId> = scene.records.iter().map(|record| record.node).collect();
    for lane in &scene.lanes {
        let name = names.of(lane.node);
        rows.extend(roles(lane, view, tell.contains(&lane.node)).map(|(time, role)| {
            let row = json!({"time_ns": time.0, "event": "server", "node": name, "role": kinds::role(role.role),
                "term": role.term.0, "state": "up"});
            (time, row)
        }));
        let cut = recording_ends(lane, scene);
        if let Some(end) = cut.filter(|end| *end <= view.to) {
            let begin = end.max(view.from);
            rows.push((begin, json!({"time_ns": begin.0, "event": "deed", "node": name, "what": "silent"})));
        }
        let shown = |quiet: &&Quiet| {
            quiet.begin <= view.to && quiet.end >= view.from && cut.is_none_or(|end| quiet.begin < end)
        };
        for quiet in lane.quiet.iter().filter(shown) {
            let (goes, comes) = match quiet.why {
                // A server that was not there yet leaves no deed.
                Absence::Down if !scene.deeds_known || quiet.begin <= scene.begin => ("crash", "start"),
                Absence::Silent => ("silent", "heard"),
                Absence::Refused => ("refused", "heard"),
                Absence::Down | Absence::Paused | Absence::CutOff => continue,
            };
            let begin = quiet.begin.max(view.from);
            rows.push((begin, json!({"time_ns": begin.0, "event": "deed", "node": name, "what": goes})));
            if quiet.end < scene.end {
                rows.push((
                    quiet.end,
                    json!({"time_ns": quiet.end.0, "event": "deed", "node": name, "what": comes}),
                ));
            }
        }
    }
    // Nobody knows what became of these: whoever should have got them was not recorded then.
    let unrecorded: BTreeSet<(Time, usize)> = scene
        .arrows
        .iter()
        .filter(|arrow| arrow.fate == Fate::Unrecorded)
        .filter_map(|arrow| Some((arrow.left.filter(|left| view.has(*left))?, arrow.to)))
        .collect();
    rows.extend(unrecorded.into_iter().map(|(time, to)| {
        let node = names.of(scene.lanes[to].node);
        (time, json!({"time_ns": time.0, "event": "missing", "node": node, "until_ns": time.0}))
    }));
    let cuts = if scene.deeds_known { Vec::new() } else { network(scene, view) };
    rows.extend(cuts.into_iter().map(|(time, cut)| {
        let name = |place: &usize| names.of(scene.lanes[*place].node).into_owned();
        let cut: Vec<[String; 2]> = cut.iter().map(|(from, to)| [name(from), name(to)]).collect();
        (time, json!({"time_ns": time.0, "event": "network", "cut": cut, "loss": 0, "delay_ns": 0}))
    }));
    let deeds = deeds.iter().map(|record| (record.time, jsonl::line(record, names)));
    let rows = rows.into_iter().map(|(time, row)| (time, row.to_string()));
    let mut rows: Vec<(Time, String)> = rows.chain(deeds).map(|(time, row)| (time, harmless(&row))).collect();
    rows.sort_by_key(|(time, _)| *time);
    rows
}

/// What a server is when the picture begins; and of one that does not tell it by its own records, what it becomes later.
fn roles<'a>(lane: &'a Lane, view: &'a View, tells: bool) -> impl Iterator<Item = (Time, &'a RoleSpan)> {
    let already = lane.roles.iter().rev().find(|role| role.begin <= view.from);
    let later = lane.roles.iter().filter(move |role| !tells && view.has(role.begin));
    already.into_iter().chain(later).map(|role| (role.begin.max(view.from), role))
}

/// When a recording ends that was cut, though the others hear its server further on.
fn recording_ends(lane: &Lane, scene: &Scene) -> Option<Time> {
    let end = lane.roles.last()?.end;
    let is_absent = lane.quiet.iter().any(|quiet| quiet.begin <= end && quiet.end >= scene.end);
    (!scene.deeds_known && end < scene.end && !is_absent).then_some(end)
}

/// The links that seem cut from each moment on: those between servers that are cut off and all others.
fn network(scene: &Scene, view: &View) -> Vec<(Time, Vec<(usize, usize)>)> {
    let cut_off = |place: usize, time: Time| {
        let quiet = scene.lanes[place].quiet.iter();
        quiet
            .filter(|quiet| quiet.why == Absence::CutOff)
            .any(|quiet| quiet.begin <= time && time < quiet.end)
    };
    let all = scene.lanes.iter().flat_map(|lane| &lane.quiet).filter(|quiet| quiet.why == Absence::CutOff);
    let mut moments: Vec<Time> = all.flat_map(|quiet| [quiet.begin, quiet.end]).collect();
    moments.retain(|time| view.has(*time));
    moments.sort_unstable();
    moments.dedup();
    let lanes = scene.lanes.len();
    let at = |time: Time| {
        let pairs = (0..lanes).flat_map(|from| (0..lanes).map(move |to| (from, to)));
        let parted = pairs.filter(|(from, to)| from != to && cut_off(*from, time) != cut_off(*to, time));
        (time, parted.collect())
    };
    moments.into_iter().map(at).collect()
}

/// The place of a kind in the list of `model.js`, which is in the order of the enum.
fn number(kind: MessageKind) -> u8 {
    kind as u8
}

/// JSON that ends no script.
fn harmless(json: &str) -> String {
    json.replace('<', "\\u003c")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// All modules as one: each becomes a function that gives back what it exports.
fn modules(language: Language) -> String {
    let mut out = String::from("const modules = {};\n");
    for (name, text) in MODULES {
        writeln!(out, "modules['./{name}'] = (() => {{").expect("writing to a string cannot fail");
        let mut exported = Vec::new();
        let mut body = String::with_capacity(text.len());
        for line in text.lines() {
            if let Some((what, from)) =
                line.strip_prefix("import ").and_then(|line| line.split_once(" from "))
            {
                writeln!(body, "const {what} = modules[{}];", from.trim_end_matches(';'))
                    .expect("writing to a string cannot fail");
                continue;
            }
            let code = line.strip_prefix("export ").unwrap_or(line);
            if code.len() < line.len() {
                let name = code.split([' ', '(', '=']).nth(1).unwrap_or_default();
                exported.push(name.to_owned());
            }
            body.push_str(code);
            body.push('\n');
        }
        out.push_str(&assets::script_in(language, &body));
        writeln!(out, "\nreturn {{ {} }};\n}})();", exported.join(", "))
            .expect("writing to a string cannot fail");
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_asks_nobody() {
        let pieces: Vec<&str> = PAGE.split("@@").collect();
        for name in ["title", "summary", "head", "rows", "modules"] {
            assert!(pieces.contains(&name), "{name}");
        }
        let modules = modules(Language::English);
        assert!(!modules.lines().any(|line| line.starts_with("import ") || line.starts_with("export ")));
        for name in ["{ KINDS, Model }", "Diagram", "tellMessage"] {
            assert!(modules.contains(name), "{name} is not given back");
        }
        assert!(!modules.contains("</script"));
        assert!(!PAGE.contains("http:") && !PAGE.contains("https:") && !modules.contains("fetch("));
    }

    #[test]
    fn kinds_have_the_numbers_of_the_model() {
        let listed = MODULES[0].1.split("KINDS = [").nth(1).and_then(|rest| rest.split(']').next()).unwrap();
        let listed: Vec<&str> = listed.split(',').map(|name| name.trim().trim_matches('\'')).collect();
        let all = [
            MessageKind::PreVote,
            MessageKind::PreVoteReply,
            MessageKind::Vote,
            MessageKind::VoteReply,
            MessageKind::Append,
            MessageKind::Heartbeat,
            MessageKind::AppendAccepted,
            MessageKind::AppendRefused,
            MessageKind::Snapshot,
            MessageKind::SnapshotReply,
            MessageKind::TimeoutNow,
            MessageKind::ReadIndex,
            MessageKind::ReadIndexReply,
        ];
        assert_eq!(listed.len(), all.len());
        for kind in all {
            assert_eq!(listed[usize::from(number(kind))], kinds::message(kind));
        }
    }
}
