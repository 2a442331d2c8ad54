//! The way between servers, and nothing else: a number goes there in a frame, and comes back doubled.
//!
//! Whoever wonders whether servers cannot reach one another or do not understand one another tries the way by itself:
//! the same port, the same greeting and the same frames as between members, but no Raft. Nothing that a replica knows
//! or does has a part in it. Both sides stand here, the asker first; `docs/wire-format.md` has the bytes.

use std::fmt;
use std::io;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use jangada_node::event::FrameRefusal;
use jangada_node::frame::{self, Route};
use jangada_raft::types::{ClusterId, NodeId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::peer::handshake::{Card, Hello, Position, Purpose, Welcome};
use crate::peer::link::knock;

/// Numbers that one connection may bring.
const MAX_NUMBERS: usize = 1_000;
/// How long a number, or its double, may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The way works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Echo {
    /// What the server at its end is called.
    pub name: String,
    /// Its cluster; `None` before the founding.
    pub cluster: Option<u64>,
    /// How long connecting and greeting took.
    pub greeting: Duration,
    /// How long each number took, there and back.
    pub rounds: Vec<Duration>,
}

/// The way does not work: how far it went.
#[derive(Debug)]
pub enum NoEcho {
    /// Nobody could be connected to, or whoever is there does not greet as a peer does.
    NoGreeting(io::Error),
    /// The server does not want us: its sentence.
    Refused(String),
    /// It greeted, and then the connection broke.
    Broken(io::Error),
    /// A frame came that is none, or is meant for somebody else.
    BadFrame(FrameRefusal),
    /// Another number came back than the double of what was sent.
    Wrong {
        /// What was sent.
        sent: u64,
        /// What came back.
        came: u64,
    },
}

impl fmt::Display for NoEcho {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NoEcho::NoGreeting(why) => match why.kind() {
                io::ErrorKind::ConnectionRefused => f.write_str("refused: nobody listens there"),
                io::ErrorKind::TimedOut => f.write_str(
                    "silent: nothing came back in time; a firewall, a server that stands still, or no peer port",
                ),
                io::ErrorKind::UnexpectedEof | io::ErrorKind::ConnectionReset => f.write_str(
                    "it closed the connection at the greeting: an older version, or no peer port (clients have another one)",
                ),
                _ => write!(f, "no greeting: {why}; is it a peer port? (clients have another one)"),
            },
            NoEcho::Refused(why) => write!(f, "it does not let us in: {why}"),
            NoEcho::Broken(why) => write!(f, "it greeted, but then: {why}"),
            NoEcho::BadFrame(why) => write!(f, "it greeted, but its frame was damaged or foreign ({why:?})"),
            NoEcho::Wrong { sent, came } => {
                write!(f, "it answered {came} to {sent}, not {}", sent.wrapping_mul(2))
            }
        }
    }
}

impl std::error::Error for NoEcho {}

/// Tries the way to the peer port at `address`: greets, sends each number, and waits for its double.
///
/// # Errors
/// How far it went.
pub async fn echo(address: &str, numbers: &[u64]) -> Result<Echo, NoEcho> {
    let begun = Instant::now();
    let hello = Hello { me: nobody(), to: None, purpose: Purpose::Echo };
    let (mut stream, welcome) = knock(address, &hello).await.map_err(NoEcho::NoGreeting)?;
    let me = match welcome {
        Welcome::Yes { me, .. } => me,
        Welcome::No { why, .. } => return Err(NoEcho::Refused(why)),
    };
    let greeting = begun.elapsed();
    let there =
        Route { cluster: ClusterId(me.cluster.unwrap_or(0)), from: NodeId(hello.me.id), to: NodeId(me.id) };
    let mut rounds = Vec::with_capacity(numbers.len());
    let mut buffer = BytesMut::new();
    for number in numbers.iter().take(MAX_NUMBERS) {
        let begun = Instant::now();
        send(&mut stream, *number, there).await.map_err(NoEcho::Broken)?;
        let came = receive(&mut stream, &mut buffer, back(there)).await?;
        if came != number.wrapping_mul(2) {
            return Err(NoEcho::Wrong { sent: *number, came });
        }
        rounds.push(begun.elapsed());
    }
    Ok(Echo { name: me.name, cluster: me.cluster, greeting, rounds })
}

