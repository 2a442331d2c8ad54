//! get, put, del: keys one by one, or ranges of them.

use std::ffi::OsString;
use std::io::Read;
use std::os::unix::ffi::{OsStrExt, OsStringExt};

use bytes::Bytes;
use jangada_etcd::client::Channel;
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::kv_client::KvClient;
use jangada_etcd::etcdserverpb::range_request::{SortOrder, SortTarget};
use jangada_etcd::mvccpb;

use super::Ctl;
use super::cluster::Effect;
use super::grammar::{Consistency, Del, Get, Order, Put, SortBy};
use super::print::{Answer, add_line, add_text};
use super::tree::{Tree, header, key_value, key_values};
use crate::failure::{Exit, Failure};

/// A client of keys that takes answers of any size.
pub fn kv(channel: Channel) -> KvClient<Channel> {
    KvClient::new(channel).max_decoding_message_size(usize::MAX)
}

/// The key, and the end of the range, as etcd has them.
///
/// # Errors
/// An empty key without anything that says what it means.
pub fn span(
    key: &OsString,
    range_end: Option<&OsString>,
    prefix: bool,
    from_key: bool,
) -> Result<(Bytes, Bytes), Failure> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let all = Bytes::from_static(b"\0");
    let end = match range_end {
        Some(end) => Bytes::copy_from_slice(end.as_bytes()),
        None if prefix && key.is_empty() => return Ok((all.clone(), all)),
        None if prefix => end_of_prefix(&key),
        None if from_key && key.is_empty() => return Ok((all.clone(), all)),
        None if from_key => all,
        None if key.is_empty() => {
            return Err(Failure::usage("the key is empty: all keys are `\"\" --prefix`"));
        }
        None => Bytes::new(),
    };
    Ok((key, end))
}

/// The first key behind all that begin so.
pub fn end_of_prefix(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    Bytes::from_static(b"\0")
}

impl Get {
    /// The request.
    ///
    /// # Errors
    /// For a range that is none.
    pub fn request(&self) -> Result<pb::RangeRequest, Failure> {
        let (key, range_end) = span(&self.key, self.range_end.as_ref(), self.prefix, self.from_key)?;
        let target = match self.sort_by {
            None | Some(SortBy::Key) => SortTarget::Key,
            Some(SortBy::Version) => SortTarget::Version,
            Some(SortBy::Create) => SortTarget::Create,
            Some(SortBy::Modify) => SortTarget::Mod,
            Some(SortBy::Value) => SortTarget::Value,
        };
        let order = match (self.order, self.sort_by) {
            (Some(Order::Descend), _) => SortOrder::Descend,
            (Some(Order::Ascend), _) | (None, Some(_)) => SortOrder::Ascend,
            (None, None) => SortOrder::None,
        };
        Ok(pb::RangeRequest {
            key,
            range_end,
            limit: self.limit,
            revision: self.rev,
            sort_order: order.into(),
            sort_target: target.into(),
            serializable: self.consistency == Consistency::S,
            keys_only: self.keys_only,
            count_only: self.count_only,
            ..pb::RangeRequest::default()
        })
    }
}

impl Put {
    /// The request, with a value from stdin if none is said.
    ///
    /// # Errors
    /// If stdin cannot be read.
    pub fn request(&self) -> Result<pb::PutRequest, Failure> {
        let value = match &self.value {
            Some(value) => value.as_bytes().to_vec(),
            None if self.ignore_value => Vec::new(),
            None => {
                let mut value = Vec::new();
                std::io::stdin().lock().read_to_end(&mut value)?;
                value
            }
        };
        Ok(pb::PutRequest {
            key: self.key.clone().into_vec().into(),
            value: value.into(),
            lease: self.lease,
            prev_kv: self.prev_kv,
            ignore_value: self.ignore_value,
            ignore_lease: self.ignore_lease,
        })
    }
}

impl Del {
    /// The request.
    ///
    /// # Errors
    /// For a range that is none.
    pub fn request(&self) -> Result<pb::DeleteRangeRequest, Failure> {
        let (key, range_end) = span(&self.key, self.range_end.as_ref(), self.prefix, self.from_key)?;
        Ok(pb::DeleteRangeRequest { key, range_end, prev_kv: self.prev_kv })
    }
}

impl Ctl {
    /// Reads. A key that is not there is exit code 1.
    pub async fn get(&mut self, get: &Get) -> Result<(), Failure> {
        let request = get.request()?;
        let answer = self
            .cluster
            .call(Effect::Read, request, |channel, request| async move { kv(channel).range(request).await });
        let answer = answer.await?;
        self.format.print(&range_answer(&answer, get.print_value_only, get.count_only))?;
        let is_there = !answer.kvs.is_empty() || get.count_only;
        if is_there || !request_is_one(get) { Ok(()) } else { Err(Failure::silent(Exit::No)) }
    }

