//! Users, roles and permissions, written by hand. Each sequence ends as it began: with nobody.

use jangada_etcd::authpb::permission::Type::{self, Read, Readwrite, Write};
use jangada_etcd::etcdserverpb as pb;
use jangada_etcd::etcdserverpb::request_op::Request as Op;

use super::step::{Step, delete, put, range};
use super::upkeep::{Upkeep, Url, Who};
use super::users::Users::{self, *};
use super::watching::Moment;

type Written = fn(i64) -> Vec<Step>;

/// All of them.
pub(crate) fn all() -> Vec<(&'static str, Written)> {
    vec![
        ("users and roles", users_and_roles),
        ("refusals about users", refusals),
        ("auth is switched on", switched_on),
        ("who may what", who_may_what),
        ("kinds of permissions", kinds),
        ("ranges of permissions", ranges),
        ("txns and permissions", txns),
        ("leases and permissions", leases),
        ("watches and permissions", watches),
        ("who may manage", who_may_manage),
        ("without auth", without_auth),
        ("tokens", tokens),
        ("root", root),
    ]
}

/// What 3.5.1 gets wrong for a while.
pub(crate) fn of_3_4() -> Vec<(&'static str, Written)> {
    vec![("watches refused", watches_refused)]
}

/// What etcd knows since 3.5.
pub(crate) fn since_3_5() -> Vec<(&'static str, Written)> {
    vec![("whether auth is on", whether_on)]
}

fn whether_on(_: i64) -> Vec<Step> {
    let mut steps = users([Users::IsOn]);
    steps.extend(beginning());
    steps.extend(by_each(users([Users::IsOn])));
    steps.extend(by_root([AddRole("s"), Grant("bia", "s")]));
    steps.extend(users([Users::IsOn]));
    steps.extend(ending());
    steps.extend(users([Users::IsOn]));
    steps
}

fn users(calls: impl IntoIterator<Item = Users>) -> Vec<Step> {
    calls.into_iter().map(Step::Users).collect()
}

fn by(name: &'static str, step: Step) -> Step {
    Step::By(name, Box::new(step))
}

fn by_root(calls: impl IntoIterator<Item = Users>) -> Vec<Step> {
    calls.into_iter().map(|call| by("root", Step::Users(call))).collect()
}

/// Root, ana with the role r, and bia with none; auth is on, and all three have logged in.
pub(crate) fn beginning() -> Vec<Step> {
    users([
        Add("root", "r"),
        Grant("root", "root"),
        AddRole("r"),
        Permit("r", Readwrite, "m", "n"),
        Add("ana", "a"),
        Grant("ana", "r"),
        Add("bia", "b"),
        Enable,
        LogIn("root", "r"),
        LogIn("ana", "a"),
        LogIn("bia", "b"),
    ])
}

/// Nobody is asked any more, and nobody is left. What is not there is refused, which is compared, too.
pub(crate) fn ending() -> Vec<Step> {
    let mut steps = by_root([Disable]);
    steps.extend(users([
        Disable,
        Delete("root"),
        Delete("ana"),
        Delete("bia"),
        Delete("cert"),
        DeleteRole("r"),
        DeleteRole("s"),
        DeleteRole("root"),
        List,
        Roles,
    ]));
    steps.push(Step::Forget);
    steps
}

fn within(steps: impl IntoIterator<Item = Step>) -> Vec<Step> {
    let mut all = beginning();
    all.extend(steps);
    all.extend(ending());
    all
}

fn users_and_roles(_: i64) -> Vec<Step> {
    let mut steps = users([
        List,
        Roles,
        Add("ana", "a"),
        Add("bia", ""),
        AddWithoutPassword("cert"),
        AddRole("s"),
        AddRole("r"),
        AddRole("root"),
        List,
        Roles,
        Grant("ana", "s"),
        Grant("ana", "r"),
        Grant("ana", "r"),
        Grant("bia", "root"),
        Get("ana"),
        Get("bia"),
        GetRole("r"),
        Permit("r", Read, "b", ""),
        Permit("r", Write, "b", "d"),
        Permit("r", Readwrite, "a", "\0"),
        Permit("r", Write, "b", ""),
        Permit("root", Write, "b", ""),
        Permit("s", Read, "\0", "\0"),
        GetRole("r"),
        GetRole("s"),
        Forbid("r", "b", ""),
        Forbid("r", "b", ""),
        GetRole("r"),
        Revoke("ana", "s"),
        Revoke("ana", "s"),
        DeleteRole("r"),
        Get("ana"),
        ChangePassword("ana", "b"),
        ChangePassword("cert", "b"),
        Delete("ana"),
        Get("ana"),
    ]);
    steps.extend(ending());
    steps
}

