//! From the JSON of a request's body to the messages of a call.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, BytesMut};
use http_body::Frame;
use prost::Message;
use prost_reflect::{DynamicMessage, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::Value;
use tonic::Status;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};

use super::{Complaint, malformed};

/// How many brackets, commas and colons an object may have: read, a value of two bytes takes up to eighty times as much
/// memory, and more if it has a name. A transaction of etcd's usual 128 operations has some thousands.
const MOST_MARKS: usize = 1 << 17;

/// The messages of a call, framed as gRPC frames them. Call [`first`](Requests::first) before anything else.
pub(super) struct Requests<T> {
    body: T,
    method: MethodDescriptor,
    /// What has arrived and is no message yet: of one object at most, and of one chunk.
    buffer: BytesMut,
    scanner: Scanner,
    /// How long an object may be.
    limit: usize,
    first: Option<Bytes>,
    ended: bool,
    complaint: Complaint,
}

impl<T> Requests<T>
where
    T: HttpBody<Data = Bytes> + Unpin,
    T::Error: Into<StdError>,
{
    pub(super) fn new(body: T, method: MethodDescriptor, limit: usize) -> Requests<T> {
        let (buffer, scanner) = (BytesMut::new(), Scanner::default());
        let complaint = Arc::new(Mutex::new(None));
        Requests { body, method, buffer, scanner, limit, first: None, ended: false, complaint }
    }

    /// Waits for the first message: if that is wrong, there is no call.
    pub(super) async fn first(&mut self) -> Result<(), Status> {
        self.first = match poll_fn(|context| self.poll_message(context)).await? {
            // No body at all is an empty request; to a stream it means that nothing is asked.
            None if !self.method.is_client_streaming() => {
                Some(framed(&DynamicMessage::new(self.method.input())))
            }
            first => first,
        };
        Ok(())
    }

    /// Where the reason is left if a later message is wrong.
    pub(super) fn complaint(&self) -> Complaint {
        Arc::clone(&self.complaint)
    }

    /// The next message; `None` at the end of the body.
    fn poll_message(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(json) = self.scanner.take(&mut self.buffer)? {
                return Poll::Ready(self.message(&json).map(Some));
            }
            if self.ended {
                let whole = self.buffer.is_empty();
                let end = if whole { Ok(None) } else { Err(malformed("the JSON ends in the middle")) };
                return Poll::Ready(end);
            }
            if self.buffer.len() > self.limit {
                let why = format!("a request of JSON may have {} bytes", self.limit);
                return Poll::Ready(Err(Status::resource_exhausted(why)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Some(Err(error)) => {
                    let why = format!("the request broke off: {}", error.into());
                    return Poll::Ready(Err(Status::cancelled(why)));
                }
                None => self.ended = true,
            }
        }
    }

    fn message(&self, json: &[u8]) -> Result<Bytes, Status> {
        let mut json: Value = serde_json::from_slice(json).map_err(malformed)?;
        let input = self.method.input();
        leave_aside_what_is_unknown(&mut json, &input);
        DynamicMessage::deserialize(input, json).map(|message| framed(&message)).map_err(malformed)
    }
}

/// Takes fields off that the message has not, as etcd does. To the mapping a name that an enum has not would be as
/// unknown as these, and it would pass over it; so they are not left to it.
fn leave_aside_what_is_unknown(json: &mut Value, descriptor: &MessageDescriptor) {
    let Value::Object(fields) = json else { return };
    fields.retain(|name, value| {
        let by_name = descriptor.get_field_by_name(name);
        let Some(field) = by_name.or_else(|| descriptor.get_field_by_json_name(name)) else { return false };
        if let Kind::Message(descriptor) = field.kind() {
            match value {
                Value::Array(values) => {
                    values.iter_mut().for_each(|value| leave_aside_what_is_unknown(value, &descriptor));
                }
                value => leave_aside_what_is_unknown(value, &descriptor),
            }
        }
        true
    });
}

impl<T> HttpBody for Requests<T>
where
    T: HttpBody<Data = Bytes> + Unpin,
    T::Error: Into<StdError>,
{
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let requests = self.get_mut();
        if let Some(first) = requests.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        if !requests.method.is_client_streaming() {
            // Whatever follows the one request, etcd does not look at it either.
            return Poll::Ready(None);
        }
        match ready!(requests.poll_message(context)) {
            Ok(message) => Poll::Ready(message.map(|message| Ok(Frame::data(message)))),
            Err(status) => {
                *requests.complaint.lock().unwrap_or_else(PoisonError::into_inner) = Some(status.clone());
                Poll::Ready(Some(Err(status)))
            }
        }
    }
}

