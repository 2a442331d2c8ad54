//! Small clusters, and everything that they can do.

use std::ops::ControlFlow;

use jangada_raft::types::Term;
use jangada_sim::explore::{Config, Report, run};

fn search(config: &Config) -> Report {
    let report = run(config, |_| ControlFlow::Continue(()));
    if let Some(story) = &report.violation {
        panic!("{}: {story}", report.name);
    }
    assert!(report.is_complete, "{}: the search stopped early", report.name);
    report
}

#[test]
fn whatever_happens_in_a_small_cluster_it_stays_safe() {
    for config in Config::small() {
        let report = search(&config);
        assert!(report.progress.states > 100, "{}: something happens: {:?}", report.name, report.progress);
    }
}

#[test]
fn the_same_world_is_searched_the_same_way() {
    let config = Config::long_log();
    assert_eq!(search(&config).progress, search(&config).progress);
}

/// What a search can find is worth no more than what can happen in it.
#[test]
fn bounds_that_are_raised_let_more_happen() {
    let states = |config: Config| search(&config).progress.states;
    let least = Config::default();
    let more = [
        Config { max_term: Term(2), ..least.clone() },
        Config { proposals: 1, ..least.clone() },
        Config { crashes: 1, ..least.clone() },
        Config { repeats: 1, ..least.clone() },
        Config { slow_disks: true, ..least.clone() },
        Config { modern: true, ..least.clone() },
    ];
    let few = states(least);
    for config in more {
        let what = format!("{config:?}");
        assert!(states(config) > few, "{what}");
    }
}

#[test]
fn a_search_that_is_stopped_is_not_complete() {
    let config = Config { max_states: 1_000, ..Config::two_terms() };
    let report = run(&config, |_| ControlFlow::Continue(()));
    assert!(!report.is_complete && report.violation.is_none());
    let report = run(&Config::two_terms(), |_| ControlFlow::Break(()));
    assert!(!report.is_complete && report.progress.states < 100_000);
}
