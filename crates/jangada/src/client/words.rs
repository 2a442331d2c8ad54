//! The words of the client, the same at the prompt, in a pipe and on the command line: what they mean, how they are
//! carried out, how their answers look.

use super::session::{Effect, Session};
use super::wire::Reply;
use crate::cluster::status;
use crate::failure::{Exit, Failure};
use crate::output::{self, Format};

/// A key or a value, whatever is in it.
type Bytes = Vec<u8>;

/// Keys asked for at once by `show`.
const SHOW_BATCH: &[u8] = b"1000";

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// The value of a key.
    Get(Vec<u8>),
    /// Give a key a value.
    Set(Vec<u8>, Vec<u8>),
    /// Delete keys.
    Delete(Vec<Vec<u8>>),
    /// All keys and values.
    Show,
    /// How the cluster is.
    Status,
    /// What can be said.
    Help,
    /// Good bye.
    Quit,
}

/// What each word does, for `help` and the completion.
pub const WORDS: [(&str, &str); 7] = [
    ("get KEY", "print the value of a key, or (nil)"),
    ("set KEY VALUE", "give a key a value; the value is the rest of the line, spaces included"),
    ("delete KEY…", "delete keys"),
    ("show", "print all keys and values"),
    ("status", "how the cluster is: leader, members, who is behind"),
    ("help", "print this"),
    ("quit", "leave (also Ctrl+D)"),
];

/// Reads one line. `Ok(None)` is an empty line. Keys and values are bytes: they need not be text.
///
/// # Errors
/// Says what the word needs.
pub fn parse(line: &[u8]) -> Result<Option<Word>, String> {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line).trim_ascii_start();
    let (verb, rest) = split_word(line);
    let verb = output::printable(verb).to_ascii_lowercase();
    let mut arguments =
        rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).map(<[u8]>::to_vec);
    let nothing_more = |word: Word| match rest.trim_ascii() {
        [] => Ok(Some(word)),
        more => Err(format!("{verb} takes nothing more: {:?} is too much", output::printable(more))),
    };
    match verb.as_str() {
        "" => Ok(None),
        "get" => match (arguments.next(), arguments.next()) {
            (Some(key), None) => Ok(Some(Word::Get(key))),
            _ => Err("get needs one key: get KEY".to_owned()),
        },
        "set" => match split_word(rest.trim_ascii_start()) {
            ([], _) | (_, []) => Err("set needs a key and a value: set KEY VALUE".to_owned()),
            (key, value) => Ok(Some(Word::Set(key.to_vec(), value.to_vec()))),
        },
        "delete" | "del" => match arguments.collect::<Vec<_>>() {
            keys if keys.is_empty() => Err("delete needs a key: delete KEY".to_owned()),
            keys => Ok(Some(Word::Delete(keys))),
        },
        "show" => nothing_more(Word::Show),
        "status" => nothing_more(Word::Status),
        "help" | "?" => nothing_more(Word::Help),
        "quit" | "exit" => nothing_more(Word::Quit),
        _ => Err(format!("{verb:?} is not a word here; try help")),
    }
}

/// The first word, and what follows it without the one space between.
fn split_word(line: &[u8]) -> (&[u8], &[u8]) {
    match line.iter().position(u8::is_ascii_whitespace) {
        Some(space) => (&line[..space], &line[space + 1..]),
        None => (line, b""),
    }
}

/// A key and its value as JSON: `{"key":"d","value":"8"}`, `"value":null` if there is none. JSON knows no bytes: what
/// is not UTF-8 stands under `key_hex` or `value_hex` instead.
fn as_json(key: &[u8], value: Option<&[u8]>) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for (name, bytes) in [("key", Some(key)), ("value", value)] {
        match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => object.insert(name.to_owned(), serde_json::Value::Null),
            Some((_, Ok(text))) => object.insert(name.to_owned(), text.into()),
            Some((bytes, Err(_))) => {
                let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                object.insert(format!("{name}_hex"), hex.into())
            }
        };
    }
    object.into()
}

