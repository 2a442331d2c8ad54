//! Links to the peers: one outgoing connection each.
//!
//! A link never blocks the replica: frames go into a bounded outbox, and what does not fit is dropped (Raft
//! sends again). While the link is down nothing is kept, as old messages are worth nothing.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use jangada_node::event::{Event, LinkLoss, NetEvent};
use jangada_node::frame::{self, Frame};
use jangada_raft::types::NodeId;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc::UnboundedSender};
use tokio::task::AbortHandle;
use tokio::time::timeout;

use crate::meters::PeerMeters;
use crate::peer::directory::Directory;
use crate::peer::handshake::{self, Hello, Purpose, Refusal, Welcome};
use crate::rig::Weather;

/// Bytes that may wait for a peer.
const MAX_OUTBOX_BYTES: usize = 16 << 20;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
const GREETING_TIMEOUT: Duration = Duration::from_secs(2);
/// A peer that takes nothing for so long is cut off and connected to anew.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);
/// The other host acknowledges within this time what it was sent, or the connection ends, and another is tried: after a
/// partition, TCP's own repetitions come as late as twice as long as it has lasted.
const ACKNOWLEDGED_WITHIN: Duration = Duration::from_secs(2);
pub(crate) const FIRST_PAUSE: Duration = Duration::from_millis(5);
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_millis(500);
const PAUSE_WHEN_UNWELCOME: Duration = Duration::from_secs(2);

/// What the links tell the replica thread.
pub(crate) enum LinkNews {
    /// Something happened.
    Event(Event),
    /// A peer that had opened a link to us has closed it.
    CallerGone(NodeId),
    /// The cluster refuses us for good: a sentence.
    Expelled(String),
}

/// How a link is.
#[derive(Clone, Debug)]
pub(crate) enum LinkState {
    Connecting,
    Up,
    Down { since: Instant, what: String },
}

/// The links of one server.
pub(crate) struct Links {
    directory: Directory,
    links: BTreeMap<NodeId, Link>,
    news: UnboundedSender<LinkNews>,
    /// A laboratory's; `None` in production.
    weather: Option<Weather>,
}

struct Link {
    address: String,
    shared: Rc<Shared>,
    task: AbortHandle,
}

struct Shared {
    to: NodeId,
    outbox: RefCell<Vec<u8>>,
    dropped: Cell<u32>,
    filled: Notify,
    state: RefCell<LinkState>,
    weather: Option<Weather>,
    meters: Arc<PeerMeters>,
}

impl Links {
    pub(crate) fn new(
        directory: Directory,
        news: UnboundedSender<LinkNews>,
        weather: Option<Weather>,
    ) -> Links {
        Links { directory, links: BTreeMap::new(), news, weather }
    }

    /// Has exactly these links: opens what is new, closes what is gone.
    pub(crate) fn reach(&mut self, peers: &BTreeMap<NodeId, String>) {
        self.links.retain(|id, link| {
            let stays = peers.get(id) == Some(&link.address);
            if !stays {
                link.task.abort();
            }
            stays
        });
        for (id, address) in peers {
            if !self.links.contains_key(id) {
                let link = self.open(*id, address.clone());
                self.links.insert(*id, link);
            }
        }
    }

    fn open(&self, to: NodeId, address: String) -> Link {
        let shared = Rc::new(Shared {
            to,
            outbox: RefCell::new(Vec::new()),
            dropped: Cell::new(0),
            filled: Notify::new(),
            state: RefCell::new(LinkState::Connecting),
            weather: self.weather.clone(),
            meters: self.directory.meters().of_peer(to.0),
        });
        let run = run(self.directory.clone(), Rc::clone(&shared), address.clone(), self.news.clone());
        let task = tokio::task::spawn_local(run).abort_handle();
        Link { address, shared, task }
    }

    /// Puts a frame into the outbox of its link, if that is up and not full; otherwise says `false`: it will
    /// never leave.
    pub(crate) fn send(&self, to: NodeId, frame: &Frame) -> bool {
        let Some(link) = self.links.get(&to) else { return false };
        if !matches!(*link.shared.state.borrow(), LinkState::Up) {
            return false;
        }
        if self.weather.as_ref().is_some_and(|weather| weather.loses(self.directory.my_id(), to)) {
            // As on a real network: whoever sends it does not learn of it.
            return true;
        }
        let mut outbox = link.shared.outbox.borrow_mut();
        if outbox.len() >= MAX_OUTBOX_BYTES {
            link.shared.dropped.set(link.shared.dropped.get() + 1);
            return false;
        }
        if outbox.is_empty() {
            link.shared.filled.notify_one();
        }
        frame::encode(frame, self.directory.route_to(to), &mut outbox);
        true
    }

