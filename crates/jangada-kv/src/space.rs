//! How much the store may hold, and the alarms that say that something is wrong with the cluster.
//!
//! Both are replicated: whether a write is refused is decided where it is applied, by nothing but the state, so that it
//! is refused on each replica or on none. What counts are the live bytes, those of the newest versions and of the
//! leases: history is bounded by [`Retention`](crate::Retention) and is nobody's fault.
//!
//! - A request that would make the live bytes exceed the quota is refused, and raises the alarm
//!   [`AlarmKind::NoSpace`]. While that stands, everything that could grow the store is refused, whether it would fit
//!   or not: many small writes should not starve a large one. What only removes or reads is never refused.
//! - The alarm falls by itself as soon as something was removed and a tenth of the quota is free again. One that was
//!   raised by hand falls by hand alone.
//! - While [`AlarmKind::Corrupt`] stands, which is only ever raised by hand, clients change nothing. Time goes on: what
//!   has a deadline ends.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::Command;
use crate::entry::KEY_OVERHEAD_BYTES;
use crate::lease::LeaseRequest;
use crate::request::{Put, Request, Txn, TxnOp};
use crate::response::{Error, Response};
use crate::store::Store;
use crate::types::Revision;

/// Longest decimal 64-bit number, with its sign.
const NUMBER_BYTES: u64 = 20;

/// The alarm falls when one part in so many of the quota is free.
const FREE_PART: u64 = 10;

/// How many live bytes the store may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quota {
    /// Most of them; see [`Store::live_bytes`].
    pub bytes: u64,
    /// The member that has said so, and for which the alarm is raised; 0 if nobody has.
    pub member: u64,
}

/// Two gibibytes, as in etcd.
impl Default for Quota {
    fn default() -> Quota {
        Quota { bytes: 2 << 30, member: 0 }
    }
}

/// What can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlarmKind {
    /// The store is full.
    NoSpace,
    /// The members' stores differ, or somebody says so.
    Corrupt,
}

/// Something is wrong, at a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Alarm {
    /// What.
    pub kind: AlarmKind,
    /// The member's number; any, also 0.
    pub member: u64,
}

/// What can be asked of alarms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AlarmRequest {
    /// Read which there are.
    List,
    /// Raise one, by hand.
    Raise(Alarm),
    /// End one.
    Clear(Alarm),
}

/// The answer to an [`AlarmRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlarmResponse {
    /// The current revision.
    pub revision: Revision,
    /// To `List`: all. To the others: the one that stands now, or that has been ended; none if there was nothing to end.
    pub alarms: Vec<Alarm>,
}

/// The quota, and the alarms.
#[derive(Default)]
pub(crate) struct Space {
    pub(crate) quota: Quota,
    /// With whether the store itself has raised it.
    pub(crate) alarms: BTreeMap<Alarm, bool>,
}

/// An alarm as a snapshot holds it.
#[derive(Clone, Copy)]
pub(crate) struct AlarmRecord {
    pub(crate) alarm: Alarm,
    pub(crate) is_own: bool,
}

impl Space {
    /// Whether it is as in a new store: then a snapshot says nothing of it.
    pub(crate) fn is_default(&self) -> bool {
        self.quota == Quota::default() && self.alarms.is_empty()
    }

    pub(crate) fn records(&self) -> Vec<AlarmRecord> {
        self.alarms.iter().map(|(alarm, is_own)| AlarmRecord { alarm: *alarm, is_own: *is_own }).collect()
    }

    fn stands(&self, kind: AlarmKind) -> bool {
        self.alarms.keys().any(|alarm| alarm.kind == kind)
    }
}

impl Store {
    /// How much the store may hold.
    #[must_use]
    pub fn quota(&self) -> Quota {
        self.space.quota
    }

    /// The alarms that stand, by kind and member.
    pub fn alarms(&self) -> impl Iterator<Item = Alarm> {
        self.space.alarms.keys().copied()
    }

    /// Refuses what the alarms forbid.
    pub(crate) fn heed_alarms(&self, request: &Request) -> Result<(), Error> {
        if self.space.alarms.is_empty() {
            return Ok(());
        }
        if self.space.stands(AlarmKind::Corrupt) && is_change_by_client(request) {
            return Err(Error::Corrupt);
        }
        if self.space.stands(AlarmKind::NoSpace) && may_grow(request) {
            return Err(Error::NoSpace);
        }
        Ok(())
    }

    /// Refuses what would exceed the quota, and raises the alarm. `at_most` is quickly had and not less than `growth`,
    /// which is asked for when it is close.
    pub(crate) fn make_room(
        &mut self,
        at_most: u64,
        growth: impl FnOnce(&Store) -> u64,
    ) -> Result<(), Error> {
        let free = self.space.quota.bytes.saturating_sub(self.live_bytes);
        if at_most <= free {
            return Ok(());
        }
        // What does not grow the store passes, even if the quota was made smaller than what is there.
        if growth(self) <= free {
            return Ok(());
        }
        let alarm = Alarm { kind: AlarmKind::NoSpace, member: self.space.quota.member };
        self.space.alarms.entry(alarm).or_insert(true);
        Err(Error::NoSpace)
    }

    /// The store's own alarms end when there is space again.
    pub(crate) fn look_at_space(&mut self) {
        let Quota { bytes, .. } = self.space.quota;
        if self.live_bytes <= bytes - bytes / FREE_PART {
            self.space.alarms.retain(|_, is_own| !*is_own);
        }
    }

    pub(crate) fn set_quota(&mut self, quota: Quota) {
        self.space.quota = quota;
        self.look_at_space();
    }

