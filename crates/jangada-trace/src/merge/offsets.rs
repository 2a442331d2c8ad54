//! How far clocks are apart, from what messages say: a system of difference constraints.
//!
//! Let a clock's shift be what is added to its times. A message from `a` to `b` says `shift(a) + left ≤ shift(b) +
//! arrived`, so `shift(a) - shift(b) ≤ arrived - left`. Such a system has a solution if and only if no cycle of bounds has a
//! negative sum (Cormen et al., Introduction to Algorithms, §24.4); once the bounds are tight (all shortest paths), shifts
//! can be chosen one after the other, each within what the chosen ones leave.

use super::starts::{Passage, Start};

/// "No bound": larger than any sum of real ones.
const FREE: i128 = 1 << 100;

/// Chosen shifts, and how far each may be off.
pub(super) struct Setting {
    shifts: Vec<i128>,
    slack: Vec<Option<u64>>,
}

impl Setting {
    /// Adds the shifts to what the clocks have; gives back how far each may be off.
    pub(super) fn apply(self, starts: &mut [Start]) -> Vec<Option<u64>> {
        for (start, shift) in starts.iter_mut().zip(&self.shifts) {
            start.shift += narrow(*shift);
        }
        self.slack
    }
}

/// Shifts that fit all bounds; `None` if there are none.
pub(super) fn settle(starts: &[Start], passages: &[Passage]) -> Option<Setting> {
    let mut bounds = Bounds::of(starts, passages);
    bounds.tighten();
    bounds.can_be_met().then(|| choose(starts, &bounds))
}

/// Shifts that come near to fitting bounds that contradict each other.
pub(super) fn guess(starts: &[Start], passages: &[Passage]) -> Setting {
    let mut bounds = Bounds::of(starts, passages);
    bounds.forgive();
    bounds.tighten();
    choose(starts, &bounds)
}

/// `at(a, b)`: how much the shift of `a` may be larger than that of `b`.
struct Bounds {
    size: usize,
    most: Vec<i128>,
}

impl Bounds {
    fn of(starts: &[Start], passages: &[Passage]) -> Bounds {
        let size = starts.len();
        let mut bounds = Bounds { size, most: vec![FREE; size * size] };
        (0..size).for_each(|clock| bounds.most[clock * size + clock] = 0);
        for passage in passages {
            let arrived = starts[passage.to].common(passage.arrived);
            let left = starts[passage.from].common(passage.left);
            bounds.lower(passage.from, passage.to, i128::from(arrived) - i128::from(left));
        }
        for (next, start) in starts.iter().enumerate() {
            if let Some(before) = start.follows {
                let apart = i128::from(start.first_time()) - i128::from(starts[before].last_time());
                bounds.lower(before, next, apart);
            }
        }
        bounds
    }

    fn at(&self, a: usize, b: usize) -> i128 {
        self.most[a * self.size + b]
    }

    fn lower(&mut self, a: usize, b: usize, most: i128) {
        let cell = &mut self.most[a * self.size + b];
        *cell = most.min(*cell);
    }

    /// All shortest paths (Floyd, Warshall): what the bounds say together.
    fn tighten(&mut self) {
        for over in 0..self.size {
            for a in 0..self.size {
                if self.at(a, over) == FREE {
                    continue;
                }
                for b in 0..self.size {
                    if self.at(over, b) != FREE {
                        // Without a floor the sums of a contradiction would double with each round.
                        self.lower(a, b, (self.at(a, over) + self.at(over, b)).max(-FREE));
                    }
                }
            }
        }
    }

    fn can_be_met(&self) -> bool {
        (0..self.size).all(|clock| self.at(clock, clock) >= 0)
    }

    /// Where two bounds contradict each other, both give way, to the middle between them; and if that was not all, every
    /// bound gives way by as much as is needed.
    fn forgive(&mut self) {
        for a in 0..self.size {
            for b in 0..a {
                let (ab, ba) = (self.at(a, b), self.at(b, a));
                if ab != FREE && ba != FREE && ab + ba < 0 {
                    let middle = (ab - ba) / 2;
                    self.most[a * self.size + b] = middle;
                    self.most[b * self.size + a] = -middle;
                }
            }
        }
        let mut give = 1_000;
        loop {
            let mut tight = Bounds { size: self.size, most: self.most.clone() };
            tight.tighten();
            if tight.can_be_met() || give > FREE / 4 {
                return;
            }
            let free = |most: &i128| *most == FREE;
            self.most.iter_mut().filter(|most| !free(most)).for_each(|most| *most += give);
            (0..self.size).for_each(|clock| self.most[clock * self.size + clock] = 0);
            give *= 4;
        }
    }
}

/// One clock after the other, the one with most records first, which stays as it is.
fn choose(starts: &[Start], bounds: &Bounds) -> Setting {
    let size = starts.len();
    let mut turns: Vec<usize> = (0..size).collect();
    turns.sort_by_key(|clock| (std::cmp::Reverse(starts[*clock].records.len()), *clock));
    let mut shifts: Vec<Option<i128>> = vec![None; size];
    let mut slack = vec![None; size];
    for clock in turns {
        let (mut least, mut most) = (-FREE, FREE);
        for (other, shift) in shifts.iter().enumerate() {
            let Some(shift) = shift else { continue };
            if bounds.at(clock, other) != FREE {
                most = most.min(shift + bounds.at(clock, other));
            }
            if bounds.at(other, clock) != FREE {
                least = least.max(shift - bounds.at(other, clock));
            }
        }
        let wish = i128::from(starts[clock].prior.unwrap_or(0));
        let is_bound = least > -FREE && most < FREE;
        // Bounds that give way may cross.
        let shift = if is_bound { least + (most - least).div_euclid(2) } else { wish.max(least).min(most) };
        slack[clock] = is_bound.then(|| u64::try_from((most - least + 1) / 2).unwrap_or(0));
        shifts[clock] = Some(shift);
    }
    Setting { shifts: shifts.into_iter().flatten().collect(), slack }
}

fn narrow(shift: i128) -> i64 {
    const MOST: i128 = 1 << 61;
    i64::try_from(shift.clamp(-MOST, MOST)).expect("the bound is below 2⁶³")
}
