//! The safety reader: a story without fault, and one record for each property that breaks it.

use jangada_node::event::{DiskEvent, Event, Record};
use jangada_raft::event::{Event as RaftEvent, RoleChange, RoleName};
use jangada_raft::types::{Index, NodeId, Term, Time};
use jangada_trace::safety::{Property, Safety};

/// Records of a cluster; each server counts its own.
#[derive(Clone, Default)]
struct Story {
    safety: Safety,
    seqs: std::collections::BTreeMap<u64, u64>,
}

impl Story {
    fn tell(&mut self, node: u64, event: Event) -> Result<(), (Property, String)> {
        let seq = self.seqs.entry(node).or_default();
        *seq += 1;
        let record = Record { time: Time(*seq), node: NodeId(node), seq: *seq, event };
        self.safety.read(&record).map_err(|violation| (violation.property, violation.to_string()))
    }

    fn raft(&mut self, node: u64, event: RaftEvent) -> Result<(), (Property, String)> {
        self.tell(node, Event::Raft(event))
    }

    fn elect(&mut self, node: u64, term: u64) -> Result<(), (Property, String)> {
        let why = RoleChange::ElectionWon;
        self.raft(node, RaftEvent::RoleChanged { role: RoleName::Leader, term: Term(term), why })
    }

    fn follow(&mut self, node: u64, term: u64) -> Result<(), (Property, String)> {
        let why = RoleChange::HigherTerm;
        self.raft(node, RaftEvent::RoleChanged { role: RoleName::Follower, term: Term(term), why })
    }

    fn append(&mut self, node: u64, first: u64, last: u64, term: u64) -> Result<(), (Property, String)> {
        self.raft(node, RaftEvent::Appended { first: Index(first), last: Index(last), term: Term(term) })
    }

    fn commit(&mut self, node: u64, index: u64, term: u64) -> Result<(), (Property, String)> {
        self.raft(node, RaftEvent::Committed { index: Index(index), term: Term(term) })
    }

    fn truncate(&mut self, node: u64, from: u64, last: u64) -> Result<(), (Property, String)> {
        self.raft(node, RaftEvent::Truncated { from: Index(from), last: Index(last) })
    }
}

/// n1 leads in term 1 and commits 1 to 3 with n2; n3 has only the first two.
fn begun() -> Story {
    let mut story = Story::default();
    story.elect(1, 1).expect("nothing is wrong yet");
    story.append(1, 1, 3, 1).expect("nothing is wrong yet");
    for (node, last) in [(2, 3), (3, 2)] {
        story.append(node, 1, 1, 1).expect("nothing is wrong yet");
        story.append(node, 2, last, 1).expect("nothing is wrong yet");
    }
    story.commit(1, 3, 1).expect("nothing is wrong yet");
    story.commit(2, 3, 1).expect("nothing is wrong yet");
    story
}

#[track_caller]
fn violates(result: Result<(), (Property, String)>, property: Property, words: &str) {
    let (found, explanation) = result.expect_err("it violates something");
    assert_eq!(found, property, "{explanation}");
    assert!(explanation.contains(words), "{words:?} is not in: {explanation}");
}

#[test]
fn a_change_of_leaders_is_safe() {
    let mut story = begun();
    // n1 appends what nobody else gets; n2 takes over, and n1 gives way.
    story.append(1, 4, 5, 1).unwrap();
    story.elect(2, 2).unwrap();
    story.append(2, 4, 4, 2).unwrap();
    story.follow(1, 2).unwrap();
    story.truncate(1, 4, 5).unwrap();
    story.append(1, 4, 4, 2).unwrap();
    story.commit(2, 4, 2).unwrap();
    story.commit(1, 4, 2).unwrap();
    // A start forgets the commit index, and finds the log as it is on the disk.
    let opened = DiskEvent::Opened { entries: 4, last: Index(4), snapshot: Index::ZERO, torn_bytes: 0 };
    story.seqs.insert(1, 0);
    story.tell(1, Event::Disk(opened)).unwrap();
    story.commit(1, 3, 2).unwrap();
    // n3 gets a snapshot.
    let from = NodeId(2);
    story.raft(3, RaftEvent::SnapshotInstalled { index: Index(4), term: Term(2), from }).unwrap();
    story.append(3, 5, 5, 2).unwrap();
}

