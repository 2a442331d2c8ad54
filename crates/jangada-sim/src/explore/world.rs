//! The whole world as a row of numbers, and what can happen in it next.
//!
//! A state is a row of small numbers: one for each server (the number of its [`Local`] among all that were
//! ever seen), one for what was seen so far ([`History`]), one for the budgets that are used up, and one for
//! each message under way, sorted. So a state takes some dozens of bytes, and two are equal when their rows are.

use std::rc::Rc;

use jangada_raft::event::RoleName;
use jangada_raft::message::{Message, Rpc};
use jangada_raft::types::{NodeId, Term};

use super::config::Config;
use super::fate::Fate;
use super::invariant::{Broken, History, Quorum, Summary, prints};
use super::local::{Local, Patience, Stimulus};
use super::table::{Interner, Memo};

/// Everything that was ever seen of servers, messages and histories, by number, and what follows from what.
pub(super) struct World<'a> {
    pub(super) config: &'a Config,
    locals: Interner<Local>,
    views: Vec<View>,
    messages: Interner<Message>,
    histories: Interner<History>,
    outcomes: Vec<Result<Outcome, Broken>>,
    memo: Memo,
    /// What may be free to happen and was not tried yet.
    fresh: Vec<Action>,
    /// All servers are alike at the beginning.
    is_symmetric: bool,
}

/// What the search has to know of a server's state.
struct View {
    summary: Summary,
    role: RoleName,
    durable_term: Term,
    writes: usize,
}

/// What follows for a server from its state and what happens.
struct Outcome {
    next: u32,
    sends: Vec<u32>,
    quorum: Option<Quorum>,
    /// What is left of the message that arrived.
    fate: Fate<u32>,
    /// It enters a term beyond the last one: outside of the world that is searched.
    is_beyond: bool,
}

/// Something that happens to one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Action(pub(super) u32);

/// What kinds of it there are. The number is part of an [`Action`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Deliver,
    Heartbeat,
    Protection,
    Election,
    Propose,
    Change,
    Written,
    Crash,
}

const KINDS: [Kind; 8] = [
    Kind::Deliver,
    Kind::Heartbeat,
    Kind::Protection,
    Kind::Election,
    Kind::Propose,
    Kind::Change,
    Kind::Written,
    Kind::Crash,
];

impl Action {
    fn new(kind: Kind, server: usize, argument: u32) -> Action {
        assert!(argument < 1 << 24, "a number of a message is small");
        let server = u32::try_from(server).expect("few servers");
        Action((kind as u32) << 28 | server << 24 | argument)
    }

    pub(super) fn kind(self) -> Kind {
        KINDS[(self.0 >> 28) as usize]
    }

    /// The position of the server that it happens to.
    pub(super) fn server(self) -> usize {
        (self.0 >> 24 & 15) as usize
    }

    pub(super) fn argument(self) -> u32 {
        self.0 & 0xff_ffff
    }

    /// The same for each server.
    fn stimulus(self) -> u32 {
        (self.kind() as u32) << 28 | self.argument()
    }
}

/// Four bits for what each budget has given away, from bit 0 on; then a bit for each server to which something
/// has happened.
#[derive(Clone, Copy)]
enum Budget {
    Proposals = 0,
    Changes = 4,
    Crashes = 8,
    Repeats = 12,
}

/// The first of those.
pub(super) const TOUCHED: u32 = 16;

fn used(budgets: u32, of: Budget) -> u8 {
    (budgets >> of as u32 & 15) as u8
}

