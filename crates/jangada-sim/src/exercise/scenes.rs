//! What is demanded of five servers that run a solution: scenes in the scripts' language.
//!
//! While they are played, the reader of the paper's Figure 3 watches: two leaders in a term, two votes in a term and a
//! term that goes back end a scene at once.

use crate::script::{Played, Script, play_on};

use super::Election;
use super::peers::Peers;

/// Each scene is played with so many seeds.
pub const SEEDS: u64 = 20;

/// One scene.
#[derive(Clone, Copy, Debug)]
pub struct Scene {
    /// What it shows.
    pub shows: &'static str,
    /// Where that stands.
    pub source: &'static str,
    script: &'static str,
}

impl Scene {
    /// The commands, as a script that can be saved and played.
    #[must_use]
    pub fn script(&self, seed: u64) -> String {
        format!("servers 5\nseed {seed}\n{}", self.script)
    }

    /// Plays it with one seed.
    ///
    /// # Errors
    /// What went wrong, in which line.
    ///
    /// # Panics
    /// Never, as long as its script can be read, which a test sees to.
    pub fn play<E: Election>(&self, seed: u64) -> Result<(), String> {
        let script = Script::read(&self.script(seed)).expect("the scenes can be read");
        let Played { failure, .. } = play_on(&script, Peers::<E>::new());
        failure.map_or(Ok(()), Err)
    }
}

/// All of them, the simple ones first.
pub const SCENES: [Scene; 7] = [
    Scene {
        shows: "five servers elect a leader, and keep it",
        source: "paper §5.2",
        script: "wait leader at most 10s\nexpect one leader\nalways one leader for 5s\n",
    },
    Scene {
        shows: "two campaign at once, and a later term has a leader",
        source: "paper §5.2, split votes",
        script: "crash 5\ncampaign 1\ncampaign 2\nwait leader at most 10s\nrun 1s\nexpect one leader\n",
    },
    Scene {
        shows: "a killed leader is replaced in a later term, and returns as a follower",
        source: "paper §5.1, §5.2",
        script: "wait leader at most 10s\nmark\nlet old = leader\ncrash old\nwait leader at most 10s\nexpect term rises\n\
                 restart old\nrun 1s\nexpect role old follower\nexpect one leader\n",
    },
    Scene {
        shows: "two of five dead, three elect; three dead, two never do",
        source: "paper §5.2, majorities",
        script: "wait leader at most 10s\ncrash leader\nwait leader at most 10s\ncrash leader\nwait leader at most 10s\n\
                 mark\ncrash leader\nalways no leader for 10s\nexpect term rises\n",
    },
    Scene {
        shows: "a leader that was cut off follows the new one when it comes back",
        source: "paper §5.1",
        script: "wait leader at most 10s\nmark\nlet old = leader\nisolate old\nwait leader changed at most 10s\nheal\n\
                 run 2s\nexpect one leader\nexpect term rises\n",
    },
    Scene {
        shows: "links lose a third and are slow: never two leaders in a term, and one when it is over",
        source: "paper Figure 3, Election Safety",
        script: "lose 33\nslow 30ms\nrun 30s\nlose 0\nslow 0s\nrun 5s\nexpect one leader\nalways one leader for 2s\n",
    },
    Scene {
        shows: "the power fails again and again in the middle of elections: nobody votes twice in a term",
        source: "paper Figure 2, persistent state",
        script: "campaign 1\nrun 1ms\ncrash 2 3\nrestart 2 3\ncampaign 5\nrun 1ms\ncrash 1 2 4\nrestart 1 2 4\n\
                 campaign 3\nrun 2ms\ncrash all\nrestart all\nwait leader at most 10s\nalways one leader for 2s\n",
    },
];
