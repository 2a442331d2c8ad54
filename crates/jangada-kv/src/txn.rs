//! Transactions: compare, then do one of two lists of operations, all or nothing.
//!
//! In this order: check what does not depend on the state; choose the branches, nested ones included, by the state
//! before the txn; check that each operation of the chosen branches can be done; do them. Nothing fails after the
//! first write, so nothing ever has to be undone, and a refused txn is refused on each replica alike. What it may cost is
//! counted on the way ([`crate::visits`]).

use alloc::vec::Vec;

use crate::entry::Version;
use crate::intervals::check_duplicates;
use crate::put::check_put;
use crate::range::check_range;
use crate::request::{Compare, CompareOperator, CompareTarget, Put, Txn, TxnOp};
use crate::response::{Error, TxnOpResponse, TxnResponse};
use crate::space::put_bytes;
use crate::store::Store;
use crate::types::Revision;
use crate::visits::Visits;

/// Most comparisons, most operations on success and most on failure in a txn. What is nested counts on top of the
/// longest list of the txn around it.
pub const MAX_TXN_OPS: usize = 128;

/// Most comparisons and operations of a txn in all, both branches and what is nested included: where each list may be as
/// long as the one around it leaves room for, their number would grow with each level.
pub const MAX_TXN_OPS_IN_ALL: usize = 8 * MAX_TXN_OPS;

/// Which branch a txn takes, and which ones the txns nested in that branch take, in their order.
struct Path {
    succeeded: bool,
    nested: Vec<Path>,
}

impl Txn {
    fn branch(&self, succeeded: bool) -> &[TxnOp] {
        if succeeded { &self.success } else { &self.failure }
    }

    /// Checks all that does not depend on the state of a store. A server should do this before it proposes; the
    /// store does it in any case.
    ///
    /// # Errors
    /// The answer that the store would give.
    pub fn check(&self) -> Result<(), Error> {
        check_ops(self, MAX_TXN_OPS, &mut { MAX_TXN_OPS_IN_ALL })?;
        check_duplicates(&self.success)?;
        check_duplicates(&self.failure)
    }
}

impl Store {
    pub(crate) fn txn(&mut self, txn: &Txn) -> Result<TxnResponse, Error> {
        let path = self.plan(txn)?;
        let at_most = sum_puts(txn, &path, &put_bytes);
        self.make_room(at_most, |store| sum_puts(txn, &path, &|put| store.put_growth(put)))?;
        Ok(self.do_txn(txn, &path))
    }

    /// A txn that changes nothing.
    pub(crate) fn txn_queries(&self, txn: &Txn) -> Result<TxnResponse, Error> {
        if !txn.is_read_only() {
            return Err(Error::NotReadOnly);
        }
        let path = self.plan(txn)?;
        self.query_txn(txn, &path)
    }

    fn plan(&self, txn: &Txn) -> Result<Path, Error> {
        txn.check()?;
        let mut visits = self.allowed_visits();
        let path = self.choose(txn, &mut visits)?;
        self.can_do(txn, &path)?;
        each_op(txn, &path, &mut |op| match op {
            TxnOp::Range(range) => self.visit(&range.range, range.revision, &mut visits),
            TxnOp::DeleteRange(delete) => self.visit(&delete.range, None, &mut visits),
            TxnOp::Put(_) | TxnOp::Txn(_) => Ok(()),
        })?;
        Ok(path)
    }

    fn choose(&self, txn: &Txn, visits: &mut Visits) -> Result<Path, Error> {
        // All of them, whether they hold or not: what is refused should not hang on where the first one fails.
        txn.compare.iter().try_for_each(|compare| self.visit(&compare.range, None, visits))?;
        let succeeded = txn.compare.iter().all(|compare| self.holds(compare));
        let nested = txn.branch(succeeded).iter().filter_map(|op| match op {
            TxnOp::Txn(nested) => Some(self.choose(nested, visits)),
            TxnOp::Range(_) | TxnOp::Put(_) | TxnOp::DeleteRange(_) => None,
        });
        Ok(Path { succeeded, nested: nested.collect::<Result<_, _>>()? })
    }

    /// Of several faults the one is named that etcd names: those of puts come first, in nested txns too, and of a put
    /// what it keeps (by itself, a put's lease does).
    fn can_do(&self, txn: &Txn, path: &Path) -> Result<(), Error> {
        each_op(txn, path, &mut |op| match op {
            TxnOp::Put(put) => self.can_keep(put).and_then(|()| self.can_put(put)),
            TxnOp::Range(_) | TxnOp::DeleteRange(_) | TxnOp::Txn(_) => Ok(()),
        })?;
        each_op(txn, path, &mut |op| match op {
            TxnOp::Range(range) => self.check_revision(range.revision),
            TxnOp::Put(_) | TxnOp::DeleteRange(_) | TxnOp::Txn(_) => Ok(()),
        })
    }

