//! From a command's words to a request of the store, and how its reply will look.
//!
//! The options are Redis's, and so is every refusal: what a client of Redis tests for, it finds here.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use jangada_kv::{Command, ExpireCondition, Expiry, Millis, Set, SetCondition};

use super::commands::{Spec, Store};
use super::parser::{Arguments, integer};
use crate::limits::SCANNED_KEYS;

/// How the store's reply to a command is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As it is.
    Plain,
    /// Milliseconds, as seconds.
    Seconds,
    /// Milliseconds from now on, as a point of Unix time in seconds.
    UnixSeconds,
    /// Milliseconds from now on, as a point of Unix time in milliseconds.
    UnixMillis,
    /// Only a part of the value: the first and the last byte, negative ones counted from the end.
    Slice(i64, i64),
}

/// An error reply, its code included.
pub(crate) type Refusal = Cow<'static, str>;

const SYNTAX: Refusal = Cow::Borrowed("ERR syntax error");
const NOT_AN_INTEGER: Refusal = Cow::Borrowed("ERR value is not an integer or out of range");

/// The refusal of a command with too many or too few words. `name` is the command's, or `command|subcommand`.
pub(crate) fn wrong_arity(name: &str) -> Refusal {
    format!("ERR wrong number of arguments for '{name}' command").into()
}

/// What the store is asked for. The arity was checked before.
pub(crate) fn translate(
    spec: &Spec,
    store: Store,
    words: Arguments<'_>,
) -> Result<(Command, Shape), Refusal> {
    use Store as S;
    debug_assert!(spec.takes(words.len()), "the arity is checked first");
    let plain = |command| Ok((command, Shape::Plain));
    match store {
        S::Get => plain(Command::Get { key: word(words, 1) }),
        S::Set => plain(set(words)?),
        S::SetNx => plain(Command::SetNx { key: word(words, 1), value: word(words, 2) }),
        S::SetEx => plain(set_with_time(spec, words, 1_000)?),
        S::PSetEx => plain(set_with_time(spec, words, 1)?),
        S::GetSet => plain(Command::Set(Set { get: true, ..Set::new(word(words, 1), word(words, 2)) })),
        S::MGet => plain(Command::MGet { keys: keys(words) }),
        S::MSet => plain(Command::MSet { pairs: pairs(spec, words)? }),
        S::Del | S::Unlink => plain(Command::Delete { keys: keys(words) }),
        S::Exists | S::Touch => plain(Command::Exists { keys: keys(words) }),
        S::Incr => plain(Command::Increment { key: word(words, 1), by: 1 }),
        S::Decr => plain(Command::Increment { key: word(words, 1), by: -1 }),
        S::IncrBy => plain(Command::Increment { key: word(words, 1), by: number(words, 2)? }),
        S::DecrBy => {
            let by = number(words, 2)?.checked_neg().ok_or("ERR decrement would overflow")?;
            plain(Command::Increment { key: word(words, 1), by })
        }
        S::Append => plain(Command::Append { key: word(words, 1), value: word(words, 2) }),
        S::StrLen => plain(Command::StrLen { key: word(words, 1) }),
        S::GetRange | S::Substr => {
            let slice = Shape::Slice(number(words, 2)?, number(words, 3)?);
            Ok((Command::Get { key: word(words, 1) }, slice))
        }
        S::GetDel => plain(Command::GetDelete { key: word(words, 1) }),
        S::GetEx => plain(get_ex(words)?),
        S::Expire => plain(expire(spec, words, 1_000, From::Now)?),
        S::PExpire => plain(expire(spec, words, 1, From::Now)?),
        S::ExpireAt => plain(expire(spec, words, 1_000, From::Epoch)?),
        S::PExpireAt => plain(expire(spec, words, 1, From::Epoch)?),
        S::Ttl => Ok((Command::Ttl { key: word(words, 1) }, Shape::Seconds)),
        S::PTtl => plain(Command::Ttl { key: word(words, 1) }),
        S::ExpireTime => Ok((Command::Ttl { key: word(words, 1) }, Shape::UnixSeconds)),
        S::PExpireTime => Ok((Command::Ttl { key: word(words, 1) }, Shape::UnixMillis)),
        S::Persist => plain(Command::Persist { key: word(words, 1) }),
        S::Keys => plain(Command::Keys { pattern: word(words, 1) }),
        S::Scan => plain(scan(words)?),
        S::DbSize => plain(Command::DbSize),
        S::FlushAll | S::FlushDb => plain(flush(words)?),
        S::Type => plain(Command::Type { key: word(words, 1) }),
    }
}

