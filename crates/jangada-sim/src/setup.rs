//! Building a world, running it, and what comes of it.

use jangada_node::event::Record;
use jangada_raft::types::Time;

use crate::check::{Invariant, Violation};
use crate::coverage::Coverage;
use crate::kv::Kv;
use crate::network::id_of;
use crate::panics::catch;
use crate::plan::{Plan, Profile};
use crate::records::Records;
use crate::story::Story;
use crate::swarm;
use crate::workload::Workload;
use crate::world::World;

/// A world that is being built.
#[derive(Clone, Debug)]
pub struct Builder {
    seed: u64,
    servers: Option<u64>,
    profile: Profile,
    quiet: bool,
}

impl Builder {
    pub(crate) fn new(seed: u64) -> Builder {
        Builder { seed, servers: None, profile: Profile::Default, quiet: false }
    }

    /// So many servers found the cluster; otherwise the seed decides.
    #[must_use]
    pub fn servers(mut self, servers: u64) -> Builder {
        self.servers = Some(servers);
        self
    }

    /// With these settings.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Builder {
        self.profile = profile;
        self
    }

    /// Without faults and without clients: the world is driven by hand.
    #[must_use]
    pub fn quiet(mut self) -> Builder {
        self.quiet = true;
        self
    }

    /// What will be done to the world.
    #[must_use]
    pub fn plan(&self) -> Plan {
        if self.quiet {
            let plan = Plan::quiet(self.seed, self.servers.unwrap_or(3));
            return Plan { profile: self.profile, ..plan };
        }
        swarm::draw(self.seed, self.profile, self.servers)
    }

    /// The world, with clients of the key-value store.
    #[must_use]
    pub fn build(&self) -> World<Kv> {
        World::of(self.plan(), Kv::new())
    }

    /// The world, with clients of your own.
    #[must_use]
    pub fn build_with<W: Workload>(&self, workload: W) -> World<W> {
        World::of(self.plan(), workload)
    }

    /// Lets everything happen that the seed has in store for this workload and its state machine.
    pub fn run<W: Workload>(&self, workload: W) -> Verdict {
        run(self.plan(), workload)
    }
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The seed.
    pub seed: u64,
    /// What did not hold: the first case of each invariant, in the order of their happening.
    pub violations: Vec<Violation>,
    /// What happened.
    pub coverage: Coverage,
    /// How much virtual time has passed.
    pub time: Time,
    /// How many things have happened: deliveries, alarms, disk operations, turns of clients, faults.
    pub events: u64,
    /// How many turns servers have taken.
    pub steps: u64,
    /// How many events the servers have recorded.
    pub records: u64,
    /// One number for all that the servers have recorded: equal runs give equal numbers.
    pub record_hash: u64,
}

impl Verdict {
    /// Everything held.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs a plan to its end. Panics inside are caught: they are violations like others.
pub fn run<W: Workload>(plan: Plan, workload: W) -> Verdict {
    live(plan, workload).0
}

/// The same, with a timeline of what happened until the first violation, or until the end.
pub fn tell<W: Workload>(plan: Plan, workload: W) -> (Verdict, Vec<String>) {
    let (verdict, left) = live(Plan { tell_story: true, ..plan }, workload);
    let end = verdict.violations.first().map_or(verdict.time, |violation| violation.time);
    let story = left.and_then(|left| left.story);
    let lines = story.map(|story| story.until(end)).unwrap_or_default();
    (verdict, lines)
}

/// The same, with all that the servers said of themselves, in the order in which it happened: until the first violation,
/// and on to the end.
pub fn record<W: Workload>(plan: Plan, workload: W) -> (Verdict, Vec<Record>) {
    let (verdict, left) = live(Plan { keep_records: true, ..plan }, workload);
    (verdict, left.map(|left| left.records.into_kept()).unwrap_or_default())
}

/// What a run leaves behind for those who asked for it.
struct Left {
    story: Option<Story>,
    records: Records,
}

fn live<W: Workload>(plan: Plan, workload: W) -> (Verdict, Option<Left>) {
    let seed = plan.seed;
    let mut world = None;
    let outcome = catch(|| {
        let world = world.insert(World::of(plan, workload));
        world.run_plan();
    });
    let Some(mut world) = world else {
        let violation = panicked(&outcome.err().unwrap_or_default(), None, Time::ZERO);
        let verdict = Verdict {
            seed,
            violations: vec![violation],
            coverage: Coverage::default(),
            time: Time::ZERO,
            events: 0,
            steps: 0,
            records: 0,
            record_hash: 0,
        };
        return (verdict, None);
    };
    let mut violations = std::mem::take(&mut world.findings.violations);
    if let Err(said) = outcome {
        violations.push(panicked(&said, world.acting, world.now));
    }
    let verdict = Verdict {
        seed,
        violations,
        coverage: world.coverage.clone(),
        time: world.now,
        events: world.happened,
        steps: world.steps,
        records: world.records.count(),
        record_hash: world.records.hash(),
    };
    (verdict, Some(Left { story: world.story, records: world.records }))
}

/// One seed in so many is run twice.
const TWICE_EVERY: u64 = 100;

/// Runs a seed with clients of the key-value store, now and then twice: the second run must be the first.
#[must_use]
pub fn examine(builder: &Builder) -> Verdict {
    let mut verdict = run(builder.plan(), Kv::new());
    if builder.seed.is_multiple_of(TWICE_EVERY) && verdict.is_good() {
        let again = run(builder.plan(), Kv::new());
        verdict.violations.extend(differs(&verdict, &again));
    }
    verdict
}

/// Two runs of one plan must be the same from the first record to the last. The hash is of each record of each server, with
/// its time and its place; the counts say where to look first if it differs.
#[must_use]
pub fn differs(once: &Verdict, again: &Verdict) -> Option<Violation> {
    let counts = |verdict: &Verdict| (verdict.events, verdict.steps, verdict.records);
    let same = once.record_hash == again.record_hash
        && counts(once) == counts(again)
        && once.time == again.time
        && once.coverage == again.coverage;
    let say = |verdict: &Verdict| {
        let (events, steps, records) = counts(verdict);
        format!("{events} events, {steps} turns, {records} records with hash {:016x}", verdict.record_hash)
    };
    (!same).then(|| Violation {
        invariant: Invariant::Deterministic,
        node: None,
        time: once.time.min(again.time),
        sentence: format!("the first run has {}; the second {}", say(once), say(again)),
    })
}

fn panicked(said: &str, place: Option<usize>, time: Time) -> Violation {
    let sentence = format!("panics: {said}");
    Violation { invariant: Invariant::NoPanic, node: place.map(id_of), time, sentence }
}
