//! A contact's inbox.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use chassis::Problem;
use chassis::auth::ContactSelf;
use chassis::http::{Json, Listing, Page, PageQuery, Path, Query, cursor};
use contracts::MessageId;
use futures::{Stream, StreamExt as _, stream};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::live::{Cursor, Reader};
use crate::message::Message;
use crate::{State, ops, store};

/// As long as a contact's token lives at least; then the client comes back with a fresh one.
const STREAM_SECS_MAX: u64 = 600;
const STREAM_SECS_DEFAULT: u64 = 300;
/// Before a client whose stream ended comes back.
const COME_BACK: Duration = Duration::from_secs(1);
/// Between two signs of life where there is nothing to tell.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// List your messages
///
/// Newest first.
#[utoipa::path(
    get, path = "/v1/inbox", tag = "inbox", params(PageQuery), responses((status = 200, body = Listing<Message>))
)]
pub(super) async fn list_messages(
    extract::State(state): extract::State<State>,
    contact: ContactSelf,
    Query(query): Query<PageQuery>,
) -> Result<Json<Listing<Message>>, Problem> {
    let page: Page<(Timestamp, MessageId)> = query.page()?;
    let mut tx = state.db.read(contact.tenant).await?;
    let rows = store::inbox::page(
        &mut *tx,
        contact.tenant,
        contact.contact,
        page.after,
        page.rows_max(),
    )
    .await?;
    let links = store::tenant::links(&mut *tx, &state.public_url, contact.tenant).await?;
    let rows = rows
        .into_iter()
        .map(|message| message.with_way_out(contact.contact, links.as_ref()))
        .collect();
    Ok(Json(Listing::from_rows(rows, page.limit, |message: &Message| {
        (message.at, message.message_id)
    })))
}

/// From where on, and how long.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StreamQuery {
    /// The `id` of the last event you have; the header `Last-Event-ID` says the same. Without either the stream begins
    /// with your newest 50 messages.
    after: Option<String>,
    /// Seconds until the stream ends: 0 to 600, 300 unless told. Come back with the last `id` then.
    #[param(minimum = 0, maximum = 600)]
    wait_secs: Option<u64>,
}

/// Stream your messages
///
/// Server-sent events as messages come, the oldest first: event `message`, `data` the message as JSON, `id` the place
/// to go on from. A message comes once, but for whoever breaks off after more than 16 messages in ten seconds: the same
/// `message_id` is the same message.
#[utoipa::path(
    get, path = "/v1/inbox/stream", tag = "inbox", params(StreamQuery),
    responses((status = 200, content_type = "text/event-stream", body = Message))
)]
pub(super) async fn stream_messages(
    extract::State(state): extract::State<State>,
    contact: ContactSelf,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let secs = query.wait_secs.unwrap_or(STREAM_SECS_DEFAULT);
    if secs > STREAM_SECS_MAX {
        let detail = format!("wait_secs is {secs}");
        return Err(Problem::new(chassis::Class::Invalid, "wait_out_of_range", detail)
            .field("wait_secs")
            .remedy(format!("wait for 0 to {STREAM_SECS_MAX} s, and come back")));
    }
    let last_event = headers.get("last-event-id").and_then(|value| value.to_str().ok());
    let after = query.after.as_deref().or(last_event);
    let after = Page::<Cursor>::new(None, after)?.after;
    let reader = Reader::open(&state, contact, after, Duration::from_secs(secs))?;
    let first = stream::iter([Ok(Event::default().retry(COME_BACK))]);
    let events = stream::unfold(reader, tell).flat_map(stream::iter);
    Ok(Sse::new(first.chain(events)).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}

/// The next events; after a failure none, and the client comes back.
async fn tell(mut reader: Reader) -> Option<(Vec<Result<Event, Infallible>>, Reader)> {
    let messages = reader.next().await.unwrap_or_else(|error| {
        tracing::warn!(error = error.chain(), "stream of messages ends early");
        vec![]
    });
    let events: Vec<_> = messages
        .iter()
        .filter_map(|(place, message)| {
            let event = Event::default().event("message").id(cursor(place));
            event.json_data(message).ok().map(Ok)
        })
        .collect();
    (!events.is_empty()).then_some((events, reader))
}

/// Mark a message as read
///
/// The first time counts.
#[utoipa::path(
    post, path = "/v1/inbox/{message_id}/read", tag = "inbox", params(("message_id" = MessageId, Path)),
    responses((status = 200, body = Message))
)]
pub(super) async fn read_message(
    extract::State(state): extract::State<State>,
    contact: ContactSelf,
    Path(message): Path<MessageId>,
) -> Result<Json<Message>, Problem> {
    Ok(Json(ops::read_message(&state, contact, message).await?))
}
