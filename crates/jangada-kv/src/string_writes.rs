//! Redis's string commands that write.

use alloc::string::ToString;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::{
    Command, CommandError, ExpireCondition, Expiry, MAX_VALUE_BYTES, Reply, Set, SetCondition,
};
use crate::entry::Life;
use crate::expiry::NewDeadline;
use crate::response::Error;
use crate::slab::Slot;
use crate::space::command_bytes;
use crate::store::Store;
use crate::strings::{integer, value_or_nil};
use crate::types::Millis;

impl Store {
    /// Runs a command on its own.
    pub(crate) fn command(&mut self, command: &Command) -> Result<Reply, Error> {
        self.make_room(command_bytes(command), |store| store.command_growth(command))?;
        Ok(self.run(command))
    }

    /// Runs any command for which there is room.
    pub(crate) fn run(&mut self, command: &Command) -> Reply {
        match command {
            Command::Set(set) => self.set(set),
            Command::SetNx { key, value } => {
                let slot = self.index.find(key);
                let is_missing = slot.and_then(|slot| self.live(slot)).is_none();
                if is_missing {
                    self.write(key, slot, false, Life::Endless, Bytes::copy_from_slice(value));
                }
                Reply::Integer(i64::from(is_missing))
            }
            Command::MSet { pairs } => {
                for (key, value) in pairs {
                    let slot = self.index.find(key);
                    let continues = slot.and_then(|slot| self.live(slot)).is_some();
                    self.write(key, slot, continues, Life::Endless, Bytes::copy_from_slice(value));
                }
                Reply::Ok
            }
            Command::Delete { keys } => {
                integer(keys.iter().filter(|key| self.take(key).is_some()).count() as u64)
            }
            Command::GetDelete { key } => self.take(key).map_or(Reply::Nil, Reply::Value),
            Command::Increment { key, by } => self.increment(key, *by).unwrap_or_else(Reply::Error),
            Command::Append { key, value } => self.append(key, value).unwrap_or_else(Reply::Error),
            Command::GetEx { key, expiry } => self.get_ex(key, *expiry),
            Command::Expire { key, expiry, condition } => self.expire(key, *expiry, *condition),
            Command::Persist { key } => self.expire(key, Expiry::Clear, ExpireCondition::IfSome),
            Command::FlushAll => {
                let slots: Vec<Slot> =
                    self.index.after(None).filter(|slot| self.existing(*slot).is_some()).collect();
                slots.into_iter().for_each(|slot| self.delete(slot));
                Reply::Ok
            }
            Command::Get { .. }
            | Command::MGet { .. }
            | Command::Exists { .. }
            | Command::StrLen { .. }
            | Command::Ttl { .. }
            | Command::Deadline { .. }
            | Command::Keys { .. }
            | Command::Scan { .. }
            | Command::DbSize
            | Command::Type { .. } => self.query(self.clock, command).expect("these commands only read"),
        }
    }

    fn set(&mut self, set: &Set) -> Reply {
        let slot = self.index.find(&set.key);
        let old = slot.and_then(|slot| self.live(slot));
        let continues = old.is_some();
        let old_life = old.map_or(Life::Endless, |old| old.life);
        let is_met = match set.condition {
            SetCondition::Always => true,
            SetCondition::IfMissing => !continues,
            SetCondition::IfPresent => continues,
        };
        let reply = match (set.get, is_met) {
            (true, _) => value_or_nil(old.and_then(|old| old.value.as_ref())),
            (false, true) => Reply::Ok,
            (false, false) => Reply::Nil,
        };
        if !is_met {
            return reply;
        }
        let life = match self.new_deadline(set.expiry) {
            NewDeadline::Unchanged => old_life,
            NewDeadline::Set(life) => life,
            NewDeadline::Past => {
                self.take(&set.key);
                return reply;
            }
        };
        self.write(&set.key, slot, continues, life, Bytes::copy_from_slice(&set.value));
        reply
    }

    /// Deletes a key and returns its value, if it exists.
    fn take(&mut self, key: &[u8]) -> Option<Bytes> {
        let slot = self.index.find(key)?;
        let value = self.live(slot)?.value.clone();
        self.delete(slot);
        value
    }

