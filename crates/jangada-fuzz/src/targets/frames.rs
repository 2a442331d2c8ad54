//! Frames between servers. A checksum keeps chance away from what is behind it, so it is put right here: whoever means
//! harm does that, too.

use bytes::BytesMut;
use jangada_node::event::FrameRefusal;
use jangada_node::frame::{self, Frame, HEADER_BYTES, Route, VERSION};
use jangada_raft::types::{ClusterId, NodeId};

const ROUTE: Route = Route { cluster: ClusterId(7), from: NodeId(1), to: NodeId(2) };
const LONGEST: usize = 4096;

/// Takes a frame's kind and body, then the same as bytes on a link.
pub(crate) fn run(input: &[u8]) {
    if let Some((&kind, body)) = input.split_first() {
        let sealed = sealed(kind, body);
        if let Ok(Some(frame)) = decode(&sealed) {
            said_again(&frame);
        }
        number(&sealed);
    }
    let mut stream = BytesMut::from(input);
    while let Ok(Some(frame)) = frame::decode(&mut stream, ROUTE, LONGEST) {
        said_again(&frame);
    }
}

fn decode(bytes: &[u8]) -> Result<Option<Frame>, FrameRefusal> {
    frame::decode(&mut BytesMut::from(bytes), ROUTE, LONGEST)
}

/// What was understood can be said, and is understood again.
fn said_again(frame: &Frame) {
    let mut bytes = Vec::new();
    frame::encode(frame, ROUTE, &mut bytes);
    assert_eq!(decode(&bytes).as_ref().map(Option::as_ref), Ok(Some(frame)));
}

fn number(sealed: &[u8]) {
    if let Ok(Some(number)) = frame::decode_number(&mut BytesMut::from(sealed), ROUTE) {
        let mut bytes = Vec::new();
        frame::encode_number(number, ROUTE, &mut bytes);
        assert_eq!(bytes, sealed, "a number has one frame");
    }
}

/// A frame with a header that fits.
fn sealed(kind: u8, body: &[u8]) -> Vec<u8> {
    let mut frame = vec![0; HEADER_BYTES];
    frame.extend_from_slice(body);
    frame[0..4].copy_from_slice(&u32::try_from(body.len()).expect("inputs are short").to_le_bytes());
    frame[8] = VERSION;
    frame[9] = kind;
    frame[12..20].copy_from_slice(&ROUTE.cluster.0.to_le_bytes());
    frame[20..28].copy_from_slice(&ROUTE.from.0.to_le_bytes());
    frame[28..36].copy_from_slice(&ROUTE.to.0.to_le_bytes());
    let checksum = crc32c::crc32c(&frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    frame
}
