//! `jangada timeline`: what happened, as a picture.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use jangada_trace::language::Language;
use jangada_trace::say;
use jangada_trace::timeline::{Topic, Topics};
use serde::Serialize;

use crate::commands::client::check_address;
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};
use crate::timeline::{
    Given, Kind, Look, Recording, Window, from_files, from_servers, plain_kind, tables, terminal_width,
};
use crate::tongue;

const EXAMPLES: &str = "\
Examples:
  $ jangada sim --seed 17 --record run.jsonl
  $ jangada timeline run.jsonl --last 300ms
  $ jangada timeline run.jsonl --from 1.2s --to 1.5s --events +heartbeats
  $ jangada timeline run.jsonl --save run.html
  $ jangada timeline run.jsonl --last 300ms --save run.svg
  $ jangada timeline run.jsonl --format table --save output.txt

Without FILE it shows a cluster that runs: `jangada timeline --servers 127.0.0.1:2379 --last 5s`. Times are those of the recording. Events are elections, terms, votes, messages, heartbeats, log, commits, snapshots, \
members, reads, clients, links, starts, timers, deeds, or all; with + or - before them, those of the usual picture and these, \
or without these. docs/timeline.md has more. Exit codes: 0 ok, 1 the recording violates a property of Raft, 2 it cannot \
be read.";

/// Who is asked if nobody says whom.
const USUAL_SERVER: &str = "127.0.0.1:2379";
/// Most rows on a terminal.
const MOST_ROWS: usize = 2_000;
/// Narrower than that a picture for reports has no room for its title and its legend.
const LEAST_PIXELS: usize = 800;
/// How much of a recorder is asked for if nobody says: all.
const LONGEST: Duration = Duration::from_secs(86_400);

/// What is to be seen, and how.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub struct Arguments {
    /// Recordings, or folders of them; `-` reads from stdin. Clocks that do not agree are set by the messages between them
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Without FILE: client addresses of a cluster that runs, otherwise those in JANGADA_SERVERS, or 127.0.0.1:2379; each
    /// server keeps its last 65,536 records
    #[arg(short, long, value_delimiter = ',', value_name = "HOST:PORT,…", conflicts_with = "files")]
    pub servers: Vec<String>,
    /// Begin at this time: 1.2s, 300ms
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub from: Option<Duration>,
    /// End at this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub to: Option<Duration>,
    /// Only so much before the end
    #[arg(long, value_name = "TIME", value_parser = time, conflicts_with = "from")]
    pub last: Option<Duration>,
    /// Which events: elections,votes; +heartbeats; -messages; all
    #[arg(long, value_name = "EVENTS", value_parser = topics, allow_hyphen_values = true)]
    pub events: Option<Topics>,
    /// In .svg and .html, one scale from end to end: stretches in which nothing happens are not folded
    #[arg(long)]
    pub even: bool,
    /// The form; otherwise the file's ending tells it
    #[arg(long, value_enum, value_name = "FORM")]
    pub format: Option<Kind>,
    /// Each file is a recording of its own, not a part of one: a table for each
    #[arg(long)]
    pub each: bool,
    /// Write the picture to this file
    #[arg(long, value_name = "FILE")]
    pub save: Option<PathBuf>,
    /// What the picture speaks, `en` or `pt`
    #[arg(long, env = "JANGADA_LANG", value_parser = tongue::named, value_name = "LANG")]
    pub lang: Option<Language>,
    /// So many columns, 40 to 10000; otherwise those of the terminal, or 120. Of .svg so many pixels, 800 to 10000; otherwise
    /// as many as it needs
    #[arg(long, value_name = "N", value_parser = columns)]
    pub width: Option<usize>,
}

impl Arguments {
    /// Whom to ask, and whether somebody has just said so.
    fn asked(&self) -> (Vec<String>, bool) {
        if !self.servers.is_empty() {
            return (self.servers.clone(), true);
        }
        let servers = std::env::var("JANGADA_SERVERS").ok().filter(|servers| !servers.is_empty());
        let servers = servers.unwrap_or_else(|| USUAL_SERVER.to_owned());
        (servers.split(',').map(str::to_owned).collect(), false)
    }

    fn language(&self) -> Language {
        tongue::spoken(self.lang)
    }
}

pub(super) fn time(text: &str) -> Result<Duration, String> {
    jangada_sim::script::duration(text).ok_or_else(|| format!("{text} is no time; write 1.5s, 300ms or 50us"))
}

/// Narrower than that no lane has room, and no terminal is wider.
fn columns(text: &str) -> Result<usize, String> {
    let columns = text.parse().ok().filter(|columns| (40..=10_000).contains(columns));
    columns.ok_or_else(|| format!("{text} columns are too few or too many for a picture; write 40 to 10000"))
}

