//! How answers come from the replica thread to the threads of the connections.
//!
//! To wake a task of another thread is a system call, whether that thread sleeps or not. So the answers to all
//! connections of one thread go through one queue, whose reader hands them out at home: answers that come
//! together cost one wake-up together.

use tokio::sync::{mpsc, oneshot};

use crate::handle::Answers;

/// Answers read out of the queue in one go.
const MAX_LETTERS: usize = 256;

/// Where the answers to one batch go. Dropped, it says that there will be none.
#[derive(Debug)]
pub struct ReplyTo {
    asker: oneshot::Sender<Answers>,
    /// The queue of the asker's thread, if it has one.
    post: Option<mpsc::UnboundedSender<Letter>>,
}

/// Answers on their way.
#[derive(Debug)]
struct Letter {
    asker: oneshot::Sender<Answers>,
    answers: Answers,
}

/// The sending side of a thread's queue. It holds no more than the batches of its connections that are under way,
/// each of which is answered once.
#[derive(Clone, Debug)]
pub(crate) struct Post(mpsc::UnboundedSender<Letter>);

/// The receiving side of a thread's queue.
#[derive(Debug)]
pub(crate) struct Postman(mpsc::UnboundedReceiver<Letter>);

impl ReplyTo {
    /// Where answers are sent, and where they arrive.
    pub(crate) fn new(post: Option<&Post>) -> (ReplyTo, oneshot::Receiver<Answers>) {
        let (asker, answers) = oneshot::channel();
        (ReplyTo { asker, post: post.map(|post| post.0.clone()) }, answers)
    }

    /// Sends the answers. Nobody may wait for them any more: a client that has gone needs none.
    pub fn send(self, answers: Answers) {
        match self.post {
            Some(post) => {
                let _stopped = post.send(Letter { asker: self.asker, answers });
            }
            None => {
                let _gone = self.asker.send(answers);
            }
        }
    }
}

impl Post {
    /// A queue for one thread.
    pub(crate) fn open() -> (Post, Postman) {
        let (post, letters) = mpsc::unbounded_channel();
        (Post(post), Postman(letters))
    }
}

impl Postman {
    /// Hands out what arrives. To be run on the thread of those who wait.
    pub(crate) async fn run(mut self) {
        let mut letters = Vec::new();
        while self.0.recv_many(&mut letters, MAX_LETTERS).await > 0 {
            for Letter { asker, answers } in letters.drain(..) {
                let _gone = asker.send(answers);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn answers_come_home_through_the_post_and_silence_is_heard_at_once() {
        let (post, postman) = Post::open();
        let (first, mut answers) = ReplyTo::new(Some(&post));
        let (second, nothing) = ReplyTo::new(Some(&post));
        let (direct, at_once) = ReplyTo::new(None);
        first.send(Vec::new());
        assert!(answers.try_recv().is_err(), "it lies in the queue until the postman comes");
        direct.send(Vec::new());
        assert_eq!(at_once.await.unwrap(), []);
        drop((second, post));
        assert!(nothing.await.is_err(), "who will not be answered need not wait");
        postman.run().await;
        assert_eq!(answers.await.unwrap(), []);
    }
}
