//! Random requests: few keys and small numbers, so that they meet each other all the time.

use bytes::Bytes;
use jangada_kv::auth::{PasswordHash, Permission, PermissionKind, TokenDigest};
use jangada_kv::{
    Alarm, AlarmKind, AlarmRequest, AuthChange, AuthQuestion, AuthRequest, Caller, Command, Compare,
    CompareOperator, CompareTarget, DeleteRange, Exec, ExpireCondition, Expiry, KeyRange, LeaseId,
    LeaseRequest, Millis, Put, Quota, RangeRequest, Request, Retention, Revision, Set, SetCondition,
    SortOrder, SortTarget, Txn, TxnOp,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;

/// Longer than what fits into an entry, alike in the beginning, and at the edges of the order.
const KEYS: [&[u8]; 10] = [
    b"",
    b"a",
    b"ab",
    b"b",
    b"b\0",
    b"c",
    b"a key that is longer than others: 1",
    b"a key that is longer than others: 2",
    b"\xff",
    b"\xff\xff",
];

/// Numbers and what looks like one.
const VALUES: [&[u8]; 7] = [b"", b"x", b"0", b"-1", b"41", b"007", b"9223372036854775807"];

pub(crate) fn key() -> impl Strategy<Value = Bytes> {
    // One of them very often, so that one request changes it twice now and then.
    prop_oneof![1 => Just(b"a".as_slice()), 2 => select(&KEYS[..])].prop_map(Bytes::from_static)
}

fn value() -> impl Strategy<Value = Bytes> {
    prop_oneof![
        select(&VALUES[..]).prop_map(Bytes::from_static),
        (0..100_usize).prop_map(|length| Bytes::from(vec![b'v'; length])),
    ]
}

fn range() -> impl Strategy<Value = KeyRange> {
    prop_oneof![
        3 => key().prop_map(KeyRange::One),
        2 => (key(), key()).prop_map(|(from, to)| KeyRange::Span { from, to }),
        1 => key().prop_map(KeyRange::From),
        1 => Just(KeyRange::all()),
    ]
}

fn revision() -> impl Strategy<Value = Revision> {
    (0..40_u64).prop_map(Revision)
}

fn range_request() -> impl Strategy<Value = RangeRequest> {
    let sorting = (
        select(
            &[SortTarget::Key, SortTarget::Version, SortTarget::Create, SortTarget::Mod, SortTarget::Value][..],
        ),
        select(&[SortOrder::None, SortOrder::Ascend, SortOrder::Descend][..]),
    );
    let rarely = || option::weighted(0.2, revision());
    let filters = (rarely(), rarely(), rarely(), rarely());
    (range(), option::weighted(0.3, revision()), 0..4_u64, sorting, any::<(bool, bool)>(), filters).prop_map(
        |(range, revision, limit, (sort_target, sort_order), (keys_only, count_only), filters)| {
            RangeRequest {
                range,
                revision,
                limit,
                sort_target,
                sort_order,
                keys_only,
                count_only,
                min_mod_revision: filters.0,
                max_mod_revision: filters.1,
                min_create_revision: filters.2,
                max_create_revision: filters.3,
            }
        },
    )
}

fn put() -> impl Strategy<Value = Put> {
    let rarely = || proptest::bool::weighted(0.15);
    (key(), value(), option::weighted(0.2, lease()), any::<bool>(), rarely(), rarely()).prop_map(
        |(key, value, lease, prev_kv, ignore_value, ignore_lease)| Put {
            key,
            value: if ignore_value && value.len() < 50 { Bytes::new() } else { value },
            lease,
            prev_kv,
            ignore_value,
            ignore_lease,
        },
    )
}

fn delete_range() -> impl Strategy<Value = DeleteRange> {
    (range(), any::<bool>()).prop_map(|(range, prev_kv)| DeleteRange { range, prev_kv })
}

fn compare() -> impl Strategy<Value = Compare> {
    use CompareOperator::{Equal, Greater, Less, NotEqual};
    let target = prop_oneof![
        (-1..4_i64).prop_map(CompareTarget::Version),
        (0..40_i64).prop_map(CompareTarget::Create),
        (0..40_i64).prop_map(CompareTarget::Mod),
        (-1..2_i64).prop_map(CompareTarget::Lease),
        value().prop_map(CompareTarget::Value),
    ];
    (range(), select(&[Equal, Greater, Less, NotEqual][..]), target)
        .prop_map(|(range, operator, target)| Compare { range, operator, target })
}

fn txn() -> impl Strategy<Value = Txn> {
    let leaf = prop_oneof![
        1 => range_request().prop_map(TxnOp::Range),
        3 => put().prop_map(TxnOp::Put),
        1 => delete_range().prop_map(TxnOp::DeleteRange),
    ];
    let op = leaf.prop_recursive(2, 8, 3, |op| txn_of(op).prop_map(TxnOp::Txn));
    txn_of(op)
}

fn txn_of(op: impl Strategy<Value = TxnOp> + Clone) -> impl Strategy<Value = Txn> {
    (vec(compare(), 0..2), vec(op.clone(), 0..4), vec(op, 0..4)).prop_map(|(compare, success, failure)| Txn {
        compare,
        success,
        failure,
    })
}

/// Many writes and deletes among more keys than elsewhere, so that some of them do not collide.
pub(crate) fn writing_txn() -> impl Strategy<Value = Txn> {
    let key =
        || (0..40_u8).prop_map(|number| Bytes::from(vec![b'a' + number / 4; 1 + usize::from(number % 4)]));
    let range = prop_oneof![
        4 => key().prop_map(KeyRange::One),
        8 => (key(), key()).prop_map(|(from, to)| KeyRange::Span { from, to }),
        1 => key().prop_map(KeyRange::From),
    ];
    let leaf = prop_oneof![
        key().prop_map(|key| TxnOp::Put(Put::new(key, Bytes::new()))),
        range.prop_map(|range| TxnOp::DeleteRange(DeleteRange { range, prev_kv: false })),
    ];
    let op = leaf.prop_recursive(3, 16, 4, |op| {
        (vec(op.clone(), 0..5), vec(op, 0..5))
            .prop_map(|(success, failure)| TxnOp::Txn(Txn { compare: vec![], success, failure }))
    });
    vec(op, 0..8).prop_map(|success| Txn { success, ..Txn::default() })
}

fn expiry() -> impl Strategy<Value = Expiry> {
    prop_oneof![
        Just(Expiry::Clear),
        Just(Expiry::Keep),
        (0..60_u64).prop_map(|milliseconds| Expiry::At(Millis(milliseconds * 10))),
        (0..20_u64).prop_map(|milliseconds| Expiry::After(milliseconds * 10)),
        Just(Expiry::After(u64::MAX)),
    ]
}

fn keys() -> impl Strategy<Value = Vec<Bytes>> {
    vec(key(), 0..4)
}

fn command() -> impl Strategy<Value = Command> {
    use ExpireCondition::{Always, IfEarlier, IfLater, IfNone, IfSome};
    let set = (
        key(),
        value(),
        select(&[SetCondition::Always, SetCondition::IfMissing, SetCondition::IfPresent][..]),
        any::<bool>(),
        expiry(),
    );
    prop_oneof![
        6 => set.prop_map(|(key, value, condition, get, expiry)| {
            Command::Set(Set { key, value, condition, get, expiry })
        }),
        1 => key().prop_map(|key| Command::Get { key }),
        1 => (key(), value()).prop_map(|(key, value)| Command::SetNx { key, value }),
        1 => vec((key(), value()), 0..3).prop_map(|pairs| Command::MSet { pairs }),
        1 => keys().prop_map(|keys| Command::MGet { keys }),
        2 => keys().prop_map(|keys| Command::Delete { keys }),
        1 => keys().prop_map(|keys| Command::Exists { keys }),
        2 => (key(), -2..3_i64).prop_map(|(key, by)| Command::Increment { key, by }),
        1 => (key(), value()).prop_map(|(key, value)| Command::Append { key, value }),
        1 => key().prop_map(|key| Command::StrLen { key }),
        1 => key().prop_map(|key| Command::GetDelete { key }),
        2 => (key(), expiry()).prop_map(|(key, expiry)| Command::GetEx { key, expiry }),
        3 => (key(), expiry(), select(&[Always, IfNone, IfSome, IfLater, IfEarlier][..]))
            .prop_map(|(key, expiry, condition)| Command::Expire { key, expiry, condition }),
        1 => key().prop_map(|key| Command::Persist { key }),
        1 => key().prop_map(|key| Command::Ttl { key }),
        1 => key().prop_map(|key| Command::Deadline { key }),
        1 => select(&["*", "a*", "b*"][..]).prop_map(|text| Command::Keys { pattern: Bytes::from(text) }),
        1 => Just(Command::DbSize),
        1 => key().prop_map(|key| Command::Type { key }),
    ]
}

fn exec() -> impl Strategy<Value = Exec> {
    let watched = vec((key(), option::of(revision())), 0..2);
    (watched, vec(command(), 0..4)).prop_map(|(watched, commands)| Exec { watched, commands })
}

fn retention() -> impl Strategy<Value = Retention> {
    prop_oneof![
        Just(Retention::FOREVER),
        Just(Retention::default()),
        (0..10_u64).prop_map(|revisions| Retention { revisions, bytes: u64::MAX }),
        (0..1_000_u64).prop_map(|bytes| Retention { revisions: u64::MAX, bytes }),
    ]
}

/// Few, a negative one among them; 0 is none.
fn lease() -> impl Strategy<Value = LeaseId> {
    prop_oneof![1 => Just(0), 4 => Just(1), 2 => Just(-1), 1 => Just(9)].prop_map(LeaseId)
}

fn lease_request() -> impl Strategy<Value = LeaseRequest> {
    prop_oneof![
        6 => (lease(), prop_oneof![8 => 0..6_u64, 1 => Just(9_000_000_000), 1 => Just(9_000_000_001)])
            .prop_map(|(lease, ttl_seconds)| LeaseRequest::Grant { lease, ttl_seconds }),
        2 => lease().prop_map(|lease| LeaseRequest::Revoke { lease }),
        3 => lease().prop_map(|lease| LeaseRequest::KeepAlive { lease }),
        1 => vec(lease(), 0..3).prop_map(|leases| LeaseRequest::Expire { leases }),
        1 => Just(LeaseRequest::List),
        2 => (lease(), any::<bool>()).prop_map(|(lease, keys)| LeaseRequest::TimeToLive { lease, keys }),
    ]
}

/// Mostly enough for some keys.
fn quota() -> impl Strategy<Value = Quota> {
    (prop_oneof![Just(u64::MAX), 0..2_500_u64], 0..3_u64).prop_map(|(bytes, member)| Quota { bytes, member })
}

fn alarm_request() -> impl Strategy<Value = AlarmRequest> {
    let alarm = || {
        prop_oneof![
            6 => (0..3_u64).prop_map(|member| Alarm { kind: AlarmKind::NoSpace, member }),
            1 => Just(Alarm { kind: AlarmKind::Corrupt, member: 0 }),
        ]
    };
    prop_oneof![
        2 => Just(AlarmRequest::List),
        1 => alarm().prop_map(AlarmRequest::Raise),
        6 => alarm().prop_map(AlarmRequest::Clear),
    ]
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        12 => command().prop_map(Request::Command),
        4 => exec().prop_map(Request::Exec),
        1 => key().prop_map(|key| Request::WatchRevision { key }),
        3 => range_request().prop_map(|range| Request::Range(Box::new(range))),
        6 => put().prop_map(Request::Put),
        2 => delete_range().prop_map(Request::DeleteRange),
        6 => txn().prop_map(Request::Txn),
        2 => revision().prop_map(|revision| Request::Compact { revision }),
        1 => keys().prop_map(|keys| Request::ExpireKeys { keys }),
        1 => Just(Request::Tick),
        1 => retention().prop_map(Request::SetRetention),
        1 => Just(Request::Command(Command::FlushAll)),
        8 => lease_request().prop_map(Request::Lease),
        2 => quota().prop_map(Request::SetQuota),
        3 => alarm_request().prop_map(Request::Alarm),
    ]
}

