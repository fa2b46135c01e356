//! What happens: one operation a file, each with its transaction on one screen.

mod accept;
mod address;
pub(crate) mod away;
mod cancel;
mod cancel_task;
mod claim;
mod click;
mod close;
mod confirm;
pub(crate) mod dispatch;
mod expire;
mod finish;
mod forecast;
mod make_list;
pub(crate) mod old;
mod opt_out;
mod pause;
mod preview;
mod read_message;
pub(crate) mod reconcile;
mod remind;
mod replay_dead;
pub(crate) mod report;
mod reschedule;
mod resolve;
mod resume;
mod rotate_link_key;
mod rotate_secret;
pub(crate) mod send;
mod set_cap_policy;
mod set_quiet_hours;
mod set_rate;
mod set_webhook;
pub(crate) mod settle;

pub(crate) use accept::accept;
pub(crate) use cancel::cancel;
pub(crate) use cancel_task::cancel_task;
pub(crate) use claim::{Claim, Claimed, claim};
pub(crate) use click::{count_clicks, follow};
pub(crate) use close::close;
pub(crate) use confirm::confirm;
pub(crate) use dispatch::dispatch;
pub(crate) use expire::expire;
pub(crate) use finish::finish;
pub(crate) use forecast::forecast;
pub(crate) use make_list::make_list;
pub(crate) use opt_out::{check_link, opt_out};
pub(crate) use pause::pause;
pub(crate) use preview::{preview, preview_task};
pub(crate) use read_message::read_message;
pub(crate) use reconcile::reconcile;
pub(crate) use remind::remind;
pub(crate) use replay_dead::replay_dead;
pub(crate) use reschedule::reschedule;
pub(crate) use resolve::resolve;
pub(crate) use resume::resume;
pub(crate) use rotate_link_key::rotate_link_key;
pub(crate) use rotate_secret::rotate_secret;
pub(crate) use send::{Answer, send};
pub(crate) use set_cap_policy::set_cap_policy;
pub(crate) use set_quiet_hours::set_quiet_hours;
pub(crate) use set_rate::set_rate;
pub(crate) use set_webhook::set_webhook;

use contracts::{BroadcastId, TenantId};
use jiff::tz::TimeZone;

use crate::State;
use crate::broadcast::Progress;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::schedule::Schedule;
use crate::store;
use crate::store::receipt::Ending;
use crate::zone;

/// Shares shown with a mass message.
const TASKS_SHOWN_MAX: i64 = 500;

/// One item of a sweep over all tenants: a failure is logged, so that it keeps nobody else waiting.
fn is_done(what: &'static str, done: Result<(), Error>) -> bool {
    if let Err(error) = &done {
        tracing::warn!(
            error = error.chain(),
            what,
            "one of many failed and is tried again"
        );
    }
    done.is_ok()
}

/// Counts recipients whose end is committed. Whoever was ended twice, as after a crash, is counted twice here and
/// once in the database.
fn count(endings: &[Ending]) {
    for outcome in Outcome::ALL {
        let recipients = endings.iter().filter(|ending| ending.outcome == outcome).count() as u64;
        if recipients > 0 {
            metrics::counter!("broadcast_recipients_total", "outcome" => outcome.name())
                .increment(recipients);
        }
    }
}

/// What has not happened yet is counted at zero: a rate needs a beginning.
pub(crate) fn count_from_zero() {
    for outcome in Outcome::ALL {
        metrics::counter!("broadcast_recipients_total", "outcome" => outcome.name()).increment(0);
    }
    metrics::counter!("broadcast_chunks_dispatched_total").increment(0);
    metrics::counter!("broadcast_leases_expired_total").increment(0);
    metrics::counter!("broadcast_hints_lost_total").increment(0);
    metrics::counter!("broadcast_chunks_away_total").increment(0);
    metrics::counter!("broadcast_clicks_lost_total").increment(0);
}

/// Gives each chunk the time from which its zone is sent to; none where all zones have the same. The mass message is
/// locked.
async fn set_times(
    db: &mut sqlx::PgConnection,
    broadcast: BroadcastId,
    schedule: &Schedule,
    tenants: &TimeZone,
) -> Result<(), Error> {
    let mut times = vec![];
    if schedule.send_at_local.is_some() {
        for zone in store::chunk::zones(&mut *db, broadcast).await? {
            let begins = schedule.begins(&zone::of_chunk(zone, tenants));
            times.extend(begins.map(|at| (zone, at)));
        }
    }
    Ok(store::chunk::set_times(db, broadcast, &times).await?)
}

/// A mass message with its progress, read in the caller's transaction.
pub(crate) async fn progress(db: &mut sqlx::PgConnection, broadcast: BroadcastId) -> Result<Progress, Error> {
    let found = store::broadcast::find(&mut *db, broadcast)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    let tally = store::chunk::tally(&mut *db, broadcast).await?;
    let tasks = store::task::of_broadcast(&mut *db, broadcast, TASKS_SHOWN_MAX).await?;
    let clicks = match found.has_short_links() {
        true => Some(store::click::total(&mut *db, broadcast).await?),
        false => None,
    };
    Ok(Progress {
        clicks,
        broadcast: found,
        audience: tally.audience,
        outcomes: tally.outcomes,
        tasks,
    })
}

/// Refuses to tell of recipients one by one when that is forgotten, rather than to tell of nobody.
pub(crate) async fn check_receipts(
    db: &mut sqlx::PgConnection,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> Result<(), Error> {
    match store::old::summed_up(db, tenant, broadcast).await? {
        Some(_) => Err(Error::ReceiptsForgotten),
        None => Ok(()),
    }
}

/// A mass message of the tenant with its progress.
pub(crate) async fn look_up(
    state: &State,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> Result<Progress, Error> {
    progress(&mut *state.db.read(tenant).await?, broadcast).await
}