/// The word at `at`, which the arity promises.
fn word(words: Arguments<'_>, at: usize) -> Bytes {
    Bytes::copy_from_slice(&words[at])
}

fn number(words: Arguments<'_>, at: usize) -> Result<i64, Refusal> {
    integer(&words[at]).ok_or(NOT_AN_INTEGER)
}

fn keys(words: Arguments<'_>) -> Vec<Bytes> {
    words.from(1).map(Bytes::copy_from_slice).collect()
}

fn pairs(spec: &Spec, words: Arguments<'_>) -> Result<Vec<(Bytes, Bytes)>, Refusal> {
    if words.len().is_multiple_of(2) {
        return Err(wrong_arity(spec.name));
    }
    Ok((1..words.len()).step_by(2).map(|at| (word(words, at), word(words, at + 1))).collect())
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
fn set(words: Arguments<'_>) -> Result<Command, Refusal> {
    let mut set = Set::new(word(words, 1), word(words, 2));
    let mut time = None;
    let mut keep = false;
    let mut at = 3;
    while let Some(option) = words.get(at) {
        at += 1;
        if is(option, "nx") && set.condition != SetCondition::IfPresent {
            set.condition = SetCondition::IfMissing;
        } else if is(option, "xx") && set.condition != SetCondition::IfMissing {
            set.condition = SetCondition::IfPresent;
        } else if is(option, "get") {
            set.get = true;
        } else if is(option, "keepttl") && time.is_none() {
            keep = true;
        } else if let Some(unit) = TimeUnit::of(option)
            && !keep
            && time.is_none_or(|(other, _)| other == unit)
        {
            // The same unit twice is no contradiction to Redis: the last amount counts.
            time = Some((unit, words.get(at).ok_or(SYNTAX)?));
            at += 1;
        } else {
            return Err(SYNTAX);
        }
    }
    // As in Redis, the amount is looked at only after all options have turned out well formed.
    set.expiry = match time {
        Some((unit, amount)) => unit.expiry(amount, "set")?,
        None if keep => Expiry::Keep,
        None => Expiry::Clear,
    };
    Ok(Command::Set(set))
}

/// `SETEX key s value`, `PSETEX key ms value`
fn set_with_time(spec: &Spec, words: Arguments<'_>, scale: i64) -> Result<Command, Refusal> {
    let unit = TimeUnit { scale, from: From::Now };
    let expiry = unit.expiry(&words[2], spec.name)?;
    Ok(Command::Set(Set { expiry, ..Set::new(word(words, 1), word(words, 3)) }))
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
fn get_ex(words: Arguments<'_>) -> Result<Command, Refusal> {
    let expiry = match (words.get(2), words.get(3), words.len()) {
        (None, _, _) => Expiry::Keep,
        (Some(option), None, _) if is(option, "persist") => Expiry::Clear,
        (Some(option), Some(amount), 4) => TimeUnit::of(option).ok_or(SYNTAX)?.expiry(amount, "getex")?,
        _ => return Err(SYNTAX),
    };
    Ok(Command::GetEx { key: word(words, 1), expiry })
}

/// `EXPIRE key amount [NX | XX | GT | LT]` and its three relatives.
fn expire(spec: &Spec, words: Arguments<'_>, scale: i64, from: From) -> Result<Command, Refusal> {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in words.from(3) {
        if is(option, "nx") {
            nx = true;
        } else if is(option, "xx") {
            xx = true;
        } else if is(option, "gt") {
            gt = true;
        } else if is(option, "lt") {
            lt = true;
        } else {
            return Err(format!("ERR Unsupported option {}", String::from_utf8_lossy(option)).into());
        }
    }
    if nx && (xx || gt || lt) {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if gt && lt {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    let condition = match (nx, xx, gt, lt) {
        (true, _, _, _) => ExpireCondition::IfNone,
        // No deadline is later than none: GT needs one, with XX or without.
        (_, _, true, _) => ExpireCondition::IfLater,
        (_, true, _, true) => return Err("ERR XX and LT at the same time are not supported".into()),
        (_, false, _, true) => ExpireCondition::IfEarlier,
        (_, true, _, false) => ExpireCondition::IfSome,
        (_, false, _, false) => ExpireCondition::Always,
    };
    let amount = number(words, 2)?;
    let invalid = || Refusal::from(format!("ERR invalid expire time in '{}' command", spec.name));
    let milliseconds = amount.checked_mul(scale).ok_or_else(invalid)?;
    let expiry = from.expiry(milliseconds).ok_or_else(invalid)?;
    Ok(Command::Expire { key: word(words, 1), expiry, condition })
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
fn scan(words: Arguments<'_>) -> Result<Command, Refusal> {
    let cursor = std::str::from_utf8(&words[1]).ok().filter(|text| !text.starts_with('+'));
    let cursor = cursor.and_then(|text| text.parse().ok()).ok_or("ERR invalid cursor")?;
    let (mut pattern, mut count, mut strings) = (None, 10, true);
    let mut at = 2;
    while let Some(option) = words.get(at) {
        let argument = words.get(at + 1).ok_or(SYNTAX)?;
        if is(option, "match") {
            pattern = Some(Bytes::copy_from_slice(argument));
        } else if is(option, "count") {
            count = integer(argument).ok_or(NOT_AN_INTEGER)?;
            if count < 1 {
                return Err(SYNTAX);
            }
        } else if is(option, "type") {
            strings = is(argument, "string");
        } else {
            return Err(SYNTAX);
        }
        at += 2;
    }
    if !strings {
        // Every value is a string, so keys of another type are a pattern that nothing matches: an empty class.
        pattern = Some(Bytes::from_static(b"[]"));
    }
    Ok(Command::Scan { cursor, pattern, count: count.unsigned_abs().min(SCANNED_KEYS) })
}

/// `FLUSHALL [ASYNC | SYNC]`
fn flush(words: Arguments<'_>) -> Result<Command, Refusal> {
    match words.get(1) {
        Some(option) if words.len() > 2 || !(is(option, "async") || is(option, "sync")) => Err(SYNTAX),
        Some(_) | None => Ok(Command::FlushAll),
    }
}

/// Whether a word is the option of that (lower-case) name.
pub(crate) fn is(word: &[u8], name: &str) -> bool {
    word.eq_ignore_ascii_case(name.as_bytes())
}

/// A unit of time in a command.
#[derive(Clone, Copy, PartialEq, Eq)]
struct TimeUnit {
    /// Milliseconds in one.
    scale: i64,
    from: From,
}

/// What an amount of time counts from.
#[derive(Clone, Copy, PartialEq, Eq)]
enum From {
    Now,
    Epoch,
}

impl TimeUnit {
    fn of(option: &[u8]) -> Option<TimeUnit> {
        let (scale, from) = if is(option, "ex") {
            (1_000, From::Now)
        } else if is(option, "px") {
            (1, From::Now)
        } else if is(option, "exat") {
            (1_000, From::Epoch)
        } else if is(option, "pxat") {
            (1, From::Epoch)
        } else {
            return None;
        };
        Some(TimeUnit { scale, from })
    }

    /// The deadline that `amount` of these mean in a `SET`: it must be positive.
    fn expiry(self, amount: &[u8], command: &str) -> Result<Expiry, Refusal> {
        let amount = integer(amount).ok_or(NOT_AN_INTEGER)?;
        let milliseconds = amount.checked_mul(self.scale).filter(|&milliseconds| milliseconds > 0);
        milliseconds
            .and_then(|milliseconds| self.from.expiry(milliseconds))
            .ok_or_else(|| format!("ERR invalid expire time in '{command}' command").into())
    }
}

impl From {
    /// The deadline as the log keeps it. A point of Unix time becomes a distance by this server's clock: the
    /// replicated time, which decides, is the leader's, and only distances mean the same to both.
    fn expiry(self, milliseconds: i64) -> Option<Expiry> {
        let now = unix_millis();
        let distance = match self {
            From::Now => {
                milliseconds.checked_add(now)?;
                milliseconds
            }
            From::Epoch => milliseconds.saturating_sub(now),
        };
        match u64::try_from(distance) {
            Ok(distance) if distance > 0 => Some(Expiry::After(distance)),
            Ok(_) | Err(_) => Some(Expiry::At(Millis::ZERO)),
        }
    }
}

/// This server's clock: milliseconds since 1970.
pub(crate) fn unix_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resp::commands::Command as Name;
    use crate::resp::inline::Words;

    fn translated(line: &str) -> Result<(Command, Shape), String> {
        let mut words = Words::default();
        words.cut(line.as_bytes()).unwrap();
        let words = words.arguments();
        let spec = Spec::find(&words[0]).unwrap();
        let Name::Store(store) = spec.command else { panic!("{line} is not for the store") };
        translate(spec, store, words).map_err(|refusal| refusal.into_owned())
    }

    fn set_of(line: &str) -> Set {
        match translated(line) {
            Ok((Command::Set(set), Shape::Plain)) => set,
            other => panic!("{line}: {other:?}"),
        }
    }

    #[test]
    fn the_options_of_set() {
        let plain = Set::new(Bytes::from_static(b"k"), Bytes::from_static(b"v"));
        assert_eq!(set_of("SET k v"), plain);
        let set = set_of("set k v NX get px 1500");
        assert_eq!((set.condition, set.get), (SetCondition::IfMissing, true));
        assert_eq!(set.expiry, Expiry::After(1_500));
        assert_eq!(set_of("SET k v EX x EX 2").expiry, Expiry::After(2_000));
        assert_eq!(set_of("SET k v XX keepttl").expiry, Expiry::Keep);
        assert_eq!(set_of("SET k v EXAT 1").expiry, Expiry::At(Millis::ZERO));
        assert!(matches!(set_of("SET k v EXAT 99999999999").expiry, Expiry::After(_)));
        for line in
            ["SET k v NX XX", "SET k v EX 1 PX 1", "SET k v KEEPTTL EX 1", "SET k v EX", "SET k v foo"]
        {
            assert_eq!(translated(line), Err("ERR syntax error".to_owned()), "{line}");
        }
        for line in ["SET k v EX 0", "SET k v PX -1", "SET k v EX 9223372036854775807"] {
            assert_eq!(
                translated(line),
                Err("ERR invalid expire time in 'set' command".to_owned()),
                "{line}"
            );
        }
    }

    #[test]
    fn the_options_of_expire() {
        let condition = |line: &str| match translated(line) {
            Ok((Command::Expire { condition, .. }, _)) => Ok(condition),
            Ok(other) => panic!("{line}: {other:?}"),
            Err(refusal) => Err(refusal),
        };
        assert_eq!(condition("EXPIRE k 1"), Ok(ExpireCondition::Always));
        assert_eq!(condition("EXPIRE k 1 xx GT"), Ok(ExpireCondition::IfLater));
        assert!(condition("EXPIRE k 1 NX LT").unwrap_err().contains("not compatible"));
        assert_eq!(condition("EXPIRE k 1 zz"), Err("ERR Unsupported option zz".to_owned()));
        assert!(matches!(
            translated("EXPIRE k -1"),
            Ok((Command::Expire { expiry: Expiry::At(Millis::ZERO), .. }, _))
        ));
    }

    #[test]
    fn a_scan_has_a_cursor_and_a_count() {
        assert_eq!(translated("SCAN x"), Err("ERR invalid cursor".to_owned()));
        assert_eq!(translated("SCAN 0 COUNT 0"), Err("ERR syntax error".to_owned()));
        let (scan, _) = translated("SCAN 7 MATCH a* COUNT 3").unwrap();
        assert_eq!(scan, Command::Scan { cursor: 7, pattern: Some(Bytes::from_static(b"a*")), count: 3 });
        let (most, _) = translated("SCAN 0 COUNT 1000000000").unwrap();
        assert_eq!(most, Command::Scan { cursor: 0, pattern: None, count: SCANNED_KEYS });
    }
}
