//! The swarm: each seed draws which classes of faults there are, and how harsh each is.
//!
//! A mixture of everything, always, hides bugs: a cluster that crashes all the time never compacts its log. So
//! each class is off, mild or harsh, by the seed; and crashes come where they hurt, right after a message has
//! left or in the middle of a disk operation, with a quick restart.

use core::time::Duration;
use std::collections::BTreeSet;

use jangada_raft::types::NodeId;

use crate::disk::{Damage, DiskFault, Loss};
use crate::plan::{
    Atlas, ClientPlan, Cut, Death, DiskPlan, Drip, Fault, Moment, NetworkPlan, Plan, Profile, Settings, Who,
};
use crate::rng::{Dice, Rng, stream};

/// How long faults go on.
const TROUBLE: Duration = Duration::from_secs(50);
/// In one seed of so many the records are judged, too, by a reader that sees nothing else.
const SECOND_OPINION_EVERY: u64 = 100;

/// The plan that belongs to a seed. `servers`: so many, or as drawn.
#[must_use]
pub fn draw(seed: u64, profile: Profile, servers: Option<u64>) -> Plan {
    let mut rng = stream(seed, "swarm");
    let drawn = rng.pick(&[1, 2, 3, 3, 3, 3, 5, 5, 7]);
    let servers = servers.unwrap_or(drawn);
    let churn = rng.pick(&[0, 0, 1, 2]);
    let spares = if churn == 0 { 0 } else { rng.pick(&[1, 2, 3]) };
    let mut plan = Plan::quiet(seed, servers);
    plan.profile = profile;
    plan.spares = spares;
    plan.trouble = TROUBLE;
    plan.settings = settings(&mut rng, profile);
    plan.network = network(&mut rng, &plan.settings);
    if plan.network.delay_max > ms(20) {
        // Of a stream on links that reorder, one message or two arrive in order in a round trip. With an entry in each
        // and slow links, who is behind would catch up more slowly than the clients go on.
        plan.settings.max_append_entries = plan.settings.max_append_entries.max(8);
    }
    plan.disk = disk(&mut rng);
    plan.clients = clients(&mut rng);
    plan.faults = faults(&mut rng, &plan, churn);
    plan.second_opinion = seed.is_multiple_of(SECOND_OPINION_EVERY);
    plan
}

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn settings(rng: &mut Rng, profile: Profile) -> Settings {
    let heartbeat = rng.pick(&[50, 50, 100]);
    let timeout = heartbeat * rng.pick(&[3, 5]);
    // Small in both would be slower than the clients are.
    let lease_reads = profile != Profile::Classic && rng.chance(200);
    let (entries, messages) = rng.pick(&[(1, 64), (4, 4), (64, 1), (512, 64)]);
    let snapshot_after_bytes = rng.pick(&[2 << 10, 8 << 10, 32 << 10, 1 << 20]);
    let rarely = snapshot_after_bytes >= 32 << 10;
    let mut settings = Settings {
        heartbeat: ms(heartbeat),
        election_timeout_min: ms(timeout),
        election_timeout_max: ms(timeout * 2),
        snapshot_after_bytes,
        snapshot_part_bytes: rng.pick(&[256, 1 << 10, 4 << 10]),
        keep_bytes_behind_snapshot: rng.pick(&[0, 1 << 10, 8 << 10]),
        max_append_entries: entries,
        max_inflight_messages: messages,
        segment_bytes: rng.pick(&[16 << 10, 32 << 10, 64 << 10]),
        step_delay: Duration::from_micros(rng.pick(&[0, 0, 0, 200, 2_000])),
        commit_notice_after: Duration::from_micros(rng.pick(&[0, 500, 500, 5_000])),
        // Leases hold for clocks that run alike, within 1 %.
        drift_per_mille: if lease_reads { rng.pick(&[0, 0, 5, 10]) } else { rng.pick(&[0, 0, 5, 10, 50]) },
        lease_reads,
        // Many snapshots of a large state would take as long as all the rest.
        max_command_bytes: rng.pick(&[None, None, Some(4 << 10), Some(20 << 10)]).filter(|_| rarely),
    };
    // A part takes a message there and one back. In a hundred parts for each value nobody who is late catches up in time.
    let largest = settings.max_command_bytes.unwrap_or(0);
    settings.snapshot_part_bytes = settings.snapshot_part_bytes.max(largest);
    settings
}

fn network(rng: &mut Rng, settings: &Settings) -> NetworkPlan {
    // Timeouts that are short against the delays make elections overlap.
    let slow = settings.election_timeout_min / 3;
    let delay_max = rng.pick(&[ms(1), ms(1), ms(5), ms(20), slow]);
    NetworkPlan {
        delay_min: delay_max / 10,
        delay_max,
        lose: rng.pick(&[0, 0, 10, 100]),
        repeat: rng.pick(&[0, 0, 10, 100]),
        straggle: rng.pick(&[0, 0, 10, 50]),
        straggle_by: ms(rng.pick(&[50, 500, 3_000])),
        flip: rng.pick(&[0, 0, 0, 5]),
        foreign: rng.pick(&[0, 0, 2, 20]),
        version: rng.pick(&[0, 0, 2, 20]),
    }
}