fn topics(text: &str) -> Result<Topics, String> {
    Topics::parse(text).map_err(|word| {
        let known: Vec<&str> = Topic::ALL.iter().map(|topic| topic.name()).collect();
        format!("{word:?} is no kind of event; there are {}, and all", known.join(", "))
    })
}

/// What can be said about a picture in numbers.
#[derive(Serialize)]
struct Report {
    servers: Vec<String>,
    records: usize,
    from_seconds: f64,
    to_seconds: f64,
    messages: Messages,
    clocks: Vec<ClockReport>,
    clocks_agree: bool,
    violation: Option<String>,
    saved: Option<PathBuf>,
}

#[derive(Serialize)]
struct Messages {
    sent: u64,
    received: u64,
    lost: u64,
    on_the_way: u64,
    unrecorded: u64,
    duplicates: u64,
}

#[derive(Serialize)]
struct ClockReport {
    server: String,
    records: u64,
    shift_ns: i64,
    rate_ppb: i64,
    slack_ns: Option<u64>,
}

/// Paints.
///
/// # Errors
/// 2 if a recording cannot be read, 1 if it violates a property of Raft.
pub fn run(arguments: &Arguments, format: Format) -> Result<(), Failure> {
    let kind = form(arguments)?;
    window(arguments).check().map_err(Failure::usage)?;
    if arguments.each {
        return each(arguments, kind);
    }
    if arguments.files.is_empty() {
        return live(arguments, kind, format);
    }
    let given = from_files(&arguments.files)?;
    tell_damage(arguments.language(), &given);
    let title = title(&arguments.files);
    let recording = Recording::of(title, given.sources, given.names);
    if recording.scene.records.is_empty() {
        return Err(Failure::usage(say!(arguments.language(), "there are no records: nothing to paint")));
    }
    show(&recording, arguments, kind, format)
}

/// What cannot be read is told, and the rest is painted.
fn tell_damage(language: Language, given: &Given) {
    for damage in &given.damaged {
        output::note(&damage.sentence(language));
    }
}

/// What servers that run have just done.
fn live(arguments: &Arguments, kind: Kind, format: Format) -> Result<(), Failure> {
    let (servers, is_chosen) = arguments.asked();
    for server in &servers {
        check_address(server)?;
    }
    // Clocks are only known afterwards: a little more is asked for than is shown.
    let span = arguments.last.map_or(LONGEST, |last| last + Duration::from_millis(500));
    let heard = from_servers(&servers, span);
    let language = arguments.language();
    for silent in &heard.silent {
        output::note(&say!(language, "nothing of {silent}", silent));
    }
    if !heard.nowhere.is_empty() {
        output::note(&say!(
            language,
            "nothing of {names}: none of the servers that answer knows yet where to ask; name all of them: --servers \
             {servers},HOST:PORT",
            names = heard.nowhere.join(", "),
            servers = servers.join(",")
        ));
    }
    tell_damage(language, &heard.given);
    if heard.given.sources.is_empty() {
        return Err(Failure::unreachable(say!(
            language,
            "no server of {servers} gives its records; is the cluster up? (`jangada cluster status`)",
            servers = servers.join(", ")
        )));
    }
    if !is_chosen {
        output::note(&say!(
            language,
            "this is the cluster at {servers}; `--servers HOST:PORT` asks another one, and a file's name shows a recording",
            servers = servers.join(",")
        ));
    }
    let title = say!(language, "cluster at {servers}", servers = servers.join(","));
    let mut recording = Recording::from_zero(title, heard.given.sources, heard.given.names);
    recording.refuse(&heard.refused);
    if recording.scene.records.is_empty() {
        return Err(Failure::new(Exit::No, say!(language, "nothing has happened in that time")));
    }
    show(&recording, arguments, kind, format)
}

/// A table for each file, and a last line for all of them.
fn each(arguments: &Arguments, kind: Kind) -> Result<(), Failure> {
    if kind != Kind::Table {
        return Err(Failure::usage("--each makes tables: add --format table"));
    }
    let mut recordings = Vec::new();
    for file in &arguments.files {
        let given = from_files(std::slice::from_ref(file))?;
        tell_damage(arguments.language(), &given);
        recordings.push(Recording::of(title(std::slice::from_ref(file)), given.sources, given.names));
    }
    let window = window(arguments);
    let parts: Vec<_> = recordings.iter().map(|recording| (recording, window.of(&recording.scene))).collect();
    let picture = tables(&parts, plain_kind() == Kind::Ascii);
    match &arguments.save {
        Some(file) => write(file, &picture)?,
        None => output::raw(picture.as_bytes())?,
    }
    match recordings.iter().any(|recording| recording.verdict.is_err()) {
        true => Err(Failure::silent(Exit::No)),
        false => Ok(()),
    }
}

