//! What Redis's string commands do to the values of keys. The rest is in [`crate::model`].

use bytes::Bytes;
use jangada_kv::{
    Command, CommandError, ExpireCondition, Expiry, KeyRange, KeyType, MAX_VALUE_BYTES, Reply, Set,
    SetCondition,
};

use crate::model::{Cell, Cells, Life, Step};

/// An expected time to live or deadline of which only the existence is known.
pub(crate) const SOME_TIME: i64 = i64::MAX;

impl<C: Cells> Step<'_, C> {
    /// Does a command.
    pub(crate) fn command(&mut self, command: &Command) -> Reply {
        match command {
            Command::Get { key } => value_or_nil(self.live(key)),
            Command::Set(set) => self.set(set),
            Command::SetNx { key, value } => {
                let is_missing = self.live(key).is_none();
                if is_missing {
                    self.write(key, None, Life::Endless, value.clone());
                }
                Reply::Integer(i64::from(is_missing))
            }
            Command::MSet { pairs } => {
                for (key, value) in pairs {
                    let old = self.live(key);
                    self.write(key, old.as_ref(), Life::Endless, value.clone());
                }
                Reply::Ok
            }
            Command::MGet { keys } => {
                Reply::Values(keys.iter().map(|key| self.live(key).map(|cell| cell.value)).collect())
            }
            Command::Delete { keys } => count(keys.iter().filter(|key| self.take(key).is_some()).count()),
            Command::Exists { keys } => count(keys.iter().filter(|key| self.live(key).is_some()).count()),
            Command::Increment { key, by } => self.increment(key, *by).unwrap_or_else(Reply::Error),
            Command::Append { key, value } => self.append(key, value),
            Command::StrLen { key } => count(self.live(key).map_or(0, |cell| cell.value.len())),
            Command::GetDelete { key } => value_or_nil(self.take(key)),
            Command::GetEx { key, expiry } => self.get_ex(key, *expiry),
            Command::Expire { key, expiry, condition } => self.expire(key, *expiry, *condition),
            Command::Persist { key } => self.expire(key, Expiry::Clear, ExpireCondition::IfSome),
            Command::Ttl { key } | Command::Deadline { key } => {
                Reply::Integer(match self.live(key).map(|cell| cell.life) {
                    None => -2,
                    Some(Life::Endless) => -1,
                    Some(Life::Mortal | Life::Passed) => SOME_TIME,
                })
            }
            Command::DbSize => count(self.existing_in(&KeyRange::all()).len()),
            Command::FlushAll => {
                let all = self.existing_in(&KeyRange::all());
                all.iter().for_each(|(key, _)| self.delete(key));
                Reply::Ok
            }
            Command::Type { key } => Reply::Type(match self.live(key) {
                Some(_) => KeyType::String,
                None => KeyType::Missing,
            }),
            // Beyond what the checkers judge; they change nothing.
            Command::Keys { .. } | Command::Scan { .. } => Reply::Nil,
        }
    }

    fn set(&mut self, set: &Set) -> Reply {
        let old = self.live(&set.key);
        let is_met = match set.condition {
            SetCondition::Always => true,
            SetCondition::IfMissing => old.is_none(),
            SetCondition::IfPresent => old.is_some(),
        };
        if is_met {
            let old_life = old.as_ref().map_or(Life::Endless, |old| old.life);
            match self.new_life(old_life, set.expiry) {
                Some(life) => self.write(&set.key, old.as_ref(), life, set.value.clone()),
                None if old.is_some() => self.delete(&set.key),
                None => {}
            }
        }
        match (set.get, is_met) {
            (true, _) => value_or_nil(old),
            (false, true) => Reply::Ok,
            (false, false) => Reply::Nil,
        }
    }

    fn take(&mut self, key: &Bytes) -> Option<Cell> {
        let cell = self.live(key)?;
        self.delete(key);
        Some(cell)
    }

    fn increment(&mut self, key: &Bytes, by: i64) -> Result<Reply, CommandError> {
        let old = self.live(key);
        let number = match &old {
            Some(old) => number(&old.value).ok_or(CommandError::NotAnInteger)?,
            None => 0,
        };
        let sum = number.checked_add(by).ok_or(CommandError::Overflow)?;
        let life = old.as_ref().map_or(Life::Endless, |old| old.life);
        self.write(key, old.as_ref(), life, Bytes::from(sum.to_string()));
        Ok(Reply::Integer(sum))
    }

    fn append(&mut self, key: &Bytes, addition: &Bytes) -> Reply {
        let old = self.live(key);
        let mut value = old.as_ref().map_or_else(Vec::new, |old| old.value.to_vec());
        value.extend_from_slice(addition);
        if value.len() > MAX_VALUE_BYTES {
            return Reply::Error(CommandError::TooLong);
        }
        let length = value.len();
        let life = old.as_ref().map_or(Life::Endless, |old| old.life);
        self.write(key, old.as_ref(), life, Bytes::from(value));
        count(length)
    }

    fn get_ex(&mut self, key: &Bytes, expiry: Expiry) -> Reply {
        let Some(cell) = self.live(key) else { return Reply::Nil };
        self.give_life(key, &cell, expiry);
        Reply::Value(cell.value)
    }

    fn expire(&mut self, key: &Bytes, expiry: Expiry, condition: ExpireCondition) -> Reply {
        let Some(cell) = self.live(key).filter(|_| expiry != Expiry::Keep) else {
            return Reply::Integer(0);
        };
        // Which of two deadlines is the later one cannot be told; any deadline comes before none.
        let (has, gets) = (cell.life != Life::Endless, expiry != Expiry::Clear);
        let is_met = match condition {
            ExpireCondition::Always => true,
            ExpireCondition::IfNone => !has,
            ExpireCondition::IfSome => has,
            ExpireCondition::IfLater | ExpireCondition::IfEarlier if has && gets => self.choices.flip(),
            ExpireCondition::IfLater => has && !gets,
            ExpireCondition::IfEarlier => !has && gets,
        };
        if is_met {
            self.give_life(key, &cell, expiry);
        }
        Reply::Integer(i64::from(is_met))
    }

    fn give_life(&mut self, key: &Bytes, cell: &Cell, expiry: Expiry) {
        match self.new_life(cell.life, expiry) {
            Some(Life::Endless) if cell.life == Life::Endless => {}
            _ if expiry == Expiry::Keep => {}
            Some(life) => self.write(key, Some(cell), life, cell.value.clone()),
            None => self.delete(key),
        }
    }

    /// The life that a key gets; `None` if the deadline has passed already.
    fn new_life(&mut self, old: Life, expiry: Expiry) -> Option<Life> {
        match expiry {
            Expiry::Clear => Some(Life::Endless),
            Expiry::Keep => Some(old),
            Expiry::After(0) => None,
            Expiry::After(_) => Some(Life::Mortal),
            // Nobody knows what time it is.
            Expiry::At(_) => self.choices.flip().then_some(Life::Mortal),
        }
    }
}

fn value_or_nil(cell: Option<Cell>) -> Reply {
    cell.map_or(Reply::Nil, |cell| Reply::Value(cell.value))
}

fn count(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

/// A number as Redis prints it; anything else is none.
pub(crate) fn number(value: &[u8]) -> Option<i64> {
    let number: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (number.to_string().as_bytes() == value).then_some(number)
}
