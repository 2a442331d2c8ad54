//! How times become places: evenly, but for stretches in which nothing is to be seen, which are folded.
//!
//! An election takes some milliseconds, and hundreds of them pass until the next one: on an even scale all of its arrows
//! fall upon each other. The longest of these stretches become folds of one width; a picture says how long each was.

use std::time::Duration;

use jangada_raft::types::Time;

use super::scene::Scene;
use super::view::View;

/// Most folds: beyond that there is more fold than picture.
const MOST_FOLDS: usize = 24;
/// So many find room in a picture of the usual width; for each more it becomes wider, as far as it may.
const USUAL_FOLDS: usize = 6;
/// By how much it does.
const MORE_WIDTH: f64 = 90.0;
/// Each further fold is one more thing to look at: such a part of what could be gained is enough.
const NEARLY_ALL: f64 = 0.8;
/// Folding is worth it if everything else is drawn so many times as wide.
const WORTH_IT: f64 = 1.5;
/// A stretch is no pause if only so many messages could travel in it, one after the other.
const FLIGHTS: u32 = 8;

/// A stretch in which nothing is to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fold {
    /// From here.
    pub begin: Time,
    /// To here.
    pub end: Time,
}

impl Fold {
    /// How long it is.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.end.since(self.begin)
    }
}

/// How a picture is to be.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    /// So wide, in whatever unit.
    pub width: f64,
    /// It may become wider, if there are many folds.
    pub may_grow: bool,
    /// How wide a fold is.
    pub fold: f64,
}

impl Room {
    fn width_with(&self, folds: usize) -> f64 {
        let more = if self.may_grow { folds.saturating_sub(USUAL_FOLDS) } else { 0 };
        self.width + more as f64 * MORE_WIDTH
    }
}

/// Places for times.
#[derive(Clone, Debug)]
pub struct Scale {
    /// What is folded, in the order of time.
    pub folds: Vec<Fold>,
    /// How wide all of it is.
    pub width: f64,
    /// How much of that a nanosecond gets that is not folded away.
    pub per_nano: f64,
    from: Time,
    fold: f64,
}

impl Scale {
    /// For what is to be seen in this view.
    #[must_use]
    pub fn of(scene: &Scene, view: &View, room: Room) -> Scale {
        let length = view.length().max(1) as f64;
        let mut folds = if view.folds_time { choose(pauses(scene, view), length, room) } else { Vec::new() };
        folds.sort_by_key(|fold| fold.begin);
        let width = room.width_with(folds.len());
        let rest = length - folds.iter().map(|fold| fold.length().as_nanos() as f64).sum::<f64>();
        let per_nano = (width - room.fold * folds.len() as f64) / rest.max(1.0);
        Scale { folds, width, per_nano, from: view.from, fold: room.fold }
    }

    /// The place of a time, from 0 to the width.
    #[must_use]
    pub fn x(&self, time: Time) -> f64 {
        let mut x = (time.0 as f64 - self.from.0 as f64) * self.per_nano;
        for fold in self.folds.iter().take_while(|fold| fold.begin < time) {
            let (length, passed) = (fold.length().as_nanos() as f64, time.min(fold.end).since(fold.begin));
            x += passed.as_nanos() as f64 * (self.fold / length - self.per_nano);
        }
        x
    }

    /// The stretches between the folds, up to the end.
    #[must_use]
    pub fn stretches(&self, end: Time) -> Vec<(Time, Time)> {
        let mut begin = self.from;
        let mut stretches = Vec::new();
        for fold in &self.folds {
            stretches.push((begin, fold.begin));
            begin = fold.end;
        }
        stretches.push((begin, end));
        stretches
    }
}

/// Those that are worth folding: the longest, as few of them as give nearly all the room that can be had.
fn choose(mut pauses: Vec<Fold>, length: f64, room: Room) -> Vec<Fold> {
    pauses.sort_by_key(|pause| std::cmp::Reverse(pause.length()));
    pauses.truncate(MOST_FOLDS);
    let mut rest = length;
    // By how much wider everything else is drawn than on an even scale, if so many are folded.
    let mut gains = vec![1.0];
    for (count, pause) in (1..).zip(&pauses) {
        rest = (rest - pause.length().as_nanos() as f64).max(1.0);
        let width = room.width_with(count);
        gains.push((width - count as f64 * room.fold) / rest / (width / length));
    }
    let best = gains.iter().copied().fold(1.0, f64::max);
    let count = gains.iter().position(|gain| *gain >= NEARLY_ALL * best).unwrap_or(0);
    pauses.truncate(if best >= WORTH_IT { count } else { 0 });
    pauses
}

