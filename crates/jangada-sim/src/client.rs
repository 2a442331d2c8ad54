//! Clients: they ask any server, wait as long as they are patient, and ask again.
//!
//! Most have one operation at a time. Some ask for several at once, some ask two servers for the same, and some are gone
//! before they are answered. Whatever is asked is an operation of its own in the history: repeated writes are two writes.

use core::time::Duration;

use jangada_node::effect::{AdminDone, Failure, Input, Token};
use jangada_node::state_machine::StateMachine;
use jangada_raft::types::{NodeId, Time};

use crate::coverage::Counter;
use crate::network::id_of;
use crate::queue::{Happening, Place};
use crate::rng::{Dice, Rng, stream};
use crate::workload::{Call, Operation, OperationId, Outcome, Workload};
use crate::world::World;

/// Tokens of administrators are above these.
const ADMINISTRATOR: u64 = 1 << 63;
/// A token is an operation's number and, below it, its client.
const CLIENT_BITS: u32 = 16;

/// One turn in so many thousand comes with a second operation, and a third.
const BATCHED: u32 = 40;
/// One operation in so many thousand is asked of two servers at once.
const HEDGED: u32 = 30;
/// In one turn of so many thousand a client is gone before it is answered.
const CRASHES: u32 = 15;
/// An operation without a good answer is repeated in so many cases of a thousand.
const REPEATED: u32 = 400;
/// And no more often than that.
const MAX_REPEATS: u32 = 3;

/// A client.
pub(crate) struct Client {
    rng: Rng,
    /// Where it asked last, and asks again while that works.
    server: Place,
    /// What it has asked for and was not told.
    attempts: Vec<Attempt>,
    /// When it looks next at what it waits for.
    alarm_at: Time,
    /// What it asks for again.
    repeats: Option<OperationId>,
    /// How often it may do so in this turn.
    repeats_left: u32,
    /// Driven by hand: it never begins by itself.
    by_hand: bool,
}

/// What is asked of one server together, and answered together.
struct Attempt {
    calls: Vec<Call>,
    write: bool,
    /// When the client loses patience with it.
    patient_until: Time,
    /// The client is gone by then, and does not ask again.
    crashes: bool,
    /// The client waits for it. Otherwise another server was faster, and what this one says only goes into the history.
    in_front: bool,
}

impl Client {
    pub(crate) fn new(seed: u64, number: usize, places: usize) -> Client {
        let mut rng = stream(seed, &format!("client {number}"));
        let server = usize::try_from(rng.below(places as u64)).unwrap_or(0);
        Client {
            rng,
            server,
            attempts: Vec::new(),
            alarm_at: Time::NEVER,
            repeats: None,
            repeats_left: 0,
            by_hand: false,
        }
    }

    fn waits(&self) -> bool {
        self.attempts.iter().any(|attempt| attempt.in_front)
    }
}

/// The answer to something that was submitted by hand.
pub(crate) type Answer<W> = Outcome<<<W as Workload>::Machine as StateMachine>::Response>;

/// An operation and its invocation.
type Asked<W> = (Call, Operation<<<W as Workload>::Machine as StateMachine>::Query>);

impl<W: Workload> World<W> {
    /// All clients begin, each after some thought.
    pub(crate) fn begin_clients(&mut self) {
        for client in 0..self.plan.clients.clients {
            self.clients.push(Client::new(self.plan.seed, client, self.servers.len()));
            self.think(client);
        }
    }

    fn think(&mut self, client: usize) {
        if self.clients[client].by_hand {
            return;
        }
        // Who asks again does so at once.
        let again = self.clients[client].repeats.is_some();
        let at_most = if again { self.plan.network.delay_max } else { self.plan.clients.think };
        let thinks = self.clients[client].rng.duration(Duration::ZERO, at_most);
        self.queue.push(self.now + thinks, Happening::Client { client });
    }

