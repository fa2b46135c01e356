//! A reviewer verifies a tenant, or rejects it.

use chassis::auth::Reviewer;
use contracts::{RequestKey, TenantId};
use outbox::{record, request};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::store;
use crate::tenant::{Decision, Reason, Tenant};

/// A reviewer's word on a pending tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"decision": "verified", "reason": "licence found in the register"}))]
pub(crate) struct Review {
    decision: Decision,
    /// Kept for good; a rejected tenant reads it.
    reason: Reason,
}

#[tracing::instrument(name = "identity.review", skip_all)]
pub(crate) async fn review(
    state: &State,
    caller: Reviewer,
    key: &RequestKey,
    tenant_id: TenantId,
    command: Review,
) -> Result<Tenant, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(tenant_id).await?;
    if let Some(answer) = request::earlier(&mut tx, key).await? {
        return Ok(answer);
    }
    let tenant = store::tenant::hold(&mut *tx, tenant_id)
        .await?
        .ok_or(Error::TenantUnknown)?;
    let tenant = Tenant {
        state: tenant.state.decide(command.decision)?,
        ..tenant
    };

    store::tenant::set_state(&mut *tx, tenant_id, tenant.state).await?;
    let action = match command.decision {
        Decision::Verified => "tenant.verified",
        Decision::Rejected => "tenant.rejected",
    };
    let reason = command.reason.to_string();
    tx.audit(caller, action, tenant_id).note(reason);
    match command.decision {
        Decision::Verified => record(&mut tx, &events::tenant_verified(&tenant, now), now).await?,
        Decision::Rejected => {
            record(&mut tx, &events::tenant_rejected(&tenant, &command.reason), now).await?;
        }
    }
    request::keep(&mut tx, key, &tenant).await?;
    tx.commit().await?;
    Ok(tenant)
}
