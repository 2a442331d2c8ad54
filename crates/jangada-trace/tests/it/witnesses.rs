//! The revision witness: what it accepts, and one history for each thing that must hold.

use bytes::Bytes;
use jangada_kv::{
    DeleteRange, DeleteRangeResponse, KeyRange, KeyValue, Put, PutResponse, RangeRequest, RangeResponse,
    Request, Response, Revision,
};
use jangada_raft::types::Time;
use jangada_trace::history::History;
use jangada_trace::witness::{Changes, Rule, Verdict, check};

use crate::brute;
use crate::generate::{Chance, Mix, Shape, broken, correct_with_changes};

const SMALL: Shape = Shape {
    operations: 6,
    keys: 2,
    overlap: 3,
    unanswered: 0,
    refused: 5,
    unique_values: true,
    mix: Mix::Etcd,
    revisions: true,
};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

#[test]
fn what_the_witness_accepts_is_linearizable_and_right_histories_are_accepted() {
    let mut violated = 0;
    for seed in 0..400 {
        let mut chance = Chance::new(seed);
        let shape = Shape {
            overlap: 1 + chance.below(4),
            unanswered: 20 * chance.below(2),
            mix: [Mix::Etcd, Mix::All][chance.below(2) as usize],
            ..SMALL
        };
        let (history, changes) = correct_with_changes(&mut chance, shape);
        let report = check(&history, Some(&changes));
        assert_eq!(report.verdict, Verdict::Consistent, "seed {seed}\n{history:#?}");
        let mut wrong = history;
        for _ in 0..3 {
            wrong = broken(&mut chance, &wrong);
            let report = check(&wrong, Some(&changes));
            if report.verdict == Verdict::Consistent && report.without_revision == 0 {
                assert!(brute::is_linearizable(&wrong), "seed {seed}: accepted\n{wrong:#?}");
            }
            violated += u32::from(matches!(report.verdict, Verdict::Violated { .. }));
        }
    }
    assert!(violated > 100, "only {violated} histories were wrong: the test has lost its point");
}

#[test]
fn a_long_history_with_unanswered_writes_is_judged() {
    let shape = Shape { operations: 5_000, keys: 10, overlap: 10, unanswered: 5, ..SMALL };
    let (history, changes) = correct_with_changes(&mut Chance::new(1), shape);
    let report = check(&history, Some(&changes));
    assert_eq!(report.verdict, Verdict::Consistent);
    assert!(report.judged > 4_000, "{report:?}");
}

struct Story(History);

impl Story {
    fn new() -> Story {
        Story(History::new())
    }

    fn put(mut self, window: (u64, u64), key: &str, value: &str, revision: u64) -> Story {
        let id = self.0.invoke(1, Time(window.0), Request::Put(Put::new(bytes(key), bytes(value))));
        let response = PutResponse { revision: Revision(revision), prev_kv: None };
        self.0.returned(id, Time(window.1), Response::Put(response));
        self
    }

    /// `found`: value, revision of its change, version. All keys are created by their first change.
    fn get(
        mut self,
        window: (u64, u64),
        key: &str,
        found: Option<(&str, u64, u64, u64)>,
        revision: u64,
    ) -> Story {
        let range = RangeRequest::new(KeyRange::One(bytes(key)));
        let id = self.0.invoke(2, Time(window.0), Request::Range(Box::new(range)));
        let kvs: Vec<KeyValue> = found
            .into_iter()
            .map(|(value, created, modified, version)| KeyValue {
                key: bytes(key),
                value: bytes(value),
                create_revision: Revision(created),
                mod_revision: Revision(modified),
                version,
                lease: None,
                deadline: None,
            })
            .collect();
        let count = kvs.len() as u64;
        let response = RangeResponse { revision: Revision(revision), kvs, more: false, count };
        self.0.returned(id, Time(window.1), Response::Range(response));
        self
    }

    #[track_caller]
    fn right(self) {
        assert_eq!(check(&self.0, None).verdict, Verdict::Consistent);
    }

