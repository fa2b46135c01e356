//! Keeping to the rates that hold for a chunk, of all workers together: its mass message's, its tenant's on the channel,
//! its sending member's.
//!
//! A worker takes tokens for up to a second at a time: a stretch of time that no other worker got, in which its calls
//! start evenly spaced. It does not wait long for them: a slow mass message must not hold the lanes that others need.

use std::time::{Duration, Instant};

use contracts::MemberId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::broadcast::{ChannelName, RatePerS};
use crate::chunk::ChunkKey;
use crate::error::Error;
use crate::store;

const LEASE_SECS: usize = 1;
/// How long after its claim a chunk may keep its lane waiting for tokens.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How much may be sent over a channel in a second, of all mass messages together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"channel": "inbox", "rate_per_s": 5000, "member_rate_per_s": 200}))]
pub(crate) struct AccountRate {
    pub channel: ChannelName,
    /// By the whole tenant; unlimited when null.
    pub rate_per_s: Option<RatePerS>,
    /// By each member, in her own name; unlimited when null.
    pub member_rate_per_s: Option<RatePerS>,
}

/// The rates of each channel that has one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct AccountRates {
    pub items: Vec<AccountRate>,
}

/// The rates that hold for a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rates {
    pub channel: ChannelName,
    pub member: MemberId,
    pub of_broadcast: Option<i32>,
    pub of_tenant: Option<i32>,
    pub of_member: Option<i32>,
}

impl Rates {
    fn lowest(&self) -> Option<i32> {
        [self.of_broadcast, self.of_tenant, self.of_member]
            .into_iter()
            .flatten()
            .min()
    }

    /// The accounts with a rate, in the order in which everybody takes their tokens.
    fn accounts(&self) -> impl Iterator<Item = (MemberId, i32)> {
        let tenant = self.of_tenant.map(|rate| (MemberId(Uuid::nil()), rate));
        let member = self.of_member.map(|rate| (self.member, rate));
        tenant.into_iter().chain(member)
    }
}

/// When the calls of a sub-batch may start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pace {
    start: Instant,
    gap: Duration,
}

impl Pace {
    /// Without a limit: all at once.
    pub(crate) fn free() -> Self {
        Self {
            start: Instant::now(),
            gap: Duration::ZERO,
        }
    }

    /// When the `i`th call may start.
    pub(crate) fn at(&self, i: usize) -> Instant {
        self.start + self.gap * u32::try_from(i).unwrap_or(u32::MAX)
    }
}

/// One worker's share of the rate while it sends one chunk.
pub(crate) struct Limiter {
    chunk: ChunkKey,
    rates: Rates,
    patient_until: Instant,
    next: Pace,
    tokens: usize,
}

impl Limiter {
    pub(crate) fn new(chunk: ChunkKey, rates: Rates, claimed: Instant) -> Self {
        Self {
            patient_until: claimed + PATIENCE,
            chunk,
            rates,
            next: Pace::free(),
            tokens: 0,
        }
    }

    /// Recipients per sub-batch: never more than a second's worth, so that a channel which takes a sub-batch at once
    /// keeps to the rate as well.
    pub(crate) fn sub_batch(&self, recipients_max: usize) -> usize {
        self.rates
            .lowest()
            .and_then(|rate| usize::try_from(rate).ok())
            .map_or(recipients_max, |rate| recipients_max.min(rate * LEASE_SECS))
            .max(1)
    }

    /// The pace of the next `wanted` calls of the `left` ones there are; none when they are due so late that the lane is
    /// better given to another chunk. One statement a second and rate, none without a limit.
    pub(crate) async fn take(
        &mut self,
        state: &State,
        wanted: usize,
        left: usize,
    ) -> Result<Option<Pace>, Error> {
        let Some(rate_per_s) = self.rates.lowest() else {
            return Ok(Some(Pace::free()));
        };
        if self.tokens < wanted {
            let tokens = tokens(rate_per_s, wanted, left);
            let Some(wait_secs) = self.lease(state, tokens).await? else {
                return Ok(None);
            };
            let start = Instant::now() + Duration::from_secs_f64(wait_secs);
            self.next = Pace {
                start,
                gap: Duration::from_secs(1) / rate_per_s.unsigned_abs(),
            };
            self.tokens = usize::try_from(tokens).unwrap_or_default();
        }
        let pace = self.next;
        self.tokens -= wanted;
        self.next.start = pace.at(wanted);
        Ok(Some(pace))
    }

