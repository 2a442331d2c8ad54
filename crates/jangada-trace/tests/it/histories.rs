//! Histories that are known to be right or wrong, among them those that a simpler checker gets wrong.

use bytes::Bytes;
use jangada_kv::{
    Command, Compare, CompareOperator, CompareTarget, KeyRange, Put, PutResponse, RangeRequest,
    RangeResponse, Reply, Request, Response, Revision, Set, SetCondition, Txn, TxnOp, TxnOpResponse,
    TxnResponse,
};
use jangada_raft::types::Time;
use jangada_trace::history::{History, Operation, Outcome};
use jangada_trace::linearizable::{Limits, Verdict, check};

fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

/// Operations of string commands, one per line: `client from to command answer`. No `to`: outcome unknown.
struct Story(History);

impl Story {
    fn new() -> Story {
        Story(History::new())
    }

    fn op(mut self, client: u64, window: (u64, u64), command: Command, reply: Reply) -> Story {
        let response = Response::Reply(reply);
        let outcome = Outcome::Returned { at: Time(window.1), response, revision: None };
        let request = Request::Command(command);
        self.0.push(Operation { client, invoked: Time(window.0), request, outcome });
        self
    }

    fn unknown(mut self, client: u64, from: u64, command: Command) -> Story {
        self.0.invoke(client, Time(from), Request::Command(command));
        self
    }

    fn refused(mut self, client: u64, window: (u64, u64), command: Command) -> Story {
        let id = self.0.invoke(client, Time(window.0), Request::Command(command));
        self.0.refused(id, Time(window.1));
        self
    }

    #[track_caller]
    fn right(self) {
        let report = check(&self.0, &Limits::default());
        assert_eq!(report.verdict, Verdict::Linearizable);
        assert!(crate::brute::is_linearizable(&self.0), "brute force disagrees");
    }

    /// The explanation contains all these words.
    #[track_caller]
    fn wrong(self, words: &[&str]) {
        let report = check(&self.0, &Limits::default());
        let Verdict::NotLinearizable { explanation, .. } = &report.verdict else {
            panic!("accepted: {:?}", report.verdict);
        };
        for word in words {
            assert!(explanation.contains(word), "{word:?} is not in: {explanation}");
        }
        assert!(!crate::brute::is_linearizable(&self.0), "brute force disagrees");
    }
}

fn set(value: &str) -> Command {
    Command::Set(Set::new(bytes("k"), bytes(value)))
}

fn get() -> Command {
    Command::Get { key: bytes("k") }
}

fn value(text: &str) -> Reply {
    Reply::Value(bytes(text))
}

#[test]
fn overlapping_writes_may_be_read_in_either_order() {
    let story = |read: &str| {
        Story::new().op(1, (0, 100), set("a"), Reply::Ok).op(2, (0, 100), set("b"), Reply::Ok).op(
            3,
            (110, 120),
            get(),
            value(read),
        )
    };
    story("a").right();
    story("b").right();
    story("c").wrong(&["client 3", "\"c\"", "nobody had asked to write \"c\" by then"]);
}

#[test]
fn a_stale_read_between_two_overlapping_writes_is_found() {
    // Each read alone can be explained; a checker that only asks whether the value was ever current accepts this.
    Story::new()
        .op(1, (0, 100), set("a"), Reply::Ok)
        .op(2, (0, 100), set("b"), Reply::Ok)
        .op(3, (10, 20), get(), value("a"))
        .op(3, (30, 40), get(), value("b"))
        .op(3, (50, 60), get(), value("a"))
        .wrong(&["client 3: GET \"k\" (0.00005 ms to 0.00006 ms) → \"a\"", "\"b\" (by client 2 at 0 ms)"]);
}

#[test]
fn a_read_must_not_go_back_behind_what_another_client_has_read() {
    Story::new()
        .op(1, (0, 10), set("a"), Reply::Ok)
        .op(1, (20, 100), set("b"), Reply::Ok)
        .op(2, (30, 40), get(), value("b"))
        .op(3, (50, 60), get(), value("a"))
        .wrong(&["client 3", "\"b\""]);
}

