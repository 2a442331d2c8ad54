//! Tokens: what users show instead of their passwords.
//!
//! They are part of the replicated state: each member knows all of them, and a restart ends none. Their time is the
//! log's. There is a bound to how many there are; whoever wants more loses the one that would have ended first: a user with
//! many tokens its own, and all together one of the user who has most. So nobody's tokens make room for those of a user who
//! has more.

use alloc::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::request::TokenDigest;
use crate::types::Millis;

/// Most tokens of all users together.
pub const MAX_TOKENS: usize = 10_000;
/// Most tokens of one user.
pub const MAX_TOKENS_OF_USER: usize = 1_000;
/// Longest that a token lasts without being used, in seconds.
pub(super) const MAX_TOKEN_SECONDS: u64 = 366 * 24 * 60 * 60;

/// All tokens.
#[derive(Clone, Default)]
pub(crate) struct Tokens {
    by_digest: BTreeMap<TokenDigest, Token>,
    deadlines: BTreeSet<(Millis, TokenDigest)>,
    of_user: BTreeMap<Bytes, BTreeSet<TokenDigest>>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) user: Bytes,
    pub(crate) ttl_seconds: u64,
    pub(crate) deadline: Millis,
}

impl Tokens {
    /// A token that has not ended by `clock`.
    pub(crate) fn get(&self, digest: &TokenDigest, clock: Millis) -> Option<&Token> {
        self.by_digest.get(digest).filter(|token| token.deadline > clock)
    }

    /// All of them, those included that have ended and were not needed since.
    pub(crate) fn all(&self) -> impl DoubleEndedIterator<Item = (&TokenDigest, &Token)> {
        self.by_digest.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.by_digest.len()
    }

    /// Adds one, and makes room for it.
    pub(crate) fn issue(&mut self, digest: TokenDigest, user: &Bytes, ttl_seconds: u64, clock: Millis) {
        while self.deadlines.first().is_some_and(|(deadline, _)| *deadline <= clock) {
            self.end_first();
        }
        self.end(&digest);
        if self.of_user.get(user).is_some_and(|of_user| of_user.len() >= MAX_TOKENS_OF_USER) {
            self.end_soonest_of(&user.clone());
        }
        if self.by_digest.len() >= MAX_TOKENS {
            self.end_one_of_most();
        }
        let deadline = clock + ttl_seconds * 1_000;
        self.add(digest, Token { user: user.clone(), ttl_seconds, deadline });
    }

    /// Also one that lies in a snapshot. False: it was there already.
    pub(crate) fn add(&mut self, digest: TokenDigest, token: Token) -> bool {
        if self.by_digest.contains_key(&digest) {
            return false;
        }
        self.deadlines.insert((token.deadline, digest));
        self.of_user.entry(token.user.clone()).or_default().insert(digest);
        self.by_digest.insert(digest, token);
        true
    }

    /// A token is in use, and lasts again as long as it did at first. Only if a quarter of that is over: most requests
    /// shall not cost a change.
    pub(crate) fn touch(&mut self, digest: &TokenDigest, clock: Millis) {
        let Some(token) = self.by_digest.get_mut(digest).filter(|token| token.deadline > clock) else {
            return;
        };
        let deadline = clock + token.ttl_seconds * 1_000;
        if deadline.since(token.deadline) < token.ttl_seconds * 250 {
            return;
        }
        self.deadlines.remove(&(token.deadline, *digest));
        self.deadlines.insert((deadline, *digest));
        token.deadline = deadline;
    }

    /// Ends all tokens of a user.
    pub(crate) fn end_of_user(&mut self, user: &Bytes) {
        for digest in self.of_user.remove(user).unwrap_or_default() {
            self.end(&digest);
        }
    }

    /// The user with most tokens loses one; of several such users the one whose name is last.
    fn end_one_of_most(&mut self) {
        let most = self.of_user.iter().max_by_key(|(_, of_user)| of_user.len()).map(|(user, _)| user.clone());
        self.end_soonest_of(&most.expect("there are tokens"));
    }

