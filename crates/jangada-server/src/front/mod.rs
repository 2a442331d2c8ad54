//! The client port: who may connect, which protocol they speak, and the threads that serve them.
//!
//! One thread accepts and deals the connections out; each thread runs all its connections on a runtime of its
//! own, so that nothing of a connection is ever shared between threads. RESP and plain words are served by
//! `connection.rs`, HTTP/1.1 by `http`, HTTP/2 and with it etcd's API by `etcd`.

mod shared; // what all connections share
mod stop; // the wish to stop
mod admission; // who may connect
mod sniff; // which protocol a client speaks
mod counted; // how many bytes go each way
mod rewound; // putting back what was read to find out
pub(crate) mod weighed; // how much of an answer waits to be sent
pub(crate) mod pipeline; // commands that wait for their answers
mod connection; // the loop of RESP and plain words

use std::io;
use std::net::IpAddr;
use std::net::TcpListener as StdListener;
use std::net::TcpStream as StdStream;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use bytes::BytesMut;
use jangada_etcd::Services;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

pub use admission::{Admission, Guest};
pub use shared::Shared;
pub use stop::Stop;

use crate::etcd::{self, Seam};
use crate::http;
use crate::room::{self, Account};
use counted::Counted;
use rewound::Rewound;
use sniff::{Protocol, sniff};

/// How long the acceptor rests when the system refuses it another socket.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What is served on a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Serves {
    /// Everything that clients may ask.
    Everything,
    /// `/metrics` and `/health` over HTTP/1.1.
    Figures,
}

/// The running client ports of a server.
#[derive(Debug)]
pub struct Front {
    threads: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Front {
    /// Serves the clients that connect to these ports, on `threads` threads.
    ///
    /// # Errors
    /// If the system gives no thread or no event queue.
    ///
    /// # Panics
    /// If `threads` is 0.
    pub fn start(
        ports: Vec<(StdListener, Serves)>,
        threads: usize,
        shared: &Arc<Shared>,
    ) -> io::Result<Front> {
        assert!(threads > 0, "somebody must accept connections");
        ports.iter().try_for_each(|(listener, _)| listener.set_nonblocking(true))?;
        let (stop, stopped) = watch::channel(false);
        let mut front = Front { threads: Vec::new(), stop };
        let (mut inboxes, mut queues) = (Vec::new(), Vec::new());
        for _ in 0..threads {
            let (queue, inbox) = mpsc::unbounded_channel();
            queues.push(queue);
            inboxes.push(inbox);
        }
        let mut acceptor = Some((ports, queues));
        for (number, inbox) in inboxes.into_iter().enumerate() {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let acceptor = acceptor.take();
            let shared = Arc::clone(shared);
            let stopped = stopped.clone();
            let thread = thread::Builder::new().name(format!("clients-{number}"));
            front.threads.push(thread.spawn(move || {
                runtime.block_on(async {
                    if let Some((ports, queues)) = acceptor {
                        let admission = Admission::new(&shared.limits);
                        for port in ports {
                            let (queues, stop) = (queues.clone(), Stop::new(stopped.clone()));
                            tokio::spawn(accept(port, queues, Arc::clone(&shared), admission.clone(), stop));
                        }
                    }
                    work(inbox, &shared, stopped).await;
                });
            })?);
        }
        Ok(front)
    }

    /// Accepts no more connections, lets the open ones finish what is under way, and returns when all are
    /// closed or [`crate::limits::Limits::drain_time`] is over.
    pub fn stop(self) {
        self.stop.send_replace(true);
        for thread in self.threads {
            // A thread that panicked has already said so; the others still drain.
            let _ = thread.join();
        }
    }
}

/// A connection that was accepted, on its way to its thread.
type Arrival = (StdStream, Guest, Serves);

/// Accepts connections and deals them out in turn.
async fn accept(
    (listener, serves): (StdListener, Serves),
    queues: Vec<mpsc::UnboundedSender<Arrival>>,
    shared: Arc<Shared>,
    admission: Admission,
    mut stop: Stop,
) {
    let listener = TcpListener::from_std(listener).expect("the runtime drives sockets");
    let mut turn = queues.iter().cycle();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => return,
        };
        let Ok((stream, address)) = accepted else {
            // Out of file descriptors, or the client is gone already: neither is a reason to stop.
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        match admission.admit(address.ip()) {
            Some(guest) => {
                shared.counters.accepted.fetch_add(1, Relaxed);
                let queue = turn.next().expect("there is at least one thread");
                if let Ok(stream) = stream.into_std() {
                    // The thread is gone only when it panicked: its share of the connections closes.
                    let _ = queue.send((stream, guest, serves));
                }
            }
            None => {
                shared.counters.turned_away.fetch_add(1, Relaxed);
                // Best effort, in Redis's words: the protocol is not known yet.
                let _ = stream.try_write(b"-ERR max number of clients reached\r\n");
            }
        }
    }
}

