//! Passwords: hashed and compared by argon2id, slowly on purpose, on threads of their own and few at a time.
//!
//! Only the member that takes a request sees a password. What goes into the log is a hash with a salt of its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::SaltString;
use argon2::{Algorithm, Argon2, Params, PasswordHash as Parsed, PasswordHasher, PasswordVerifier, Version};
use bytes::Bytes;
use jangada_kv::auth::PasswordHash;
use sha2::{Digest, Sha256};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::guesses::Guesses;

/// Memory that one hash takes, in KiB.
const MEMORY_KIB: u32 = 19 << 10;
/// How often it goes through that memory.
const PASSES: u32 = 2;
/// How many parts of it could be worked on at once.
const LANES: u32 = 1;

/// How many hashes are made at once, on all threads of a server together.
const AT_ONCE: usize = 2;
/// How many logins may wait for that, or be at it.
const LOGINS: usize = 64;
/// How many of them one address may have, so that nobody else is kept out from there.
const LOGINS_OF_ADDRESS: usize = 16;
/// How many of these may be of one user. Not of a user wherever the logins come from: who knows a name could keep its user
/// out.
const LOGINS_OF_USER: usize = 4;
/// How many new passwords may wait. Those who may manage users have these places to themselves.
const NEW: usize = 16;

/// The longest password that is looked at, in bytes.
pub(crate) const LONGEST: usize = 1 << 10;

/// Where passwords are hashed. Clones share the bounds.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    new: Arc<Semaphore>,
    logins: Arc<Mutex<Logins>>,
    guesses: Arc<Mutex<Guesses>>,
}

/// Too many passwords wait to be looked at, or too many were wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overrun;

/// Whose password is looked at, and where the login comes from, as far as that is known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Whose {
    /// The address; of a newer one the half that names its network, as the other half can be chosen.
    address: Option<IpAddr>,
    /// Its name, as a number: names are as long as those who guess them want.
    user: [u8; 32],
}

/// The logins that wait or are looked at. A count of none is not kept.
#[derive(Debug, Default)]
struct Logins {
    all: usize,
    of_address: BTreeMap<Option<IpAddr>, usize>,
    of_user: BTreeMap<Whose, usize>,
}

/// The place of one login. Dropped, it is free again.
#[derive(Debug)]
struct Place {
    whose: Whose,
    logins: Arc<Mutex<Logins>>,
}

impl Default for Passwords {
    fn default() -> Passwords {
        Passwords {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
            new: Arc::new(Semaphore::new(NEW)),
            logins: Arc::default(),
            guesses: Arc::default(),
        }
    }
}

impl Whose {
    /// The password of this user, shown from this address.
    #[must_use]
    pub fn new(user: &[u8], address: Option<IpAddr>) -> Whose {
        let address = address.map(|address| match address.to_canonical() {
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
            older @ IpAddr::V4(_) => older,
        });
        Whose { address, user: Sha256::digest(user).into() }
    }
}

