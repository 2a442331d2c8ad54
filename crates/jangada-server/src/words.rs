//! Plain words, for a person with netcat: `set d 8`, `get d`, `delete d`, `show`.
//!
//! # Which line is what
//! A connection whose first byte is `*` speaks Redis's protocol, and there every line is an inline command of
//! Redis. Any other connection that is not HTTP is a person's (or a very simple program's), and there each line
//! is judged by its first word:
//!
//! | first word | answered in |
//! |---|---|
//! | `set` `get` `del` `delete` `show` `status` `help`, in any case; `quit` in lower case | words: the table below |
//! | anything else (`PING`, `INCR n`, `TTL d`, `QUIT` …), and every line between `MULTI` and `EXEC` | RESP, as Redis answers an inline command |
//!
//! So `echo PING | nc` gives `+PONG` and `SET d 8` gives `OK`.
//!
//! | line | reply |
//! |---|---|
//! | `set KEY VALUE`: everything after the space is the value, spaces and all | `OK` |
//! | `get KEY` | the value, or `(nil)` if there is no such key |
//! | `delete KEY` | `OK`, or `(nil)` if there was no such key |
//! | `show [PREFIX]` | `KEY = VALUE` for each key, then `(2 keys)` |
//! | `status`, `help` | a few lines |
//! | a mistake, or a cluster that cannot answer | `error: ` and a sentence |
//!
//! A key or a value that could be mistaken for something else (an empty one, `(nil)`, one with a line end, one that
//! is no UTF-8 …) is printed in double quotes with C's escapes, and `set` and `get` read such quotations, so that
//! what `get` prints can always be given back to `set`. Missing is `(nil)`, empty is `""`.

use std::fmt::Write;

use bytes::Bytes;
use jangada_kv::{Command, KeyRange, RangeRequest, RangeResponse, Reply, Request, Response, Set};

use crate::handle::{Kind, RequestError};
use crate::resp::inline::double_quoted;
use crate::status::{MemberRole, MembershipStage, RoleName, Status};

/// A line of words that was understood.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Line {
    /// One for the store.
    Store(Kind, Request, Shape),
    /// `status`
    Status,
    /// `help`
    Help,
    /// `quit`
    Quit,
    /// It begins with one of our words, but goes on wrongly: the sentence says how.
    Wrong(&'static str),
}

/// How the store's answer to a line is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `set`
    Set,
    /// `get`
    Get,
    /// `delete`
    Delete,
    /// `show`
    Show,
}

/// What `help` prints.
pub(crate) const HELP: &str = "\
set KEY VALUE    keep a value; it may contain spaces
get KEY          print the value, or (nil) if there is no such key
delete KEY       forget a key
show [PREFIX]    print all keys and values, or those that begin with PREFIX
status           what this server knows of itself and its cluster
quit             close the connection
Redis commands work too: PING, INCR counter, TTL d ...
";

/// Reads a line. `None`: its first word is not one of ours.
pub(crate) fn parse(line: &[u8], shown_keys: usize) -> Option<Line> {
    let (verb, rest) = first_word(line);
    let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
    Some(if is("set") {
        set(rest)
    } else if is("get") {
        get(rest)
    } else if is("del") || is("delete") {
        delete(rest)
    } else if is("show") {
        show(rest, shown_keys)
    } else if is("status") {
        Line::Status
    } else if is("help") {
        Line::Help
    } else if verb == b"quit" {
        Line::Quit
    } else {
        return None;
    })
}

fn set(rest: &[u8]) -> Line {
    const USAGE: Line = Line::Wrong("set needs a key and a value: set KEY VALUE");
    let Some((key, value)) = key(rest) else { return USAGE };
    // One space separates; all further ones belong to the value.
    let Some(value) = value.strip_prefix(b" ").or_else(|| value.strip_prefix(b"\t")) else { return USAGE };
    let value = quotation(value).unwrap_or_else(|| Bytes::copy_from_slice(value));
    Line::Store(Kind::Write, Request::Command(Command::Set(Set::new(key, value))), Shape::Set)
}

fn get(rest: &[u8]) -> Line {
    match key(rest) {
        Some((key, rest)) if rest.trim_ascii().is_empty() => {
            Line::Store(Kind::Read, Request::Command(Command::Get { key }), Shape::Get)
        }
        _ => Line::Wrong("get needs one key: get KEY"),
    }
}

fn delete(rest: &[u8]) -> Line {
    match key(rest) {
        Some((key, rest)) if rest.trim_ascii().is_empty() => {
            let delete = Command::Delete { keys: vec![key] };
            Line::Store(Kind::Write, Request::Command(delete), Shape::Delete)
        }
        _ => Line::Wrong("delete needs one key: delete KEY"),
    }
}

fn show(rest: &[u8], shown_keys: usize) -> Line {
    let range = match key(rest) {
        None => KeyRange::all(),
        Some((prefix, rest)) if rest.trim_ascii().is_empty() => prefixed(prefix),
        Some(_) => return Line::Wrong("show takes at most one prefix: show PREFIX"),
    };
    let request = RangeRequest { limit: shown_keys as u64, ..RangeRequest::new(range) };
    Line::Store(Kind::Read, Request::Range(Box::new(request)), Shape::Show)
}

