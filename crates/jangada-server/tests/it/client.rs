//! The other end of a connection.

use std::net::IpAddr;
use std::sync::Arc;

use jangada_server::front::{Door, Shared, Stop};
use jangada_server::limits::Limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::core::{self, SharedCore};

/// A client, and the server that it talks to.
pub(crate) struct Client {
    reader: Option<ReadHalf<DuplexStream>>,
    writer: WriteHalf<DuplexStream>,
    serving: JoinHandle<std::io::Result<()>>,
    stop: watch::Sender<bool>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) core: SharedCore,
}

impl Client {
    /// A connection to a fresh server.
    pub(crate) fn new() -> Client {
        Client::with(Limits::default())
    }

    pub(crate) fn with(limits: Limits) -> Client {
        let (shared, core) = core::start(limits);
        Client::to(shared, core)
    }

    /// Another connection to the same server.
    pub(crate) fn another(&self) -> Client {
        Client::to(Arc::clone(&self.shared), Arc::clone(&self.core))
    }

    /// The same from this address.
    pub(crate) fn another_from(&self, address: IpAddr) -> Client {
        let door = Door::new(Arc::clone(&self.shared)).from(address);
        Client::through(door, Arc::clone(&self.shared), Arc::clone(&self.core))
    }

    fn to(shared: Arc<Shared>, core: SharedCore) -> Client {
        Client::through(Door::new(Arc::clone(&shared)), shared, core)
    }

    fn through(door: Door, shared: Arc<Shared>, core: SharedCore) -> Client {
        let (stream, theirs) = tokio::io::duplex(64 * 1024);
        let (stop, stopped) = watch::channel(false);
        let serving = tokio::spawn(async move { door.serve(theirs, Stop::new(stopped)).await });
        let (reader, writer) = tokio::io::split(stream);
        Client { reader: Some(reader), writer, serving, stop, shared, core }
    }

    /// The reading side on its own, for a test that reads and writes at once.
    pub(crate) fn split(&mut self) -> Reader {
        Reader(self.reader.take().unwrap())
    }

    fn reader(&mut self) -> &mut ReadHalf<DuplexStream> {
        self.reader.as_mut().expect("the reading side was split off")
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.writer.write_all(bytes.as_ref()).await.unwrap();
    }

    /// Sends as much as the server takes; returns how much.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> usize {
        let mut sent = 0;
        while sent < bytes.len() {
            let write = self.writer.write(&bytes[sent..]);
            match tokio::time::timeout(std::time::Duration::from_millis(100), write).await {
                Ok(count) => sent += count.unwrap(),
                Err(_) => break,
            }
        }
        sent
    }

    /// Reads exactly this.
    pub(crate) async fn expect(&mut self, expected: impl AsRef<[u8]>) {
        let expected = expected.as_ref();
        let mut received = vec![0; expected.len()];
        let mut length = 0;
        while length < received.len() {
            match self.reader().read(&mut received[length..]).await.unwrap() {
                0 => break,
                bytes => length += bytes,
            }
            let (received, expected) = (&received[..length], &expected[..length]);
            assert!(
                received == expected,
                "{}\ninstead of\n{}",
                received.escape_ascii(),
                expected.escape_ascii()
            );
        }
        assert_eq!(length, expected.len(), "the server hung up instead of {}", expected.escape_ascii());
    }

    /// Reads everything until the server hangs up.
    pub(crate) async fn rest(&mut self) -> String {
        let mut rest = Vec::new();
        self.reader().read_to_end(&mut rest).await.unwrap();
        String::from_utf8(rest).unwrap()
    }

    /// Sends each command and expects its reply. Commands are words; a reply lacks its last line end.
    pub(crate) async fn check(&mut self, table: &[(&str, &str)]) {
        for (words, reply) in table {
            self.send(command(words)).await;
            let reply = format!("{}\r\n", reply.replace(' ', "\r\n").replace('_', " "));
            let context = format!("{words:?}");
            self.expect_in(reply.as_bytes(), &context).await;
        }
    }

    async fn expect_in(&mut self, expected: &[u8], context: &str) {
        let mut received = Vec::new();
        while received.len() < expected.len() {
            let mut bytes = vec![0; expected.len() - received.len()];
            let count = self.reader().read(&mut bytes).await.unwrap();
            assert!(count > 0, "{context}: the server hung up after {}", received.escape_ascii());
            received.extend_from_slice(&bytes[..count]);
            let both = (received.escape_ascii(), expected.escape_ascii());
            assert!(expected.starts_with(&received), "{context}: {} instead of {}", both.0, both.1);
        }
    }

    /// Reads one byte.
    pub(crate) async fn byte(&mut self) -> u8 {
        self.reader().read_u8().await.unwrap()
    }

    /// Lets the server do all it can do now.
    pub(crate) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Tells the server to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Says that no more will come.
    pub(crate) async fn finish(&mut self) {
        self.writer.shutdown().await.unwrap();
    }

    /// Whether the server has ended the connection.
    pub(crate) fn is_over(&self) -> bool {
        self.serving.is_finished()
    }
}

/// The reading side of a client.
pub(crate) struct Reader(ReadHalf<DuplexStream>);

impl Reader {
    /// The next `count` bytes, or fewer if the server hangs up.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut limited = (&mut self.0).take(count as u64);
        limited.read_to_end(&mut bytes).await.unwrap();
        bytes
    }
}

/// Words as a RESP command. A word may be quoted to hold spaces.
pub(crate) fn command(words: &str) -> Vec<u8> {
    let mut cut = jangada_server::resp::inline::Words::default();
    cut.cut(words.as_bytes()).unwrap();
    let words = cut.arguments();
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.from(0) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}