    fn end_soonest_of(&mut self, user: &Bytes) {
        let soonest =
            self.of_user[user].iter().min_by_key(|digest| self.by_digest[*digest].deadline).copied();
        self.end(&soonest.expect("a user without tokens is not kept"));
    }

    fn end_first(&mut self) {
        if let Some((_, digest)) = self.deadlines.first().copied() {
            self.end(&digest);
        }
    }

    fn end(&mut self, digest: &TokenDigest) {
        let Some(token) = self.by_digest.remove(digest) else { return };
        self.deadlines.remove(&(token.deadline, *digest));
        if let Some(of_user) = self.of_user.get_mut(&token.user) {
            of_user.remove(digest);
            if of_user.is_empty() {
                self.of_user.remove(&token.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(number: u64) -> TokenDigest {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        TokenDigest(bytes)
    }

    #[test]
    fn a_token_ends_when_nobody_has_used_it_for_its_time() {
        let mut tokens = Tokens::default();
        tokens.issue(digest(1), &"ana".into(), 10, Millis(1_000));
        assert!(tokens.get(&digest(1), Millis(10_999)).is_some());
        assert!(tokens.get(&digest(1), Millis(11_000)).is_none());
        tokens.touch(&digest(1), Millis(3_000));
        assert!(tokens.get(&digest(1), Millis(11_000)).is_none(), "too early to count");
        tokens.touch(&digest(1), Millis(10_000));
        assert!(tokens.get(&digest(1), Millis(19_999)).is_some());
        tokens.touch(&digest(1), Millis(20_000));
        assert!(tokens.get(&digest(1), Millis(20_000)).is_none(), "it has ended for good");
        tokens.issue(digest(2), &"ana".into(), 10, Millis(21_000));
        assert_eq!(tokens.len(), 1, "what has ended is forgotten");
    }

    #[test]
    fn there_is_a_bound_to_the_tokens_of_a_user_and_of_all() {
        let mut tokens = Tokens::default();
        for number in 0..2 * MAX_TOKENS_OF_USER as u64 {
            tokens.issue(digest(number), &"ana".into(), 60, Millis(number));
        }
        assert_eq!(tokens.len(), MAX_TOKENS_OF_USER);
        let (first_kept, now) = (MAX_TOKENS_OF_USER as u64, Millis(2_000));
        assert!(tokens.get(&digest(first_kept), now).is_some());
        assert!(tokens.get(&digest(first_kept - 1), now).is_none(), "the oldest go first");
        for number in 0..2 * MAX_TOKENS as u64 {
            let user = alloc::format!("user{}", number % 50);
            tokens.issue(digest(10_000 + number), &user.into(), 60, now);
        }
        assert_eq!((tokens.len(), tokens.deadlines.len()), (MAX_TOKENS, MAX_TOKENS));
        assert_eq!(tokens.of_user.values().map(BTreeSet::len).sum::<usize>(), MAX_TOKENS);
    }

    #[test]
    fn nobodys_tokens_make_room_for_those_of_a_user_who_has_more() {
        let (mut tokens, mut number) = (Tokens::default(), 0);
        let mut issue = |tokens: &mut Tokens, user: &str| {
            number += 1;
            tokens.issue(digest(number), &Bytes::copy_from_slice(user.as_bytes()), 60, Millis(number));
        };
        issue(&mut tokens, "ana");
        for user in 0..15 {
            for _ in 0..MAX_TOKENS_OF_USER {
                issue(&mut tokens, &alloc::format!("user{user}"));
            }
        }
        assert_eq!(tokens.len(), MAX_TOKENS);
        assert!(tokens.get(&digest(1), Millis(20_000)).is_some(), "ana has one");
    }

    #[test]
    fn the_tokens_of_a_user_end_together() {
        let mut tokens = Tokens::default();
        for (number, user) in [(1, "ana"), (2, "bia"), (3, "ana")] {
            tokens.issue(digest(number), &user.into(), 60, Millis(0));
        }
        tokens.end_of_user(&"ana".into());
        assert_eq!((tokens.len(), tokens.deadlines.len(), tokens.of_user.len()), (1, 1, 1));
        assert!(tokens.get(&digest(2), Millis(1)).is_some());
    }
}
