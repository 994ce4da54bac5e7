//! Who may knock at a node's SSH server, and how often.
//!
//! Places for connections that have not logged in yet are few and shared out by address, so that
//! who only knocks keeps nobody out that has a key. An address that fails to log in too often is
//! not listened to for a while (`PerSourcePenalties` of OpenSSH 9.8).

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Connections of all addresses that may be about to log in (`MaxStartups` of OpenSSH).
const MAX_STARTING: usize = 100;
/// The same of one address.
const MAX_STARTING_OF_ONE: usize = 20;
/// Failures within [`PENALTY`] after which an address is not listened to.
const MAX_FAILURES: u32 = 10;
/// How long failures are remembered, from the last one.
const PENALTY: Duration = Duration::from_secs(60);
/// Addresses whose failures are remembered; with more, the one that failed longest ago is forgotten.
const MAX_REMEMBERED: usize = 4_096;

/// What is known of those who knock.
#[derive(Clone, Default)]
pub(super) struct Guard(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    starting: BTreeMap<IpAddr, usize>,
    failures: BTreeMap<IpAddr, Failures>,
}

struct Failures {
    count: u32,
    last: Instant,
}

/// A place among those who are about to log in; given back when it is dropped.
pub(super) struct Starting {
    guard: Guard,
    from: IpAddr,
}

impl Guard {
    /// A place for a new connection.
    ///
    /// # Errors
    /// Why it is not listened to.
    pub(super) fn admit(&self, from: IpAddr) -> Result<Starting, &'static str> {
        let mut state = self.state();
        state.failures.retain(|_, failures| failures.last.elapsed() < PENALTY);
        if state.failures.get(&from).is_some_and(|failures| failures.count >= MAX_FAILURES) {
            return Err("too many failures from there");
        }
        if state.starting.values().sum::<usize>() >= MAX_STARTING {
            return Err("too many who have not logged in");
        }
        let of_one = state.starting.entry(from).or_default();
        if *of_one >= MAX_STARTING_OF_ONE {
            return Err("too many from there who have not logged in");
        }
        *of_one += 1;
        Ok(Starting { guard: self.clone(), from })
    }

    /// A connection from there was not let in.
    pub(super) fn failed(&self, from: IpAddr) {
        let mut state = self.state();
        let now = Instant::now();
        let failures = state.failures.entry(from).or_insert(Failures { count: 0, last: now });
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
        if state.failures.len() > MAX_REMEMBERED {
            let oldest = state.failures.iter().min_by_key(|(_, failures)| failures.last);
            if let Some(oldest) = oldest.map(|(from, _)| *from) {
                state.failures.remove(&oldest);
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        let mut state = self.guard.state();
        if let Some(count) = state.starting.get_mut(&self.from) {
            *count -= 1;
            if *count == 0 {
                state.starting.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(last: u8) -> IpAddr {
        [10, 0, 0, last].into()
    }

    #[tokio::test(start_paused = true)]
    async fn who_fails_too_often_waits_and_the_others_do_not() {
        let guard = Guard::default();
        for _ in 0..MAX_FAILURES {
            drop(guard.admit(from(1)).unwrap());
            guard.failed(from(1));
        }
        assert_eq!(guard.admit(from(1)).err(), Some("too many failures from there"));
        assert!(guard.admit(from(2)).is_ok());
        tokio::time::sleep(PENALTY).await;
        assert!(guard.admit(from(1)).is_ok());
        assert!(guard.state().failures.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_only_knocks_keeps_nobody_out() {
        let guard = Guard::default();
        let held: Vec<Starting> = (0..MAX_STARTING_OF_ONE).map(|_| guard.admit(from(1)).unwrap()).collect();
        assert_eq!(guard.admit(from(1)).err(), Some("too many from there who have not logged in"));
        assert!(guard.admit(from(2)).is_ok());
        drop(held);
        assert!(guard.admit(from(1)).is_ok());
        assert!(guard.state().starting.is_empty());
        let held: Vec<Starting> = (0..=255).map_while(|last| guard.admit(from(last)).ok()).collect();
        assert_eq!(held.len(), MAX_STARTING);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_remembered_is_bounded() {
        let guard = Guard::default();
        for number in 0..=u32::try_from(MAX_REMEMBERED).unwrap() {
            guard.failed(std::net::Ipv4Addr::from_bits(number).into());
        }
        assert_eq!(guard.state().failures.len(), MAX_REMEMBERED);
    }
}
