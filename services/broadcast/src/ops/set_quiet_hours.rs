//! An operator sets the tenant's quiet hours; they hold at once, also for what waits for the end of those before: it is
//! dispatched again, and waits anew if it is quiet by the new ones, too.
//!
//! Cost: two statements for all chunks that wait, and four for each mass message that is planned by local time and waits.

use chassis::auth::Operator;
use contracts::TenantId;

use crate::State;
use crate::error::Error;
use crate::quiet::QuietHours;
use crate::store;
use crate::zone;

pub(crate) async fn set_quiet_hours(
    state: &State,
    operator: Operator,
    asked: QuietHours,
) -> Result<QuietHours, Error> {
    let mut tx = state.db.begin(operator.tenant).await?;
    let is_changed = match asked.hours {
        Some(hours) => {
            let now = state.clock.now();
            store::quiet::set(&mut *tx, operator.tenant, hours, operator.member, now).await?
        }
        None => store::quiet::lift(&mut *tx, operator.tenant).await?,
    };
    if is_changed {
        wake(&mut tx, operator.tenant).await?;
        tx.audit(operator, "quiet_hours.set", operator.tenant);
    }
    tx.commit().await?;
    Ok(asked)
}

/// Forgets until when chunks waited for the hours before, but not the times their zones begin at.
async fn wake(db: &mut sqlx::PgConnection, tenant: TenantId) -> Result<(), Error> {
    store::chunk::wake(&mut *db, tenant).await?;
    let timed = store::chunk::waiting_timed(&mut *db, tenant).await?;
    if timed.is_empty() {
        return Ok(());
    }
    let zone = store::tenant::zone(&mut *db, tenant).await?;
    let tenants = zone::tenants(&zone.ok_or(Error::TenantUnverified)?)?;
    for broadcast in timed {
        store::broadcast::lock(&mut *db, broadcast).await?;
        if let Some(found) = store::broadcast::find(&mut *db, broadcast).await? {
            super::set_times(db, broadcast, &found.schedule(), &tenants).await?;
        }
    }
    Ok(())
}
