//! Tokens that are in use. Whoever only reads writes nothing, and its token would end; so it is said in the log now and
//! then that the token is in use.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use jangada_etcd::auth::TOKEN_SECONDS;
use jangada_kv::auth::{MAX_TOKENS, TokenDigest};

/// How often it is said of a token: sooner the store would not take it for news.
const INTERVAL: Duration = Duration::from_secs(TOKEN_SECONDS / 3);

/// When it was last said.
#[derive(Debug, Default)]
pub(crate) struct TokensInUse(Mutex<BTreeMap<TokenDigest, Instant>>);

impl TokensInUse {
    /// A token is used. True: it has to be said.
    pub(super) fn is_due(&self, token: TokenDigest, now: Instant) -> bool {
        // Nobody panics with it in hand.
        let mut said = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(last) = said.get_mut(&token) else {
            // A token that was just made lasts long enough; one that nobody issued must not fill this.
            if said.len() >= MAX_TOKENS {
                said.retain(|_, last| now.saturating_duration_since(*last) < INTERVAL);
            }
            if said.len() < MAX_TOKENS {
                said.insert(token, now);
            }
            return false;
        };
        let is_due = now.saturating_duration_since(*last) >= INTERVAL;
        if is_due {
            *last = now;
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_once_an_interval() {
        let (tokens, token, begun) = (TokensInUse::default(), TokenDigest([1; 32]), Instant::now());
        let mut said = Vec::new();
        for second in 0..400 {
            if tokens.is_due(token, begun + Duration::from_secs(second)) {
                said.push(second);
            }
        }
        assert_eq!(said, [100, 200, 300]);
    }

    #[test]
    fn tokens_that_nobody_issued_do_not_fill_it() {
        let (tokens, begun) = (TokensInUse::default(), Instant::now());
        for number in 0..2 * MAX_TOKENS as u64 {
            let mut digest = [0; 32];
            digest[..8].copy_from_slice(&number.to_le_bytes());
            tokens.is_due(TokenDigest(digest), begun);
        }
        assert_eq!(tokens.0.lock().unwrap().len(), MAX_TOKENS);
        let (late, token) = (begun + 2 * INTERVAL, TokenDigest([9; 32]));
        assert!(!tokens.is_due(token, late) && tokens.is_due(token, late + INTERVAL), "there is room again");
    }
}
