//! The switch: which mutant is planted in this process.
//!
//! Not part of any crate: `cargo run -p xtask -- mutants` puts it into its copy of the sources. Until somebody
//! switches one on, the environment variable `JANGADA_PLANTED` decides, so that a test can have a mutant too.

extern crate std as host;

use core::sync::atomic::{AtomicU32, Ordering};

/// Nobody has asked yet.
const UNKNOWN: u32 = u32::MAX;

static PLANTED: AtomicU32 = AtomicU32::new(UNKNOWN);

/// Is the mutant of this number the one that is switched on?
#[inline]
pub fn is_on(number: u32) -> bool {
    match PLANTED.load(Ordering::Relaxed) {
        UNKNOWN => first(number),
        planted => planted == number,
    }
}

/// Switches a mutant on for the rest of the process; 0 for none.
pub fn switch_on(number: u32) {
    PLANTED.store(number, Ordering::Relaxed);
}

#[cold]
fn first(number: u32) -> bool {
    let named = host::env::var("JANGADA_PLANTED").ok();
    switch_on(named.and_then(|text| text.parse().ok()).unwrap_or(0));
    is_on(number)
}