    /// Tokens of every rate or of none: how long until the last of them is due.
    async fn lease(&self, state: &State, tokens: i32) -> Result<Option<f64>, Error> {
        let patience = self.patient_until.saturating_duration_since(Instant::now());
        let wait_secs_max = patience.as_secs_f64();
        let mut tx = state.db.begin(self.chunk.tenant).await?;
        let mut wait_secs = 0.0_f64;
        if let Some(rate_per_s) = self.rates.of_broadcast {
            let taken =
                store::lease::take_tokens(&mut *tx, self.chunk, tokens, rate_per_s, wait_secs_max).await?;
            let Some(wait) = taken else { return Ok(None) };
            wait_secs = wait_secs.max(wait);
        }
        for (member, rate_per_s) in self.rates.accounts() {
            let (tenant, channel) = (self.chunk.tenant, self.rates.channel);
            let stretch_secs = f64::from(tokens) / f64::from(rate_per_s);
            let taken =
                store::account::take_tokens(&mut *tx, tenant, channel, member, stretch_secs, wait_secs_max)
                    .await?;
            let Some(wait) = taken else { return Ok(None) };
            wait_secs = wait_secs.max(wait);
        }
        tx.commit().await?;
        Ok(Some(wait_secs))
    }
}

/// As many whole sub-batches as a second has tokens for, so that none is left over when the next stretch is taken;
/// or all that is left, if that is less.
fn tokens(rate_per_s: i32, wanted: usize, left: usize) -> i32 {
    let second = usize::try_from(rate_per_s)
        .unwrap_or(usize::MAX)
        .saturating_mul(LEASE_SECS);
    let whole = (second / wanted).max(1) * wanted;
    i32::try_from(whole.min(left)).unwrap_or(i32::MAX)
}

#[cfg(test)]
mod tests {
    use contracts::{BroadcastId, TenantId};
    use proptest::prelude::*;

    use super::*;

    fn limiter(rate_per_s: Option<i32>) -> Limiter {
        let chunk = ChunkKey {
            tenant: TenantId::new(),
            broadcast: BroadcastId::new(),
            n: 0,
        };
        let rates = Rates {
            channel: ChannelName::Inbox,
            member: MemberId::new(),
            of_broadcast: None,
            of_tenant: rate_per_s,
            of_member: rate_per_s.map(|rate| rate + 1),
        };
        Limiter::new(chunk, rates, Instant::now())
    }

    #[test]
    fn a_sub_batch_is_at_most_a_second() {
        assert_eq!(limiter(None).sub_batch(50), 50);
        assert_eq!(limiter(Some(200)).sub_batch(50), 50);
        assert_eq!(limiter(Some(7)).sub_batch(50), 7);
    }

    #[test]
    fn calls_are_evenly_spaced() {
        let pace = Pace {
            start: Instant::now(),
            gap: Duration::from_millis(5),
        };
        assert_eq!(pace.at(10) - pace.at(9), Duration::from_millis(5));
    }

    proptest! {
        #[test]
        fn no_token_is_wasted(rate in 1i32..10_000, recipients in 1usize..500) {
            let limiter = limiter(Some(rate));
            let (sub_batch, mut held) = (limiter.sub_batch(50), 0);
            for i in 0..recipients.div_ceil(sub_batch) {
                let left = recipients - i * sub_batch;
                let wanted = sub_batch.min(left);
                if held < wanted {
                    prop_assert_eq!(held, 0);
                    held = usize::try_from(tokens(rate, wanted, left)).unwrap();
                    prop_assert!(held <= usize::try_from(rate).unwrap());
                }
                prop_assert!(wanted <= held);
                held -= wanted;
            }
            prop_assert_eq!(held, 0);
        }
    }
}
