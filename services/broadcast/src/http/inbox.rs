//! A contact's inbox.

use axum::extract;
use chassis::Problem;
use chassis::auth::ContactSelf;
use chassis::http::{Json, Listing, Page, PageQuery, Path, Query};
use contracts::MessageId;
use jiff::Timestamp;

use crate::message::Message;
use crate::{State, ops, store};

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