    fn do_txn(&mut self, txn: &Txn, path: &Path) -> TxnResponse {
        let mut nested_paths = path.nested.iter();
        let mut responses = Vec::with_capacity(txn.branch(path.succeeded).len());
        for op in txn.branch(path.succeeded) {
            responses.push(match op {
                TxnOp::Range(range) => {
                    TxnOpResponse::Range(self.range(range).expect("it was checked before the first write"))
                }
                TxnOp::Put(put) => TxnOpResponse::Put(self.do_put(put)),
                TxnOp::DeleteRange(delete) => TxnOpResponse::DeleteRange(self.do_delete_range(delete)),
                TxnOp::Txn(nested) => TxnOpResponse::Txn(self.do_txn(nested, next(&mut nested_paths))),
            });
        }
        TxnResponse { revision: self.revision, succeeded: path.succeeded, responses }
    }

    fn query_txn(&self, txn: &Txn, path: &Path) -> Result<TxnResponse, Error> {
        let mut nested_paths = path.nested.iter();
        let mut responses = Vec::with_capacity(txn.branch(path.succeeded).len());
        for op in txn.branch(path.succeeded) {
            responses.push(match op {
                TxnOp::Range(range) => TxnOpResponse::Range(self.range(range)?),
                TxnOp::Put(_) | TxnOp::DeleteRange(_) => return Err(Error::NotReadOnly),
                TxnOp::Txn(nested) => TxnOpResponse::Txn(self.query_txn(nested, next(&mut nested_paths))?),
            });
        }
        Ok(TxnResponse { revision: self.revision, succeeded: path.succeeded, responses })
    }

    fn holds(&self, compare: &Compare) -> bool {
        let mut is_missing = true;
        for slot in self.index.range(&compare.range) {
            if let Some(version) = self.existing(slot) {
                is_missing = false;
                if !holds_for(compare, version) {
                    return false;
                }
            }
        }
        !is_missing || holds_for(compare, &Version::tombstone(Revision::ZERO))
    }
}

/// Looks at the operations of the chosen branches in their order, until one has a fault.
fn each_op(txn: &Txn, path: &Path, check: &mut dyn FnMut(&TxnOp) -> Result<(), Error>) -> Result<(), Error> {
    let mut nested_paths = path.nested.iter();
    for op in txn.branch(path.succeeded) {
        match op {
            TxnOp::Txn(nested) => each_op(nested, next(&mut nested_paths), check)?,
            TxnOp::Range(_) | TxnOp::Put(_) | TxnOp::DeleteRange(_) => check(op)?,
        }
    }
    Ok(())
}

/// Adds up something of all puts of the chosen branches. What is deleted beside them is not taken off: the quota need not
/// be exact, and a deletion in one txn can be followed by a put in the next.
fn sum_puts(txn: &Txn, path: &Path, bytes: &dyn Fn(&Put) -> u64) -> u64 {
    let mut nested_paths = path.nested.iter();
    let of_op = |op: &TxnOp| match op {
        TxnOp::Put(put) => bytes(put),
        TxnOp::Txn(nested) => sum_puts(nested, next(&mut nested_paths), bytes),
        TxnOp::Range(_) | TxnOp::DeleteRange(_) => 0,
    };
    txn.branch(path.succeeded).iter().map(of_op).sum()
}

fn next<'a>(paths: &mut impl Iterator<Item = &'a Path>) -> &'a Path {
    paths.next().expect("each nested txn has a path")
}

/// A missing key is like a tombstone: all numbers are zero, and there is no value to compare.
fn holds_for(compare: &Compare, version: &Version) -> bool {
    let ordering = match &compare.target {
        CompareTarget::Version(number) => (version.version as i64).cmp(number),
        CompareTarget::Create(number) => (version.create_revision.0 as i64).cmp(number),
        CompareTarget::Mod(number) => (version.mod_revision.0 as i64).cmp(number),
        CompareTarget::Lease(number) => version.lease().map_or(0, |lease| lease.0).cmp(number),
        CompareTarget::Value(value) => match &version.value {
            Some(own) => own.cmp(value),
            None => return false,
        },
    };
    match compare.operator {
        CompareOperator::Equal => ordering.is_eq(),
        CompareOperator::NotEqual => ordering.is_ne(),
        CompareOperator::Greater => ordering.is_gt(),
        CompareOperator::Less => ordering.is_lt(),
    }
}

/// Counts, and checks each comparison and operation on its own. Each list may be as long as is `allowed` here, and all of
/// them together no longer than what is `left`.
fn check_ops(txn: &Txn, allowed: usize, left: &mut usize) -> Result<(), Error> {
    let longest = txn.compare.len().max(txn.success.len()).max(txn.failure.len());
    let together = txn.compare.len() + txn.success.len() + txn.failure.len();
    if longest > allowed || together > *left {
        return Err(Error::TooManyOps);
    }
    *left -= together;
    for compare in &txn.compare {
        check_range(&compare.range)?;
    }
    for op in txn.success.iter().chain(&txn.failure) {
        match op {
            TxnOp::Range(range) => check_range(&range.range)?,
            TxnOp::Put(put) => check_put(put)?,
            TxnOp::DeleteRange(delete) => check_range(&delete.range)?,
            TxnOp::Txn(nested) => check_ops(nested, allowed - longest, left)?,
        }
    }
    Ok(())
}
