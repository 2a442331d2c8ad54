//! What was typed, as a script that plays it again.

use std::path::Path;

use jangada_trace::say;

use super::backend::Backend;
use super::session::Session;

impl<B: Backend> Session<B> {
    /// What is being played is not written over.
    pub(super) fn spared(&self, file: &Path) -> Result<(), String> {
        let shown = file.display();
        match self.known().is_playing(file) {
            true => Err(say!(
                self.language(),
                "{shown} is the script that is being played, and is left as it is: give another name",
                shown
            )),
            false => Ok(()),
        }
    }

    /// Writes down what was typed until now.
    ///
    /// # Errors
    /// The system refuses: a sentence.
    pub(super) fn save(&self, file: &str) -> Result<(), String> {
        self.spared(Path::new(file))?;
        // Only real servers have somebody who tells what happens.
        let made_up = if self.teller.is_none() { " --sim" } else { "" };
        let mut text = format!(
            "# A session of `jangada lab{made_up}`: `jangada lab{made_up} --script FILE` plays it again.\n"
        );
        let lines = played(&self.typed);
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(file, text)
            .map_err(|why| say!(self.language(), "{file}: {why}; nothing was saved", file, why))?;
        let mut told = say!(
            self.language(),
            "{count} lines saved; `jangada lab{made_up} --script {file}` plays them",
            count = lines.len(),
            made_up,
            file
        );
        if self.began_anew {
            told.push_str(&say!(
                self.language(),
                "; they begin with the last `{first}`, and what came before was another run",
                first = self.typed.first().map_or("servers", String::as_str)
            ));
        }
        self.voice.say(&told);
        Ok(())
    }
}

/// What plays the same again: of the seeds that were chosen for these servers the last.
fn played(typed: &[String]) -> Vec<&str> {
    let is_seed = |line: &str| line.split_whitespace().next() == Some("seed");
    let last = typed.iter().rposition(|line| is_seed(line));
    let kept = typed.iter().enumerate().filter(|(at, line)| !is_seed(line) || Some(*at) == last);
    kept.map(|(_, line)| line.as_str()).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn of_several_seeds_the_last_is_saved() {
        let typed = ["servers 3", "seed 1", "seed 36", "run 1s"].map(str::to_owned);
        assert_eq!(super::played(&typed), ["servers 3", "seed 36", "run 1s"]);
    }
}
