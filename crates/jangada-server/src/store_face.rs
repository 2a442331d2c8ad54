//! The two types of the store that cross the door. They move to `jangada-kv` with the store itself.

/// A request to the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {}

/// A response of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Response {}
