//! Whoever carries lines out: a session with real servers, or one in a made-up world.

use std::time::Duration;

use super::lessons::scene::Scene;
use super::live::Live;
use super::rewind::Rewindable;
use super::session::{Outcome, Session};

/// Carries lines out, and can be looked at.
pub trait Carrier {
    /// Carries one line out.
    fn line(&mut self, line: &str) -> Outcome;

    /// The same, whether or not the menu is open.
    fn words(&mut self, line: &str) -> Outcome;

    /// Lets time pass; real time does so by itself.
    fn play(&mut self, _: Duration) {}

    /// Nobody types.
    fn look_on(&mut self) {}

    /// What is to happen before the first line, if it does not come at once.
    fn begin(&mut self) {}

    /// What checks look at. Whatever has happened is known.
    fn scene(&mut self) -> Result<Scene<'_>, String>;
}

impl Carrier for Session<Live> {
    fn line(&mut self, line: &str) -> Outcome {
        Session::line(self, line)
    }

    fn words(&mut self, line: &str) -> Outcome {
        let numbered = self.set_menu(false);
        let outcome = Session::line(self, line);
        self.set_menu(numbered);
        outcome
    }

    fn look_on(&mut self) {
        Session::look_on(self);
    }

    fn begin(&mut self) {
        if let Err(why) = self.start() {
            self.say_line(&why);
        }
    }

    fn scene(&mut self) -> Result<Scene<'_>, String> {
        self.start()?;
        self.flush();
        Ok(Session::scene(self))
    }
}

impl Carrier for Rewindable {
    fn line(&mut self, line: &str) -> Outcome {
        Rewindable::line(self, line)
    }

    fn words(&mut self, line: &str) -> Outcome {
        Rewindable::words(self, line)
    }

    fn play(&mut self, time: Duration) {
        self.let_pass(time);
    }

    fn begin(&mut self) {
        Rewindable::begin_to_be_seen(self);
    }

    fn scene(&mut self) -> Result<Scene<'_>, String> {
        Rewindable::scene(self)
    }
}
