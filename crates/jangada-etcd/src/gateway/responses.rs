//! From the messages of an answer to JSON.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::PoisonError;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use prost_reflect::{DynamicMessage, MethodDescriptor, SerializeOptions};
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::http::Response;
use tonic::codegen::{Body as HttpBody, Bytes};

use super::{Complaint, errors};

/// Before each message: whether it is compressed, and its length.
const FRAME_HEAD: usize = 5;

/// The messages of an answer, one by one.
pub(super) struct Messages {
    body: Body,
    buffer: BytesMut,
    /// How the call ended, once that is known.
    status: Option<Status>,
}

impl Messages {
    pub(super) fn of(answer: Response<Body>) -> Messages {
        let status = Status::from_header_map(answer.headers());
        Messages { body: answer.into_body(), buffer: BytesMut::new(), status }
    }

    /// The next message; `None` if the call has ended well.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        poll_fn(|context| self.poll_next(context)).await
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>, Status>> {
        loop {
            if let Some(message) = self.take() {
                return Poll::Ready(Ok(Some(message)));
            }
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.buffer.extend_from_slice(&data),
                    Err(frame) => {
                        self.status = frame.trailers_ref().and_then(Status::from_header_map);
                    }
                },
                Some(Err(status)) => return Poll::Ready(Err(status)),
                None => return Poll::Ready(self.end()),
            }
        }
    }

    /// A message that is here as a whole.
    fn take(&mut self) -> Option<Bytes> {
        let mut head = self.buffer.get(..FRAME_HEAD)?;
        // Nobody has said that they understand compressed messages.
        head.advance(1);
        let length = head.get_u32() as usize;
        if self.buffer.len() < FRAME_HEAD + length {
            return None;
        }
        self.buffer.advance(FRAME_HEAD);
        Some(self.buffer.split_to(length).freeze())
    }

    fn end(&self) -> Result<Option<Bytes>, Status> {
        match &self.status {
            Some(status) if status.code() == tonic::Code::Ok => Ok(None),
            Some(status) => Err(status.clone()),
            None => Err(Status::internal("the call ended without saying how")),
        }
    }
}

/// How a message is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// By itself.
    Bare,
    /// As a line of a stream.
    Line,
}

/// A message that a call has answered, as JSON.
pub(super) fn json(message: &[u8], method: &MethodDescriptor, frame: Frame) -> Result<Vec<u8>, Status> {
    let broken = |error: &dyn std::fmt::Display| Status::internal(format!("the answer is no JSON: {error}"));
    let message = DynamicMessage::decode(method.output(), message).map_err(|error| broken(&error))?;
    let mut json = Vec::new();
    if frame == Frame::Line {
        json.extend_from_slice(b"{\"result\":");
    }
    let options = SerializeOptions::new().use_proto_field_name(true);
    let mut writer = serde_json::Serializer::new(&mut json);
    message.serialize_with_options(&mut writer, &options).map_err(|error| broken(&error))?;
    if frame == Frame::Line {
        json.extend_from_slice(b"}\n");
    }
    Ok(json)
}

/// The body of a stream's answer: a line for each message, as it comes.
pub(super) struct Lines {
    first: Option<Bytes>,
    messages: Messages,
    method: MethodDescriptor,
    complaint: Complaint,
    ended: bool,
}

impl Lines {
    /// Nothing more comes if there is no first message.
    pub(super) fn new(
        first: Option<Bytes>,
        messages: Messages,
        method: MethodDescriptor,
        complaint: Complaint,
    ) -> Lines {
        let ended = first.is_none();
        Lines { first, messages, method, complaint, ended }
    }

    /// The last line, if there is something to be told.
    fn last(&mut self, end: Result<(), Status>) -> Option<Vec<u8>> {
        self.ended = true;
        // What was wrong with a request is the reason, whatever the call made of it.
        let complaint = self.complaint.lock().unwrap_or_else(PoisonError::into_inner).take();
        complaint.or(end.err()).map(|status| errors::line(&status))
    }
}

impl HttpBody for Lines {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<Bytes>, Status>>> {
        let lines = self.get_mut();
        if lines.ended {
            return Poll::Ready(None);
        }
        let message = match lines.first.take() {
            Some(first) => Ok(Some(first)),
            None => ready!(lines.messages.poll_next(context)),
        };
        let line = match message {
            Ok(Some(message)) => match json(&message, &lines.method, Frame::Line) {
                Ok(line) => Some(line),
                Err(status) => lines.last(Err(status)),
            },
            Ok(None) => lines.last(Ok(())),
            Err(status) => lines.last(Err(status)),
        };
        Poll::Ready(line.map(|line| Ok(http_body::Frame::data(Bytes::from(line)))))
    }
}
