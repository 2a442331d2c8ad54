//! Redis's glob patterns: `*`, `?`, `[abc]`, `[a-z]`, `[^abc]`, and `\` in front of a byte that is meant literally.

/// Whether all of `text` matches `pattern`.
///
/// Takes at most |pattern| × |text| steps: every element but `*` matches exactly one byte, so it is enough to go back
/// to the last `*` and let it swallow one byte more.
pub(crate) fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut rest_pattern, mut rest_text) = (pattern, text);
    let mut last_star: Option<(&[u8], &[u8])> = None;
    loop {
        if let Some((b'*', after)) = rest_pattern.split_first() {
            last_star = Some((after, rest_text));
            rest_pattern = after;
            continue;
        }
        let step = match (rest_pattern.is_empty(), rest_text.split_first()) {
            (true, None) => return true,
            (false, Some((byte, text))) => match_one(rest_pattern, *byte).map(|pattern| (pattern, text)),
            (true, Some(_)) | (false, None) => None,
        };
        if let Some((pattern, text)) = step {
            (rest_pattern, rest_text) = (pattern, text);
            continue;
        }
        let Some((after_star, [_, text @ ..])) = last_star else {
            return false;
        };
        last_star = Some((after_star, text));
        (rest_pattern, rest_text) = (after_star, text);
    }
}

/// The bytes that each match begins with.
pub(crate) fn literal_prefix(pattern: &[u8]) -> &[u8] {
    let end = pattern.iter().position(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'));
    &pattern[..end.unwrap_or(pattern.len())]
}

/// Matches one byte with the element at the front of the pattern (no `*`), and returns what follows the element.
fn match_one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [b'?', rest @ ..] => Some(rest),
        [b'[', b'^', rest @ ..] => class(rest, byte).and_then(|(found, rest)| (!found).then_some(rest)),
        [b'[', rest @ ..] => class(rest, byte).and_then(|(found, rest)| found.then_some(rest)),
        [b'\\', literal, rest @ ..] | [literal, rest @ ..] => (*literal == byte).then_some(rest),
        [] => None,
    }
}

/// Whether `byte` is in a class of which the opening bracket is gone, and what follows the class. Like Redis, takes
/// the end of the pattern for a closing bracket.
fn class(mut pattern: &[u8], byte: u8) -> Option<(bool, &[u8])> {
    let mut found = false;
    loop {
        pattern = match pattern {
            [] => return Some((found, pattern)),
            [b']', rest @ ..] => return Some((found, rest)),
            [b'\\', literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
            [first, b'-', last, rest @ ..] => {
                found |= (*first.min(last)..=*first.max(last)).contains(&byte);
                rest
            }
            [literal, rest @ ..] => {
                found |= *literal == byte;
                rest
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_as_redis_does() {
        let cases: &[(&str, &str, bool)] = &[
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything", true),
            ("a*", "abc", true),
            ("a*", "bac", false),
            ("*c", "abc", true),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdf", false),
            ("**", "x", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("[a-]", "-", false),
            ("[\\]]", "]", true),
            ("[]", "]", false),
            ("[abc", "b", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("a\\", "a\\", true),
            ("user:*:name", "user:42:name", true),
            ("*a*a*a*a*b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), *expected, "{pattern} {text}");
        }
    }

    #[test]
    fn the_prefix_ends_at_the_first_wildcard() {
        assert_eq!(literal_prefix(b"user:*"), b"user:");
        assert_eq!(literal_prefix(b"plain"), b"plain");
        assert_eq!(literal_prefix(b"[ab]c"), b"");
    }
}
