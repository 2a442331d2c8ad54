//! The naive store's string commands.

use bytes::Bytes;
use jangada_kv::{
    Command, CommandError, ExpireCondition, Expiry, KeyType, Millis, Reply, Revision, SetCondition,
};

use crate::model::{Bound, Model, Value};

impl Model {
    pub(crate) fn watch(&self, key: &Bytes) -> Option<Revision> {
        self.live(key).map(|value| Revision(value.mod_revision))
    }

    fn live(&self, key: &Bytes) -> Option<Value> {
        let is_live = |value: &&Value| value.deadline().is_none_or(|deadline| deadline > self.clock);
        self.next.get(key).filter(is_live).cloned()
    }

    fn live_value(&self, key: &Bytes) -> Option<Bytes> {
        self.live(key).map(|value| value.value)
    }

    pub(crate) fn run(&mut self, command: &Command) -> Reply {
        match command {
            Command::Get { key } => value_or_nil(self.live_value(key)),
            Command::MGet { keys } => Reply::Values(keys.iter().map(|key| self.live_value(key)).collect()),
            Command::Exists { keys } => integer(keys.iter().filter(|key| self.live(key).is_some()).count()),
            Command::StrLen { key } => integer(self.live_value(key).map_or(0, |value| value.len())),
            Command::Type { key } => {
                Reply::Type(if self.live(key).is_some() { KeyType::String } else { KeyType::Missing })
            }
            Command::DbSize => integer(self.next.len()),
            Command::Ttl { key } => self.time(key, |clock, deadline| deadline.saturating_sub(clock)),
            Command::Deadline { key } => self.time(key, |_, deadline| deadline),
            // The patterns that are generated are all "prefix*".
            Command::Keys { pattern } => {
                let prefix = &pattern[..pattern.len() - 1];
                let keys = self.next.keys().filter(|key| key.starts_with(prefix) && self.live(key).is_some());
                Reply::Keys(keys.cloned().collect())
            }
            // Where a page ends is nobody's business; pages as long as everything are generated.
            Command::Scan { .. } => Reply::Scan { cursor: 0, keys: vec![] },
            Command::Set(set) => {
                let old = self.live(&set.key);
                let is_met = match set.condition {
                    SetCondition::Always => true,
                    SetCondition::IfMissing => old.is_none(),
                    SetCondition::IfPresent => old.is_some(),
                };
                if is_met {
                    match self.bound(set.expiry, old.as_ref()) {
                        Ok(bound) => self.set(&set.key, old.clone(), bound, set.value.clone()),
                        Err(Past) if old.is_some() => assert!(self.write(&set.key, None)),
                        Err(Past) => {}
                    }
                }
                match (set.get, is_met) {
                    (true, _) => value_or_nil(old.map(|old| old.value)),
                    (false, true) => Reply::Ok,
                    (false, false) => Reply::Nil,
                }
            }
            Command::SetNx { key, value } => {
                let is_missing = self.live(key).is_none();
                if is_missing {
                    self.set(key, None, Bound::Endless, value.clone());
                }
                integer(usize::from(is_missing))
            }
            Command::MSet { pairs } => {
                for (key, value) in pairs {
                    self.set(key, self.live(key), Bound::Endless, value.clone());
                }
                Reply::Ok
            }
            Command::Delete { keys } => integer(keys.iter().filter(|key| self.take(key).is_some()).count()),
            Command::GetDelete { key } => value_or_nil(self.take(key)),
            Command::Increment { key, by } => {
                self.increment(key, *by).map_or_else(Reply::Error, Reply::Integer)
            }
            Command::Append { key, value } => {
                let old = self.live(key);
                let joined = [old.as_ref().map_or(&b""[..], |old| &old.value), value].concat();
                let length = joined.len();
                let bound = old.as_ref().map_or(Bound::Endless, |old| old.bound);
                self.set(key, old, bound, joined.into());
                integer(length)
            }
            Command::GetEx { key, expiry } => {
                let value = self.live_value(key);
                self.change_deadline(key, *expiry);
                value_or_nil(value)
            }
            Command::Expire { key, expiry, condition } => {
                integer(usize::from(self.expire(key, *expiry, *condition)))
            }
            Command::Persist { key } => {
                let had_one = self.live(key).is_some_and(|value| value.bound != Bound::Endless);
                self.change_deadline(key, Expiry::Clear);
                integer(usize::from(had_one))
            }
            Command::FlushAll => {
                for key in self.next.keys().cloned().collect::<Vec<_>>() {
                    self.write(&key, None);
                }
                Reply::Ok
            }
        }
    }

