//! Redis's string commands: the ones that only read, and MULTI … EXEC. Those that write are in
//! [`crate::string_writes`].
//!
//! To these commands a key whose deadline the store's clock has reached does not exist (see [`crate::expiry`]).

use alloc::vec::Vec;

use bytes::Bytes;

use crate::command::{Command, Exec, Expiry, KeyType, Reply};
use crate::entry::Version;
use crate::response::Error;
use crate::space::command_bytes;
use crate::store::Store;
use crate::types::Millis;

/// What TTL says of a key without a deadline.
const NO_DEADLINE: i64 = -1;
/// What TTL says of a key that does not exist.
const NO_KEY: i64 = -2;

impl Store {
    /// The reply to a read-only command; `None` for any other. `now` serves to tell how long keys have left.
    pub(crate) fn query(&self, now: Millis, command: &Command) -> Option<Reply> {
        Some(match command {
            Command::Get { key } | Command::GetEx { key, expiry: Expiry::Keep } => {
                value_or_nil(self.value(key))
            }
            Command::MGet { keys } => {
                Reply::Values(keys.iter().map(|key| self.value(key).cloned()).collect())
            }
            Command::Exists { keys } => {
                integer(keys.iter().filter(|key| self.live_version(key).is_some()).count() as u64)
            }
            Command::StrLen { key } => integer(self.value(key).map_or(0, Bytes::len) as u64),
            Command::Type { key } => Reply::Type(match self.live_version(key) {
                Some(_) => KeyType::String,
                None => KeyType::Missing,
            }),
            Command::Ttl { key } => self.deadline_or(key, |deadline| deadline.since(now.max(self.clock))),
            Command::Deadline { key } => self.deadline_or(key, |deadline| deadline.0),
            Command::Keys { pattern } => self.keys(pattern),
            Command::Scan { cursor, pattern, count } => self.scan(*cursor, pattern.as_ref(), *count),
            Command::DbSize => integer(self.key_count),
            Command::GetEx { .. }
            | Command::Set(_)
            | Command::SetNx { .. }
            | Command::MSet { .. }
            | Command::Delete { .. }
            | Command::Increment { .. }
            | Command::Append { .. }
            | Command::GetDelete { .. }
            | Command::Expire { .. }
            | Command::Persist { .. }
            | Command::FlushAll => return None,
        })
    }

    /// Runs all commands as one revision, unless a watched key has changed.
    pub(crate) fn exec(&mut self, exec: &Exec) -> Result<Option<Vec<Reply>>, Error> {
        if !self.is_as_watched(exec) {
            return Ok(None);
        }
        self.check_visits(exec)?;
        let at_most = exec.commands.iter().map(command_bytes).sum();
        self.make_room(at_most, |store| {
            exec.commands.iter().map(|command| store.command_growth(command)).sum()
        })?;
        Ok(Some(exec.commands.iter().map(|command| self.run(command)).collect()))
    }

    /// The same, if no command writes.
    pub(crate) fn exec_queries(&self, now: Millis, exec: &Exec) -> Result<Option<Vec<Reply>>, Error> {
        self.check_visits(exec)?;
        let replies: Option<Vec<Reply>> =
            exec.commands.iter().map(|command| self.query(now, command)).collect();
        let replies = replies.ok_or(Error::NotReadOnly)?;
        Ok(self.is_as_watched(exec).then_some(replies))
    }

    fn is_as_watched(&self, exec: &Exec) -> bool {
        exec.watched.iter().all(|(key, revision)| self.live_revision(key) == *revision)
    }

    fn live_version(&self, key: &[u8]) -> Option<&Version> {
        self.live(self.index.find(key)?)
    }

    fn value(&self, key: &[u8]) -> Option<&Bytes> {
        self.live_version(key)?.value.as_ref()
    }

    fn deadline_or(&self, key: &[u8], tell: impl FnOnce(Millis) -> u64) -> Reply {
        Reply::Integer(match self.live_version(key).map(|version| self.end_of(version)) {
            None => NO_KEY,
            Some(None) => NO_DEADLINE,
            Some(Some(deadline)) => i64::try_from(tell(deadline)).unwrap_or(i64::MAX),
        })
    }
}

pub(crate) fn integer(number: u64) -> Reply {
    Reply::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(crate) fn value_or_nil(value: Option<&Bytes>) -> Reply {
    value.map_or(Reply::Nil, |value| Reply::Value(value.clone()))
}