    /// Writes.
    pub async fn put(&mut self, put: &Put) -> Result<(), Failure> {
        let request = put.request()?;
        let answer = self
            .cluster
            .call(Effect::Write, request, |channel, request| async move { kv(channel).put(request).await });
        let answer = answer.await?;
        self.format.print(&put_answer(&answer))
    }

    /// Deletes. Nothing to delete is exit code 1.
    pub async fn del(&mut self, del: &Del) -> Result<(), Failure> {
        let request = del.request()?;
        let answer = self.cluster.call(Effect::Write, request, |channel, request| async move {
            kv(channel).delete_range(request).await
        });
        let answer = answer.await?;
        self.format.print(&del_answer(&answer))?;
        if answer.deleted > 0 { Ok(()) } else { Err(Failure::silent(Exit::No)) }
    }
}

/// Whether one key is asked for: then it may be missing.
fn request_is_one(get: &Get) -> bool {
    get.range_end.is_none() && !get.prefix && !get.from_key
}

fn pairs(kvs: &[mvccpb::KeyValue], values_only: bool) -> Vec<u8> {
    let mut lines = Vec::new();
    for kv in kvs {
        if !values_only {
            add_line(&kv.key, &mut lines);
        }
        add_line(&kv.value, &mut lines);
    }
    lines
}

fn values(kvs: &[mvccpb::KeyValue]) -> Vec<u8> {
    kvs.iter().flat_map(|kv| kv.value.iter().copied()).collect()
}

/// What a range is answered.
pub fn range_answer(answer: &pb::RangeResponse, values_only: bool, count_only: bool) -> Answer {
    let tree = Tree::Object(vec![
        ("header", header(&answer.header)),
        ("kvs", key_values(&answer.kvs)),
        ("more", Tree::Flag(answer.more)),
        ("count", answer.count.into()),
    ]);
    let mut simple = pairs(&answer.kvs, values_only);
    if count_only {
        add_text(&answer.count.to_string(), &mut simple);
    }
    let rows = answer.kvs.iter().map(|kv| {
        let text = crate::output::printable;
        let lease = if kv.lease == 0 { String::new() } else { format!("{:016x}", kv.lease) };
        let numbers = [kv.create_revision, kv.mod_revision, kv.version].map(|number| number.to_string());
        let [created, modified, version] = numbers;
        vec![text(&kv.key), text(&kv.value), created, modified, version, lease]
    });
    let columns = vec!["KEY", "VALUE", "CREATED", "MODIFIED", "VERSION", "LEASE"];
    Answer { tree, simple, table: Some((columns, rows.collect())), raw: Some(values(&answer.kvs)) }
}

/// What a put is answered.
pub fn put_answer(answer: &pb::PutResponse) -> Answer {
    let mut parts = vec![("header", header(&answer.header))];
    let mut simple = b"OK\n".to_vec();
    if let Some(previous) = &answer.prev_kv {
        parts.push(("prev_kv", key_value(previous)));
        simple.extend(pairs(std::slice::from_ref(previous), false));
    }
    Answer::lines(Tree::Object(parts), simple)
}

/// What a deletion is answered.
pub fn del_answer(answer: &pb::DeleteRangeResponse) -> Answer {
    let tree = Tree::Object(vec![
        ("header", header(&answer.header)),
        ("deleted", answer.deleted.into()),
        ("prev_kvs", key_values(&answer.prev_kvs)),
    ]);
    let mut simple = format!("{}\n", answer.deleted).into_bytes();
    simple.extend(pairs(&answer.prev_kvs, false));
    Answer::lines(tree, simple)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_what_etcd_calls_it() {
        let spans = |key: &str, end: Option<&str>, prefix, from_key| {
            span(&key.into(), end.map(OsString::from).as_ref(), prefix, from_key)
                .map(|(key, end)| (key.to_vec(), end.to_vec()))
        };
        let pair = |key: &[u8], end: &[u8]| Ok((key.to_vec(), end.to_vec()));
        assert_eq!(spans("a", None, false, false), pair(b"a", b""));
        assert_eq!(spans("a", Some("c"), false, false), pair(b"a", b"c"));
        assert_eq!(spans("a", None, true, false), pair(b"a", b"b"));
        assert_eq!(spans("a", None, false, true), pair(b"a", b"\0"));
        assert_eq!(spans("", None, true, false), pair(b"\0", b"\0"));
        assert_eq!(spans("", None, false, false).unwrap_err().exit, 2);
        assert_eq!(end_of_prefix(&[b'a', 0xff]).to_vec(), b"b");
        assert_eq!(end_of_prefix(&[0xff]).to_vec(), b"\0");
    }
}