/// The side of the server: answers numbers until the other has enough, or too many.
pub(crate) async fn double(mut stream: TcpStream, route: Route) {
    let mut buffer = BytesMut::new();
    for _ in 0..MAX_NUMBERS {
        let Ok(number) = receive(&mut stream, &mut buffer, route).await else { return };
        if send(&mut stream, number.wrapping_mul(2), back(route)).await.is_err() {
            return;
        }
    }
}

/// What somebody says of itself who is no server.
fn nobody() -> Card {
    Card {
        id: 0,
        name: "jangada ping".to_owned(),
        incarnation: 0,
        cluster: None,
        peer_addr: String::new(),
        client_addr: String::new(),
        named_at: Position::default(),
    }
}

fn back(route: Route) -> Route {
    Route { cluster: route.cluster, from: route.to, to: route.from }
}

async fn send(stream: &mut TcpStream, number: u64, route: Route) -> io::Result<()> {
    let mut bytes = Vec::new();
    frame::encode_number(number, route, &mut bytes);
    timeout(PATIENCE, stream.write_all(&bytes)).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
}

async fn receive(stream: &mut TcpStream, buffer: &mut BytesMut, route: Route) -> Result<u64, NoEcho> {
    let number = async {
        loop {
            if let Some(number) = frame::decode_number(buffer, route).map_err(NoEcho::BadFrame)? {
                return Ok(number);
            }
            match stream.read_buf(buffer).await {
                Ok(0) => return Err(NoEcho::Broken(io::Error::other("it closed the connection"))),
                Ok(_) => {}
                Err(why) => return Err(NoEcho::Broken(why)),
            }
        }
    };
    let late = || NoEcho::Broken(io::Error::other(format!("nothing came for {} s", PATIENCE.as_secs())));
    timeout(PATIENCE, number).await.map_err(|_| late())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::SocketAddr;

    use tokio::net::TcpListener;
    use tokio::sync::mpsc;
    use tokio::task::LocalSet;

    use crate::peer::accept;
    use crate::peer::directory::Directory;
    use crate::peer::handshake;

    fn card(cluster: Option<u64>) -> Card {
        Card { id: 7, name: "n7".to_owned(), cluster, ..nobody() }
    }

    /// A real door, of a server that is or is not founded, and somebody in front of it.
    async fn with_door<T>(cluster: Option<u64>, visit: impl AsyncFnOnce(SocketAddr) -> T) -> T {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let visited = async {
            let (inbox, mut frames) = mpsc::channel(1);
            let (news, mut told) = mpsc::unbounded_channel();
            let directory = Directory::new(card(cluster), None);
            tokio::task::spawn_local(accept::serve(listener, directory, 1 << 20, inbox, news));
            let visited = visit(address).await;
            assert!(frames.try_recv().is_err(), "no replica hears of it");
            assert!(told.try_recv().is_err(), "nor anybody else");
            visited
        };
        LocalSet::new().run_until(visited).await
    }

    #[tokio::test]
    async fn numbers_come_back_doubled_through_the_servers_own_door() {
        for cluster in [Some(3), None] {
            let numbers = [0, 1, 21, 1_000_003, u64::MAX];
            let echo = with_door(cluster, async |address| echo(&address.to_string(), &numbers).await).await;
            let echo = echo.unwrap();
            assert_eq!((echo.name.as_str(), echo.cluster), ("n7", cluster));
            assert_eq!(echo.rounds.len(), numbers.len());
        }
    }

    /// Greets as `echo` does, and sends these bytes; what comes back until the server closes.
    async fn answer_to(bytes: Vec<u8>) -> Vec<u8> {
        with_door(Some(3), async |address| {
            let hello = Hello { me: nobody(), to: None, purpose: Purpose::Echo };
            let (mut stream, welcome) = knock(&address.to_string(), &hello).await.unwrap();
            assert!(matches!(welcome, Welcome::Yes { .. }));
            stream.write_all(&bytes).await.unwrap();
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.unwrap();
            answer
        })
        .await
    }

    #[tokio::test]
    async fn what_is_no_number_for_this_server_closes_the_connection() {
        let route = Route { cluster: ClusterId(3), from: NodeId(0), to: NodeId(7) };
        let number = |route| {
            let mut bytes = Vec::new();
            frame::encode_number(5, route, &mut bytes);
            bytes
        };
        assert_eq!(answer_to(number(Route { cluster: ClusterId(4), ..route })).await, b"");
        assert_eq!(answer_to(number(Route { to: NodeId(8), ..route })).await, b"");
        let mut damaged = number(route);
        *damaged.last_mut().unwrap() ^= 1;
        assert_eq!(answer_to(damaged).await, b"");
        let forward = frame::Frame::Forward { id: 1, commands: vec![] };
        let mut other_kind = Vec::new();
        frame::encode(&forward, route, &mut other_kind);
        assert_eq!(answer_to(other_kind).await, b"");
        let mut answer =
            BytesMut::from(&answer_to([number(route), b"nonsense".repeat(9)].concat()).await[..]);
        let doubled = frame::decode_number(&mut answer, back(route)).unwrap();
        assert_eq!(
            (doubled, answer.is_empty()),
            (Some(10), true),
            "what came before the nonsense is answered"
        );
    }

    /// Somebody at the other end who greets well and then says this.
    async fn says(bytes: impl FnOnce(Route) -> Vec<u8>) -> NoEcho {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let impostor = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let hello: Hello = handshake::receive(&mut stream).await.unwrap();
            handshake::send(&mut stream, &Welcome::Yes { me: card(Some(3)), founding: None, promised: None })
                .await
                .unwrap();
            let route = Route { cluster: ClusterId(3), from: NodeId(7), to: NodeId(hello.me.id) };
            stream.write_all(&bytes(route)).await.unwrap();
            let mut rest = [0; 64];
            let _read = stream.read(&mut rest).await;
        };
        let numbers = [4];
        let (came, ()) = tokio::join!(echo(&address, &numbers), impostor);
        came.unwrap_err()
    }

    #[tokio::test]
    async fn how_far_it_went_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().to_string();
        let refused = echo(&closed, &[1]).await.unwrap_err();
        assert_eq!(refused.to_string(), "refused: nobody listens there");

        let wrong = says(|route| {
            let mut bytes = Vec::new();
            frame::encode_number(9, route, &mut bytes);
            bytes
        });
        assert_eq!(wrong.await.to_string(), "it answered 9 to 4, not 8");
        let foreign = says(|route| {
            let mut bytes = Vec::new();
            frame::encode_number(8, Route { cluster: ClusterId(4), ..route }, &mut bytes);
            bytes
        });
        assert_eq!(foreign.await.to_string(), "it greeted, but its frame was damaged or foreign (Cluster)");
        let gone = says(|_| Vec::new());
        assert_eq!(gone.await.to_string(), "it greeted, but then: it closed the connection");

        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let no_peer = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.write_all(b"-ERR unknown command 'JNGD'\r\n").await.unwrap();
            let mut rest = [0; 1024];
            let _read = stream.read(&mut rest).await;
        };
        let numbers = [1];
        let (came, ()) = tokio::join!(echo(&address, &numbers), no_peer);
        let told = came.unwrap_err().to_string();
        assert!(told.contains("is it a peer port? (clients have another one)"), "{told}");
    }
}
