//! `--mutant`: a known bug, planted on purpose. There are none in this build.
//!
//! Bugs are planted only in the copy of the sources that `cargo run -p xtask -- mutants` makes (docs/mutants.md);
//! that copy has another file in the place of this one.

use crate::failure::Failure;

/// Switches a bug on.
///
/// # Errors
/// Always: this build has none.
pub fn plant(id: &str) -> Result<(), Failure> {
    Err(Failure::usage(format!(
        "{id} cannot be planted: this build has no mutants; make one that has them, in the sources' folder, with\n  \
         cargo run -p xtask -- mutants --binary"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ordinary_build_says_how_to_get_one_that_has_mutants() {
        let failure = plant("M27").unwrap_err();
        assert_eq!(failure.exit, 2);
        assert!(failure.message.contains("xtask -- mutants --binary"), "{}", failure.message);
    }
}