    /// A client has thought enough.
    pub(crate) fn client_turn(&mut self, client: usize) {
        if self.clients[client].waits() || self.asks_no_more() {
            return;
        }
        if let Some(of) = self.clients[client].repeats.take()
            && self.ask_again(client, of)
        {
            return self.coverage.count(Counter::Repeats);
        }
        self.begin_turn(client);
    }

    /// Those who have stopped begin again.
    pub(crate) fn wake_clients(&mut self) {
        for client in 0..self.clients.len() {
            if !self.clients[client].waits() {
                self.think(client);
            }
        }
    }

    /// No client waits for anything.
    pub(crate) fn clients_rest(world: &World<W>) -> bool {
        world.clients.iter().all(|client| client.attempts.is_empty())
    }

    fn asks_no_more(&self) -> bool {
        (self.healed && !self.epilogue) || self.operations >= self.plan.clients.operations
    }

    /// A client has waited enough for something, or its alarm was for what has ended.
    pub(crate) fn patience_over(&mut self, client: usize) {
        let now = self.now;
        if self.clients[client].alarm_at <= now {
            self.clients[client].alarm_at = Time::NEVER;
        }
        let is_over = |attempt: &Attempt| attempt.patient_until <= now;
        while let Some(at) = self.clients[client].attempts.iter().position(is_over) {
            let attempt = self.clients[client].attempts.remove(at);
            if attempt.crashes {
                self.coverage.count(Counter::ClientCrashes);
            }
            self.end_attempt(client, attempt, Vec::new());
        }
        if let Some(until) = self.clients[client].attempts.iter().map(|attempt| attempt.patient_until).min() {
            self.set_patience(client, until);
        }
    }

    fn set_patience(&mut self, client: usize, until: Time) {
        if until < self.clients[client].alarm_at {
            self.clients[client].alarm_at = until;
            self.queue.push(until, Happening::Patience { client });
        }
    }

    fn ask_another(&mut self, client: usize) {
        let places = self.servers.len() as u64;
        let client = &mut self.clients[client];
        client.server = usize::try_from(client.rng.below(places)).unwrap_or(0);
    }

    /// A turn: one operation, seldom several at once, or one that is asked of two servers.
    fn begin_turn(&mut self, client: usize) {
        let server = self.clients[client].server;
        if self.servers[server].process.is_none() || self.clients[client].rng.chance(50) {
            self.ask_another(client);
            if self.servers[server].process.is_none() {
                return self.think(client);
            }
        }
        let rng = &mut self.clients[client].rng;
        let more = if rng.chance(BATCHED) { 4 } else { 1 };
        let operations = 1 + rng.below(more);
        let hedges = operations == 1 && rng.chance(HEDGED);
        self.clients[client].repeats_left = MAX_REPEATS;
        let mut asked = Vec::new();
        for _ in 0..operations {
            let call = self.next_call(client, server);
            asked.push((call, self.workload.next(call, &mut self.clients[client].rng)));
        }
        let first = asked[0].0.id;
        self.coverage.add(Counter::Batches, u64::from(asked.len() > 1));
        let (writes, reads): (Vec<_>, Vec<_>) =
            asked.into_iter().partition(|(_, operation)| matches!(operation, Operation::Write(_)));
        self.ask(client, writes);
        self.ask(client, reads);
        if hedges {
            self.ask_another(client);
            let again = self.ask_again(client, first);
            self.coverage.add(Counter::Hedges, u64::from(again));
        }
    }

    /// The same once more, of the server that the client has chosen by now. `false` if that is not to be.
    fn ask_again(&mut self, client: usize, of: OperationId) -> bool {
        let server = self.clients[client].server;
        if self.servers[server].process.is_none() || self.asks_no_more() {
            return false;
        }
        let call = Call { id: OperationId(self.operations + 1), ..self.call(client, server) };
        let Some(operation) = self.workload.again(call, of) else { return false };
        self.operations += 1;
        self.ask(client, vec![(call, operation)]);
        true
    }

