//! What was done to servers and links by hand, as it stands at a moment: who is down or stands still, which ways are cut,
//! and what the network loses or holds up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jangada_node::event::{Deed, Event, Record};
use jangada_raft::types::{NodeId, Time};

use crate::language::Language;
use crate::names::Names;
use crate::phrases::span;
use crate::say;

/// From one server to another.
pub type OneWay = (NodeId, NodeId);

/// How everything stands, by the deeds that were seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    down: BTreeSet<NodeId>,
    paused: BTreeSet<NodeId>,
    stalled: BTreeSet<NodeId>,
    cut: BTreeSet<OneWay>,
    loss: BTreeMap<NodeId, u8>,
    delay: BTreeMap<NodeId, u64>,
}

impl Standing {
    /// This was done.
    pub fn see(&mut self, node: NodeId, deed: Deed) {
        match deed {
            Deed::Crash => {
                self.down.insert(node);
                self.paused.remove(&node);
                self.stalled.remove(&node);
            }
            Deed::Start => {
                self.down.remove(&node);
            }
            Deed::Pause => {
                self.paused.insert(node);
            }
            Deed::Resume => {
                self.paused.remove(&node);
            }
            Deed::Stall => {
                self.stalled.insert(node);
            }
            Deed::Unstall => {
                self.stalled.remove(&node);
            }
            Deed::Cut { to } => {
                self.cut.insert((node, to));
            }
            Deed::Mend { to } => {
                self.cut.remove(&(node, to));
            }
            Deed::Lose { percent: 0 } => {
                self.loss.remove(&node);
            }
            Deed::Lose { percent } => {
                self.loss.insert(node, percent);
            }
            Deed::Slow { by_nanos: 0 } => {
                self.delay.remove(&node);
            }
            Deed::Slow { by_nanos } => {
                self.delay.insert(node, by_nanos);
            }
        }
    }

    /// The same for a record, if it is one of a deed.
    pub fn see_record(&mut self, record: &Record) {
        if let Event::Deed(deed) = record.event {
            self.see(record.node, deed);
        }
    }

    /// It does not run.
    #[must_use]
    pub fn is_down(&self, node: NodeId) -> bool {
        self.down.contains(&node)
    }

    /// It stands still.
    #[must_use]
    pub fn is_paused(&self, node: NodeId) -> bool {
        self.paused.contains(&node)
    }

    /// The ways on which everything is lost.
    #[must_use]
    pub fn cut(&self) -> &BTreeSet<OneWay> {
        &self.cut
    }

    /// The most messages of a hundred that any server's links lose.
    #[must_use]
    pub fn loss(&self) -> u8 {
        self.loss.values().copied().max().unwrap_or(0)
    }

    /// The most that any server's messages are held up.
    #[must_use]
    pub fn delay(&self) -> Duration {
        Duration::from_nanos(self.delay.values().copied().max().unwrap_or(0))
    }

    /// The deeds that would lead here, all at this time.
    #[must_use]
    pub fn records(&self, time: Time) -> Vec<Record> {
        let each =
            |nodes: &BTreeSet<NodeId>, deed| nodes.iter().map(move |node| (*node, deed)).collect::<Vec<_>>();
        let mut deeds = each(&self.down, Deed::Crash);
        deeds.extend(each(&self.paused, Deed::Pause));
        deeds.extend(each(&self.stalled, Deed::Stall));
        deeds.extend(self.cut.iter().map(|(from, to)| (*from, Deed::Cut { to: *to })));
        deeds.extend(self.loss.iter().map(|(node, percent)| (*node, Deed::Lose { percent: *percent })));
        deeds.extend(self.delay.iter().map(|(node, by)| (*node, Deed::Slow { by_nanos: *by })));
        deeds.into_iter().map(|(node, deed)| record(time, node, deed)).collect()
    }
}

/// The record of a deed.
#[must_use]
pub fn record(time: Time, node: NodeId, deed: Deed) -> Record {
    Record { time, node, seq: 0, event: Event::Deed(deed) }
}

