//! The exercise: as it stands it never elects, with its holes filled in it does, and what is wrong is told.

use jangada_raft::event::RoleName;
use jangada_sim::exercise::scenes::{SCENES, SEEDS};
use jangada_sim::exercise::{
    AppendEntries, AppendEntriesReply, Election, HoleState, RequestVote, RequestVoteReply, Server, check,
    log, play,
};

/// The sheet itself, as students find it.
#[path = "../../examples/exercise.rs"]
#[allow(dead_code, reason = "its main is not run here")]
mod sheet;

use sheet::Mine as Skeleton;

/// A solution.
struct Solution;

/// "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to follower" (Figure 2).
fn enter(me: &mut Server, term: jangada_raft::types::Term) -> bool {
    let later = term > me.current_term;
    if later {
        me.current_term = term;
        me.voted_for = None;
        me.become_follower();
    }
    later
}

impl Election for Solution {
    fn follower_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
        enter(me, ask.term);
        let free = me.voted_for.is_none_or(|voted_for| voted_for == ask.candidate);
        let granted = ask.term == me.current_term && free;
        if granted {
            me.voted_for = Some(ask.candidate);
            me.reset_election_timeout();
        }
        me.vote(granted)
    }

    fn follower_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
        enter(me, ask.term);
        let current = ask.term == me.current_term;
        if current {
            me.reset_election_timeout();
        }
        me.answer(current)
    }

    fn candidate_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
        if enter(me, ask.term) {
            return Self::follower_on_request_vote(me, ask);
        }
        me.vote(false)
    }

    fn candidate_on_request_vote_reply(me: &mut Server, reply: RequestVoteReply) {
        if enter(me, reply.term) || reply.term < me.current_term || !reply.vote_granted {
            return;
        }
        me.votes.insert(reply.from);
        if me.votes.len() > me.servers / 2 {
            me.become_leader();
        }
    }

    fn candidate_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
        if ask.term < me.current_term {
            return me.answer(false);
        }
        me.become_follower();
        Self::follower_on_append_entries(me, ask)
    }

    fn leader_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
        Self::candidate_on_request_vote(me, ask)
    }

    fn leader_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
        if enter(me, ask.term) {
            return Self::follower_on_append_entries(me, ask);
        }
        me.answer(false)
    }

    fn leader_on_append_entries_reply(me: &mut Server, reply: AppendEntriesReply) {
        enter(me, reply.term);
    }
}

/// The solution, but for one hole, which is as `Other` has it.
struct But<const HOLE: u8, Other>(Other);

macro_rules! choose {
    ($number:literal, $name:ident($me:ident, $what:ident: $type:ty) $(-> $answer:ty)?) => {
        fn $name($me: &mut Server, $what: $type) $(-> $answer)? {
            if HOLE == $number { Other::$name($me, $what) } else { Solution::$name($me, $what) }
        }
    };
}

impl<const HOLE: u8, Other: Election> Election for But<HOLE, Other> {
    choose!(1, follower_on_request_vote(me, ask: RequestVote) -> RequestVoteReply);
    choose!(2, follower_on_append_entries(me, ask: AppendEntries) -> AppendEntriesReply);
    choose!(3, candidate_on_request_vote(me, ask: RequestVote) -> RequestVoteReply);
    choose!(4, candidate_on_request_vote_reply(me, reply: RequestVoteReply));
    choose!(5, candidate_on_append_entries(me, ask: AppendEntries) -> AppendEntriesReply);
    choose!(6, leader_on_request_vote(me, ask: RequestVote) -> RequestVoteReply);
    choose!(7, leader_on_append_entries(me, ask: AppendEntries) -> AppendEntriesReply);
    choose!(8, leader_on_append_entries_reply(me, reply: AppendEntriesReply));
}

/// "The instances never come to a decision."
#[test]
fn the_sheet_as_it_stands_never_elects() {
    let report = check::<Skeleton>();
    assert_eq!(report.holes, vec![HoleState::Empty; 8]);
    assert!(!report.is_solved());
    for seed in 1..=50 {
        let script =
            format!("servers 5\nseed {seed}\nalways no leader for 60s\nexpect term rises\nshow roles");
        let (told, failure) = play::<Skeleton>(&script).expect("a good script");
        assert_eq!(failure, None, "seed {seed}: {told}");
    }
    let log = log::<Skeleton>(1, 5);
    assert!(log.contains("[CANDIDATE] Vote denied by 'localhost:300"), "{log}");
    assert!(log.contains("Running for term '2'."), "{log}");
    assert!(!log.contains("Becoming leader."), "{log}");
}