    fn call(&self, client: usize, server: Place) -> Call {
        let id = OperationId(self.operations);
        Call { id, client, server: id_of(server), at: self.now, calm_since: self.calm_since() }
    }

    fn next_call(&mut self, client: usize, server: Place) -> Call {
        self.operations += 1;
        self.call(client, server)
    }

    /// Asks for these operations, all of them writes or all of them reads, which have been invoked.
    fn ask(&mut self, client: usize, asked: Vec<Asked<W>>) {
        let Some((first, operation)) = asked.first() else { return };
        let (first, write) = (*first, matches!(operation, Operation::Write(_)));
        if self.story.is_some() {
            for (call, _) in &asked {
                let words = self.workload.words(*call);
                self.narrate(|story, now| story.client(now, *call, &format!("asks: {words}")));
            }
        }
        let by_hand = self.clients[client].by_hand;
        let crashes = !by_hand && self.clients[client].rng.chance(CRASHES);
        // Before an answer can have come, most of the time.
        let patience = if crashes { self.plan.network.delay_max } else { self.plan.clients.patience };
        let patient_until = if by_hand { Time::NEVER } else { self.now + patience };
        if !by_hand {
            self.set_patience(client, patient_until);
        }
        let calls = asked.iter().map(|(call, _)| *call).collect();
        let attempt = Attempt { calls, write, patient_until, crashes, in_front: true };
        self.clients[client].attempts.push(attempt);
        let token = Token(first.id.0 << CLIENT_BITS | client as u64);
        let (mut commands, mut queries) = (Vec::new(), Vec::new());
        for (_, operation) in asked {
            match operation {
                Operation::Write(command) => commands.push(command),
                Operation::Read(query) => queries.push(query),
            }
        }
        let place = crate::network::place_of(first.server);
        match write {
            true => self.give(place, Input::Writes { token, commands }),
            false => self.give(place, Input::Reads { token, queries }),
        }
    }

    /// A server answers.
    pub(crate) fn answer(
        &mut self,
        token: Token,
        answers: Vec<Result<<W::Machine as StateMachine>::Response, Failure>>,
    ) {
        let client = usize::try_from(token.0 & ((1 << CLIENT_BITS) - 1)).unwrap_or(usize::MAX);
        let Some(attempts) = self.clients.get(client).map(|client| &client.attempts) else { return };
        let is_meant = |attempt: &Attempt| attempt.calls[0].id.0 == token.0 >> CLIENT_BITS;
        let Some(at) = attempts.iter().position(is_meant) else { return };
        let attempt = self.clients[client].attempts.remove(at);
        self.end_attempt(client, attempt, answers);
    }

    /// A server has answered, or nobody knows. The client asks again, or thinks about what is next.
    fn end_attempt(
        &mut self,
        client: usize,
        attempt: Attempt,
        answers: Vec<Result<<W::Machine as StateMachine>::Response, Failure>>,
    ) {
        let mut answers = answers.into_iter();
        let (mut answered, first) = (false, attempt.calls[0]);
        for call in attempt.calls {
            let outcome = match answers.next() {
                Some(Ok(response)) => Outcome::Answered(response),
                Some(Err(failure)) => without_answer(failure),
                None => Outcome::Unknown,
            };
            answered |= matches!(outcome, Outcome::Answered(_));
            self.end(call, attempt.write, outcome);
        }
        if !attempt.in_front {
            return;
        }
        if answered {
            // Of two that were asked for the same, the slower one does not matter any more.
            self.clients[client].attempts.iter_mut().for_each(|other| other.in_front = false);
        } else if !self.clients[client].by_hand && !attempt.crashes {
            self.ask_another(client);
            if self.clients[client].repeats_left > 0 && self.clients[client].rng.chance(REPEATED) {
                self.clients[client].repeats_left -= 1;
                self.clients[client].repeats = Some(first.id);
            }
        }
        if !self.clients[client].waits() {
            self.think(client);
        }
    }

