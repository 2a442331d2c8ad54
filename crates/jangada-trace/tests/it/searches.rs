//! The search against brute force, and against histories that are too long for that.

use jangada_trace::history::{History, Outcome};
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
