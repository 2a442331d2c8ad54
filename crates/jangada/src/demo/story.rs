//! The plot. Each chapter does something to real processes and claims something about it; nothing is claimed that
//! was not just checked.

use std::sync::Arc;
use std::time::Instant;

use jangada_server::handle::NewMember;
use rustix::process::Signal;

use super::ledger::Ledger;
use super::load::{self, CLIENTS, Load};
use super::stage::{PATIENCE, Stage};
use super::teller::{Teller, seconds};
use crate::cluster::admin;
use crate::cluster::layout::Server;
use crate::cluster::process::{self, State};
use crate::cluster::run::{self, STOP_PATIENCE, Stage as Reached};
use crate::failure::Failure;
use crate::output::Format;

/// Keys in the first chapter.
const KEYS: usize = 1_000;
/// Acknowledged writes that a chapter under load waits for.
const UNDER_LOAD: usize = 200;

/// Tells the whole story.
///
/// # Errors
/// 1 when a claim did not hold, or something could not be done at all; then the servers' directory is kept.
pub fn tell(keep: bool, format: Format) -> Result<(), Failure> {
    let mut stage = Stage::prepare(5, keep)?;
    let mut teller = Teller::new(format);
    let told = Story { stage: &mut stage, teller: &mut teller, ledger: Arc::default(), alive: Vec::new() }
        .chapters();
    stage.yield_to_signal();
    let end = told.and_then(|()| teller.end());
    if end.is_err() {
        stage.keep();
    }
    end
}

struct Story<'a> {
    stage: &'a mut Stage,
    teller: &'a mut Teller,
    ledger: Arc<Ledger>,
    /// The members that should be running.
    alive: Vec<Server>,
}

