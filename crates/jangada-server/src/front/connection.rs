//! The loop of one connection that speaks RESP or plain words: bytes in, replies out, always in order.
//!
//! Each turn takes every complete command that has arrived, submits what the store must answer, turns the
//! answers that are there into replies, and writes all replies at once. Nothing grows without bound: with too
//! many commands without a reply, or too many replies that the client does not read, the socket is left alone.

use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, Sleep, sleep_until};

use super::pipeline::Pipeline;
use super::{Shared, Stop};
use crate::etcd::Seam;
use crate::limits::Limits;
use crate::resp::inline::Words;
use crate::resp::login::LoggedIn;
use crate::resp::parser::{Parser, ProtocolError, Step};
use crate::resp::reply::{Reply, Version};
use crate::resp::session::{Action, Question, Session};
use crate::room::{self, SMALL_ANSWER, Taken};

/// The least and the most room that is made for one read. Busy connections earn more.
pub(crate) const READ_BYTES: (usize, usize) = (4 * 1024, 256 * 1024);

/// A buffer that had to grow beyond this is given back when it is empty.
const KEPT_BYTES: usize = 256 * 1024;

/// How long an ended connection may go on sending before it is cut off. Closing at once would make the
/// client's system throw away the last reply.
const LINGER: Duration = Duration::from_secs(1);

