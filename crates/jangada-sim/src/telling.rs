//! Faults, deaths and settings in words: for timelines, and for the list of what a failure needs.

use core::time::Duration;
use std::collections::BTreeSet;
use std::fmt::Write;

use jangada_node::replica::Replica;
use jangada_node::state_machine::StateMachine;
use jangada_raft::types::{Membership, NodeId};
use jangada_trace::phrases::span;

use crate::disk::{Damage, DiskFault, Loss};
use crate::plan::{Cut, Death, Drip, Fault, Moment, Plan, Who};

/// A fault as a sentence without its full stop, in a world of so many servers. `leader` is who leads when it strikes,
/// if that is known.
#[must_use]
// tidy: flat table
pub fn fault(fault: &Fault, places: usize, leader: Option<NodeId>) -> String {
    let name = |who: Who| name(who, leader);
    match fault {
        Fault::Crash { who, at, death, down } => {
            format!("{}{} {}; {}", moment(*at), name(*who), dying(*death), restarts(*down))
        }
        Fault::CrashAll { death, down } => {
            let how = match death {
                Death::Killed => "all servers are killed".to_owned(),
                Death::Power(loss) => format!("the power fails everywhere: {}", lost(*loss)),
            };
            format!("{how}; they start again within {}", span(*down))
        }
        Fault::Partition { cut: shape, lasts } => {
            format!("{}, for {}", cut(shape, places, leader), span(*lasts))
        }
        Fault::Clog { cut, drip, lasts } => {
            format!("{} {}, for {}", links(cut, places, leader), clogged(*drip), span(*lasts))
        }
        Fault::Swizzle { clogged: order, released, drip, step } => {
            let order: Vec<String> = order.iter().map(ToString::to_string).collect();
            let released: Vec<String> = released.iter().map(ToString::to_string).collect();
            format!(
                "one after the other, each {}, the links of {} {}; they get free in the order {}",
                span(*step),
                order.join(" "),
                clogged(*drip),
                released.join(" ")
            )
        }
        Fault::Flap { cut: shape, down, up, times } => {
            let (down, up) = (span(*down), span(*up));
            format!(
                "{}, {times} times for {down}, and {up} in between all is well",
                cut(shape, places, leader)
            )
        }
        Fault::Reset { cut } => {
            format!("{} break, and what is in flight on them is lost", links(cut, places, leader))
        }
        Fault::Pause { who, lasts, clock } => {
            let clock = if *clock { "its clock too" } else { "and its clock goes on" };
            format!("{} stands still for {}, {clock}", name(*who), span(*lasts))
        }
        Fault::Disk { who, after, fault, down } => {
            let fails = match fault {
                DiskFault::Stop => "stops",
                DiskFault::Full => "is full",
                DiskFault::Broken => "fails",
            };
            let which = nth(after + 1);
            format!("{}'s disk {fails} at the {which} operation from now; it {}", name(*who), restarts(*down))
        }
        Fault::LoseDisk { who, down, stale } => {
            let late = if *stale { "; what it said in the last moments arrives much later" } else { "" };
            format!(
                "{} loses its disk, and comes back with an empty one after {}{late}",
                name(*who),
                span(*down)
            )
        }
        Fault::Damage { who, damage, in_use, .. } => {
            let harm = match damage {
                Damage::Bit => "a bit on its disk flips",
                Damage::LostSector => "a sector of its disk gets unreadable",
                Damage::StaleSector => "a sector of its disk turns back to what it held before",
                Damage::Misdirected => "a write turns out to have gone to another place",
                Damage::ZeroedTail => "the end of a file is zeroed",
                Damage::FileGone => "a file vanishes",
            };
            match in_use {
                true => format!("{} runs, and under its hands {harm}", name(*who)),
                false => format!("{} loses its power, and meanwhile {harm}", name(*who)),
            }
        }
        Fault::ChangeMembers { voters, learners } => {
            let mut out = format!("somebody asks for the voters {}", group(voters));
            if !learners.is_empty() {
                write!(out, " and the learners {}", group(learners))
                    .expect("writing to a string cannot fail");
            }
            out
        }
        Fault::Transfer { to } => format!("somebody asks the leader to hand over to {to}"),
        Fault::Snapshot { who } => format!("{} is told to take a snapshot", name(*who)),
        Fault::Campaign { who } => format!("{who} is told to campaign"),
    }
}

/// How a server dies, behind its name.
#[must_use]
pub fn dying(death: Death) -> String {
    match death {
        Death::Killed => "is killed".into(),
        Death::Power(loss) => format!("loses its power ({})", lost(loss)),
    }
}

