//! The body of an answer over HTTP, whose bytes are counted until they are sent.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::Response;
use hyper::body::{Body, Frame, SizeHint};

use crate::room::{Account, Held, SMALL_ANSWER};

/// A body, of which the first part is made already: what it is made of must not wait with it.
pub(crate) struct Weighed<B: Body> {
    first: Option<Option<Result<Frame<Bytes>, B::Error>>>,
    body: B,
    account: Arc<Account>,
}

/// Bytes that wait for a socket.
struct Waiting {
    bytes: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Waiting {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// The answer of a connection with this account.
pub(crate) async fn weighed<B>(answer: Response<B>, account: Arc<Account>) -> Response<Weighed<B>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let (head, mut body) = answer.into_parts();
    let first = poll_fn(|context| {
        Poll::Ready(match Pin::new(&mut body).poll_frame(context) {
            Poll::Ready(frame) => Some(frame.map(|frame| counted(frame, &account))),
            // A stream that has nothing to say yet. Whoever carries it away asks again.
            Poll::Pending => None,
        })
    });
    let first = first.await;
    Response::from_parts(head, Weighed { first, body, account })
}

fn counted<E>(frame: Result<Frame<Bytes>, E>, account: &Arc<Account>) -> Result<Frame<Bytes>, E> {
    Ok(frame?.map_data(|bytes| match bytes.len() {
        0..=SMALL_ANSWER => bytes,
        length => Bytes::from_owner(Waiting { bytes, _held: account.hold(length) }),
    }))
}

impl<B> Body for Weighed<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Unpin,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.get_mut();
        if let Some(first) = this.first.take() {
            return Poll::Ready(first);
        }
        let frame = Pin::new(&mut this.body).poll_frame(context);
        frame.map(|frame| frame.map(|frame| counted(frame, &this.account)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.first {
            Some(Some(_)) => false,
            Some(None) => true,
            None => self.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.body.size_hint();
        let Some(Some(Ok(first))) = &self.first else { return rest };
        let first = first.data_ref().map_or(0, |data| data.len() as u64);
        let mut whole = SizeHint::new();
        whole.set_lower(rest.lower().saturating_add(first));
        if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(first)) {
            whole.set_upper(upper);
        }
        whole
    }
}