/// One connection.
struct Connection<S> {
    stream: S,
    shared: Arc<Shared>,
    input: BytesMut,
    parser: Parser,
    words: Words,
    /// Lines may be plain words: the connection did not begin as a program's.
    plain: bool,
    /// Where the client is, if that is known.
    address: Option<IpAddr>,
    session: Session,
    pipeline: Pipeline,
    /// A command that waits for others under way, and what it took of the input.
    held: Option<(Question, usize)>,
    /// Somebody is logging in: what is sent behind that waits.
    login: Option<Pin<Box<dyn Future<Output = LoggedIn> + Send>>>,
    /// The next command waits for all answers.
    later: bool,
    /// Commands may wait in `input` because there was no room for more.
    was_full: bool,
    output: Vec<u8>,
    /// How much of `output` the client has taken.
    sent: usize,
    /// The room of what is in `output`, if that is much.
    taken: Taken,
    read_bytes: usize,
    /// No more commands are taken; what is under way is finished.
    closing: bool,
    /// The server stops, and waits for no client.
    stopping: bool,
    /// The client will send no more.
    ended: bool,
    /// When bytes last went either way.
    last_active: Instant,
    /// Since when the client has taken nothing of what waits for it.
    stalled_since: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

/// What a connection woke up for.
enum Event {
    Answers,
    LoggedIn(LoggedIn),
    Sent(usize),
    Received(usize),
    Stop,
    Timer,
}

/// Serves a connection until it ends. `input` is what was read to find out the protocol; `plain` says whether
/// lines may be plain words.
pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    input: BytesMut,
    plain: bool,
    address: Option<IpAddr>,
    shared: Arc<Shared>,
    mut stop: Stop,
) -> io::Result<()> {
    let now = Instant::now();
    let mut connection = Connection {
        stream,
        input,
        parser: Parser::new(&shared.limits),
        words: Words::default(),
        plain,
        address,
        session: Session::new(Arc::clone(&shared)),
        pipeline: Pipeline::new(Arc::clone(&shared)),
        held: None,
        login: None,
        later: false,
        was_full: false,
        output: Vec::new(),
        sent: 0,
        taken: Taken::none(shared.handle.room()),
        read_bytes: READ_BYTES.0,
        closing: false,
        stopping: false,
        ended: false,
        last_active: now,
        stalled_since: None,
        timer: Box::pin(sleep_until(now + shared.limits.request_time)),
        shared,
    };
    loop {
        connection.write_replies();
        connection.take_commands().await;
        // Some may have been answered at once, and so have unlocked the next.
        connection.write_replies();
        if connection.can_go_on() {
            continue;
        }
        if connection.is_done() {
            return connection.end().await;
        }
        let event = poll_fn(|context| connection.poll_event(context, &mut stop)).await?;
        if connection.on_event(event).is_break() {
            return Ok(());
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Takes every command that is complete and may go, and submits what the store must answer.
    async fn take_commands(&mut self) {
        loop {
            if let Some((question, bytes)) = self.held.take_if(|(held, _)| self.pipeline.admits(held)) {
                self.pipeline.ask(question, bytes);
            }
            if self.closing || self.is_full() || !self.can_take_next() {
                break;
            }
            self.later = false;
            match self.parser.step(&self.input) {
                Ok(Some(step)) => self.take_command(step),
                Ok(None) => break,
                Err(error) => self.on_protocol_error(error),
            }
            if self.pipeline.has_full_run() {
                self.pipeline.submit().await;
            }
        }
        self.was_full = self.is_full();
        self.pipeline.submit().await;
        // What cannot be under way any more makes room for what waits.
        if self.input.is_empty() && self.input.capacity() > KEPT_BYTES {
            self.input = BytesMut::new();
        }
    }

    /// Takes one command that is complete.
    fn take_command(&mut self, step: Step) {
        // A reply that need not wait for others goes straight to the output.
        let direct = self.pipeline.is_empty();
        let mut waiting = Vec::new();
        let out = if direct { &mut self.output } else { &mut waiting };
        let (action, consumed) = match step {
            Step::Nothing { consumed } => (Action::Answered, consumed),
            Step::Array { consumed } => {
                (self.session.command(self.parser.arguments(&self.input), out), consumed)
            }
            Step::Line { length, consumed } => {
                let line = &self.input[..length];
                let words = if self.plain && !self.session.is_queueing() {
                    self.session.words(line, out)
                } else {
                    None
                };
                match words {
                    Some(action) => (action, consumed),
                    None => match self.words.cut(line) {
                        Ok(()) => (self.session.command(self.words.arguments(), out), consumed),
                        Err(error) => return self.on_protocol_error(error),
                    },
                }
            }
        };
        if !waiting.is_empty() {
            self.pipeline.written(waiting);
        }
        match action {
            Action::Answered => {}
            Action::Close => self.closing = true,
            Action::Abort => {
                self.shared.counters.protocol_errors.fetch_add(1, Relaxed);
                self.closing = true;
            }
            Action::Ask(question) if self.pipeline.admits(&question) => {
                self.pipeline.ask(question, consumed);
            }
            Action::Ask(question) => self.held = Some((question, consumed)),
            Action::LogIn(_) if !direct => {
                self.later = true;
                return;
            }
            Action::LogIn(login) => {
                let seam = Seam::new(Arc::clone(&self.shared));
                self.login = Some(Box::pin(login.settle(seam, self.address)));
            }
            Action::Later => {
                self.later = true;
                return;
            }
        }
        self.input.advance(consumed);
    }

    /// What follows cannot be understood: say why, finish what is under way, and end.
    fn on_protocol_error(&mut self, error: ProtocolError) {
        self.shared.counters.protocol_errors.fetch_add(1, Relaxed);
        let mut reply = Vec::new();
        Reply::new(&mut reply, Version::Two).error(format!("ERR {error}"));
        if self.pipeline.is_empty() {
            self.output.append(&mut reply);
        } else {
            self.pipeline.written(reply);
        }
        self.closing = true;
    }

    /// Turns the answers that are there into replies, as many as the output may hold.
    fn write_replies(&mut self) {
        let is_full = self.shared.handle.room().is_full();
        let enough = if is_full { SMALL_ANSWER } else { self.limits().output_bytes };
        self.pipeline.write_replies(&mut self.session, &mut self.output, enough);
        self.taken.set(if self.output.len() > SMALL_ANSWER { self.output.len() } else { 0 });
    }

    /// Whether the next command need not wait for the answers to those before it.
    fn can_take_next(&self) -> bool {
        self.held.is_none() && self.login.is_none() && (!self.later || self.pipeline.is_empty())
    }

    /// Whether enough is under way, or waits for the client, to take no more.
    fn is_full(&self) -> bool {
        self.pipeline.is_full() || self.output.len() >= self.limits().output_bytes
    }

    /// Whether commands that had to wait can be taken now, without anything from outside.
    fn can_go_on(&self) -> bool {
        match &self.held {
            Some((held, _)) => self.pipeline.admits(held),
            None => {
                !self.closing
                    && self.login.is_none()
                    && self.pipeline.is_empty()
                    && (self.later || self.was_full)
                    && !self.is_full()
            }
        }
    }

    /// Whether nothing is left to do.
    fn is_done(&self) -> bool {
        let idle =
            self.pipeline.is_empty() && self.held.is_none() && self.login.is_none() && self.output.is_empty();
        // Without more input, and with nothing under way, what is left of a command stays incomplete.
        idle && (self.closing || self.ended)
    }

    /// The next thing that happens.
    fn poll_event(&mut self, context: &mut Context<'_>, stop: &mut Stop) -> Poll<io::Result<Event>> {
        if self.pipeline.poll_answers(context).is_ready() {
            return Poll::Ready(Ok(Event::Answers));
        }
        if let Some(login) = &mut self.login
            && let Poll::Ready(logged_in) = login.as_mut().poll(context)
        {
            return Poll::Ready(Ok(Event::LoggedIn(logged_in)));
        }
        if !self.output.is_empty() {
            let stream = Pin::new(&mut self.stream);
            if let Poll::Ready(sent) = stream.poll_write(context, &self.output[self.sent..]) {
                return Poll::Ready(sent.map(Event::Sent));
            }
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        if self.wants_input() {
            let missing = self.parser.wanted().saturating_sub(self.input.len());
            self.input.reserve(missing.clamp(self.read_bytes, READ_BYTES.1));
            let read = pin!(self.stream.read_buf(&mut self.input));
            if let Poll::Ready(received) = Future::poll(read, context) {
                return Poll::Ready(received.map(Event::Received));
            }
        }
        if !self.closing && stop.poll(context).is_ready() {
            return Poll::Ready(Ok(Event::Stop));
        }
        let Some(due) = self.due() else { return Poll::Pending };
        // The timer only moves when it fires or would fire too late, so that a busy connection, whose limits
        // move with every command, need not touch it.
        if due < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(due);
        }
        self.timer.as_mut().poll(context).map(|()| Ok(Event::Timer))
    }

    fn on_event(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Answers => {}
            Event::LoggedIn(logged_in) => {
                self.login = None;
                logged_in.tell(&mut self.session, &mut self.output);
                // What came behind it can be taken now.
                self.was_full = true;
            }
            Event::Sent(0) => return ControlFlow::Break(()),
            Event::Sent(bytes) => {
                self.last_active = Instant::now();
                self.stalled_since = None;
                self.sent += bytes;
                if self.sent == self.output.len() {
                    self.sent = 0;
                    self.output.clear();
                    self.output.shrink_to(KEPT_BYTES);
                    self.taken.set(0);
                }
            }
            Event::Received(0) => self.ended = true,
            Event::Received(bytes) => {
                self.last_active = Instant::now();
                let next = if bytes >= self.read_bytes { self.read_bytes * 2 } else { self.read_bytes / 2 };
                self.read_bytes = next.clamp(READ_BYTES.0, READ_BYTES.1);
            }
            Event::Stop => {
                self.closing = true;
                self.stopping = true;
            }
            Event::Timer => return self.on_timer(),
        }
        ControlFlow::Continue(())
    }

    /// Whether more input could be of use.
    fn wants_input(&self) -> bool {
        let waits = self.later || self.held.is_some() || self.login.is_some();
        !self.closing && !self.ended && !waits && !self.is_full()
    }

    /// When the connection must be looked at, if nothing happens before: the earliest of its time limits.
    fn due(&self) -> Option<Instant> {
        [self.stalled_at(), self.idle_at(), self.pipeline.due()].into_iter().flatten().min()
    }

    /// When the client will have refused its replies for too long.
    fn stalled_at(&self) -> Option<Instant> {
        self.stalled_since.map(|since| since + self.limits().stall_time)
    }

    /// When the client will have been silent for too long.
    fn idle_at(&self) -> Option<Instant> {
        let idle_time = self.limits().idle_time;
        let quiet = self.pipeline.is_empty() && self.output.is_empty() && !idle_time.is_zero();
        quiet.then(|| self.last_active + idle_time)
    }

    fn on_timer(&mut self) -> ControlFlow<()> {
        let now = Instant::now();
        self.pipeline.give_up_overdue(now);
        if self.stalled_at().into_iter().chain(self.idle_at()).any(|limit| limit <= now) {
            self.shared.counters.timed_out.fetch_add(1, Relaxed);
            let waiting = self.output.len() - self.sent;
            if waiting > SMALL_ANSWER {
                room::tell_stalled(
                    self.shared.handle.status().name.clone(),
                    waiting,
                    self.limits().stall_time,
                );
            }
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    }

    /// Says goodbye, and listens a little longer if the client may still be talking.
    async fn end(mut self) -> io::Result<()> {
        self.stream.shutdown().await?;
        if !self.ended && !self.stopping {
            let mut rest = [0; 4096];
            let listen = async { while self.stream.read(&mut rest).await.is_ok_and(|bytes| bytes > 0) {} };
            let _ = tokio::time::timeout(LINGER, listen).await;
        }
        Ok(())
    }

    fn limits(&self) -> &Limits {
        &self.shared.limits
    }
}
