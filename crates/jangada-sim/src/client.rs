//! Clients: one operation at a time each, at any server, with a limit to their patience.

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

/// A client.
pub(crate) struct Client {
    rng: Rng,
    /// Where it asked last, and asks again while that works.
    server: Place,
    pub(crate) waits_for: Option<Call>,
    write: bool,
    /// When it loses patience with what it waits for.
    patient_until: Time,
    /// An alarm is set for its patience: one for each client is enough.
    alarm_set: bool,
    /// Driven by hand: it never begins by itself.
    by_hand: bool,
}

impl Client {
    pub(crate) fn new(seed: u64, number: usize, places: usize) -> Client {
        let mut rng = stream(seed, &format!("client {number}"));
        let server = usize::try_from(rng.below(places as u64)).unwrap_or(0);
        Client {
            rng,
            server,
            waits_for: None,
            write: false,
            patient_until: Time::NEVER,
            alarm_set: false,
            by_hand: false,
        }
    }
}

/// The answer to something that was submitted by hand.
pub(crate) type Answer<W> = Outcome<<<W as Workload>::Machine as StateMachine>::Response>;

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
        let thinks = self.clients[client].rng.duration(Duration::ZERO, self.plan.clients.think);
        self.queue.push(self.now + thinks, Happening::Client { client });
    }

    /// A client has thought enough.
    pub(crate) fn client_turn(&mut self, client: usize) {
        let over = self.healed || self.operations >= self.plan.clients.operations;
        if self.clients[client].waits_for.is_none() && !over {
            self.begin_operation(client);
        }
    }

    /// A client has waited enough, or its alarm was for an earlier operation.
    pub(crate) fn patience_over(&mut self, client: usize) {
        self.clients[client].alarm_set = false;
        let Some(call) = self.clients[client].waits_for else { return };
        let until = self.clients[client].patient_until;
        if until > self.now {
            self.clients[client].alarm_set = true;
            self.queue.push(until, Happening::Patience { client });
            return;
        }
        self.end(client, call, Outcome::Unknown);
        self.ask_another(client);
        self.think(client);
    }

    fn ask_another(&mut self, client: usize) {
        let places = self.servers.len() as u64;
        let client = &mut self.clients[client];
        client.server = usize::try_from(client.rng.below(places)).unwrap_or(0);
    }

    fn begin_operation(&mut self, client: usize) {
        let server = self.clients[client].server;
        if self.servers[server].process.is_none() || self.clients[client].rng.chance(50) {
            self.ask_another(client);
            if self.servers[server].process.is_none() {
                return self.think(client);
            }
        }
        let call = self.next_call(client, server);
        let operation = self.workload.next(call, &mut self.clients[client].rng);
        let until = self.now + self.plan.clients.patience;
        self.clients[client].patient_until = until;
        if !self.clients[client].alarm_set {
            self.clients[client].alarm_set = true;
            self.queue.push(until, Happening::Patience { client });
        }
        self.ask(call, operation);
    }

    fn next_call(&mut self, client: usize, server: Place) -> Call {
        self.operations += 1;
        Call { id: OperationId(self.operations), client, server: id_of(server), at: self.now }
    }

    fn ask(&mut self, call: Call, operation: Operation<<W::Machine as StateMachine>::Query>) {
        let token = Token(call.id.0 << CLIENT_BITS | call.client as u64);
        self.clients[call.client].waits_for = Some(call);
        self.clients[call.client].write = matches!(operation, Operation::Write(_));
        let words = self.story.is_some().then(|| self.workload.words(call));
        self.narrate(|story, now| {
            story.client(now, call, &format!("asks: {}", words.unwrap_or_default()));
        });
        let place = crate::network::place_of(call.server);
        match operation {
            Operation::Write(command) => {
                self.give(place, Input::Writes { token, commands: vec![command] });
            }
            Operation::Read(query) => self.give(place, Input::Reads { token, queries: vec![query] }),
        }
    }

    /// A server answers.
    pub(crate) fn answer(
        &mut self,
        token: Token,
        mut answers: Vec<Result<<W::Machine as StateMachine>::Response, Failure>>,
    ) {
        let client = usize::try_from(token.0 & ((1 << CLIENT_BITS) - 1)).unwrap_or(usize::MAX);
        let Some(call) = self.clients.get(client).and_then(|client| client.waits_for) else { return };
        if call.id.0 != token.0 >> CLIENT_BITS {
            return;
        }
        let outcome = match answers.pop() {
            Some(Ok(response)) => Outcome::Answered(response),
            Some(Err(failure)) => without_answer(failure),
            None => Outcome::Unknown,
        };
        let refused = matches!(outcome, Outcome::NoEffect(_));
        self.end(client, call, outcome);
        if refused {
            self.ask_another(client);
        }
        self.think(client);
    }

    fn end(&mut self, client: usize, call: Call, outcome: Answer<W>) {
        let counter = match (&outcome, self.clients[client].write) {
            (Outcome::Answered(_), true) => Counter::WritesAnswered,
            (Outcome::Answered(_), false) => Counter::ReadsAnswered,
            (Outcome::NoEffect(_), _) => Counter::Refused,
            (Outcome::Unknown, _) => Counter::Unknown,
        };
        self.coverage.count(counter);
        if self.story.is_some() {
            let how = match &outcome {
                Outcome::Answered(response) => format!("→ {}", self.workload.answer_words(response)),
                Outcome::NoEffect(_) => "→ refused, without effect".to_owned(),
                Outcome::Unknown => "→ outcome unknown".to_owned(),
            };
            self.narrate(|story, now| story.client(now, call, &how));
        }
        self.clients[client].waits_for = None;
        self.answered += u64::from(matches!(outcome, Outcome::Answered(_)));
        self.workload.ended(call, self.now, outcome);
    }

    /// The connections to a server break: whoever waits for it does not know what became of it.
    pub(crate) fn disconnect_clients(&mut self, place: Place) {
        let server = id_of(place);
        for client in 0..self.clients.len() {
            if let Some(call) = self.clients[client].waits_for.filter(|call| call.server == server) {
                self.end(client, call, Outcome::Unknown);
                self.think(client);
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
        self.ask(call, operation(call));
        call.id
    }

    /// A probe write or read, at the end.
    pub(crate) fn probe(&mut self, server: Place, read: bool) -> OperationId {
        let client = self.free_hand();
        let call = self.next_call(client, server);
        let operation = self.workload.probe(call, read);
        self.ask(call, operation);
        call.id
    }

    /// Whether an operation has ended.
    #[must_use]
    pub fn has_ended(&self, id: OperationId) -> bool {
        self.clients.iter().all(|client| client.waits_for.is_none_or(|call| call.id != id))
    }

    /// A client that is driven by hand and has nothing to wait for.
    fn free_hand(&mut self) -> usize {
        let free = |client: &Client| client.by_hand && client.waits_for.is_none();
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
