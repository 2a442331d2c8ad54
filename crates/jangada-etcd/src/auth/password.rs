//! Passwords: hashed and compared by argon2id, slowly on purpose, on threads of their own and few at a time.
//!
//! Only the member that takes a request sees a password. What goes into the log is a hash with a salt of its own.

use std::sync::Arc;

use argon2::password_hash::SaltString;
use argon2::{Algorithm, Argon2, Params, PasswordHash as Parsed, PasswordHasher, PasswordVerifier, Version};
use bytes::Bytes;
use jangada_kv::auth::PasswordHash;
use tokio::sync::Semaphore;

/// Memory that one hash takes, in KiB.
const MEMORY_KIB: u32 = 19 << 10;
/// How often it goes through that memory.
const PASSES: u32 = 2;
/// How many parts of it could be worked on at once.
const LANES: u32 = 1;

/// How many hashes are made at once, on all threads of a server together.
const AT_ONCE: usize = 2;
/// How many may wait for that.
const WAITING: usize = 64;

/// The longest password that is looked at, in bytes.
pub(crate) const LONGEST: usize = 1 << 10;

/// Where passwords are hashed. Clones share the bounds.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    places: Arc<Semaphore>,
}

/// Too many passwords wait to be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            places: Arc::new(Semaphore::new(AT_ONCE + WAITING)),
        }
    }
}

impl Passwords {
    /// The hash of a new password, with this salt, which should be random.
    ///
    /// # Errors
    /// If too many wait already.
    pub async fn hash(&self, password: Bytes, salt: [u8; 16]) -> Result<PasswordHash, Overrun> {
        self.in_turn(move || hash(&password, salt)).await
    }

    /// Whether this is the password. Without a hash it is not, and that takes as long to say.
    ///
    /// # Errors
    /// If too many wait already.
    pub async fn is_right(&self, password: Bytes, hash: Option<PasswordHash>) -> Result<bool, Overrun> {
        self.in_turn(move || is_right(&password, hash.as_ref())).await
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overrun> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Overrun)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Overrun)?;
        // Both are given back when the work is done, whether or not its client still waits.
        let work = move || {
            let done = work();
            drop((place, turn));
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| Overrun)
    }
}

fn argon() -> Argon2<'static> {
    let params = Params::new(MEMORY_KIB, PASSES, LANES, None).expect("they are within the limits");
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
}

fn hash(password: &[u8], salt: [u8; 16]) -> PasswordHash {
    let salt = SaltString::encode_b64(&salt).expect("a salt may have 16 bytes");
    let hash = argon().hash_password(password, &salt).expect("passwords of any bytes can be hashed");
    PasswordHash(Bytes::from(hash.to_string()))
}

/// With the parameters that stand in the hash, whatever they will be for new ones then.
fn is_right(password: &[u8], hash: Option<&PasswordHash>) -> bool {
    if password.len() > LONGEST {
        return false;
    }
    let Some(hash) = hash else {
        let _same_time = self::hash(password, [0; 16]);
        return false;
    };
    let Ok(text) = std::str::from_utf8(&hash.0) else { return false };
    Parsed::new(text).is_ok_and(|parsed| argon().verify_password(password, &parsed).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_known_by_its_hash() {
        let hash = hash(b"secret", [7; 16]);
        let text = std::str::from_utf8(&hash.0).unwrap();
        assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
        assert!(!text.contains("secret"));
        assert!(is_right(b"secret", Some(&hash)));
        assert!(
            !is_right(b"Secret", Some(&hash)) && !is_right(b"", Some(&hash)) && !is_right(b"secret", None)
        );
        assert_ne!(self::hash(b"secret", [8; 16]), hash, "each hash has its own salt");
    }

    #[test]
    fn what_is_no_hash_is_nobodys_password() {
        for text in ["", "secret", "$argon2id$", "$2a$10$abcdefghijklmnopqrstuv"] {
            assert!(!is_right(b"secret", Some(&PasswordHash(Bytes::from(text)))), "{text}");
        }
    }

    #[tokio::test]
    async fn only_so_many_wait() {
        let passwords = Passwords::default();
        let _held = Arc::clone(&passwords.places).acquire_many_owned((AT_ONCE + WAITING) as u32).await;
        assert_eq!(passwords.is_right(Bytes::from("x"), None).await, Err(Overrun));
    }
}