#[test]
fn two_leaders_of_a_term() {
    violates(begun().elect(2, 1), Property::ElectionSafety, "n1 and n2 both lead in term 1");
}

#[test]
fn a_leader_that_removes_entries() {
    violates(begun().truncate(1, 4, 4), Property::LeaderAppendOnly, "n1 leads in term 1");
}

#[test]
fn logs_that_agree_and_do_not() {
    let mut story = begun();
    story.elect(2, 2).unwrap();
    story.append(2, 4, 4, 2).unwrap();
    story.append(2, 5, 5, 2).unwrap();
    story.append(1, 4, 4, 1).unwrap();
    violates(story.append(1, 5, 5, 2), Property::LogMatching, "at 4 one has term 1 and the other term 2");
    violates(begun().append(2, 4, 4, 0), Property::LogMatching, "term 0 behind one of term 1");
}

#[test]
fn a_leader_without_what_is_committed() {
    violates(begun().elect(3, 2), Property::LeaderCompleteness, "ends at 2, but 3 was committed before");
    let mut story = begun();
    story.append(3, 3, 3, 2).unwrap();
    violates(story.elect(3, 3), Property::LeaderCompleteness, "an entry of term 2 at 3, where one of term 1");
}

#[test]
fn a_leader_of_the_past_may_lack_what_a_later_one_has_committed() {
    let mut story = begun();
    story.elect(2, 3).unwrap();
    story.append(2, 4, 4, 3).unwrap();
    story.commit(2, 4, 3).unwrap();
    // n1 collects the last vote for term 2 only now.
    story.elect(1, 2).unwrap();
}

#[test]
fn different_entries_committed_at_one_place() {
    let mut story = begun();
    story.append(3, 3, 3, 2).unwrap();
    violates(story.commit(3, 3, 2), Property::StateMachineSafety, "of term 2 at 3, where one of term 1");
    violates(begun().truncate(2, 3, 3), Property::StateMachineSafety, "has committed up to 3");
    let mut story = begun();
    let taken = RaftEvent::SnapshotTaken { index: Index(4), term: Term(1) };
    violates(story.raft(1, taken), Property::StateMachineSafety, "made a snapshot up to 4");
}

#[test]
fn two_votes_in_a_term() {
    let vote = |to| RaftEvent::VoteGranted { to: NodeId(to), term: Term(2), pre_vote: false };
    let mut story = begun();
    story.raft(3, vote(1)).unwrap();
    story.raft(3, vote(1)).unwrap();
    violates(story.raft(3, vote(2)), Property::OneVote, "n3 voted for n1 and for n2 in term 2");
}

#[test]
fn numbers_that_go_back() {
    let mut story = begun();
    story.follow(3, 5).unwrap();
    violates(story.follow(3, 4), Property::MonotonicTerm, "from term 5 back to term 4");
    violates(begun().commit(1, 3, 1), Property::MonotonicCommit, "up to 3 after it had up to 3");
}

#[test]
fn a_snapshot_that_a_crash_let_nobody_tell_of_is_no_violation() {
    let mut story = begun();
    story.append(1, 4, 4, 1).unwrap();
    story.elect(2, 2).unwrap();
    story.append(2, 4, 4, 2).unwrap();
    story.append(2, 5, 5, 2).unwrap();
    // n2 has sent n1 a snapshot up to 4; n1 is killed when that is on its disk.
    let (last, snapshot) = (Index(4), Index(4));
    story.tell(1, Event::Disk(DiskEvent::Opened { entries: 0, last, snapshot, torn_bytes: 0 })).unwrap();
    story.append(1, 5, 5, 2).unwrap();
}

#[test]
fn what_was_dropped_is_no_violation() {
    let mut story = begun();
    // n3 has truncated and appended again, but nobody saw the records of that.
    story.append(3, 3, 3, 2).unwrap();
    *story.seqs.get_mut(&3).unwrap() += 2;
    story.commit(3, 3, 2).unwrap();
}