/// Serves the connections that arrive, until the server stops.
async fn work(mut inbox: mpsc::UnboundedReceiver<Arrival>, shared: &Shared, stopped: watch::Receiver<bool>) {
    let (shared, postman) = shared.for_thread();
    tokio::spawn(postman.run());
    let door = Door::new(Arc::new(shared));
    let mut stop = Stop::new(stopped.clone());
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Some((stream, guest, serves)) = inbox.recv() => {
                let Ok(stream) = TcpStream::from_std(stream) else { continue };
                // Replies leave in as few packets as possible already; waiting for more only costs time.
                let _ = stream.set_nodelay(true);
                let (door, stop) = (door.clone().from(guest.address()), Stop::new(stopped.clone()));
                connections.spawn(async move {
                    // An error ends the connection, and there is nobody else to tell.
                    let _ = match serves {
                        Serves::Everything => door.serve(stream, stop).await,
                        Serves::Figures => door.serve_figures(stream, stop).await,
                    };
                    door.shared.counters.closed.fetch_add(1, Relaxed);
                    drop(guest);
                });
            }
            Some(_) = connections.join_next() => {}
            () = stop.wait() => break,
        }
    }
    let drain = async { while connections.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(door.shared.limits.drain_time, drain).await;
}

/// What serves a stream, whatever its protocol. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Door {
    shared: Arc<Shared>,
    router: axum::Router,
    /// The pages of a port that has figures only.
    figures: axum::Router,
    services: Services<Seam>,
    address: Option<IpAddr>,
}

impl Door {
    /// A door to the server.
    #[must_use]
    pub fn new(shared: Arc<Shared>) -> Door {
        let services = etcd::services(Arc::clone(&shared));
        let router = http::router(Arc::clone(&shared), services.clone());
        let figures = http::figures(Arc::clone(&shared));
        Door { shared, router, figures, services, address: None }
    }

    /// The same for a client at this address.
    #[must_use]
    pub fn from(self, address: IpAddr) -> Door {
        Door { address: Some(address), ..self }
    }

    /// Serves one stream until it ends.
    ///
    /// # Errors
    /// If the stream fails.
    pub async fn serve<S>(&self, mut stream: S, mut stop: Stop) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let limits = &self.shared.limits;
        let mut first = BytesMut::with_capacity(connection::READ_BYTES.0);
        let listen = first_bytes(&mut stream, &mut first, limits.line_bytes);
        let protocol = tokio::select! {
            heard = tokio::time::timeout(limits.first_byte_time, listen) => heard,
            () = stop.wait() => return Ok(()),
        };
        let Ok(protocol) = protocol else {
            self.shared.counters.timed_out.fetch_add(1, Relaxed);
            return Ok(());
        };
        let shared = Arc::clone(&self.shared);
        match protocol? {
            Some(Protocol::Resp) => connection::serve(stream, first, false, self.address, shared, stop).await,
            Some(Protocol::Lines) => connection::serve(stream, first, true, self.address, shared, stop).await,
            Some(Protocol::Http1) => {
                self.serve_pages(Rewound::new(first, stream), self.router.clone(), stop).await;
                Ok(())
            }
            Some(Protocol::Http2) => {
                let meters = Arc::clone(self.shared.handle.board().meters());
                let account = Account::new(self.shared.handle.room());
                let stream = Counted::new(Rewound::new(first, stream), Arc::clone(&account), Some(meters));
                let pages = http::Pages::new(self.router.clone(), self.address, Arc::clone(&account));
                let serving =
                    etcd::serve(stream, etcd::Calls::new(self.services.clone(), pages), limits, stop);
                self.unless_stalled(serving, &account).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Serves one stream of a port that has figures only, until it ends.
    ///
    /// # Errors
    /// Never: whoever speaks another protocol is told so in HTTP.
    pub async fn serve_figures<S>(&self, stream: S, stop: Stop) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = Rewound::new(BytesMut::new(), stream);
        self.serve_pages(stream, self.figures.clone(), stop).await;
        Ok(())
    }

    async fn serve_pages<S>(&self, stream: Rewound<S>, router: axum::Router, stop: Stop)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let account = Account::new(self.shared.handle.room());
        let stream = Counted::new(stream, Arc::clone(&account), None);
        let pages = http::Pages::new(router, self.address, Arc::clone(&account));
        let serving = http::serve(stream, pages, &self.shared.limits, stop);
        self.unless_stalled(serving, &account).await;
    }

    /// Serves until the stream ends, or its client has taken nothing of much for too long.
    async fn unless_stalled(&self, serving: impl Future<Output = ()>, account: &Account) {
        let time = self.shared.limits.stall_time;
        tokio::select! {
            () = serving => {}
            held = account.stalled(time) => {
                self.shared.counters.timed_out.fetch_add(1, Relaxed);
                room::tell_stalled(self.shared.handle.status().name.clone(), held, time);
            }
        }
    }
}

/// Reads until the protocol is known. `None`: the client left without a word.
async fn first_bytes<S: AsyncRead + Unpin>(
    stream: &mut S,
    first: &mut BytesMut,
    line_bytes: usize,
) -> io::Result<Option<Protocol>> {
    loop {
        if let Some(protocol) = sniff(first, line_bytes) {
            return Ok(Some(protocol));
        }
        if stream.read_buf(first).await? == 0 {
            return Ok(None);
        }
    }
}