    #[track_caller]
    fn violates(self, expected: Rule, words: &str) {
        match check(&self.0, None).verdict {
            Verdict::Violated { rule, explanation } => {
                assert_eq!(rule, expected, "{explanation}");
                assert!(explanation.contains(words), "{words:?} is not in: {explanation}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn writes_and_reads_in_the_order_of_revisions_are_right() {
    Story::new()
        .put((0, 10), "k", "a", 2)
        .put((5, 30), "k", "b", 3)
        .get((5, 20), "k", Some(("a", 2, 2, 1)), 2)
        .get((15, 40), "k", Some(("b", 2, 3, 2)), 3)
        .right();
}

#[test]
fn a_revision_is_made_once() {
    Story::new()
        .put((0, 10), "k", "a", 2)
        .put((0, 10), "x", "b", 2)
        .violates(Rule::Dense, "revision 2 was made twice");
}

#[test]
fn a_revision_is_made_by_somebody() {
    Story::new().put((0, 10), "k", "a", 3).violates(Rule::Dense, "revision 2 was made by no operation");
}

#[test]
fn a_read_shows_the_state_of_its_revision() {
    let story = || Story::new().put((0, 10), "k", "a", 2).put((20, 30), "k", "b", 3);
    story().get((20, 40), "k", Some(("a", 2, 2, 1)), 3).violates(Rule::Reads, "\"k\" is \"b\" of revision 3");
    story().get((20, 40), "k", Some(("b", 2, 3, 1)), 3).violates(Rule::Reads, "at revision 3");
    story().get((20, 40), "x", Some(("b", 2, 3, 1)), 3).violates(Rule::Reads, "there is no such key");
}

#[test]
fn a_stale_read_falls_behind() {
    Story::new()
        .put((0, 10), "k", "a", 2)
        .put((20, 30), "k", "b", 3)
        .get((40, 50), "k", Some(("a", 2, 2, 1)), 2)
        .violates(Rule::NotBackwards, "at revision 2, although client 1: put");
}

#[test]
fn a_read_does_not_know_the_future() {
    Story::new()
        .put((20, 30), "k", "a", 2)
        .get((0, 10), "k", Some(("a", 2, 2, 1)), 2)
        .violates(Rule::NotAhead, "invoked only at 0.00002 ms");
}

#[test]
fn an_unanswered_write_is_found_by_what_somebody_was_shown() {
    let story = |shown: &str| {
        let mut story = Story::new();
        story.0.invoke(3, Time(0), Request::Put(Put::new(bytes("k"), bytes("a"))));
        story.0.invoke(4, Time(0), Request::Put(Put::new(bytes("k"), bytes("b"))));
        story.get((10, 20), "k", Some((shown, 2, 2, 1)), 2).put((30, 40), "k", "c", 3)
    };
    story("a").right();
    story("b").right();
    story("c").violates(Rule::Dense, "revision 2 was made by no operation");
}

#[test]
fn an_unanswered_delete_is_found_by_the_changes() {
    let mut history = Story::new().put((0, 10), "k", "a", 2).put((0, 10), "x", "b", 3).0;
    for key in ["k", "x"] {
        let range = KeyRange::One(bytes(key));
        history.invoke(3, Time(20), Request::DeleteRange(DeleteRange { range, prev_kv: false }));
    }
    let last = Story(history).put((30, 40), "y", "c", 5).0;
    let Verdict::Undecided { why } = check(&last, None).verdict else { panic!("two could have done it") };
    assert!(why.contains("revision 4 may have been made by 2 operations"), "{why}");
    let one = |key: &str, value: Option<&str>| [(bytes(key), value.map(bytes))].into();
    let changes: Changes = [
        (Revision(2), one("k", Some("a"))),
        (Revision(3), one("x", Some("b"))),
        (Revision(4), one("x", None)),
        (Revision(5), one("y", Some("c"))),
    ]
    .into();
    assert_eq!(check(&last, Some(&changes)).verdict, Verdict::Consistent);
    let mut other = changes.clone();
    other.insert(Revision(3), one("x", Some("?")));
    assert!(matches!(check(&last, Some(&other)).verdict, Verdict::Violated { rule: Rule::Replay, .. }));
}

#[test]
fn a_delete_that_found_something_that_was_not_there_is_wrong() {
    let mut history = Story::new().put((0, 10), "k", "a", 2).0;
    let range = KeyRange::One(bytes("x"));
    let id = history.invoke(3, Time(20), Request::DeleteRange(DeleteRange { range, prev_kv: false }));
    let response = DeleteRangeResponse { revision: Revision(3), deleted: 1, prev_kvs: vec![] };
    history.returned(id, Time(30), Response::DeleteRange(response));
    Story(history).violates(Rule::Replay, "there is no such key");
}
