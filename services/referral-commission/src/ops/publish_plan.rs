//! Publishing a plan: it decides over the orders that come in from now on.

use chassis::auth::Admin;
use contracts::RequestKey;
use outbox::request;

use crate::State;
use crate::engine::PlanDraft;
use crate::error::Error;
use crate::publication::Publication;
use crate::store;

#[tracing::instrument(name = "referral.publish_plan", skip_all)]
pub(crate) async fn publish_plan(
    state: &State,
    admin: &Admin,
    key: &RequestKey,
    plan: PlanDraft,
) -> Result<Publication, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(admin.tenant).await?;
    if let Some(earlier) = request::earlier(&mut tx, key).await? {
        return Ok(earlier);
    }
    let in_force = store::plan::current(&mut *tx).await?;
    let publication = Publication::after(in_force.as_ref(), plan, admin.member, now)?;
    store::plan::insert(&mut *tx, admin.tenant, &publication)
        .await
        .map_err(moved)?;
    tx.audit(*admin, "plan.published", publication.plan_id);
    request::keep(&mut tx, key, &publication).await?;
    tx.commit().await?;
    Ok(publication)
}

/// Two that follow on the same publication have the same revision.
fn moved(error: sqlx::Error) -> Error {
    match error.as_database_error().and_then(|error| error.constraint()) {
        Some("plan_revision_once") => Error::PlanMoved,
        _ => error.into(),
    }
}
