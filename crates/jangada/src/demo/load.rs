//! The clients of the story: threads that write keys of their own, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use indicatif::ProgressBar;

use super::ledger::Ledger;
use crate::client::session::{Effect, Session};
use crate::failure::Failure;

/// How many clients write at the same time.
pub const CLIENTS: usize = 4;
/// How long a client tries one write.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two writes of one client under load: the story needs a steady stream, not a record.
const PACE: Duration = Duration::from_millis(2);

/// Writes `count` keys from [`CLIENTS`] clients and waits for all of them.
///
/// # Errors
/// The first write that was not acknowledged.
pub fn write(
    ledger: &Arc<Ledger>,
    servers: &[String],
    prefix: &str,
    count: usize,
    bar: &ProgressBar,
) -> Result<(), Failure> {
    let results: Vec<Result<(), Failure>> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                scope.spawn(move || {
                    let mut session = session(servers, client);
                    for number in (client..count).step_by(CLIENTS) {
                        let key = format!("{prefix}{number}");
                        put(&mut session, ledger, key)?;
                        bar.inc(1);
                    }
                    Ok(())
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
    });
    bar.finish_and_clear();
    results.into_iter().collect()
}

/// Clients that write until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts [`CLIENTS`] clients. A write that fails is no reason to stop: the next one may succeed.
    pub fn start(ledger: &Arc<Ledger>, servers: &[String], prefix: &str) -> Load {
        let stop = Arc::new(AtomicBool::new(false));
        let clients = (0..CLIENTS).map(|client| {
            let (stop, ledger) = (Arc::clone(&stop), Arc::clone(ledger));
            let (servers, prefix) = (servers.to_vec(), prefix.to_owned());
            thread::spawn(move || {
                let mut session = session(&servers, client);
                for number in 0_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    // What went wrong stands in the ledger.
                    let _ = put(&mut session, &ledger, format!("{prefix}{client}-{number}"));
                    thread::sleep(PACE);
                }
            })
        });
        let clients = clients.collect();
        Load { stop, clients }
    }

    /// Tells them to stop and waits for their last words.
    pub fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.join().expect("a client does not panic");
        }
    }
}

/// Each client begins with another server: any of them takes any request.
fn session(servers: &[String], client: usize) -> Session {
    let mut servers = servers.to_vec();
    let first = client % servers.len();
    servers.rotate_left(first);
    Session::new(servers, PATIENCE).quiet()
}

fn put(session: &mut Session, ledger: &Ledger, key: String) -> Result<(), Failure> {
    let value = format!("value of {key}");
    match session.call(&[b"SET", key.as_bytes(), value.as_bytes()], Effect::Write) {
        Ok(_) => {
            ledger.acknowledged(key, value);
            Ok(())
        }
        Err(failure) => {
            ledger.unknown(key);
            Err(failure)
        }
    }
}
