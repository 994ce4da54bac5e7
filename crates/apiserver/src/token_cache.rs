//! Good bearer tokens, remembered for a few seconds
//! (`apiserver/pkg/authentication/token/cache/cached_token_authenticator.go`).
//!
//! A token that is revoked meanwhile works on until it is forgotten. Refusals are never remembered.

use jiff::{SignedDuration, Timestamp};
use ravelin_auth::token::{Authenticated, TokenRefused};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The most tokens that are remembered; with more, further ones are looked at each time.
const MAX_TOKENS: usize = 32 * 1024;

/// What is known of tokens.
pub(crate) struct TokenCache {
    life: SignedDuration,
    /// By a hash of the token and the audiences asked for: tokens themselves are not kept.
    known: Mutex<BTreeMap<String, Known>>,
}

struct Known {
    since: Timestamp,
    whose: Authenticated,
}

impl TokenCache {
    pub(crate) fn new(life: Duration) -> Self {
        Self { life: SignedDuration::try_from(life).unwrap_or(SignedDuration::ZERO), known: Mutex::default() }
    }

    /// Whose the token is, by memory or by looking.
    pub(crate) fn authenticate(
        &self,
        (token, audiences): (&str, &[String]),
        now: Timestamp,
        look: impl FnOnce() -> Result<Authenticated, TokenRefused>,
    ) -> Result<Authenticated, TokenRefused> {
        if self.life.is_zero() {
            return look();
        }
        let key = key(token, audiences);
        let fresh = |known: &Known| {
            let age = now.duration_since(known.since);
            // A clock that was set back makes no memory last longer.
            !age.is_negative() && age < self.life
        };
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&key).filter(|known| fresh(known)) {
            return Ok(found.whose.clone());
        }
        known.remove(&key);
        let whose = look()?;
        if known.len() >= MAX_TOKENS {
            known.retain(|_, known| fresh(known));
        }
        if known.len() < MAX_TOKENS {
            known.insert(key, Known { since: now, whose: whose.clone() });
        }
        Ok(whose)
    }
}

/// Lengths stand before texts, so that no two questions look alike.
fn key(token: &str, audiences: &[String]) -> String {
    let mut bytes = Vec::with_capacity(token.len() + 64);
    let mut add = |text: &str| {
        bytes.extend_from_slice(&text.len().to_be_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    add(token);
    audiences.iter().for_each(|audience| add(audience));
    ravelin_pki::fingerprint_sha256(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ravelin_auth::UserInfo;

    fn of(name: &str) -> Result<Authenticated, TokenRefused> {
        Ok(Authenticated { user: UserInfo::new(name, &[]), audiences: Vec::new() })
    }

    #[test]
    fn a_good_token_is_remembered_for_its_time_and_for_its_audiences() {
        let cache = TokenCache::new(Duration::from_secs(10));
        let at = |second: i64| Timestamp::from_second(second).unwrap();
        let vault = ["vault".to_owned()];
        let ask = |audiences: &[String], second: i64, found: Result<Authenticated, TokenRefused>| {
            cache.authenticate(("t", audiences), at(second), || found).map(|whose| whose.user.name)
        };
        let nobody = || Err(TokenRefused::Unknown);
        assert!(ask(&[], 0, nobody()).is_err());
        assert_eq!(ask(&[], 1, of("alice")).unwrap(), "alice", "a refusal is not remembered");
        assert_eq!(ask(&[], 10, nobody()).unwrap(), "alice");
        assert!(ask(&vault, 10, nobody()).is_err(), "for another audience it is another question");
        assert!(ask(&[], 11, nobody()).is_err(), "and then forgotten");
        assert_eq!(ask(&[], 20, of("bob")).unwrap(), "bob");
        assert!(ask(&[], 19, nobody()).is_err(), "before it was known");
    }

    #[test]
    fn without_a_life_nothing_is_remembered() {
        let cache = TokenCache::new(Duration::ZERO);
        let now = Timestamp::UNIX_EPOCH;
        assert!(cache.authenticate(("t", &[]), now, || of("alice")).is_ok());
        assert!(cache.authenticate(("t", &[]), now, || Err(TokenRefused::Unknown)).is_err());
    }
}
