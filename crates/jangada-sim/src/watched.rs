//! What was heard of a watch, and whether it is what a watch promises.
//!
//! The promises are etcd's: in order, nothing twice, nothing left out, no revision in two parts, progress only when
//! everything up to it was told, and whoever begins again where it left off misses nothing.

use jangada_kv::watch::Interest;
use jangada_kv::{ChangeEvent, KeyRange, Revision};

use crate::check::Invariant;

/// A watch over all connections of its client.
pub(crate) struct Wish {
    pub(crate) interest: Interest,
    /// Where it goes on when it begins again; none for "from now on", until it has begun.
    pub(crate) from: Option<Revision>,
    pub(crate) heard: Vec<Heard>,
    /// It was there until the end, at a server that was here.
    pub(crate) complete_to: Revision,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The watch has begun, at this revision.
    Begun(Revision),
    /// Something changed.
    Events(Vec<ChangeEvent>),
    /// Everything up to this revision was told.
    Progress(Revision),
    /// What it wants is forgotten; the history begins here.
    Forgotten(Revision),
}

impl Wish {
    pub(crate) fn new(interest: Interest, from: Option<Revision>) -> Wish {
        Wish { interest, from, heard: Vec::new(), complete_to: Revision::ZERO }
    }

    /// The client takes a message, and knows where it would go on.
    pub(crate) fn hears(&mut self, heard: Heard) {
        let next = match &heard {
            Heard::Begun(from) | Heard::Forgotten(from) => Some(*from),
            Heard::Events(events) => events.last().map(|event| event.kv.mod_revision.next()),
            Heard::Progress(through) => Some(through.next()),
        };
        self.from = self.from.max(next);
        self.heard.push(heard);
    }

    /// Holds what was heard against all that happened. What was before a change may be gone if `floor`, the first revision
    /// that can be read, has passed it.
    pub(crate) fn judge(&self, all: &[ChangeEvent], floor: Revision) -> Result<(), (Invariant, String)> {
        let due: Vec<&ChangeEvent> = all.iter().filter(|event| is_about(&self.interest, event)).collect();
        let mut judge = Judge { wish: self, due, told: 0, next: None, floor };
        for heard in &self.heard {
            judge.takes(heard)?;
        }
        judge.ends()
    }
}

struct Judge<'a> {
    wish: &'a Wish,
    /// All that it is about.
    due: Vec<&'a ChangeEvent>,
    /// How many of them were told, or need not be.
    told: usize,
    /// The first revision that may still be told.
    next: Option<Revision>,
    floor: Revision,
}

impl Judge<'_> {
    fn takes(&mut self, heard: &Heard) -> Result<(), (Invariant, String)> {
        match heard {
            Heard::Begun(from) => {
                if self.next.is_none() {
                    self.go_on_from(*from);
                }
                Ok(())
            }
            Heard::Events(events) => {
                for event in events {
                    self.takes_event(event)?;
                }
                let last = events.last().map_or(Revision::ZERO, |event| event.kv.mod_revision);
                if let Some(rest) = self.due.get(self.told).filter(|event| event.kv.mod_revision == last) {
                    let why = format!("of revision {} a part was told, without {}", last.0, key(rest));
                    return Err((Invariant::WatchAtomic, self.sentence(&why)));
                }
                self.next = Some(last.next());
                Ok(())
            }
            Heard::Progress(through) => {
                if let Some(untold) = self.untold(*through) {
                    let why = format!("progress up to {} was told before {untold}", through.0);
                    return Err((Invariant::WatchBookmarkable, self.sentence(&why)));
                }
                self.next = self.next.max(Some(through.next()));
                Ok(())
            }
            Heard::Forgotten(from) => {
                if self.next.is_some_and(|next| next >= *from) {
                    let why = format!("it ended because {} is forgotten, which it did not want", from.0 - 1);
                    return Err((Invariant::WatchReliable, self.sentence(&why)));
                }
                self.go_on_from(*from);
                Ok(())
            }
        }
    }

    fn takes_event(&mut self, event: &ChangeEvent) -> Result<(), (Invariant, String)> {
        let fail = |invariant, why: &str| Err((invariant, self.sentence(why)));
        if !is_about(&self.wish.interest, event) {
            return fail(
                Invariant::WatchFilters,
                &format!("{} was told, which it is not about", words(event)),
            );
        }
        if self.next.is_none_or(|next| event.kv.mod_revision < next) {
            return fail(Invariant::WatchOrdered, &format!("{} came too late, or again", words(event)));
        }
        let Some(due) = self.due.get(self.told) else {
            return fail(Invariant::WatchOrdered, &format!("{} never happened", words(event)));
        };
        if (&due.kv, due.is_delete) != (&event.kv, event.is_delete) {
            let why = format!("{} was told where {} was due", words(event), words(due));
            return fail(Invariant::WatchReliable, &why);
        }
        let is_gone = event.previous.is_none() && event.kv.mod_revision <= self.floor;
        if due.previous != event.previous && !is_gone {
            let why = format!("what was before {} was told wrongly", words(event));
            return fail(Invariant::WatchPrevKv, &why);
        }
        self.told += 1;
        Ok(())
    }

    /// Whoever was there at the end has heard everything.
    fn ends(&self) -> Result<(), (Invariant, String)> {
        match self.untold(self.wish.complete_to) {
            Some(untold) => {
                Err((Invariant::WatchReliable, self.sentence(&format!("{untold} was never told"))))
            }
            None => Ok(()),
        }
    }

    /// Something up to a revision that was due and not told.
    fn untold(&self, through: Revision) -> Option<String> {
        self.next?;
        let next = self.due.get(self.told).filter(|event| event.kv.mod_revision <= through)?;
        Some(words(next))
    }

    fn go_on_from(&mut self, from: Revision) {
        self.next = Some(from);
        self.told = self.due.partition_point(|event| event.kv.mod_revision < from);
    }

    fn sentence(&self, why: &str) -> String {
        format!("a watch of {:?}: {why}", self.wish.interest.range)
    }
}

