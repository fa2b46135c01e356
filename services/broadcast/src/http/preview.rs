//! Mass messages as recipients would get them, for the staff.

use axum::extract;
use chassis::Problem;
use chassis::auth::Agent;
use chassis::http::{Json, Path};
use contracts::TaskId;

use crate::preview::{PreviewBroadcast, Previews};
use crate::{State, ops};

/// Preview a mass message
///
/// What up to ten recipients would get, by contact: those named, or some of the audience. A recipient who would get
/// nothing says why. Nothing is sent, and nothing is kept.
#[utoipa::path(
    post, path = "/v1/broadcasts/preview", tag = "broadcasts", request_body = PreviewBroadcast,
    responses((status = 200, body = Previews))
)]
pub(super) async fn preview_broadcast(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Json(command): Json<PreviewBroadcast>,
) -> Result<Json<Previews>, Problem> {
    let items = ops::preview(&state, agent, &command).await?;
    Ok(Json(Previews { items }))
}

/// Preview a task
///
/// What the first ten of your recipients would get from you.
#[utoipa::path(
    get, path = "/v1/tasks/{task_id}/preview", tag = "tasks", params(("task_id" = TaskId, Path)),
    responses((status = 200, body = Previews))
)]
pub(super) async fn preview_task(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(task): Path<TaskId>,
) -> Result<Json<Previews>, Problem> {
    let items = ops::preview_task(&state, agent, task).await?;
    Ok(Json(Previews { items }))
}
