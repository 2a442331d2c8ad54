//! What all connections of a server share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use jangada_etcd::Passwords;
use tokio::sync::Semaphore;

use crate::config::ConsoleFile;
use crate::etcd::TokensInUse;
use crate::handle::Handle;
use crate::limits::Limits;
use crate::metrics::Counters;
use crate::post::Postman;

/// One server's client side. Connections hold a reference to it.
#[derive(Debug)]
pub struct Shared {
    /// The door to the replica.
    pub handle: Handle,
    /// What a client may ask for.
    pub limits: Limits,
    /// What has happened so far.
    pub counters: Arc<Counters>,
    /// Where clients connect, for `INFO`.
    pub client_addr: String,
    /// The page for a browser; empty if there is none.
    pub console: &'static [ConsoleFile],
    /// For each question that may be put to other members at the same time, on behalf of the page.
    pub(crate) questions: Arc<Semaphore>,
    /// Where passwords are looked at.
    pub(crate) passwords: Passwords,
    /// When tokens were last written to be in use.
    pub(crate) tokens: Arc<TokensInUse>,
    next_client: Arc<AtomicU64>,
}

impl Shared {
    /// The shared part of a server that `handle` leads to.
    #[must_use]
    pub fn new(handle: Handle, limits: Limits, client_addr: String) -> Shared {
        let (counters, next_client) = (Arc::default(), Arc::new(AtomicU64::new(1)));
        let questions = Arc::new(Semaphore::new(limits.console_questions));
        let (passwords, tokens) = (Passwords::default(), Arc::default());
        Shared {
            handle: handle.with_room(limits.answer_bytes),
            limits,
            counters,
            client_addr,
            console: &[],
            questions,
            passwords,
            tokens,
            next_client,
        }
    }

    /// The same with these files under `/console`.
    #[must_use]
    pub fn with_console(self, console: &'static [ConsoleFile]) -> Shared {
        Shared { console, ..self }
    }

    /// The same for the connections of one thread, which get their answers from the returned [`Postman`].
    pub(crate) fn for_thread(&self) -> (Shared, Postman) {
        let (handle, postman) = self.handle.for_thread();
        let (limits, client_addr) = (self.limits.clone(), self.client_addr.clone());
        let (counters, next_client) = (Arc::clone(&self.counters), Arc::clone(&self.next_client));
        let (questions, console) = (Arc::clone(&self.questions), self.console);
        let (passwords, tokens) = (self.passwords.clone(), Arc::clone(&self.tokens));
        let shared = Shared {
            handle,
            limits,
            counters,
            client_addr,
            console,
            questions,
            passwords,
            tokens,
            next_client,
        };
        (shared, postman)
    }

    /// A number for a new connection, never given twice.
    pub(crate) fn next_client(&self) -> u64 {
        self.next_client.fetch_add(1, Relaxed)
    }
}
