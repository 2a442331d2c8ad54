//! The door for peers: greets whoever connects, and reads frames from those who are welcome.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use jangada_node::event::{Event, NetEvent};
use jangada_node::frame::{self, Frame};
use jangada_raft::types::NodeId;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::sync::mpsc::{Sender, UnboundedSender};
use tokio::time::timeout;

use crate::peer::directory::Directory;
use crate::peer::echo;
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

/// The link that each peer opened last, and how to end it.
///
/// A peer opens a new one only when its old one is dead, though we may not know: after a power failure or behind
/// a partition nothing says so. Such links would pile up until nobody else could come in.
type Latest = Rc<RefCell<BTreeMap<NodeId, Rc<Notify>>>>;

/// Serves the door until it is aborted.
pub(crate) async fn serve(
    listener: TcpListener,
    directory: Directory,
    max_frame: usize,
    inbox: Sender<PeerBatch>,
    news: UnboundedSender<LinkNews>,
) {
    let open = Rc::new(Cell::new(0));
    let latest = Latest::default();
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
        let (open, latest) = (Rc::clone(&open), Rc::clone(&latest));
        tokio::task::spawn_local(async move {
            greet(stream, &directory, max_frame, &inbox, &news, &latest).await;
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
    latest: &Latest,
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
    if !welcome || !matches!(sent, Ok(Ok(()))) {
        return;
    }
    match hello.purpose {
        Purpose::Ask => return,
        Purpose::Echo => return echo::double(stream, directory.route_from(NodeId(hello.me.id))).await,
        Purpose::Link => {}
    }
    let peer = NodeId(hello.me.id);
    let _stopping = news.send(LinkNews::Event(Event::Net(NetEvent::Accepted { peer })));
    directory.called(peer);
    let replaced = Rc::new(Notify::new());
    if let Some(older) = latest.borrow_mut().insert(peer, Rc::clone(&replaced)) {
        older.notify_one();
    }
    tokio::select! {
        () = read(stream, directory, &hello, max_frame, inbox, news) => {
            let mut latest = latest.borrow_mut();
            if latest.get(&peer).is_some_and(|link| Rc::ptr_eq(link, &replaced)) {
                latest.remove(&peer);
                let _stopping = news.send(LinkNews::CallerGone(peer));
            }
        }
        () = replaced.notified() => {}
    }
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
    let meters = directory.meters().of_peer(from.0);
    let mut buffer = BytesMut::new();
    loop {
        buffer.reserve(READ_BYTES);
        match stream.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(bytes) => meters.received.fetch_add(bytes as u64, Relaxed),
        };
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::handshake::{Card, Position};
    use crate::peer::link::{FIRST_PAUSE, LONGEST_PAUSE, rest};
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;

    fn card(id: u64) -> Card {
        let text = String::new;
        Card {
            id,
            name: format!("n{id}"),
            incarnation: id,
            cluster: Some(7),
            peer_addr: text(),
            client_addr: text(),
            named_at: Position::default(),
        }
    }

    async fn link(address: std::net::SocketAddr, from: u64) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let hello = Hello { me: card(from), to: Some(1), purpose: Purpose::Link };
        handshake::send(&mut stream, &hello).await.unwrap();
        assert!(matches!(handshake::receive(&mut stream).await.unwrap(), Welcome::Yes { .. }));
        stream
    }

    #[tokio::test]
    async fn the_newest_link_of_a_peer_takes_the_place_of_its_older_one() {
        let talk = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (inbox, _frames) = mpsc::channel(1);
            let (news, mut told) = mpsc::unbounded_channel();
            let directory = Directory::new(card(1), None);
            tokio::task::spawn_local(serve(listener, directory, 1 << 20, inbox, news));
            let mut other = link(address, 3).await;
            let mut links = vec![link(address, 2).await];
            // More than may be open at a time.
            for _ in 0..2 * MAX_CONNECTIONS {
                let newer = link(address, 2).await;
                let mut older = links.pop().unwrap();
                assert_eq!(older.read(&mut [0]).await.unwrap(), 0, "the older one is closed");
                links.push(newer);
            }
            drop(links);
            let mut gone = 0;
            while gone == 0 {
                let news = told.recv().await.unwrap();
                gone += u32::from(matches!(news, LinkNews::CallerGone(peer) if peer == NodeId(2)));
            }
            let quiet = timeout(Duration::ZERO, other.read(&mut [0])).await;
            assert!(quiet.is_err(), "another peer's link is left alone");
        };
        LocalSet::new().run_until(talk).await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_calls_is_called_back_at_once() {
        let talk = async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (inbox, _frames) = mpsc::channel(1);
            let (news, _told) = mpsc::unbounded_channel();
            let directory = Directory::new(card(1), None);
            let (ours, others) = (directory.await_call(NodeId(2)), directory.await_call(NodeId(3)));
            tokio::task::spawn_local(serve(listener, directory, 1 << 20, inbox, news));
            let _open = link(address, 2).await;
            assert_eq!(rest(&ours, LONGEST_PAUSE).await, FIRST_PAUSE);
            assert_eq!(rest(&ours, LONGEST_PAUSE).await, LONGEST_PAUSE, "it has not called since");
            assert_eq!(rest(&others, FIRST_PAUSE).await, 2 * FIRST_PAUSE, "nor has another one");
        };
        LocalSet::new().run_until(talk).await;
    }
}
