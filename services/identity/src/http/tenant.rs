//! Tenants: registered by anybody, reviewed by the platform, looked at by their staff.

use axum::extract::State as Given;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{Owner, Reviewer, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, Page, Path, Query};
use contracts::TenantId;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::State;
use crate::error::Error;
use crate::ops;
use crate::ops::register::{Register, Registered};
use crate::ops::resubmit::Resubmit;
use crate::ops::review::Review;
use crate::store;
use crate::store::tenant::Applicant;
use crate::tenant::{Tenant, TenantState};

/// Registers a brand with its first owner. It stays pending, and reaches nobody, until a reviewer
/// verifies it.
#[utoipa::path(post, path = "/v1/tenants", tag = "tenant", params(IdempotencyKey), request_body = Register,
    responses((status = 201, description = "registered", body = Registered)))]
pub(crate) async fn register(
    Given(state): Given<State>,
    Keyed { key, body }: Keyed<Register>,
) -> Result<(StatusCode, Json<Registered>), Problem> {
    Ok((
        StatusCode::CREATED,
        Json(ops::register::register(&state, &key, body).await?),
    ))
}

/// Which tenants a reviewer lists.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct TenantsQuery {
    /// Those in this state; all when it is missing.
    state: Option<TenantState>,
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A tenant as a reviewer sees it.
#[derive(Serialize, ToSchema)]
pub(crate) struct Application {
    #[serde(flatten)]
    tenant: Tenant,
    /// What was submitted last; null when nothing was.
    licence_number: Option<String>,
}

/// Lists tenants for reviewers, the oldest first, with the licence numbers they submitted.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenant", params(TenantsQuery),
    responses((status = 200, description = "a page", body = Listing<Application>)))]
pub(crate) async fn list_tenants(
    Given(state): Given<State>,
    _: Reviewer,
    Query(query): Query<TenantsQuery>,
) -> Result<Json<Listing<Application>>, Problem> {
    let page = Page::<TenantId>::new(query.limit, query.cursor.as_deref())?;
    let mut tx = state.db.begin_everyone().await?;
    let rows = store::tenant::list(&mut *tx, query.state, page.after, page.rows_max()).await?;
    drop(tx);
    let rows = rows
        .into_iter()
        .map(|row| open(&state, row))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Json(Listing::from_rows(rows, page.limit, |row| {
        row.tenant.tenant_id
    })))
}

fn open(
    state: &State,
    Applicant {
        tenant,
        sealed_licence,
    }: Applicant,
) -> Result<Application, Error> {
    let open = |sealed: Vec<u8>| {
        let number = state.seal.open(&tenant.tenant_id.to_string(), &sealed)?;
        String::from_utf8(number).map_err(Error::internal)
    };
    let licence_number = sealed_licence.map(open).transpose()?;
    Ok(Application {
        tenant,
        licence_number,
    })
}

/// Verifies a pending tenant, which opens everything that reaches outside, or rejects it with a
/// reason. The decision is kept for good.
#[utoipa::path(post, path = "/v1/tenants/{tenant_id}/review", tag = "tenant",
    params(("tenant_id" = TenantId, Path), IdempotencyKey), request_body = Review,
    responses((status = 200, description = "the tenant after the decision", body = Tenant)))]
pub(crate) async fn review(
    Given(state): Given<State>,
    caller: Reviewer,
    Path(tenant_id): Path<TenantId>,
    Keyed { key, body }: Keyed<Review>,
) -> Result<Json<Tenant>, Problem> {
    Ok(Json(
        ops::review::review(&state, caller, &key, tenant_id, body).await?,
    ))
}

/// The caller's tenant.
#[utoipa::path(get, path = "/v1/tenant", tag = "tenant",
    responses((status = 200, description = "the tenant", body = Tenant)))]
pub(crate) async fn get_tenant(Given(state): Given<State>, caller: Staff) -> Result<Json<Tenant>, Problem> {
    let mut tx = state.db.read(caller.tenant).await?;
    let tenant = store::tenant::by_id(&mut *tx, caller.tenant).await?;
    Ok(Json(tenant.ok_or(Error::TenantUnknown)?))
}

/// Submits a rejected tenant's documents again; it waits for a reviewer once more.
#[utoipa::path(post, path = "/v1/tenant/verification", tag = "tenant", params(IdempotencyKey),
    request_body = Resubmit, responses((status = 200, description = "pending again", body = Tenant)))]
pub(crate) async fn resubmit(
    Given(state): Given<State>,
    caller: Owner,
    Keyed { key, body }: Keyed<Resubmit>,
) -> Result<Json<Tenant>, Problem> {
    Ok(Json(ops::resubmit::resubmit(&state, caller, &key, body).await?))
}
