//! Makes a failing plan small: the fewest servers, faults and operations that still fail by the same invariant.
//!
//! A plan is data, so that parts of it can be left out and the rest run again. Each attempt is a whole run; the
//! search is greedy, goes over everything until nothing more can go, and stops after so many runs. It draws
//! nothing: the same plan is shrunk to the same plan.
//!
//! A run that lacks a fault is another run: its draws fall otherwise. That is why the search tries large pieces
//! first, and, where little is left, a few other seeds with it; and why the end is small, and not the smallest there is.

use core::time::Duration;

use jangada_raft::types::Time;

use crate::check::Violation;
use crate::network::place_of;
use crate::plan::{Fault, Moment, Plan};

/// Operations that a plan is cut down to, tried in this order.
const OPERATIONS: [u64; 10] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Seeds that are tried when something may go or not by luck.
const OTHER_SEEDS: u64 = 5;
/// With so few faults left each of them is worth other seeds.
const FEW_FAULTS: usize = 12;

/// How large a plan is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Servers, spares with them.
    pub servers: u64,
    /// Planned faults.
    pub faults: usize,
    /// Operations that clients may begin.
    pub operations: u64,
    /// How long trouble lasts.
    pub trouble: Duration,
}

impl Size {
    /// The size of this plan.
    #[must_use]
    pub fn of(plan: &Plan) -> Size {
        Size {
            servers: plan.servers + plan.spares,
            faults: plan.faults.len(),
            operations: if plan.clients.clients == 0 { 0 } else { plan.clients.operations },
            trouble: plan.trouble,
        }
    }
}

/// A plan that was made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left of it.
    pub plan: Plan,
    /// How it fails.
    pub violation: Violation,
    /// How many runs that took.
    pub tries: u32,
}

/// Makes a plan small that fails by `violation`, in `tries` runs at most. `fails` runs a plan and says what did
/// not hold.
pub fn shrink(
    plan: &Plan,
    violation: &Violation,
    tries: u32,
    fails: impl FnMut(&Plan) -> Vec<Violation>,
) -> Shrunk {
    let (best, violation) = (plan.clone(), violation.clone());
    let mut shrinker = Shrinker { best, violation, tries: 0, limit: tries, fails };
    while shrinker.tries < tries && shrinker.pass() {}
    Shrunk { plan: shrinker.best, violation: shrinker.violation, tries: shrinker.tries }
}

struct Shrinker<F> {
    /// The smallest plan so far that fails.
    best: Plan,
    violation: Violation,
    tries: u32,
    limit: u32,
    fails: F,
}

impl<F: FnMut(&Plan) -> Vec<Violation>> Shrinker<F> {
    /// Once over everything. Whether anything could go.
    fn pass(&mut self) -> bool {
        // Each of them makes the runs of the next ones shorter.
        let shorter = self.shorten();
        let fewer_faults = self.leave_faults_out();
        let simpler = self.crash_at_once();
        let fewer_servers = self.leave_servers_out();
        let fewer_operations = self.leave_operations_out();
        let calmer = self.calm();
        shorter || fewer_faults || simpler || fewer_servers || fewer_operations || calmer
    }

    /// Runs a changed plan; if it fails by the same invariant, it is the best from now on.
    fn attempt(&mut self, change: impl FnOnce(&mut Plan)) -> bool {
        if self.tries >= self.limit {
            return false;
        }
        let mut plan = self.best.clone();
        change(&mut plan);
        forget_who_is_not_there(&mut plan);
        self.tries += 1;
        let same = |violation: &Violation| violation.invariant == self.violation.invariant;
        let Some(violation) = (self.fails)(&plan).into_iter().find(same) else { return false };
        // What broke in the troubled time shall not break after it: a story that ends with its failure is clearer.
        let after = |violation: &Violation, plan: &Plan| since_start(violation.time) > plan.trouble;
        if after(&violation, &plan) && !after(&self.violation, &self.best) {
            return false;
        }
        (self.best, self.violation) = (plan, violation);
        true
    }

    /// The same with a few other seeds, if this one's draws do not fail.
    fn attempt_with_luck(&mut self, change: impl Fn(&mut Plan)) -> bool {
        (0..=OTHER_SEEDS).any(|more| {
            self.attempt(|plan| {
                change(plan);
                plan.seed = plan.seed.wrapping_add(more);
            })
        })
    }

    /// Trouble ends when the invariant breaks, or at half of its time, or at three quarters.
    fn shorten(&mut self) -> bool {
        let mut shorter = false;
        let broken = since_start(self.violation.time) + Duration::from_millis(1);
        if broken < self.best.trouble {
            shorter |= self.attempt(|plan| end_at(plan, broken));
        }
        for (part, of) in [(1, 2), (3, 4)] {
            while self.best.trouble > Duration::from_millis(100)
                && self.attempt(|plan| end_at(plan, plan.trouble * part / of))
            {
                shorter = true;
            }
        }
        shorter
    }