    fn increment(&mut self, key: &[u8], by: i64) -> Result<Reply, CommandError> {
        let slot = self.index.find(key);
        let old = slot.and_then(|slot| self.live(slot));
        let number = match old.and_then(|old| old.value.as_ref()) {
            Some(value) => parse_number(value).ok_or(CommandError::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(by).ok_or(CommandError::Overflow)?;
        let (continues, life) = (old.is_some(), old.map_or(Life::Endless, |old| old.life));
        self.write(key, slot, continues, life, Bytes::from(sum.to_string()));
        Ok(Reply::Integer(sum))
    }

    fn append(&mut self, key: &[u8], addition: &[u8]) -> Result<Reply, CommandError> {
        let slot = self.index.find(key);
        let old = slot.and_then(|slot| self.live(slot));
        let old_value: &[u8] = old.and_then(|old| old.value.as_deref()).unwrap_or_default();
        let length = old_value.len().saturating_add(addition.len());
        if length > MAX_VALUE_BYTES {
            return Err(CommandError::TooLong);
        }
        let mut value = Vec::with_capacity(length);
        value.extend_from_slice(old_value);
        value.extend_from_slice(addition);
        let (continues, life) = (old.is_some(), old.map_or(Life::Endless, |old| old.life));
        self.write(key, slot, continues, life, Bytes::from(value));
        Ok(integer(length as u64))
    }

    fn get_ex(&mut self, key: &[u8], expiry: Expiry) -> Reply {
        let live = self.index.find(key).and_then(|slot| Some((slot, self.live(slot)?.value.clone()?)));
        let Some((slot, value)) = live else {
            return Reply::Nil;
        };
        self.change_deadline(key, slot, self.new_deadline(expiry));
        Reply::Value(value)
    }

    fn expire(&mut self, key: &[u8], expiry: Expiry, condition: ExpireCondition) -> Reply {
        let live = self.index.find(key).and_then(|slot| Some((slot, self.end_of(self.live(slot)?))));
        let Some((slot, old)) = live else {
            return Reply::Integer(0);
        };
        let new = self.new_deadline(expiry);
        // No deadline is one that never comes; one that has passed is earlier than any that has not.
        let never = Millis(u64::MAX);
        let new_as_time = match new {
            NewDeadline::Unchanged => return Reply::Integer(0),
            NewDeadline::Set(Life::Until(deadline)) => deadline,
            NewDeadline::Set(Life::Endless | Life::Lease(_)) => never,
            NewDeadline::Past => Millis::ZERO,
        };
        let is_met = match condition {
            ExpireCondition::Always => true,
            ExpireCondition::IfNone => old.is_none(),
            ExpireCondition::IfSome => old.is_some(),
            ExpireCondition::IfLater => new_as_time > old.unwrap_or(never),
            ExpireCondition::IfEarlier => new_as_time < old.unwrap_or(never),
        };
        if is_met {
            self.change_deadline(key, slot, new);
        }
        Reply::Integer(i64::from(is_met))
    }

    /// Changes the deadline of a key that exists, and takes it out of its lease. That is a new version of the key, with the
    /// same value.
    fn change_deadline(&mut self, key: &[u8], slot: Slot, new: NewDeadline) {
        let newest = self.newest(slot);
        match new {
            NewDeadline::Unchanged => {}
            NewDeadline::Set(life) if newest.life == life && life == Life::Endless => {}
            NewDeadline::Set(life) => {
                let value = newest.value.clone().expect("a key that exists has a value");
                self.write(key, Some(slot), true, life, value);
            }
            NewDeadline::Past => self.delete(slot),
        }
    }
}

/// A decimal number exactly as Redis would print it: no spaces, no plus sign, no leading zeros, no minus zero.
fn parse_number(value: &[u8]) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    let is_canonical = match digits {
        [b'0'] => value.len() == 1,
        [b'1'..=b'9', ..] => true,
        _ => false,
    };
    if !is_canonical {
        return None;
    }
    core::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::parse_number;

    #[test]
    fn only_canonical_numbers_are_numbers() {
        for (text, expected) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("01", None),
            ("+1", None),
            (" 1", None),
            ("1 ", None),
            ("1a", None),
            ("--1", None),
        ] {
            assert_eq!(parse_number(text.as_bytes()), expected, "{text}");
        }
    }
}
