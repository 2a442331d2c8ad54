//! The naive store's quota and alarms. It does first and looks then whether there was room.

use jangada_kv::{
    Alarm, AlarmKind, AlarmRequest, AlarmResponse, Command, Error, LeaseRequest, Put, Request, Response,
    Revision, Txn, TxnOp,
};

use crate::model::{Model, State, Value, holds};

const KEY_OVERHEAD_BYTES: u64 = 176;
const LEASE_BYTES: u64 = 128;

fn bytes_of(key: &[u8], value_bytes: usize) -> u64 {
    KEY_OVERHEAD_BYTES + key.len() as u64 + value_bytes as u64
}

impl Model {
    pub(crate) fn live_bytes(&self) -> u64 {
        let keys: u64 = self.next.iter().map(|(key, value)| bytes_of(key, value.value.len())).sum();
        keys + self.leases.len() as u64 * LEASE_BYTES
    }

    /// What the alarms say to a request, before anybody looks at it.
    pub(crate) fn forbidden(&self, request: &Request) -> Option<Error> {
        let stands = |kind| self.alarms.keys().any(|alarm| alarm.kind == kind);
        let is_upkeep = matches!(
            request,
            Request::ExpireKeys { .. }
                | Request::Tick
                | Request::SetRetention(_)
                | Request::SetQuota(_)
                | Request::Alarm(_)
                | Request::Lease(LeaseRequest::KeepAlive { .. } | LeaseRequest::Expire { .. })
        );
        if stands(AlarmKind::Corrupt) && !request.is_read_only() && !is_upkeep {
            return Some(Error::Corrupt);
        }
        let grows = match request {
            Request::Command(command) => grows(command),
            Request::Exec(exec) => exec.commands.iter().any(grows),
            Request::Put(_) | Request::Lease(LeaseRequest::Grant { .. }) => true,
            Request::Txn(txn) => has_put(txn),
            _ => false,
        };
        (stands(AlarmKind::NoSpace) && grows).then_some(Error::NoSpace)
    }

    /// Takes back what there was no room for.
    pub(crate) fn keep_room(
        &mut self,
        before: &State,
        live_before: u64,
        request: &Request,
        response: Response,
    ) -> Response {
        let free = self.quota.bytes.saturating_sub(live_before);
        let growth = match (request, &response) {
            (_, Response::Error(_) | Response::Exec(None)) => 0,
            (Request::Command(command), _) => command_growth(before, command),
            (Request::Exec(exec), _) => {
                exec.commands.iter().map(|command| command_growth(before, command)).sum()
            }
            (Request::Put(put), _) => put_growth(before, put),
            (Request::Txn(txn), _) => txn_growth(before, txn),
            (Request::Lease(LeaseRequest::Grant { .. }), _) => LEASE_BYTES,
            _ => 0,
        };
        if growth <= free {
            return response;
        }
        self.next = before.clone();
        self.touched.clear();
        if let Request::Lease(LeaseRequest::Grant { lease, .. }) = request {
            self.leases.remove(lease);
        }
        let alarm = Alarm { kind: AlarmKind::NoSpace, member: self.quota.member };
        self.alarms.entry(alarm).or_insert(true);
        Response::Error(Error::NoSpace)
    }

    /// The store's own alarms fall.
    pub(crate) fn look_at_space(&mut self) {
        if self.live_bytes() <= self.quota.bytes - self.quota.bytes / 10 {
            self.alarms.retain(|_, is_own| !*is_own);
        }
    }

    pub(crate) fn alarm(&mut self, request: &AlarmRequest) -> AlarmResponse {
        let alarms = match request {
            AlarmRequest::List => self.alarms.keys().copied().collect(),
            AlarmRequest::Raise(alarm) => {
                self.alarms.entry(*alarm).or_insert(false);
                vec![*alarm]
            }
            AlarmRequest::Clear(alarm) => self.alarms.remove(alarm).map(|_| *alarm).into_iter().collect(),
        };
        AlarmResponse { revision: Revision(self.revision()), alarms }
    }
}

fn growth(before: &State, key: &[u8], value_bytes: usize) -> u64 {
    let old = before.get(key).map_or(0, |old: &Value| bytes_of(key, old.value.len()));
    bytes_of(key, value_bytes).saturating_sub(old)
}

fn put_growth(before: &State, put: &Put) -> u64 {
    if put.ignore_value { 0 } else { growth(before, &put.key, put.value.len()) }
}

fn txn_growth(before: &State, txn: &Txn) -> u64 {
    let succeeded = txn.compare.iter().all(|compare| holds(before, compare));
    let of_op = |op: &TxnOp| match op {
        TxnOp::Put(put) => put_growth(before, put),
        TxnOp::Txn(nested) => txn_growth(before, nested),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => 0,
    };
    if succeeded { &txn.success } else { &txn.failure }.iter().map(of_op).sum()
}

fn has_put(txn: &Txn) -> bool {
    txn.success.iter().chain(&txn.failure).any(|op| match op {
        TxnOp::Put(_) => true,
        TxnOp::Txn(nested) => has_put(nested),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => false,
    })
}

fn command_growth(before: &State, command: &Command) -> u64 {
    match command {
        Command::Set(set) => growth(before, &set.key, set.value.len()),
        Command::SetNx { key, value } => growth(before, key, value.len()),
        Command::MSet { pairs } => pairs.iter().map(|(key, value)| growth(before, key, value.len())).sum(),
        Command::Increment { key, .. } => growth(before, key, 20),
        Command::Append { key, value } => match before.get(key) {
            Some(_) => value.len() as u64,
            None => bytes_of(key, value.len()),
        },
        _ => 0,
    }
}

fn grows(command: &Command) -> bool {
    match command {
        Command::MSet { pairs } => !pairs.is_empty(),
        Command::Set(_) | Command::SetNx { .. } | Command::Increment { .. } | Command::Append { .. } => true,
        _ => false,
    }
}