#[test]
fn windows_that_touch_overlap() {
    let story = |from| Story::new().op(1, (0, 50), set("a"), Reply::Ok).op(2, (from, 60), get(), Reply::Nil);
    story(50).right();
    story(51).wrong(&["nil"]);
}

#[test]
fn an_unanswered_write_may_surface_much_later() {
    Story::new()
        .unknown(1, 0, set("a"))
        .op(2, (10, 20), set("b"), Reply::Ok)
        .op(2, (30, 40), get(), value("b"))
        .op(2, (50, 60), get(), value("a"))
        .op(2, (70, 80), get(), value("a"))
        .right();
}

#[test]
fn an_unanswered_write_takes_effect_once() {
    Story::new()
        .unknown(1, 0, set("a"))
        .op(2, (10, 20), get(), value("a"))
        .op(2, (30, 40), set("b"), Reply::Ok)
        .op(2, (50, 60), get(), value("b"))
        .op(2, (70, 80), get(), value("a"))
        .wrong(&["client 2: GET \"k\" (0.00007 ms"]);
}

#[test]
fn an_unanswered_write_cannot_be_read_before_it_was_asked_for() {
    Story::new().op(2, (0, 10), get(), value("a")).unknown(1, 20, set("a")).wrong(&["nobody had asked"]);
}

#[test]
fn an_unanswered_write_that_nobody_reads_may_still_be_what_a_delete_found() {
    let delete = || Command::Delete { keys: vec![bytes("k")] };
    let story =
        |writes: u64| {
            let story = (0..writes).fold(Story::new(), |story, n| story.unknown(1, n, set(&format!("v{n}"))));
            story
                .op(2, (10, 20), delete(), Reply::Integer(1))
                .op(2, (30, 40), delete(), Reply::Integer(1))
                .op(2, (50, 60), get(), Reply::Nil)
        };
    story(3).right();
    story(2).right();
    story(1).wrong(&["DEL"]);
}

#[test]
fn a_refused_write_is_never_seen() {
    Story::new()
        .refused(1, (0, 10), set("a"))
        .op(2, (20, 30), get(), value("a"))
        .wrong(&["\"k\" missing", "nobody had asked to write \"a\""]);
}

/// What is shown may be an unanswered value with something behind it, the beginning of a longer one, or made of additions
/// alone: only what nothing else explains dates the write.
#[test]
fn a_value_that_was_appended_to_is_known_by_its_beginning() {
    let append = |text: &str| Command::Append { key: bytes("k"), value: bytes(text) };
    let delete = || Command::Delete { keys: vec![bytes("k")] };
    let seen = || {
        Story::new()
            .unknown(1, 0, set("v1"))
            .op(2, (1, 2), set("v12"), Reply::Ok)
            .op(2, (3, 4), get(), Reply::Value(bytes("v12")))
            .op(2, (5, 6), append("x"), Reply::Integer(3))
            .op(2, (7, 8), get(), Reply::Value(bytes("v1x")))
    };
    seen().op(2, (9, 10), set("b"), Reply::Ok).right();
    seen()
        .op(2, (9, 10), set("b"), Reply::Ok)
        .op(2, (11, 12), append("x"), Reply::Integer(3))
        .wrong(&["APPEND"]);
    // Appended to nothing, or written: the other one may follow.
    Story::new()
        .unknown(1, 0, set("x"))
        .unknown(3, 0, append("x"))
        .op(2, (5, 6), get(), Reply::Value(bytes("x")))
        .op(2, (7, 8), delete(), Reply::Integer(1))
        .op(2, (9, 10), get(), Reply::Value(bytes("x")))
        .right();
}

/// A sign is no number, but something may be appended to it: it is not like any other value that nobody was shown.
#[test]
fn a_sign_may_become_a_number() {
    let story = |by: Command| {
        Story::new()
            .unknown(1, 0, set("q"))
            .unknown(3, 0, by)
            .op(2, (2, 3), Command::Append { key: bytes("k"), value: bytes("5") }, Reply::Integer(2))
            .op(2, (4, 5), Command::Increment { key: bytes("k"), by: 1 }, Reply::Integer(-4))
    };
    story(set("-")).right();
    story(set("r")).wrong(&["INCR"]);
}

