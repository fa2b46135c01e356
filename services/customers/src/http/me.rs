//! What a contact may see and decide of themselves.

use axum::extract;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::ContactSelf;
use chassis::http::Json;
use contracts::ContactId;
use serde::Serialize;
use utoipa::ToSchema;

use crate::contact::{Consent, Face};
use crate::error::Error;
use crate::ops::change_consent::ConsentChange;
use crate::ops::set_zone::ZoneChange;
use crate::{State, ops, store};

/// A contact as they see themselves.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Me {
    contact_id: ContactId,
    external_id: String,
    name: String,
    language: String,
    /// IANA; null while unknown, then the tenant's counts.
    zone: Option<String>,
    consent: Consent,
    /// The members who are friends with the contact, the last active first.
    friends: Vec<Face>,
}

/// See oneself
#[utoipa::path(get, path = "/v1/me", tag = "me", responses((status = 200, body = Me)))]
pub(super) async fn get_me(
    extract::State(state): extract::State<State>,
    me: ContactSelf,
) -> Result<Json<Me>, Problem> {
    let mut tx = state.database.read(me.tenant).await?;
    let contact = store::contact::find(&mut *tx, me.contact, None)
        .await?
        .ok_or(Error::ContactUnknown)?;
    let consent = store::contact::consent(&mut *tx, me.contact)
        .await?
        .ok_or(Error::ContactUnknown)?;
    let friends = store::contact::friends(&mut *tx, me.contact).await?;
    Ok(Json(Me {
        contact_id: contact.contact_id,
        external_id: contact.external_id,
        name: contact.name,
        language: contact.language,
        zone: contact.zone,
        consent,
        friends,
    }))
}

/// Give or withdraw consent
///
/// Says whether marketing messages are welcome. The same answer again changes nothing.
#[utoipa::path(
    put, path = "/v1/me/consent", tag = "me", request_body = ConsentChange, responses((status = 200, body = Consent))
)]
pub(super) async fn change_consent(
    extract::State(state): extract::State<State>,
    me: ContactSelf,
    Json(change): Json<ConsentChange>,
) -> Result<Json<Consent>, Problem> {
    Ok(Json(
        ops::change_consent::change_consent(&state, me, change).await?,
    ))
}

/// Say where one lives
///
/// The time zone in which nights are quiet, and in which mass messages come that are planned for a time of the day.
#[utoipa::path(
    put, path = "/v1/me/zone", tag = "me", request_body = ZoneChange, responses((status = 204))
)]
pub(super) async fn set_own_zone(
    extract::State(state): extract::State<State>,
    me: ContactSelf,
    Json(change): Json<ZoneChange>,
) -> Result<StatusCode, Problem> {
    ops::set_zone::set_own_zone(&state, me, &change).await?;
    Ok(StatusCode::NO_CONTENT)
}