/// Carries out one word and prints the answer. `Ok(false)` is "no": not there.
///
/// # Errors
/// See [`Session::call`].
pub fn carry_out(session: &mut Session, word: &Word, format: Format) -> Result<bool, Failure> {
    match word {
        Word::Get(key) => get(session, key, format),
        Word::Set(key, value) => {
            session.call(&[b"SET", key, value], Effect::Write)?;
            match format {
                Format::Text => output::line("OK")?,
                Format::Json => output::json(&serde_json::json!({"ok": true}))?,
            }
            Ok(true)
        }
        Word::Delete(keys) => delete(session, keys, format),
        Word::Show => show(session, format),
        Word::Status => {
            status::print_overview(&status::ask_cluster(session.servers()), format)?;
            Ok(true)
        }
        Word::Help => {
            let rows =
                WORDS.iter().map(|(word, what)| vec![(*word).to_owned(), (*what).to_owned()]).collect();
            output::line(&output::table(&["WORD", "WHAT IT DOES"], rows))?;
            Ok(true)
        }
        Word::Quit => Ok(true),
    }
}

fn get(session: &mut Session, key: &[u8], format: Format) -> Result<bool, Failure> {
    let value = match session.call(&[b"GET", key], Effect::Read)? {
        Reply::Bulk(value) => value,
        other @ (Reply::Status(_) | Reply::Error(_) | Reply::Integer(_) | Reply::Array(_)) => {
            return Err(surprise(session, &other));
        }
    };
    match (format, &value) {
        (Format::Json, value) => output::json(&as_json(key, value.as_deref()))?,
        // A person sees text; a program gets the bytes as they are.
        (Format::Text, Some(value)) if output::to_terminal() => output::line(&output::printable(value))?,
        (Format::Text, Some(value)) => output::raw(&[value.as_slice(), b"\n"].concat())?,
        (Format::Text, None) if output::to_terminal() => output::line("(nil)")?,
        (Format::Text, None) => {}
    }
    Ok(value.is_some())
}

fn delete(session: &mut Session, keys: &[Vec<u8>], format: Format) -> Result<bool, Failure> {
    let mut command: Vec<&[u8]> = vec![b"DEL"];
    command.extend(keys.iter().map(Vec::as_slice));
    let deleted = match session.call(&command, Effect::Write)? {
        Reply::Integer(deleted) => deleted,
        other @ (Reply::Status(_) | Reply::Error(_) | Reply::Bulk(_) | Reply::Array(_)) => {
            return Err(surprise(session, &other));
        }
    };
    match format {
        Format::Text => output::line(&format!("{deleted} deleted"))?,
        Format::Json => output::json(&serde_json::json!({"deleted": deleted}))?,
    }
    Ok(deleted > 0)
}

fn show(session: &mut Session, format: Format) -> Result<bool, Failure> {
    let pairs = all_pairs(session)?;
    if format == Format::Json {
        let pairs: Vec<_> = pairs.iter().map(|(key, value)| as_json(key, Some(value))).collect();
        return output::json(&pairs).map(|()| true);
    }
    for (key, value) in &pairs {
        output::line(&format!("{} {}", output::printable(key), output::printable(value)))?;
    }
    if pairs.is_empty() && output::to_terminal() {
        output::note("(no keys)");
    }
    Ok(true)
}

