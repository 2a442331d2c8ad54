//! Futures whose waits take no time: the clock jumps as soon as nobody has anything to do.

use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Nothing that a client can say keeps anybody busy for as long.
pub(crate) const FOR_EVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Runs a future to its end, with everything that it spawns.
///
/// # Panics
/// If it takes a day.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    let runtime = Builder::new_current_thread().enable_all().start_paused(true).build();
    let runtime = runtime.expect("the system gives an event queue");
    runtime.block_on(async { timeout(FOR_EVER, future).await.expect("it goes on for ever") })
}

/// What a task has come to.
///
/// # Panics
/// If it did.
pub(crate) async fn outcome<T>(task: JoinHandle<T>) -> T {
    task.await.expect("a task has panicked")
}
