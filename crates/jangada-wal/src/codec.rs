//! Entries, memberships and snapshot descriptions as bytes: the same in the log, in snapshot files and
//! between servers.
//!
//! Integers are little-endian. Each value has exactly one encoding, and decoding accepts no other: sets are
//! strictly ascending, flags are 0 or 1. Decoding never panics and allocates nothing before it has seen that
//! the bytes are there. What it takes, it removes from the front of `input`; on an error, how much was
//! removed is undefined. A command is a slice of `input`, not a copy.
//!
//! ```text
//! entry       term u64 · index u64 · kind u8 · length u32 · payload          kind 0 no-op, 1 command, 2 membership
//! membership  voters set · flag u8 [outgoing set] · learners set
//!             · flag u8 [target: voters set · learners set] · context: length u32 · bytes
//! set         count u16 · that many u64, strictly ascending
//! snapshot    last_included_index u64 · last_included_term u64 · membership
//! ```

use std::collections::BTreeSet;
use std::fmt;

use bytes::{Buf, Bytes};
use jangada_raft::types::{Entry, Index, Membership, NodeId, Payload, SnapshotMeta, Target, Term};

/// What an entry takes beside its payload, in bytes.
pub const ENTRY_OVERHEAD: usize = 8 + 8 + 1 + 4;

/// The largest set of servers that can be written down.
pub const MAX_SERVERS: usize = 1024;

/// Why bytes could not be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// They end in the middle of a value.
    TooShort,
    /// A value is followed by bytes that belong to nothing.
    TooLong,
    /// A kind or a flag that we do not know.
    UnknownKind(u8),
    /// A set of servers is not strictly ascending.
    Unsorted,
    /// A set of servers has more than [`MAX_SERVERS`].
    TooManyServers,
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::TooShort => f.write_str("the bytes end too early"),
            Error::TooLong => f.write_str("there are bytes left over"),
            Error::UnknownKind(kind) => write!(f, "kind {kind} is unknown"),
            Error::Unsorted => f.write_str("a set of servers is not in ascending order"),
            Error::TooManyServers => f.write_str("a set of servers is too large"),
        }
    }
}

const NOOP: u8 = 0;
const COMMAND: u8 = 1;
const MEMBERSHIP: u8 = 2;

/// How many bytes [`encode_entry`] will append, exactly.
#[must_use]
pub fn encoded_entry_len(entry: &Entry) -> usize {
    ENTRY_OVERHEAD
        + match &entry.payload {
            Payload::Noop => 0,
            Payload::Command(command) => command.len(),
            Payload::Membership(membership) => encoded_membership_len(membership),
        }
}

/// Appends an entry to `out`.
///
/// # Panics
/// If a command is 4 GiB long or more, or a membership has more than [`MAX_SERVERS`] in one set.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    out.extend_from_slice(&entry.term.0.to_le_bytes());
    out.extend_from_slice(&entry.index.0.to_le_bytes());
    match &entry.payload {
        Payload::Noop => {
            out.push(NOOP);
            put_length(0, out);
        }
        Payload::Command(command) => {
            out.push(COMMAND);
            put_length(command.len(), out);
            out.extend_from_slice(command);
        }
        Payload::Membership(membership) => {
            out.push(MEMBERSHIP);
            put_length(encoded_membership_len(membership), out);
            encode_membership(membership, out);
        }
    }
}

/// Takes an entry from the front of `input`.
///
/// # Errors
/// If `input` does not begin with an entry.
pub fn decode_entry(input: &mut Bytes) -> Result<Entry, Error> {
    need(input, ENTRY_OVERHEAD)?;
    let term = Term(input.get_u64_le());
    let index = Index(input.get_u64_le());
    let kind = input.get_u8();
    let length = input.get_u32_le() as usize;
    need(input, length)?;
    let mut body = input.split_to(length);
    let payload = match kind {
        NOOP => Payload::Noop,
        COMMAND => return Ok(Entry { term, index, payload: Payload::Command(body) }),
        MEMBERSHIP => Payload::Membership(Box::new(decode_membership(&mut body)?)),
        unknown => return Err(Error::UnknownKind(unknown)),
    };
    if body.is_empty() { Ok(Entry { term, index, payload }) } else { Err(Error::TooLong) }
}

