//! Whoever follows the state of servers looks at it, again and again.

use core::time::Duration;

use crate::network::id_of;
use crate::queue::Happening;
use crate::rng::Dice;
use crate::workload::Workload;
use crate::world::World;

/// Between two looks.
const PAUSE: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(100));

impl<W: Workload> World<W> {
    pub(crate) fn followers_look(&mut self) {
        self.cut_off_who_was_down();
        for (place, server) in self.servers.iter().enumerate() {
            // Whoever sleeps says nothing, and its connections stay.
            if let Some(process) = server.process.as_ref().filter(|process| process.paused_until <= self.now)
            {
                let machine = process.replica.state().inner();
                self.workload.look(id_of(place), machine, self.now, &mut self.watch_rng);
            }
        }
        let pause = self.watch_rng.duration(PAUSE.0, PAUSE.1);
        self.queue.push(self.now + pause, Happening::Look);
    }

    pub(crate) fn followers_look_last(&mut self) {
        self.cut_off_who_was_down();
        for (place, server) in self.servers.iter().enumerate() {
            if let Some(process) = &server.process {
                self.workload.look_last(id_of(place), process.replica.state().inner());
            }
        }
    }

    /// No connection outlives a server, however briefly it was down.
    fn cut_off_who_was_down(&mut self) {
        for (place, server) in self.servers.iter().enumerate() {
            let is_another = core::mem::replace(&mut self.looked_at[place], server.starts) != server.starts;
            if is_another || server.process.is_none() {
                self.workload.cut(id_of(place), self.now);
            }
        }
    }
}