/// A message behind its five bytes: not compressed, and how long it is.
fn framed(message: &DynamicMessage) -> Bytes {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(5 + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).expect("a message is shorter than the JSON that it was made of"));
    message.encode(&mut frame).expect("a buffer grows");
    frame.freeze()
}

/// Finds where one JSON object ends, looking at each byte once: a body in crumbs costs no more than one in a piece.
#[derive(Debug, Default)]
struct Scanner {
    /// Bytes of the buffer that were looked at.
    seen: usize,
    /// Brackets that are open.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// What was met between values.
    marks: usize,
}

impl Scanner {
    /// Takes an object off the buffer, if it is there as a whole. Whether it is one in truth, its reader finds out.
    fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Status> {
        if self.depth == 0 {
            let blank = buffer.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            buffer.advance(blank);
            match buffer.first() {
                None => return Ok(None),
                Some(b'{') => {}
                Some(other) => {
                    let why = format!("a request is a JSON object: '{{', not '{}'", other.escape_ascii());
                    return Err(malformed(why));
                }
            }
        }
        while let Some(&byte) = buffer.get(self.seen) {
            self.seen += 1;
            if self.look_at(byte) {
                let object = buffer.split_to(self.seen).freeze();
                *self = Scanner::default();
                return Ok(Some(object));
            }
            if self.marks > MOST_MARKS {
                let why = format!("a request of JSON may have {MOST_MARKS} brackets, commas and colons");
                return Err(Status::resource_exhausted(why));
            }
        }
        Ok(None)
    }

    /// Whether the object ends with this byte.
    fn look_at(&mut self, byte: u8) -> bool {
        if self.escaped {
            self.escaped = false;
            return false;
        }
        self.marks += usize::from(!self.in_string && matches!(byte, b'{' | b'[' | b',' | b':'));
        match (byte, self.in_string) {
            (b'\\', true) => self.escaped = true,
            (b'"', _) => self.in_string = !self.in_string,
            (b'{' | b'[', false) => self.depth += 1,
            (b'}' | b']', false) => self.depth -= 1,
            _ => {}
        }
        self.depth == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found in a body that arrives in pieces of this length, and what is left over.
    fn found(body: &str, piece: usize) -> (Vec<String>, String) {
        let (mut scanner, mut buffer, mut objects) = (Scanner::default(), BytesMut::new(), Vec::new());
        for piece in body.as_bytes().chunks(piece) {
            buffer.extend_from_slice(piece);
            while let Some(object) = scanner.take(&mut buffer).unwrap() {
                objects.push(String::from_utf8(object.to_vec()).unwrap());
            }
        }
        (objects, String::from_utf8(buffer.to_vec()).unwrap())
    }

    #[test]
    fn objects_are_told_apart_however_they_arrive() {
        let body = "  {\"a\":{\"b\":[1,{}]}}\n{\"}\":\"\\\"}{\\\\\"}{} {\"open\":";
        let objects = ["{\"a\":{\"b\":[1,{}]}}", "{\"}\":\"\\\"}{\\\\\"}", "{}"];
        for piece in 1..body.len() {
            let (some, rest) = found(body, piece);
            assert_eq!(some, objects, "in pieces of {piece}");
            assert_eq!(rest.trim_start(), "{\"open\":");
        }
    }

    #[test]
    fn what_is_no_object_is_refused_at_its_first_byte() {
        for body in ["x", "[]", "\"{}\"", "}", "1"] {
            let refusal = Scanner::default().take(&mut BytesMut::from(body)).unwrap_err();
            assert!(refusal.message().starts_with("a request is a JSON object"), "{refusal}");
        }
    }

    #[test]
    fn more_values_than_any_request_has_are_never_read() {
        let body = |marks: usize| format!("{{\"a,\\\":[\":[0{}]}}", ",0".repeat(marks - 3));
        for piece in [7, 1 << 20] {
            let (objects, rest) = found(&body(MOST_MARKS), piece);
            assert_eq!((objects.len(), rest.as_str()), (1, ""), "marks inside of a string do not count");
        }
        let refusal =
            Scanner::default().take(&mut BytesMut::from(body(MOST_MARKS + 1).as_str())).unwrap_err();
        assert_eq!(refusal.code(), tonic::Code::ResourceExhausted);
        assert!(refusal.message().contains("131072 brackets"), "{refusal}");
    }
}
