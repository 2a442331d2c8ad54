//! The languages that people are spoken to in.
//!
//! Code says its sentences in English, by [`say!`](crate::say), and names what goes into them; each other language is
//! one file, a catalogue that has a sentence for each English one. Commands, keys and names of servers are never
//! translated. A test of the binary sees to it that no sentence is missing in a catalogue, none is left over, and that
//! both have the same things put into them.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::OnceLock;

/// A language.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// English, which stands in the code.
    #[default]
    English,
    /// Portuguese as it is spoken in Brazil.
    Portuguese,
}

/// What the Portuguese catalogue holds: `en: …` and below it `pt: …`, and comments.
pub const PORTUGUESE: &str = include_str!("language/pt.txt");

impl Language {
    /// The language that somebody names: `en`, `pt`, `pt_BR.UTF-8`.
    #[must_use]
    pub fn named(name: &str) -> Option<Language> {
        let language = name.split(['_', '-', '.', '@']).next().unwrap_or_default();
        match language.to_ascii_lowercase().as_str() {
            "en" | "c" | "posix" => Some(Language::English),
            "pt" => Some(Language::Portuguese),
            _ => None,
        }
    }

    /// Its short name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Language::English => "en",
            Language::Portuguese => "pt",
        }
    }

    /// An English sentence in this language; as it is, if the catalogue does not know it.
    #[must_use]
    pub fn of(self, english: &str) -> &str {
        match self {
            Language::English => english,
            Language::Portuguese => portuguese().get(english).copied().unwrap_or(english),
        }
    }

    /// The sentence of this language with everything put into it; [`say!`](crate::say) is the way to call this.
    #[must_use]
    pub fn render(self, english: &str, with: &[(&str, &dyn Display)]) -> String {
        fill(self.of(english), with)
    }
}

/// Puts values into the places `{name}` of a text; a place that has none stays as it is.
#[must_use]
pub fn fill(text: &str, with: &[(&str, &dyn Display)]) -> String {
    let mut filled = String::with_capacity(text.len() + 16);
    let mut rest = text;
    while let Some(begin) = rest.find('{') {
        let (before, place) = rest.split_at(begin);
        filled.push_str(before);
        rest = place;
        let Some(end) = place.find('}') else { break };
        let name = &place[1..end];
        match with.iter().find(|(known, _)| *known == name) {
            Some((_, value)) => filled.push_str(&value.to_string()),
            None => filled.push_str(&place[..=end]),
        }
        rest = &place[end + 1..];
    }
    filled.push_str(rest);
    filled
}

fn portuguese() -> &'static BTreeMap<&'static str, &'static str> {
    static CATALOGUE: OnceLock<BTreeMap<&str, &str>> = OnceLock::new();
    CATALOGUE.get_or_init(|| pairs(PORTUGUESE).collect())
}

/// The pairs of a catalogue, English first. Other lines are comments.
pub fn pairs(catalogue: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut english = None;
    catalogue.lines().filter_map(move |line| match line.split_once(": ") {
        Some(("en", text)) => {
            english = Some(text);
            None
        }
        Some(("pt", text)) => english.take().map(|english| (english, text)),
        Some(_) | None => None,
    })
}

/// A sentence in a language: `say!(language, "{id} leads term {term}", id, term = view.term)`. The English one is
/// checked by the compiler, as in `format!`.
#[macro_export]
macro_rules! say {
    (@value $name:ident) => { $name };
    (@value $name:ident = $value:expr) => { $value };
    ($language:expr, $text:literal $(, $name:ident $(= $value:expr)?)* $(,)?) => {
        match $language {
            $crate::language::Language::English => {
                ::std::format!($text $(, $name = $crate::say!(@value $name $(= $value)?))*)
            }
            other => other.render(
                $text,
                &[$((
                    ::core::stringify!($name),
                    &$crate::say!(@value $name $(= $value)?) as &dyn ::core::fmt::Display,
                )),*],
            ),
        }
    };
}

/// Marks an English sentence that is said in its language elsewhere, by [`Language::of`].
#[macro_export]
macro_rules! said {
    ($text:literal) => {
        $text
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_language_is_named_as_locales_are() {
        assert_eq!(Language::named("pt_BR.UTF-8"), Some(Language::Portuguese));
        assert_eq!(Language::named("pt"), Some(Language::Portuguese));
        assert_eq!(Language::named("en_GB"), Some(Language::English));
        assert_eq!(Language::named("C.UTF-8"), Some(Language::English));
        assert_eq!(Language::named("xx"), None);
    }

    #[test]
    fn a_sentence_is_said_in_each_language() {
        let id = "n2";
        assert_eq!(say!(Language::English, "{id} does not run", id), "n2 does not run");
        assert_eq!(say!(Language::Portuguese, "{id} does not run", id), "n2 não está rodando");
        assert_eq!(say!(Language::Portuguese, "unheard of: {what}", what = 3 + 4), "unheard of: 7");
        assert_eq!(fill("{a} {b} {a", &[("a", &1)]), "1 {b} {a");
    }

    #[test]
    fn no_sentence_stands_twice_in_a_catalogue() {
        let mut seen = std::collections::BTreeSet::new();
        for (english, _) in pairs(PORTUGUESE) {
            assert!(seen.insert(english), "{english}");
        }
    }
}
