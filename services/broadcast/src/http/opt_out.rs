//! The way out of marketing.

use axum::extract;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY};
use axum::response::{Html, IntoResponse};
use chassis::Problem;
use chassis::auth::{Admin, ContactSelf, Staff};
use chassis::http::{Json, Path};

use crate::error::Error;
use crate::opt_out::{LinkKey, OptOutLink, Token};
use crate::{State, ops, store};

/// A page of the link's; others learn nothing of it by a referrer, a cache or a frame.
fn page(token: &Token, body: &str) -> impl IntoResponse + use<> {
    const POLICY: &str = "default-src 'none'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";
    let contact = token.contact;
    let html = format!(
        "<!doctype html>\n<html lang=\"en\" data-contact=\"{contact}\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\">\
         <title>Marketing messages</title>\n{body}\n</html>\n"
    );
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, POLICY),
    ];
    (headers, Html(html))
}

const ASK: &str = "<form method=\"post\">\
    <p lang=\"zh\">不再接收营销消息？</p><p lang=\"ja\">販促メッセージの受信を停止しますか。</p>\
    <p>Stop marketing messages?</p><button>退订 · 配信停止 · Unsubscribe</button></form>";
const DONE: &str = "<p lang=\"zh\">您将不再收到营销消息。</p><p lang=\"ja\">販促メッセージの配信を停止しました。</p>\
    <p>You will get no more marketing messages.</p>";

/// See the way out
///
/// A page with one button; looking at it changes nothing.
#[utoipa::path(
    get, path = "/v1/opt-out/{token}", tag = "opt-out", params(("token" = String, Path)),
    responses((status = 200, body = String, content_type = "text/html"))
)]
pub(super) async fn show_opt_out(
    extract::State(state): extract::State<State>,
    Path(token): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let token: Token = token.parse()?;
    let mut tx = state.db.read(token.tenant).await?;
    ops::check_link(&mut tx, &token).await?;
    Ok(page(&token, ASK))
}

/// Opt out
///
/// Withdraws the contact's consent to marketing. Whatever is posted counts, so that a mail program's one click does it
/// (RFC 8058); once more changes nothing.
#[utoipa::path(
    post, path = "/v1/opt-out/{token}", tag = "opt-out", params(("token" = String, Path)),
    responses((status = 200, body = String, content_type = "text/html"))
)]
pub(super) async fn opt_out(
    extract::State(state): extract::State<State>,
    Path(token): Path<String>,
) -> Result<impl IntoResponse, Problem> {
    let token: Token = token.parse()?;
    ops::opt_out(&state, &token).await?;
    Ok(page(&token, DONE))
}

/// Get your way out
///
/// The link that stands in each marketing message to you.
#[utoipa::path(
    get, path = "/v1/opt-out-link", tag = "opt-out", responses((status = 200, body = OptOutLink))
)]
pub(super) async fn get_opt_out_link(
    extract::State(state): extract::State<State>,
    contact: ContactSelf,
) -> Result<Json<OptOutLink>, Problem> {
    let mut tx = state.db.read(contact.tenant).await?;
    let links = store::tenant::links(&mut *tx, &state.public_url, contact.tenant).await?;
    let links = links.ok_or(Error::TenantUnverified)?;
    Ok(Json(OptOutLink {
        opt_out_url: links.of(contact.contact),
    }))
}

/// See the key of the links
#[utoipa::path(
    get, path = "/v1/opt-out-key", tag = "opt-out", responses((status = 200, body = LinkKey))
)]
pub(super) async fn get_link_key(
    extract::State(state): extract::State<State>,
    staff: Staff,
) -> Result<Json<LinkKey>, Problem> {
    let mut tx = state.db.read(staff.tenant).await?;
    let keys = store::tenant::link_keys(&mut *tx, staff.tenant).await?;
    let generation = keys.ok_or(Error::TenantUnverified)?.generation;
    Ok(Json(LinkKey { generation }))
}

/// Rotate the key of the links
///
/// Give the next generation. Links of the last one stay good until the next rotation.
#[utoipa::path(
    put, path = "/v1/opt-out-key", tag = "opt-out", request_body = LinkKey,
    responses((status = 200, body = LinkKey))
)]
pub(super) async fn rotate_link_key(
    extract::State(state): extract::State<State>,
    admin: Admin,
    Json(asked): Json<LinkKey>,
) -> Result<Json<LinkKey>, Problem> {
    Ok(Json(ops::rotate_link_key(&state, admin, asked).await?))
}
