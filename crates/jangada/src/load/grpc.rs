//! A connection in etcd's API, for puts, gets, transactions, watches and leases. It stands on bare HTTP/2 frames in place of a client library,
//! since what the clients cost is taken from the servers that they measure.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use axum::http::uri::{Authority, PathAndQuery, Scheme, Uri};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header};
use bytes::{BufMut, Bytes, BytesMut};
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::compare::{CompareResult, CompareTarget, TargetUnion};
use jangada_etcd::etcdserverpb::request_op::Request as Op;
use jangada_etcd::etcdserverpb::watch_request::RequestUnion;
use prost::Message;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::link::Outcome;
use super::plan::{Ask, Plan};
use crate::client::login::Login;

/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(20);
/// How much a server may send before it must wait for us.
const WINDOW_BYTES: u32 = 4 << 20;
/// Of a message in a stream: a flag and the length come first.
const HEAD_BYTES: usize = 5;

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");
const TRAILERS: HeaderValue = HeaderValue::from_static("trailers");
const TOKEN: HeaderName = HeaderName::from_static("token");
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
const PUT: &str = "/etcdserverpb.KV/Put";
const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";
const WATCH: &str = "/etcdserverpb.Watch/Watch";
const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
const KEEP_ALIVE: &str = "/etcdserverpb.Lease/LeaseKeepAlive";

/// One connection, shared by clients on this thread.
#[derive(Debug)]
pub struct Grpc {
    servers: Vec<String>,
    patience: Duration,
    serializable: bool,
    login: Option<Login>,
    up: RefCell<Option<Up>>,
    /// The connection is up.
    risen: Notify,
}

/// A connection that is up.
#[derive(Clone, Debug)]
struct Up {
    sender: SendRequest<Bytes>,
    token: Option<HeaderValue>,
    authenticate: Uri,
    put: Uri,
    range: Uri,
    txn: Uri,
    watch: Uri,
    grant: Uri,
    revoke: Uri,
    keep_alive: Uri,
}

impl Grpc {
    /// To the first of `servers`, and to the next ones when it cannot be had.
    pub fn new(servers: Vec<String>, plan: &Plan) -> Grpc {
        assert!(!servers.is_empty(), "there is a server to talk to");
        Grpc {
            servers,
            patience: plan.patience,
            serializable: plan.serializable,
            login: plan.login.clone(),
            up: RefCell::new(None),
            risen: Notify::new(),
        }
    }

    /// The connection of this number, which is kept up: to the servers in turns.
    pub fn kept(servers: &[String], plan: &Plan, number: usize) -> Rc<Grpc> {
        let mut servers = servers.to_vec();
        let first = number % servers.len();
        servers.rotate_left(first);
        let link = Rc::new(Grpc::new(servers, plan));
        let kept = Rc::clone(&link);
        tokio::task::spawn_local(async move { kept.keep().await });
        link
    }

    /// Asks, and waits for the answer.
    ///
    /// # Errors
    /// The text of a server's error, or why there is no connection.
    pub async fn ask(&self, ask: &Ask, value: &[u8]) -> Result<Outcome, String> {
        let answer = timeout(self.patience, self.ask_patiently(ask, value)).await;
        answer.unwrap_or_else(|_late| Err("no answer in time".to_owned()))
    }

    async fn ask_patiently(&self, ask: &Ask, value: &[u8]) -> Result<Outcome, String> {
        let up = self.until_up().await;
        match ask {
            Ask::Put { key } => {
                let key = Bytes::copy_from_slice(key.as_bytes());
                let value = Bytes::copy_from_slice(value);
                let put = pb::PutRequest { key, value, ..pb::PutRequest::default() };
                up.call(&up.put, &put).await.map(|_answer| Outcome::Done)
            }
            Ask::Get { key } => {
                let key = Bytes::copy_from_slice(key.as_bytes());
                let serializable = self.serializable;
                let range = pb::RangeRequest { key, serializable, ..pb::RangeRequest::default() };
                let answer = up.call(&up.range, &range).await?;
                let answer = pb::RangeResponse::decode(answer).map_err(|error| error.to_string())?;
                Ok(if answer.count > 0 { Outcome::Done } else { Outcome::Absent })
            }
            Ask::Txn { key } => {
                let answer = up.call(&up.txn, &read_and_write(key, value)).await?;
                let answer = pb::TxnResponse::decode(answer).map_err(|error| error.to_string())?;
                Ok(if answer.succeeded { Outcome::Done } else { Outcome::Absent })
            }
        }
    }

    /// Opens a stream with one watch, and waits until it is there.
    ///
    /// # Errors
    /// As [`Grpc::ask`].
    pub async fn watch(&self, create: pb::WatchCreateRequest) -> Result<Talk, String> {
        let opened = timeout(self.patience, async {
            let up = self.until_up().await;
            let request = pb::WatchRequest { request_union: Some(RequestUnion::CreateRequest(create)) };
            let mut watching = Talk::open(&up, &up.watch, &request).await?;
            let created: pb::WatchResponse = watching.hear().await?;
            if created.created && !created.canceled { Ok(watching) } else { Err(created.cancel_reason) }
        });
        opened.await.unwrap_or_else(|_late| Err("no watch in time".to_owned()))
    }

