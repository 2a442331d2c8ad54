//! Words, quotes, numbers and durations; and the nearest known word for one that nobody knows.

use std::time::Duration;

use jangada_trace::language::Language;
use jangada_trace::say;

/// One word of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    /// What it says, without its quotes.
    pub(crate) text: String,
    /// It stood in quotes: never a keyword.
    pub(crate) quoted: bool,
}

/// Splits a line into words. A `#` that begins a word begins a comment; `"…"` is one word, with `\"`, `\\`, `\n` in
/// it; `"…"*N` is that text N times.
///
/// # Errors
/// Says what is wrong with the quotes.
pub(crate) fn split(language: Language, line: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() && !rest.starts_with('#') {
        let (token, after) = match rest.strip_prefix('"') {
            Some(quoted) => quoted_word(language, quoted)?,
            None => {
                let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
                (Token { text: rest[..end].to_owned(), quoted: false }, &rest[end..])
            }
        };
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

/// Most characters that `"…"*N` may become: a value of the largest size that a server takes.
const MAX_REPEATED: usize = 4 << 20;

fn quoted_word(language: Language, after_quote: &str) -> Result<(Token, &str), String> {
    let mut text = String::new();
    let mut letters = after_quote.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => {
                let (times, rest) = repetition(language, &after_quote[at + 1..])?;
                if text.len().saturating_mul(times) > MAX_REPEATED {
                    return Err(say!(
                        language,
                        "\"…\"*{times} is longer than {max} bytes",
                        times,
                        max = MAX_REPEATED
                    ));
                }
                return Ok((Token { text: text.repeat(times), quoted: true }, rest));
            }
            '\\' => match letters.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, escaped @ ('"' | '\\'))) => text.push(escaped),
                Some((_, other)) => {
                    return Err(say!(
                        language,
                        "`\\{other}` in quotes: there are `\\\"`, `\\\\` and `\\n`",
                        other
                    ));
                }
                None => break,
            },
            _ => text.push(letter),
        }
    }
    Err(say!(language, "a quote is not closed"))
}

fn repetition(language: Language, after: &str) -> Result<(usize, &str), String> {
    let end = after.find(char::is_whitespace).unwrap_or(after.len());
    let (suffix, rest) = after.split_at(end);
    match suffix.strip_prefix('*') {
        None if suffix.is_empty() => Ok((1, rest)),
        None => Err(say!(language, "`{suffix}` follows a quote: put a space between them", suffix)),
        Some(times) => {
            let times =
                times.parse().map_err(|_| say!(language, "`\"…\"*{times}`: how many times?", times))?;
            Ok((times, rest))
        }
    }
}

/// A duration: `300ms`, `2s`, `1.5s`, `50us`.
pub fn duration(text: &str) -> Option<Duration> {
    let (number, nanos_each) = [("ms", 1_000_000), ("us", 1_000), ("µs", 1_000), ("s", 1_000_000_000)]
        .into_iter()
        .find_map(|(unit, nanos)| text.strip_suffix(unit).map(|number| (number, nanos)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 9 {
        return None;
    }
    let scale = 10_u64.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u64 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let nanos = whole.parse::<u64>().ok()?.checked_mul(nanos_each)?;
    let more = u64::try_from(u128::from(fraction) * u128::from(nanos_each) / u128::from(scale)).ok()?;
    Some(Duration::from_nanos(nanos.checked_add(more)?))
}

/// So many letters of a word are said back.
const SHOWN: usize = 40;

/// So many letters away, a word may still be meant.
const NEAR: usize = 2;

/// The known word that was probably meant: at most two letters away, and fewer than half of it.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let letters = word.chars().count();
    // What is far too long is not compared letter by letter: a pipe may bring megabytes.
    let alike = known.into_iter().filter(|candidate| letters.abs_diff(candidate.chars().count()) <= NEAR);
    let best = alike.map(|candidate| (distance(word, candidate), candidate)).min()?;
    (best.0 <= NEAR && best.0 * 2 < best.1.chars().count().max(2)).then_some(best.1)
}

/// ` (did you mean `x`?)`, or nothing.
pub(crate) fn meant<'a>(language: Language, word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, known).map_or_else(String::new, |near| say!(language, "; did you mean `{near}`?", near))
}

/// A word as it is said back: its beginning, if it is long.
pub(crate) fn shown(word: &str) -> String {
    match word.char_indices().nth(SHOWN) {
        None => word.to_owned(),
        Some((end, _)) => format!("{}…", &word[..end]),
    }
}

/// How many letters must be put in, taken out, changed, or swapped with the next one.
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=b.len()).collect()];
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let change = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = change.min(rows[i - 1][j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(rows[i - 2][j - 2] + 1);
            }
            row.push(least);
        }
        rows.push(row);
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(line: &str) -> Vec<String> {
        split(Language::English, line).expect("a good line").into_iter().map(|token| token.text).collect()
    }

    #[test]
    fn a_line_is_words_and_quotes() {
        assert_eq!(texts("  set d  8 # a comment"), ["set", "d", "8"]);
        assert_eq!(texts(r#"set "a b" "say \"x\"\\\n""#), ["set", "a b", "say \"x\"\\\n"]);
        assert_eq!(texts(r#"set k#1 "" "ab"*3"#), ["set", "k#1", "", "ababab"]);
        assert!(texts("# nothing").is_empty());
        for wrong in [r#"set "a"#, r#"set "a"b"#, r#""a"*x"#, r#""\q""#, r#""a"*99999999"#] {
            assert!(split(Language::English, wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("300ms"), Some(Duration::from_millis(300)));
        assert_eq!(duration("1.5s"), Some(Duration::from_millis(1_500)));
        assert_eq!(duration("50us"), Some(Duration::from_micros(50)));
        for wrong in ["300", "ms", "-1s", "1.2.3s", "1.s5", "99999999999999999999s"] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn the_nearest_word_is_near() {
        let known = ["crash", "restart", "isolate", "heal"];
        assert_eq!(nearest("crsh", known), Some("crash"));
        assert_eq!(nearest("carsh", known), Some("crash"));
        assert_eq!(nearest("isolat", known), Some("isolate"));
        assert_eq!(nearest("xyzzy", known), None);
    }
}
