//! A conversation with a cluster: any server will do, the next one when it will not.
//!
//! What is repeated by itself is only what certainly had no effect: a read, or a write that was never sent or that a
//! server refused in words that say so. A write whose answer got lost is reported as unknown and never repeated.

use std::thread;
use std::time::{Duration, Instant};

use super::login::Login;
use super::wire::{Connection, Reply, WireError, reason};
use crate::failure::Failure;
use crate::output;

/// Back-off between two rounds over all servers: nobody says when a leader is there again.
const PAUSE: Duration = Duration::from_millis(50);
/// A server that does not answer this long may be stopped: a read goes to the next one, a write is not sent to it.
const PATIENCE: Duration = Duration::from_millis(1_500);
/// A greeting is answered by any living server at once.
const GREETING: Duration = Duration::from_millis(500);
/// A connection that was quiet for longer is greeted again before a write.
const STALE: Duration = Duration::from_millis(500);

/// Whether repeating a request can do harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It reads: repeat it as often as you like.
    Read,
    /// It writes: never repeat it unless it certainly was not carried out.
    Write,
}

/// What a server's error means for the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    /// Refused without effect for now: nobody leads, too much to do, too late, about to stop.
    ForNow,
    /// It may have happened.
    Unknown,
    /// No, and it will be no again.
    Final,
}

/// The servers of one cluster, and the connection in use.
#[derive(Debug)]
pub struct Session {
    servers: Vec<String>,
    next: usize,
    connection: Option<Connection>,
    timeout: Duration,
    name: Option<String>,
    login: Option<Login>,
    /// Why nobody is logged in on this connection, though somebody should be.
    not_logged_in: Option<String>,
    quiet: bool,
    said: Vec<String>,
}

impl Session {
    /// A session with any of `servers` (`HOST:PORT`), `timeout` for each operation.
    pub fn new(servers: Vec<String>, timeout: Duration) -> Session {
        assert!(!servers.is_empty(), "a session has a server to talk to");
        Session {
            servers,
            next: 0,
            connection: None,
            timeout,
            name: None,
            login: Login::of_environment(),
            not_logged_in: None,
            quiet: false,
            said: Vec::new(),
        }
    }

    /// Says nothing on stderr.
    #[must_use]
    pub fn quiet(mut self) -> Session {
        self.quiet = true;
        self
    }

    /// Tells each server this name (`CLIENT SETNAME`), for its own lists.
    #[must_use]
    pub fn named(mut self, name: Option<String>) -> Session {
        self.name = name;
        self
    }

    /// All servers that it knows.
    pub fn servers(&self) -> &[String] {
        &self.servers
    }

