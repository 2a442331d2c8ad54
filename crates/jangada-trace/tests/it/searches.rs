//! The search against brute force, and against histories that are too long for that.

use bytes::Bytes;
use jangada_kv::{
    Command, DeleteRange, KeyRange, Millis, Put, Reply, Request, Response, Revision, Set, SetCondition, Store,
};
use jangada_raft::types::Time;
use jangada_trace::history::{History, Operation, Outcome};
use jangada_trace::linearizable::{Limits, Verdict, check};

use crate::brute;
use crate::generate::{Chance, Mix, Shape, broken, correct, with_a_stale_read};

const SMALL: Shape = Shape {
    operations: 6,
    keys: 2,
    overlap: 3,
    unanswered: 20,
    refused: 5,
    unique_values: false,
    mix: Mix::All,
    revisions: false,
};

fn accepts(history: &History, seed: u64) -> bool {
    match check(history, &Limits::default()).verdict {
        Verdict::Linearizable => true,
        Verdict::NotLinearizable { .. } => false,
        Verdict::Undecided { why, .. } => panic!("seed {seed}: undecided: {why}\n{history:#?}"),
    }
}

#[test]
fn a_small_history_is_accepted_exactly_if_brute_force_finds_an_order() {
    let mut rejected = 0;
    for seed in 0..400 {
        let mut chance = Chance::new(seed);
        let mix = [Mix::Registers, Mix::Strings, Mix::Etcd, Mix::All][chance.below(4) as usize];
        let shape = Shape {
            keys: 1 + chance.below(2),
            overlap: 1 + chance.below(4),
            unanswered: chance.below(50),
            unique_values: chance.percent(60),
            mix,
            ..SMALL
        };
        let shows_versions = matches!(mix, Mix::Etcd | Mix::All);
        let history = correct(&mut chance, shape);
        assert!(accepts(&history, seed), "seed {seed}: rejected, but an order is known\n{history:#?}");
        let mut wrong = history;
        for _ in 0..4 {
            wrong = broken(&mut chance, &wrong);
            let expected = brute::is_linearizable(&wrong);
            let verdict = check(&wrong, &Limits::default()).verdict;
            let accepted = verdict == Verdict::Linearizable;
            // What only versions tell is left aside where an operation was not answered.
            let is_exact = !shows_versions || history_is_answered(&wrong);
            assert!(accepted == expected || accepted && !is_exact, "seed {seed}: {verdict:?}\n{wrong:#?}");
            rejected += u32::from(!accepted);
        }
    }
    assert!(rejected > 200, "only {rejected} histories were wrong: the test has lost its point");
}

fn history_is_answered(history: &History) -> bool {
    history.operations().iter().all(|operation| operation.outcome != Outcome::Unknown)
}

#[test]
fn ten_clients_and_two_thousand_operations_on_a_key_are_decided() {
    for (seed, mix) in (0..).zip([Mix::Registers, Mix::Strings, Mix::Etcd]) {
        let shape = Shape {
            operations: 2_000,
            keys: 1,
            overlap: 5,
            unanswered: 5,
            unique_values: true,
            mix,
            ..SMALL
        };
        assert!(accepts(&correct(&mut Chance::new(seed), shape), seed), "seed {seed}");
        if mix == Mix::Registers {
            let history = correct(&mut Chance::new(seed), Shape { unanswered: 0, ..shape });
            let stale = with_a_stale_read(&history).expect("there is a read to break");
            assert!(!accepts(&stale, seed), "seed {seed}");
        }
    }
}

/// So many operations on one key, all on their way from the beginning, in an order that their revisions name. Their
/// answers come in another one.
fn crowd(chance: &mut Chance, operations: u64) -> History {
    let mut store = Store::new();
    let key = || Bytes::from_static(b"k");
    let operation = |client: u64| {
        let value = Bytes::from(format!("v{client}"));
        let request = match chance.below(5) {
            0 => Request::DeleteRange(DeleteRange { range: KeyRange::One(key()), prev_kv: false }),
            1 => Request::Command(Command::Set(Set {
                condition: SetCondition::IfMissing,
                ..Set::new(key(), value)
            })),
            2 => Request::Command(Command::Set(Set {
                condition: SetCondition::IfPresent,
                get: true,
                ..Set::new(key(), value)
            })),
            _ => Request::Put(Put::new(key(), value)),
        };
        let response = store.apply(Millis::ZERO, &request);
        let (at, revision) = (Time(1_000 + chance.below(1_000)), Some(store.revision()));
        let outcome = Outcome::Returned { at, response, revision };
        Operation { client, invoked: Time::ZERO, request, outcome }
    };
    (0..operations).map(operation).collect()
}

