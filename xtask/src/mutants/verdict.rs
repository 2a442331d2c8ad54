//! Verdicts: which checker a failed run has tripped, by its words.
//!
//! The simulator names its checkers itself. The core's own random worlds and the tests panic with a sentence; the
//! table below says which checker each sentence belongs to.

/// What a run has to say about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The checker's name.
    pub checker: String,
    /// Its sentence.
    pub what: String,
    /// The seed, where one process runs many.
    pub seed: Option<u64>,
}

/// A sentence of a test that no checker claims; the test gives its own name to it.
pub const TEST: &str = "test";

/// The first words that fit decide, so the more particular ones come first.
const SENTENCES: [(&str, &str); 33] = [
    ("election safety", "election_safety"),
    ("leader completeness", "leader_completeness"),
    ("log matching", "log_matching"),
    ("state machine safety", "committed_immutable"),
    ("applies what is committed", "committed_immutable"),
    ("which is committed", "committed_immutable"),
    ("applies only what is committed", "committed_immutable"),
    ("only a leader commits what nobody has", "committed_immutable"),
    ("without a majority of disks", "committed_durable_on_quorum"),
    ("by counting in term", "commits_by_counting_own_term_only"),
    ("a vote is on the disk before it leaves", "promises_are_durable"),
    ("a campaign is on the disk before it is heard of", "promises_are_durable"),
    ("counts only when it is on its disk", "promises_are_durable"),
    ("an answer names a term that is on the disk", "promises_are_durable"),
    ("before it is on the disk", "promises_are_durable"),
    ("term is on the disk", "promises_are_durable"),
    ("a leader's term is on its disk", "promises_are_durable"),
    ("a vote is given in the present term", "promises_are_durable"),
    ("on the disk a vote is given once", "promises_are_durable"),
    ("never falls", "monotonic"),
    ("the last configuration", "configuration_is_last_in_log"),
    ("the configurations are those in the log", "configuration_is_last_in_log"),
    ("a read sees", "linearizable"),
    ("waited in vain", "liveness_after_heal"),
    ("takes a command", "liveness_after_heal"),
    ("a leader stays", "liveness_after_heal"),
    ("time goes on", "amplification_bound"),
    ("always wants something more", "amplification_bound"),
    ("applied in order, each once", "exactly_once_apply"),
    ("a server remembers", "monotonic"),
    ("memory and disk hold one log", "log_matching"),
    ("a snapshot is whole", "equal_state_hashes"),
    ("has one word an entry", "equal_state_hashes"),
];

/// The facts of `invariants.rs` that the simulator checks by name as well.
fn own_look(sentence: &str) -> Option<&'static str> {
    let facts =
        ["panics: the last configuration is in force", "panics: the configurations are those in the log"];
    facts.iter().any(|fact| sentence.starts_with(fact)).then_some("configuration_is_last_in_log")
}

/// The checker that a panic's place and sentence stand for.
#[must_use]
pub fn checker_of(place: &str, sentence: &str) -> String {
    let known = SENTENCES.iter().find(|(words, _)| sentence.contains(words)).map(|(_, checker)| *checker);
    let in_production = place.contains("/src/") || place.starts_with("src/");
    let checker = match known {
        Some(checker) if !in_production || place.contains("invariants.rs") => checker,
        _ if place.contains("invariants.rs") => "invariants",
        _ if in_production => "no_panic",
        _ => TEST,
    };
    checker.to_owned()
}

/// What the runner has said: a line `seed 17 checker sentence` for each seed that failed.
#[must_use]
pub fn runner_findings(said: &str) -> Vec<Finding> {
    let finding = |line: &str| {
        let (seed, rest) = line.strip_prefix("seed ")?.split_once(' ')?;
        let (checker, what) = rest.split_once(' ')?;
        // The core's own look at itself panics: its sentence says which of the checkers it is.
        let checker = match own_look(what) {
            Some(named) if checker == "no_panic" => named,
            Some(_) | None => checker,
        };
        Some(Finding { checker: checker.to_owned(), what: what.to_owned(), seed: seed.parse().ok() })
    };
    said.lines().filter_map(finding).collect()
}

/// The panics in what a test process has said, each with the seed that is named behind it, if one is. Of several
/// before the same seed the first counts: the others follow from it.
#[must_use]
pub fn findings(said: &str) -> Vec<Finding> {
    let mut findings: Vec<Finding> = Vec::new();
    let mut open: Option<Finding> = None;
    let mut lines = said.lines();
    while let Some(line) = lines.next() {
        if let Some(place) = line.split_once("panicked at ").map(|(_, place)| place) {
            let what = lines.next().unwrap_or_default().trim().to_owned();
            let found = Finding { checker: checker_of(place, &what), what, seed: None };
            open.get_or_insert(found);
        } else if let Some(seed) = line.strip_prefix("seed ").and_then(|rest| rest.split(':').next())
            && let Some(finding) = open.take()
        {
            findings.push(Finding { seed: seed.trim().parse().ok(), ..finding });
        }
    }
    // A panic without a seed behind it: the end of the test itself, which only counts the seeds.
    findings.extend(open.filter(|last| !last.what.starts_with("these seeds failed")));
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_names_its_checker_and_its_seed() {
        let said = "thread 'weather' panicked at crates/jangada-raft/tests/it/world/checker.rs:135:9:\n\
                    assertion `left == right` failed: election safety: one leader in term 3\n  left: 1\n\
                    thread 'weather' panicked at crates/jangada-raft/src/log.rs:12:9:\nagain\n\
                    seed 17: JANGADA_SEED=17\n\
                    thread 'weather' panicked at crates/jangada-raft/src/log.rs:12:9:\na log has no hole\n\
                    seed 18: JANGADA_SEED=18\n\
                    thread 'weather' panicked at it.rs:1:1:\nthese seeds failed: [17, 18]\n";
        let found = findings(said);
        let short: Vec<_> = found.iter().map(|found| (found.checker.as_str(), found.seed)).collect();
        assert_eq!(short, [("election_safety", Some(17)), ("no_panic", Some(18))]);
    }

    #[test]
    fn the_runner_names_checkers_itself() {
        let found = runner_findings("seed 7 log_matching n1 and n2 differ\nthen linearizable\n");
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].checker.as_str(), found[0].seed), ("log_matching", Some(7)));
        assert_eq!(found[0].what, "n1 and n2 differ");
    }
}
