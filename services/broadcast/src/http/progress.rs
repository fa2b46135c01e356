//! A mass message as it goes on, and what became of it in the end.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::Body;
use axum::extract;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use chassis::Problem;
use chassis::auth::Staff;
use chassis::http::{Json, Path, Query};
use contracts::{BroadcastId, ContactId};
use futures::StreamExt as _;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::report::{Format, Report};
use crate::watch::{Look, Mark};
use crate::{State, ops};

const HEARTBEAT: Duration = Duration::from_secs(15);
const LAST_EVENT_ID: &str = "last-event-id";

/// Watch a mass message
///
/// Server-sent events: `progress` whenever a counter or the state has changed, seldom more than two a second, with
/// counters that never go back; a comment every 15 s of silence. It ends with the final state, or after ten minutes: then
/// come back with the last event's id in `Last-Event-ID`, as browsers do, and nothing is told twice. 204 says that there
/// is nothing more.
#[utoipa::path(
    get, path = "/v1/broadcasts/{broadcast_id}/progress", tag = "broadcasts",
    params(
        ("broadcast_id" = BroadcastId, Path),
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen.")
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = Look),
        (status = 204, description = "the final state was seen already")
    )
)]
pub(super) async fn watch_broadcast(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(broadcast): Path<BroadcastId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok());
    let last: Option<Mark> = last.and_then(|id| id.parse().ok());
    let following = state.watches.follow(&state, staff.tenant, broadcast).await?;
    if following.is_told(last) {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let events = following.looks(last).map(event);
    let keep_alive = KeepAlive::new().interval(HEARTBEAT);
    Ok(Sse::new(events).keep_alive(keep_alive).into_response())
}

fn event(look: Look) -> Result<Event, Infallible> {
    let event = Event::default().event("progress").id(look.mark().to_string());
    Ok(event.json_data(look).unwrap_or_default())
}

/// Report on a mass message
///
/// How it ended for how many, why, when, and in whose name. Its counters are the rows of the export, and stay when those
/// are forgotten.
#[utoipa::path(
    get, path = "/v1/broadcasts/{broadcast_id}/report", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path)), responses((status = 200, body = Report))
)]
pub(super) async fn report_broadcast(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(broadcast): Path<BroadcastId>,
) -> Result<Json<Report>, Problem> {
    Ok(Json(ops::report::report(&state, staff.tenant, broadcast).await?))
}

/// How to export.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ExportQuery {
    /// `csv` unless told.
    #[param(inline)]
    #[serde(default)]
    format: Format,
    /// Goes on after this contact: the last one of an export that broke off.
    after: Option<ContactId>,
}

/// Export a mass message's recipients
///
/// A row for each recipient for whom it has ended, all of them once it is over, by contact: `contact_id`, `member_id`,
/// `state`, `at`. It streams however many there are; an export that breaks off is continued with `after`, without the
/// line of columns. 410 once the receipts are forgotten, some months after its end.
#[utoipa::path(
    get, path = "/v1/broadcasts/{broadcast_id}/export", tag = "broadcasts",
    params(("broadcast_id" = BroadcastId, Path), ExportQuery),
    responses((status = 200, content((String = "text/csv"), (String = "application/jsonl"))))
)]
pub(super) async fn export_broadcast(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(broadcast): Path<BroadcastId>,
    Query(query): Query<ExportQuery>,
) -> Result<Response, Problem> {
    let format = query.format;
    let rows = ops::report::export(&state, staff.tenant, broadcast, format, query.after).await?;
    let headers = [
        (header::CONTENT_TYPE, format.media_type().to_owned()),
        (header::CONTENT_DISPOSITION, format.file(broadcast)),
    ];
    Ok((headers, Body::from_stream(rows)).into_response())
}
