//! An owner submits a rejected tenant's documents again.

use chassis::auth::Owner;
use contracts::RequestKey;
use outbox::request;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::store;
use crate::tenant::{LicenceNumber, Tenant};

/// The documents, corrected.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"licence_number": "91310000MA1K35X21B"}))]
pub(crate) struct Resubmit {
    /// Of the business licence or the sole trader's identity document; for the reviewer alone.
    licence_number: LicenceNumber,
}

#[tracing::instrument(name = "identity.resubmit", skip_all)]
pub(crate) async fn resubmit(
    state: &State,
    caller: Owner,
    key: &RequestKey,
    command: Resubmit,
) -> Result<Tenant, Error> {
    let tenant_id = caller.tenant;
    let mut tx = state.db.begin(tenant_id).await?;
    if let Some(answer) = request::earlier(&mut tx, key).await? {
        return Ok(answer);
    }
    let tenant = store::tenant::hold(&mut *tx, tenant_id)
        .await?
        .ok_or(Error::TenantUnknown)?;
    let tenant = Tenant {
        state: tenant.state.resubmit()?,
        ..tenant
    };

    let licence = state
        .seal
        .seal(&tenant_id.to_string(), command.licence_number.as_bytes())?;
    store::tenant::resubmit(&mut *tx, tenant_id, tenant.state, &licence).await?;
    tx.audit(caller, "tenant.resubmitted", tenant_id);
    request::keep(&mut tx, key, &tenant).await?;
    tx.commit().await?;
    Ok(tenant)
}
