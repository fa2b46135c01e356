//! Checking the ledger as an auditor would: each tenant's trial balance is zero, and nothing is held past its day.
//!
//! The database refuses what does not balance, so this finds what went around it: a restore that is torn, a hand that
//! wrote as superuser, a balance that lost a delta. Cost: two statements a minute; the first reads every balance once
//! (a row per account), the second an index.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::State;
use crate::error::Error;
use crate::store;

const EVERY: Duration = Duration::from_secs(60);
/// Orders mature every second; one that is due for longer is stuck.
const OVERDUE_AFTER_SECS: f64 = 60.0;
const ORDERS_COUNTED_MAX: i64 = 10_000;

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Ledgers, one per tenant and currency, whose accounts do not sum to zero.
    pub(crate) unbalanced: i64,
    /// Orders whose commissions should have matured.
    pub(crate) overdue: i64,
}

/// Checks every minute until `stopping`. The time of the last whole check is told, so that silence is noticed.
pub(crate) async fn check_ledger_until_stopped(state: State, stopping: CancellationToken) {
    metrics::gauge!("referral_ledger_checked_timestamp_seconds").set(0.0);
    while !stopping.is_cancelled() {
        match check_ledger(&state).await {
            Ok(found) => {
                if found.unbalanced > 0 {
                    tracing::error!(ledgers = found.unbalanced, "accounts do not sum to zero");
                }
                metrics::gauge!("referral_ledgers_unbalanced").set(found.unbalanced as f64);
                metrics::gauge!("referral_orders_overdue").set(found.overdue as f64);
                let now = state.clock.now().as_second();
                metrics::gauge!("referral_ledger_checked_timestamp_seconds").set(now as f64);
            }
            Err(error) => tracing::warn!(%error, "ledger not checked, tried again"),
        }
        stopping.run_until_cancelled(tokio::time::sleep(EVERY)).await;
    }
}

pub(crate) async fn check_ledger(state: &State) -> Result<Findings, Error> {
    let mut everyone = state.db.begin_everyone().await?;
    Ok(Findings {
        unbalanced: store::journal::unbalanced(&mut *everyone).await?,
        overdue: store::order::overdue(&mut *everyone, OVERDUE_AFTER_SECS, ORDERS_COUNTED_MAX).await?,
    })
}