    /// A lease of so many seconds, and the stream that keeps it alive, which has done so once.
    ///
    /// # Errors
    /// As [`Grpc::ask`].
    pub async fn lease(&self, seconds: i64) -> Result<(i64, Talk), String> {
        let opened = timeout(self.patience, async {
            let up = self.until_up().await;
            let grant = pb::LeaseGrantRequest { ttl: seconds, id: 0 };
            let granted = up.call(&up.grant, &grant).await?;
            let granted = pb::LeaseGrantResponse::decode(granted).map_err(|error| error.to_string())?;
            let request = pb::LeaseKeepAliveRequest { id: granted.id };
            let mut stream = Talk::open(&up, &up.keep_alive, &request).await?;
            let _kept: pb::LeaseKeepAliveResponse = stream.hear().await?;
            Ok((granted.id, stream))
        });
        opened.await.unwrap_or_else(|_late| Err("no lease in time".to_owned()))
    }

    /// Gives a lease up.
    ///
    /// # Errors
    /// As [`Grpc::ask`].
    pub async fn revoke(&self, id: i64) -> Result<(), String> {
        let revoked = timeout(self.patience, async {
            let up = self.until_up().await;
            up.call(&up.revoke, &pb::LeaseRevokeRequest { id }).await.map(drop)
        });
        revoked.await.unwrap_or_else(|_late| Err("no answer in time".to_owned()))
    }

    /// Waits until there is a connection, and whoever asks has logged in.
    pub async fn until_open(&self) {
        let _up = self.until_up().await;
    }

    async fn until_up(&self) -> Up {
        loop {
            // Asked for first: whoever rises in between is heard.
            let risen = self.risen.notified();
            if let Some(up) = &*self.up.borrow() {
                return up.clone();
            }
            risen.await;
        }
    }

