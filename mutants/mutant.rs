//! `--mutant` in the copy that has all mutants: takes the place of `crates/jangada/src/commands/mutant.rs` there.
//!
//! The switch lies in crates that the command line does not know, so the program runs itself once more, with the
//! mutant named in its environment (`planted.rs`).

use std::process::Command;

use crate::failure::Failure;

const VARIABLE: &str = "JANGADA_PLANTED";

/// All that are planted; the others are filled in when the copy is made.
const IDS: &[&str] = &["canary"];

/// Runs this program again with the bug planted, and ends as it ends.
///
/// # Errors
/// If the id is none.
pub fn plant(id: &str) -> Result<(), Failure> {
    if !IDS.contains(&id) {
        return Err(Failure::usage(format!("{id} is no mutant, but these are: {}", IDS.join(" "))));
    }
    let number: u32 = match id {
        "canary" => u32::MAX - 1,
        id => id
            .strip_prefix('M')
            .and_then(|digits| digits.parse().ok())
            .expect("the others are M and a number"),
    };
    if std::env::var(VARIABLE).is_ok() {
        return Ok(());
    }
    let myself = std::env::current_exe().map_err(|error| Failure::usage(error.to_string()))?;
    let ended =
        Command::new(myself).args(std::env::args_os().skip(1)).env(VARIABLE, number.to_string()).status();
    let ended = ended.map_err(|error| Failure::usage(error.to_string()))?;
    std::process::exit(ended.code().unwrap_or(1));
}
