//! A connection that several clients share, whatever protocol it speaks.

use std::rc::Rc;

use super::grpc::Grpc;
use super::plan::Ask;
use super::resp::Resp;

/// How an operation went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done; what was read is there.
    Done,
    /// It was read, and is not there.
    Absent,
}

/// One shared connection. Clones are the same one.
#[derive(Clone, Debug)]
pub enum Link {
    /// To a server that speaks RESP.
    Resp(Rc<Resp>),
    /// To a server that speaks etcd's API.
    Etcd(Rc<Grpc>),
}

impl Link {
    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// Few words, the same for the same reason: they are counted.
    pub async fn ask(&self, ask: &Ask, value: &[u8]) -> Result<Outcome, String> {
        match self {
            Link::Resp(link) => link.ask(ask, value).await,
            Link::Etcd(link) => link.ask(ask, value).await,
        }
    }

    /// Waits until it is up, and whoever asks has logged in.
    pub async fn until_up(&self) {
        match self {
            Link::Resp(link) => link.until_up().await,
            Link::Etcd(link) => link.until_open().await,
        }
    }

    /// Keeps the connection up, at the next server when one is gone. Never ends.
    pub async fn keep(&self) {
        match self {
            Link::Resp(link) => link.keep().await,
            Link::Etcd(link) => link.keep().await,
        }
    }
}