fn disk(rng: &mut Rng) -> DiskPlan {
    let sync_max = Duration::from_micros(rng.pick(&[500, 500, 5_000, 30_000]));
    DiskPlan {
        sync_min: sync_max / 5,
        sync_max,
        stall: rng.pick(&[0, 0, 2, 10]),
        stall_by: ms(rng.pick(&[100, 1_000])),
    }
}

fn clients(rng: &mut Rng) -> ClientPlan {
    ClientPlan {
        clients: rng.pick(&[2, 4, 6, 8]),
        think: ms(rng.pick(&[150, 500, 1_000])),
        patience: ms(rng.pick(&[500, 2_000, 8_000])),
        operations: u64::MAX,
    }
}

/// How often each class strikes: so many milliseconds between two, on average; 0 for never.
fn faults(rng: &mut Rng, plan: &Plan, churn: u64) -> Vec<(Duration, Fault)> {
    let mut faults = Vec::new();
    let rate = |rng: &mut Rng, harsh: u64, mild: u64| rng.pick(&[0, mild, harsh]);
    let (crash, all) = (rate(rng, 700, 5_000), rng.pick(&[0, 0, 15_000]));
    let (part, pause) = (rate(rng, 1_500, 8_000), rng.pick(&[0, 0, 5_000]));
    let (disk, snapshot) = (rng.pick(&[0, 0, 4_000]), rng.pick(&[0, 3_000]));
    let (transfer, campaign) = (rng.pick(&[0, 0, 2_000]), rng.pick(&[0, 0, 3_000]));
    let (lose, rot) = (rng.pick(&[0, 0, 6_000]), rng.pick(&[0, 0, 6_000, 2_000]));
    let change = [0, 8_000, 2_000][usize::try_from(churn).unwrap_or(0)];
    strike(rng, crash, &mut faults, |rng| crash_fault(rng, plan));
    strike(rng, all, &mut faults, |rng| Fault::CrashAll {
        death: death(rng),
        down: ms(rng.pick(&[10, 500])),
    });
    strike(rng, part, &mut faults, |rng| partition(rng, plan));
    strike(rng, pause, &mut faults, |rng| Fault::Pause {
        who: who(rng, plan),
        lasts: ms(rng.pick(&[20, 200, 1_000, 5_000, 60_000])),
        // Whoever slept does not know it, and would trust a lease that is over.
        clock: !plan.settings.lease_reads && rng.chance(300),
    });
    strike(rng, disk, &mut faults, |rng| disk_fault(rng, plan));
    if plan.profile != Profile::Classic && plan.servers >= 3 {
        // Both end with a change of members, which classic servers are spared.
        strike(rng, lose, &mut faults, |rng| Fault::LoseDisk {
            who: who(rng, plan),
            down: ms(rng.pick(&[1, 100, 2_000])),
            stale: rng.chance(500),
        });
        strike(rng, rot, &mut faults, |rng| {
            let who = who(rng, plan);
            damage(rng, who)
        });
    }
    strike(rng, snapshot, &mut faults, |rng| Fault::Snapshot { who: who(rng, plan) });
    strike(rng, transfer, &mut faults, |rng| Fault::Transfer { to: server(rng, plan) });
    strike(rng, campaign, &mut faults, |rng| Fault::Campaign { who: server(rng, plan) });
    strike(rng, change, &mut faults, |rng| change_members(rng, plan));
    network_faults(rng, plan, &mut faults);
    if plan.profile.atlas() == Atlas::Beyond {
        ruin(rng, plan, &mut faults);
    }
    faults.sort_by_key(|(at, _)| *at);
    faults
}

/// What is wrong with links, short of being cut.
fn network_faults(rng: &mut Rng, plan: &Plan, faults: &mut Vec<(Duration, Fault)>) {
    let (clog, swizzle) = (rng.pick(&[0, 0, 8_000, 2_000]), rng.pick(&[0, 0, 0, 15_000]));
    let (flap, reset) = (rng.pick(&[0, 0, 0, 10_000]), rng.pick(&[0, 0, 5_000, 1_000]));
    strike(rng, clog, faults, |rng| Fault::Clog {
        cut: cut(rng, plan),
        drip: drip(rng),
        lasts: ms(rng.pick(&[300, 1_000, 4_000])),
    });
    strike(rng, swizzle, faults, |rng| {
        let some = some(rng, plan);
        let clogged = shuffled(rng, some);
        let released = shuffled(rng, clogged.iter().copied().collect());
        Fault::Swizzle { clogged, released, drip: drip(rng), step: ms(rng.pick(&[50, 300, 1_000])) }
    });
    strike(rng, flap, faults, |rng| Fault::Flap {
        cut: cut(rng, plan),
        down: ms(rng.pick(&[5, 50, 300])),
        up: ms(rng.pick(&[5, 50, 300])),
        times: rng.pick(&[3, 10, 30]),
    });
    strike(rng, reset, faults, |rng| Fault::Reset { cut: cut(rng, plan) });
}

