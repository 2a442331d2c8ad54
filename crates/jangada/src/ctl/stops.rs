//! SIGINT and SIGTERM, for whoever has something to put away before the end.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::failure::Failure;

/// The two signals, from when this was made on.
pub struct Stops {
    interrupt: Signal,
    terminate: Signal,
}

impl Stops {
    /// From now on the signals do not end the program by themselves.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn new() -> Result<Stops, Failure> {
        Ok(Stops { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one: the exit code that goes with it.
    pub async fn wait(&mut self) -> u8 {
        tokio::select! {
            _ = self.interrupt.recv() => 130,
            _ = self.terminate.recv() => 143,
        }
    }
}