    /// Pieces of the list of faults, from half of it down to single ones (delta debugging).
    fn leave_faults_out(&mut self) -> bool {
        let before = self.best.faults.len();
        let mut piece = before.div_ceil(2);
        while piece > 0 && self.tries < self.limit {
            let mut at = 0;
            while at < self.best.faults.len() {
                let end = self.best.faults.len().min(at + piece);
                let without = |plan: &mut Plan| drop(plan.faults.drain(at..end));
                let few = self.best.faults.len() <= FEW_FAULTS;
                let went = if few { self.attempt_with_luck(without) } else { self.attempt(without) };
                if !went {
                    at = end;
                }
            }
            piece /= 2;
        }
        self.best.faults.len() < before
    }

    /// Crashes that do not wait for a message or for the disk need neither.
    fn crash_at_once(&mut self) -> bool {
        let mut simpler = false;
        for number in 0..self.best.faults.len() {
            let waits = |(_, fault): &(Duration, Fault)| matches!(fault, Fault::Crash { at, .. } if *at != Moment::Now);
            if waits(&self.best.faults[number]) {
                simpler |= self.attempt(|plan| {
                    if let Fault::Crash { at, .. } = &mut plan.faults[number].1 {
                        *at = Moment::Now;
                    }
                });
            }
        }
        simpler
    }

    fn leave_servers_out(&mut self) -> bool {
        let before = self.best.places();
        // Faults that strike a server that is not there do nothing.
        if self.best.spares > 0 && !self.attempt_with_luck(|plan| plan.spares = 0) {
            while self.best.spares > 1 && self.attempt(|plan| plan.spares -= 1) {}
        }
        for servers in 1..self.best.servers {
            if self.attempt_with_luck(|plan| plan.servers = servers) {
                break;
            }
        }
        self.best.places() < before
    }

    fn leave_operations_out(&mut self) -> bool {
        let before = (self.best.clients.clients, self.best.clients.operations);
        for clients in 1..self.best.clients.clients {
            if self.attempt_with_luck(|plan| plan.clients.clients = clients) {
                break;
            }
        }
        let known = self.best.clients.operations;
        for operations in OPERATIONS.into_iter().filter(|operations| *operations < known) {
            if self.attempt_with_luck(|plan| plan.clients.operations = operations) {
                break;
            }
        }
        while self.best.clients.operations <= OPERATIONS[OPERATIONS.len() - 1]
            && self.best.clients.operations > 0
            && self.attempt(|plan| plan.clients.operations -= 1)
        {}
        before != (self.best.clients.clients, self.best.clients.operations)
    }

    /// A network, disks and clocks that do nothing of their own.
    fn calm(&mut self) -> bool {
        let mut calmer = false;
        for knob in KNOBS {
            let value = knob(&mut self.best);
            if *value > 0 {
                calmer |= self.attempt(|plan| *knob(plan) = 0);
            }
        }
        if self.best.settings.lease_reads {
            calmer |= self.attempt(|plan| plan.settings.lease_reads = false);
        }
        if !self.best.settings.step_delay.is_zero() {
            calmer |= self.attempt(|plan| plan.settings.step_delay = Duration::ZERO);
        }
        if !self.best.settings.commit_notice_after.is_zero() {
            calmer |= self.attempt(|plan| plan.settings.commit_notice_after = Duration::ZERO);
        }
        calmer
    }
}

/// What goes wrong without being a planned fault.
const KNOBS: [fn(&mut Plan) -> &mut u32; 8] = [
    |plan| &mut plan.network.lose,
    |plan| &mut plan.network.repeat,
    |plan| &mut plan.network.straggle,
    |plan| &mut plan.network.flip,
    |plan| &mut plan.network.foreign,
    |plan| &mut plan.network.version,
    |plan| &mut plan.disk.stall,
    |plan| &mut plan.settings.drift_per_mille,
];

/// A change of members that waits for a server that is not there fails by itself.
fn forget_who_is_not_there(plan: &mut Plan) {
    let places = plan.places();
    for (_, fault) in &mut plan.faults {
        if let Fault::ChangeMembers { voters, learners } = fault {
            voters.retain(|id| place_of(*id) < places);
            learners.retain(|id| place_of(*id) < places);
        }
    }
    plan.faults
        .retain(|(_, fault)| !matches!(fault, Fault::ChangeMembers { voters, .. } if voters.is_empty()));
}

fn end_at(plan: &mut Plan, trouble: Duration) {
    plan.trouble = trouble;
    plan.faults.retain(|(at, _)| *at <= trouble);
}

fn since_start(time: Time) -> Duration {
    Duration::from_nanos(time.0)
}
