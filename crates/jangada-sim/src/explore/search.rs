//! Breadth first, so that the first story found is one of the shortest.

use std::ops::ControlFlow;

use super::config::Config;
use super::invariant::Broken;
use super::seen::Seen;
use super::story::{self, Story};
use super::world::{Action, World};

/// How far a search has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Different states that were reached.
    pub states: usize,
    /// Ways from one state to the next that were tried and lead somewhere.
    pub transitions: usize,
    /// The steps from the beginning to the states that are being looked at.
    pub depth: usize,
    /// States that were reached and not looked at yet.
    pub waiting: usize,
    /// Different states of all servers together, and of what was seen of them: whatever is under way.
    pub rows: usize,
    /// Different states of a single server.
    pub servers: usize,
    /// Steps of a single server that the core worked out.
    pub steps: usize,
}

/// What a search has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The configuration's name.
    pub name: &'static str,
    /// How far it went.
    pub progress: Progress,
    /// Every state within the bounds was looked at.
    pub is_complete: bool,
    /// The shortest way to a state that must not be.
    pub violation: Option<Story>,
}

/// How often `progress` is called: after so many states.
const PROGRESS_EVERY: usize = 1 << 16;

/// Looks at each state that can be reached, nearest first, until one breaks an invariant.
///
/// `progress` is called now and then; the search stops when it says so, and is then not complete.
pub fn run(config: &Config, mut progress: impl FnMut(Progress) -> ControlFlow<()>) -> Report {
    let mut search = Search::new(config);
    let mut is_complete = true;
    let mut violation = None;
    let mut next_progress = PROGRESS_EVERY;
    'search: while !search.level.is_empty() {
        let level = std::mem::take(&mut search.level);
        for (position, (words, number)) in level.rows().enumerate() {
            if search.seen.is_beaten(number) {
                continue;
            }
            if let Err(story) = search.expand(words, number) {
                violation = Some(story);
                break 'search;
            }
            if search.parents.len() >= config.max_states {
                is_complete = false;
                break 'search;
            }
            if search.parents.len() >= next_progress {
                next_progress = search.parents.len() + PROGRESS_EVERY;
                let waiting = level.len() - position - 1;
                if progress(search.progress(waiting)).is_break() {
                    is_complete = false;
                    break 'search;
                }
            }
        }
        search.depth += 1;
    }
    let is_complete = is_complete && violation.is_none();
    Report { name: config.name, progress: search.progress(0), is_complete, violation }
}

struct Search<'a> {
    world: World<'a>,
    seen: Seen,
    /// For each state the one that it was first reached from, and by what.
    parents: Vec<(u32, Action)>,
    /// What is to be looked at next.
    level: Level,
    depth: usize,
    transitions: usize,
    actions: Vec<Action>,
    next: Vec<u32>,
}

/// States of one depth, one behind the other.
#[derive(Default)]
struct Level {
    words: Vec<u32>,
    /// Where each ends, and its number.
    ends: Vec<(usize, u32)>,
}

impl Level {
    fn push(&mut self, words: &[u32], number: u32) {
        self.words.extend_from_slice(words);
        self.ends.push((self.words.len(), number));
    }

    fn len(&self) -> usize {
        self.ends.len()
    }

    fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    fn rows(&self) -> impl Iterator<Item = (&[u32], u32)> {
        let mut start = 0;
        self.ends
            .iter()
            .map(move |(end, number)| (&self.words[std::mem::replace(&mut start, *end)..*end], *number))
    }
}

impl<'a> Search<'a> {
    fn new(config: &'a Config) -> Search<'a> {
        let mut world = World::new(config);
        let first = world.first();
        let mut seen = Seen::default();
        let split = world.split();
        seen.insert(&first[..split], first[split], &first[split + 1..]);
        let mut level = Level::default();
        level.push(&first, 0);
        Search {
            world,
            seen,
            // The first state is its own parent.
            parents: vec![(0, Action(0))],
            level,
            depth: 0,
            transitions: 0,
            actions: Vec::new(),
            next: Vec::new(),
        }
    }

    fn progress(&self, waiting: usize) -> Progress {
        let (servers, steps) = self.world.locals_and_steps();
        Progress {
            states: self.parents.len(),
            transitions: self.transitions,
            depth: self.depth,
            waiting: waiting + self.level.len(),
            rows: self.seen.rows(),
            servers,
            steps,
        }
    }

    /// Looks at everything that can happen in a state.
    fn expand(&mut self, words: &[u32], number: u32) -> Result<(), Story> {
        let mut actions = std::mem::take(&mut self.actions);
        self.world.actions(words, &mut actions);
        for action in &actions {
            self.follow(words, number, *action).map_err(|broken| self.tell(number, *action, &broken))?;
        }
        self.actions = actions;
        Ok(())
    }

    fn follow(&mut self, words: &[u32], number: u32, action: Action) -> Result<(), Broken> {
        if !self.world.apply(words, action, &mut self.next)? {
            return Ok(());
        }
        self.transitions += 1;
        let split = self.world.split();
        let (key, rest) = self.next.split_at(split);
        let Some(new) = self.seen.insert(key, rest[0], &rest[1..]) else { return Ok(()) };
        self.world.check(&self.next)?;
        self.parents.push((number, action));
        self.level.push(&self.next, new);
        Ok(())
    }

    /// The way to a state, and on by one action.
    fn tell(&mut self, mut number: u32, last: Action, broken: &Broken) -> Story {
        let mut way = vec![last];
        while number != 0 {
            let (parent, action) = self.parents[number as usize];
            way.push(action);
            number = parent;
        }
        way.reverse();
        story::tell(&mut self.world, &way, broken)
    }
}