    fn take(&mut self, key: &Bytes) -> Option<Bytes> {
        let value = self.live_value(key)?;
        self.write(key, None);
        Some(value)
    }

    fn increment(&mut self, key: &Bytes, by: i64) -> Result<i64, CommandError> {
        let old = self.live(key);
        let text = old.as_ref().map_or("0", |old| std::str::from_utf8(&old.value).unwrap_or("not a number"));
        let number: i64 = text.parse().map_err(|_| CommandError::NotAnInteger)?;
        if number.to_string() != text {
            return Err(CommandError::NotAnInteger);
        }
        let sum = number.checked_add(by).ok_or(CommandError::Overflow)?;
        let bound = old.as_ref().map_or(Bound::Endless, |old| old.bound);
        self.set(key, old, bound, sum.to_string().into());
        Ok(sum)
    }

    fn expire(&mut self, key: &Bytes, expiry: Expiry, condition: ExpireCondition) -> bool {
        let Some(old) = self.live(key) else { return false };
        if expiry == Expiry::Keep {
            return false;
        }
        let new = match self.bound(expiry, Some(&old)) {
            Ok(bound) => self.end(bound).unwrap_or(Millis(u64::MAX)),
            Err(Past) => Millis(0),
        };
        let is_met = match (condition, self.end(old.bound)) {
            (ExpireCondition::Always, _) => true,
            (ExpireCondition::IfNone, old) => old.is_none(),
            (ExpireCondition::IfSome, old) => old.is_some(),
            (ExpireCondition::IfLater, old) => old.is_some_and(|old| new > old),
            (ExpireCondition::IfEarlier, old) => new < old.unwrap_or(Millis(u64::MAX)),
        };
        if is_met {
            self.change_deadline(key, expiry);
        }
        is_met
    }

    fn change_deadline(&mut self, key: &Bytes, expiry: Expiry) {
        let Some(old) = self.live(key) else { return };
        match self.bound(expiry, Some(&old)) {
            Ok(_) if expiry == Expiry::Keep => {}
            Ok(Bound::Endless) if old.bound == Bound::Endless => {}
            Ok(bound) => self.set(key, Some(old.clone()), bound, old.value),
            Err(Past) => assert!(self.write(key, None)),
        }
    }

    /// When a key will be gone.
    fn end(&self, bound: Bound) -> Option<Millis> {
        match bound {
            Bound::Endless => None,
            Bound::Until(deadline) => Some(deadline),
            Bound::Lease(lease) => Some(self.leases[&lease].1),
        }
    }

    fn bound(&self, expiry: Expiry, old: Option<&Value>) -> Result<Bound, Past> {
        let deadline = match expiry {
            Expiry::Clear => return Ok(Bound::Endless),
            Expiry::Keep => return Ok(old.map_or(Bound::Endless, |old| old.bound)),
            Expiry::At(deadline) => deadline,
            Expiry::After(milliseconds) => Millis(self.clock.0.saturating_add(milliseconds)),
        };
        if deadline <= self.clock { Err(Past) } else { Ok(Bound::Until(deadline)) }
    }

    fn time(&self, key: &Bytes, tell: impl FnOnce(u64, u64) -> u64) -> Reply {
        Reply::Integer(match self.live(key).map(|value| self.end(value.bound)) {
            None => -2,
            Some(None) => -1,
            Some(Some(deadline)) => i64::try_from(tell(self.clock.0, deadline.0)).unwrap_or(i64::MAX),
        })
    }
}

struct Past;

fn integer(number: usize) -> Reply {
    Reply::Integer(number as i64)
}

fn value_or_nil(value: Option<Bytes>) -> Reply {
    value.map_or(Reply::Nil, Reply::Value)
}
