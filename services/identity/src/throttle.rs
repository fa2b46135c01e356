//! How often a login may fail: per account and client, per client, per account, and over all, in sliding windows.
//!
//! An attempt counts as failed from the moment it begins, so that many at once are no way around.

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::error::Error;

const WINDOW: SignedDuration = SignedDuration::from_mins(15);
const ALL_WINDOW: SignedDuration = SignedDuration::from_mins(1);
/// One client's failures don't keep others from an account, but a crowd's do: so many times a client's.
const STRANGERS: usize = 10;
/// An attempt is counted under its account and client, its client, and its account.
const KEYS_EACH: usize = 3;
/// Clients that an account's owner has logged in from, over all accounts; more, and all are forgotten.
const KNOWN_MAX: usize = 100_000;

/// The limits; see the settings of the same names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub per_account_max: usize,
    pub per_address_max: usize,
    pub all_max: usize,
}

/// Come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub retry_after_secs: u32,
}

/// Who tries, and as whom.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Try {
    /// What was typed, known or not.
    pub account: String,
    /// The client's address, when it can be known.
    pub address: Option<IpAddr>,
}

/// What failures are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// An account, tried by one client, or by clients that can't be told apart.
    Pair(Try),
    Address(IpAddr),
    Account(String),
}

/// The failures of late. Its size is bounded by the limit over all.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: Limits,
    all: VecDeque<Timestamp>,
    failures: HashMap<Key, VecDeque<Timestamp>>,
    /// Keys at which the stale ones are swept out.
    keys_max: usize,
    /// Whom strangers' failures don't keep out.
    known: HashSet<Try>,
}

impl Throttle {
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        // More keys than this can't fail within one window.
        let windows = WINDOW.as_secs() / ALL_WINDOW.as_secs() + 1;
        let keys_max = limits
            .all_max
            .saturating_mul(usize::try_from(windows).unwrap_or(1))
            .saturating_mul(KEYS_EACH);
        Self {
            limits,
            all: VecDeque::new(),
            failures: HashMap::new(),
            keys_max,
            known: HashSet::new(),
        }
    }

    /// What an attempt is counted by, each with its limit.
    fn keys(&self, attempt: &Try) -> Vec<(Key, usize)> {
        let Limits {
            per_account_max,
            per_address_max,
            ..
        } = self.limits;
        let mut keys = vec![(Key::Pair(attempt.clone()), per_account_max)];
        if let Some(address) = attempt.address {
            keys.push((Key::Address(address), per_address_max));
            if !self.known.contains(attempt) {
                let crowd_max = per_account_max.saturating_mul(STRANGERS);
                keys.push((Key::Account(attempt.account.clone()), crowd_max));
            }
        }
        keys
    }

    /// Counts an attempt.
    ///
    /// # Errors
    /// When too many failed; the attempt is not counted then.
    pub(crate) fn attempt(&mut self, attempt: &Try, now: Timestamp) -> Result<(), Throttled> {
        forget(&mut self.all, ALL_WINDOW, now);
        room(&self.all, self.limits.all_max, ALL_WINDOW, now)?;
        if self.failures.len() + KEYS_EACH > self.keys_max {
            self.failures.retain(|_, failures| {
                forget(failures, WINDOW, now);
                !failures.is_empty()
            });
        }
        let keys = self.keys(attempt);
        for (key, max) in &keys {
            if let Some(failures) = self.failures.get_mut(key) {
                forget(failures, WINDOW, now);
                room(failures, *max, WINDOW, now)?;
            }
        }
        for (key, _) in keys {
            self.failures.entry(key).or_default().push_back(now);
        }
        self.all.push_back(now);
        Ok(())
    }

    /// The attempt of `at` was no failure of the caller's: it never happened.
    pub(crate) fn take_back(&mut self, attempt: &Try, at: Timestamp) {
        remove(&mut self.all, at);
        for (key, _) in self.keys(attempt) {
            if let Some(failures) = self.failures.get_mut(&key) {
                remove(failures, at);
                if failures.is_empty() {
                    self.failures.remove(&key);
                }
            }
        }
    }

    /// The attempt of `at` succeeded: this client's failures at the account were its owner's typing.
    pub(crate) fn succeed(&mut self, attempt: &Try, at: Timestamp) {
        self.take_back(attempt, at);
        self.failures.remove(&Key::Pair(attempt.clone()));
        if self.known.len() >= KNOWN_MAX {
            self.known.clear();
        }
        if attempt.address.is_some() {
            self.known.insert(attempt.clone());
        }
    }
}