fn refusals(_: i64) -> Vec<Step> {
    let mut steps = users([
        Add("", "x"),
        Add("ana", "a"),
        Add("ana", "a"),
        AddRole(""),
        AddRole("r"),
        AddRole("r"),
        Delete("nobody"),
        Delete(""),
        ChangePassword("nobody", "x"),
        Grant("nobody", "r"),
        Grant("ana", "nothing"),
        Grant("ana", ""),
        Revoke("nobody", "r"),
        Revoke("ana", "r"),
        Get("nobody"),
        Get(""),
        GetRole("nothing"),
        DeleteRole("nothing"),
        Permit("nothing", Read, "a", ""),
        Forbid("nothing", "a", ""),
        Forbid("r", "a", ""),
        LogIn("ana", "a"),
        LogIn("nobody", "a"),
    ]);
    steps.extend(ending());
    steps
}

fn switched_on(_: i64) -> Vec<Step> {
    let mut steps = users([Enable, Add("root", "r"), Enable, AddRole("root"), Enable]);
    steps.extend(users([Grant("root", "root"), Disable, Enable, Enable, LogIn("root", "r")]));
    steps.extend(by_root([Enable, Disable]));
    // The token has ended with it.
    steps.extend(by_root([Enable]));
    steps.extend(users([Enable, LogIn("root", "r")]));
    steps.extend(ending());
    steps
}

/// What may be asked of some keys.
fn asked(key: &'static str, range_end: &'static str) -> Vec<Step> {
    vec![
        Step::Range(range(key, range_end)),
        Step::Range(pb::RangeRequest { serializable: true, ..range(key, range_end) }),
        Step::Range(pb::RangeRequest { count_only: true, ..range(key, range_end) }),
        Step::Put(put(key, "1")),
        Step::Put(pb::PutRequest { prev_kv: true, ..put(key, "2") }),
        Step::Delete(delete(key, range_end)),
        Step::Delete(pb::DeleteRangeRequest { prev_kv: true, ..delete(key, range_end) }),
    ]
}

fn by_each(steps: Vec<Step>) -> Vec<Step> {
    let mut all = Vec::new();
    for step in steps {
        all.push(step.clone());
        all.extend(["root", "ana", "bia"].map(|name| by(name, step.clone())));
    }
    all
}

fn who_may_what(_: i64) -> Vec<Step> {
    let mut steps = by_each(asked("m", "n"));
    steps.extend(by_each(asked("m1", "")));
    steps.extend(by_each(asked("x", "")));
    steps.extend(by_each(users([
        List,
        Roles,
        Get("ana"),
        Get("bia"),
        Get("nobody"),
        GetRole("r"),
        GetRole("nothing"),
        AddRole("s"),
        Permit("s", Read, "x", ""),
        Grant("bia", "s"),
        Defragment,
        Hash,
        Status,
    ])));
    steps.push(by("bia", Step::Range(range("x", ""))));
    steps.push(Step::Members);
    steps.push(by("ana", Step::Members));
    within(steps)
}

fn kinds(_: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    for kind in [Read, Write, Readwrite] {
        steps.extend(by_root([Permit("r", kind, "m", "n")]));
        steps.extend(asked("m1", "").into_iter().map(|step| by("ana", step)));
    }
    within(steps)
}

fn ranges(_: i64) -> Vec<Step> {
    let mut steps = by_root([AddRole("s"), Grant("ana", "s"), Permit("s", Read, "n", "p")]);
    let spans = [("m", "p"), ("m", "p\0"), ("l", "n"), ("m", "m"), ("m", "\0"), ("\0", "\0"), ("m\0", "n")];
    let read = |spans: &[(&'static str, &'static str)]| -> Vec<Step> {
        spans.iter().map(|(key, end)| by("ana", Step::Range(range(key, end)))).collect()
    };
    steps.extend(read(&spans));
    steps.extend(by_root([Permit("s", Read, "x", "\0")]));
    steps.extend(read(&[("x", "\0"), ("w", "\0"), ("y", "z"), ("m", "\0"), ("y", "")]));
    steps.extend(by_root([Permit("s", Read, "\0", "\0")]));
    steps.extend(read(&[("\0", "\0"), ("a", ""), ("a", "\0")]));
    steps.extend(by_root([Permit("s", Write, "q", "")]));
    steps.push(by("ana", Step::Put(put("q", "1"))));
    steps.push(by("ana", Step::Put(put("q\0", "1"))));
    within(steps)
}