#[test]
fn with_its_holes_filled_in_it_elects_and_passes() {
    let report = check::<Solution>();
    assert!(report.is_solved(), "{report}");
    for scene in SCENES {
        for seed in 1..=3 * SEEDS {
            scene.play::<Solution>(seed).unwrap_or_else(|why| panic!("{}, seed {seed}: {why}", scene.shows));
        }
    }
    let log = log::<Solution>(1, 5);
    assert!(log.contains("[CANDIDATE] Becoming leader."), "{log}");
    assert!(log.contains("[FOLLOWER] Accept AppendEntry from"), "{log}");
}

/// One hole is left: it is named, those that are full are not blamed, and those that call it wait for it.
fn names_the_empty_one<const HOLE: u8>() {
    let report = check::<But<HOLE, Skeleton>>();
    for (state, hole) in report.holes.iter().zip(1..) {
        let fine = if hole == HOLE { HoleState::Empty } else { HoleState::Right };
        assert_eq!(*state, fine, "hole {hole}: {report}");
    }
    assert!(report.to_string().contains(&format!("hole {HOLE}  ")), "{report}");
    assert!(!report.is_solved());
}

#[test]
fn a_hole_that_is_left_is_named() {
    names_the_empty_one::<1>();
    names_the_empty_one::<2>();
    names_the_empty_one::<3>();
    names_the_empty_one::<4>();
    names_the_empty_one::<5>();
    names_the_empty_one::<6>();
    names_the_empty_one::<7>();
    names_the_empty_one::<8>();
}

/// Mistakes that were made in the lab's own solution, and others that everybody makes once.
struct Mistaken;

impl Election for Mistaken {
    /// A refusal puts its own campaign off, too.
    fn follower_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
        let reply = Solution::follower_on_request_vote(me, ask);
        me.reset_election_timeout();
        reply
    }

    /// The leader of an old term is believed.
    fn follower_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
        enter(me, ask.term);
        me.reset_election_timeout();
        me.answer(true)
    }

    /// It takes its own vote back for another of the same term.
    fn candidate_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
        me.become_follower();
        me.voted_for = None;
        Solution::follower_on_request_vote(me, ask)
    }

    /// A vote counts in whatever campaign it arrives.
    fn candidate_on_request_vote_reply(me: &mut Server, reply: RequestVoteReply) {
        Solution::candidate_on_request_vote_reply(me, RequestVoteReply { term: me.current_term, ..reply });
    }

    /// Whoever follows has nobody's vote given.
    fn candidate_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
        let reply = Solution::candidate_on_append_entries(me, ask);
        if me.role() == RoleName::Follower {
            me.voted_for = None;
        }
        reply
    }

    /// A leader never gives way to a candidate.
    fn leader_on_request_vote(me: &mut Server, _: RequestVote) -> RequestVoteReply {
        me.vote(false)
    }

    /// It steps down for whoever says to lead.
    fn leader_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
        me.become_follower();
        Solution::follower_on_append_entries(me, ask)
    }

    /// Any refusal ends its leadership.
    fn leader_on_append_entries_reply(me: &mut Server, reply: AppendEntriesReply) {
        if !reply.success {
            me.become_follower();
        }
        enter(me, reply.term);
    }
}

#[test]
fn a_mistake_is_told_with_its_situation_and_its_section() {
    let report = check::<Mistaken>();
    let says = [
        ("is asked by n2 for its vote in term 3: its election timeout began anew", "paper §5.2"),
        ("a follower of term 3 that has not voted hears n2 lead in term 2: it answered yes", "Figure 2"),
        (
            "a candidate of term 3 with 1 of 5 votes is asked by n2 for its vote in term 3: it answered yes",
            "§5.2",
        ),
        (
            "with 2 of 5 votes is answered yes by n3 in term 2: it was a leader afterwards, not a candidate",
            "§5.1",
        ),
        ("hears n2 lead in term 3: its vote was nobody's, not n1's", "§5.2"),
        ("a leader of term 3 is asked by n2 for its vote in term 5: it answered no", "§5.1"),
        ("a leader of term 3 hears n2 lead in term 2: it was a follower afterwards, not a leader", "§5.1"),
        (
            "a leader of term 3 is answered no by n2 in term 2: it was a follower afterwards, not a leader",
            "§5.1",
        ),
    ];
    for (state, (what, section)) in report.holes.iter().zip(says) {
        let HoleState::Wrong(why) = state else { panic!("{what}: {state:?}") };
        assert!(why.contains(what) && why.contains(section), "{what}: {why}");
    }
}