fn forget(failures: &mut VecDeque<Timestamp>, window: SignedDuration, now: Timestamp) {
    while failures
        .front()
        .is_some_and(|at| now.duration_since(*at) >= window)
    {
        failures.pop_front();
    }
}

fn room(
    failures: &VecDeque<Timestamp>,
    max: usize,
    window: SignedDuration,
    now: Timestamp,
) -> Result<(), Throttled> {
    match failures.front() {
        Some(oldest) if failures.len() >= max => {
            let wait = window - now.duration_since(*oldest);
            // Rounded up: a caller who waits as told gets through.
            let secs = u32::try_from(wait.as_secs())
                .unwrap_or(u32::MAX)
                .saturating_add(1);
            Err(Throttled {
                retry_after_secs: secs,
            })
        }
        _ => Ok(()),
    }
}

fn remove(failures: &mut VecDeque<Timestamp>, at: Timestamp) {
    if let Some(index) = failures.iter().position(|failure| *failure == at) {
        failures.remove(index);
    }
}

/// The one door that all logins of this process go through.
#[derive(Clone, Debug)]
pub(crate) struct Gate(Arc<Mutex<Throttle>>);

impl Gate {
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        Self(Arc::new(Mutex::new(Throttle::new(limits))))
    }

    /// Lets a login be tried, unless too many failed.
    ///
    /// # Errors
    /// The login's, or that it is throttled.
    pub(crate) async fn pass<T>(
        &self,
        attempt: Try,
        now: Timestamp,
        login: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.with(|throttle| throttle.attempt(&attempt, now))
            .map_err(|Throttled { retry_after_secs }| Error::Throttled { retry_after_secs })?;
        let outcome = login.await;
        match &outcome {
            Ok(_) => self.with(|throttle| throttle.succeed(&attempt, now)),
            Err(Error::CredentialsWrong) => {}
            Err(_) => self.with(|throttle| throttle.take_back(&attempt, now)),
        }
        outcome
    }

    fn with<T>(&self, work: impl FnOnce(&mut Throttle) -> T) -> T {
        // A panic elsewhere leaves at worst one failure too many.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + secs).unwrap()
    }

    fn throttle(per_account_max: usize, per_address_max: usize, all_max: usize) -> Throttle {
        Throttle::new(Limits {
            per_account_max,
            per_address_max,
            all_max,
        })
    }

    fn unknown(account: &str) -> Try {
        Try {
            account: account.to_owned(),
            address: None,
        }
    }

    fn from(address: u8, account: &str) -> Try {
        Try {
            account: account.to_owned(),
            address: Some([192, 0, 2, address].into()),
        }
    }

    #[test]
    fn an_account_waits_until_its_oldest_failure_is_forgotten() {
        let mut throttle = throttle(2, 100, 100);
        let (a, b) = (unknown("a"), unknown("b"));
        assert_eq!(throttle.attempt(&a, at(0)), Ok(()));
        assert_eq!(throttle.attempt(&a, at(10)), Ok(()));
        let refused = throttle.attempt(&a, at(60)).unwrap_err();
        assert_eq!(refused.retry_after_secs, 841);
        assert_eq!(throttle.attempt(&b, at(60)), Ok(()), "others are not concerned");
        assert!(throttle.attempt(&a, at(899)).is_err());
        assert_eq!(throttle.attempt(&a, at(60 + 841)), Ok(()));
    }

    #[test]
    fn all_accounts_together_have_a_limit() {
        let mut throttle = throttle(10, 100, 3);
        for account in ["a", "b", "c"] {
            assert_eq!(throttle.attempt(&unknown(account), at(0)), Ok(()));
        }
        let refused = throttle.attempt(&unknown("d"), at(59));
        assert_eq!(refused, Err(Throttled { retry_after_secs: 2 }));
        assert_eq!(throttle.attempt(&unknown("d"), at(61)), Ok(()));
    }

    #[test]
    fn one_client_keeps_nobody_else_out() {
        let mut throttle = throttle(2, 5, 100);
        for n in 0..5 {
            throttle.attempt(&from(1, &format!("a{}", n / 2)), at(n)).unwrap();
        }
        assert!(
            throttle.attempt(&from(1, "a0"), at(5)).is_err(),
            "too often at this account"
        );
        assert!(
            throttle.attempt(&from(1, "b"), at(5)).is_err(),
            "too often at all"
        );
        assert_eq!(throttle.attempt(&from(2, "a0"), at(5)), Ok(()));
    }

    #[test]
    fn a_crowd_keeps_strangers_from_an_account_but_not_its_owner() {
        let mut throttle = throttle(1, 100, 1_000);
        let owner = from(0, "a");
        throttle.attempt(&owner, at(0)).unwrap();
        throttle.succeed(&owner, at(0));
        for client in 1..=STRANGERS {
            throttle.attempt(&from(client as u8, "a"), at(1)).unwrap();
        }
        assert!(throttle.attempt(&from(100, "a"), at(2)).is_err());
        assert_eq!(throttle.attempt(&owner, at(2)), Ok(()));
    }

    #[test]
    fn a_success_clears_the_account() {
        for attempt in [unknown("a"), from(1, "a")] {
            let mut throttle = throttle(2, 100, 100);
            throttle.attempt(&attempt, at(0)).unwrap();
            throttle.attempt(&attempt, at(1)).unwrap();
            throttle.succeed(&attempt, at(1));
            assert_eq!(throttle.attempt(&attempt, at(2)), Ok(()));
        }
    }

    #[test]
    fn an_attempt_that_could_not_be_made_does_not_count() {
        for attempt in [unknown("a"), from(1, "a")] {
            let mut throttle = throttle(1, 1, 1);
            throttle.attempt(&attempt, at(0)).unwrap();
            throttle.take_back(&attempt, at(0));
            assert_eq!(throttle.failures.len(), 0);
            assert_eq!(throttle.attempt(&attempt, at(0)), Ok(()));
        }
    }

    proptest! {
        #[test]
        fn no_window_holds_more_failures_than_its_limit_and_the_memory_is_bounded(
            attempts in prop::collection::vec((0..60_u8, 0..4_u8, 0..20_i64), 1..400)
        ) {
            let mut throttle = throttle(2, 3, 4);
            let (mut now, mut passed) = (0, Vec::new());
            for (account, address, wait) in attempts {
                now += wait;
                let attempt = match address {
                    0 => unknown(&account.to_string()),
                    address => from(address, &account.to_string()),
                };
                if throttle.attempt(&attempt, at(now)).is_ok() {
                    passed.push((attempt.clone(), now));
                }
                let within = |secs: i64| passed.iter().filter(move |(_, then)| now - then < secs);
                prop_assert!(within(60).count() <= 4);
                prop_assert!(within(900).filter(|(other, _)| *other == attempt).count() <= 2);
                let address = attempt.address;
                let of_client = within(900).filter(|(other, _)| address.is_some() && other.address == address);
                prop_assert!(of_client.count() <= 3);
                prop_assert!(throttle.failures.len() <= throttle.keys_max);
            }
        }
    }
}