fn damage(rng: &mut Rng, who: Who) -> Fault {
    let (damage, dice) = (rng.pick(&Damage::ALL), rng.next_u64());
    // Half of it under the server's hands: what chooses the place has a bit to spare.
    Fault::Damage { who, damage, dice, in_use: dice.is_multiple_of(2) }
}

/// Now and then many disks are lost or damaged within a moment.
fn ruin(rng: &mut Rng, plan: &Plan, faults: &mut Vec<(Duration, Fault)>) {
    let every = ms(rng.pick(&[5_000, 15_000, 40_000]));
    let share = rng.pick(&[300, 600, 1_000]);
    let mut at = ms(1_000) + rng.duration(Duration::ZERO, every * 2);
    while at < TROUBLE {
        for id in (1..=plan.servers + plan.spares).map(NodeId) {
            if !rng.chance(share) {
                continue;
            }
            let who = Who::Server(id);
            let fault = if rng.chance(500) {
                Fault::LoseDisk { who, down: ms(rng.pick(&[1, 100, 2_000])), stale: false }
            } else {
                damage(rng, who)
            };
            faults.push((at + rng.duration(Duration::ZERO, ms(50)), fault));
        }
        at += rng.duration(Duration::ZERO, every * 2);
    }
}

fn drip(rng: &mut Rng) -> Drip {
    Drip { each: ms(rng.pick(&[1, 5, 20, 100])), room: rng.pick(&[1, 4, 32]) }
}

fn shuffled(rng: &mut Rng, ids: BTreeSet<NodeId>) -> Vec<NodeId> {
    let mut ids: Vec<(u64, NodeId)> = ids.into_iter().map(|id| (rng.next_u64(), id)).collect();
    ids.sort_unstable();
    ids.into_iter().map(|(_, id)| id).collect()
}

fn strike(
    rng: &mut Rng,
    every_ms: u64,
    faults: &mut Vec<(Duration, Fault)>,
    mut draw: impl FnMut(&mut Rng) -> Fault,
) {
    if every_ms == 0 {
        return;
    }
    let mut at = ms(300);
    loop {
        at += rng.duration(Duration::ZERO, ms(every_ms * 2));
        if at >= TROUBLE {
            return;
        }
        faults.push((at, draw(rng)));
    }
}

fn server(rng: &mut Rng, plan: &Plan) -> NodeId {
    NodeId(1 + rng.below(plan.servers + plan.spares))
}

fn who(rng: &mut Rng, plan: &Plan) -> Who {
    if rng.chance(400) { Who::Leader } else { Who::Server(server(rng, plan)) }
}

fn death(rng: &mut Rng) -> Death {
    if rng.chance(300) { Death::Killed } else { Death::Power(rng.pick(&Loss::ALL)) }
}

fn crash_fault(rng: &mut Rng, plan: &Plan) -> Fault {
    let at = match rng.below(4) {
        0 => Moment::Now,
        1 => Moment::AtDiskOperation(u32::try_from(rng.below(12)).unwrap_or(0)),
        _ => Moment::AfterSends(1 + u32::try_from(rng.below(6)).unwrap_or(0)),
    };
    // Quick restarts find what was promised and not kept.
    let down = ms(rng.pick(&[0, 1, 5, 50, 500, 3_000]));
    Fault::Crash { who: who(rng, plan), at, death: death(rng), down }
}

fn partition(rng: &mut Rng, plan: &Plan) -> Fault {
    Fault::Partition { cut: cut(rng, plan), lasts: ms(rng.pick(&[50, 300, 1_000, 4_000])) }
}

fn cut(rng: &mut Rng, plan: &Plan) -> Cut {
    match rng.below(8) {
        0 => Cut::Isolate(who(rng, plan)),
        1 => Cut::Isolate(Who::Leader),
        2 => Cut::Mute(who(rng, plan)),
        3 => Cut::Deaf(who(rng, plan)),
        4 => Cut::OneWay(server(rng, plan), server(rng, plan)),
        5 => Cut::Bridge(server(rng, plan)),
        6 => Cut::Ring,
        _ => Cut::Halves(some(rng, plan)),
    }
}

fn disk_fault(rng: &mut Rng, plan: &Plan) -> Fault {
    Fault::Disk {
        who: who(rng, plan),
        after: u32::try_from(rng.below(20)).unwrap_or(0),
        fault: rng.pick(&[DiskFault::Broken, DiskFault::Full]),
        down: ms(rng.pick(&[5, 100, 2_000])),
    }
}

fn some(rng: &mut Rng, plan: &Plan) -> BTreeSet<NodeId> {
    (1..=plan.servers + plan.spares).filter(|_| rng.chance(500)).map(NodeId).collect()
}

fn change_members(rng: &mut Rng, plan: &Plan) -> Fault {
    let mut voters = some(rng, plan);
    while voters.len() < 1 + usize::from(plan.servers > 2) {
        voters.insert(server(rng, plan));
    }
    let learners = some(rng, plan).difference(&voters).copied().filter(|_| rng.chance(300)).collect();
    Fault::ChangeMembers { voters, learners }
}
