//! The exercise: fill in the eight holes, and five servers elect a leader.
//!
//! ```text
//! cargo run -p jangada-sim --example exercise              what is right, what is wrong, what is empty
//! cargo run -p jangada-sim --example exercise log          what your servers say, in the lab's words
//! cargo run -p jangada-sim --example exercise my.txt       a script of your own, played on your servers
//! ```
//!
//! Read sections 5.1 and 5.2 of the paper first, and Figure 2 without what it says about logs. Given are the election
//! timeout (a follower or a candidate that hears no leader becomes a candidate of the next term, votes for itself and
//! asks all others), the heartbeats of a leader, the links and the disks: `current_term` and `voted_for` are on the disk
//! before an answer leaves. Yours is what a server does with what it hears. As it stands here it says no to everything,
//! and nobody is ever elected. docs/exercise.md says more.

use std::process::ExitCode;

use jangada_sim::exercise::{
    self, AppendEntries, AppendEntriesReply, Election, RequestVote, RequestVoteReply, Server,
};

/// Your servers.
pub(crate) struct Mine;

impl Election for Mine {
    // MODIFY HERE (1 of 8): `ask.candidate` asks a follower for its vote in `ask.term`. [Paper §5.2; Figure 2, RequestVote]
    fn follower_on_request_vote(me: &mut Server, _ask: RequestVote) -> RequestVoteReply {
        me.hole(1);
        me.vote(false)
    }
    // END OF MODIFY

    // MODIFY HERE (2 of 8): `ask.leader` tells a follower that it leads `ask.term`. [Paper §5.2; Figure 2, AppendEntries, rule 1]
    fn follower_on_append_entries(me: &mut Server, _ask: AppendEntries) -> AppendEntriesReply {
        me.hole(2);
        me.answer(false)
    }
    // END OF MODIFY

    // MODIFY HERE (3 of 8): another candidate asks a candidate for its vote. [Paper §5.1, §5.2]
    fn candidate_on_request_vote(me: &mut Server, _ask: RequestVote) -> RequestVoteReply {
        me.hole(3);
        me.vote(false)
    }
    // END OF MODIFY

    // MODIFY HERE (4 of 8): `reply.from` answers a candidate. `me.votes` has its votes until now. [Paper §5.2; Figure 2, candidates]
    fn candidate_on_request_vote_reply(me: &mut Server, _reply: RequestVoteReply) {
        me.hole(4);
    }
    // END OF MODIFY

    // MODIFY HERE (5 of 8): `ask.leader` tells a candidate that it leads `ask.term`. [Paper §5.2; Figure 2, candidates]
    fn candidate_on_append_entries(me: &mut Server, _ask: AppendEntries) -> AppendEntriesReply {
        me.hole(5);
        me.answer(false)
    }
    // END OF MODIFY

    // MODIFY HERE (6 of 8): a candidate asks a leader for its vote. [Paper §5.1, §5.2]
    fn leader_on_request_vote(me: &mut Server, _ask: RequestVote) -> RequestVoteReply {
        me.hole(6);
        me.vote(false)
    }
    // END OF MODIFY

    // MODIFY HERE (7 of 8): another leader, of an earlier or a later term, makes itself known. [Paper §5.1]
    fn leader_on_append_entries(me: &mut Server, _ask: AppendEntries) -> AppendEntriesReply {
        me.hole(7);
        me.answer(false)
    }
    // END OF MODIFY

    // MODIFY HERE (8 of 8): `reply.from` answers a leader's heartbeat. [Paper §5.1]
    fn leader_on_append_entries_reply(me: &mut Server, _reply: AppendEntriesReply) {
        me.hole(8);
    }
    // END OF MODIFY
}

fn main() -> ExitCode {
    let word = std::env::args().nth(1);
    let good = match word.as_deref() {
        None => {
            let report = exercise::check::<Mine>();
            print!("{report}");
            report.is_solved()
        }
        Some("log") => {
            let seed = std::env::args().nth(2).and_then(|seed| seed.parse().ok()).unwrap_or(1);
            print!("{}", exercise::log::<Mine>(seed, 5));
            true
        }
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(|why| format!("{file}: {why}"));
            match text.and_then(|text| exercise::play::<Mine>(&text)) {
                Ok((told, failure)) => {
                    print!("{told}");
                    failure.inspect(|why| eprintln!("{why}")).is_none()
                }
                Err(why) => {
                    eprintln!("{why}");
                    false
                }
            }
        }
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
