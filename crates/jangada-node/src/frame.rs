//! Frames between peers: what travels on a link after the handshake.
//!
//! A frame is a fixed header and a body; `docs/wire-format.md` draws both byte by byte. Nothing from a peer is
//! believed: the length is checked before anything is reserved, the checksum before anything is decoded, and
//! cluster, sender and recipient before anything is done. The body of an entry is not copied: it is a slice of
//! the bytes that arrived.

use bytes::{Buf, Bytes, BytesMut};
use jangada_raft::message::Message;
use jangada_raft::types::{ClusterId, NodeId};

use crate::effect::Failure;
use crate::event::FrameRefusal;
use crate::message_codec::{self, Reader};

/// The version of the format, in each header.
pub const VERSION: u8 = 1;
/// Length of the header in bytes.
pub const HEADER_BYTES: usize = 36;

const KIND_RAFT: u8 = 1;
const KIND_FORWARD: u8 = 2;
const KIND_FORWARD_REPLY: u8 = 3;
const KIND_NUMBER: u8 = 4;

/// What one peer tells another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A message of the protocol.
    Raft(Message),
    /// A follower hands its clients' commands to the leader.
    Forward {
        /// The follower's number for the batch.
        id: u64,
        /// The commands, each behind its free bytes for the stamp.
        commands: Vec<Bytes>,
    },
    /// The leader's answer.
    ForwardReply {
        /// The follower's number for the batch.
        id: u64,
        /// One answer for each command: an encoded response, or why there is none.
        answers: Vec<Result<Bytes, Failure>>,
    },
}

/// Who sends to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The cluster of both.
    pub cluster: ClusterId,
    /// The sender.
    pub from: NodeId,
    /// The recipient.
    pub to: NodeId,
}

/// Appends the frame to `out`.
pub fn encode(frame: &Frame, route: Route, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    let kind = match frame {
        Frame::Raft(message) => {
            message_codec::encode_message(message, out);
            KIND_RAFT
        }
        Frame::Forward { id, commands } => {
            out.extend_from_slice(&id.to_le_bytes());
            message_codec::put_count(commands.len(), out);
            for command in commands {
                message_codec::put_bytes(command, out);
            }
            KIND_FORWARD
        }
        Frame::ForwardReply { id, answers } => {
            out.extend_from_slice(&id.to_le_bytes());
            message_codec::put_count(answers.len(), out);
            for answer in answers {
                match answer {
                    Ok(response) => {
                        out.push(0);
                        message_codec::put_bytes(response, out);
                    }
                    Err(failure) => out.push(failure.code()),
                }
            }
            KIND_FORWARD_REPLY
        }
    };
    seal(out, start, kind, route);
}

/// Appends a frame that carries a number and nothing else: it tests the way itself ([`decode_number`]). No replica is
/// ever shown one, so it is no [`Frame`].
pub fn encode_number(number: u64, route: Route, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + HEADER_BYTES, 0);
    out.extend_from_slice(&number.to_le_bytes());
    seal(out, start, KIND_NUMBER, route);
}

/// Takes a whole frame with a number off the front of `input`; `None` if more bytes are needed.
///
/// # Errors
/// As [`decode`]; a frame of another kind is [`FrameRefusal::Content`].
pub fn decode_number(input: &mut BytesMut, route: Route) -> Result<Option<u64>, FrameRefusal> {
    let Some((kind, mut reader)) = take(input, route, size_of::<u64>())? else { return Ok(None) };
    let number = reader.u64().filter(|_| kind == KIND_NUMBER && reader.is_empty());
    number.map(Some).ok_or(FrameRefusal::Content)
}

/// Fills in the header of the frame that begins at `start`.
fn seal(out: &mut [u8], start: usize, kind: u8, route: Route) {
    let frame = &mut out[start..];
    let length = u32::try_from(frame.len() - HEADER_BYTES).expect("Config bounds messages far below 4 GiB");
    frame[0..4].copy_from_slice(&length.to_le_bytes());
    frame[8] = VERSION;
    frame[9] = kind;
    frame[12..20].copy_from_slice(&route.cluster.0.to_le_bytes());
    frame[20..28].copy_from_slice(&route.from.0.to_le_bytes());
    frame[28..36].copy_from_slice(&route.to.0.to_le_bytes());
    let checksum = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
}

/// Takes the next whole frame off the front of `input`; `None` if more bytes are needed.
///
/// # Errors
/// The reason to close the link: nothing that follows on it can be trusted.
pub fn decode(input: &mut BytesMut, route: Route, max_body: usize) -> Result<Option<Frame>, FrameRefusal> {
    let Some((kind, mut reader)) = take(input, route, max_body)? else { return Ok(None) };
    let frame = decode_body(kind, route, &mut reader).ok_or(FrameRefusal::Content)?;
    if !reader.is_empty() {
        return Err(FrameRefusal::Content);
    }
    Ok(Some(frame))
}

/// Takes the next whole frame off the front of `input`, if it is there and its header fits: its kind, and its body.
fn take(input: &mut BytesMut, route: Route, max_body: usize) -> Result<Option<(u8, Reader)>, FrameRefusal> {
    if input.len() < HEADER_BYTES {
        return Ok(None);
    }
    let length = u32::from_le_bytes(four(input, 0)) as usize;
    if input[8] != VERSION {
        return Err(FrameRefusal::Version);
    }
    if length > max_body {
        return Err(FrameRefusal::TooLong);
    }
    if input.len() < HEADER_BYTES + length {
        input.reserve(HEADER_BYTES + length - input.len());
        return Ok(None);
    }
    let mut frame = input.split_to(HEADER_BYTES + length).freeze();
    if crc32c::crc32c(&frame[8..]) != u32::from_le_bytes(four(&frame, 4)) {
        return Err(FrameRefusal::Checksum);
    }
    if u64::from_le_bytes(eight(&frame, 12)) != route.cluster.0 {
        return Err(FrameRefusal::Cluster);
    }
    if u64::from_le_bytes(eight(&frame, 20)) != route.from.0 {
        return Err(FrameRefusal::Sender);
    }
    if u64::from_le_bytes(eight(&frame, 28)) != route.to.0 {
        return Err(FrameRefusal::Recipient);
    }
    let kind = frame[9];
    frame.advance(HEADER_BYTES);
    Ok(Some((kind, Reader::new(frame))))
}

fn decode_body(kind: u8, route: Route, reader: &mut Reader) -> Option<Frame> {
    match kind {
        KIND_RAFT => {
            let message = message_codec::decode_message(reader, route)?;
            Some(Frame::Raft(message))
        }
        KIND_FORWARD => {
            let id = reader.u64()?;
            let count = reader.count(4)?;
            let mut commands = Vec::with_capacity(count);
            for _ in 0..count {
                commands.push(reader.bytes()?);
            }
            Some(Frame::Forward { id, commands })
        }
        KIND_FORWARD_REPLY => {
            let id = reader.u64()?;
            let count = reader.count(1)?;
            let mut answers = Vec::with_capacity(count);
            for _ in 0..count {
                answers.push(match reader.u8()? {
                    0 => Ok(reader.bytes()?),
                    code => Err(Failure::from_code(code)),
                });
            }
            Some(Frame::ForwardReply { id, answers })
        }
        _ => None,
    }
}

fn four(bytes: &[u8], at: usize) -> [u8; 4] {
    [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]
}

fn eight(bytes: &[u8], at: usize) -> [u8; 8] {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    out
}
