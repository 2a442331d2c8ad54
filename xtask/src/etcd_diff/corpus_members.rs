//! Members that come and go, and a leader that is told to be one no more. Each sequence has clusters of its own.

use jangada_etcd::etcdserverpb as pb;

use super::joining::Joining::{Expect, Join, Joined, Led, Pause, PromoteOnceInStep, Resume, Start};
use super::step::{Step, put, range};
use super::upkeep::Upkeep::{Add, List, MoveLeader, MoveLeaderElsewhere, Promote, Remove, Status, Update};
use super::upkeep::{Upkeep, Url, Who};

type Written = fn(i64) -> Vec<Step>;

/// All of them, for clusters of so many members.
pub(crate) fn all(members: usize) -> Vec<(&'static str, Written)> {
    let mut all: Vec<(&'static str, Written)> = vec![
        ("members: a voter comes and goes", voters),
        ("members: a learner comes, votes and goes", learners),
        ("members: a learner comes and goes", learners_that_never_vote),
        ("members: a newcomer leads and goes", leaders_that_go),
        ("members: a learner is expected", learners_that_come_late),
        ("members: a learner never comes", learners_that_never_come),
    ];
    if members > 1 {
        // One of two would stop etcd for as long as it has not come.
        all.push(("members: a voter is expected", voters_that_come_late));
        all.push(("members: a voter never comes", voters_that_never_come));
        all.push(("members: another one leads", leaders));
    } else {
        // A follower of etcd's asks its leader until its time is over.
        all.push(("members: one that has gone is promoted", promoted_too_late));
    }
    all
}

fn ask(upkeep: Upkeep) -> Step {
    Step::Upkeep(upkeep)
}

fn at_newcomer(step: Step) -> Step {
    Step::AtNewcomer(Box::new(step))
}

fn listed() -> [Step; 2] {
    [true, false].map(|linearizable| ask(List { linearizable }))
}

/// Somebody comes.
fn joins(is_learner: bool) -> Vec<Step> {
    let mut steps = vec![Step::Joining(Join { is_learner }), Step::Joining(Joined)];
    steps.extend(listed());
    steps
}

/// Keys are written and read at every member whose turn it is.
fn in_use() -> Vec<Step> {
    ["1", "2", "3"]
        .into_iter()
        .flat_map(|value| [Step::Put(put("a", value)), Step::Range(range("a", "z"))])
        .collect()
}

/// Of whom is gone nothing can be asked any more.
fn goes() -> Vec<Step> {
    let mut steps = vec![ask(Remove(Who::Newcomer)), Step::Joining(Led)];
    steps.extend(listed());
    steps.extend(in_use());
    steps.extend([
        ask(Remove(Who::Newcomer)),
        ask(Update(Who::Newcomer, Url::OfNewcomer)),
        ask(MoveLeader(Who::Newcomer)),
    ]);
    steps.extend(listed());
    steps
}

fn voters(_: i64) -> Vec<Step> {
    let mut steps = in_use();
    steps.extend(joins(false));
    steps.extend(in_use());
    steps.extend([
        at_newcomer(Step::Put(put("b", "1"))),
        at_newcomer(Step::Range(range("a", "z"))),
        at_newcomer(ask(List { linearizable: true })),
        at_newcomer(ask(Status)),
        ask(Add { url: Url::OfNewcomer, is_learner: false }),
        ask(Add { url: Url::OfNewcomer, is_learner: true }),
        ask(Promote(Who::Newcomer)),
        ask(Update(Who::Newcomer, Url::Of(0))),
        ask(Update(Who::Newcomer, Url::OfNewcomer)),
    ]);
    steps.extend(listed());
    steps.extend(goes());
    steps
}

fn learners(_: i64) -> Vec<Step> {
    let mut steps = in_use();
    steps.extend(joins(true));
    steps.extend([
        at_newcomer(ask(Status)),
        at_newcomer(Step::Range(pb::RangeRequest { serializable: true, ..range("a", "z") })),
        // To update it is left out: etcd forgets that it is a learner.
        Step::Joining(Pause),
    ]);
    // What it misses is more than a tenth of the log.
    steps.extend((0..60).map(|number: u32| Step::Put(put("a", &number.to_string()))));
    steps.extend([ask(Promote(Who::Newcomer)), Step::Joining(Resume), Step::Joining(PromoteOnceInStep)]);
    steps.extend(listed());
    steps.extend([ask(Promote(Who::Newcomer)), at_newcomer(Step::Put(put("b", "1")))]);
    steps.extend(in_use());
    steps.extend(goes());
    steps
}

fn learners_that_never_vote(_: i64) -> Vec<Step> {
    let mut steps = joins(true);
    steps.extend(in_use());
    steps.extend(goes());
    // Its place is free again.
    steps.extend(joins(true));
    steps.extend(goes());
    steps
}

/// Somebody is added and does not come yet. It is not added a second time: etcd's IDs follow from the address and the second,
/// and it complains of the one or of the other.
fn is_expected(is_learner: bool) -> Vec<Step> {
    let mut steps = vec![Step::Joining(Expect { is_learner })];
    steps.extend(listed());
    steps.extend(in_use());
    steps.push(ask(Promote(Who::Newcomer)));
    // To update a learner is left out, as above.
    if !is_learner {
        // Who has no name comes first in the list.
        let urls = [Url::Of(1), Url::OfNewcomer];
        steps.extend(urls.map(|url| ask(Update(Who::Newcomer, url))));
    }
    steps.extend(listed());
    steps
}

fn comes_late(is_learner: bool) -> Vec<Step> {
    let mut steps = is_expected(is_learner);
    steps.extend([Start, Joined].map(Step::Joining));
    steps.extend(listed());
    steps.extend(in_use());
    steps.push(at_newcomer(ask(Status)));
    steps
}

fn learners_that_come_late(_: i64) -> Vec<Step> {
    let mut steps = comes_late(true);
    steps.push(Step::Joining(PromoteOnceInStep));
    steps.extend(listed());
    steps.extend(goes());
    steps
}

fn voters_that_come_late(_: i64) -> Vec<Step> {
    let mut steps = comes_late(false);
    steps.extend([at_newcomer(Step::Put(put("b", "1"))), ask(Promote(Who::Newcomer))]);
    steps.extend(goes());
    steps
}

fn learners_that_never_come(_: i64) -> Vec<Step> {
    let mut steps = is_expected(true);
    steps.extend(goes());
    steps
}

fn voters_that_never_come(_: i64) -> Vec<Step> {
    let mut steps = is_expected(false);
    steps.push(ask(Update(Who::Newcomer, Url::Text("http://127.0.0.1:1"))));
    steps.extend(listed());
    steps.extend(goes());
    steps
}

fn promoted_too_late(_: i64) -> Vec<Step> {
    let mut steps = joins(true);
    steps.extend([Remove, Promote].map(|upkeep| ask(upkeep(Who::Newcomer))));
    steps
}

fn leaders(_: i64) -> Vec<Step> {
    let mut steps = in_use();
    for _ in 0..3 {
        steps.push(ask(MoveLeader(Who::Follower)));
        steps.extend(in_use());
        steps.extend(listed());
    }
    steps.extend([Who::Leader, Who::Follower, Who::Number(99)].map(|who| ask(MoveLeaderElsewhere(who))));
    steps.push(ask(MoveLeader(Who::Leader)));
    steps.extend(in_use());
    steps
}

fn leaders_that_go(_: i64) -> Vec<Step> {
    let mut steps = joins(false);
    steps.push(ask(MoveLeader(Who::Newcomer)));
    steps.extend(in_use());
    steps.extend(goes());
    steps
}
