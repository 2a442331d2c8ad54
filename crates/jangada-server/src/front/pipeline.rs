//! The commands of one connection that wait for their answers.
//!
//! # Order
//! Commands are grouped into *runs* of one kind, writes or reads, and each run crosses to the replica as one
//! batch. Runs of the same kind may be under way at once: the replica takes them in order. A command of the
//! other kind waits until every run before it is answered. So a read sees the writes before it on the same
//! connection and never one after it, and replies leave in the order of their commands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec;

use jangada_kv::Request;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Shared;
use crate::handle::{BatchItem, Kind, RequestError, STAMP_BYTES, abandoned};
use crate::post::Delivery;
use crate::resp::answer::{Answer, write_error};
use crate::resp::session::{Expected, Question, Requests, Session};
use crate::room::Taken;

/// How much longer than its deadline a batch may take before the connection stops waiting for the replica,
/// which should have given up by itself.
const GRACE: Duration = Duration::from_secs(2);

/// The runs of one connection, oldest first.
#[derive(Debug)]
pub(crate) struct Pipeline {
    shared: Arc<Shared>,
    /// The run that is being gathered. All runs, this one included, are of one kind.
    gathering: Option<Run>,
    under_way: VecDeque<Run>,
    /// Commands without a reply, in all runs.
    commands: usize,
    /// What they took of the input.
    bytes: usize,
    /// Where requests are encoded, to learn their size before memory is taken for them.
    scratch: Vec<u8>,
}

/// Requests that cross to the replica together.
#[derive(Debug)]
struct Run {
    kind: Kind,
    /// A request of it may visit all keys.
    is_large: bool,
    requests: Vec<BatchItem>,
    request_bytes: usize,
    expected: VecDeque<Expected>,
    commands: usize,
    bytes: usize,
    begun: Instant,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Not submitted yet.
    Gathering,
    /// The replica has it.
    Awaited(oneshot::Receiver<Delivery>),
    /// Answered; replies are being written. The room is given back when the last one is.
    Answered { answers: vec::IntoIter<Answer>, _room: Option<Taken> },
}

impl Pipeline {
    pub(crate) fn new(shared: Arc<Shared>) -> Pipeline {
        Pipeline {
            shared,
            gathering: None,
            under_way: VecDeque::new(),
            commands: 0,
            bytes: 0,
            scratch: Vec::new(),
        }
    }

