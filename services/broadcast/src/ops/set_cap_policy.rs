//! An operator sets a limit from a day on.

use chassis::auth::Operator;

use crate::State;
use crate::error::Error;
use crate::policy::{CapPolicy, SetCapPolicy};
use crate::store;

/// A change made so shortly before midnight is one of the next day: it would be there when that day has begun.
const AHEAD_SECS: f64 = 60.0;

pub(crate) async fn set_cap_policy(
    state: &State,
    operator: Operator,
    asked: &SetCapPolicy,
) -> Result<CapPolicy, Error> {
    let now = state.clock.now();
    let (tenant, member) = (operator.tenant, operator.member);
    let mut tx = state.db.begin(tenant).await?;
    let begun = store::policy::begun(&mut *tx, tenant, AHEAD_SECS).await?;
    let since = asked.first_day(begun.ok_or(Error::TenantUnverified)?)?;
    if store::policy::put(&mut *tx, tenant, asked.scope, since, asked.limit, member, now).await? {
        tx.audit(operator, "cap_policy.set", asked.scope.name());
    }
    tx.commit().await?;
    Ok(CapPolicy {
        scope: asked.scope,
        since: Some(since),
        limit: asked.limit.or(asked.scope.limit_by_default()),
        is_default: asked.limit.is_none(),
        set_by: Some(member),
        set_at: Some(now),
    })
}
