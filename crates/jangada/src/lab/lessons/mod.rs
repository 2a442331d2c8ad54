//! The lessons: what each is played on, and what its tasks come to.
//!
//! A lesson's words stand in `en.toml` and `pt.toml` (`course.rs` reads them); what is true of the servers when a task is
//! done stands in `elections.rs`, `logs.rs` and `service.rs`: a check looks at the servers and at what happened
//! (`scene.rs`), and believes nobody. `classroom.rs` leads through them.

pub mod scene; // what checks look at
pub mod course; // what is said, in each language
mod elections; // checks: one leader, a split vote, a killed leader
mod logs; // checks: the paper's Figures 7 and 8, snapshots
mod service; // checks: members, linearizability

use scene::{Notes, Scene, Verdict};

/// How many there are.
pub const LESSONS: usize = 8;

/// A look at the servers: the task is done, or not yet, and why not.
pub type Check = fn(&Scene<'_>, &mut Notes) -> Verdict;

/// What a lesson is played on.
pub struct Lesson {
    /// It needs arranged logs, held messages or a time that stands still: no real servers.
    pub made_up: bool,
    /// The lines that set it up.
    pub setup: &'static [&'static str],
    /// One for each of its tasks.
    pub checks: &'static [Check],
}

/// In the order in which they are met.
pub const PLAN: [Lesson; LESSONS] = [
    Lesson {
        made_up: false,
        setup: &["servers 5"],
        checks: &[elections::somebody_leads, elections::another_leads],
    },
    Lesson {
        made_up: true,
        setup: &["servers 4"],
        checks: &[elections::votes_are_split, elections::a_later_term_decides],
    },
    Lesson {
        made_up: false,
        setup: &["servers 5"],
        checks: &[elections::a_write_is_kept, elections::it_is_replaced, elections::it_follows],
    },
    Lesson {
        made_up: true,
        setup: &[
            "servers 7",
            "profile classic",
            "log 1 1 1 1 4 4 5 5 6 6 6 at term 7",
            "log 2 1 1 1 4 4 5 5 6 6",
            "log 3 1 1 1 4",
            "log 4 1 1 1 4 4 5 5 6 6 6 6",
            "log 5 1 1 1 4 4 5 5 6 6 6 7 7",
            "log 6 1 1 1 4 4 4 4",
            "log 7 1 1 1 2 2 2 3 3 3 3 3",
            "show log",
        ],
        checks: &[logs::the_figures_leader, logs::all_logs_are_its_own],
    },
    Lesson {
        made_up: true,
        setup: &[
            "servers 5",
            "profile classic",
            "config max_append_entries 1",
            "log 1 1 2 at term 3",
            "log 2 1 2 at term 3",
            "log 3 1 at term 3",
            "log 4 1 at term 3",
            "log 5 1 3",
            "hold 1 -> all append",
            "show log",
        ],
        checks: &[logs::n1_leads_again, logs::old_and_on_a_majority, logs::it_is_overwritten],
    },
    Lesson {
        made_up: false,
        setup: &["servers 3"],
        checks: &[service::two_more_vote, service::the_leader_leaves, service::as_many_fail_as_may],
    },
    Lesson {
        made_up: false,
        setup: &["servers 3", "config keep_bytes_behind_snapshot 0"],
        checks: &[logs::one_is_away, logs::what_it_lacks_is_gone, logs::it_got_the_snapshot],
    },
    Lesson {
        made_up: false,
        setup: &["servers 5"],
        checks: &[
            elections::a_write_is_kept,
            service::two_truths,
            service::the_old_one_does_not_say_it,
            service::one_truth,
        ],
    },
];
