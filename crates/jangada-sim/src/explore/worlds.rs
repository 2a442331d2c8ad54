//! The worlds that are searched: each as small as it can be for what it is to show.
//!
//! Everything at once in one world would be too much for any computer; what one world leaves out, another one
//! has.

use jangada_raft::types::Term;

use super::config::{Config, Relic};

impl Config {
    /// All that are small enough for a test.
    #[must_use]
    pub fn small() -> Vec<Config> {
        vec![
            Config::two_terms(),
            Config::two_commands(),
            Config::slow_disks(),
            Config::slow_elections(),
            Config::modern(),
            Config::long_log(),
            Config::stale_tail(),
            Config::figure_8(),
            Config::shrink(),
            Config::replace(),
            Config::joint(),
            Config::erratum(),
            Config::long_erratum(),
        ]
    }

    /// Those and one that has no end that anybody has seen.
    #[must_use]
    pub fn all() -> Vec<Config> {
        let mut all = Config::small();
        all.push(Config::large());
        all
    }

    /// Two elections, a command, a crash at any moment.
    #[must_use]
    pub fn two_terms() -> Config {
        Config { name: "two terms", max_term: Term(2), proposals: 1, crashes: 1, ..Config::default() }
    }

    /// Two elections, two commands, a crash at any moment.
    #[must_use]
    pub fn two_commands() -> Config {
        Config { name: "two commands", proposals: 2, ..Config::two_terms() }
    }

    /// Disks that take as long as they like, and a crash that loses what they have not written.
    #[must_use]
    pub fn slow_disks() -> Config {
        Config {
            name: "slow disks",
            max_term: Term(1),
            proposals: 1,
            crashes: 1,
            slow_disks: true,
            ..Config::default()
        }
    }

    /// Two elections with slow disks, and a crash between any two writes.
    #[must_use]
    pub fn slow_elections() -> Config {
        Config {
            name: "slow elections",
            campaigns: vec![(1, 1), (1, 2), (2, 2)],
            max_term: Term(2),
            crashes: 1,
            slow_disks: true,
            ..Config::default()
        }
    }

    /// As servers are set up in production: with pre-votes, and leaders that are protected or step down.
    #[must_use]
    pub fn modern() -> Config {
        Config {
            name: "modern",
            campaigns: vec![(1, 1), (2, 1), (2, 2)],
            max_term: Term(2),
            modern: true,
            ..Config::default()
        }
    }

    /// One server has the longer log, the others the later one (Paper §5.4.1).
    #[must_use]
    pub fn long_log() -> Config {
        Config {
            name: "long log",
            relics: vec![Relic::new(1, &[1, 1, 1]), Relic::new(1, &[1]), Relic::new(1, &[1])],
            max_term: Term(3),
            ..Config::default()
        }
    }

    /// One server has an entry that nobody else has, and heartbeats reach it before the entries that replace
    /// it.
    #[must_use]
    pub fn stale_tail() -> Config {
        Config {
            name: "stale tail",
            relics: vec![Relic::new(1, &[1, 1]), Relic::new(1, &[1]), Relic::new(1, &[1])],
            max_term: Term(2),
            repeats: 1,
            ..Config::default()
        }
    }

    /// The paper's Figure 8, from its scene (b) on, with three servers: n1 has led in term 2, and n2 in term 3,
    /// each with an entry at index 2 that nobody else has.
    #[must_use]
    pub fn figure_8() -> Config {
        Config {
            name: "figure 8",
            relics: vec![Relic::new(3, &[1, 2]), Relic::new(3, &[1, 3]), Relic::new(3, &[1])],
            campaigns: vec![(4, 1), (5, 2)],
            max_term: Term(5),
            entries_per_message: 1,
            ..Config::default()
        }
    }

    /// A change that takes two of three servers away, so that the old and the new configuration can decide
    /// without each other.
    #[must_use]
    pub fn shrink() -> Config {
        Config {
            name: "shrink",
            relics: vec![Relic::new(1, &[1]), Relic::new(1, &[1]), Relic::new(1, &[1])],
            campaigns: vec![(2, 1), (2, 2), (3, 1), (3, 2)],
            max_term: Term(3),
            changes: 2,
            wishes: vec![(1, vec![1]), (1, vec![1, 2]), (2, vec![1])],
            ..Config::default()
        }
    }

    /// A change that puts a new server in the place of an old one: the new one catches up first.
    #[must_use]
    pub fn replace() -> Config {
        Config {
            name: "replace",
            founders: vec![1, 2],
            relics: vec![Relic::new(1, &[1]), Relic::new(1, &[1]), Relic::default()],
            max_term: Term(3),
            changes: 1,
            wishes: vec![(1, vec![2, 3]), (2, vec![2, 3])],
            ..Config::default()
        }
    }

    /// The same change with everything else: three elections, a command and a crash at any moment.
    #[must_use]
    pub fn joint() -> Config {
        Config { name: "joint", proposals: 1, crashes: 1, ..Config::replace() }
    }

    /// The erratum to the thesis: four servers, and two leaders that each take away one of them. The first one has
    /// done so already, in term 2, and told nobody; both halves of the servers can then decide alone, if the
    /// second one may do so before it has committed an entry of its own.
    #[must_use]
    pub fn erratum() -> Config {
        let first = Relic { voters: Some(vec![1, 3, 4]), ..Relic::new(2, &[1, 2, 2]) };
        Config {
            name: "erratum",
            relics: vec![first, Relic::new(2, &[1]), Relic::new(2, &[1]), Relic::new(2, &[1])],
            campaigns: vec![(3, 2), (4, 1)],
            changes: 1,
            wishes: vec![(2, vec![2, 3, 4])],
            ..Config::long_erratum()
        }
    }

    /// The same from the beginning, three elections.
    #[must_use]
    pub fn long_erratum() -> Config {
        let relic = || Relic::new(1, &[1]);
        Config {
            name: "long erratum",
            servers: 4,
            founders: vec![1, 2, 3, 4],
            relics: vec![relic(), relic(), relic(), relic()],
            snapshot: 1,
            campaigns: vec![(2, 1), (3, 2), (4, 1)],
            max_term: Term(4),
            changes: 2,
            wishes: vec![(1, vec![1, 3, 4]), (2, vec![2, 3, 4])],
            ..Config::default()
        }
    }

    /// Two terms and two commands, slow disks and a crash: too much to be searched to its end. Ten million states
    /// of it take about a minute, and 2 GB.
    #[must_use]
    pub fn large() -> Config {
        Config { name: "large", slow_disks: true, max_states: 10_000_000, ..Config::two_commands() }
    }
}
