//! The cluster itself, written by hand: members, hashes, who leads, the edges of compaction, downgrades.

use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::downgrade_request::DowngradeAction::{Cancel, Enable, Validate};

use super::step::{Step, delete, put, range};
use super::upkeep::Upkeep::{
    Add, Defragment, Downgrade, Hash, HashKv, List, MoveLeader, Promote, Remove, Status, Update,
};
use super::upkeep::{Upkeep, Url, Who};

type Written = fn(i64) -> Vec<Step>;

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Written)> {
    vec![
        ("members refused", members_refused),
        ("members updated", members_updated),
        ("hashes", hashes),
        ("leaders moved", leaders_moved),
        ("upkeep", upkeep),
        ("compaction edges", compaction_edges),
    ]
}

/// What etcd knows since 3.5.
pub(crate) fn since_3_5() -> Vec<(&'static str, Written)> {
    vec![("downgrades", downgrades)]
}

fn ask(upkeep: Upkeep) -> Step {
    Step::Upkeep(upkeep)
}

fn members_refused(_: i64) -> Vec<Step> {
    let mut steps = vec![ask(List { linearizable: true }), ask(List { linearizable: false })];
    for url in [
        Url::Of(0),
        Url::None,
        Url::Text(""),
        Url::Text("127.0.0.1:1"),
        Url::Text("http://127.0.0.1"),
        Url::Text("http://127.0.0.1:1/path"),
        Url::Text("ftp://127.0.0.1:1"),
        Url::Text("http://"),
        Url::Text("http://127.0.0.1:one"),
    ] {
        steps.push(ask(Add { url, is_learner: false }));
        steps.push(ask(Add { url, is_learner: true }));
    }
    for nobody in [0, 12_345, u64::MAX] {
        steps.push(ask(Remove(Who::Number(nobody))));
        steps.push(ask(Promote(Who::Number(nobody))));
        steps.push(ask(Update(Who::Number(nobody), Url::Text("http://127.0.0.1:1"))));
    }
    steps.push(ask(Promote(Who::Member(0))));
    steps.push(ask(List { linearizable: true }));
    steps
}

fn members_updated(_: i64) -> Vec<Step> {
    // To the address that it has: another one would cut it off, and so would what is no URL, which etcd takes.
    vec![ask(Update(Who::Member(0), Url::Of(0))), ask(List { linearizable: true })]
}

fn hashes(base: i64) -> Vec<Step> {
    // Of an empty store it may be anything.
    let mut steps = Vec::new();
    for value in ["1", "2", "3", "4"] {
        steps.push(Step::Put(put("a", value)));
    }
    steps.extend([ask(Hash), ask(HashKv(0))]);
    let all = |base: i64| {
        [-1, 0, 1, base + 1, base + 2, base + 3, base + 4, base + 5, i64::MAX, i64::MIN]
            .map(|revision| ask(HashKv(revision)))
    };
    steps.extend(all(base));
    steps.push(Step::Compact(pb::CompactionRequest { revision: base + 2, physical: true }));
    steps.extend(all(base));
    steps
}

fn leaders_moved(_: i64) -> Vec<Step> {
    [Who::Number(0), Who::Number(99), Who::Leader, Who::Number(u64::MAX)]
        .map(|who| ask(MoveLeader(who)))
        .to_vec()
}

fn upkeep(_: i64) -> Vec<Step> {
    vec![Step::Put(put("a", "1")), ask(Status), ask(Defragment), ask(Status), Step::Range(range("a", ""))]
}

fn compaction_edges(base: i64) -> Vec<Step> {
    let compact = |revision, physical| Step::Compact(pb::CompactionRequest { revision, physical });
    let at = |revision| Step::Range(pb::RangeRequest { revision, ..range("a", "z") });
    let mut steps: Vec<Step> = ["1", "2", "3"].map(|value| Step::Put(put("a", value))).to_vec();
    steps.push(Step::Delete(delete("a", "")));
    steps.push(Step::Put(put("b", "1")));
    for revision in [i64::MIN, -1, 0, 1, base + 6, i64::MAX] {
        steps.push(compact(revision, false));
    }
    for revision in [base + 2, base + 2, base + 1, base + 4, base + 5, base + 5] {
        steps.push(compact(revision, revision % 2 == 0));
        steps.extend([base + 1, base + 2, base + 3, base + 4, base + 5, base + 6].map(at));
    }
    // The newest revision is compacted: it can be read, and written on.
    steps.extend([Step::Put(put("a", "4")), at(base + 5), at(base + 6), compact(base + 7, true), at(0)]);
    steps
}

fn downgrades(_: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    for version in
        ["", "x", "3", "3.4", "3.4.0", "3.4.9", "3.5.0", "3.3.0", "4.0.0", "3.4.0.1", "3.4.x", "v3.4.0"]
    {
        steps.push(ask(Downgrade(Validate, version)));
        if version != "3.4" && !version.starts_with("3.4.0") && version != "3.4.9" {
            steps.push(ask(Downgrade(Enable, version)));
        }
    }
    steps.push(ask(Downgrade(Cancel, "")));
    steps.push(ask(Downgrade(Cancel, "3.4.0")));
    steps
}
