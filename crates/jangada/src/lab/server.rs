//! One server of a laboratory: a real one, on threads of this process.

use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use jangada_server::handle::Handle;
use jangada_server::{Ready, ServerConfig, ServerError, StopHandle};
use jangada_trace::said;

/// How long a server may take until it serves.
const START: Duration = Duration::from_secs(20);
/// How long a server may take until it stands still.
const HALT: Duration = Duration::from_secs(5);

/// A server that runs.
pub struct Server {
    handle: Handle,
    stop: StopHandle,
    thread: JoinHandle<Result<(), ServerError>>,
    gate: Option<Arc<Gate>>,
}

/// One that has been told to start, and may not serve yet.
pub struct Starting {
    stop: StopHandle,
    thread: JoinHandle<Result<(), ServerError>>,
    ready: std::sync::mpsc::Receiver<Ready>,
}

/// Starts a server. Founding members wait for one another: start all before waiting for the first.
///
/// # Errors
/// The system gives no thread: a sentence.
pub fn start(config: ServerConfig) -> Result<Starting, String> {
    let (tell, ready) = sync_channel(1);
    let stop = StopHandle::new();
    let theirs = stop.clone();
    let run = move || {
        jangada_server::run(config, &theirs, |ready| {
            // Whoever has stopped waiting stops the server, too.
            let _gone = tell.send(ready.clone());
        })
    };
    let thread = std::thread::Builder::new().name("server".to_owned()).spawn(run);
    let thread = thread.map_err(|why| format!("no thread for it: {why}"))?;
    Ok(Starting { stop, thread, ready })
}

impl Starting {
    /// Waits until it serves.
    ///
    /// # Errors
    /// Why it does not: a sentence.
    pub fn wait(self) -> Result<Server, String> {
        let Starting { stop, thread, ready } = self;
        match ready.recv_timeout(START) {
            Ok(ready) => Ok(Server { handle: ready.handle, stop, thread, gate: None }),
            Err(RecvTimeoutError::Disconnected) => Err(ended(thread)),
            Err(RecvTimeoutError::Timeout) => {
                stop.crash();
                let _ = thread.join();
                Err(said!("it did not come up in time: it hears nobody of its cluster").to_owned())
            }
        }
    }
}

impl Server {
    /// The door to it.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// It stands still.
    pub fn is_paused(&self) -> bool {
        self.gate.is_some()
    }

    /// It has ended by itself.
    pub fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// The replica's thread stands still, and with it its links and its timers, as after SIGSTOP.
    ///
    /// # Errors
    /// It does not listen: a sentence.
    pub fn pause(&mut self) -> Result<(), String> {
        if self.gate.is_some() {
            return Ok(());
        }
        let gate = Arc::new(Gate::default());
        let (stands, stood) = sync_channel(1);
        let theirs = Arc::clone(&gate);
        let halt = move |_: &_| {
            let _gone = stands.send(());
            theirs.wait();
        };
        self.handle.look(halt).map_err(|why| why.to_string())?;
        self.gate = Some(gate);
        stood.recv_timeout(HALT).map_err(|_| said!("it did not stand still").to_owned())
    }

    /// It goes on.
    pub fn resume(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.open();
        }
    }

    /// Its power fails.
    pub fn crash(mut self) {
        self.stop.crash();
        self.resume();
        // How it ended does not matter any more.
        let _ = self.thread.join();
    }

    /// Why it has ended.
    pub fn join(mut self) -> String {
        self.resume();
        ended(self.thread)
    }
}

fn ended(thread: JoinHandle<Result<(), ServerError>>) -> String {
    match thread.join() {
        Ok(Ok(())) => said!("it was stopped").to_owned(),
        Ok(Err(why)) => why.to_string(),
        Err(_panic) => said!("it died of a bug, see above").to_owned(),
    }
}

/// Closed until somebody opens it.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    fn wait(&self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !*open {
            open = self.moved.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn open(&self) {
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.moved.notify_all();
    }
}