fn txn(compare: Vec<pb::Compare>, success: Vec<Op>, failure: Vec<Op>) -> Step {
    let ops = |ops: Vec<Op>| ops.into_iter().map(|op| pb::RequestOp { request: Some(op) }).collect();
    Step::Txn(pb::TxnRequest { compare, success: ops(success), failure: ops(failure) })
}

fn compare(key: &'static str, range_end: &'static str) -> pb::Compare {
    pb::Compare { key: key.into(), range_end: range_end.into(), ..pb::Compare::default() }
}

fn txns(_: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    for key in ["m1", "x1"] {
        let get = Op::RequestRange(range(key, ""));
        let set = Op::RequestPut(put(key, "1"));
        let remove = Op::RequestDeleteRange(delete(key, ""));
        let shown = Op::RequestDeleteRange(pb::DeleteRangeRequest { prev_kv: true, ..delete(key, "") });
        for op in [get, set, remove, shown] {
            steps.push(txn(vec![], vec![op.clone()], vec![]));
            steps.push(txn(vec![], vec![], vec![op.clone()]));
            steps.push(txn(vec![], vec![Op::RequestPut(put("m2", "1")), op], vec![]));
        }
        steps.push(txn(vec![compare(key, "")], vec![], vec![]));
        steps.push(txn(vec![compare("m", "n"), compare(key, "")], vec![], vec![]));
    }
    steps.push(txn(vec![compare("m", "x")], vec![], vec![]));
    steps.push(txn(vec![], vec![], vec![]));
    let mut all = by_each(steps);
    all.push(by("root", Step::Range(range("\0", "\0"))));
    within(all)
}

fn leases(_: i64) -> Vec<Step> {
    let leased = |key: &'static str, lease| Step::Put(pb::PutRequest { lease, ..put(key, "1") });
    let grant = |id| by("root", Step::Grant(pb::LeaseGrantRequest { ttl: 600, id }));
    let revoke = |id| Step::Revoke(pb::LeaseRevokeRequest { id });
    within([
        grant(7),
        grant(8),
        by("root", leased("x1", 7)),
        by("ana", leased("m1", 7)),
        by("ana", leased("m1", 8)),
        by("ana", leased("m1", 9)),
        by("bia", leased("m1", 8)),
        by("bia", revoke(8)),
        by("ana", revoke(7)),
        by("ana", revoke(8)),
        by("ana", revoke(9)),
        by("root", Step::Range(range("\0", "\0"))),
        by("root", revoke(7)),
    ])
}

/// A watch of these keys.
fn create(key: &'static str, range_end: &'static str) -> Moment {
    Moment::Create(pb::WatchCreateRequest {
        key: key.into(),
        range_end: range_end.into(),
        ..pb::WatchCreateRequest::default()
    })
}

/// Something to be told of, while a watch is there.
fn set(key: &'static str) -> Moment {
    Moment::Do(by("root", Step::Put(put(key, "1"))))
}

fn watches(_: i64) -> Vec<Step> {
    let permitted = vec![create("m", "n"), create("m1", ""), set("m1"), set("m2"), set("x1")];
    within([
        by("ana", Step::Watch(permitted.clone())),
        by("root", Step::Watch(vec![create("\0", "\0"), set("x2")])),
        by("root", Step::Watch(permitted)),
    ])
}

/// Of what somebody may not read, or who is nobody; and the stream goes on.
fn watches_refused(_: i64) -> Vec<Step> {
    let moments = vec![
        create("x", ""),
        create("m", "n"),
        create("m", "o"),
        create("\0", "\0"),
        // From "m" on is left out: etcd looks at "m" alone.
        set("m1"),
        set("x"),
        Moment::Cancel(0),
        Moment::Progress,
        set("m2"),
    ];
    let mut steps = by_each(vec![Step::Watch(moments.clone())]);
    // With a token that has ended.
    steps.extend(by_root([ChangePassword("ana", "b")]));
    steps.push(by("ana", Step::Watch(moments)));
    within(steps)
}

