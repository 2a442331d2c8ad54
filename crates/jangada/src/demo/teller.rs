//! How the story is told: lines with the time since its beginning, and a progress bar where a person watches.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;

use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

/// One thing that was claimed, and whether it held.
#[derive(Clone, Debug, Serialize)]
struct Claim {
    claim: String,
    held: bool,
    at_ms: u128,
}

/// Tells, and keeps the score.
#[derive(Debug)]
pub struct Teller {
    begun: Instant,
    format: Format,
    claims: Vec<Claim>,
}

impl Teller {
    /// The story begins now.
    pub fn new(format: Format) -> Teller {
        Teller { begun: Instant::now(), format, claims: Vec::new() }
    }

    /// What happens next.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn say(&self, text: &str) -> Result<(), Failure> {
        self.print("     ", text)
    }

    /// Something that must be so.
    ///
    /// # Errors
    /// When stdout is closed.
    pub fn claim(&mut self, held: bool, text: &str) -> Result<(), Failure> {
        self.claims.push(Claim { claim: text.to_owned(), held, at_ms: self.begun.elapsed().as_millis() });
        self.print(if held { "ok   " } else { "WRONG" }, text)
    }

    /// The end of the story.
    ///
    /// # Errors
    /// 1 if a claim did not hold.
    pub fn end(&self) -> Result<(), Failure> {
        let wrong = self.claims.iter().filter(|claim| !claim.held).count();
        let seconds = self.begun.elapsed().as_secs_f64();
        match self.format {
            Format::Json => output::json(&serde_json::json!({
                "held": wrong == 0, "seconds": seconds, "claims": self.claims,
            }))?,
            Format::Text if wrong == 0 => {
                self.print("     ", &format!("all {} claims held", self.claims.len()))?;
            }
            Format::Text => {}
        }
        match wrong {
            0 => Ok(()),
            _ => Err(Failure::new(Exit::No, format!("{wrong} of {} claims did not hold", self.claims.len()))),
        }
    }

    /// A bar for something that takes a moment; hidden where nobody watches.
    pub fn bar(&self, length: u64, what: &'static str) -> ProgressBar {
        if self.format == Format::Json || !std::io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let style = ProgressStyle::with_template("         {msg} {bar:30} {pos}/{len}")
            .expect("the template is a constant that a test has seen");
        ProgressBar::new(length).with_style(style).with_message(what)
    }

    fn print(&self, mark: &str, text: &str) -> Result<(), Failure> {
        match self.format {
            Format::Json => Ok(()),
            Format::Text => {
                output::line(&format!("{:>7.3} s  {mark}  {text}", self.begun.elapsed().as_secs_f64()))
            }
        }
    }
}

/// A duration as a person reads it.
pub fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_wrong_claim_is_exit_code_1() {
        let mut teller = Teller::new(Format::Json);
        assert!(ProgressStyle::with_template("         {msg} {bar:30} {pos}/{len}").is_ok());
        teller.claim(true, "a").unwrap();
        assert_eq!(teller.end(), Ok(()));
        teller.claim(false, "b").unwrap();
        assert_eq!(teller.end().unwrap_err().exit, 1);
    }
}