/// All keys with their values, in the order of the keys. Not one moment's picture: keys may change meanwhile.
///
/// # Errors
/// See [`Session::call`].
pub fn all_pairs(session: &mut Session) -> Result<Vec<(Bytes, Bytes)>, Failure> {
    let mut pairs = std::collections::BTreeMap::new();
    let mut cursor = b"0".to_vec();
    loop {
        let reply = session.call(&[b"SCAN", &cursor, b"COUNT", SHOW_BATCH], Effect::Read)?;
        let (next, keys) =
            scanned(reply).ok_or_else(|| Failure::refused("an answer to SCAN that is none"))?;
        if !keys.is_empty() {
            let mut command: Vec<&[u8]> = vec![b"MGET"];
            command.extend(keys.iter().map(Vec::as_slice));
            match session.call(&command, Effect::Read)? {
                Reply::Array(Some(values)) => {
                    for (key, value) in keys.iter().zip(values) {
                        // A key that was deleted in between has no value.
                        if let Reply::Bulk(Some(value)) = value {
                            pairs.insert(key.clone(), value);
                        }
                    }
                }
                other => return Err(surprise(session, &other)),
            }
        }
        if next == b"0" {
            return Ok(pairs.into_iter().collect());
        }
        cursor = next;
    }
}

fn scanned(reply: Reply) -> Option<(Vec<u8>, Vec<Vec<u8>>)> {
    let Reply::Array(Some(parts)) = reply else { return None };
    let [Reply::Bulk(Some(cursor)), Reply::Array(Some(keys))] = parts.as_slice() else { return None };
    let bulk = |key: &Reply| if let Reply::Bulk(Some(key)) = key { Some(key.clone()) } else { None };
    Some((cursor.clone(), keys.iter().filter_map(bulk).collect()))
}

fn surprise(session: &Session, reply: &Reply) -> Failure {
    let address = session.address();
    Failure::new(
        Exit::Refused,
        format!("{address} answered something unexpected: {reply:?}; is it a Jangada server?"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(line: &str) -> Word {
        parse(line.as_bytes()).unwrap().unwrap()
    }

    #[test]
    fn words_are_read_as_they_were_typed() {
        assert_eq!(word("get d"), Word::Get(b"d".to_vec()));
        assert_eq!(word("  GET d \n"), Word::Get(b"d".to_vec()));
        assert_eq!(word("set d 8"), Word::Set(b"d".to_vec(), b"8".to_vec()));
        assert_eq!(word("set d a  b - c@d\r\n"), Word::Set(b"d".to_vec(), b"a  b - c@d".to_vec()));
        assert_eq!(word("set show 1"), Word::Set(b"show".to_vec(), b"1".to_vec()));
        assert_eq!(word("delete a b"), Word::Delete(vec![b"a".to_vec(), b"b".to_vec()]));
        assert_eq!(word("show"), Word::Show);
        assert_eq!(word("exit"), Word::Quit);
        assert_eq!(parse(b"set a \xff\0").unwrap(), Some(Word::Set(b"a".to_vec(), b"\xff\0".to_vec())));
    }

    #[test]
    fn an_empty_line_is_nothing_and_a_wrong_one_says_what_is_needed() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"   \n"), Ok(None));
        for (line, needs) in [
            ("get", "one key"),
            ("get a b", "one key"),
            ("set a", "a key and a value"),
            ("delete", "a key"),
            ("show all", "too much"),
            ("fly", "not a word"),
        ] {
            let error = parse(line.as_bytes()).unwrap_err();
            assert!(error.contains(needs), "{line}: {error}");
        }
    }

    #[test]
    fn json_keeps_absent_empty_and_binary_apart() {
        assert_eq!(as_json(b"k", None).to_string(), r#"{"key":"k","value":null}"#);
        assert_eq!(as_json(b"k", Some(b"")).to_string(), r#"{"key":"k","value":""}"#);
        assert_eq!(as_json(b"k", Some(b"\xff\0")).to_string(), r#"{"key":"k","value_hex":"ff00"}"#);
    }

    #[test]
    fn a_scan_answer_is_taken_apart() {
        let keys = Reply::Array(Some(vec![Reply::Bulk(Some(b"a".to_vec()))]));
        let reply = Reply::Array(Some(vec![Reply::Bulk(Some(b"0".to_vec())), keys]));
        assert_eq!(scanned(reply), Some((b"0".to_vec(), vec![b"a".to_vec()])));
        assert_eq!(scanned(Reply::Integer(1)), None);
    }
}