    /// Keeps it up. Never ends.
    pub async fn keep(&self) {
        for server in self.servers.iter().cycle() {
            if let Ok(Ok((mut up, mut connection))) = timeout(self.patience, connect(server)).await {
                up.token = tokio::select! {
                    token = self.token(&up) => token,
                    _ended = &mut connection => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                };
                *self.up.borrow_mut() = Some(up);
                self.risen.notify_waiters();
                // Whoever asks sees in the answer why it has ended.
                let _ended = connection.await;
                *self.up.borrow_mut() = None;
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

impl Grpc {
    /// What says who asks. Without one what is asked says itself what a refused login means.
    async fn token(&self, up: &Up) -> Option<HeaderValue> {
        let Login { name, password } = self.login.clone()?;
        let asked = pb::AuthenticateRequest { name, password };
        let answer = async {
            loop {
                match up.call(&up.authenticate, &asked).await {
                    // Too many log in at once.
                    Err(why) if why.contains("too many requests") => tokio::time::sleep(PAUSE).await,
                    answer => return answer,
                }
            }
        };
        let answer = timeout(self.patience, answer).await.ok()?.ok()?;
        HeaderValue::try_from(pb::AuthenticateResponse::decode(answer).ok()?.token).ok()
    }
}

async fn connect(server: &str) -> io::Result<(Up, Connection<TcpStream, Bytes>)> {
    let stream = TcpStream::connect(server).await?;
    stream.set_nodelay(true)?;
    let mut builder = Builder::new();
    builder.initial_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (sender, connection) = builder.handshake(stream).await.map_err(io::Error::other)?;
    let uri = |path: &'static str| -> io::Result<Uri> {
        let mut parts = axum::http::uri::Parts::default();
        parts.scheme = Some(Scheme::HTTP);
        parts.authority = Some(Authority::try_from(server).map_err(io::Error::other)?);
        parts.path_and_query = Some(PathAndQuery::from_static(path));
        Uri::from_parts(parts).map_err(io::Error::other)
    };
    let up = Up {
        sender,
        token: None,
        authenticate: uri(AUTHENTICATE)?,
        put: uri(PUT)?,
        range: uri(RANGE)?,
        txn: uri(TXN)?,
        watch: uri(WATCH)?,
        grant: uri(GRANT)?,
        revoke: uri(REVOKE)?,
        keep_alive: uri(KEEP_ALIVE)?,
    };
    Ok((up, connection))
}

impl Up {
    /// One message there, one back.
    async fn call(&self, uri: &Uri, message: &impl Message) -> Result<Bytes, String> {
        let (response, _sent) = self.begin(uri, message, true).await?;
        let response = response.await.map_err(told)?;
        check(response.headers())?;
        let mut body = response.into_body();
        let mut answer = Bytes::new();
        while let Some(part) = body.data().await {
            let part = part.map_err(told)?;
            let _open = body.flow_control().release_capacity(part.len());
            answer = if answer.is_empty() { part } else { [answer, part].concat().into() };
        }
        if let Some(trailers) = body.trailers().await.map_err(told)? {
            check(&trailers)?;
        }
        if answer.len() < HEAD_BYTES {
            return Err("an answer without a message".to_owned());
        }
        Ok(answer.slice(HEAD_BYTES..))
    }

    /// Sends the first message of a call; `last` if nothing follows it.
    async fn begin(
        &self,
        uri: &Uri,
        message: &impl Message,
        last: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), String> {
        let mut sender = self.sender.clone().ready().await.map_err(told)?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri.clone();
        request.headers_mut().insert(header::CONTENT_TYPE, GRPC);
        request.headers_mut().insert(header::TE, TRAILERS);
        if let Some(token) = &self.token {
            request.headers_mut().insert(TOKEN, token.clone());
        }
        let (response, mut sending) = sender.send_request(request, false).map_err(told)?;
        sending.send_data(framed(message)?, last).map_err(told)?;
        Ok((response, sending))
    }
}

/// A message as it lies in a stream.
fn framed(message: &impl Message) -> Result<Bytes, String> {
    let length = message.encoded_len();
    let mut frame = BytesMut::with_capacity(HEAD_BYTES + length);
    frame.put_u8(0);
    frame.put_u32(u32::try_from(length).map_err(|_| "the request is too long".to_owned())?);
    message.encode(&mut frame).map_err(|error| error.to_string())?;
    Ok(frame.freeze())
}

/// If the key is there, it is read and written, else it is written.
fn read_and_write(key: &str, value: &[u8]) -> pb::TxnRequest {
    let (key, value) = (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value));
    let op = |request| pb::RequestOp { request: Some(request) };
    let read = Op::RequestRange(pb::RangeRequest { key: key.clone(), ..pb::RangeRequest::default() });
    let write = Op::RequestPut(pb::PutRequest { key: key.clone(), value, ..pb::PutRequest::default() });
    let is_there = pb::Compare {
        result: CompareResult::Greater.into(),
        target: CompareTarget::Create.into(),
        key,
        range_end: Bytes::new(),
        target_union: Some(TargetUnion::CreateRevision(0)),
    };
    pb::TxnRequest {
        compare: vec![is_there],
        success: vec![op(read), op(write.clone())],
        failure: vec![op(write)],
    }
}

/// A stream of messages both ways.
#[derive(Debug)]
pub struct Talk {
    body: RecvStream,
    arrived: BytesMut,
    /// The stream lives for as long as it may still be asked something.
    asking: SendStream<Bytes>,
}

impl Talk {
    /// Begins with a message. Servers may say nothing, not even that they listen, before they answer it.
    async fn open(up: &Up, uri: &Uri, first: &impl Message) -> Result<Talk, String> {
        let (response, asking) = up.begin(uri, first, false).await?;
        let response = response.await.map_err(told)?;
        check(response.headers())?;
        Ok(Talk { body: response.into_body(), arrived: BytesMut::new(), asking })
    }

    /// Says one more thing.
    ///
    /// # Errors
    /// Why the stream has ended.
    pub fn say(&mut self, message: &impl Message) -> Result<(), String> {
        self.asking.send_data(framed(message)?, false).map_err(told)
    }

    /// The next message. May be given up at any time.
    ///
    /// # Errors
    /// Why the stream has ended.
    pub async fn hear<T: Message + Default>(&mut self) -> Result<T, String> {
        loop {
            if let Some(message) = self.message() {
                return T::decode(message).map_err(|error| error.to_string());
            }
            let Some(part) = self.body.data().await else {
                if let Some(trailers) = self.body.trailers().await.map_err(told)? {
                    check(&trailers)?;
                }
                return Err("the stream has ended".to_owned());
            };
            let part = part.map_err(told)?;
            let _open = self.body.flow_control().release_capacity(part.len());
            self.arrived.extend_from_slice(&part);
        }
    }

    fn message(&mut self) -> Option<Bytes> {
        let length = self.arrived.get(1..HEAD_BYTES)?;
        let length = u32::from_be_bytes(length.try_into().expect("these are four bytes"));
        let whole = HEAD_BYTES + usize::try_from(length).expect("a length fits into memory");
        let message = (self.arrived.len() >= whole).then(|| self.arrived.split_to(whole).freeze());
        message.map(|message| message.slice(HEAD_BYTES..))
    }
}

/// Few words, the same for the same reason.
fn told(error: h2::Error) -> String {
    match error.reason() {
        Some(reason) => format!("HTTP/2: {}", reason.description()),
        None => "connection lost".to_owned(),
    }
}

/// What a server says of how it went: in trailers, or in the head if it says nothing else.
fn check(headers: &HeaderMap) -> Result<(), String> {
    match headers.get(&STATUS) {
        None => Ok(()),
        Some(code) if code.as_bytes() == b"0" => Ok(()),
        Some(code) => {
            let text = headers.get(&MESSAGE).and_then(|text| text.to_str().ok()).unwrap_or_default();
            match text {
                "" => Err(format!("gRPC code {}", code.to_str().unwrap_or("?"))),
                text => Err(text.replace("%20", " ")),
            }
        }
    }
}
