//! Logs that servers start with: how Figure 7 of the paper comes about without its history.

use bytes::Bytes;
use jangada_kv::Request;
use jangada_kv::command::{Command, Set};
use jangada_node::state_machine::STAMP_BYTES;
use jangada_raft::types::{Entry, HardState, Index, Payload, Term};
use jangada_wal::{Wal, WalConfig};

use crate::disk::SimDisk;

use super::cluster::Prepared;

/// Writes it. The entry at 3 of term 2 sets the key `e3` to `2`.
pub(crate) fn write_log(disk: &SimDisk, config: WalConfig, prepared: &Prepared) {
    let (mut wal, _) = Wal::open(disk.clone(), config).expect("an empty disk opens");
    let entries: Vec<Entry> = (1..).zip(&prepared.terms).map(|(index, term)| entry(index, *term)).collect();
    wal.append_hard_state(HardState { term: Term(prepared.term), voted_for: None }).expect("the disk works");
    wal.append_entries(&entries).expect("the disk works");
    wal.sync().expect("the disk works");
}

fn entry(index: u64, term: u64) -> Entry {
    let (key, value) = (Bytes::from(format!("e{index}")), Bytes::from(term.to_string()));
    let mut command = vec![0; STAMP_BYTES];
    Request::Command(Command::Set(Set::new(key, value))).encode(&mut command);
    Entry { term: Term(term), index: Index(index), payload: Payload::Command(command.into()) }
}
