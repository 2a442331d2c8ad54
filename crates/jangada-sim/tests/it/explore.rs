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

/// In several tests, so that they share the cores: these two worlds are as large as the others together.
const LARGEST: [&str; 2] = ["two commands", "long erratum"];

#[test]
fn two_elections_two_commands_and_a_crash_do_no_harm() {
    let report = search(&Config::two_commands());
    assert!(report.progress.states > 1_000_000, "much happens: {:?}", report.progress);
}

#[test]
fn three_leaders_that_change_the_members_do_no_harm() {
    let report = search(&Config::long_erratum());
    assert!(report.progress.states > 100_000, "much happens: {:?}", report.progress);
}

#[test]
fn whatever_happens_in_a_small_cluster_it_stays_safe() {
    for config in Config::small().iter().filter(|config| !LARGEST.contains(&config.name)) {
        let report = search(config);
        assert!(report.progress.states > 100, "{}: something happens: {:?}", report.name, report.progress);
    }
}

/// Messages that can do nothing any more are left out, so that states are fewer. With all of them kept, servers
/// reach the same states, one by one and all together. (Not so with two commands: which of two is the first one
/// proposed makes a difference to their names alone, and a search need not see both.)
#[test]
fn what_is_left_out_makes_no_difference() {
    let fresh = Config { crashes: 1, max_term: Term(2), ..Config::default() };
    let worlds = [
        fresh,
        Config::slow_disks(),
        Config::modern(),
        Config::long_log(),
        Config::stale_tail(),
        Config::figure_8(),
        Config::replace(),
        Config::erratum(),
    ];
    for config in worlds {
        let few = search(&config);
        let all = search(&Config { keeps_all: true, ..config });
        let reached = |report: &Report| (report.progress.rows, report.progress.servers);
        assert_eq!(reached(&few), reached(&all), "{}", few.name);
        assert!(few.progress.states < all.progress.states, "{}: it saves something", few.name);
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
