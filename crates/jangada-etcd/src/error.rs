//! etcd's error codes and texts. Clients compare the texts, so they are exact, odd ones included.

use jangada_kv::{AuthError, Error, Response};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Code, Status};

use crate::backend::{MemberRefusal, Refusal};

/// A text that clients know, with its code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The code on the wire.
    pub code: Code,
    /// The text, exactly.
    pub text: &'static str,
}

/// `known!(NAME, Code, "text")`.
macro_rules! known {
    ($($(#[$doc:meta])* $name:ident = $code:ident, $text:literal;)*) => { $(
        $(#[$doc])*
        pub const $name: Known = Known { code: Code::$code, text: $text };
    )* };
}

known! {
    /// A key is missing where one is needed.
    EMPTY_KEY = InvalidArgument, "etcdserver: key is not provided";
    /// Something is to be kept of a key that does not exist; also an operation of a txn without content.
    KEY_NOT_FOUND = InvalidArgument, "etcdserver: key not found";
    /// `ignore_value` together with a value.
    VALUE_PROVIDED = InvalidArgument, "etcdserver: value is provided";
    /// `ignore_lease` together with a lease.
    LEASE_PROVIDED = InvalidArgument, "etcdserver: lease is provided";
    /// Too many comparisons or operations.
    TOO_MANY_OPS = InvalidArgument, "etcdserver: too many operations in txn request";
    /// The ranges and comparisons of a txn mean too many keys together. etcd has no such bound.
    TOO_MANY_KEYS = InvalidArgument, "etcdserver: too many keys in txn request: it may visit each key once, and 100000 more";
    /// A txn writes a key twice.
    DUPLICATE_KEY = InvalidArgument, "etcdserver: duplicate key given in txn request";
    /// A sort order or target that does not exist.
    INVALID_SORT_OPTION = InvalidArgument, "etcdserver: invalid sort option";
    /// A comparison that does not exist. etcd takes it for one that always holds.
    INVALID_COMPARE = InvalidArgument, "etcdserver: invalid comparison in txn request";
    /// Larger than an entry of the log may be.
    REQUEST_TOO_LARGE = InvalidArgument, "etcdserver: request is too large";
    /// The history that is asked for is gone.
    COMPACTED = OutOfRange, "etcdserver: mvcc: required revision has been compacted";
    /// The revision that is asked for is not there yet.
    FUTURE_REVISION = OutOfRange, "etcdserver: mvcc: required revision is a future revision";
    /// There is such a lease already.
    LEASE_EXISTS = FailedPrecondition, "etcdserver: lease already exists";
    /// A lease's time to live is longer than any may be.
    LEASE_TTL_TOO_LARGE = OutOfRange, "etcdserver: too large lease TTL";
    /// There is no such lease.
    LEASE_NOT_FOUND = NotFound, "etcdserver: requested lease not found";
    /// The store is full, or an alarm says so.
    NO_SPACE = ResourceExhausted, "etcdserver: mvcc: database space exceeded";
    /// An alarm says that the members' stores differ.
    CORRUPT = DataLoss, "etcdserver: corrupt cluster";
    /// Too much is under way.
    TOO_MANY_REQUESTS = ResourceExhausted, "etcdserver: too many requests";
    /// A change was carried out, but there is no room for what it answers. etcd has no such bound.
    NO_ROOM = ResourceExhausted, "etcdserver: request is carried out, but its answer was dropped: too many wait to be read";
    /// Such a password would never be looked at. etcd takes it, and cuts it off.
    PASSWORD_TOO_LONG = InvalidArgument, "etcdserver: a password has at most 1024 bytes";
    /// The token is none of ours.
    INVALID_AUTH_TOKEN = Unauthenticated, "etcdserver: invalid auth token";
    /// Nobody can begin to ask who everybody is without a user root.
    NO_ROOT_USER = FailedPrecondition, "etcdserver: root user does not exist";
    /// The user root has not the role root.
    NO_ROOT_ROLE = FailedPrecondition, "etcdserver: root user does not have root role";
    /// Nobody could ever log in as root, and change that. etcd has certificates for it.
    ROOT_WITHOUT_PASSWORD = FailedPrecondition, "etcdserver: root user has no password; delete root and add it with one";
    /// There is such a user already.
    USER_EXISTS = FailedPrecondition, "etcdserver: user name already exists";
    /// A user is needed: a name for one, or somebody who asks.
    USER_EMPTY = InvalidArgument, "etcdserver: user name is empty";
    /// There is no such user.
    USER_NOT_FOUND = FailedPrecondition, "etcdserver: user name not found";
    /// There is such a role already.
    ROLE_EXISTS = FailedPrecondition, "etcdserver: role name already exists";
    /// There is no such role.
    ROLE_NOT_FOUND = FailedPrecondition, "etcdserver: role name not found";
    /// A role needs a name.
    ROLE_EMPTY = InvalidArgument, "etcdserver: role name is empty";
    /// The user or the password is wrong.
    AUTH_FAILED = InvalidArgument, "etcdserver: authentication failed, invalid user ID or password";
    /// It is not said what shall be permitted.
    PERMISSION_NOT_GIVEN = InvalidArgument, "etcdserver: permission not given";
    /// The user may not do that.
    PERMISSION_DENIED = PermissionDenied, "etcdserver: permission denied";
    /// The user has not that role.
    ROLE_NOT_GRANTED = FailedPrecondition, "etcdserver: role is not granted to the user";
    /// The role has not that permission.
    PERMISSION_NOT_GRANTED = FailedPrecondition, "etcdserver: permission is not granted to the role";
    /// Nobody is asked who they are.
    AUTH_NOT_ENABLED = FailedPrecondition, "etcdserver: authentication is not enabled";
    /// It would leave nobody who could manage users, or a permission is for no keys.
    INVALID_AUTH_MANAGEMENT = InvalidArgument, "etcdserver: invalid auth management";
    /// The user was made without a password. etcd has no code for that.
    NO_PASSWORD_USER = Unknown, "auth: authentication failed, password was given for no password user";
    /// A member has this peer URL already.
    PEER_URL_EXISTS = FailedPrecondition, "etcdserver: Peer URLs already exists";
    /// These are no peer URLs.
    BAD_MEMBER_URLS = InvalidArgument, "etcdserver: given member URLs are invalid";
    /// There is no such member.
    MEMBER_NOT_FOUND = NotFound, "etcdserver: member not found";
    /// Only a learner can be promoted.
    NOT_A_LEARNER = FailedPrecondition, "etcdserver: can only promote a learner member";
    /// The learner is behind.
    LEARNER_NOT_READY = FailedPrecondition, "etcdserver: can only promote a learner member which is in sync with leader";
    /// Too few of the voters after a change would be alive.
    UNHEALTHY_CLUSTER = Unavailable, "etcdserver: unhealthy cluster";
    /// Too many voters are expected already for one more.
    NOT_ENOUGH_STARTED = FailedPrecondition, "etcdserver: re-configuration failed due to not enough started members";
    /// Nobody leads.
    NO_LEADER = Unavailable, "etcdserver: no leader";
    /// Nobody leads, of questions about users: clients of etcd's would ask again for a minute if it were said.
    NO_ANSWER_ABOUT_USERS = Unknown, "context deadline exceeded";
    /// No answer in time; a write may or may not have taken effect.
    TIMED_OUT = Unavailable, "etcdserver: request timed out";
    /// Only the leader can give the leadership away.
    NOT_LEADER = FailedPrecondition, "etcdserver: not leader";
    /// Who is to lead is no voter.
    BAD_TRANSFEREE = FailedPrecondition, "etcdserver: bad leader transferee";
    /// Who is to lead did not take over.
    TRANSFER_TIMED_OUT = Unavailable, "etcdserver: request timed out, leader transfer took too long";
    /// A version to go back to is no version.
    BAD_VERSION = InvalidArgument, "etcdserver: wrong downgrade target version format";
    /// A version to go back to is not the one before.
    BAD_DOWNGRADE = InvalidArgument, "etcdserver: invalid downgrade target version";
    /// Nobody has begun to go back.
    NO_DOWNGRADE = FailedPrecondition, "etcdserver: no inflight downgrade job";
    /// Something that no version of etcd does.
    UNKNOWN_METHOD = Unknown, "etcdserver: unknown method";
    /// The server is stopping.
    STOPPED = Unavailable, "etcdserver: server stopped";
}

impl From<Known> for Status {
    fn from(known: Known) -> Status {
        Status::new(known.code, known.text)
    }
}

/// What the store says, in etcd's words.
#[must_use]
pub fn of_store(error: Error) -> Status {
    let known = match error {
        Error::EmptyKey => EMPTY_KEY,
        Error::Compacted { .. } => COMPACTED,
        Error::FutureRevision { .. } => FUTURE_REVISION,
        Error::KeyNotFound => KEY_NOT_FOUND,
        Error::ValueProvided => VALUE_PROVIDED,
        Error::LeaseProvided => LEASE_PROVIDED,
        Error::LeaseNotFound => LEASE_NOT_FOUND,
        Error::LeaseExists => LEASE_EXISTS,
        Error::TtlTooLong => LEASE_TTL_TOO_LARGE,
        Error::NoSpace => NO_SPACE,
        Error::Corrupt => CORRUPT,
        Error::TooManyOps => TOO_MANY_OPS,
        Error::TooManyKeys => TOO_MANY_KEYS,
        Error::DuplicateKey => DUPLICATE_KEY,
        Error::Auth(error) => of_auth(error),
        // These two are faults of ours, for which etcd has no words.
        Error::NotReadOnly | Error::Malformed => return Status::internal(error.to_string()),
    };
    known.into()
}

fn of_auth(error: AuthError) -> Known {
    match error {
        AuthError::NoRootUser => NO_ROOT_USER,
        AuthError::RootLacksRole => NO_ROOT_ROLE,
        AuthError::UserExists => USER_EXISTS,
        AuthError::NoUser => USER_EMPTY,
        AuthError::UserNotFound => USER_NOT_FOUND,
        AuthError::RoleExists => ROLE_EXISTS,
        AuthError::RoleNotFound => ROLE_NOT_FOUND,
        AuthError::NoRoleName => ROLE_EMPTY,
        AuthError::LoginFailed => AUTH_FAILED,
        AuthError::Denied => PERMISSION_DENIED,
        AuthError::RoleNotGranted => ROLE_NOT_GRANTED,
        AuthError::PermissionNotGranted => PERMISSION_NOT_GRANTED,
        AuthError::NotEnabled => AUTH_NOT_ENABLED,
        AuthError::InvalidToken => INVALID_AUTH_TOKEN,
        AuthError::InvalidManagement => INVALID_AUTH_MANAGEMENT,
        AuthError::NoPassword => NO_PASSWORD_USER,
    }
}

/// The metadata in which a refusal says why. It is there only if what was asked certainly was not done, and will not be.
pub const WHY: &str = "jangada-why";

/// A refusal in etcd's exact words, which clients compare; why stands beside it, where only those look who know of it.
fn because(known: Known, why: &str) -> Status {
    let mut status = Status::from(known);
    let ascii: String = why.chars().map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    let value: Result<MetadataValue<Ascii>, _> = ascii.parse();
    status.metadata_mut().insert(WHY, value.expect("visible characters of ASCII are a value"));
    status
}

/// That nobody leads, and why, if this member can tell.
pub(crate) fn no_leader(why: Option<&str>) -> Status {
    why.map_or_else(|| NO_LEADER.into(), |why| because(NO_LEADER, why))
}

/// Why what was asked certainly was not done, if a server says so.
#[must_use]
pub fn why(status: &Status) -> Option<&str> {
    status.metadata().get(WHY)?.to_str().ok()
}

/// Why there is no answer, in etcd's words.
#[must_use]
pub fn of_refusal(refusal: Refusal) -> Status {
    match refusal {
        Refusal::NoLeader { why } => because(NO_LEADER, &why),
        // etcd says this, too, until its process has ended.
        Refusal::Removed { why } => because(STOPPED, &why),
        Refusal::Busy => TOO_MANY_REQUESTS.into(),
        Refusal::NoRoom => NO_ROOM.into(),
        Refusal::TooLarge => REQUEST_TOO_LARGE.into(),
        Refusal::TimedOut => TIMED_OUT.into(),
        Refusal::Stopping => STOPPED.into(),
        Refusal::Other(why) => Status::unknown(why),
    }
}

/// Why a member was not changed, in etcd's words where it has some.
#[must_use]
pub fn of_member_refusal(refusal: MemberRefusal) -> Status {
    match refusal {
        MemberRefusal::AddressTaken => PEER_URL_EXISTS.into(),
        MemberRefusal::NotFound => MEMBER_NOT_FOUND.into(),
        MemberRefusal::NotLearner => NOT_A_LEARNER.into(),
        MemberRefusal::NotInStep => LEARNER_NOT_READY.into(),
        MemberRefusal::Unhealthy => UNHEALTHY_CLUSTER.into(),
        MemberRefusal::TooFewStarted => NOT_ENOUGH_STARTED.into(),
        MemberRefusal::Impossible(why) => Status::failed_precondition(format!("etcdserver: {why}")),
        MemberRefusal::NoAnswer(refusal) => of_refusal(refusal),
    }
}

/// The store answered something that is no answer to what was asked.
#[must_use]
pub fn of_mismatch(response: Response) -> Status {
    match response {
        Response::Error(error) => of_store(error),
        Response::Reply(_)
        | Response::Exec(_)
        | Response::WatchRevision(_)
        | Response::Range(_)
        | Response::Put(_)
        | Response::DeleteRange(_)
        | Response::Txn(_)
        | Response::Compact { .. }
        | Response::Expired { .. }
        | Response::Lease(_)
        | Response::Auth(_)
        | Response::Alarm(_)
        | Response::Done => Status::internal("the store gave an answer to something else"),
    }
}