/// Servers that hear each other, whatever way their messages take; the largest group first, and of equal ones that with
/// the lowest number.
#[must_use]
pub fn groups(nodes: &[NodeId], cut: &BTreeSet<OneWay>) -> Vec<Vec<NodeId>> {
    let apart = |a: NodeId, b: NodeId| cut.contains(&(a, b)) || cut.contains(&(b, a));
    let mut left: Vec<NodeId> = nodes.to_vec();
    let mut groups: Vec<Vec<NodeId>> = Vec::new();
    while !left.is_empty() {
        let mut group = vec![left.remove(0)];
        let mut at = 0;
        while at < group.len() {
            let one = group[at];
            let (near, far) = left.into_iter().partition(|other| !apart(one, *other));
            left = far;
            group.extend::<Vec<NodeId>>(near);
            at += 1;
        }
        group.sort_unstable();
        groups.push(group);
    }
    groups.sort_by_key(|group| (std::cmp::Reverse(group.len()), group[0]));
    groups
}

/// Who is cut off: all but the largest group; and all, where nobody hears anybody.
#[must_use]
pub fn cut_off(nodes: &[NodeId], cut: &BTreeSet<OneWay>) -> BTreeSet<NodeId> {
    let groups = groups(nodes, cut);
    let stay = usize::from(groups.first().is_some_and(|group| group.len() > 1 || nodes.len() == 1));
    groups.into_iter().skip(stay).flatten().collect()
}

pub(crate) fn say_deed(language: Language, deed: Deed, names: &Names) -> String {
    match deed {
        Deed::Crash => say!(language, "power off"),
        Deed::Start => say!(language, "is started"),
        Deed::Pause => say!(language, "stands still"),
        Deed::Resume => say!(language, "goes on"),
        Deed::Stall => say!(language, "its disk stands still"),
        Deed::Unstall => say!(language, "its disk goes on"),
        Deed::Cut { to } => say!(language, "what it sends to {to} is lost from here on", to = names.of(to)),
        Deed::Mend { to } => say!(language, "what it sends to {to} arrives again", to = names.of(to)),
        Deed::Lose { percent } => {
            say!(language, "{percent} % of what it sends is lost from here on", percent)
        }
        Deed::Slow { by_nanos } => {
            let by = span(Duration::from_nanos(by_nanos));
            say!(language, "what it sends takes {by} longer from here on", by)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODES: [NodeId; 5] = [NodeId(1), NodeId(2), NodeId(3), NodeId(4), NodeId(5)];

    fn parted(side: &[u64]) -> BTreeSet<OneWay> {
        let pairs = NODES.iter().flat_map(|from| NODES.iter().map(move |to| (*from, *to)));
        pairs.filter(|(from, to)| side.contains(&from.0) != side.contains(&to.0)).collect()
    }

    #[test]
    fn the_smaller_side_is_cut_off() {
        let names = |ids: &[u64]| ids.iter().map(|id| NodeId(*id)).collect::<BTreeSet<_>>();
        assert_eq!(cut_off(&NODES, &parted(&[1, 3])), names(&[1, 3]));
        assert_eq!(cut_off(&NODES, &parted(&[1, 3, 4])), names(&[2, 5]));
        assert_eq!(cut_off(&NODES, &BTreeSet::new()), names(&[]));
        // One way that is cut parts nobody: there is another way round.
        assert_eq!(cut_off(&NODES, &[(NodeId(1), NodeId(2))].into()), names(&[]));
        let all = NODES.iter().flat_map(|from| NODES.iter().map(move |to| (*from, *to))).collect();
        assert_eq!(cut_off(&NODES, &all), names(&[1, 2, 3, 4, 5]), "nobody hears anybody");
        assert_eq!(cut_off(&NODES[..1], &BTreeSet::new()), names(&[]));
    }

    #[test]
    fn what_stands_can_be_told_again_as_deeds() {
        let mut standing = Standing::default();
        for deed in [Deed::Pause, Deed::Stall, Deed::Cut { to: NodeId(2) }, Deed::Lose { percent: 30 }] {
            standing.see(NodeId(1), deed);
        }
        standing.see(NodeId(3), Deed::Crash);
        standing.see(NodeId(2), Deed::Slow { by_nanos: 200_000_000 });
        assert_eq!((standing.loss(), standing.delay()), (30, Duration::from_millis(200)));
        let mut again = Standing::default();
        standing.records(Time(5)).iter().for_each(|record| again.see_record(record));
        assert_eq!(again, standing);
        for (node, deed) in [
            (1, Deed::Resume),
            (1, Deed::Unstall),
            (1, Deed::Mend { to: NodeId(2) }),
            (1, Deed::Lose { percent: 0 }),
            (2, Deed::Slow { by_nanos: 0 }),
            (3, Deed::Start),
        ] {
            standing.see(NodeId(node), deed);
        }
        assert_eq!(standing, Standing::default());
    }
}
