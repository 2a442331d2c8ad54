//! Where the laboratory's lines go: to stdout, or above the prompt that somebody types at.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use jangada_trace::language::Language;
use rustyline::ExternalPrinter;

use super::page::Feed;

/// A place for lines. Clones are the same place.
#[derive(Clone)]
pub struct Voice {
    place: Arc<Mutex<Place>>,
    mute: Arc<AtomicBool>,
    page: Arc<OnceLock<Arc<Feed>>>,
    language: Language,
}

enum Place {
    Stdout,
    /// Above the line that is being typed.
    Prompt(Box<dyn ExternalPrinter + Send>),
}

impl Voice {
    /// Lines to stdout, in this language.
    pub fn stdout(language: Language) -> Voice {
        Voice {
            place: Arc::new(Mutex::new(Place::Stdout)),
            mute: Arc::default(),
            page: Arc::default(),
            language,
        }
    }

    /// The language that it speaks.
    pub fn language(&self) -> Language {
        self.language
    }

    /// From now on lines go above the prompt.
    pub fn above(&self, prompt: Box<dyn ExternalPrinter + Send>) {
        *self.place.lock().unwrap_or_else(PoisonError::into_inner) = Place::Prompt(prompt);
    }

    /// From now on lines go to the page, too.
    pub fn also_to(&self, page: Arc<Feed>) {
        // There is one page.
        let _second = self.page.set(page);
    }

    /// Says nothing, or speaks again: what is done a second time is not told a second time.
    pub fn mute(&self, mute: bool) {
        self.mute.store(mute, Relaxed);
    }

    /// One line, or several.
    pub fn say(&self, text: &str) {
        if self.mute.load(Relaxed) {
            return;
        }
        self.page.get().into_iter().for_each(|page| page.said(text));
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
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
