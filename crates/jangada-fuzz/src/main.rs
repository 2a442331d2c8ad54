//! What libFuzzer runs: the target that `JANGADA_FUZZ_TARGET` names. `cargo run -p xtask -- fuzz` builds and starts it.

#![no_main]

use std::sync::OnceLock;

use jangada_fuzz::Target;
use libfuzzer_sys::fuzz_target;

/// Which target to run.
const NAME: &str = "JANGADA_FUZZ_TARGET";

static TARGET: OnceLock<&'static Target> = OnceLock::new();

fuzz_target!(|input: &[u8]| {
    let target = TARGET.get_or_init(|| {
        let name = std::env::var(NAME).unwrap_or_default();
        jangada_fuzz::find(&name).unwrap_or_else(|| panic!("{NAME}: there is no target {name:?}"))
    });
    (target.run)(input);
});