#[test]
fn increments_are_not_lost() {
    let increment = || Command::Increment { key: bytes("k"), by: 1 };
    Story::new()
        .op(1, (0, 10), increment(), Reply::Integer(1))
        .op(2, (0, 10), increment(), Reply::Integer(2))
        .right();
    Story::new()
        .op(1, (0, 10), increment(), Reply::Integer(1))
        .op(2, (0, 10), increment(), Reply::Integer(1))
        .wrong(&["INCRBY", "→ 1", "\"1\""]);
    Story::new()
        .op(1, (0, 10), increment(), Reply::Integer(1))
        .unknown(2, 0, increment())
        .op(3, (20, 30), get(), value("2"))
        .op(3, (40, 50), get(), value("1"))
        .wrong(&["client 3", "\"2\""]);
}

#[test]
fn a_value_that_comes_back_is_not_the_old_one() {
    // ABA: the reads of "a" around "b" are right only because "a" was written twice.
    let story =
        |again: bool| {
            let story = Story::new()
                .op(1, (0, 10), set("a"), Reply::Ok)
                .op(1, (20, 30), set("b"), Reply::Ok)
                .op(2, (32, 34), get(), value("b"));
            let story = if again { story.op(1, (36, 60), set("a"), Reply::Ok) } else { story };
            story.op(2, (40, 50), get(), value("a"))
        };
    story(true).right();
    story(false).wrong(&["\"b\""]);
}

#[test]
fn two_clients_cannot_both_create_a_key() {
    let create = |by: &str| {
        Command::Set(Set { condition: SetCondition::IfMissing, ..Set::new(bytes("k"), bytes(by)) })
    };
    Story::new().op(1, (0, 10), create("one"), Reply::Ok).op(2, (0, 10), create("two"), Reply::Nil).right();
    Story::new()
        .op(1, (0, 10), create("one"), Reply::Ok)
        .op(2, (0, 10), create("two"), Reply::Ok)
        .wrong(&["SET \"k\"", "NX"]);
}

#[test]
fn a_key_with_a_deadline_may_vanish_but_not_come_back() {
    let mortal =
        Command::Set(Set { expiry: jangada_kv::Expiry::After(5), ..Set::new(bytes("k"), bytes("a")) });
    let story = |last: Reply| {
        Story::new()
            .op(1, (0, 10), mortal.clone(), Reply::Ok)
            .op(1, (20, 30), get(), value("a"))
            .op(1, (40, 50), get(), Reply::Nil)
            .op(1, (60, 70), get(), last)
    };
    let right = story(Reply::Nil);
    assert_eq!(check(&right.0, &Limits::default()).verdict, Verdict::Linearizable);
    let wrong = story(value("a"));
    assert!(matches!(check(&wrong.0, &Limits::default()).verdict, Verdict::NotLinearizable { .. }));
}

fn put(key: &str, value: &str) -> TxnOp {
    TxnOp::Put(Put::new(bytes(key), bytes(value)))
}

fn txn_if_missing(key: &str, then: TxnOp) -> Request {
    Request::Txn(Txn {
        compare: vec![Compare {
            range: KeyRange::One(bytes(key)),
            operator: CompareOperator::Equal,
            target: CompareTarget::Version(0),
        }],
        success: vec![then],
        failure: vec![],
    })
}

fn succeeded(revision: u64) -> Response {
    let revision = Revision(revision);
    let responses = vec![TxnOpResponse::Put(PutResponse { revision, prev_kv: None })];
    Response::Txn(TxnResponse { revision, succeeded: true, responses })
}

fn push(history: &mut History, client: u64, window: (u64, u64), request: Request, response: Response) {
    let id = history.invoke(client, Time(window.0), request);
    history.returned(id, Time(window.1), response);
}