/// The judge's own view of what a watch is about: the store's may be wrong.
fn is_about(interest: &Interest, event: &ChangeEvent) -> bool {
    let key: &[u8] = &event.kv.key;
    let is_in_range = match &interest.range {
        KeyRange::One(one) => *key == **one,
        KeyRange::Span { from, to } => (&**from..&**to).contains(&key),
        KeyRange::From(from) => key >= &**from,
    };
    is_in_range && if event.is_delete { !interest.no_deletes } else { !interest.no_puts }
}

fn words(event: &ChangeEvent) -> String {
    let what = if event.is_delete { "the end of" } else { "a value of" };
    format!("{what} {} in revision {}", key(event), event.kv.mod_revision.0)
}

fn key(event: &ChangeEvent) -> String {
    String::from_utf8_lossy(&event.kv.key).into_owned()
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use jangada_kv::request::Put;
    use jangada_kv::{DeleteRange, Millis, Request, Store, Txn, TxnOp};

    use super::*;

    /// Revisions 2 to 5: a, then a and b at once, then a's end, then a again.
    fn all() -> Vec<ChangeEvent> {
        let mut store = Store::new();
        let put = |key: &'static str| Put::new(Bytes::from(key), Bytes::from("v"));
        let a = KeyRange::One(Bytes::from("a"));
        let both = Txn { success: vec![TxnOp::Put(put("a")), TxnOp::Put(put("b"))], ..Txn::default() };
        for request in [
            Request::Put(put("a")),
            Request::Txn(both),
            Request::DeleteRange(DeleteRange { range: a, prev_kv: false }),
            Request::Put(put("a")),
        ] {
            store.apply(Millis(1), &request);
        }
        store.changes(Revision(1)).unwrap().collect()
    }

    fn judged(heard: Vec<Heard>, no_deletes: bool, complete_to: u64) -> Option<Invariant> {
        let interest = Interest { range: KeyRange::all(), no_puts: false, no_deletes };
        let mut wish = Wish::new(interest, None);
        heard.into_iter().for_each(|heard| wish.hears(heard));
        wish.complete_to = Revision(complete_to);
        wish.judge(&all(), Revision::ZERO).err().map(|(invariant, _)| invariant)
    }

    fn of(revisions: core::ops::RangeInclusive<u64>) -> Heard {
        Heard::Events(
            all().into_iter().filter(|event| revisions.contains(&event.kv.mod_revision.0)).collect(),
        )
    }

    #[test]
    fn what_was_told_whole_and_in_order_is_good() {
        let begun = || Heard::Begun(Revision(2));
        assert_eq!(judged(vec![begun(), of(2..=3), Heard::Progress(Revision(3)), of(4..=5)], false, 5), None);
        // The connection was lost with what was on it, and the watch has begun again.
        assert_eq!(judged(vec![begun(), of(2..=2), Heard::Begun(Revision(3)), of(3..=5)], false, 5), None);
        assert_eq!(judged(vec![begun(), Heard::Forgotten(Revision(4)), of(4..=5)], false, 5), None);
        assert_eq!(judged(vec![], false, 5), None, "it never began");
    }

    #[test]
    fn each_broken_promise_is_known_by_its_name() {
        let begun = || Heard::Begun(Revision(2));
        let broken = |heard, expected| assert_eq!(judged(heard, false, 0), Some(expected));
        broken(vec![begun(), of(2..=3), of(3..=3)], Invariant::WatchOrdered);
        broken(vec![Heard::Begun(Revision(4)), of(3..=3)], Invariant::WatchOrdered);
        broken(vec![begun(), of(3..=3)], Invariant::WatchReliable);
        broken(vec![begun(), of(2..=3), Heard::Forgotten(Revision(4))], Invariant::WatchReliable);
        broken(vec![begun(), of(2..=2), Heard::Progress(Revision(3))], Invariant::WatchBookmarkable);
        let Heard::Events(mut torn) = of(2..=3) else { unreachable!() };
        torn.truncate(2);
        broken(vec![begun(), Heard::Events(torn)], Invariant::WatchAtomic);
        let Heard::Events(mut wrong) = of(2..=3) else { unreachable!() };
        wrong[1].previous = None;
        broken(vec![begun(), Heard::Events(wrong)], Invariant::WatchPrevKv);
        assert_eq!(judged(vec![begun(), of(2..=4)], true, 0), Some(Invariant::WatchFilters));
        assert_eq!(judged(vec![begun(), of(2..=4)], false, 5), Some(Invariant::WatchReliable), "not all");
    }
}
