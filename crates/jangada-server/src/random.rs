//! The only place where this program asks the world for randomness.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A random number. Seeds and incarnations, not secrets.
#[must_use]
pub(crate) fn u64() -> u64 {
    // The standard library seeds each hasher from the operating system.
    let mut hasher = RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    hasher.finish()
}

/// What nobody can guess, whatever else he was told: for tokens and the salts of passwords.
///
/// # Errors
/// The system gives no randomness: a sentence.
pub(crate) fn secret() -> Result<[u8; 16], String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|why| format!("the system gives no randomness: {why}"))?;
    Ok(bytes)
}
