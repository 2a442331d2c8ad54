//! Slow motion in a made-up world: commands that let time pass let as much of ours pass, times a factor, so that one
//! sees what happens when. What happens is the same.

use std::time::Duration;

use jangada_raft::types::Time;
use jangada_sim::script::command::Command;
use jangada_trace::say;

use super::backend::Backend;
use super::session::Session;

/// How long `wait` waits, unless told otherwise.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at the made-up world, in our time.
const FRAME: Duration = Duration::from_millis(25);

impl<B: Backend> Session<B> {
    /// Carries a command out at so many thousandths of real time.
    pub(super) fn paced(&mut self, command: &Command, pace: u64) -> Result<(), String> {
        let _old_news = self.known().was_interrupted();
        let begun = self.now();
        match command {
            Command::Run(duration) => {
                let until = begun + *duration;
                while self.now() < until {
                    self.frame(until, pace)?;
                }
                Ok(())
            }
            Command::Wait(condition, patience) => {
                let until = begun + patience.unwrap_or(PATIENCE);
                while self.stage.carry_out(&Command::Expect(condition.clone())).is_err() {
                    if self.now() >= until {
                        return self.stage.carry_out(&Command::Wait(condition.clone(), Some(Duration::ZERO)));
                    }
                    self.frame(until, pace)?;
                }
                Ok(())
            }
            Command::Always(condition, duration) => {
                let until = begun + *duration;
                while self.now() < until {
                    self.stage.carry_out(&Command::Always(condition.clone(), Duration::ZERO))?;
                    self.frame(until, pace)?;
                }
                self.stage.carry_out(&Command::Always(condition.clone(), Duration::ZERO))
            }
            _ => self.stage.carry_out(command),
        }
    }

    /// Until the next thing happens, but for a frame at most; then as much of our time passes.
    fn frame(&mut self, until: Time, pace: u64) -> Result<(), String> {
        let begun = self.now();
        let frame = FRAME.mul_f64(pace as f64 / 1_000.0).max(Duration::from_nanos(1));
        let _something = self.stage.look_on(until.min(begun + frame))?;
        self.tell();
        std::thread::sleep(self.now().since(begun).mul_f64(1_000.0 / pace as f64));
        if self.known().was_interrupted() {
            return Err(say!(self.language(), "interrupted"));
        }
        Ok(())
    }
}