/// All stretches in which nothing is to be seen, but for those that are too short to be called so.
fn pauses(scene: &Scene, view: &View) -> Vec<Fold> {
    let mut flights: Vec<Duration> = (scene.arrows.iter())
        .filter(|arrow| view.has(arrow.first()))
        .filter_map(|arrow| Some(arrow.arrived?.since(arrow.left?)))
        .collect();
    flights.sort_unstable();
    let flight = flights.get(flights.len() / 2).copied().unwrap_or(Duration::from_millis(1));
    let least = (flight * FLIGHTS).max(Duration::from_micros(100));
    let mut busy = busy(scene, view, least);
    busy.sort_unstable();
    let mut pauses = Vec::new();
    let mut last = view.from;
    for (begin, end) in busy {
        if begin > last && begin.since(last) >= least {
            pauses.push(Fold { begin: last, end: begin });
        }
        last = last.max(end);
    }
    pauses
}

/// From when to when something is to be seen. What lasts is seen where it begins and where it ends; so is a message that is
/// on its way for `long`: it waits, and its arrow may cross a fold.
fn busy(scene: &Scene, view: &View, long: Duration) -> Vec<(Time, Time)> {
    let mut busy = vec![(view.from, view.from), (view.to, view.to)];
    let shown = scene.arrows.iter().filter(|arrow| view.shows(arrow) && arrow.from != arrow.to);
    for arrow in shown {
        let (first, last) = (arrow.first().max(view.from), arrow.last().min(view.to));
        match last.since(first) < long {
            true => busy.push((first, last)),
            false => busy.extend([(first, first), (last, last)]),
        }
    }
    let mut moments: Vec<Time> = Vec::new();
    let first = scene.records.partition_point(|record| record.time < view.from);
    let records = scene.records.iter().enumerate().skip(first);
    let records = records.take_while(|(_, record)| record.time <= view.to);
    moments.extend(
        records
            .filter(|(at, record)| view.shows_record(record) && !view.folds(scene, *at))
            .map(|(_, record)| record.time),
    );
    for lane in &scene.lanes {
        moments.extend(lane.roles.iter().flat_map(|role| [role.begin, role.end]));
        moments.extend(lane.quiet.iter().flat_map(|quiet| [quiet.begin, quiet.end]));
    }
    moments.extend(scene.weather.iter().flat_map(|weather| [weather.begin, weather.end]));
    let told = scene.repeats.iter().filter(|repeats| view.tells(repeats));
    moments.extend(told.flat_map(|repeats| [repeats.begin, repeats.end]));
    busy.extend(moments.into_iter().filter(|time| view.has(*time)).map(|time| (time, time)));
    busy
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(begin: u64, end: u64) -> Fold {
        Fold { begin: Time(begin), end: Time(end) }
    }

    fn scale(length: f64, room: Room, pauses: Vec<Fold>) -> Scale {
        let mut folds = choose(pauses, length, room);
        folds.sort_by_key(|fold| fold.begin);
        let rest = length - folds.iter().map(|fold| fold.length().as_nanos() as f64).sum::<f64>();
        let width = room.width_with(folds.len());
        let per_nano = (width - room.fold * folds.len() as f64) / rest;
        Scale { folds, width, per_nano, from: Time(0), fold: room.fold }
    }

    const ROOM: Room = Room { width: 1_000.0, may_grow: true, fold: 40.0 };

    #[test]
    fn long_pauses_are_folded_and_what_is_between_them_gets_the_room() {
        let scale = scale(1_000.0, ROOM, vec![pause(0, 490), pause(500, 990)]);
        assert_eq!(scale.folds, [pause(0, 490), pause(500, 990)]);
        let places: Vec<i64> =
            [0, 245, 490, 500, 990, 1_000].map(|time| scale.x(Time(time)).round() as i64).to_vec();
        assert_eq!(places, [0, 20, 40, 500, 540, 1_000]);
        assert_eq!(scale.stretches(Time(1_000))[1], (Time(490), Time(500)));
    }

    #[test]
    fn what_happens_evenly_is_drawn_evenly() {
        let even = (0..100).map(|at| pause(at * 10, at * 10 + 9)).collect();
        assert!(scale(1_000.0, ROOM, even).folds.is_empty());
    }

    #[test]
    fn a_picture_with_many_pauses_is_wider_if_it_may_be() {
        let many: Vec<Fold> = (0..20).map(|at| pause(at * 1_000, at * 1_000 + 990)).collect();
        let wide = scale(20_000.0, ROOM, many.clone());
        assert_eq!((wide.folds.len(), wide.width), (20, 1_000.0 + 14.0 * MORE_WIDTH));
        let fixed = Room { may_grow: false, ..ROOM };
        assert_eq!(scale(20_000.0, fixed, many).width, 1_000.0);
    }
}