/// How the network comes apart.
#[must_use]
pub fn cut(cut: &Cut, places: usize, leader: Option<NodeId>) -> String {
    match cut {
        Cut::Isolate(who) => format!("{} and the others cannot hear each other", name(*who, leader)),
        Cut::Halves(_) => format!("the network splits: {}", sides(cut, places)),
        Cut::Mute(who) => format!("nobody hears {}", name(*who, leader)),
        Cut::Deaf(who) => format!("{} hears nobody", name(*who, leader)),
        Cut::OneWay(from, to) => format!("{to} does not hear {from}"),
        Cut::Bridge(bridge) => {
            format!("the network splits: {}, and only {bridge} hears both sides", sides(cut, places))
        }
        Cut::Ring => "each server hears only its two neighbours".into(),
    }
}

/// The links that such a cut would cut, for faults that do something else to them.
fn links(cut: &Cut, places: usize, leader: Option<NodeId>) -> String {
    match cut {
        Cut::Isolate(who) => format!("all links of {}", name(*who, leader)),
        Cut::Halves(_) | Cut::Bridge(_) => format!("the links between {}", sides(cut, places)),
        Cut::Mute(who) => format!("all links from {}", name(*who, leader)),
        Cut::Deaf(who) => format!("all links to {}", name(*who, leader)),
        Cut::OneWay(from, to) => format!("the link from {from} to {to}"),
        Cut::Ring => "all links but those of neighbours".into(),
    }
}

fn clogged(drip: Drip) -> String {
    format!("let one message pass each {}, while {} wait and the others are lost", span(drip.each), drip.room)
}

/// `n1 n2 | n3`: who stands on which side; whoever is on both is left out.
fn sides(cut: &Cut, places: usize) -> String {
    let side = |id: NodeId| match cut {
        Cut::Halves(here) => Some(here.contains(&id)),
        Cut::Bridge(bridge) => (id != *bridge).then_some(id.0 <= places as u64 / 2),
        Cut::Isolate(_) | Cut::Mute(_) | Cut::Deaf(_) | Cut::OneWay(..) | Cut::Ring => None,
    };
    let group = |here: bool| -> BTreeSet<NodeId> {
        (1..=places as u64).map(NodeId).filter(|id| side(*id) == Some(here)).collect()
    };
    let name = |here: bool| match group(here) {
        nobody if nobody.is_empty() => "nobody".to_owned(),
        some => self::group(&some),
    };
    format!("{} | {}", name(true), name(false))
}

/// How a server stands: `n1 PreCandidate of term 4, log up to 17, committed 15, applied 15`.
pub(crate) fn standing<S: StateMachine>(replica: &Replica<S>) -> String {
    let raft = replica.raft();
    format!(
        "{} {:?} of term {}, log up to {}, committed {}, applied {}",
        raft.id(),
        raft.role_name(),
        raft.term(),
        raft.last_index(),
        raft.commit_index(),
        replica.last_applied()
    )
}

/// Who belongs to a cluster.
pub(crate) fn membership(membership: &Membership) -> String {
    let some = |ids: &BTreeSet<NodeId>| if ids.is_empty() { "nobody".to_owned() } else { group(ids) };
    let mut out = match &membership.outgoing {
        Some(outgoing) => format!("{}, and until they agree {}", some(&membership.voters), group(outgoing)),
        None => some(&membership.voters),
    };
    if !membership.learners.is_empty() {
        write!(out, ", learners {}", group(&membership.learners)).expect("writing to a string cannot fail");
    }
    if let Some(target) = &membership.target {
        write!(out, ", to become {}", group(&target.voters)).expect("writing to a string cannot fail");
    }
    out
}

/// What of a plan goes wrong by itself, without being a planned fault; empty if nothing does.
#[must_use]
pub fn weather(plan: &Plan) -> Vec<String> {
    let (network, disk, settings) = (&plan.network, &plan.disk, &plan.settings);
    let mut out = Vec::new();
    let mut tell = |per_mille: u32, what: String| {
        if per_mille > 0 {
            out.push(format!("{} % of {what}", percent(per_mille)));
        }
    };
    tell(network.lose, "all messages are lost".into());
    tell(network.repeat, format!("all messages come twice, up to {} apart", span(network.straggle_by)));
    tell(network.straggle, format!("all messages are up to {} late", span(network.straggle_by)));
    tell(network.flip, "all messages have a bit flipped".into());
    tell(network.foreign, "all messages have one of another cluster with them".into());
    tell(network.version, "all messages have one of another version with them".into());
    tell(disk.stall, format!("all syncs take up to {} longer", span(disk.stall_by)));
    if settings.drift_per_mille > 0 {
        out.push(format!("clocks run up to {} % fast", percent(settings.drift_per_mille)));
    }
    if settings.lease_reads {
        out.push("reads go by leases".into());
    }
    if !settings.step_delay.is_zero() {
        out.push(format!("servers gather what comes for {}", span(settings.step_delay)));
    }
    if !settings.commit_notice_after.is_zero() {
        out.push(format!("leaders tell of a commit after {}", span(settings.commit_notice_after)));
    }
    out
}

