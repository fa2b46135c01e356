//! What happens: one operation a file, each with its transaction on one screen.

mod check_ledger;
mod mature;
mod publish_plan;
mod take_in;

#[cfg(test)]
pub(crate) use check_ledger::check_ledger;
pub(crate) use check_ledger::check_ledger_until_stopped;
#[cfg(test)]
pub(crate) use mature::mature_due;
pub(crate) use mature::mature_until_stopped;
pub(crate) use publish_plan::publish_plan;
pub(crate) use take_in::{Outcome, Receipt, take_in};

/// What has not happened yet is counted at zero: a rate needs a beginning.
pub(crate) fn count_from_zero() {
    metrics::counter!("referral_orders_not_matured_total").increment(0);
    for outcome in Outcome::ALL {
        metrics::counter!("referral_order_events_total", "outcome" => outcome.name()).increment(0);
    }
}
