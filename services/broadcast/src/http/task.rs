//! A member's shares of mass messages.

use axum::extract;
use chassis::Problem;
use chassis::auth::Agent;
use chassis::http::{Json, Listing, Page, PageQuery, Path, Query};
use contracts::{ContactId, TaskId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::error::Error;
use crate::task::{self, ConfirmTask, Recipient, Task};
use crate::{State, ops, store};

/// Which tasks to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct TaskQuery {
    /// Only those that stand here.
    state: Option<task::State>,
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List your tasks
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/tasks", tag = "tasks", params(TaskQuery), responses((status = 200, body = Listing<Task>))
)]
pub(super) async fn list_tasks(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Query(query): Query<TaskQuery>,
) -> Result<Json<Listing<Task>>, Problem> {
    let page: Page<TaskId> = Page::new(query.limit, query.cursor.as_deref())?;
    let mut tx = state.db.read(agent.tenant).await?;
    let rows = store::task::page(
        &mut *tx,
        agent.tenant,
        agent.member,
        query.state,
        page.after,
        page.rows_max(),
    )
    .await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |task| task.task_id)))
}

/// List a task's recipients
///
/// To whom it would be sent, by contact, with what became of them.
#[utoipa::path(
    get, path = "/v1/tasks/{task_id}/recipients", tag = "tasks", params(("task_id" = TaskId, Path), PageQuery),
    responses((status = 200, body = Listing<Recipient>))
)]
pub(super) async fn list_recipients(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(task): Path<TaskId>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Recipient>>, Problem> {
    let page: Page<ContactId> = query.page()?;
    let mut tx = state.db.read(agent.tenant).await?;
    let broadcast = store::task::broadcast_of(&mut *tx, task, agent.member).await?;
    let broadcast = broadcast.ok_or(Error::TaskUnknown)?;
    ops::check_receipts(&mut tx, agent.tenant, broadcast).await?;
    let (member, rows_max) = (agent.member, page.rows_max());
    let rows = store::task::recipients(&mut *tx, task, member, broadcast, page.after, rows_max).await?;
    Ok(Json(Listing::from_rows(rows, page.limit, |recipient| {
        recipient.contact_id
    })))
}

/// Confirm a task
///
/// Sends your share, without those you leave out. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/tasks/{task_id}/confirm", tag = "tasks", params(("task_id" = TaskId, Path)),
    request_body = ConfirmTask, responses((status = 200, body = Task))
)]
pub(super) async fn confirm_task(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(task): Path<TaskId>,
    Json(word): Json<ConfirmTask>,
) -> Result<Json<Task>, Problem> {
    Ok(Json(ops::confirm(&state, agent, task, &word.deselect).await?))
}

/// Cancel a task
///
/// Who of your share was not sent to within a second will not be. Repeating it changes nothing.
#[utoipa::path(
    post, path = "/v1/tasks/{task_id}/cancel", tag = "tasks", params(("task_id" = TaskId, Path)),
    responses((status = 200, body = Task))
)]
pub(super) async fn cancel_task(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(task): Path<TaskId>,
) -> Result<Json<Task>, Problem> {
    Ok(Json(ops::cancel_task(&state, agent, task).await?))
}
