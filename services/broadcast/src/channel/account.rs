//! How a tenant's receiver does, as this process sees it: whether a failure is worth another attempt, and whether it is
//! the receiver's or the recipient's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contracts::TenantId;

use crate::config::Knobs;

/// Retries in hand at the beginning; each answer earns one more, so that they never outnumber what is taken by far.
const RETRIES_AT_FIRST: u32 = 20;
const RETRIES_MAX: u32 = 100;
/// An answer as old as this says nothing of the receiver any more.
const ANSWER_SECS_MAX: u64 = 60;
/// Recipients a receiver fails on one after the other at every attempt; with one more it is the receiver's failure.
const POISONED_IN_ROW_MAX: u32 = 3;
/// Beyond it those that nobody uses are forgotten.
const ACCOUNTS_MAX: usize = 10_000;

/// One tenant's receiver.
#[derive(Debug)]
pub(crate) struct Account(Mutex<Health>);

#[derive(Clone, Copy, Debug)]
struct Health {
    retries: u32,
    failures_in_row: u32,
    failures_max: u32,
    answered: Option<Instant>,
}

impl Health {
    fn answer(&mut self, now: Instant) {
        self.retries = (self.retries + 1).min(RETRIES_MAX);
        self.failures_in_row = 0;
        self.answered = Some(now);
    }

    fn fail(&mut self) {
        self.failures_in_row += 1;
    }

    fn take_retry(&mut self) -> bool {
        let had = self.retries > 0 && !self.is_down();
        self.retries -= u32::from(had);
        had
    }

    fn is_down(&self) -> bool {
        self.failures_in_row >= self.failures_max
    }

    fn answers(&self, now: Instant) -> bool {
        let lately = |at| now.saturating_duration_since(at) < Duration::from_secs(ANSWER_SECS_MAX);
        !self.is_down() && self.answered.is_some_and(lately)
    }
}

impl Account {
    /// Down after so many failures in a row, whoever's calls they were.
    pub(crate) fn new(failures_max: u32) -> Self {
        Self(Mutex::new(Health {
            retries: RETRIES_AT_FIRST,
            failures_in_row: 0,
            failures_max,
            answered: None,
        }))
    }

    fn with<T>(&self, look: impl FnOnce(&mut Health) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A claim gives it another chance, and the retries that go with it.
    pub(crate) fn try_again(&self) {
        self.with(|health| {
            health.failures_in_row = 0;
            health.retries = health.retries.max(RETRIES_AT_FIRST);
        });
    }

    /// It said yes or no.
    pub(crate) fn has_answered(&self) {
        self.with(|health| health.answer(Instant::now()));
    }

    pub(crate) fn has_failed(&self) {
        self.with(Health::fail);
    }

    /// Whether one more attempt is in the budget, which is then spent.
    pub(crate) fn take_retry(&self) -> bool {
        self.with(Health::take_retry)
    }

    /// Whether it does not take anybody's calls.
    pub(crate) fn is_down(&self) -> bool {
        self.with(|health| health.is_down())
    }

    /// Whether it answered somebody lately.
    pub(crate) fn answers(&self) -> bool {
        self.with(|health| health.answers(Instant::now()))
    }
}

/// Those of all tenants.
#[derive(Default)]
pub(crate) struct Accounts(Mutex<HashMap<TenantId, Arc<Account>>>);

impl Accounts {
    /// The tenant's, with another chance: a claim is going to call it.
    pub(crate) fn of(&self, tenant: TenantId, knobs: &Knobs) -> Arc<Account> {
        let failures_max = knobs.webhook_attempts_max * POISONED_IN_ROW_MAX;
        let mut accounts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= ACCOUNTS_MAX {
            accounts.retain(|_, account| Arc::strong_count(account) > 1);
        }
        let account = accounts.entry(tenant);
        let account = account.or_insert_with(|| Arc::new(Account::new(failures_max)));
        account.try_again();
        account.clone()
    }
}

/// How long a receiver is left alone after so many claims in a row that found it away: 1, 2, 4 s … 5 min, more or less.
/// What it asks for itself is honoured, up to an hour.
pub(crate) fn rest(failures: u32, asked: Option<Duration>) -> Duration {
    const OWN_MAX: Duration = Duration::from_secs(5 * 60);
    const ASKED_MAX: Duration = Duration::from_secs(60 * 60);
    let own = Duration::from_secs(1 << failures.saturating_sub(1).min(9)).min(OWN_MAX);
    match asked {
        Some(asked) => asked.min(ASKED_MAX).max(own),
        None => jitter(own),
    }
}

/// Half to one and a half of it, so that those who failed together don't come back together.
pub(crate) fn jitter(wait: Duration) -> Duration {
    wait.mul_f64(0.5 + rand::random::<f64>())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retries_run_out_and_are_earned() {
        let account = Account::new(1_000);
        let spent = std::iter::repeat_with(|| account.take_retry())
            .take_while(|had| *had)
            .count();
        assert_eq!(spent, 20);
        account.has_answered();
        assert!(account.take_retry());
        assert!(!account.take_retry());
        account.try_again();
        assert!(account.take_retry());
    }

    #[test]
    fn many_failures_in_a_row_are_the_receivers() {
        let account = Account::new(3);
        assert!(!account.answers(), "nobody knows yet");
        account.has_answered();
        account.has_failed();
        account.has_failed();
        assert!(account.answers() && !account.is_down());
        account.has_failed();
        assert!(account.is_down() && !account.answers() && !account.take_retry());
        account.has_answered();
        assert!(account.answers());
    }

    #[test]
    fn an_old_answer_says_nothing() {
        let account = Account::new(3);
        account.has_answered();
        let later = Instant::now() + Duration::from_secs(ANSWER_SECS_MAX);
        assert!(!account.with(|health| health.answers(later)));
    }

    proptest! {
        #[test]
        fn rests_grow_and_are_bounded(failures in 1u32..50) {
            let rested = rest(failures, None);
            prop_assert!(rested >= Duration::from_millis(500) && rested <= Duration::from_secs(450));
            let asked = Duration::from_secs(7_200);
            prop_assert_eq!(rest(failures, Some(asked)), Duration::from_secs(3_600));
            prop_assert!(rest(failures, Some(Duration::ZERO)) <= rest(failures, Some(asked)));
        }
    }
}
