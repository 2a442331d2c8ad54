//! The forms of a picture.

use std::path::Path;

use clap::ValueEnum;

/// The form of a picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// For a terminal: a lane for each server, messages as arrows
    Text,
    /// The same in ASCII
    Ascii,
    /// The Go prototype's table: a column for each server, a row for each thing that happened
    Table,
    /// For reports
    Svg,
    /// A page of its own: zoom, move, filter, select a message and read it
    Html,
    /// The records themselves, one JSON object on each line, on one clock
    Jsonl,
    /// For the trace viewer at ui.perfetto.dev
    Perfetto,
}

impl Kind {
    /// What a file of this name is to hold.
    pub fn of_file(path: &Path) -> Option<Kind> {
        let name = path.file_name()?.to_str()?;
        let endings = [
            (".txt", Kind::Text),
            (".svg", Kind::Svg),
            (".html", Kind::Html),
            (".jsonl", Kind::Jsonl),
            (".json", Kind::Perfetto),
        ];
        endings.into_iter().find(|(ending, _)| name.ends_with(ending)).map(|(_, kind)| kind)
    }
}