impl Place {
    fn take(logins: &Arc<Mutex<Logins>>, whose: Whose) -> Result<Place, Overrun> {
        let mut taken = lock(logins);
        let of_address = taken.of_address.get(&whose.address).copied().unwrap_or(0);
        let of_user = taken.of_user.get(&whose).copied().unwrap_or(0);
        if taken.all >= LOGINS || of_address >= LOGINS_OF_ADDRESS || of_user >= LOGINS_OF_USER {
            return Err(Overrun);
        }
        taken.all += 1;
        taken.of_address.insert(whose.address, of_address + 1);
        taken.of_user.insert(whose.clone(), of_user + 1);
        Ok(Place { whose, logins: Arc::clone(logins) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = lock(&self.logins);
        taken.all -= 1;
        leave(&mut taken.of_address, &self.whose.address);
        leave(&mut taken.of_user, &self.whose);
    }
}

fn leave<K: Ord>(counts: &mut BTreeMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// Nobody panics with it in hand.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Passwords {
    /// The hash of a new password, with this salt, which should be random. Only for who may manage users.
    ///
    /// # Errors
    /// If too many wait already.
    pub async fn hash(&self, password: Bytes, salt: [u8; 16]) -> Result<PasswordHash, Overrun> {
        let place = Arc::clone(&self.new).try_acquire_owned().map_err(|_| Overrun)?;
        let turn = self.turn().await?;
        in_turn((place, turn), move || hash(&password, salt)).await
    }

    /// Whether this is the password. Without a hash it is not, and that takes as long to say, and counts as much.
    ///
    /// # Errors
    /// If too many wait already: in all, from this address, or for this user; or too many of this user were wrong that came
    /// from this address, or would be if those that are looked at just now are.
    pub async fn is_right(
        &self,
        whose: Whose,
        password: Bytes,
        hash: Option<PasswordHash>,
    ) -> Result<bool, Overrun> {
        if !lock(&self.guesses).admits(&whose, Instant::now()) {
            return Err(Overrun);
        }
        let place = Place::take(&self.logins, whose.clone())?;
        let turn = self.turn().await?;
        // Others may have been wrong while this one waited.
        if !lock(&self.guesses).begins(&whose, Instant::now()) {
            return Err(Overrun);
        }
        let guesses = Arc::clone(&self.guesses);
        // It is counted whether or not its client still waits.
        let look = move || {
            let is_right = is_right(&password, hash.as_ref());
            lock(&guesses).ends(whose, is_right, Instant::now());
            is_right
        };
        in_turn((place, turn), look).await
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, Overrun> {
        Arc::clone(&self.turns).acquire_owned().await.map_err(|_| Overrun)
    }
}

/// What is held is given back when the work is done, whether or not its client still waits.
async fn in_turn<T: Send + 'static>(
    held: impl Send + 'static,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Overrun> {
    let work = move || {
        let done = work();
        drop(held);
        done
    };
    tokio::task::spawn_blocking(work).await.map_err(|_| Overrun)
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
    use std::time::Duration;

    use super::super::guesses::FREE;
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

    fn from(address: [u8; 4], user: &'static str) -> Whose {
        Whose::new(user.as_bytes(), Some(IpAddr::from(address)))
    }

    #[tokio::test]
    async fn who_logs_in_too_often_keeps_nobody_else_out() {
        let passwords = Passwords::default();
        let take = |whose| Place::take(&passwords.logins, whose);
        let mut held: Vec<_> =
            (0..LOGINS_OF_USER).map(|_| take(from([10, 0, 0, 1], "root")).unwrap()).collect();
        assert_eq!(take(from([10, 0, 0, 1], "root")).unwrap_err(), Overrun);
        // The user is let in from elsewhere, and others from there.
        held.push(take(from([10, 0, 0, 2], "root")).unwrap());
        for user in ["a", "b", "c", "d", "e", "f"] {
            held.extend((0..LOGINS_OF_USER).filter_map(|_| take(from([10, 0, 0, 1], user)).ok()));
        }
        assert_eq!(held.len(), LOGINS_OF_ADDRESS + 1);
        assert_eq!(take(from([10, 0, 0, 1], "g")).unwrap_err(), Overrun);
        held.push(take(from([10, 0, 0, 2], "g")).unwrap());
        drop(held);
        let logins = lock(&passwords.logins);
        assert_eq!((logins.all, logins.of_address.len(), logins.of_user.len()), (0, 0, 0));
    }

    #[tokio::test]
    async fn who_manages_users_waits_for_no_place_of_a_login() {
        let passwords = Passwords::default();
        let users = ["a", "b", "c", "d"];
        let held: Vec<_> = (0..LOGINS)
            .map(|number| {
                let address = [10, 0, 0, (number / LOGINS_OF_ADDRESS) as u8];
                Place::take(&passwords.logins, from(address, users[number % users.len()])).unwrap()
            })
            .collect();
        let stranger = from([10, 0, 1, 0], "root");
        assert_eq!(passwords.is_right(stranger.clone(), Bytes::from("x"), None).await, Err(Overrun));
        assert!(passwords.hash(Bytes::from("x"), [1; 16]).await.is_ok());
        drop(held);
        assert_eq!(passwords.is_right(stranger, Bytes::from("x"), None).await, Ok(false));
    }

    #[tokio::test(start_paused = true)]
    async fn guesses_made_at_once_are_no_more_than_guesses_made_in_turn() {
        let passwords = Passwords::default();
        let guess = || passwords.is_right(from([10, 0, 0, 1], "root"), Bytes::from("x"), None);
        for _ in 0..FREE - 1 {
            assert_eq!(guess().await, Ok(false));
        }
        for round in ["the last that is free", "one after the wait"] {
            let joined = tokio::join!(guess(), guess(), guess(), guess());
            let looked_at = <[_; 4]>::from(joined).iter().filter(|answer| answer.is_ok()).count();
            assert_eq!(looked_at, 1, "{round}");
            assert_eq!(guess().await, Err(Overrun), "{round}");
            tokio::time::advance(Duration::from_millis(200)).await;
        }
        assert!(lock(&passwords.guesses).under_way.is_empty());
    }

    #[test]
    fn one_network_is_one_address() {
        let whose = |text: &str| Whose::new(b"root", Some(text.parse().unwrap()));
        assert_eq!(whose("2001:db8::1"), whose("2001:db8::2"));
        assert_ne!(whose("2001:db8::1"), whose("2001:db8:0:1::1"));
        assert_eq!(whose("::ffff:10.0.0.1"), whose("10.0.0.1"));
        assert_ne!(whose("10.0.0.1"), whose("10.0.0.2"));
    }
}