impl<'a> World<'a> {
    pub(super) fn new(config: &'a Config) -> World<'a> {
        World {
            config,
            locals: Interner::new(),
            views: Vec::new(),
            messages: Interner::new(),
            histories: Interner::new(),
            outcomes: Vec::new(),
            memo: Memo::default(),
            fresh: Vec::new(),
            is_symmetric: config.relics.is_empty()
                && config.campaigns.is_empty()
                && config.changes == 0
                && config.founders.len() == usize::from(config.servers),
        }
    }

    /// The state that everything begins with.
    pub(super) fn first(&mut self) -> Vec<u32> {
        let mut words = Vec::new();
        for id in 1..=self.config.servers {
            words.push(self.local(Local::new(self.config, NodeId(id.into()))));
        }
        let snapshot = usize::try_from(self.config.snapshot).expect("a short log");
        let first = &self.views[words[0] as usize].summary;
        let quorum = Quorum::of(self.locals.value(words[0]).raft.membership());
        let history = History::new(&first.disk[..snapshot], quorum);
        words.push(self.histories.number(history).0);
        words.push(0);
        words
    }

    /// Where the budgets stand in a row: behind the servers and the history, before the messages.
    pub(super) fn split(&self) -> usize {
        self.servers() + 1
    }

    fn servers(&self) -> usize {
        usize::from(self.config.servers)
    }

    /// How many states of a single server were seen, and how many steps of one were worked out.
    pub(super) fn locals_and_steps(&self) -> (usize, usize) {
        (self.locals.len(), self.outcomes.len())
    }

    pub(super) fn local_at(&self, words: &[u32], server: usize) -> &Local {
        self.locals.value(words[server])
    }

    pub(super) fn message(&self, number: u32) -> &Message {
        self.messages.value(number)
    }

    fn local(&mut self, local: Local) -> u32 {
        let (number, is_new) = self.locals.number(local);
        if is_new {
            let local = self.locals.value(number);
            let raft = &local.raft;
            let log = prints(local.log());
            self.views.push(View {
                summary: Summary {
                    id: raft.id(),
                    term: raft.term(),
                    leads: raft.is_leader(),
                    commit: usize::try_from(raft.commit_index().0).expect("a short log"),
                    log,
                    disk: prints(local.disk.log.iter()),
                },
                role: raft.role_name(),
                durable_term: local.disk.hard_state.term,
                writes: local.writes(),
            });
        }
        number
    }

    // ---- What can happen ----------------------------------------------------------------------------------

    /// Everything that can happen in a state.
    pub(super) fn actions(&self, words: &[u32], actions: &mut Vec<Action>) {
        actions.clear();
        let budgets = words[self.servers() + 1];
        for server in 0..self.servers() {
            self.actions_of(words, server, budgets, actions);
            // As long as nothing has happened to this one and to those behind it, they are alike but for
            // their names: whatever happens to one of them first may as well happen to this one.
            if self.is_symmetric && budgets >> (TOUCHED + u32::try_from(server).expect("few")) & 1 == 0 {
                break;
            }
        }
    }

    fn actions_of(&self, words: &[u32], server: usize, budgets: u32, actions: &mut Vec<Action>) {
        let config = self.config;
        let view = &self.views[words[server] as usize];
        let mut add = |kind, argument| actions.push(Action::new(kind, server, argument));
        for message in &words[self.servers() + 2..] {
            if self.messages.value(*message).to == view.summary.id {
                add(Kind::Deliver, *message);
            }
        }
        let leads = view.role == RoleName::Leader;
        if leads && used(budgets, Budget::Proposals) < config.proposals {
            add(Kind::Propose, used(budgets, Budget::Proposals).into());
        }
        if leads && used(budgets, Budget::Changes) < config.changes {
            for (wish, (asked, _)) in (0..).zip(&config.wishes) {
                if u64::from(*asked) == view.summary.id.0 {
                    add(Kind::Change, wish);
                }
            }
        }
        if view.role != RoleName::Follower && used(budgets, Budget::Repeats) < config.repeats {
            add(Kind::Heartbeat, 0);
        }
        let campaign = (view.summary.term.0 + 1, u8::try_from(view.summary.id.0).expect("few servers"));
        let may_campaign = config.campaigns.is_empty() || config.campaigns.contains(&campaign);
        if leads && config.modern || !leads && view.summary.term < config.max_term && may_campaign {
            add(Kind::Election, 0);
        }
        if config.modern && view.role == RoleName::Follower {
            add(Kind::Protection, 0);
        }
        if view.writes > 0 {
            add(Kind::Written, 0);
        }
        if used(budgets, Budget::Crashes) < config.crashes {
            for writes in 0..=view.writes {
                add(Kind::Crash, u32::try_from(writes).expect("few writes"));
            }
        }
    }

    // ---- What comes of it ---------------------------------------------------------------------------------

    /// Makes `next` the state that follows. `false`: nothing happens that matters, or it lies outside of the
    /// world.
    pub(super) fn apply(
        &mut self,
        words: &[u32],
        action: Action,
        next: &mut Vec<u32>,
    ) -> Result<bool, Broken> {
        let (server, count) = (action.server(), self.servers());
        let number = self.outcome(words[server], action);
        let Outcome { next: local, is_beyond, quorum, sends: _, fate: _ } =
            match &self.outcomes[number as usize] {
                Ok(outcome) => outcome,
                Err(broken) => return Err(broken.clone()),
            };
        // Whatever changes nothing but what is under way has happened already.
        if *is_beyond || *local == words[server] && action.kind() != Kind::Heartbeat {
            return Ok(false);
        }
        next.clear();
        next.extend_from_slice(words);
        next[server] = *local;
        next[count + 1] = pay(words[count + 1], action);
        let history = self.histories.value(next[count]);
        let (before, after) = (&self.views[words[server] as usize], &self.views[next[server] as usize]);
        if let Some(history) = history.after(&after.summary, before.summary.leads, *quorum)? {
            next[count] = self.histories.number(history).0;
        }
        self.send(next, number);
        self.send_all_that_is_free(next, server);
        self.settle(next, action);
        next[count + 2..].sort_unstable();
        Ok(true)
    }

    /// What an outcome sends is under way, once.
    fn send(&mut self, next: &mut Vec<u32>, outcome: u32) {
        let count = self.servers();
        let Ok(outcome) = &self.outcomes[outcome as usize] else { return };
        for number in &outcome.sends {
            if !next[count + 2..].contains(number) {
                next.push(*number);
                let to = position_of(self.messages.value(*number).to);
                self.fresh.push(Action::new(Kind::Deliver, to, *number));
            }
        }
    }

    /// Lets everything happen that changes nothing but what is under way: answers that are given again, and
    /// refusals. A state in which they are under way can do all that the one
    /// without them can, so the latter need not be looked at.
    ///
    /// Only one server has changed since this was done the last time.
    fn send_all_that_is_free(&mut self, next: &mut Vec<u32>, server: usize) {
        let count = self.servers();
        for message in &next[count + 2..] {
            if position_of(self.messages.value(*message).to) == server {
                self.fresh.push(Action::new(Kind::Deliver, server, *message));
            }
        }
        while let Some(action) = self.fresh.pop() {
            let local = next[action.server()];
            let number = self.outcome(local, action);
            let is_free = self.outcomes[number as usize].as_ref().is_ok_and(|outcome| outcome.next == local);
            if is_free {
                self.send(next, number);
            }
        }
    }

    /// What must hold between the servers.
    pub(super) fn check(&self, words: &[u32]) -> Result<(), Broken> {
        let count = self.servers();
        let summary = |local: &u32| &self.views[*local as usize].summary;
        let summaries: Vec<&Summary> = words[..count].iter().map(summary).collect();
        self.histories.value(words[count]).check(&summaries, &self.config.overlook)
    }

    fn outcome(&mut self, local: u32, action: Action) -> u32 {
        let key = (local, action.stimulus());
        if let Some(number) = self.memo.get(&key) {
            return *number;
        }
        let outcome = self.work_out(local, action);
        let number = u32::try_from(self.outcomes.len()).expect("fewer than memory has room for");
        self.outcomes.push(outcome);
        self.memo.insert(key, number);
        number
    }

    /// Asks the core.
    fn work_out(&mut self, local: u32, action: Action) -> Result<Outcome, Broken> {
        let argument = action.argument();
        let stimulus = match action.kind() {
            Kind::Deliver => Stimulus::Receive(Rc::clone(self.messages.value(argument))),
            Kind::Heartbeat => Stimulus::Wait(Patience::Heartbeat),
            Kind::Protection => Stimulus::Wait(Patience::Protection),
            Kind::Election => Stimulus::Wait(Patience::Election),
            Kind::Propose => Stimulus::Propose(argument),
            Kind::Change => {
                let (_, wish) = &self.config.wishes[argument as usize];
                Stimulus::Change(wish.iter().map(|id| NodeId((*id).into())).collect())
            }
            Kind::Written => Stimulus::Written,
            Kind::Crash => Stimulus::Crash(argument as usize),
        };
        let step = self.locals.value(local).step(self.config, &stimulus)?;
        let is_beyond = step.next.raft.term() > self.config.max_term;
        let next = self.local(step.next);
        let sends = step.sends.into_iter().map(|message| self.messages.number(message).0).collect();
        let fate = if action.kind() == Kind::Deliver && next == local {
            Fate::of(self.messages.value(argument), self.locals.value(local), self.config)
        } else {
            Fate::Alive
        };
        let fate = fate.map(|shorter| self.messages.number(shorter).0);
        Ok(Outcome { next, sends, quorum: step.quorum, fate, is_beyond })
    }

    // ---- What is superfluous ------------------------------------------------------------------------------

    /// Takes away what is under way and can have no effect any more, or the same as something else that is
    /// under way: it would only make states differ that are alike.
    fn settle(&mut self, next: &mut Vec<u32>, action: Action) {
        let mut place = self.servers() + 2;
        while place < next.len() {
            let message = self.messages.value(next[place]);
            let (from, to) = (position_of(message.from), position_of(message.to));
            // Nothing has changed for the others; but the last crash is news for all.
            if from != action.server() && to != action.server() && action.kind() != Kind::Crash {
                place += 1;
                continue;
            }
            match self.what_stays(next, place, from, to) {
                Some(number) if number == next[place] => place += 1,
                Some(shorter) if !next[self.servers() + 2..].contains(&shorter) => next[place] = shorter,
                Some(_) | None => {
                    next.swap_remove(place);
                }
            }
        }
    }

    /// The message at this place, or a shorter one that can do the same; nothing, if it can do nothing.
    fn what_stays(&mut self, words: &[u32], place: usize, from: usize, to: usize) -> Option<u32> {
        let number = words[place];
        let outcome = self.outcome(words[to], Action::new(Kind::Deliver, to, number));
        let fate = self.outcomes[outcome as usize].as_ref().map_or(Fate::Alive, |outcome| outcome.fate);
        // It cannot be told a later term any more.
        let is_at_the_end = self.views[words[from] as usize].durable_term >= self.config.max_term;
        let stays = match fate {
            Fate::Alive => true,
            Fate::Dead => false,
            Fate::Refused => !is_at_the_end,
            Fate::Outdated => !is_at_the_end && !self.is_refused_anyway(words, number),
            Fate::Held(shorter) => {
                let crashes = used(words[self.servers() + 1], Budget::Crashes);
                let is_useless = is_at_the_end && crashes == self.config.crashes;
                return (!is_useless).then_some(shorter);
            }
        };
        stays.then_some(number)
    }

    /// Whether the sender of an outdated message has asked for a vote that will bring it the same answer.
    fn is_refused_anyway(&self, words: &[u32], outdated: u32) -> bool {
        let outdated = self.messages.value(outdated);
        let durable_term = self.views[words[position_of(outdated.to)] as usize].durable_term;
        words[self.servers() + 2..].iter().any(|number| {
            let message = self.messages.value(*number);
            (message.from, message.to) == (outdated.from, outdated.to)
                && message.term < durable_term
                && matches!(message.rpc, Rpc::RequestVote(_))
        })
    }
}

fn position_of(server: NodeId) -> usize {
    usize::try_from(server.0 - 1).expect("a server of this world")
}

/// The budgets after an action.
fn pay(budgets: u32, action: Action) -> u32 {
    let budget = match action.kind() {
        Kind::Propose => Some(Budget::Proposals),
        Kind::Change => Some(Budget::Changes),
        Kind::Crash => Some(Budget::Crashes),
        Kind::Heartbeat => Some(Budget::Repeats),
        Kind::Deliver | Kind::Protection | Kind::Election | Kind::Written => None,
    };
    let server = u32::try_from(action.server()).expect("few servers");
    (budgets + budget.map_or(0, |budget| 1 << budget as u32)) | 1 << (TOUCHED + server)
}