    /// How the link to a peer is; `None` if there is none.
    pub(crate) fn state(&self, to: NodeId) -> Option<LinkState> {
        self.links.get(&to).map(|link| link.shared.state.borrow().clone())
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        for link in self.links.values() {
            link.task.abort();
        }
    }
}

async fn run(directory: Directory, shared: Rc<Shared>, address: String, news: UnboundedSender<LinkNews>) {
    let peer = shared.to;
    // A peer that starts again calls us at once. If it were left alone for the rest of a pause, which may be longer than
    // an election timeout, it would not hear its leader before it campaigns.
    let called = directory.await_call(peer);
    let mut pause = FIRST_PAUSE;
    let mut reported = None;
    loop {
        let there = through(&directory, &shared).await;
        match connect(&directory, peer, &address, there, &called).await {
            Ok(stream) => {
                pause = FIRST_PAUSE;
                reported = None;
                shared.outbox.borrow_mut().clear();
                shared.state.replace(LinkState::Up);
                let _stopping = news.send(LinkNews::Event(Event::Net(NetEvent::Connected { peer })));
                let broken = match &shared.weather {
                    None => pump(&shared, stream, &news).await,
                    Some(weather) => slow_pump(&shared, weather, directory.my_id(), stream).await,
                };
                down(&shared, LinkLoss::Broken, broken.to_string(), &mut reported, &news);
            }
            Err(Failed::Io(why, what)) => down(&shared, why, what, &mut reported, &news),
            // It will learn of the founding within milliseconds.
            Err(Failed::Unwelcome(Refusal::NotFounded, _)) => pause = FIRST_PAUSE,
            Err(Failed::Unwelcome(refusal, what)) => {
                if refusal == Refusal::DiskLost {
                    let _stopping = news.send(LinkNews::Expelled(what.clone()));
                }
                down(&shared, LinkLoss::Unwelcome, what, &mut reported, &news);
                pause = PAUSE_WHEN_UNWELCOME;
            }
        }
        pause = rest(&called, pause).await;
    }
}

/// Waits before the next try, unless the peer calls; returns how long to wait before the one after that.
pub(crate) async fn rest(called: &Notify, pause: Duration) -> Duration {
    tokio::select! {
        () = tokio::time::sleep(pause) => (pause * 2).min(LONGEST_PAUSE),
        () = called.notified() => FIRST_PAUSE,
    }
}

/// Notes that the link is down, and says so once for each reason.
fn down(
    shared: &Shared,
    why: LinkLoss,
    what: String,
    reported: &mut Option<LinkLoss>,
    news: &UnboundedSender<LinkNews>,
) {
    let mut state = shared.state.borrow_mut();
    let since = match &*state {
        LinkState::Down { since, .. } => *since,
        LinkState::Connecting | LinkState::Up => Instant::now(),
    };
    *state = LinkState::Down { since, what };
    if *reported != Some(why) {
        *reported = Some(why);
        let event = Event::Net(NetEvent::Lost { peer: shared.to, why });
        let _stopping = news.send(LinkNews::Event(event));
    }
}

/// Whether a first word would get through: what is sent into a cut link is answered by nobody.
async fn through(directory: &Directory, shared: &Shared) -> bool {
    let Some(weather) = &shared.weather else { return true };
    let (me, peer) = (directory.my_id(), shared.to);
    let mend = async {
        loop {
            // Asked for before the look, so that nothing is missed between the two.
            let mended = weather.mended();
            if !(weather.is_cut(me, peer) || weather.is_cut(peer, me)) {
                return;
            }
            mended.await;
        }
    };
    timeout(CONNECT_TIMEOUT, mend).await.is_ok()
}

enum Failed {
    Io(LinkLoss, String),
    Unwelcome(Refusal, String),
}

async fn connect(
    directory: &Directory,
    peer: NodeId,
    address: &str,
    there: bool,
    called: &Notify,
) -> Result<TcpStream, Failed> {
    if !there {
        return Err(Failed::Io(LinkLoss::TimedOut, format!("did not answer at {address}")));
    }
    let hello = directory.hello(Some(peer), Purpose::Link);
    // What was sent to a machine that was off is lost, and the system repeats it only after a second.
    let stream = tokio::select! {
        biased;
        stream = reach(address) => stream,
        () = called.notified() => reach(address).await,
    };
    let greeted = match stream {
        Ok(stream) => greet(stream, &hello).await,
        Err(why) => Err(why),
    };
    match greeted {
        Ok((stream, Welcome::Yes { me, .. })) => {
            directory.met(&me);
            Ok(stream)
        }
        Ok((_, Welcome::No { refusal, why })) => Err(Failed::Unwelcome(refusal, why)),
        Err(why) => {
            let loss = match why.kind() {
                io::ErrorKind::ConnectionRefused => LinkLoss::Refused,
                io::ErrorKind::TimedOut => LinkLoss::TimedOut,
                _ => LinkLoss::Broken,
            };
            let what = match loss {
                LinkLoss::Refused => format!("refused {address}"),
                LinkLoss::TimedOut => format!("did not answer at {address}"),
                LinkLoss::Broken | LinkLoss::Unwelcome => format!("{why} at {address}"),
            };
            Err(Failed::Io(loss, what))
        }
    }
}