fn window(arguments: &Arguments) -> Window {
    Window {
        from: arguments.from,
        to: arguments.to,
        last: arguments.last,
        topics: arguments.events.unwrap_or_default(),
        language: arguments.language(),
        even: arguments.even,
    }
}

/// Paints a recording to where it is wanted.
fn show(recording: &Recording, arguments: &Arguments, kind: Kind, format: Format) -> Result<(), Failure> {
    let window = window(arguments);
    let view = window.within(&recording.scene).map_err(Failure::usage)?;
    let max_rows = if arguments.save.is_some() { usize::MAX } else { MOST_ROWS };
    let look = Look { kind, width: width(arguments, kind)?, max_rows };
    match (&arguments.save, format) {
        (Some(file), _) => {
            let (picture, _) = recording.paint(&view, look);
            write(file, &picture)?;
        }
        (None, Format::Text) => {
            let (picture, left_out) = recording.paint(&view, look);
            output::raw(picture.as_bytes())?;
            if left_out > 0 {
                output::note(&say!(
                    window.language,
                    "{left_out} more rows: show less (--last 1s, --events elections), or --save run.html",
                    left_out
                ));
            }
        }
        (None, Format::Json) => {}
    }
    match format {
        Format::Json => output::json(&report(recording, arguments))?,
        Format::Text => {
            let notes = [
                recording.about_nothing(&view).map(|(sentence, _)| sentence),
                recording.about_clocks(window.language),
            ];
            notes.into_iter().flatten().for_each(|sentence| output::note(&sentence));
            if let Some(file) = &arguments.save {
                output::line(&format!("{}: {}", file.display(), recording.summary(window.language, &view)))?;
            }
        }
    }
    match &recording.verdict {
        Ok(()) => Ok(()),
        Err(violation) => Err(Failure::new(Exit::No, violation.clone())),
    }
}

/// Columns or, of a picture for reports, pixels. The terminal's columns are no measure of a picture that goes elsewhere.
fn width(arguments: &Arguments, kind: Kind) -> Result<Option<usize>, Failure> {
    if kind == Kind::Svg {
        return match arguments.width {
            Some(given) if given < LEAST_PIXELS => Err(Failure::usage(format!(
                "--width of an SVG counts pixels, {LEAST_PIXELS} to 10000, not {given}; without --width it is as wide as it \
                 needs to be"
            ))),
            given => Ok(given),
        };
    }
    let usual = || arguments.save.is_none().then(terminal_width);
    Ok(arguments.width.or_else(usual))
}

/// The form that was asked for.
fn form(arguments: &Arguments) -> Result<Kind, Failure> {
    if let Some(kind) = arguments.format {
        return Ok(kind);
    }
    match &arguments.save {
        Some(file) => Kind::of_file(file).ok_or_else(|| {
            Failure::usage(format!("{}: no form has this ending; say which, by --format", file.display()))
        }),
        None => Ok(plain_kind()),
    }
}

fn title(files: &[PathBuf]) -> String {
    let stem = |file: &PathBuf| file.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let names: Vec<String> = files.iter().filter_map(stem).collect();
    names.join(" ")
}

fn write(file: &Path, picture: &str) -> Result<(), Failure> {
    std::fs::write(file, picture)
        .map_err(|why| Failure::usage(format!("{}: {why}; nothing was saved", file.display())))
}

fn seconds(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

fn report(recording: &Recording, arguments: &Arguments) -> Report {
    let (scene, tally) = (&recording.scene, recording.scene.tally());
    let name = |node| recording.names.of(node).into_owned();
    Report {
        servers: scene.lanes.iter().map(|lane| name(lane.node)).collect(),
        records: scene.records.len(),
        from_seconds: seconds(scene.begin.0),
        to_seconds: seconds(scene.end.0),
        messages: Messages {
            sent: tally.sent,
            received: tally.received,
            lost: tally.lost,
            on_the_way: tally.on_the_way,
            unrecorded: tally.unrecorded,
            duplicates: tally.duplicates,
        },
        clocks: (recording.clocks.iter())
            .map(|clock| ClockReport {
                server: name(clock.node),
                records: clock.records,
                shift_ns: clock.shift_ns,
                rate_ppb: clock.rate_ppb,
                slack_ns: clock.slack_ns,
            })
            .collect(),
        clocks_agree: !matches!(recording.agreement, jangada_trace::merge::Agreement::Impossible { .. }),
        violation: recording.verdict.as_ref().err().cloned(),
        saved: arguments.save.clone(),
    }
}
