//! The body of a frame that carries a message of the protocol.
//!
//! Little-endian throughout; counts and lengths are u32. `docs/wire-format.md` draws it.

use bytes::{Buf, Bytes};
use jangada_raft::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, InstallSnapshot, InstallSnapshotReply, Message,
    ReadIndex, ReadIndexReply, RequestVote, RequestVoteReply, Rpc,
};
use jangada_raft::types::{Index, ReadId, Term};
use jangada_wal::codec;

use crate::frame::Route;

const REQUEST_VOTE: u8 = 1;
const REQUEST_VOTE_REPLY: u8 = 2;
const APPEND_ENTRIES: u8 = 3;
const APPEND_ENTRIES_REPLY: u8 = 4;
const INSTALL_SNAPSHOT: u8 = 5;
const INSTALL_SNAPSHOT_REPLY: u8 = 6;
const TIMEOUT_NOW: u8 = 7;
const READ_INDEX: u8 = 8;
const READ_INDEX_REPLY: u8 = 9;

/// The smallest encoding of an entry: bounds the space that a count may reserve.
const MIN_ENTRY_BYTES: usize = 17;

/// Appends a message without its route, which stands in the frame's header.
pub(crate) fn encode_message(message: &Message, out: &mut Vec<u8>) {
    put_u64(message.sequence, out);
    put_u64(message.term.0, out);
    match &message.rpc {
        Rpc::RequestVote(vote) => {
            out.push(REQUEST_VOTE);
            out.push(u8::from(vote.pre_vote) | u8::from(vote.leadership_transfer) << 1);
            put_u64(vote.last_log_index.0, out);
            put_u64(vote.last_log_term.0, out);
        }
        Rpc::RequestVoteReply(reply) => {
            out.push(REQUEST_VOTE_REPLY);
            out.push(u8::from(reply.pre_vote) | u8::from(reply.vote_granted) << 1);
            put_u64(reply.campaign_term.0, out);
        }
        Rpc::AppendEntries(append) => encode_append(append, out),
        Rpc::AppendEntriesReply(reply) => encode_append_reply(reply, out),
        Rpc::InstallSnapshot(install) => {
            out.push(INSTALL_SNAPSHOT);
            put_u64(install.round, out);
            codec::encode_snapshot_meta(&install.meta, out);
            put_u64(install.offset, out);
            out.push(u8::from(install.done));
            put_bytes(&install.data, out);
        }
        Rpc::InstallSnapshotReply(reply) => {
            out.push(INSTALL_SNAPSHOT_REPLY);
            put_u64(reply.round, out);
            put_u64(reply.last_included_index.0, out);
            put_u64(reply.next_offset, out);
            out.push(u8::from(reply.installed));
        }
        Rpc::TimeoutNow => out.push(TIMEOUT_NOW),
        Rpc::ReadIndex(read) => {
            out.push(READ_INDEX);
            put_u64(read.context.0, out);
        }
        Rpc::ReadIndexReply(reply) => {
            out.push(READ_INDEX_REPLY);
            put_u64(reply.context.0, out);
            out.push(u8::from(reply.read_index.is_some()));
            put_u64(reply.read_index.unwrap_or(Index::ZERO).0, out);
        }
    }
}

fn encode_append(append: &AppendEntries, out: &mut Vec<u8>) {
    out.push(APPEND_ENTRIES);
    put_u64(append.round, out);
    put_u64(append.prev_log_index.0, out);
    put_u64(append.prev_log_term.0, out);
    put_u64(append.leader_commit.0, out);
    put_count(append.entries.len(), out);
    for entry in &append.entries {
        codec::encode_entry(entry, out);
    }
}

fn encode_append_reply(reply: &AppendEntriesReply, out: &mut Vec<u8>) {
    out.push(APPEND_ENTRIES_REPLY);
    put_u64(reply.round, out);
    match &reply.outcome {
        AppendOutcome::Accepted { match_index } => {
            out.push(0);
            put_u64(match_index.0, out);
        }
        AppendOutcome::Conflict { prev_log_index, conflict_term, first_index } => {
            out.push(1 + u8::from(conflict_term.is_some()));
            put_u64(prev_log_index.0, out);
            put_u64(conflict_term.unwrap_or(Term::ZERO).0, out);
            put_u64(first_index.0, out);
        }
    }
}