#[test]
fn a_hundred_operations_on_their_way_at_once_are_decided_if_revisions_say_which_to_try_first() {
    for seed in 0..20 {
        let history = crowd(&mut Chance::new(seed), 100);
        let report = check(&history, &Limits::default());
        assert_eq!(report.verdict, Verdict::Linearizable, "seed {seed}");
        assert!(report.steps < 300, "seed {seed}: {} steps", report.steps);
    }
}

#[test]
fn a_thousand_operations_on_their_way_at_once_are_decided_and_more_are_told() {
    let verdict = |operations| check(&crowd(&mut Chance::new(1), operations), &Limits::default()).verdict;
    assert_eq!(verdict(129), Verdict::Linearizable);
    assert_eq!(verdict(1_000), Verdict::Linearizable);
    let too_many = "more than 1024 operations at the same time";
    assert!(matches!(verdict(1_025), Verdict::Undecided { why, .. } if why == too_many));
}

#[test]
fn revisions_that_name_a_wrong_order_decide_nothing() {
    let key = || Bytes::from_static(b"k");
    let mut history = History::new();
    for (client, revision) in [(1, 9), (2, 3)] {
        let set = Set::new(key(), Bytes::from(format!("v{client}")));
        let set = history.invoke(client, Time(0), Request::Command(Command::Set(set)));
        history.returned_at_revision(set, Time(10), Response::Reply(Reply::Ok), Revision(revision));
    }
    let read = |history: &mut History, at: u64, value: &'static [u8]| {
        let get = history.invoke(3, Time(at), Request::Command(Command::Get { key: key() }));
        history.returned(get, Time(at + 5), Response::Reply(Reply::Value(Bytes::from_static(value))));
    };
    read(&mut history, 20, b"v2");
    assert!(accepts(&history, 0), "first v1, then v2, whatever their revisions say");
    read(&mut history, 30, b"v1");
    assert!(!accepts(&history, 0), "nobody wrote v1 again");
}

/// No step of a search: only what is certain at first sight.
const AT_FIRST_SIGHT: Limits = Limits { max_steps: 0, max_bytes: usize::MAX, max_joined_keys: 64 };

/// Without any search it says of a history that it is wrong only if it is.
#[test]
fn what_is_wrong_at_first_sight_is_wrong_for_brute_force_too() {
    let (mut found, mut wrong) = (0, 0);
    for seed in 0..1_500 {
        let mut chance = Chance::new(seed);
        let mix = [Mix::Registers, Mix::Registers, Mix::Strings, Mix::Etcd][chance.below(4) as usize];
        let shape = Shape {
            operations: 7,
            keys: 1,
            overlap: 1,
            unanswered: chance.below(40),
            unique_values: chance.percent(90),
            mix,
            ..SMALL
        };
        let mut history = correct(&mut chance, shape);
        for _ in 0..4 {
            let verdict = check(&history, &AT_FIRST_SIGHT).verdict;
            let is_wrong = !brute::is_linearizable(&history);
            if let Verdict::NotLinearizable { explanation, .. } = verdict {
                assert!(is_wrong, "seed {seed}: {explanation}\n{history:#?}");
                found += 1;
            }
            wrong += u32::from(is_wrong);
            history = broken(&mut chance, &history);
        }
    }
    assert!(found > 20, "{found} of {wrong} wrong ones: the test has lost its point");
}

#[test]
fn nothing_is_wrong_at_first_sight_in_long_histories_that_are_right() {
    for mix in [Mix::Registers, Mix::Strings, Mix::Etcd, Mix::All] {
        for seed in 0..20 {
            let unanswered = seed % 10;
            let shape =
                Shape { operations: 1_000, unanswered, unique_values: true, mix, overlap: 5, ..SMALL };
            let history = correct(&mut Chance::new(seed), shape);
            let verdict = check(&history, &AT_FIRST_SIGHT).verdict;
            assert!(!matches!(verdict, Verdict::NotLinearizable { .. }), "seed {seed}: {verdict:?}");
        }
    }
}

/// A read of what was replaced long ago needs no search through all that may have become of a hundred operations that
/// nobody answered.
#[test]
fn a_stale_read_is_refused_however_many_were_not_answered() {
    let one_key =
        Shape { operations: 2_000, keys: 1, overlap: 5, unanswered: 5, unique_values: true, ..SMALL };
    for mix in [Mix::Registers, Mix::Strings, Mix::Etcd] {
        for seed in 1..=3 {
            let stale = with_a_stale_read(&correct(&mut Chance::new(seed), Shape { mix, ..one_key }));
            let report = check(&stale.expect("there is a read to break"), &AT_FIRST_SIGHT);
            let Verdict::NotLinearizable { explanation, .. } = report.verdict else {
                panic!("seed {seed}: {:?}", report.verdict);
            };
            assert!(explanation.contains("was there already when"), "{explanation}");
            assert!(report.steps <= 1, "{} steps", report.steps);
        }
    }
}