/// Connects and exchanges first words.
pub(crate) async fn knock(address: &str, hello: &Hello) -> io::Result<(TcpStream, Welcome)> {
    greet(reach(address).await?, hello).await
}

async fn reach(address: &str) -> io::Result<TcpStream> {
    let stream = timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await.map_err(|_| timed_out())??;
    stream.set_nodelay(true)?;
    let patience = u32::try_from(ACKNOWLEDGED_WITHIN.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&stream, patience)?;
    Ok(stream)
}

async fn greet(mut stream: TcpStream, hello: &Hello) -> io::Result<(TcpStream, Welcome)> {
    let words = async {
        handshake::send(&mut stream, hello).await?;
        handshake::receive(&mut stream).await
    };
    let welcome = timeout(GREETING_TIMEOUT, words).await.map_err(|_| timed_out())??;
    Ok((stream, welcome))
}

fn timed_out() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

/// Sends what the outbox gets, all that waits in one write, until the connection breaks.
async fn pump(shared: &Shared, mut stream: TcpStream, news: &UnboundedSender<LinkNews>) -> io::Error {
    let mut bytes = Vec::new();
    loop {
        tokio::select! {
            () = shared.filled.notified() => {}
            closed = closed(&stream) => return closed,
        }
        loop {
            bytes.clear();
            core::mem::swap(&mut bytes, &mut *shared.outbox.borrow_mut());
            if bytes.is_empty() {
                break;
            }
            match timeout(WRITE_TIMEOUT, stream.write_all(&bytes)).await {
                Ok(Ok(())) => {
                    shared.meters.sent.fetch_add(bytes.len() as u64, Relaxed);
                }
                Ok(Err(why)) => return why,
                Err(_) => return io::Error::other("it took nothing for 5 s"),
            }
        }
        let messages = shared.dropped.replace(0);
        if messages > 0 {
            let event = Event::Net(NetEvent::Dropped { peer: shared.to, messages });
            let _stopping = news.send(LinkNews::Event(event));
        }
    }
}

/// The same through a laboratory's weather: everything waits as long as the link is slow, and keeps its order.
async fn slow_pump(shared: &Shared, weather: &Weather, me: NodeId, mut stream: TcpStream) -> io::Error {
    let link = (me, shared.to);
    let mut under_way: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    loop {
        let next = under_way.front().map(|(due, _)| *due);
        tokio::select! {
            () = shared.filled.notified() => {}
            closed = closed(&stream) => return closed,
            () = tokio::time::sleep_until(next.unwrap_or_else(Instant::now).into()), if next.is_some() => {}
        }
        let now = Instant::now();
        let bytes = core::mem::take(&mut *shared.outbox.borrow_mut());
        if !bytes.is_empty() {
            let due = now + weather.delay(link);
            under_way.push_back((under_way.back().map_or(due, |(last, _)| due.max(*last)), bytes));
        }
        while let Some((_, bytes)) = under_way.pop_front_if(|(due, _)| *due <= now) {
            if weather.is_cut(link.0, link.1) {
                continue;
            }
            if let Err(why) = stream.write_all(&bytes).await {
                return why;
            }
        }
    }
}

/// Waits until the peer closes: it never says anything more on this connection.
async fn closed(stream: &TcpStream) -> io::Error {
    let mut nothing = [0; 16];
    loop {
        if let Err(why) = stream.readable().await {
            return why;
        }
        match stream.try_read(&mut nothing) {
            Ok(0) => return io::Error::other("it closed the connection"),
            Ok(_) => return io::Error::other("it spoke out of turn"),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Err(why) => return why,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_that_acknowledges_nothing_ends_a_link_soon() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let patience = runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let stream = reach(&listener.local_addr().unwrap().to_string()).await.unwrap();
            rustix::net::sockopt::tcp_user_timeout(&stream).unwrap()
        });
        assert_eq!(u128::from(patience), ACKNOWLEDGED_WITHIN.as_millis());
    }
}