/// All keys that begin with `prefix`.
fn prefixed(prefix: Bytes) -> KeyRange {
    // The first key behind them: the prefix without its trailing 0xff bytes, its last byte one larger.
    let Some(last) = prefix.iter().rposition(|&byte| byte != u8::MAX) else { return KeyRange::From(prefix) };
    let mut to = prefix[..=last].to_vec();
    to[last] += 1;
    KeyRange::Span { from: prefix, to: to.into() }
}

/// The first word, and what follows it.
fn first_word(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    line.split_at(end)
}

/// A key, perhaps in double quotes, and what follows it.
fn key(rest: &[u8]) -> Option<(Bytes, &[u8])> {
    let rest = rest.trim_ascii_start();
    if let Some(quoted) = rest.strip_prefix(b"\"") {
        let mut key = Vec::new();
        if let Some(rest) = double_quoted(quoted, &mut key)
            && rest.first().is_none_or(u8::is_ascii_whitespace)
        {
            return Some((key.into(), rest));
        }
    }
    let (key, rest) = first_word(rest);
    (!key.is_empty()).then(|| (Bytes::copy_from_slice(key), rest))
}

/// The content of a text that is one quotation from its first byte to its last.
fn quotation(text: &[u8]) -> Option<Bytes> {
    let mut content = Vec::new();
    let rest = double_quoted(text.strip_prefix(b"\"")?, &mut content)?;
    rest.is_empty().then(|| content.into())
}

/// Writes the answer to a line.
pub(crate) fn write_answer(out: &mut Vec<u8>, shape: Shape, answer: &Result<Response, RequestError>) {
    match (shape, answer) {
        (_, Err(error)) => write_error(out, &error.to_string()),
        (Shape::Set, Ok(Response::Reply(Reply::Ok))) => out.extend_from_slice(b"OK\n"),
        (Shape::Get, Ok(Response::Reply(Reply::Value(value)))) => {
            write_text(out, value, false);
            out.push(b'\n');
        }
        (Shape::Get, Ok(Response::Reply(Reply::Nil))) => out.extend_from_slice(b"(nil)\n"),
        (Shape::Delete, Ok(Response::Reply(Reply::Integer(deleted)))) => {
            out.extend_from_slice(if *deleted > 0 { b"OK\n" } else { b"(nil)\n" });
        }
        (Shape::Show, Ok(Response::Range(range))) => write_range(out, range),
        (_, Ok(Response::Error(error))) => write_error(out, &error.to_string()),
        (Shape::Set | Shape::Get | Shape::Delete | Shape::Show, Ok(other)) => {
            debug_assert!(false, "an answer of another kind: {other:?}");
            write_error(out, "internal error: the store answered another request");
        }
    }
}

/// Writes a sentence about what is wrong.
pub(crate) fn write_error(out: &mut Vec<u8>, sentence: &str) {
    out.extend_from_slice(b"error: ");
    out.extend(sentence.bytes().map(|byte| if byte == b'\n' { b' ' } else { byte }));
    out.push(b'\n');
}

fn write_range(out: &mut Vec<u8>, range: &RangeResponse) {
    for pair in &range.kvs {
        write_text(out, &pair.key, true);
        out.extend_from_slice(b" = ");
        write_text(out, &pair.value, false);
        out.push(b'\n');
    }
    let shown = range.kvs.len();
    let line = match (range.more, shown) {
        (true, _) => format!("(the first {shown} of {} keys; show PREFIX narrows it)\n", range.count),
        (false, 1) => "(1 key)\n".to_owned(),
        (false, _) => format!("({shown} keys)\n"),
    };
    out.extend_from_slice(line.as_bytes());
}

/// Writes a key or a value as it is, or in quotes if it could be mistaken for something else.
fn write_text(out: &mut Vec<u8>, bytes: &[u8], is_key: bool) {
    let needs_quotes = |text: &str| {
        text.is_empty()
            || text.starts_with(['"', '('])
            || text.starts_with("error: ")
            || text.contains(char::is_control)
            || text.trim() != text
            || (is_key && text.contains(char::is_whitespace))
    };
    let plain = std::str::from_utf8(bytes).is_ok_and(|text| !needs_quotes(text));
    if plain {
        out.extend_from_slice(bytes);
        return;
    }
    out.push(b'"');
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '"' => out.extend_from_slice(b"\\\""),
                '\\' => out.extend_from_slice(b"\\\\"),
                '\n' => out.extend_from_slice(b"\\n"),
                '\r' => out.extend_from_slice(b"\\r"),
                '\t' => out.extend_from_slice(b"\\t"),
                other if other.is_control() => write_escaped(out, other.to_string().as_bytes()),
                other => out.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
            }
        }
        write_escaped(out, chunk.invalid());
    }
    out.push(b'"');
}

