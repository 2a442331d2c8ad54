//! A connection in RESP2: what several clients ask at the same time leaves in one write, and the answers come back in
//! their order.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::link::Outcome;
use super::plan::{Ask, Plan};
use crate::client::login::Login;
use crate::client::wire::{Reply, WireError, encode, parse, reason};

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);
/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

type Answer = Result<Reply, String>;

/// One connection, shared by clients on this thread.
#[derive(Debug)]
pub struct Resp {
    servers: Vec<String>,
    patience: Duration,
    login: Option<Login>,
    up: Cell<bool>,
    state: RefCell<State>,
    /// There is something to send.
    wake: Notify,
    /// The connection is up.
    risen: Notify,
}

#[derive(Debug, Default)]
struct State {
    out: Vec<u8>,
    waiting: VecDeque<oneshot::Sender<Answer>>,
}

impl Resp {
    /// To the first of `servers`, and to the next ones when it cannot be had.
    pub fn new(servers: Vec<String>, plan: &Plan) -> Resp {
        assert!(!servers.is_empty(), "there is a server to talk to");
        Resp {
            servers,
            patience: plan.patience,
            login: plan.login.clone(),
            up: Cell::new(false),
            state: RefCell::default(),
            wake: Notify::new(),
            risen: Notify::new(),
        }
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The first word of a server's error, or why there is no connection.
    pub async fn ask(&self, ask: &Ask, value: &[u8]) -> Result<Outcome, String> {
        if !self.up.get() && timeout(self.patience, self.until_up()).await.is_err() {
            return Err("no server takes connections".to_owned());
        }
        if let Ask::Txn { .. } = ask {
            return Err("RESP has no transactions of this kind".to_owned());
        }
        let (give, take) = oneshot::channel();
        {
            let mut state = self.state.borrow_mut();
            match ask {
                Ask::Put { key } => encode(&[b"SET", key.as_bytes(), value], &mut state.out),
                Ask::Get { key } | Ask::Txn { key } => encode(&[b"GET", key.as_bytes()], &mut state.out),
            }
            state.waiting.push_back(give);
        }
        self.wake.notify_one();
        match take.await.unwrap_or_else(|_gone| Err("connection lost".to_owned()))? {
            Reply::Error(text) => Err(text.split(' ').next().unwrap_or_default().to_owned()),
            Reply::Bulk(None) => Ok(Outcome::Absent),
            Reply::Status(_) | Reply::Integer(_) | Reply::Bulk(Some(_)) | Reply::Array(_) => {
                Ok(Outcome::Done)
            }
        }
    }

    #[cfg(test)]
    pub fn is_up(&self) -> bool {
        self.up.get()
    }

    /// Waits until there is a connection, and whoever asks has logged in.
    pub async fn until_up(&self) {
        loop {
            // Asked for first: whoever rises in between is heard.
            let risen = self.risen.notified();
            if self.up.get() {
                return;
            }
            risen.await;
        }
    }

    /// Keeps it up. Never ends.
    pub async fn keep(&self) {
        for server in self.servers.iter().cycle() {
            let connecting = async {
                let mut stream = TcpStream::connect(server).await?;
                self.log_in(&mut stream).await?;
                Ok::<_, io::Error>(stream)
            };
            if let Ok(Ok(stream)) = timeout(self.patience, connecting).await {
                self.up.set(true);
                self.risen.notify_waiters();
                let why = match stream.set_nodelay(true) {
                    Ok(()) => self.serve(stream).await,
                    Err(error) => error,
                };
                self.down(&reason(&why));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Says first of all who asks; again while too many others do. What a refused login means the answers behind it say.
    async fn log_in(&self, stream: &mut TcpStream) -> io::Result<()> {
        let Some(Login { name, password }) = &self.login else { return Ok(()) };
        let mut out = Vec::new();
        encode(&[b"AUTH", name.as_bytes(), password.as_bytes()], &mut out);
        loop {
            stream.write_all(&out).await?;
            let mut bytes = Vec::new();
            let reply = loop {
                if stream.read_buf(&mut bytes).await? == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                match parse(&bytes) {
                    Ok(Some((reply, _))) => break reply,
                    Ok(None) => {}
                    Err(_) => return Err(io::ErrorKind::InvalidData.into()),
                }
            };
            if !matches!(reply, Reply::Error(text) if text.starts_with("TRYAGAIN")) {
                return Ok(());
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn down(&self, why: &str) {
        self.up.set(false);
        let mut state = self.state.borrow_mut();
        // What was asked for and not sent yet is not sent on another connection either: nobody waits for it any more.
        state.out.clear();
        for client in state.waiting.drain(..) {
            let _went_away = client.send(Err(why.to_owned()));
        }
    }

    /// Sends and receives until the connection breaks: why.
    async fn serve(&self, mut stream: TcpStream) -> io::Error {
        let (mut read, mut write) = stream.split();
        let sending = async {
            loop {
                if self.state.borrow().out.is_empty() {
                    self.wake.notified().await;
                    // Whoever else has something to say says it now.
                    tokio::task::yield_now().await;
                }
                let bytes = std::mem::take(&mut self.state.borrow_mut().out);
                if let Err(error) = write.write_all(&bytes).await {
                    return error;
                }
            }
        };
        let receiving = async {
            let mut bytes = Vec::with_capacity(READ_BYTES);
            loop {
                bytes.reserve(READ_BYTES);
                match timeout(self.patience, read.read_buf(&mut bytes)).await {
                    Err(_late) if self.state.borrow().waiting.is_empty() => {}
                    Err(_late) => return io::ErrorKind::TimedOut.into(),
                    Ok(Ok(0)) => return io::ErrorKind::UnexpectedEof.into(),
                    Ok(Ok(_)) => match self.hand_out(&bytes) {
                        Ok(used) => drop(bytes.drain(..used)),
                        Err(error) => return error,
                    },
                    Ok(Err(error)) => return error,
                }
            }
        };
        tokio::select! {
            error = sending => error,
            error = receiving => error,
        }
    }

    /// Gives each complete answer to who waits for it; how many bytes that was.
    fn hand_out(&self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.state.borrow_mut();
        let mut used = 0;
        loop {
            match parse(&bytes[used..]) {
                Ok(None) => return Ok(used),
                Ok(Some((reply, length))) => {
                    used += length;
                    let client = state.waiting.pop_front().ok_or(io::ErrorKind::InvalidData)?;
                    let _went_away = client.send(Ok(reply));
                }
                Err(WireError::NotSent(error) | WireError::Lost(error)) => return Err(error),
                Err(WireError::Protocol(what)) => return Err(io::Error::other(what)),
            }
        }
    }
}