    fn end(&mut self, call: Call, write: bool, outcome: Answer<W>) {
        let counter = match (&outcome, write) {
            (Outcome::Answered(_), true) => Counter::WritesAnswered,
            (Outcome::Answered(_), false) => Counter::ReadsAnswered,
            (Outcome::NoEffect(Failure::TooLarge), _) => Counter::TooLarge,
            (Outcome::NoEffect(_), _) => Counter::Refused,
            (Outcome::Unknown, _) => Counter::Unknown,
        };
        self.coverage.count(counter);
        let leads = self.replica(call.server).is_some_and(|replica| replica.raft().is_leader());
        if counter == Counter::ReadsAnswered && !leads {
            self.coverage.count(Counter::FollowerReads);
        }
        if self.story.is_some() {
            let how = match &outcome {
                Outcome::Answered(response) => format!("→ {}", self.workload.answer_words(response)),
                Outcome::NoEffect(_) => "→ refused, without effect".to_owned(),
                Outcome::Unknown => "→ outcome unknown".to_owned(),
            };
            self.narrate(|story, now| story.client(now, call, &how));
        }
        self.answered += u64::from(matches!(outcome, Outcome::Answered(_)));
        self.workload.ended(call, self.now, outcome);
    }

    /// The connections to a server break: whoever waits for it does not know what became of it.
    pub(crate) fn disconnect_clients(&mut self, place: Place) {
        let server = id_of(place);
        let is_lost = |attempt: &Attempt| attempt.calls[0].server == server;
        for client in 0..self.clients.len() {
            while let Some(at) = self.clients[client].attempts.iter().position(is_lost) {
                let attempt = self.clients[client].attempts.remove(at);
                self.end_attempt(client, attempt, Vec::new());
            }
        }
    }

    /// One operation, submitted by hand; its answer goes to the workload.
    pub fn submit(
        &mut self,
        server: NodeId,
        operation: impl FnOnce(Call) -> Operation<<W::Machine as StateMachine>::Query>,
    ) -> OperationId {
        let client = self.free_hand();
        let call = self.next_call(client, crate::network::place_of(server));
        self.ask(client, vec![(call, operation(call))]);
        call.id
    }

    /// A probe write or read, at the end.
    pub(crate) fn probe(&mut self, server: Place, read: bool) -> OperationId {
        let client = self.free_hand();
        let call = self.next_call(client, server);
        let operation = self.workload.probe(call, read);
        self.ask(client, vec![(call, operation)]);
        call.id
    }

    /// Whether an operation has ended.
    #[must_use]
    pub fn has_ended(&self, id: OperationId) -> bool {
        let mut attempts = self.clients.iter().flat_map(|client| &client.attempts);
        attempts.all(|attempt| attempt.calls.iter().all(|call| call.id != id))
    }

    /// A client that is driven by hand and has nothing to wait for.
    fn free_hand(&mut self) -> usize {
        let free = |client: &Client| client.by_hand && client.attempts.is_empty();
        if let Some(client) = self.clients.iter().position(free) {
            return client;
        }
        let number = self.clients.len();
        let client = Client::new(self.plan.seed, number, self.servers.len());
        self.clients.push(Client { by_hand: true, ..client });
        number
    }

    pub(crate) fn administrator_token(&mut self) -> Token {
        self.administrators += 1;
        Token(ADMINISTRATOR | self.administrators)
    }

    pub(crate) fn answer_administrator(&mut self, token: Token, outcome: Result<AdminDone, Failure>) {
        self.admin_answers.insert(token.0, outcome);
    }
}

/// What a failure means for whoever asked.
fn without_answer<R>(failure: Failure) -> Outcome<R> {
    match failure {
        Failure::NoLeader
        | Failure::Busy
        | Failure::TooLarge
        | Failure::Refused(_)
        | Failure::TransferFailed => Outcome::NoEffect(failure),
        Failure::OutcomeUnknown | Failure::AnswerTooLarge | Failure::BadAnswer => Outcome::Unknown,
    }
}
