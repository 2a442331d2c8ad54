//! Equal logs give equal states: hashes of the state after equally many commands must be equal.

use std::collections::BTreeMap;

use jangada_raft::types::NodeId;

use super::{Findings, Invariant};

/// The first hash that was seen after so many commands.
#[derive(Default)]
pub(crate) struct Samples {
    hashes: BTreeMap<u64, (NodeId, u64)>,
    last: (u64, u64),
}

impl Samples {
    /// A server's state has this hash after so many commands.
    pub(crate) fn check(&mut self, node: NodeId, commands: u64, hash: u64, findings: &mut Findings) {
        if self.last == (commands, hash) {
            return;
        }
        self.last = (commands, hash);
        let (first, known) = *self.hashes.entry(commands).or_insert((node, hash));
        if known != hash {
            findings.report(Invariant::EqualStateHashes, Some(node), || {
                format!("after {commands} commands its state is not that of {first}")
            });
        }
    }
}