/// How many bytes [`encode_membership`] will append, exactly.
#[must_use]
pub fn encoded_membership_len(membership: &Membership) -> usize {
    let set = |servers: &BTreeSet<NodeId>| 2 + 8 * servers.len();
    set(&membership.voters)
        + 1
        + membership.outgoing.as_ref().map_or(0, set)
        + set(&membership.learners)
        + 1
        + membership.target.as_ref().map_or(0, |target| set(&target.voters) + set(&target.learners))
        + 4
        + membership.context.len()
}

/// Appends a membership to `out`.
///
/// # Panics
/// If one of its sets has more than [`MAX_SERVERS`], or its context 4 GiB.
pub fn encode_membership(membership: &Membership, out: &mut Vec<u8>) {
    put_set(&membership.voters, out);
    match &membership.outgoing {
        None => out.push(0),
        Some(outgoing) => {
            out.push(1);
            put_set(outgoing, out);
        }
    }
    put_set(&membership.learners, out);
    match &membership.target {
        None => out.push(0),
        Some(target) => {
            out.push(1);
            put_set(&target.voters, out);
            put_set(&target.learners, out);
        }
    }
    put_length(membership.context.len(), out);
    out.extend_from_slice(&membership.context);
}

/// Takes a membership from the front of `input`.
///
/// # Errors
/// If `input` does not begin with a membership.
pub fn decode_membership(input: &mut Bytes) -> Result<Membership, Error> {
    let voters = take_set(input)?;
    let outgoing = if take_flag(input)? { Some(take_set(input)?) } else { None };
    let learners = take_set(input)?;
    let target = if take_flag(input)? {
        Some(Target { voters: take_set(input)?, learners: take_set(input)? })
    } else {
        None
    };
    need(input, 4)?;
    let length = input.get_u32_le() as usize;
    need(input, length)?;
    // A copy: a configuration lives long and must not keep the whole buffer that it came in alive.
    let context = Bytes::copy_from_slice(&input.split_to(length));
    Ok(Membership { voters, outgoing, learners, target, context })
}

/// Appends the description of a snapshot to `out`.
///
/// # Panics
/// As [`encode_membership`].
pub fn encode_snapshot_meta(meta: &SnapshotMeta, out: &mut Vec<u8>) {
    out.extend_from_slice(&meta.last_included_index.0.to_le_bytes());
    out.extend_from_slice(&meta.last_included_term.0.to_le_bytes());
    encode_membership(&meta.membership, out);
}

/// Takes the description of a snapshot from the front of `input`.
///
/// # Errors
/// If `input` does not begin with one.
pub fn decode_snapshot_meta(input: &mut Bytes) -> Result<SnapshotMeta, Error> {
    need(input, 16)?;
    let last_included_index = Index(input.get_u64_le());
    let last_included_term = Term(input.get_u64_le());
    let membership = decode_membership(input)?;
    Ok(SnapshotMeta { last_included_index, last_included_term, membership: membership.into() })
}

/// Refuses if fewer than `count` bytes are left.
pub(crate) fn need(input: &Bytes, count: usize) -> Result<(), Error> {
    if input.len() < count { Err(Error::TooShort) } else { Ok(()) }
}

/// Takes a flag: 0 or 1, nothing else.
pub(crate) fn take_flag(input: &mut Bytes) -> Result<bool, Error> {
    need(input, 1)?;
    match input.get_u8() {
        0 => Ok(false),
        1 => Ok(true),
        unknown => Err(Error::UnknownKind(unknown)),
    }
}

