//! A txn as text, in etcdctl's syntax: comparisons, an empty line, what to do if they hold, an empty line, what to do
//! otherwise.
//!
//! ```text
//! value("d") = "8"
//! mod("d") > "2"
//!
//! put d 9
//!
//! get d
//!
//! ```

use clap::{FromArgMatches, Subcommand};
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::grammar::{Del, Get, Put};
use crate::failure::Failure;

/// What may be done in a txn.
#[derive(Debug, Subcommand)]
enum Step {
    Get(Get),
    Put(Put),
    Del(Del),
}

/// Which part a line belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The comparisons.
    Compares,
    /// What is done if they hold.
    Success,
    /// What is done otherwise.
    Failure,
    /// All has been said.
    Done,
}

/// A txn of which line after line is said.
#[derive(Debug)]
pub struct Reading {
    /// What has been said so far.
    pub txn: pb::TxnRequest,
    /// What the next line belongs to.
    pub part: Part,
}

impl Reading {
    /// Nothing was said yet.
    pub fn new() -> Reading {
        Reading { txn: pb::TxnRequest::default(), part: Part::Compares }
    }

    /// Takes a line. An empty one ends a part.
    ///
    /// # Errors
    /// 2, if it cannot be understood.
    pub fn line(&mut self, line: &str) -> Result<(), Failure> {
        let line = line.trim();
        match (line.is_empty(), self.part) {
            (true, Part::Compares) => self.part = Part::Success,
            (true, Part::Success) => self.part = Part::Failure,
            (true, Part::Failure | Part::Done) => self.part = Part::Done,
            (false, Part::Compares) => self.txn.compare.push(compare(line)?),
            (false, Part::Success) => self.txn.success.push(operation(line)?),
            (false, Part::Failure) => self.txn.failure.push(operation(line)?),
            (false, Part::Done) => return Err(wrong(line, "the txn has ended")),
        }
        Ok(())
    }
}

fn wrong(line: &str, why: &str) -> Failure {
    Failure::usage(format!("{line:?}: {why}"))
}

/// `value("d") = "8"`.
fn compare(line: &str) -> Result<pb::Compare, Failure> {
    let malformed =
        || wrong(line, "a comparison is TARGET(\"KEY\") OPERATOR \"VALUE\", such as value(\"d\") = \"8\"");
    let (target, rest) = line.split_once('(').ok_or_else(malformed)?;
    let (key, rest) = quoted(rest.trim_start()).ok_or_else(malformed)?;
    let rest = rest.trim_start().strip_prefix(')').ok_or_else(malformed)?.trim_start();
    let end = rest.find(|c: char| !"=!<>".contains(c)).ok_or_else(malformed)?;
    let (operator, rest) = rest.split_at(end);
    let (value, rest) = quoted(rest.trim_start()).ok_or_else(malformed)?;
    if !rest.trim().is_empty() {
        return Err(malformed());
    }
    let result = match operator {
        "=" => CompareResult::Equal,
        "!=" => CompareResult::NotEqual,
        ">" => CompareResult::Greater,
        "<" => CompareResult::Less,
        _ => return Err(wrong(line, "the operators are =, !=, > and <")),
    };
    let text = String::from_utf8_lossy(&value).into_owned();
    let number = || text.parse::<i64>().map_err(|_| wrong(line, "a number is wanted"));
    let (target, union) = match target.trim() {
        "val" | "value" => (CompareTarget::Value, TargetUnion::Value(value.into())),
        "ver" | "version" => (CompareTarget::Version, TargetUnion::Version(number()?)),
        "c" | "create" => (CompareTarget::Create, TargetUnion::CreateRevision(number()?)),
        "m" | "mod" => (CompareTarget::Mod, TargetUnion::ModRevision(number()?)),
        "lease" => {
            let lease = super::grammar::lease_id(&text).map_err(|why| wrong(line, &why))?;
            (CompareTarget::Lease, TargetUnion::Lease(lease))
        }
        _ => return Err(wrong(line, "what can be compared is value, version, create, mod and lease")),
    };
    Ok(pb::Compare {
        result: result.into(),
        target: target.into(),
        key: key.into(),
        target_union: Some(union),
        ..pb::Compare::default()
    })
}

