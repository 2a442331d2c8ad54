//! What a person is spoken to in: what they say (`--lang`, or `JANGADA_LANG`), else what their locale names, else English.

use jangada_trace::language::Language;

/// The language of `--lang`.
///
/// # Errors
/// Which there are.
pub fn named(name: &str) -> Result<Language, String> {
    Language::named(name).ok_or_else(|| match std::env::var("JANGADA_LANG") {
        // An option that nobody gave is not to blame.
        Ok(set) if set == name => format!("JANGADA_LANG is `{name}` here, and there are `en` and `pt`"),
        _ => "there are `en` and `pt`".to_owned(),
    })
}

/// What was said, or what the locale names, or English.
pub fn spoken(said: Option<Language>) -> Language {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    said.or_else(|| Language::named(&set?)).unwrap_or_default()
}