fn put_length(length: usize, out: &mut Vec<u8>) {
    let length = u32::try_from(length).expect("payloads are bounded far below 4 GiB by the core's Config");
    out.extend_from_slice(&length.to_le_bytes());
}

fn put_set(servers: &BTreeSet<NodeId>, out: &mut Vec<u8>) {
    assert!(servers.len() <= MAX_SERVERS, "a membership is bounded when it is proposed");
    let count = u16::try_from(servers.len()).expect("MAX_SERVERS fits in a u16");
    out.extend_from_slice(&count.to_le_bytes());
    for server in servers {
        out.extend_from_slice(&server.0.to_le_bytes());
    }
}

fn take_set(input: &mut Bytes) -> Result<BTreeSet<NodeId>, Error> {
    need(input, 2)?;
    let count = input.get_u16_le() as usize;
    if count > MAX_SERVERS {
        return Err(Error::TooManyServers);
    }
    need(input, 8 * count)?;
    let mut servers = BTreeSet::new();
    for _ in 0..count {
        let server = NodeId(input.get_u64_le());
        if servers.last().is_some_and(|last| *last >= server) {
            return Err(Error::Unsorted);
        }
        servers.insert(server);
    }
    Ok(servers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joint() -> Membership {
        let set = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<BTreeSet<_>>();
        Membership {
            voters: set(&[1, 2, 9]),
            outgoing: Some(set(&[1, 2, 3])),
            learners: set(&[7]),
            target: Some(Target { voters: set(&[1, 7]), learners: set(&[]) }),
            context: Bytes::from_static(b"n1=127.0.0.1:2380"),
        }
    }

    #[test]
    fn entries_come_back_as_they_were_and_lengths_are_exact() {
        for payload in [
            Payload::Noop,
            Payload::Command(Bytes::from_static(b"set d 8")),
            Payload::Command(Bytes::new()),
            Payload::Membership(Box::new(joint())),
            Payload::Membership(Box::default()),
        ] {
            let entry = Entry { term: Term(3), index: Index(u64::MAX), payload };
            let mut out = vec![];
            encode_entry(&entry, &mut out);
            assert_eq!(out.len(), encoded_entry_len(&entry));
            let mut input = Bytes::from(out);
            assert_eq!(decode_entry(&mut input), Ok(entry));
            assert!(input.is_empty());
        }
    }

    #[test]
    fn a_command_is_a_slice_of_the_input_not_a_copy() {
        let mut out = vec![];
        let payload = Payload::Command(Bytes::from_static(b"value"));
        encode_entry(&Entry { term: Term(1), index: Index(1), payload }, &mut out);
        let input = Bytes::from(out);
        let Payload::Command(command) = decode_entry(&mut input.clone()).unwrap().payload else { panic!() };
        assert_eq!(command.as_ptr(), input[ENTRY_OVERHEAD..].as_ptr());
    }

    #[test]
    fn every_prefix_is_refused_as_too_short() {
        let meta = SnapshotMeta {
            last_included_index: Index(10),
            last_included_term: Term(2),
            membership: joint().into(),
        };
        let mut out = vec![];
        encode_snapshot_meta(&meta, &mut out);
        let whole = Bytes::from(out);
        for end in 0..whole.len() {
            assert_eq!(decode_snapshot_meta(&mut whole.slice(..end)), Err(Error::TooShort), "{end}");
        }
        assert_eq!(decode_snapshot_meta(&mut whole.clone()), Ok(meta));
    }

    #[test]
    fn other_encodings_of_the_same_value_are_refused() {
        let decode = |bytes: &'static [u8]| decode_membership(&mut Bytes::from_static(bytes));
        let unsorted = b"\x02\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        assert_eq!(decode(unsorted), Err(Error::Unsorted));
        assert_eq!(decode(b"\0\0\x02\0\0\0\0\0\0\0"), Err(Error::UnknownKind(2)));
        assert_eq!(decode(b"\xff\xff"), Err(Error::TooManyServers));
    }
}
