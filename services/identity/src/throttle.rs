//! How often a login may fail: per account, and over all accounts, in sliding windows.
//!
//! An attempt counts as failed from the moment it begins, so that many at once are no way around.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use crate::error::Error;

const ACCOUNT_WINDOW: SignedDuration = SignedDuration::from_mins(15);
const ALL_WINDOW: SignedDuration = SignedDuration::from_mins(1);

/// The limits; see the settings of the same names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub per_account_max: usize,
    pub all_max: usize,
}

/// Come back later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Throttled {
    pub retry_after_secs: u32,
}

/// The failures of late. Its size is bounded by the limit over all accounts.
#[derive(Debug)]
pub(crate) struct Throttle {
    limits: Limits,
    all: VecDeque<Timestamp>,
    accounts: HashMap<String, VecDeque<Timestamp>>,
    /// Accounts at which the stale ones are swept out.
    accounts_max: usize,
}

impl Throttle {
    #[must_use]
    pub(crate) fn new(limits: Limits) -> Self {
        // More accounts than this can't fail within one window.
        let windows = ACCOUNT_WINDOW.as_secs() / ALL_WINDOW.as_secs() + 1;
        let accounts_max = limits
            .all_max
            .saturating_mul(usize::try_from(windows).unwrap_or(1));
        Self {
            limits,
            all: VecDeque::new(),
            accounts: HashMap::new(),
            accounts_max,
        }
    }

    /// Counts an attempt at `account`.
    ///
    /// # Errors
    /// When too many failed; the attempt is not counted then.
    pub(crate) fn attempt(&mut self, account: &str, now: Timestamp) -> Result<(), Throttled> {
        forget(&mut self.all, ALL_WINDOW, now);
        room(&self.all, self.limits.all_max, ALL_WINDOW, now)?;
        if self.accounts.len() >= self.accounts_max {
            self.accounts.retain(|_, failures| {
                forget(failures, ACCOUNT_WINDOW, now);
                !failures.is_empty()
            });
        }
        let failures = self.accounts.entry(account.to_owned()).or_default();
        forget(failures, ACCOUNT_WINDOW, now);
        room(failures, self.limits.per_account_max, ACCOUNT_WINDOW, now)?;
        failures.push_back(now);
        self.all.push_back(now);
        Ok(())
    }

    /// The attempt of `at` was no failure of the caller's: it never happened.
    pub(crate) fn take_back(&mut self, account: &str, at: Timestamp) {
        remove(&mut self.all, at);
        if let Some(failures) = self.accounts.get_mut(account) {
            remove(failures, at);
            if failures.is_empty() {
                self.accounts.remove(account);
            }
        }
    }

    /// The attempt of `at` succeeded: the account's failures were its owner's typing.
    pub(crate) fn succeed(&mut self, account: &str, at: Timestamp) {
        remove(&mut self.all, at);
        self.accounts.remove(account);
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

    /// Lets a login at `account` be tried, unless too many failed.
    ///
    /// # Errors
    /// The login's, or that it is throttled.
    pub(crate) async fn pass<T>(
        &self,
        account: &str,
        now: Timestamp,
        login: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        self.with(|throttle| throttle.attempt(account, now))
            .map_err(|Throttled { retry_after_secs }| Error::Throttled { retry_after_secs })?;
        let outcome = login.await;
        match &outcome {
            Ok(_) => self.with(|throttle| throttle.succeed(account, now)),
            Err(Error::CredentialsWrong) => {}
            Err(_) => self.with(|throttle| throttle.take_back(account, now)),
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

    fn throttle(per_account_max: usize, all_max: usize) -> Throttle {
        Throttle::new(Limits {
            per_account_max,
            all_max,
        })
    }

    #[test]
    fn an_account_waits_until_its_oldest_failure_is_forgotten() {
        let mut throttle = throttle(2, 100);
        assert_eq!(throttle.attempt("a", at(0)), Ok(()));
        assert_eq!(throttle.attempt("a", at(10)), Ok(()));
        let refused = throttle.attempt("a", at(60)).unwrap_err();
        assert_eq!(refused.retry_after_secs, 841);
        assert_eq!(throttle.attempt("b", at(60)), Ok(()), "others are not concerned");
        assert!(throttle.attempt("a", at(899)).is_err());
        assert_eq!(throttle.attempt("a", at(60 + 841)), Ok(()));
    }

    #[test]
    fn all_accounts_together_have_a_limit() {
        let mut throttle = throttle(10, 3);
        for account in ["a", "b", "c"] {
            assert_eq!(throttle.attempt(account, at(0)), Ok(()));
        }
        assert_eq!(
            throttle.attempt("d", at(59)),
            Err(Throttled { retry_after_secs: 2 })
        );
        assert_eq!(throttle.attempt("d", at(61)), Ok(()));
    }

    #[test]
    fn a_success_clears_the_account() {
        let mut throttle = throttle(2, 100);
        throttle.attempt("a", at(0)).unwrap();
        throttle.attempt("a", at(1)).unwrap();
        throttle.succeed("a", at(1));
        assert_eq!(throttle.attempt("a", at(2)), Ok(()));
    }

    #[test]
    fn an_attempt_that_could_not_be_made_does_not_count() {
        let mut throttle = throttle(1, 1);
        throttle.attempt("a", at(0)).unwrap();
        throttle.take_back("a", at(0));
        assert_eq!(throttle.attempt("a", at(0)), Ok(()));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_failures_than_its_limit_and_the_memory_is_bounded(
            attempts in prop::collection::vec((0..60_u8, 0..20_i64), 1..400)
        ) {
            let mut throttle = throttle(3, 4);
            let (mut now, mut passed) = (0, Vec::new());
            for (account, wait) in attempts {
                now += wait;
                if throttle.attempt(&account.to_string(), at(now)).is_ok() {
                    passed.push((account, now));
                }
                let within = |secs: i64| passed.iter().filter(move |(_, then)| now - then < secs);
                prop_assert!(within(60).count() <= 4);
                prop_assert!(within(900).filter(|(other, _)| *other == account).count() <= 3);
                prop_assert!(throttle.accounts.len() <= throttle.accounts_max);
            }
        }
    }
}
