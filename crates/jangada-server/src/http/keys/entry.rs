//! A key and its value, as text and as JSON.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jangada_etcd::mvccpb::KeyValue;
use percent_encoding::{AsciiSet, CONTROLS, percent_encode};
use serde_json::{Map, Value, json};

/// What a path does not take as it is. A slash stays: it is what keys are put in order with.
const NOT_IN_A_PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// A key as it stands behind `/kv/`: no byte is lost.
pub(super) fn path(key: &[u8]) -> String {
    percent_encode(key, NOT_IN_A_PATH).to_string()
}

/// Key, value and revisions. What is no UTF-8 is there as `key_base64` or `value_base64`.
pub(super) fn json(kv: &KeyValue) -> Value {
    let mut entry = Map::new();
    bytes(&mut entry, "key", &kv.key);
    bytes(&mut entry, "value", &kv.value);
    entry.insert("create_revision".to_owned(), json!(kv.create_revision));
    entry.insert("mod_revision".to_owned(), json!(kv.mod_revision));
    entry.insert("version".to_owned(), json!(kv.version));
    if kv.lease != 0 {
        // Beyond what numbers of JSON are safe for.
        entry.insert("lease".to_owned(), json!(format!("{:x}", kv.lease)));
    }
    Value::Object(entry)
}

/// Puts bytes under a name, or under another if they are no text.
pub(super) fn bytes(entry: &mut Map<String, Value>, name: &str, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) => entry.insert(name.to_owned(), json!(text)),
        Err(_) => entry.insert(format!("{name}_base64"), json!(BASE64_STANDARD.encode(bytes))),
    };
}
