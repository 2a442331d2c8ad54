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
        for (place, server) in self.servers.iter().enumerate() {
            match &server.process {
                Some(process) if process.paused_until <= self.now => {
                    let machine = process.replica.state().inner();
                    self.workload.look(id_of(place), machine, self.now, &mut self.watch_rng);
                }
                // It says nothing, and its connections stay.
                Some(_paused) => {}
                None => self.workload.cut(id_of(place), self.now),
            }
        }
        let pause = self.watch_rng.duration(PAUSE.0, PAUSE.1);
        self.queue.push(self.now + pause, Happening::Look);
    }

    pub(crate) fn followers_look_last(&mut self) {
        for (place, server) in self.servers.iter().enumerate() {
            if let Some(process) = &server.process {
                self.workload.look_last(id_of(place), process.replica.state().inner());
            }
        }
    }
}