fn write_escaped(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
    }
}

/// What `status` prints.
pub(crate) fn status(status: &Status) -> String {
    let mut text = String::new();
    let name = &status.name;
    let role = match (status.role, &status.leader) {
        (RoleName::Leader, _) => format!("{name} is the leader of term {}", status.term),
        (RoleName::Follower, Some(leader)) => format!("{name} follows {leader} in term {}", status.term),
        (RoleName::Follower, None) => format!("{name} knows no leader (term {})", status.term),
        (RoleName::PreCandidate, _) => {
            format!("{name} asks whether it could win an election (term {})", status.term)
        }
        (RoleName::Candidate, _) => format!("{name} stands for election in term {}", status.term),
    };
    let _ = writeln!(text, "{role}");
    if let Some(problem) = &status.problem {
        let _ = writeln!(text, "problem: {problem}");
    }
    let Status { commit_index, applied_index, last_index, revision, keys, .. } = status;
    let _ = writeln!(text, "log: last {last_index}, committed {commit_index}, applied {applied_index}");
    let _ = writeln!(text, "store: {keys} keys, revision {revision}");
    for member in &status.membership.members {
        let role = match member.role {
            MemberRole::Voter => "voter",
            MemberRole::Learner => "learner",
            MemberRole::Outgoing => "outgoing voter",
        };
        let state = if member.reachable { "reachable" } else { "not reachable" };
        let lag = member.lag.map(|lag| format!(", {lag} entries behind")).unwrap_or_default();
        let address = match member.client_addr.as_str() {
            "" => "client address unknown",
            known => known,
        };
        let _ = writeln!(text, "member {}: {role}, {address}, {state}{lag}", member.name);
    }
    let change = match status.membership.stage {
        MembershipStage::Final => "",
        MembershipStage::CatchUp => {
            "; a change of members waits until its new voters are there and have caught up"
        }
        MembershipStage::Joint => "; a change of members is under way",
    };
    let _ = writeln!(text, "tolerates {} more failures{change}", status.membership.tolerates);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Command {
        match parse(line.as_bytes(), 10) {
            Some(Line::Store(_, Request::Command(command), _)) => command,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn check_set(line: &str, key: &str, value: &str) {
        let set = Set::new(Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        assert_eq!(command(line), Command::Set(set), "{line}");
    }

    #[test]
    fn a_value_is_the_rest_of_the_line() {
        check_set("set d 8", "d", "8");
        check_set("SET d hello wide  world", "d", "hello wide  world");
        check_set("set at a@b-c", "at", "a@b-c");
        check_set("set ü größe → ok", "ü", "größe → ok");
        check_set("set d  two", "d", " two");
        check_set("set d ", "d", "");
        check_set(r#"set d """#, "d", "");
        check_set(r#"set "a b" "x\ny""#, "a b", "x\ny");
        check_set(r#"set d "a" b"#, "d", r#""a" b"#);
        check_set("set show 1", "show", "1");
        let long = "x".repeat(60_000);
        check_set(&format!("set big {long}"), "big", &long);
    }

    #[test]
    fn other_lines() {
        assert_eq!(command("GET d"), Command::Get { key: Bytes::from_static(b"d") });
        assert_eq!(command("DEL d"), Command::Delete { keys: vec![Bytes::from_static(b"d")] });
        assert_eq!(command("delete d "), command("Del d"));
        assert_eq!(parse(b"quit", 10), Some(Line::Quit));
        assert_eq!(parse(b"Help", 10), Some(Line::Help));
        for line in ["PING", "QUIT", "INCR a", "setx a b", "", "getdel k"] {
            assert_eq!(parse(line.as_bytes(), 10), None, "{line}");
        }
        for line in ["set", "set d", "get", "get a b", "delete", "show a b"] {
            assert!(matches!(parse(line.as_bytes(), 10), Some(Line::Wrong(_))), "{line}");
        }
    }

    #[test]
    fn what_is_printed_can_be_given_back() {
        for value in [
            &b""[..],
            b"(nil)",
            b"\"x\"",
            b"a\nb",
            b"\xff\x00z",
            b" pad ",
            b"error: x",
            b"8",
            "é\u{85}".as_bytes(),
        ] {
            let mut line = b"set k ".to_vec();
            write_text(&mut line, value, false);
            assert!(!line.contains(&b'\n'));
            let text = String::from_utf8(line).unwrap();
            let set = Set::new(Bytes::from_static(b"k"), Bytes::copy_from_slice(value));
            assert_eq!(command(&text), Command::Set(set), "{text}");
        }
    }

    #[test]
    fn a_prefix_is_a_range() {
        assert_eq!(
            prefixed(Bytes::from_static(b"\xff\xff")),
            KeyRange::From(Bytes::from_static(b"\xff\xff"))
        );
        let range = prefixed(Bytes::from_static(b"a\xff"));
        assert!(range.contains(b"a\xff") && range.contains(b"a\xff\xff") && !range.contains(b"b"));
    }
}