/// The reverse; `None` if the bytes are no message.
pub(crate) fn decode_message(reader: &mut Reader, route: Route) -> Option<Message> {
    let sequence = reader.u64()?;
    let term = Term(reader.u64()?);
    let rpc = match reader.u8()? {
        REQUEST_VOTE => {
            let flags = reader.flags(0b11)?;
            Rpc::RequestVote(RequestVote {
                pre_vote: flags & 1 != 0,
                leadership_transfer: flags & 2 != 0,
                last_log_index: reader.index()?,
                last_log_term: Term(reader.u64()?),
            })
        }
        REQUEST_VOTE_REPLY => {
            let flags = reader.flags(0b11)?;
            Rpc::RequestVoteReply(RequestVoteReply {
                pre_vote: flags & 1 != 0,
                vote_granted: flags & 2 != 0,
                campaign_term: Term(reader.u64()?),
            })
        }
        APPEND_ENTRIES => Rpc::AppendEntries(decode_append(reader)?),
        APPEND_ENTRIES_REPLY => Rpc::AppendEntriesReply(decode_append_reply(reader)?),
        INSTALL_SNAPSHOT => Rpc::InstallSnapshot(InstallSnapshot {
            round: reader.u64()?,
            meta: codec::decode_snapshot_meta(&mut reader.0).ok()?,
            offset: reader.u64()?,
            done: reader.flags(1)? != 0,
            data: reader.bytes()?,
        }),
        INSTALL_SNAPSHOT_REPLY => Rpc::InstallSnapshotReply(InstallSnapshotReply {
            round: reader.u64()?,
            last_included_index: reader.index()?,
            next_offset: reader.u64()?,
            installed: reader.flags(1)? != 0,
        }),
        TIMEOUT_NOW => Rpc::TimeoutNow,
        READ_INDEX => Rpc::ReadIndex(ReadIndex { context: ReadId(reader.u64()?) }),
        READ_INDEX_REPLY => {
            let context = ReadId(reader.u64()?);
            let known = reader.flags(1)? != 0;
            let index = reader.index()?;
            Rpc::ReadIndexReply(ReadIndexReply { context, read_index: known.then_some(index) })
        }
        _ => return None,
    };
    Some(Message { cluster: route.cluster, from: route.from, to: route.to, sequence, term, rpc })
}

fn decode_append(reader: &mut Reader) -> Option<AppendEntries> {
    let round = reader.u64()?;
    let prev_log_index = reader.index()?;
    let prev_log_term = Term(reader.u64()?);
    let leader_commit = reader.index()?;
    let count = reader.count(MIN_ENTRY_BYTES)?;
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        entries.push(codec::decode_entry(&mut reader.0).ok()?);
    }
    Some(AppendEntries { prev_log_index, prev_log_term, entries, leader_commit, round })
}

fn decode_append_reply(reader: &mut Reader) -> Option<AppendEntriesReply> {
    let round = reader.u64()?;
    let outcome = match reader.u8()? {
        0 => AppendOutcome::Accepted { match_index: reader.index()? },
        kind @ (1 | 2) => {
            let prev_log_index = reader.index()?;
            let conflict_term = Term(reader.u64()?);
            AppendOutcome::Conflict {
                prev_log_index,
                conflict_term: (kind == 2).then_some(conflict_term),
                first_index: reader.index()?,
            }
        }
        _ => return None,
    };
    Some(AppendEntriesReply { round, outcome })
}

pub(crate) fn put_u64(value: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(&value.to_le_bytes());
}

pub(crate) fn put_count(count: usize, out: &mut Vec<u8>) {
    let count = u32::try_from(count).expect("Config bounds batches far below 4 billion");
    out.extend_from_slice(&count.to_le_bytes());
}

pub(crate) fn put_bytes(bytes: &[u8], out: &mut Vec<u8>) {
    put_count(bytes.len(), out);
    out.extend_from_slice(bytes);
}

/// Reads bytes that are not to be trusted: each step says `None` instead of going too far.
pub(crate) struct Reader(pub(crate) Bytes);

impl Reader {
    pub(crate) fn new(bytes: Bytes) -> Reader {
        Reader(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.0.try_get_u8().ok()
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.0.try_get_u64_le().ok()
    }

    fn index(&mut self) -> Option<Index> {
        self.u64().map(Index)
    }

    /// A byte of which only the bits of `known` may be set.
    fn flags(&mut self, known: u8) -> Option<u8> {
        self.u8().filter(|flags| flags & !known == 0)
    }

    /// A count of things of at least `smallest` bytes each: more than the bytes can hold is refused, so that
    /// no count reserves space by itself.
    pub(crate) fn count(&mut self, smallest: usize) -> Option<usize> {
        let count = self.0.try_get_u32_le().ok()? as usize;
        (count <= self.0.len() / smallest).then_some(count)
    }

    pub(crate) fn bytes(&mut self) -> Option<Bytes> {
        let length = self.0.try_get_u32_le().ok()? as usize;
        (length <= self.0.len()).then(|| self.0.split_to(length))
    }
}
