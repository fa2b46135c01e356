//! An operator sets the tenant's quiet hours; they hold at once.

use chassis::auth::Operator;

use crate::State;
use crate::error::Error;
use crate::quiet::QuietHours;
use crate::store;

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
        tx.audit(operator, "quiet_hours.set", operator.tenant);
    }
    tx.commit().await?;
    Ok(asked)
}
