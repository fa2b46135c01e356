//! Calls to a receiver, one per recipient: what webhooks and mail servers have in common (decisions/0005).
//!
//! A recipient dies when the receiver refuses, or fails five times on it while it takes others. A receiver that takes
//! nobody is away: nobody dies of that for hours, and it costs next to no lane.

use std::time::{Duration, Instant};

use contracts::ContactId;
use futures::future::BoxFuture;
use futures::{StreamExt as _, stream};

use super::account::{Account, jitter};
use super::{Delivered, Delivery};
use crate::config::Knobs;
use crate::failure::Failure;
use crate::grip::{Grip, Released};
use crate::outcome::Outcome;
use crate::webhook::back_off;

/// Attempts for a recipient while the receiver answers nobody, one if that took its time; the chunk comes again.
const SILENT_ATTEMPTS_MAX: u32 = 3;

/// An attempt that the receiver did not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) failure: Failure,
    pub(super) retry_after: Option<Duration>,
    pub(super) is_handed: bool,
}

/// What became of one recipient.
pub(super) enum Called {
    Ended(Delivery),
    /// For later: the grip is gone.
    Released {
        is_handed: bool,
    },
    /// For later: the receiver is away, or has asked for that much time.
    Away {
        is_handed: bool,
        asked: Option<Duration>,
    },
}

/// What the calls of a sub-batch look at.
#[derive(Clone, Copy)]
pub(super) struct Caller<'a> {
    pub(super) account: &'a Account,
    pub(super) knobs: &'a Knobs,
    pub(super) grip: &'a Grip,
    /// Then one attempt says enough.
    pub(super) is_trial: bool,
}

impl Caller<'_> {
    /// One recipient: up to `webhook_attempts_max` attempts, none of them started without the grip, and none beyond what
    /// the account's budget has.
    pub(super) async fn call<F>(
        &self,
        contact: ContactId,
        due: Instant,
        attempt: impl Fn() -> F + Send,
    ) -> Called
    where
        F: Future<Output = Result<(), Failed>> + Send,
    {
        let ended = |outcome, is_handed, failure| {
            Called::Ended(Delivery {
                contact,
                outcome,
                is_handed,
                failure,
            })
        };
        let (mut at, mut is_handed, mut attempts) = (due, false, 0);
        loop {
            match self.grip.wait_until(at).await {
                None => {}
                Some(Released::Cancelled) if is_handed => return ended(Outcome::Cancelled, true, None),
                Some(_) => return Called::Released { is_handed },
            }
            if self.account.is_down() {
                return Called::Away {
                    is_handed,
                    asked: None,
                };
            }
            attempts += 1;
            let failed = match attempt().await {
                Ok(()) => {
                    self.account.has_answered();
                    return ended(Outcome::Delivered, true, None);
                }
                Err(failed) => failed,
            };
            is_handed |= failed.is_handed;
            if failed.failure.is_final() {
                self.account.has_answered();
                return ended(Outcome::Dead, true, Some(failed.failure));
            }
            self.account.has_failed();
            let (failure, asked) = (failed.failure, failed.retry_after);
            if self.is_trial {
                return Called::Away { is_handed, asked };
            }
            if attempts == self.knobs.webhook_attempts_max {
                return match !failure.is_the_receivers() && self.account.answers() {
                    true => ended(Outcome::Dead, is_handed, Some(failure)),
                    false => Called::Away { is_handed, asked },
                };
            }
            // A lane is too dear to wait longer in it, or for one that has answered nobody.
            let is_long = asked.is_some_and(|asked| asked > self.knobs.retry_after_max());
            let is_dear = attempts >= SILENT_ATTEMPTS_MAX || failure == Failure::TimedOut;
            let is_silent = is_dear && !self.account.answers();
            if is_long || is_silent || !self.account.take_retry() {
                return Called::Away { is_handed, asked };
            }
            at = Instant::now() + asked.unwrap_or_else(|| jitter(back_off(attempts)));
        }
    }

    /// Makes the calls, so many at once, and says what became of them all.
    pub(super) async fn gather(&self, calls: Vec<BoxFuture<'_, Called>>, at_once: usize) -> Delivered {
        let mut calls = stream::iter(calls).buffer_unordered(at_once);
        let mut delivered = Delivered::default();
        while let Some(called) = calls.next().await {
            match called {
                Called::Ended(delivery) => delivered.deliveries.push(delivery),
                Called::Released { is_handed } => delivered.is_in_doubt |= is_handed,
                Called::Away { is_handed, asked } => {
                    delivered.is_in_doubt |= is_handed;
                    let away = delivered.away.get_or_insert_default();
                    away.asked = away.asked.max(asked);
                }
            }
        }
        if let Some(away) = &mut delivered.away {
            away.is_answering = self.account.answers();
        }
        delivered
    }
}
