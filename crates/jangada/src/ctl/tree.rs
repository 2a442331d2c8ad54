//! An answer as a tree, so that each command says once what there is to say, and it is printed in any format.
//!
//! The names are those that etcdctl prints in JSON; `-o fields` makes its own of them.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::mvccpb;
use serde_json::{Map, Value};

/// A part of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tree {
    /// A number; zero is left out of JSON.
    Number(i128),
    /// Text; none is left out of JSON.
    Text(String),
    /// Any bytes: base64 in JSON.
    Bytes(Bytes),
    /// Yes or no; no is left out of JSON.
    Flag(bool),
    /// Yes or no; both are in JSON.
    Answer(bool),
    /// One of several kinds: its number in JSON, where the first is left out, and its name in `-o fields`.
    Kind(i32, &'static str),
    /// Even if it is zero or none, it is in JSON.
    Shown(Box<Tree>),
    /// Several of the same kind; none are left out of JSON.
    List(Vec<Tree>),
    /// Named parts, in their order.
    Object(Vec<(&'static str, Tree)>),
}

impl<N: Into<i128>> From<N> for Tree {
    fn from(number: N) -> Tree {
        Tree::Number(number.into())
    }
}

/// Text.
pub fn text(text: impl Into<String>) -> Tree {
    Tree::Text(text.into())
}

impl Tree {
    /// As etcdctl's JSON has it.
    pub fn json(&self) -> Value {
        match self {
            Tree::Number(number) => match (i64::try_from(*number), u64::try_from(*number)) {
                (Ok(number), _) => number.into(),
                (_, Ok(number)) => number.into(),
                _ => Value::Null,
            },
            Tree::Text(text) => text.clone().into(),
            Tree::Bytes(bytes) => STANDARD.encode(bytes).into(),
            Tree::Flag(flag) | Tree::Answer(flag) => (*flag).into(),
            Tree::Kind(number, _) => (*number).into(),
            Tree::Shown(part) => part.json(),
            Tree::List(list) => list.iter().map(Tree::json).collect(),
            Tree::Object(parts) => {
                let parts = parts.iter().filter(|(_, part)| !part.is_empty());
                Value::Object(
                    parts.map(|(name, part)| ((*name).to_owned(), part.json())).collect::<Map<_, _>>(),
                )
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Tree::Number(number) => *number == 0,
            Tree::Text(text) => text.is_empty(),
            Tree::Bytes(bytes) => bytes.is_empty(),
            Tree::Flag(flag) => !flag,
            Tree::Kind(number, _) => *number == 0,
            Tree::List(list) => list.is_empty(),
            Tree::Object(_) | Tree::Answer(_) | Tree::Shown(_) => false,
        }
    }

    /// One line for each leaf, `"Name" : value`, as etcdctl's `-w fields`.
    pub fn fields(&self) -> String {
        let mut lines = String::new();
        self.add_fields("", "", &mut lines);
        lines
    }

    /// The parts of what a key was before are `Prev` something.
    fn add_fields(&self, before: &str, name: &str, lines: &mut String) {
        let value = match self {
            Tree::List(list) => return list.iter().for_each(|part| part.add_fields(before, name, lines)),
            Tree::Object(parts) => {
                let before = if name.starts_with("prev_kv") { "Prev" } else { before };
                return parts.iter().for_each(|(name, part)| part.add_fields(before, name, lines));
            }
            Tree::Shown(part) => return part.add_fields(before, name, lines),
            Tree::Kind(_, kind) => (*kind).to_owned(),
            Tree::Number(number) => number.to_string(),
            Tree::Flag(flag) | Tree::Answer(flag) => flag.to_string(),
            Tree::Text(text) => format!("{text:?}"),
            Tree::Bytes(bytes) => quoted(bytes),
        };
        lines.push_str(&format!("\"{before}{}\" : {value}\n", camel(name)));
    }
}

/// Bytes in double quotes, what is no text escaped.
pub fn quoted(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => format!("{text:?}"),
        Err(_) => format!("\"{}\"", bytes.escape_ascii()),
    }
}

/// `create_revision` is `CreateRevision`, and `member_id` is `MemberID`; of several things each is one.
fn camel(name: &str) -> String {
    match name {
        "peerURLs" => return "PeerURL".to_owned(),
        "clientURLs" => return "ClientURL".to_owned(),
        "granted-ttl" => return "GrantedTTL".to_owned(),
        "keys" => return "Key".to_owned(),
        _ => {}
    }
    let words = name.split('_').map(|word| match word {
        "id" | "ttl" | "ID" | "TTL" => word.to_ascii_uppercase(),
        word => word[..1].to_ascii_uppercase() + &word[1..],
    });
    words.collect()
}

/// The header of an answer.
pub fn header(header: &Option<pb::ResponseHeader>) -> Tree {
    Tree::Object(header_parts(header).to_vec())
}

/// An answer with its header's parts among its own, as etcdctl has it of leases.
pub fn with_header(header: &Option<pb::ResponseHeader>, parts: Vec<(&'static str, Tree)>) -> Tree {
    Tree::Object(header_parts(header).into_iter().chain(parts).collect())
}

fn header_parts(header: &Option<pb::ResponseHeader>) -> [(&'static str, Tree); 4] {
    let header = header.unwrap_or_default();
    [
        ("cluster_id", header.cluster_id.into()),
        ("member_id", header.member_id.into()),
        ("revision", header.revision.into()),
        ("raft_term", header.raft_term.into()),
    ]
}

/// A key with its value.
pub fn key_value(kv: &mvccpb::KeyValue) -> Tree {
    Tree::Object(vec![
        ("key", Tree::Bytes(kv.key.clone())),
        ("create_revision", kv.create_revision.into()),
        ("mod_revision", kv.mod_revision.into()),
        ("version", kv.version.into()),
        ("value", Tree::Bytes(kv.value.clone())),
        ("lease", kv.lease.into()),
    ])
}

/// Several of them.
pub fn key_values(kvs: &[mvccpb::KeyValue]) -> Tree {
    Tree::List(kvs.iter().map(key_value).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_and_fields_are_as_etcdctl_prints_them() {
        let kv = mvccpb::KeyValue {
            key: "d".into(),
            value: vec![0xff].into(),
            create_revision: 2,
            mod_revision: 3,
            version: 2,
            lease: 0,
        };
        let told =
            Tree::Object(vec![("kvs", key_values(&[kv])), ("more", Tree::Flag(false)), ("count", 1.into())]);
        assert_eq!(
            told.json().to_string(),
            r#"{"count":1,"kvs":[{"create_revision":2,"key":"ZA==","mod_revision":3,"value":"/w==","version":2}]}"#
        );
        assert_eq!(
            told.fields(),
            "\"Key\" : \"d\"\n\"CreateRevision\" : 2\n\"ModRevision\" : 3\n\"Version\" : 2\n\"Value\" : \
             \"\\xff\"\n\"Lease\" : 0\n\"More\" : false\n\"Count\" : 1\n"
        );
        assert_eq!(camel("member_id"), "MemberID");
    }

    #[test]
    fn what_a_key_was_before_and_kinds_are_as_etcdctl_prints_them() {
        let kv = mvccpb::KeyValue { key: "d".into(), version: 1, ..mvccpb::KeyValue::default() };
        let told = Tree::Object(vec![
            ("type", Tree::Kind(0, "PUT")),
            ("prev_kv", key_value(&kv)),
            ("CompactRevision", Tree::Shown(Box::new(0.into()))),
        ]);
        assert_eq!(told.json().to_string(), r#"{"CompactRevision":0,"prev_kv":{"key":"ZA==","version":1}}"#);
        let fields = told.fields();
        assert!(
            fields.starts_with("\"Type\" : PUT\n\"PrevKey\" : \"d\"\n\"PrevCreateRevision\" : 0\n"),
            "{fields}"
        );
    }

    #[test]
    fn numbers_beyond_the_signed_ones_are_numbers() {
        assert_eq!(Tree::from(u64::MAX).json().to_string(), u64::MAX.to_string());
    }
}