    /// Where the next request goes.
    pub fn address(&self) -> &str {
        self.connection.as_ref().map_or(&self.servers[self.next % self.servers.len()], Connection::address)
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// 3 when nobody could do it, or a write's outcome is unknown; 4 when a server refused it; 124 when the deadline
    /// passed while a server was thinking.
    pub fn call(&mut self, arguments: &[&[u8]], effect: Effect) -> Result<Reply, Failure> {
        self.said.clear();
        let deadline = Instant::now() + self.timeout;
        let mut attempts = 0;
        let mut refused: Option<String> = None;
        let mut thought = Duration::ZERO;
        loop {
            if let Some(refused) = &refused
                && effect == Effect::Write
                && would_be_cut_short(thought, deadline.saturating_duration_since(Instant::now()))
            {
                return Err(self.gave_up(refused));
            }
            let connection = self.connected(effect, deadline)?;
            attempts += 1;
            let sent = Instant::now();
            let until = match effect {
                Effect::Read => deadline.min(Instant::now() + PATIENCE),
                Effect::Write => deadline,
            };
            let address = connection.address().to_owned();
            let answer = connection.call(arguments, until);
            let why = match answer {
                Ok(Reply::Error(text)) => match refusal(&text) {
                    Refusal::ForNow => {
                        thought = sent.elapsed();
                        refused = Some(format!("{address}: {}", sentence(&text)));
                        self.not_now(sentence(&text))
                    }
                    Refusal::Unknown => return Err(unknown(&format!("{address}: {}", sentence(&text)))),
                    Refusal::Final => return Err(self.refused(&address, &text)),
                },
                Ok(reply) => {
                    if attempts > 1 {
                        self.say_at_last(&address);
                    }
                    return Ok(reply);
                }
                Err(WireError::Lost(error)) if effect == Effect::Write => {
                    self.leave();
                    return Err(unknown(&format!(
                        "{address}: {}; the write may still happen, read the key before you repeat it",
                        reason(&error)
                    )));
                }
                Err(WireError::Protocol(what)) => {
                    self.leave();
                    let what = WireError::Protocol(what);
                    return Err(Failure::unreachable(format!("{address}: {what}; is that its client port?")));
                }
                Err(error @ (WireError::NotSent(_) | WireError::Lost(_))) => {
                    self.leave();
                    error.to_string()
                }
            };
            self.say(&address, &format!("{why}; trying again"));
            if Instant::now() + PAUSE >= deadline {
                // What a server said tells more than that the last attempt was cut short.
                return Err(self.gave_up(&refused.unwrap_or_else(|| format!("{address}: {why}"))));
            }
            thread::sleep(PAUSE);
        }
    }

    /// A server that answered a greeting; for a write, just now.
    fn connected(&mut self, effect: Effect, deadline: Instant) -> Result<&mut Connection, Failure> {
        let fresh = match self.connection.take() {
            Some(connection) if effect == Effect::Read || connection.idle() < STALE => Some(connection),
            Some(mut connection) => greet(&mut connection, None, deadline).ok().map(|()| connection),
            None => None,
        };
        let connection = match fresh {
            Some(connection) => connection,
            None => self.connect(deadline)?,
        };
        Ok(self.connection.insert(connection))
    }

    fn connect(&mut self, deadline: Instant) -> Result<Connection, Failure> {
        loop {
            let mut reasons = Vec::new();
            for _ in 0..self.servers.len() {
                let address = self.servers[self.next % self.servers.len()].clone();
                let until = deadline.min(Instant::now() + PATIENCE);
                let attempt =
                    Connection::open(&address, until).map_err(WireError::NotSent).and_then(|mut open| {
                        let not_logged_in = log_in(&mut open, self.login.as_ref(), until)?;
                        greet(&mut open, self.name.as_deref(), deadline)?;
                        Ok((open, not_logged_in))
                    });
                match attempt {
                    Ok((open, not_logged_in)) => {
                        self.not_logged_in = not_logged_in;
                        return Ok(open);
                    }
                    Err(error @ WireError::Protocol(_)) => {
                        return Err(Failure::unreachable(format!(
                            "{address}: {error}; is that its client port?"
                        )));
                    }
                    Err(error @ (WireError::NotSent(_) | WireError::Lost(_))) => {
                        let next = self.after();
                        self.say(&address, &format!("{error}; trying {next}"));
                        reasons.push(format!("{address}: {error}"));
                        self.next += 1;
                    }
                }
            }
            if Instant::now() + PAUSE >= deadline {
                return Err(self.gave_up(&reasons.join(", ")));
            }
            thread::sleep(PAUSE);
        }
    }

    /// No, and it will be no again. Who could not log in hears why.
    fn refused(&self, address: &str, text: &str) -> Failure {
        match (&self.not_logged_in, &self.login) {
            (Some(why), _) if text.starts_with("NOAUTH") => {
                Failure::refused(format!("{address} refused the login of JANGADA_USER: {why}"))
            }
            (None, None) if text.starts_with("NOAUTH") => Failure::refused(format!(
                "{address} refused: {text} Set JANGADA_USER to NAME:PASSWORD, or say AUTH NAME PASSWORD at the prompt."
            )),
            _ => Failure::refused(format!("{address} refused: {text}")),
        }
    }

    /// The server refused for now: the next attempt goes to the next one.
    fn not_now(&mut self, text: &str) -> String {
        if self.servers.len() > 1 {
            self.leave();
        }
        text.to_owned()
    }

    fn leave(&mut self) {
        self.connection = None;
        self.next += 1;
    }

    fn after(&self) -> String {
        match self.servers.len() {
            1 => "again".to_owned(),
            count => self.servers[(self.next + 1) % count].clone(),
        }
    }

    fn gave_up(&self, why: &str) -> Failure {
        let waited = self.timeout.as_secs_f64();
        Failure::unreachable(format!(
            "nothing was done in {waited} s: {why}; look with `jangada client status`, or wait longer with --timeout"
        ))
    }

    /// Tells of each server's trouble once per operation: its words may change with every attempt ("3 s ago").
    fn say(&mut self, address: &str, text: &str) {
        if self.quiet {
            return;
        }
        if !self.said.iter().any(|said| said == address) {
            output::note(&format!("{address}: {text}"));
            self.said.push(address.to_owned());
        }
    }

    /// After trouble: it went well in the end.
    fn say_at_last(&self, address: &str) {
        if !self.quiet {
            output::note(&format!("{address} answered"));
        }
    }
}

/// Whether a write that was refused after so long is likely to find the deadline passed before it is refused again.
/// It is not sent then: its outcome would be unknown for no reason.
fn would_be_cut_short(thought: Duration, left: Duration) -> bool {
    left < thought + thought / 4
}

/// Says who asks, if that is known. Why it was refused is told only if it matters: where nobody has to log in, it does not.
fn log_in(
    connection: &mut Connection,
    login: Option<&Login>,
    deadline: Instant,
) -> Result<Option<String>, WireError> {
    let Some(Login { name, password }) = login else { return Ok(None) };
    match connection.call(&[b"AUTH", name.as_bytes(), password.as_bytes()], deadline)? {
        // Another server may be able to say, or this one later.
        Reply::Error(text) if refusal(&text) == Refusal::ForNow => {
            Err(WireError::NotSent(std::io::Error::other(sentence(&text).to_owned())))
        }
        Reply::Error(text) => Ok(Some(text)),
        _ => Ok(None),
    }
}

/// A server that answers this is alive now. A write is not sent to one that does not: it could carry it out much
/// later, when it wakes.
fn greet(connection: &mut Connection, name: Option<&str>, deadline: Instant) -> Result<(), WireError> {
    let until = deadline.min(Instant::now() + GREETING);
    match name {
        Some(name) => connection.call(&[b"CLIENT", b"SETNAME", name.as_bytes()], until).map(drop),
        None => connection.call(&[b"PING"], until).map(drop),
    }
}

/// The first word of an error is its code.
fn refusal(text: &str) -> Refusal {
    match text.split(' ').next().unwrap_or_default() {
        "CLUSTERDOWN" | "TRYAGAIN" | "TIMEOUT" | "STOPPING" => Refusal::ForNow,
        "UNKNOWNOUTCOME" => Refusal::Unknown,
        _ => Refusal::Final,
    }
}

/// The words after the code.
fn sentence(text: &str) -> &str {
    text.split_once(' ').map_or(text, |(_, sentence)| sentence)
}

fn unknown(what: &str) -> Failure {
    Failure::unreachable(format!("outcome unknown: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead, BufReader, Read, Write};
    use std::net::TcpListener;

    /// A server that reads whole commands (of `lines` lines each) and gives the answers one after the other; an empty
    /// answer closes the connection.
    fn server(answers: &'static [&'static str]) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        thread::spawn(move || {
            let mut answers = answers.iter();
            while let Ok((stream, _)) = listener.accept() {
                let mut input = BufReader::new(stream);
                loop {
                    let mut line = String::new();
                    if input.read_line(&mut line).unwrap_or(0) == 0 {
                        break;
                    }
                    let arguments: usize = line[1..].trim().parse().unwrap();
                    for _ in 0..2 * arguments {
                        input.read_line(&mut line).unwrap();
                    }
                    let answer =
                        if line.contains("PING") { "+PONG\r\n" } else { answers.next().unwrap_or(&"") };
                    if answer.is_empty() {
                        break;
                    }
                    input.get_mut().write_all(answer.as_bytes()).unwrap();
                }
            }
        });
        address
    }

    fn nobody() -> String {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
    }

    fn session(servers: Vec<String>) -> Session {
        Session::new(servers, Duration::from_secs(5)).quiet()
    }

    #[test]
    fn a_refusal_without_effect_is_repeated_elsewhere() {
        let first = server(&["-CLUSTERDOWN no leader\r\n", "-CLUSTERDOWN no leader\r\n"]);
        let second = server(&["+OK\r\n"]);
        let mut session = session(vec![nobody(), first, second]);
        let reply = session.call(&[b"SET", b"a", b"1"], Effect::Write).unwrap();
        assert_eq!(reply, Reply::Status("OK".into()));
    }

    #[test]
    fn a_lost_write_is_never_repeated_and_a_lost_read_is() {
        let first = server(&["", ""]);
        let second = server(&["$1\r\n7\r\n"]);
        let mut session = session(vec![first, second]);
        let failure = session.call(&[b"SET", b"a", b"1"], Effect::Write).unwrap_err();
        assert_eq!(failure.exit, 3);
        assert!(failure.message.starts_with("outcome unknown"), "{failure}");
        let reply = session.call(&[b"GET", b"a"], Effect::Read).unwrap();
        assert_eq!(reply, Reply::Bulk(Some(b"7".to_vec())));
    }

    #[test]
    fn a_client_with_a_name_says_it_before_all_else() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut session =
            session(vec![listener.local_addr().unwrap().to_string()]).named(Some("ana".to_owned()));
        let heard = thread::spawn(move || {
            let mut input = BufReader::new(listener.accept().unwrap().0);
            let expected = b"*3\r\n$6\r\nCLIENT\r\n$7\r\nSETNAME\r\n$3\r\nana\r\n";
            let mut heard = vec![0; expected.len()];
            input.read_exact(&mut heard).unwrap();
            input.get_mut().write_all(b"+OK\r\n+OK\r\n").unwrap();
            (heard, expected.to_vec())
        });
        session.call(&[b"SET", b"a", b"1"], Effect::Write).unwrap();
        let (heard, expected) = heard.join().unwrap();
        assert_eq!(heard, expected);
    }

    #[test]
    fn a_refused_write_is_not_sent_into_its_own_deadline() {
        let ms = Duration::from_millis;
        assert!(would_be_cut_short(ms(500), ms(600)));
        assert!(!would_be_cut_short(ms(500), ms(700)));
        assert!(!would_be_cut_short(ms(1), ms(60)));
    }

    #[test]
    fn a_final_refusal_is_told_at_once() {
        let mut session = session(vec![server(&["-ERR wrong number of arguments\r\n"])]);
        let failure = session.call(&[b"SET", b"a"], Effect::Write).unwrap_err();
        assert_eq!(failure.exit, 4);
        assert!(failure.message.contains("wrong number"), "{failure}");
    }

    #[test]
    fn nobody_there_is_exit_code_3_after_the_deadline() {
        let mut session = Session::new(vec![nobody()], Duration::from_millis(120)).quiet();
        let failure = session.call(&[b"GET", b"a"], Effect::Read).unwrap_err();
        assert_eq!(failure.exit, 3);
        assert!(failure.message.contains("connection refused"), "{failure}");
    }
}
