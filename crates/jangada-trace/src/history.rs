//! What clients asked and were told, and when: the input of the checkers.
//!
//! A history says nothing about servers. The simulator writes one, and so can anybody who talks to a real cluster,
//! ours or etcd: the requests and answers are those of `jangada-kv`, which knows both families of operations.
//! [`crate::history_lines`] stores one as text.

use jangada_kv::{Request, Response, Revision};
use jangada_raft::types::Time;

/// One request of a client, from the moment it left until its answer came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Who asked. Only a name in what is told about the operation: a client may have several on their way.
    pub client: u64,
    /// When it left the client.
    pub invoked: Time,
    /// The request.
    pub request: Request,
    /// What came of it.
    pub outcome: Outcome,
}

/// What a client knows of its operation in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was done.
    Returned {
        /// When the answer had come.
        at: Time,
        /// The answer.
        response: Response,
        /// The revision of the state that the operation made or saw, if it is known from elsewhere than the answer.
        /// The answers of etcd's operations carry it.
        revision: Option<Revision>,
    },
    /// It was refused, with the promise that it never had an effect and never will.
    Refused {
        /// When the refusal had come.
        at: Time,
    },
    /// Nobody knows: it takes effect at any time after it was invoked, once, or never.
    Unknown,
}

/// Names an operation of a [`History`]: its place in [`History::operations`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub usize);

/// The operations of all clients of one cluster, from its empty beginning on. They may stand in any order.
///
/// ```
/// use bytes::Bytes;
/// use jangada_kv::{Command, Reply, Request, Response, Set};
/// use jangada_raft::types::Time;
/// use jangada_trace::history::History;
/// use jangada_trace::linearizable::{self, Limits, Verdict};
///
/// let key = Bytes::from("d");
/// let mut history = History::new();
/// let set = Request::Command(Command::Set(Set::new(key.clone(), Bytes::from("8"))));
/// let set = history.invoke(1, Time(10), set);
/// history.returned(set, Time(20), Response::Reply(Reply::Ok));
/// let get = history.invoke(2, Time(30), Request::Command(Command::Get { key }));
/// history.returned(get, Time(40), Response::Reply(Reply::Nil));
///
/// let report = linearizable::check(&history, &Limits::default());
/// assert!(matches!(report.verdict, Verdict::NotLinearizable { .. }), "the write was done and is lost");
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    operations: Vec<Operation>,
}

impl History {
    /// Without any operation.
    #[must_use]
    pub fn new() -> History {
        History::default()
    }

    /// Notes a request that leaves now. Until more is heard of it, its outcome is unknown.
    pub fn invoke(&mut self, client: u64, invoked: Time, request: Request) -> OperationId {
        self.operations.push(Operation { client, invoked, request, outcome: Outcome::Unknown });
        OperationId(self.operations.len() - 1)
    }

    /// Notes the answer to an operation.
    ///
    /// # Panics
    /// If the operation has an outcome already, or the answer came before the question.
    pub fn returned(&mut self, id: OperationId, at: Time, response: Response) {
        self.finish(id, Outcome::Returned { at, response, revision: None });
    }

    /// Notes the answer to an operation together with the revision of the state that it made or saw.
    ///
    /// # Panics
    /// As [`History::returned`].
    pub fn returned_at_revision(
        &mut self,
        id: OperationId,
        at: Time,
        response: Response,
        revision: Revision,
    ) {
        self.finish(id, Outcome::Returned { at, response, revision: Some(revision) });
    }

    /// Notes that an operation was refused and had no effect.
    ///
    /// # Panics
    /// As [`History::returned`].
    pub fn refused(&mut self, id: OperationId, at: Time) {
        self.finish(id, Outcome::Refused { at });
    }

    fn finish(&mut self, id: OperationId, outcome: Outcome) {
        let operation = &mut self.operations[id.0];
        assert!(operation.outcome == Outcome::Unknown, "an operation is answered once");
        let operation_ends = outcome.at().is_none_or(|at| at >= operation.invoked);
        assert!(operation_ends, "an answer comes after its question");
        operation.outcome = outcome;
    }

    /// Adds an operation that is complete.
    pub fn push(&mut self, operation: Operation) -> OperationId {
        self.operations.push(operation);
        OperationId(self.operations.len() - 1)
    }

    /// All operations, by [`OperationId`].
    #[must_use]
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

impl FromIterator<Operation> for History {
    fn from_iter<I: IntoIterator<Item = Operation>>(operations: I) -> History {
        History { operations: operations.into_iter().collect() }
    }
}

impl Outcome {
    /// When the answer or the refusal came.
    #[must_use]
    pub fn at(&self) -> Option<Time> {
        match self {
            Outcome::Returned { at, .. } | Outcome::Refused { at } => Some(*at),
            Outcome::Unknown => None,
        }
    }
}

impl Operation {
    /// The answer, if there was one.
    #[must_use]
    pub fn response(&self) -> Option<&Response> {
        match &self.outcome {
            Outcome::Returned { response, .. } => Some(response),
            Outcome::Refused { .. } | Outcome::Unknown => None,
        }
    }

    /// The revision of the state that the operation made or saw: the one in the answer, or the one noted beside it.
    #[must_use]
    pub fn revision(&self) -> Option<Revision> {
        let Outcome::Returned { response, revision, .. } = &self.outcome else { return None };
        response.revision().or(*revision)
    }
}
