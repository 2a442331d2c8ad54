//! The door for peers: greets whoever connects, and reads frames from those who are welcome.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use jangada_node::event::{Event, NetEvent};
use jangada_node::frame::{self, Frame};
use jangada_raft::types::NodeId;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::time::timeout;

use crate::peer::directory::Directory;
use crate::peer::handshake::{self, Hello, Purpose, Welcome};
use crate::peer::link::LinkNews;

/// Connections from peers at a time, greeted or not.
const MAX_CONNECTIONS: usize = 256;
const GREETING_TIMEOUT: Duration = Duration::from_secs(5);
const READ_BYTES: usize = 256 << 10;

/// What arrived from a peer in one read.
pub(crate) struct PeerBatch {
    pub(crate) from: NodeId,
    /// Where the peer says that it can be reached.
    pub(crate) address: String,
    pub(crate) frames: Vec<Frame>,
}

/// Serves the door until it is aborted.
pub(crate) async fn serve(
    listener: TcpListener,
    directory: Directory,
    max_frame: usize,
    inbox: Sender<PeerBatch>,
    news: UnboundedSender<LinkNews>,
) {
    let open = Rc::new(Cell::new(0));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of file descriptors, most likely: let some be closed first.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        if open.get() >= MAX_CONNECTIONS {
            continue;
        }
        open.set(open.get() + 1);
        let (directory, inbox, news) = (directory.clone(), inbox.clone(), news.clone());
        let open = Rc::clone(&open);
        tokio::task::spawn_local(async move {
            greet(stream, &directory, max_frame, &inbox, &news).await;
            open.set(open.get() - 1);
        });
    }
}

async fn greet(
    mut stream: TcpStream,
    directory: &Directory,
    max_frame: usize,
    inbox: &Sender<PeerBatch>,
    news: &UnboundedSender<LinkNews>,
) {
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(Ok(hello)) = timeout(GREETING_TIMEOUT, handshake::receive::<Hello>(&mut stream)).await else {
        return;
    };
    let answer = directory.answer(&hello);
    let welcome = matches!(answer, Welcome::Yes { .. });
    let sent = timeout(GREETING_TIMEOUT, handshake::send(&mut stream, &answer)).await;
    if !welcome || !matches!(sent, Ok(Ok(()))) || hello.purpose == Purpose::Ask {
        return;
    }
    let peer = NodeId(hello.me.id);
    let _stopping = news.send(LinkNews::Event(Event::Net(NetEvent::Accepted { peer })));
    read(stream, directory, &hello, max_frame, inbox, news).await;
    let _stopping = news.send(LinkNews::CallerGone(peer));
}

async fn read(
    mut stream: TcpStream,
    directory: &Directory,
    hello: &Hello,
    max_frame: usize,
    inbox: &Sender<PeerBatch>,
    news: &UnboundedSender<LinkNews>,
) {
    let from = NodeId(hello.me.id);
    let route = directory.route_from(from);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let mut frames = Vec::new();
        loop {
            match frame::decode(&mut buffer, route, max_frame) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(why) => {
                    let event = Event::Net(NetEvent::FrameRefused { peer: Some(from), why });
                    let _stopping = news.send(LinkNews::Event(event));
                    return;
                }
            }
        }
        if frames.is_empty() {
            continue;
        }
        let batch = PeerBatch { from, address: hello.me.peer_addr.clone(), frames };
        if inbox.send(batch).await.is_err() {
            return;
        }
    }
}
