//! How answers come from the replica thread to the threads of the connections.
//!
//! To wake a task of another thread is a system call, whether that thread sleeps or not. So the answers to all
//! connections of one thread go through one queue, whose reader hands them out at home: answers that come
//! together cost one wake-up together.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::handle::Answers;
use crate::room::{self, AnswerRoom, Taken};

/// Answers read out of the queue in one go.
const MAX_LETTERS: usize = 256;

/// Where the answers to one batch go. Dropped, it says that there will be none.
#[derive(Debug)]
pub struct ReplyTo {
    asker: oneshot::Sender<Delivery>,
    /// The queue of the asker's thread, if it has one.
    post: Option<mpsc::UnboundedSender<Letter>>,
    room: Arc<AnswerRoom>,
}

/// Answers, and the room that they take as long as this is kept.
#[derive(Debug)]
pub struct Delivery {
    /// One for each request.
    pub answers: Answers,
    pub(crate) taken: Option<Taken>,
}

/// For which nothing was taken.
impl From<Answers> for Delivery {
    fn from(answers: Answers) -> Delivery {
        Delivery { answers, taken: None }
    }
}

/// Answers on their way.
#[derive(Debug)]
struct Letter {
    asker: oneshot::Sender<Delivery>,
    delivery: Delivery,
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
    pub(crate) fn new(post: Option<&Post>, room: &Arc<AnswerRoom>) -> (ReplyTo, oneshot::Receiver<Delivery>) {
        let (asker, answers) = oneshot::channel();
        (ReplyTo { asker, post: post.map(|post| post.0.clone()), room: Arc::clone(room) }, answers)
    }

    /// Sends the answers, but for large ones while there is no room. Nobody may wait for them any more: a client that has
    /// gone needs none.
    pub fn send(self, mut answers: Answers) {
        let taken = Some(room::admit(&mut answers, &self.room));
        let delivery = Delivery { answers, taken };
        match self.post {
            Some(post) => {
                let _stopped = post.send(Letter { asker: self.asker, delivery });
            }
            None => {
                let _gone = self.asker.send(delivery);
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
            for Letter { asker, delivery } in letters.drain(..) {
                let _gone = asker.send(delivery);
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
        let room = Arc::new(AnswerRoom::new(0));
        let (first, mut answers) = ReplyTo::new(Some(&post), &room);
        let (second, nothing) = ReplyTo::new(Some(&post), &room);
        let (direct, at_once) = ReplyTo::new(None, &room);
        first.send(Vec::new());
        assert!(answers.try_recv().is_err(), "it lies in the queue until the postman comes");
        direct.send(Vec::new());
        assert_eq!(at_once.await.unwrap().answers, []);
        drop((second, post));
        assert!(nothing.await.is_err(), "who will not be answered need not wait");
        postman.run().await;
        assert_eq!(answers.await.unwrap().answers, []);
    }
}
