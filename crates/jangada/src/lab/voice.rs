//! Where the laboratory's lines go: to stdout, or above the prompt that somebody types at.

use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use rustyline::ExternalPrinter;

/// A place for lines. Clones are the same place.
#[derive(Clone)]
pub struct Voice(Arc<Mutex<Place>>);

enum Place {
    Stdout,
    /// Above the line that is being typed.
    Prompt(Box<dyn ExternalPrinter + Send>),
}

impl Voice {
    /// Lines to stdout.
    pub fn stdout() -> Voice {
        Voice::at(Place::Stdout)
    }

    fn at(place: Place) -> Voice {
        Voice(Arc::new(Mutex::new(place)))
    }

    /// From now on lines go above the prompt.
    pub fn above(&self, prompt: Box<dyn ExternalPrinter + Send>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Place::Prompt(prompt);
    }

    /// One line, or several.
    pub fn say(&self, text: &str) {
        let mut place = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // A reader that went away is told nothing more; the laboratory ends when its input does.
        match &mut *place {
            Place::Stdout => {
                let mut out = std::io::stdout().lock();
                let _ = writeln!(out, "{text}").and_then(|()| out.flush());
            }
            Place::Prompt(prompt) => {
                let _ = prompt.print(format!("{text}\n"));
            }
        }
    }
}
