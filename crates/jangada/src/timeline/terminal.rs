//! What the person's terminal can show.

use std::io::{IsTerminal, stdout};

use super::Kind;

/// Columns, if nobody says how many there are.
const USUAL_WIDTH: usize = 120;

/// The form for a terminal.
pub fn plain_kind() -> Kind {
    if reads_utf8() { Kind::Text } else { Kind::Ascii }
}

/// Whether the person's terminal knows more than ASCII, as far as the environment says.
fn reads_utf8() -> bool {
    let said = ["LC_ALL", "LC_CTYPE", "LANG"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .find(|value| !value.is_empty());
    match said {
        Some(locale) => {
            let locale = locale.to_lowercase();
            locale.contains("utf-8") || locale.contains("utf8")
        }
        // Nothing is said in containers and services, whose readers are of this century.
        None => true,
    }
}

/// Columns of the terminal, or what most have.
pub fn terminal_width() -> usize {
    let out = stdout();
    let size = if out.is_terminal() { rustix::termios::tcgetwinsize(&out).ok() } else { None };
    size.map(|size| usize::from(size.ws_col)).filter(|columns| *columns > 0).unwrap_or(USUAL_WIDTH)
}