impl Story<'_> {
    fn chapters(mut self) -> Result<(), Failure> {
        self.three_servers()?;
        self.thousand_keys()?;
        let killed = self.kill_the_leader()?;
        self.bring_it_back(&killed)?;
        self.pause_a_follower()?;
        self.two_more()?;
        self.take_the_leader_out()?;
        self.kill_everybody()
    }

    fn addresses(&self) -> Vec<String> {
        self.alive.iter().map(|server| server.client.clone()).collect()
    }

    fn three_servers(&mut self) -> Result<(), Failure> {
        self.teller.say("start three servers, each a process with a disk of its own")?;
        let begun = Instant::now();
        self.stage.found(3)?;
        self.alive = (1..=3).map(|number| self.stage.server(number).clone()).collect();
        load::write(&self.ledger, &self.addresses(), "first-", 1, &self.teller.bar(1, "first write"))?;
        let took = begun.elapsed();
        let (leader, term) = self.stage.leader(&self.alive, 0)?;
        let text = format!(
            "{} leads in term {term}; the first write was acknowledged after {}",
            leader.name,
            seconds(took)
        );
        self.teller.claim(true, &text)
    }

    fn thousand_keys(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        let bar = self.teller.bar(KEYS as u64, "writing");
        load::write(&self.ledger, &self.addresses(), "key-", KEYS, &bar)?;
        let took = begun.elapsed();
        let rate = KEYS as f64 / took.as_secs_f64();
        let text = format!(
            "{KEYS} keys written by {CLIENTS} clients in {} ({rate:.0} a second, each synced by a majority)",
            seconds(took)
        );
        self.teller.claim(true, &text)?;
        self.everything_is_there("after writing")
    }

    fn kill_the_leader(&mut self) -> Result<Server, Failure> {
        let (leader, term) = self.stage.leader(&self.alive, 0)?;
        let load = Load::start(&self.ledger, &self.addresses(), "load-");
        let begun = Instant::now();
        let flowing = self
            .stage
            .wait("writes under load", || (self.ledger.count_since(begun) >= UNDER_LOAD).then_some(()));
        self.teller.say(&format!("kill -9 {}, the leader, while {CLIENTS} clients write", leader.name))?;
        let moment = Instant::now();
        let told = flowing.and_then(|()| {
            self.stage.kill(std::slice::from_ref(&leader))?;
            self.alive.retain(|server| server.name != leader.name);
            let found = self.stage.leader(&self.alive, term)?;
            let again = || (self.ledger.count_since(moment) >= UNDER_LOAD).then_some(());
            self.stage.wait("writes after the election", again)?;
            Ok(found)
        });
        load.stop();
        let (next, next_term) = told?;
        let gap = self.ledger.longest_gap_after(moment);
        let text = format!(
            "{} leads in term {next_term}; no write was acknowledged for {}",
            next.name,
            seconds(gap)
        );
        self.teller.claim(next.name != leader.name && next_term > term, &text)?;
        let unknown = self.ledger.unknown_count();
        if unknown > 0 {
            self.teller.say(&format!(
                "{unknown} writes were under way: their clients were told that the outcome is unknown"
            ))?;
        }
        self.everything_is_there("after the leader's death")?;
        Ok(leader)
    }

    fn bring_it_back(&mut self, killed: &Server) -> Result<(), Failure> {
        self.teller.say(&format!("start {} again", killed.name))?;
        self.stage.start(std::slice::from_ref(killed), Reached::Answering)?;
        let took = self.stage.caught_up(killed, &self.alive)?;
        self.alive.push(killed.clone());
        let missing = self.ledger.missing_at(&killed.client)?;
        let text = format!("{} caught up in {} and has every acknowledged write", killed.name, seconds(took));
        self.teller.claim(missing.is_empty(), &text)
    }

    fn pause_a_follower(&mut self) -> Result<(), Failure> {
        let (leader, term) = self.stage.leader(&self.alive, 0)?;
        let follower = self.alive.iter().find(|server| server.name != leader.name).cloned();
        let follower = follower.ok_or_else(|| Failure::unreachable("there is no follower"))?;
        let others: Vec<Server> =
            self.alive.iter().filter(|server| server.name != follower.name).cloned().collect();
        self.teller.say(&format!("pause {}, a follower (SIGSTOP), and write on", follower.name))?;
        process::signal(&self.stage.layout, &follower, Signal::STOP)?;
        let addresses: Vec<String> = others.iter().map(|server| server.client.clone()).collect();
        let bar = self.teller.bar(UNDER_LOAD as u64, "writing");
        let begun = Instant::now();
        let written = load::write(&self.ledger, &addresses, "paused-", UNDER_LOAD, &bar);
        let took = begun.elapsed();
        process::signal(&self.stage.layout, &follower, Signal::CONT)?;
        written?;
        let text =
            format!("{UNDER_LOAD} writes were acknowledged without {} in {}", follower.name, seconds(took));
        self.teller.claim(true, &text)?;
        let took = self.stage.caught_up(&follower, &others)?;
        let (now_leads, now_term) = self.stage.leader(&self.alive, 0)?;
        let text = format!(
            "{} woke, caught up in {} and disturbed nobody: {} still leads in term {now_term}",
            follower.name,
            seconds(took),
            now_leads.name
        );
        self.teller.claim(now_leads.name == leader.name && now_term == term, &text)
    }

    fn two_more(&mut self) -> Result<(), Failure> {
        self.teller.say("add two servers in one change, while clients write")?;
        let newcomers: Vec<Server> = (4..=5).map(|number| self.stage.server(number).clone()).collect();
        self.stage.start(&newcomers, Reached::Answering)?;
        let load = Load::start(&self.ledger, &self.addresses(), "change-");
        let voters = names(self.alive.iter().chain(&newcomers));
        let new: Vec<NewMember> = newcomers.iter().map(Server::as_new_member).collect();
        let begun = Instant::now();
        let changed = admin::change_members(&self.addresses(), &voters, &new, PATIENCE);
        let took = begun.elapsed();
        load.stop();
        let changed = changed.map_err(|(failure, _)| failure)?;
        self.alive.extend(newcomers);
        let text = format!(
            "{} servers became {} in {}: {} more may fail, before it was {}",
            changed.before.voters.len(),
            changed.after.voters.len(),
            seconds(took),
            changed.after.tolerates,
            changed.before.tolerates
        );
        self.teller.claim(changed.after.voters.len() == 5 && changed.after.tolerates == 2, &text)
    }

    fn take_the_leader_out(&mut self) -> Result<(), Failure> {
        let (leader, term) = self.stage.leader(&self.alive, 0)?;
        self.teller.say(&format!("take {}, the leader, out of the cluster", leader.name))?;
        let staying: Vec<Server> =
            self.alive.iter().filter(|server| server.name != leader.name).cloned().collect();
        let changed = admin::change_members(&self.addresses(), &names(staying.iter()), &[], PATIENCE);
        changed.map_err(|(failure, _)| failure)?;
        let stubborn = run::stop(&self.stage.layout, std::slice::from_ref(&leader), STOP_PATIENCE)?;
        self.alive = staying;
        let (next, next_term) = self.stage.leader(&self.alive, term)?;
        let members = self.stage.ask(&next)?.membership.members;
        let is_out = members.iter().all(|member| member.name != leader.name);
        let text = format!(
            "{} is out and stopped; {} leads the other four in term {next_term}",
            leader.name, next.name
        );
        self.teller.claim(is_out && stubborn.is_empty(), &text)?;
        let bar = self.teller.bar(UNDER_LOAD as u64, "writing");
        load::write(&self.ledger, &self.addresses(), "without-", UNDER_LOAD, &bar)
    }

    fn kill_everybody(&mut self) -> Result<(), Failure> {
        self.teller.say("kill -9 all servers at once")?;
        self.stage.kill(&self.alive)?;
        let gone = self.alive.iter().all(|server| process::state(&self.stage.layout, server) == State::Gone);
        let begun = Instant::now();
        self.stage.start(&self.alive, Reached::Ready)?;
        let took = begun.elapsed();
        let text = format!("all were dead, and serve again after {}", seconds(took));
        self.teller.claim(gone, &text)?;
        self.everything_is_there("after the death of all")
    }

    /// Reads all acknowledged writes through each living server.
    fn everything_is_there(&mut self, when: &str) -> Result<(), Failure> {
        let count = self.ledger.count();
        let mut lost = Vec::new();
        for server in &self.alive {
            let missing = self.ledger.missing_at(&server.client)?;
            lost.extend(missing.into_iter().map(|key| format!("{key} at {}", server.name)));
        }
        let servers = names(self.alive.iter()).join(", ");
        let mut text = format!("{when}: all {count} acknowledged writes are there, read through {servers}");
        if !lost.is_empty() {
            let shown = lost.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            text =
                format!("{when}: {} reads of {count} keys found no or another value: {shown} …", lost.len());
        }
        self.teller.claim(lost.is_empty(), &text)
    }
}

fn names<'a>(servers: impl Iterator<Item = &'a Server>) -> Vec<String> {
    servers.map(|server| server.name.clone()).collect()
}
