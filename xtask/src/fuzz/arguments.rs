//! What is typed after `fuzz`.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// A little of every target.
    All,
    /// One target for so many minutes.
    Search {
        /// Its name.
        target: String,
        /// How long.
        minutes: u32,
    },
    /// Inputs of a target once more.
    Replay {
        /// Its name.
        target: String,
        /// The files.
        inputs: Vec<PathBuf>,
    },
    /// An input that breaks something, smaller.
    Shrink {
        /// Its target.
        target: String,
        /// The file.
        input: PathBuf,
    },
    /// What earlier searches came across, into the corpus.
    Keep {
        /// Their target.
        target: String,
    },
}

impl Arguments {
    /// Reads the words.
    ///
    /// # Errors
    /// Says which word is not understood.
    pub fn parse(words: &[&str]) -> Result<Arguments> {
        let Some((target, rest)) = words.split_first() else { return Ok(Arguments::All) };
        if target.starts_with('-') {
            bail!("{target:?}: fuzz wants a target first");
        }
        let target = (*target).to_owned();
        Ok(match rest {
            [] => Arguments::Search { target, minutes: 1 },
            ["--minutes", minutes] => {
                let minutes = minutes.parse().context("--minutes wants a number")?;
                Arguments::Search { target, minutes }
            }
            ["--shrink", input] => Arguments::Shrink { target, input: input.into() },
            ["--keep"] => Arguments::Keep { target },
            [option, ..] if option.starts_with('-') => {
                bail!("{option:?}: fuzz knows --minutes NUMBER, --shrink FILE and --keep")
            }
            inputs => Arguments::Replay { target, inputs: inputs.iter().map(PathBuf::from).collect() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_understood() {
        let target = "frames".to_owned();
        for (words, expected) in [
            (&[][..], Arguments::All),
            (&["frames"], Arguments::Search { target: target.clone(), minutes: 1 }),
            (&["frames", "--minutes", "7"], Arguments::Search { target: target.clone(), minutes: 7 }),
            (
                &["frames", "a", "b"],
                Arguments::Replay { target: target.clone(), inputs: vec!["a".into(), "b".into()] },
            ),
            (&["frames", "--shrink", "a"], Arguments::Shrink { target: target.clone(), input: "a".into() }),
            (&["frames", "--keep"], Arguments::Keep { target }),
        ] {
            assert_eq!(Arguments::parse(words).unwrap(), expected, "{words:?}");
        }
        for words in [&["--minutes", "7"][..], &["frames", "--hours"], &["frames", "--minutes", "long"]] {
            assert!(Arguments::parse(words).is_err(), "{words:?}");
        }
    }
}
