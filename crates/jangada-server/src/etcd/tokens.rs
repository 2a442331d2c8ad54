//! Tokens that this server has seen to be right. Whoever only reads writes nothing, and its token would end; so it is said
//! in the log now and then that the token is in use. And a token that is none of these is looked at before anything that
//! it comes with enters the log: whoever is nobody shall not fill it with what will be refused.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jangada_etcd::auth::TOKEN_SECONDS;
use jangada_kv::auth::{MAX_TOKENS, TokenDigest};

/// How often it is said of a token: sooner the store would not take it for news.
const INTERVAL: Duration = Duration::from_secs(TOKEN_SECONDS / 3);

/// Each with when it was last said to be in use, or first seen.
#[derive(Debug, Default)]
pub(crate) struct TokensInUse(Mutex<BTreeMap<TokenDigest, Instant>>);

impl TokensInUse {
    /// Whether the token was right once. The store says whether it still is.
    pub(super) fn knows(&self, token: &TokenDigest) -> bool {
        self.said().contains_key(token)
    }

    /// The store has taken the token.
    pub(super) fn accept(&self, token: TokenDigest, now: Instant) {
        let mut said = self.said();
        if said.len() >= MAX_TOKENS {
            said.retain(|_, last| now.saturating_duration_since(*last) < INTERVAL);
        }
        if said.len() < MAX_TOKENS {
            // What was just made lasts long enough.
            said.entry(token).or_insert(now);
        }
    }

    /// The store does not know the token, or not any more.
    pub(super) fn forget(&self, token: &TokenDigest) {
        self.said().remove(token);
    }

    /// A token is used. True: it has to be said.
    pub(super) fn is_due(&self, token: &TokenDigest, now: Instant) -> bool {
        let mut said = self.said();
        let Some(last) = said.get_mut(token) else { return false };
        let is_due = now.saturating_duration_since(*last) >= INTERVAL;
        if is_due {
            *last = now;
        }
        is_due
    }

    /// Nobody panics with it in hand.
    fn said(&self) -> MutexGuard<'_, BTreeMap<TokenDigest, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_an_interval() {
        let (tokens, token, begun) = (TokensInUse::default(), TokenDigest([1; 32]), Instant::now());
        assert!(!tokens.is_due(&token, begun + 9 * INTERVAL), "nobody has taken it");
        tokens.accept(token, begun);
        assert!(tokens.knows(&token));
        let mut said = Vec::new();
        for second in 0..400 {
            tokens.accept(token, begun + Duration::from_secs(second));
            if tokens.is_due(&token, begun + Duration::from_secs(second)) {
                said.push(second);
            }
        }
        assert_eq!(said, [100, 200, 300]);
        tokens.forget(&token);
        assert!(!tokens.knows(&token), "it is looked at again before anything is written");
    }

    #[test]
    fn there_is_room_for_as_many_as_there_are() {
        let (tokens, begun) = (TokensInUse::default(), Instant::now());
        for number in 0..2 * MAX_TOKENS as u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            tokens.accept(TokenDigest(digest), begun);
        }
        assert_eq!(tokens.said().len(), MAX_TOKENS);
        tokens.accept(TokenDigest([9; 32]), begun + 2 * INTERVAL);
        assert!(tokens.knows(&TokenDigest([9; 32])), "there is room again");
    }
}