#[test]
fn write_skew_between_two_keys_is_found() {
    // Each txn writes one key if the *other* is missing. Each key alone has a flawless history.
    let mut history = History::new();
    push(&mut history, 1, (0, 100), txn_if_missing("x", put("y", "1")), succeeded(2));
    push(&mut history, 2, (0, 100), txn_if_missing("y", put("x", "2")), succeeded(3));
    let report = check(&history, &Limits::default());
    let Verdict::NotLinearizable { explanation, .. } = report.verdict else { panic!("write skew") };
    assert!(explanation.contains("txn if"), "{explanation}");
    assert_eq!(report.groups, 1, "the keys belong together");
}

#[test]
fn a_compare_and_swap_by_revision_cannot_succeed_twice() {
    let swap = |value: &str| {
        Request::Txn(Txn {
            compare: vec![Compare {
                range: KeyRange::One(bytes("k")),
                operator: CompareOperator::Equal,
                target: CompareTarget::Mod(2),
            }],
            success: vec![put("k", value)],
            failure: vec![],
        })
    };
    let mut history = History::new();
    let first = Response::Put(PutResponse { revision: Revision(2), prev_kv: None });
    push(&mut history, 1, (0, 10), Request::Put(Put::new(bytes("k"), bytes("0"))), first);
    push(&mut history, 1, (20, 30), swap("1"), succeeded(3));
    assert_eq!(check(&history, &Limits::default()).verdict, Verdict::Linearizable);
    push(&mut history, 2, (20, 30), swap("2"), succeeded(4));
    assert!(matches!(check(&history, &Limits::default()).verdict, Verdict::NotLinearizable { .. }));
}

#[test]
fn keys_that_are_only_read_together_are_joined_up_to_a_limit() {
    // Two writes, one after the other; one reader sees only the second, at the same time.
    let mut history = History::new();
    let set = |key: &str| Request::Command(Command::Set(Set::new(bytes(key), bytes("1"))));
    push(&mut history, 1, (0, 10), set("x"), Response::Reply(Reply::Ok));
    push(&mut history, 1, (20, 30), set("y"), Response::Reply(Reply::Ok));
    let both = Command::MGet { keys: vec![bytes("x"), bytes("y")] };
    let torn = Response::Reply(Reply::Values(vec![None, Some(bytes("1"))]));
    push(&mut history, 2, (5, 40), Request::Command(both), torn);
    let limits = Limits::default();
    assert!(matches!(check(&history, &limits).verdict, Verdict::NotLinearizable { .. }));
    let apart = check(&history, &Limits { max_joined_keys: 1, ..limits });
    assert_eq!(apart.verdict, Verdict::Linearizable);
    assert_eq!((apart.left_to_witness, apart.judged, apart.groups), (1, 2, 2));
}

#[test]
fn a_key_out_of_nowhere_in_a_range_is_found() {
    let kv = jangada_kv::KeyValue {
        key: bytes("ghost"),
        value: bytes("boo"),
        create_revision: Revision(2),
        mod_revision: Revision(2),
        version: 1,
        lease: None,
        deadline: None,
    };
    let response = RangeResponse { revision: Revision(2), kvs: vec![kv], more: false, count: 1 };
    let mut history = History::new();
    let all = Request::Range(Box::new(RangeRequest::new(KeyRange::all())));
    push(&mut history, 1, (0, 10), all, Response::Range(response));
    let Verdict::NotLinearizable { explanation, .. } = check(&history, &Limits::default()).verdict else {
        panic!("a ghost");
    };
    assert!(explanation.contains("nobody had asked to write \"boo\""), "{explanation}");
}

#[test]
fn a_search_that_is_stopped_says_so() {
    let mut history = History::new();
    for n in 0..12 {
        let request = Request::Command(Command::Set(Set::new(bytes("k"), bytes(&format!("v{n}")))));
        push(&mut history, n, (0, 10), request, Response::Reply(Reply::Ok));
    }
    push(&mut history, 20, (20, 30), Request::Command(get()), Response::Reply(Reply::Nil));
    let few = Limits { max_steps: 1_000, ..Limits::default() };
    let Verdict::Undecided { why, .. } = check(&history, &few).verdict else { panic!("too few steps") };
    assert!(why.contains("after 1001 steps"), "{why}");
    assert!(matches!(check(&history, &Limits::default()).verdict, Verdict::NotLinearizable { .. }));
}
