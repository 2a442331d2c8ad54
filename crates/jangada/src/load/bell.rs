//! A bell that rings when something is due. The runtime's own timer is up to two milliseconds late, which would be counted
//! as the servers'.

use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::Instant;

use tokio::sync::oneshot;

/// A thread that sleeps until the next time that somebody waits for. It ends with this.
#[derive(Debug)]
pub(super) struct Bell {
    waiting: Sender<(Instant, oneshot::Sender<()>)>,
}

impl Bell {
    /// Nobody waits yet.
    pub(super) fn new() -> Bell {
        let (waiting, due) = channel::<(Instant, oneshot::Sender<()>)>();
        thread::spawn(move || {
            for (due, waits) in due {
                thread::sleep(due.saturating_duration_since(Instant::now()));
                // Who does not wait any more need not be told.
                let _gone = waits.send(());
            }
        });
        Bell { waiting }
    }

    /// Waits until then. Who waits for an earlier time has to come first.
    pub(super) async fn rings(&self, due: Instant) {
        if due <= Instant::now() {
            return;
        }
        let (waits, rung) = oneshot::channel();
        self.waiting.send((due, waits)).expect("the thread ends with this");
        rung.await.expect("each who waits is told");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn it_rings_when_it_is_time_and_not_before() {
        let (bell, begun) = (Bell::new(), Instant::now());
        let (first, second) = (begun + Duration::from_millis(2), begun + Duration::from_millis(4));
        let rung = async |due| {
            bell.rings(due).await;
            Instant::now()
        };
        let (at_first, at_second) = tokio::join!(rung(first), rung(second));
        assert!(at_first >= first && at_second >= second);
        bell.rings(begun).await;
    }
}