    pub(crate) fn alarm(&mut self, request: &AlarmRequest) -> Response {
        let alarms = match request {
            AlarmRequest::List => return self.alarm_list(),
            AlarmRequest::Raise(alarm) => {
                self.space.alarms.entry(*alarm).or_insert(false);
                Some(*alarm)
            }
            AlarmRequest::Clear(alarm) => self.space.alarms.remove(alarm).map(|_| *alarm),
        };
        Response::Alarm(AlarmResponse { revision: self.revision, alarms: alarms.into_iter().collect() })
    }

    pub(crate) fn alarm_list(&self) -> Response {
        Response::Alarm(AlarmResponse { revision: self.revision, alarms: self.alarms().collect() })
    }

    /// By how much a put makes the store grow.
    pub(crate) fn put_growth(&self, put: &Put) -> u64 {
        match put.ignore_value {
            true => 0,
            false => self.growth(&put.key, put.value.len() as u64),
        }
    }

    /// By how much a command makes the store grow at most. It need not be exact: what does nothing in the end (`SET` with
    /// `NX`) may be refused in a full store.
    pub(crate) fn command_growth(&self, command: &Command) -> u64 {
        if let Command::Append { key, value } = command
            && self.bytes_of(key) > 0
        {
            return value.len() as u64;
        }
        written(command).map(|(key, value_bytes)| self.growth(key, value_bytes)).sum()
    }

    fn growth(&self, key: &[u8], value_bytes: u64) -> u64 {
        key_bytes(key, value_bytes).saturating_sub(self.bytes_of(key))
    }

    /// What a key takes up now.
    fn bytes_of(&self, key: &[u8]) -> u64 {
        let slot = self.index.find(key).filter(|slot| self.existing(*slot).is_some());
        slot.map_or(0, |slot| self.index.entry(slot).bytes())
    }
}

/// What a key takes up: the same sum as that of `Entry::bytes`.
fn key_bytes(key: &[u8], value_bytes: u64) -> u64 {
    KEY_OVERHEAD_BYTES + key.len() as u64 + value_bytes
}

/// A bound on what a put adds that needs no look at the store.
pub(crate) fn put_bytes(put: &Put) -> u64 {
    key_bytes(&put.key, put.value.len() as u64)
}

/// The same of a command.
pub(crate) fn command_bytes(command: &Command) -> u64 {
    written(command).map(|(key, value_bytes)| key_bytes(key, value_bytes)).sum()
}

/// What a command writes: keys, and how many bytes of value each gets.
fn written(command: &Command) -> impl Iterator<Item = (&[u8], u64)> {
    let (one, several): (_, &[(Bytes, Bytes)]) = match command {
        Command::Set(set) => (Some((&set.key, set.value.len() as u64)), &[]),
        Command::SetNx { key, value } | Command::Append { key, value } => {
            (Some((key, value.len() as u64)), &[])
        }
        Command::Increment { key, .. } => (Some((key, NUMBER_BYTES)), &[]),
        Command::MSet { pairs } => (None, pairs),
        Command::Delete { .. }
        | Command::GetDelete { .. }
        | Command::GetEx { .. }
        | Command::Expire { .. }
        | Command::Persist { .. }
        | Command::FlushAll
        | Command::Get { .. }
        | Command::MGet { .. }
        | Command::Exists { .. }
        | Command::StrLen { .. }
        | Command::Ttl { .. }
        | Command::Deadline { .. }
        | Command::Keys { .. }
        | Command::Scan { .. }
        | Command::DbSize
        | Command::Type { .. } => (None, &[]),
    };
    let several = several.iter().map(|(key, value)| (key, value.len() as u64));
    one.into_iter().chain(several).map(|(key, value_bytes)| (&key[..], value_bytes))
}

/// What the alarm about space forbids, whatever its size.
fn may_grow(request: &Request) -> bool {
    match request {
        Request::Command(command) => command_bytes(command) > 0,
        Request::Exec(exec) => exec.commands.iter().any(|command| command_bytes(command) > 0),
        Request::Put(_) => true,
        Request::Txn(txn) => has_put(txn),
        Request::Lease(LeaseRequest::Grant { .. }) => true,
        Request::Lease(_)
        | Request::WatchRevision { .. }
        | Request::Range(_)
        | Request::DeleteRange(_)
        | Request::Compact { .. }
        | Request::ExpireKeys { .. }
        | Request::Tick
        | Request::SetRetention(_)
        | Request::SetQuota(_)
        | Request::Alarm(_)
        | Request::Auth(_) => false,
        Request::OnBehalf(asked) => may_grow(&asked.request),
    }
}

/// In either branch, as etcd has it: whether a txn is refused should not depend on what it finds.
fn has_put(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Put(_) => true,
        TxnOp::Txn(nested) => has_put(nested),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => false,
    })
}

/// What changes the store by a client's will.
fn is_change_by_client(request: &Request) -> bool {
    match request {
        Request::Command(_)
        | Request::Exec(_)
        | Request::WatchRevision { .. }
        | Request::Range(_)
        | Request::Put(_)
        | Request::DeleteRange(_)
        | Request::Txn(_)
        | Request::Compact { .. } => !request.is_read_only(),
        Request::Lease(LeaseRequest::Grant { .. } | LeaseRequest::Revoke { .. }) => true,
        Request::Lease(_)
        | Request::ExpireKeys { .. }
        | Request::Tick
        | Request::SetRetention(_)
        | Request::SetQuota(_)
        | Request::Alarm(_)
        | Request::Auth(_) => false,
        Request::OnBehalf(asked) => is_change_by_client(&asked.request),
    }
}
