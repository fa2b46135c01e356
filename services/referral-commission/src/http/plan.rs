//! Plans over HTTP.

use axum::extract::State as Inject;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{Admin, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, PageQuery, Query};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::engine::PlanDraft;
use crate::publication::{Publication, yunji_demo};
use crate::{State, ops, store};

/// Publishes the tenant's plan. It decides over orders that come in from now on, each by the
/// version in force when it was paid; what has taken effect can't be changed any more.
#[utoipa::path(
    post, path = "/v1/plans", tag = "plans", params(IdempotencyKey), request_body = PlanDraft,
    responses((status = 201, body = Publication)),
)]
pub(super) async fn publish_plan(
    Inject(state): Inject<State>,
    admin: Admin,
    Keyed { key, body }: Keyed<PlanDraft>,
) -> Result<(StatusCode, Json<Publication>), Problem> {
    let publication = ops::publish_plan(&state, &admin, &key, body).await?;
    Ok((StatusCode::CREATED, Json(publication)))
}

/// Nothing to choose.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub(super) struct AdoptPlan {}

/// Publishes the plan that ships with the service: 150.00 for each package of 398.00 to the
/// referrer, and 10 % of what was paid to the closer, held for 15 days after delivery.
#[utoipa::path(
    post, path = "/v1/plans/yunji-demo", tag = "plans", params(IdempotencyKey), request_body = AdoptPlan,
    responses((status = 201, body = Publication)),
)]
pub(super) async fn adopt_yunji_demo(
    Inject(state): Inject<State>,
    admin: Admin,
    Keyed {
        key,
        body: AdoptPlan {},
    }: Keyed<AdoptPlan>,
) -> Result<(StatusCode, Json<Publication>), Problem> {
    let publication = ops::publish_plan(&state, &admin, &key, yunji_demo()).await?;
    Ok((StatusCode::CREATED, Json(publication)))
}

/// Lists what the tenant published, newest first; the first one is in force.
#[utoipa::path(
    get, path = "/v1/plans", tag = "plans", params(PageQuery),
    responses((status = 200, body = Listing<Publication>)),
)]
pub(super) async fn list_plans(
    Inject(state): Inject<State>,
    staff: Staff,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Publication>>, Problem> {
    let page = query.page::<i32>()?;
    let mut tx = state.db.read(staff.tenant).await?;
    let rows = store::plan::page(&mut *tx, page.after, page.rows_max()).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |publication| {
        publication.revision
    })))
}