/// `put d 9`, with the options of the words themselves.
fn operation(line: &str) -> Result<pb::RequestOp, Failure> {
    let words = words(line).ok_or_else(|| wrong(line, "a quotation that does not end"))?;
    let words = words.into_iter().map(|word| {
        use std::os::unix::ffi::OsStringExt;
        std::ffi::OsString::from_vec(word)
    });
    let grammar =
        Step::augment_subcommands(clap::Command::new("txn").no_binary_name(true).disable_help_flag(true));
    let matches = grammar.try_get_matches_from(words);
    let step = matches.and_then(|matches| Step::from_arg_matches(&matches));
    let step = step.map_err(|error| {
        let why = error.to_string();
        wrong(line, why.lines().next().unwrap_or_default().trim_start_matches("error: "))
    })?;
    let request = match step {
        Step::Get(get) => Op::RequestRange(get.request()?),
        Step::Put(put) if put.value.is_none() && !put.ignore_value => {
            return Err(wrong(line, "put wants a value"));
        }
        Step::Put(put) => Op::RequestPut(put.request()?),
        Step::Del(del) => Op::RequestDeleteRange(del.request()?),
    };
    Ok(pb::RequestOp { request: Some(request) })
}

/// The words of a line; in quotation marks they may have spaces.
fn words(line: &str) -> Option<Vec<Vec<u8>>> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, behind) = if rest.starts_with('"') {
            quoted(rest)?
        } else if let Some(single) = rest.strip_prefix('\'') {
            let (word, behind) = single.split_once('\'')?;
            (word.as_bytes().to_vec(), behind)
        } else {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            (rest.as_bytes()[..end].to_vec(), &rest[end..])
        };
        words.push(word);
        rest = behind.trim_start();
    }
    Some(words)
}

/// What stands between double quotes, and what behind them.
fn quoted(text: &str) -> Option<(Vec<u8>, &str)> {
    let mut rest = text.strip_prefix('"')?;
    let mut content = Vec::new();
    loop {
        let at = rest.find(['"', '\\'])?;
        content.extend_from_slice(&rest.as_bytes()[..at]);
        if rest.as_bytes()[at] == b'"' {
            return Some((content, &rest[at + 1..]));
        }
        let escaped = rest[at + 1..].chars().next()?;
        rest = &rest[at + 1 + escaped.len_utf8()..];
        match escaped {
            'n' => content.push(b'\n'),
            't' => content.push(b'\t'),
            'r' => content.push(b'\r'),
            'x' => {
                content.push(u8::from_str_radix(rest.get(..2)?, 16).ok()?);
                rest = &rest[2..];
            }
            other => content.extend_from_slice(other.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reading, String> {
        let mut reading = Reading::new();
        for line in text.lines() {
            reading.line(line).map_err(|failure| failure.message)?;
        }
        Ok(reading)
    }

    #[test]
    fn a_txn_is_read_in_three_parts() {
        let text = "value(\"d\") = \"8\"\nmod(\"a b\") > \"2\"\n\nput d \"a b\\x00\" --prev-kv\ndel --prefix x\n\nget d\n\n";
        let reading = read(text).unwrap();
        assert_eq!(reading.part, Part::Done);
        let pb::TxnRequest { compare, success, failure } = reading.txn;
        assert_eq!(compare[0].target_union, Some(TargetUnion::Value("8".into())));
        assert_eq!((compare[1].key.as_ref(), compare[1].result()), (&b"a b"[..], CompareResult::Greater));
        let Some(Op::RequestPut(put)) = &success[0].request else { panic!("{success:?}") };
        assert_eq!((put.value.as_ref(), put.prev_kv), (&b"a b\0"[..], true));
        let Some(Op::RequestDeleteRange(del)) = &success[1].request else { panic!("{success:?}") };
        assert_eq!(del.range_end.as_ref(), b"y");
        assert!(matches!(&failure[0].request, Some(Op::RequestRange(get)) if get.key.as_ref() == b"d"));
    }

    #[test]
    fn what_cannot_be_understood_is_told() {
        for (text, why) in [
            ("value(d) = \"8\"", "a comparison is"),
            ("value(\"d\") ~ \"8\"", "a comparison is"),
            ("value(\"d\") == \"8\"", "the operators are"),
            ("size(\"d\") = \"8\"", "what can be compared is"),
            ("mod(\"d\") = \"soon\"", "a number is wanted"),
            ("\nwatch d", "unrecognized subcommand 'watch'"),
            ("\nput d", "put wants a value"),
            ("\nput d \"8", "a quotation that does not end"),
            ("\n\n\nput d 8", "the txn has ended"),
        ] {
            let refusal = read(text).unwrap_err();
            assert!(refusal.contains(why), "{text:?}: {refusal}");
        }
    }
}