fn name() -> impl Strategy<Value = Bytes> {
    select(&["", "root", "ana", "bia"][..]).prop_map(|name| Bytes::from_static(name.as_bytes()))
}

fn caller() -> impl Strategy<Value = Caller> {
    prop_oneof![
        1 => Just(Caller::Nobody),
        3 => Just(Caller::Server),
        1 => (0..3_u8).prop_map(|digest| Caller::Token(TokenDigest([digest; 32]))),
        1 => (name(), 0..9_u64).prop_map(|(name, since)| Caller::User { name, since }),
    ]
}

fn permission() -> impl Strategy<Value = Permission> {
    let kind = select(&[PermissionKind::Read, PermissionKind::Write, PermissionKind::ReadWrite][..]);
    (kind, key(), key()).prop_map(|(kind, key, range_end)| Permission { kind, key, range_end })
}

fn auth_request() -> impl Strategy<Value = AuthRequest> {
    let hash = || Just(PasswordHash(Bytes::from_static(b"hash")));
    prop_oneof![
        1 => Just(AuthRequest::Change(AuthChange::Enable)),
        1 => Just(AuthRequest::Change(AuthChange::Disable)),
        3 => (name(), option::of(hash())).prop_map(|(name, password)| AuthRequest::Change(AuthChange::UserAdd { name, password })),
        1 => name().prop_map(|name| AuthRequest::Change(AuthChange::UserDelete { name })),
        1 => (name(), hash()).prop_map(|(name, password)| AuthRequest::Change(AuthChange::UserChangePassword { name, password })),
        3 => (name(), name()).prop_map(|(user, role)| AuthRequest::Change(AuthChange::UserGrantRole { user, role })),
        1 => (name(), name()).prop_map(|(user, role)| AuthRequest::Change(AuthChange::UserRevokeRole { user, role })),
        3 => name().prop_map(|name| AuthRequest::Change(AuthChange::RoleAdd { name })),
        1 => name().prop_map(|name| AuthRequest::Change(AuthChange::RoleDelete { name })),
        3 => (name(), permission())
            .prop_map(|(role, permission)| AuthRequest::Change(AuthChange::RoleGrantPermission { role, permission })),
        1 => (name(), key(), key())
            .prop_map(|(role, key, range_end)| AuthRequest::Change(AuthChange::RoleRevokePermission { role, key, range_end })),
        1 => (name(), 0..9_u64, 0..3_u8, 0..9_u64).prop_map(|(name, since, digest, ttl_seconds)| {
            AuthRequest::Change(AuthChange::Login { name, since, token: TokenDigest([digest; 32]), ttl_seconds })
        }),
        1 => vec(key().prop_map(KeyRange::One), 0..3).prop_map(|ranges| AuthRequest::Ask(AuthQuestion::MayRead { ranges })),
    ]
}

/// Also those about users, and on somebody's behalf.
pub(crate) fn request_by_somebody() -> impl Strategy<Value = Request> {
    let asked = prop_oneof![1 => request(), 2 => auth_request().prop_map(Request::Auth)];
    (caller(), asked).prop_map(|(caller, request)| caller.asks(request))
}