/// Everything that only root may, asked by each.
fn who_may_manage(_: i64) -> Vec<Step> {
    let mut steps = by_each(users([
        Add("cert", "c"),
        ChangePassword("cert", "d"),
        ChangePassword("bia", "b"),
        Grant("cert", "r"),
        Get("cert"),
        Revoke("cert", "r"),
        Delete("cert"),
        Delete("nobody"),
        AddRole("s"),
        Permit("s", Write, "a", "b"),
        GetRole("s"),
        Forbid("s", "a", "b"),
        Forbid("s", "a", "b"),
        DeleteRole("s"),
        DeleteRole("s"),
        Enable,
    ]));
    let nobody = Who::Number(99);
    steps.extend(by_each(
        [
            Upkeep::Add { url: Url::Of(0), is_learner: false },
            Upkeep::Remove(nobody),
            Upkeep::Update(nobody, Url::Text("http://127.0.0.1:1")),
            Upkeep::List { linearizable: true },
        ]
        .map(Step::Upkeep)
        .into(),
    ));
    steps.extend(["ana", "bia"].map(|name| by(name, Step::Users(Disable))));
    steps.push(Step::Users(Disable));
    within(steps)
}

/// Everything about users, where nobody is asked who they are.
fn without_auth(_: i64) -> Vec<Step> {
    let mut steps = users([
        Disable,
        Enable,
        LogIn("root", "r"),
        AddWithoutPassword("ana"),
        AddWithoutPassword("ana"),
        LogIn("ana", ""),
        Add("bia", ""),
        LogIn("bia", ""),
        ChangePassword("bia", ""),
        ChangePassword("bia", "b"),
        Revoke("ana", "root"),
        Grant("ana", "root"),
        AddRole("r"),
        Grant("ana", "r"),
        Permit("r", Read, "", ""),
        Permit("r", Read, "", "\0"),
        Permit("r", Read, "b", "a"),
        Permit("r", Read, "b", "b"),
        GetRole("r"),
        Forbid("r", "", ""),
        Forbid("r", "b", "a"),
        Forbid("nothing", "b", "a"),
        GetRole("r"),
        DeleteRole("r"),
        Get("ana"),
        Revoke("ana", "r"),
        Delete("ana"),
        Delete("ana"),
        GetRole("root"),
        DeleteRole("root"),
        Enable,
        Disable,
    ]);
    steps.extend(ending());
    steps
}

fn tokens(_: i64) -> Vec<Step> {
    let get = |name| by(name, Step::Range(range("m", "")));
    let mut steps = users([
        LogIn("ana", "wrong"),
        LogIn("ana", ""),
        LogIn("nobody", "a"),
        LogIn("", ""),
        LogIn("ana", "a"),
    ]);
    steps.push(Step::PutWithToken(put("m", "1")));
    steps.push(get("ana"));
    steps.extend(by_root([AddRole("s"), Grant("ana", "s")]));
    steps.push(get("ana"));
    steps.extend(by_root([ChangePassword("ana", "b")]));
    steps.push(get("ana"));
    steps.extend(users([LogIn("ana", "a"), LogIn("ana", "b")]));
    steps.push(get("ana"));
    steps.extend(by_root([Revoke("ana", "r")]));
    steps.push(get("ana"));
    steps.extend(by_root([Grant("ana", "r"), DeleteRole("r")]));
    steps.push(get("ana"));
    steps.extend(by_root([Delete("ana")]));
    steps.push(get("ana"));
    steps.extend(users([LogIn("ana", "b")]));
    within(steps)
}

fn root(_: i64) -> Vec<Step> {
    let mut steps = by_root([
        AddRole("root"),
        Delete("root"),
        DeleteRole("root"),
        Revoke("root", "root"),
        Revoke("root", "r"),
        Grant("root", "r"),
        Revoke("root", "r"),
        Grant("bia", "root"),
        ChangePassword("root", "new"),
        List,
    ]);
    steps.extend(users([LogIn("root", "new"), LogIn("root", "r")]));
    steps.extend(by_root([List, Get("root")]));
    steps.push(by("bia", Step::Put(put("x", "1"))));
    steps.push(by("bia", Step::Users(Revoke("bia", "root"))));
    steps.push(by("bia", Step::Put(put("x", "1"))));
    within(steps)
}

/// What a permission can be for.
pub(crate) const KINDS: [Type; 3] = [Read, Write, Readwrite];
