//! The wish to stop, as every task of the client port waits for it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::sync::watch;

/// Becomes ready when the server shall stop, and stays so.
pub struct Stop {
    receiver: watch::Receiver<bool>,
    waiting: Pin<Box<dyn Future<Output = ()> + Send>>,
    stopped: bool,
}

impl Stop {
    /// Waits for `receiver` to become true, or for its sender to be gone.
    #[must_use]
    pub fn new(receiver: watch::Receiver<bool>) -> Stop {
        let mut waiter = receiver.clone();
        let waiting = Box::pin(async move {
            // Nobody left who could want it: then it is over, too.
            let _ = waiter.wait_for(|stop| *stop).await;
        });
        Stop { receiver, waiting, stopped: false }
    }

    /// Whether the server shall stop; if not, the task is woken when it shall.
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.stopped {
            std::task::ready!(self.waiting.as_mut().poll(context));
            self.stopped = true;
        }
        Poll::Ready(())
    }

    /// Waits until the server shall stop.
    pub async fn wait(&mut self) {
        poll_fn(|context| self.poll(context)).await;
    }
}

impl Clone for Stop {
    fn clone(&self) -> Stop {
        Stop::new(self.receiver.clone())
    }
}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stop").field("stopped", &self.stopped).finish_non_exhaustive()
    }
}
