//! What is asked of the servers: how often, by whom, about which keys. The same seed asks the same things.

use std::time::Duration;

use crate::client::login::Login;

use clap::ValueEnum;
use serde::Serialize;

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// Write random keys.
    Put,
    /// Read random keys.
    Get,
    /// Do both; `--reads` says how many of a hundred read.
    Mixed,
    /// Look at random keys and write them, each in one transaction.
    Txn,
    /// One writes random keys, the clients watch all of them.
    Watch,
    /// Keep a lease alive, each client its own.
    Lease,
}

/// How servers are spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Protocol {
    /// Redis's.
    Resp,
    /// etcd's, by gRPC.
    Etcd,
}

impl Work {
    /// Whether only etcd's API has it.
    pub fn is_etcds(self) -> bool {
        match self {
            Work::Txn | Work::Watch | Work::Lease => true,
            Work::Put | Work::Get | Work::Mixed => false,
        }
    }

    /// As it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Work::Put => "put",
            Work::Get => "get",
            Work::Mixed => "mixed",
            Work::Txn => "txn",
            Work::Watch => "watch",
            Work::Lease => "lease",
        }
    }
}

/// When a run is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// After this time.
    After(Duration),
    /// When so many operations were begun.
    Operations(u64),
}

/// A run, as a person asked for it.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What the clients do.
    pub work: Work,
    /// How they speak.
    pub protocol: Protocol,
    /// Whether a server may answer reads with what it knows (only etcd's protocol has that).
    pub serializable: bool,
    /// How many ask at the same time, each one thing after the other.
    pub clients: usize,
    /// How many connections they share.
    pub connections: usize,
    /// How many different keys there are.
    pub keys: u64,
    /// How long a value is, in bytes.
    pub value_bytes: usize,
    /// How many of a hundred operations of [`Work::Mixed`] read.
    pub reads: u8,
    /// Operations a second, all clients together; as many as they can without it.
    pub rate: Option<f64>,
    /// When it is over.
    pub end: End,
    /// Where the dice begin.
    pub seed: u64,
    /// How long an answer is waited for.
    pub patience: Duration,
    /// Who asks, where servers want to know.
    pub login: Option<Login>,
}

/// One thing to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Write a key.
    Put {
        /// Which.
        key: String,
    },
    /// Read a key.
    Get {
        /// Which.
        key: String,
    },
    /// If a key is there, read and write it, else write it.
    Txn {
        /// Which.
        key: String,
    },
}

/// What one client will ask, drawn from the seed.
#[derive(Debug)]
pub struct Dice {
    state: u64,
    keys: u64,
    work: Work,
    reads: u8,
}

impl Dice {
    /// The dice of this client.
    pub fn new(plan: &Plan, client: usize) -> Dice {
        // Mixed, not added: the dice count up, and clients a step apart would ask the same things one after the other.
        let state = mixed(mixed(plan.seed) ^ client as u64);
        Dice { state, keys: plan.keys, work: plan.work, reads: plan.reads }
    }

    /// The next thing to ask.
    pub fn next_ask(&mut self) -> Ask {
        let key = key(self.draw() % self.keys);
        let read = match self.work {
            Work::Txn => return Ask::Txn { key },
            Work::Put | Work::Watch | Work::Lease => false,
            Work::Get => true,
            Work::Mixed => self.draw() % 100 < u64::from(self.reads),
        };
        if read { Ask::Get { key } } else { Ask::Put { key } }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.state)
    }
}

fn mixed(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// The key of this number.
pub fn key(number: u64) -> String {
    format!("load/{number:010}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(work: Work, reads: u8) -> Plan {
        Plan {
            work,
            protocol: Protocol::Resp,
            serializable: false,
            clients: 4,
            connections: 2,
            keys: 10,
            value_bytes: 8,
            reads,
            rate: None,
            end: End::Operations(1),
            seed: 7,
            patience: Duration::from_secs(1),
            login: None,
        }
    }

    fn asks(work: Work, reads: u8, client: usize) -> Vec<Ask> {
        let mut dice = Dice::new(&plan(work, reads), client);
        (0..1_000).map(|_| dice.next_ask()).collect()
    }

    #[test]
    fn a_seed_asks_the_same_things_again_and_each_client_its_own() {
        assert_eq!(asks(Work::Mixed, 50, 0), asks(Work::Mixed, 50, 0));
        assert_ne!(asks(Work::Mixed, 50, 0), asks(Work::Mixed, 50, 1));
    }

    #[test]
    fn clients_do_not_repeat_what_others_asked() {
        let plan = Plan { keys: 1 << 40, ..plan(Work::Put, 0) };
        let mut all: Vec<String> = Vec::new();
        for client in 0..100 {
            let mut dice = Dice::new(&plan, client);
            all.extend((0..100).map(|_| match dice.next_ask() {
                Ask::Put { key } | Ask::Get { key } | Ask::Txn { key } => key,
            }));
        }
        all.sort_unstable();
        all.dedup();
        assert!(all.len() > 9_990, "{} different keys of 10,000 out of a million million", all.len());
    }

    #[test]
    fn all_keys_are_asked_for_and_reads_are_as_many_as_wanted() {
        let of = |work, reads| asks(work, reads, 3);
        let is_read = |ask: &&Ask| matches!(ask, Ask::Get { .. });
        assert_eq!(of(Work::Put, 50).iter().filter(is_read).count(), 0);
        assert_eq!(of(Work::Get, 50).iter().filter(is_read).count(), 1_000);
        let reads = of(Work::Mixed, 80).iter().filter(is_read).count();
        assert!((740..860).contains(&reads), "{reads} of 1000 at 80 %");
        assert!(of(Work::Txn, 50).iter().all(|ask| matches!(ask, Ask::Txn { .. })));
        for number in 0..10 {
            assert!(
                of(Work::Put, 0).contains(&Ask::Put { key: key(number) }),
                "key {number} is never asked for"
            );
        }
    }
}
