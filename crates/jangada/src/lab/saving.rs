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
        for line in &self.typed {
            text.push_str(line);
            text.push('\n');
        }
        std::fs::write(file, text)
            .map_err(|why| say!(self.language(), "{file}: {why}; nothing was saved", file, why))?;
        self.voice.say(&say!(
            self.language(),
            "{count} lines saved; `jangada lab{made_up} --script {file}` plays them",
            count = self.typed.len(),
            made_up,
            file
        ));
        Ok(())
    }
}