/// Even where no single situation shows it, two leaders in a term do not pass: here everybody votes for everybody.
#[test]
fn whoever_votes_twice_is_caught_by_what_it_leads_to() {
    struct Generous;
    impl Election for Generous {
        fn follower_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
            enter(me, ask.term);
            me.voted_for = Some(ask.candidate);
            me.reset_election_timeout();
            me.vote(ask.term == me.current_term)
        }
        fn follower_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
            Solution::follower_on_append_entries(me, ask)
        }
        fn candidate_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
            Solution::candidate_on_request_vote(me, ask)
        }
        fn candidate_on_request_vote_reply(me: &mut Server, reply: RequestVoteReply) {
            Solution::candidate_on_request_vote_reply(me, reply);
        }
        fn candidate_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
            Solution::candidate_on_append_entries(me, ask)
        }
        fn leader_on_request_vote(me: &mut Server, ask: RequestVote) -> RequestVoteReply {
            Solution::leader_on_request_vote(me, ask)
        }
        fn leader_on_append_entries(me: &mut Server, ask: AppendEntries) -> AppendEntriesReply {
            Solution::leader_on_append_entries(me, ask)
        }
        fn leader_on_append_entries_reply(me: &mut Server, reply: AppendEntriesReply) {
            Solution::leader_on_append_entries_reply(me, reply);
        }
    }
    let failures = (1..=SEEDS).filter_map(|seed| SCENES[1].play::<Generous>(seed).err());
    let why: Vec<String> = failures.collect();
    assert!(why.iter().any(|why| why.contains("voted for n1 and for n2 in term 1")), "{why:?}");
}

/// What the exercise cannot do is told in a sentence.
#[test]
fn what_the_exercise_cannot_do_is_told() {
    for (script, says) in [
        ("servers 1\nwait leader", "an election takes two servers at least"),
        ("servers 3\nlog 1 1 1\nwait leader", "have no log"),
        (
            "servers 3\nwait leader\nset d 8",
            "the servers of the exercise elect a leader, and can do nothing else",
        ),
        ("servers 3\nstall 1", "its disks are always quick"),
        ("servers 3\nhold", "only in a simulated cluster"),
    ] {
        let (_, failure) = play::<Solution>(script).expect("a good script");
        let failure = failure.unwrap_or_else(|| panic!("{script}: nothing failed"));
        assert!(failure.contains(says), "{script}: {failure}");
    }
    assert!(play::<Solution>("crsh 1").is_err_and(|why| why.contains("did you mean `crash`")));
}

/// docs/exercise.md, and the same in Portuguese, show what a student sees. `JANGADA_BLESS=1` writes down what that is now.
#[test]
fn the_documents_show_what_is_printed() {
    let printed = [check::<Skeleton>().to_string(), first_wrong(&check::<But<1, Mistaken>>())];
    for name in ["exercise.md", "exercise.pt.md"] {
        shows(name, &printed);
    }
}

fn shows(name: &str, printed: &[String]) {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name);
    let document = std::fs::read_to_string(&path).expect("the document");
    let mut parts: Vec<String> = document.split("```").map(str::to_owned).collect();
    let blocks = parts.iter_mut().filter(|part| part.starts_with("text\n"));
    for (block, printed) in blocks.zip(printed) {
        *block = format!("text\n{}\n", printed.trim_end());
    }
    let now = parts.join("```");
    if std::env::var_os("JANGADA_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, &now).expect("the document can be written");
    }
    let difference = jangada_sim::script::file::difference(&document, &now);
    assert_eq!(difference, "", "{name}: JANGADA_BLESS=1 writes it anew");
}

/// The three lines of the first hole that is wrong.
fn first_wrong(report: &jangada_sim::exercise::Report) -> String {
    let text = report.to_string();
    let wrong: Vec<&str> = text.lines().skip_while(|line| !line.ends_with("wrong")).take(3).collect();
    wrong.join("\n")
}