    /// Whether every command has had its reply.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathering.is_none() && self.under_way.is_empty()
    }

    /// Whether no more commands should be taken for the time being.
    pub(crate) fn is_full(&self) -> bool {
        self.commands >= self.shared.limits.pipeline_commands
            || self.bytes >= self.shared.limits.pipeline_bytes
    }

    /// Whether a question may join without overtaking, or being overtaken by, one of another kind. And of those that may
    /// mean all keys there is only one at a time: each has an answer as large as the store, and takes as long.
    pub(crate) fn admits(&self, question: &Question) -> bool {
        let is_large = question.requests.may_visit_all();
        let mut runs = self.gathering.iter().chain(&self.under_way);
        runs.all(|run| run.kind == question.kind && !(is_large && run.is_large))
    }

    /// Whether the run being gathered is large enough to go.
    pub(crate) fn has_full_run(&self) -> bool {
        self.gathering.as_ref().is_some_and(|run| {
            run.requests.len() >= self.shared.limits.batch_requests
                || run.request_bytes >= self.shared.limits.batch_bytes
        })
    }

    /// Adds a command, which took `bytes` of the input.
    pub(crate) fn ask(&mut self, question: Question, bytes: usize) {
        assert!(self.admits(&question), "the caller waits for the runs of the other kind");
        let mut run = self.gathering.take().unwrap_or_else(|| Run::new(question.kind));
        run.is_large |= question.requests.may_visit_all();
        let expected = match self.add(&mut run, question) {
            Ok(expected) => expected,
            Err(error) => {
                self.shared.counters.failure(&error);
                let mut written = Vec::new();
                write_error(&mut written, &error);
                Expected::Written(written)
            }
        };
        self.count(&mut run, bytes);
        run.expected.push_back(expected);
        self.gathering = Some(run);
    }

    /// Adds the reply to a command that needed no store. It waits for its turn.
    pub(crate) fn written(&mut self, reply: Vec<u8>) {
        let mut run = match self.gathering.take() {
            Some(run) => run,
            None => self.under_way.pop_back().expect("with nothing under way a reply needs no turn"),
        };
        self.count(&mut run, reply.len());
        run.expected.push_back(Expected::Written(reply));
        match run.state {
            State::Gathering => self.gathering = Some(run),
            State::Awaited(_) | State::Answered { .. } => self.under_way.push_back(run),
        }
    }

    /// Submits what was gathered. Waits while the replica's queue is full.
    pub(crate) async fn submit(&mut self) {
        let Some(mut run) = self.gathering.take() else { return };
        let requests = std::mem::take(&mut run.requests);
        let count = requests.len();
        run.begun = Instant::now();
        run.state = if requests.is_empty() {
            State::Answered { answers: Vec::new().into_iter(), _room: None }
        } else {
            let time_limit = self.shared.limits.request_time;
            match self.shared.handle.begin(run.kind, requests, time_limit).await {
                Ok(answers) => State::Awaited(answers),
                Err(error) => arrived(&self.shared, run.kind, run.begun, vec![Err(error); count].into()),
            }
        };
        self.under_way.push_back(run);
    }

    /// Waits for the answers to the oldest run. Pending for ever if none is awaited.
    pub(crate) fn poll_answers(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(run) = self.under_way.front_mut() else { return Poll::Pending };
        match &mut run.state {
            State::Awaited(answers) => match Future::poll(std::pin::Pin::new(answers), context) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(answers) => {
                    let answers = answers.unwrap_or_else(|_| abandoned(run.kind, run.request_count()).into());
                    run.state = arrived(&self.shared, run.kind, run.begun, answers);
                    Poll::Ready(())
                }
            },
            State::Gathering | State::Answered { .. } => Poll::Pending,
        }
    }

    /// Writes the replies of all runs that are answered, oldest first, until `out` holds `enough` bytes.
    pub(crate) fn write_replies(&mut self, session: &mut Session, out: &mut Vec<u8>, enough: usize) {
        while let Some(run) = self.under_way.front_mut() {
            if let State::Awaited(answers) = &mut run.state
                && let Ok(answers) = answers.try_recv()
            {
                run.state = arrived(&self.shared, run.kind, run.begun, answers);
                continue;
            }
            let State::Answered { answers, .. } = &mut run.state else { return };
            while out.len() < enough
                && let Some(expected) = run.expected.pop_front()
            {
                session.write(expected, answers, out);
            }
            if !run.expected.is_empty() {
                return;
            }
            debug_assert!(answers.next().is_none(), "there is one answer for each request");
            self.commands -= run.commands;
            self.bytes -= run.bytes;
            self.under_way.pop_front();
        }
    }

    /// When the oldest run will have waited too long, if one is awaited.
    pub(crate) fn due(&self) -> Option<Instant> {
        let run = self.under_way.front()?;
        match run.state {
            State::Awaited(_) => Some(run.begun + self.shared.limits.request_time + GRACE),
            State::Gathering | State::Answered { .. } => None,
        }
    }

    /// Stops waiting for a replica that does not keep its deadlines.
    pub(crate) fn give_up_overdue(&mut self, now: Instant) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let Some(run) = self.under_way.front_mut() else { return };
        let error = match run.kind {
            Kind::Read | Kind::Local => RequestError::Deadline,
            Kind::Write => RequestError::OutcomeUnknown {
                why: "no answer within the deadline; the write may or may not take effect: read before \
                      repeating it"
                    .to_owned(),
            },
        };
        let answers = vec![Err(error); run.request_count()];
        run.state = arrived(&self.shared, run.kind, run.begun, answers.into());
    }

    fn add(&mut self, run: &mut Run, question: Question) -> Result<Expected, RequestError> {
        match question.requests {
            Requests::One(request) => {
                let item = self.item(question.kind, request, &mut run.request_bytes)?;
                run.requests.push(item);
            }
            Requests::Many(requests) => {
                let items: Result<Vec<_>, _> = requests
                    .into_iter()
                    .map(|request| self.item(question.kind, request, &mut run.request_bytes))
                    .collect();
                run.requests.extend(items?);
            }
        }
        Ok(question.expected)
    }

    /// One request as it crosses to the replica.
    fn item(&mut self, kind: Kind, request: Request, bytes: &mut usize) -> Result<BatchItem, RequestError> {
        match kind {
            Kind::Read | Kind::Local => Ok(BatchItem::Read(request)),
            Kind::Write => {
                self.scratch.clear();
                self.scratch.extend_from_slice(&[0; STAMP_BYTES]);
                request.encode(&mut self.scratch);
                let limit = self.shared.limits.request_bytes;
                if self.scratch.len() - STAMP_BYTES > limit {
                    return Err(RequestError::TooLarge { limit });
                }
                *bytes += self.scratch.len();
                // Exactly as long as needed: the log keeps these bytes without another copy.
                Ok(BatchItem::Write { encoded: self.scratch.as_slice().to_vec() })
            }
        }
    }

    fn count(&mut self, run: &mut Run, bytes: usize) {
        run.commands += 1;
        run.bytes += bytes;
        self.commands += 1;
        self.bytes += bytes;
    }
}

/// Counts what has come of a run and makes it ready to be written.
fn arrived(shared: &Shared, kind: Kind, begun: Instant, delivery: Delivery) -> State {
    let Delivery { answers, taken } = delivery;
    shared.counters.answered(kind, begun.elapsed());
    for error in answers.iter().filter_map(|answer| answer.as_ref().err()) {
        shared.counters.failure(error);
    }
    State::Answered { answers: answers.into_iter(), _room: taken }
}

impl Run {
    fn new(kind: Kind) -> Run {
        Run {
            kind,
            is_large: false,
            requests: Vec::new(),
            request_bytes: 0,
            expected: VecDeque::new(),
            commands: 0,
            bytes: 0,
            begun: Instant::now(),
            state: State::Gathering,
        }
    }

    /// How many answers the replies will take.
    fn request_count(&self) -> usize {
        self.expected
            .iter()
            .map(|expected| match expected {
                Expected::Written(_) => 0,
                Expected::Reply(..) | Expected::Exec(..) | Expected::Words(_) => 1,
                Expected::Watched(keys) => keys.len(),
            })
            .sum()
    }
}