fn percent(per_mille: u32) -> String {
    match per_mille % 10 {
        0 => (per_mille / 10).to_string(),
        tenths => format!("{}.{tenths}", per_mille / 10),
    }
}

fn name(who: Who, leader: Option<NodeId>) -> String {
    match (who, leader) {
        (Who::Leader, Some(leader)) => format!("the leader {leader}"),
        (Who::Leader, None) => "the leader".into(),
        (Who::Server(id), _) => id.to_string(),
    }
}

fn moment(at: Moment) -> String {
    match at {
        Moment::Now => String::new(),
        Moment::AfterSends(0 | 1) => "right after its next message ".into(),
        Moment::AfterSends(count) => format!("right after its {} message from now ", nth(count)),
        Moment::AtDiskOperation(0) => "in the middle of the next operation of its disk ".into(),
        Moment::AtDiskOperation(after) => {
            format!("in the middle of the {} operation of its disk from now ", nth(after + 1))
        }
    }
}

fn restarts(down: Duration) -> String {
    if down.is_zero() { "starts again at once".into() } else { format!("starts again after {}", span(down)) }
}

fn lost(loss: Loss) -> &'static str {
    match loss {
        Loss::Everything => "what was not synced is lost",
        Loss::Nothing => "all writes had just reached the disk",
        Loss::Latest => "of what was not synced, the latest is lost",
        Loss::AnyChanges => "of what was not synced, some changes are lost",
        Loss::AnySectors => "of what was not synced, some sectors are lost",
        Loss::AnyBytes => "of what was not synced, some bytes are lost",
    }
}

fn nth(number: u32) -> String {
    let ending = match (number % 10, number % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{number}{ending}")
}

/// `n1 n2 n3`.
fn group(ids: &BTreeSet<NodeId>) -> String {
    ids.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(ids: &[u64]) -> BTreeSet<NodeId> {
        ids.iter().copied().map(NodeId).collect()
    }

    #[test]
    fn faults_are_sentences() {
        let ms = Duration::from_millis;
        let crash = |at, death, down| Fault::Crash { who: Who::Leader, at, death, down };
        for (planned, says) in [
            (crash(Moment::Now, Death::Killed, ms(0)), "the leader n2 is killed; starts again at once"),
            (
                crash(Moment::AfterSends(1), Death::Power(Loss::Everything), ms(50)),
                "right after its next message the leader n2 loses its power (what was not synced is lost); starts again \
                 after 50 ms",
            ),
            (
                Fault::Partition { cut: Cut::Halves(ids(&[1, 2, 9])), lasts: ms(300) },
                "the network splits: n1 n2 | n3 n4 n5, for 300 ms",
            ),
            (
                Fault::Partition { cut: Cut::Bridge(NodeId(3)), lasts: ms(1_000) },
                "the network splits: n1 n2 | n4 n5, and only n3 hears both sides, for 1.0 s",
            ),
            (
                Fault::ChangeMembers { voters: ids(&[1, 2, 4]), learners: ids(&[3]) },
                "somebody asks for the voters n1 n2 n4 and the learners n3",
            ),
            (Fault::Campaign { who: NodeId(3) }, "n3 is told to campaign"),
        ] {
            assert_eq!(fault(&planned, 5, Some(NodeId(2))), says);
        }
        assert_eq!(
            [1, 2, 3, 4, 11, 12, 21, 111].map(nth),
            ["1st", "2nd", "3rd", "4th", "11th", "12th", "21st", "111th"]
        );
    }

    #[test]
    fn the_weather_is_told_when_there_is_any() {
        let mut plan = Plan::quiet(1, 3);
        assert_eq!(weather(&plan), Vec::<String>::new());
        (plan.network.lose, plan.network.flip) = (100, 5);
        assert_eq!(
            weather(&plan),
            ["10 % of all messages are lost", "0.5 % of all messages have a bit flipped"]
        );
    }
}
