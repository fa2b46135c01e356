//! Contacts, for the staff. An agent sees those they follow, everybody else all.

use axum::extract;
use axum::http::StatusCode;
use chassis::Problem;
use chassis::auth::{Agent, Role, Staff};
use chassis::http::{IdempotencyKey, Json, Keyed, Listing, Page, Path, Query};
use chassis::text::Text;
use contracts::{ContactId, MemberId};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::contact::{Contact, ContactDetail, ExternalId};
use crate::error::Error;
use crate::ops::record_talk::Talk;
use crate::ops::remark::Remark;
use crate::ops::set_zone::ZoneChange;
use crate::ops::tag_contact::{ContactTags, TagChange};
use crate::store::contact::Filter;
use crate::{State, ops, store};

/// Which contacts to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ContactQuery {
    /// Only those with this tag.
    tag: Option<Text<30>>,
    /// Only those this member follows.
    member_id: Option<MemberId>,
    /// Only the one the tenant knows by this id.
    external_id: Option<ExternalId>,
    /// How many items at most: 1 to 500, 50 unless told.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// List contacts
///
/// Those who came first first.
#[utoipa::path(
    get, path = "/v1/contacts", tag = "contacts", params(ContactQuery),
    responses((status = 200, body = Listing<Contact>))
)]
pub(super) async fn list_contacts(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Query(query): Query<ContactQuery>,
) -> Result<Json<Listing<Contact>>, Problem> {
    let page: Page<ContactId> = Page::new(query.limit, query.cursor.as_deref())?;
    let filter = Filter {
        tag: query.tag.map(String::from),
        member_id: query.member_id,
        external_id: query.external_id.map(String::from),
        agent: follower(staff),
    };
    let mut tx = state.database.read(staff.tenant).await?;
    let contacts = store::contact::list(&mut *tx, &filter, &page).await?;
    Ok(Json(Listing::from_rows(contacts, page.limit, |contact| {
        contact.contact_id
    })))
}

/// Get a contact
///
/// With consent and everybody who follows them.
#[utoipa::path(
    get, path = "/v1/contacts/{contact_id}", tag = "contacts", params(("contact_id" = ContactId, Path)),
    responses((status = 200, body = ContactDetail))
)]
pub(super) async fn get_contact(
    extract::State(state): extract::State<State>,
    staff: Staff,
    Path(contact_id): Path<ContactId>,
) -> Result<Json<ContactDetail>, Problem> {
    let mut tx = state.database.read(staff.tenant).await?;
    let contact = store::contact::find(&mut *tx, contact_id, follower(staff)).await?;
    let contact = contact.ok_or(Error::ContactUnknown)?;
    let consent = store::contact::consent(&mut *tx, contact_id)
        .await?
        .ok_or(Error::ContactUnknown)?;
    let follows = store::contact::follows(&mut *tx, contact_id).await?;
    Ok(Json(ContactDetail {
        contact,
        consent,
        follows,
    }))
}

/// Change a contact's tags
#[utoipa::path(
    post, path = "/v1/contacts/{contact_id}/tags", tag = "contacts",
    params(("contact_id" = ContactId, Path), IdempotencyKey), request_body = TagChange,
    responses((status = 200, body = ContactTags))
)]
pub(super) async fn tag_contact(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(contact_id): Path<ContactId>,
    request: Keyed<TagChange>,
) -> Result<Json<ContactTags>, Problem> {
    let tags = ops::tag_contact::tag_contact(&state, agent, contact_id, &request.key, request.body).await?;
    Ok(Json(tags))
}

/// Say where a contact lives
///
/// The time zone in which mass messages go by the contact's own clock; an agent says it of those they follow. Who is on
/// their way already keeps the zone they had when the audience was made.
#[utoipa::path(
    put, path = "/v1/contacts/{contact_id}/zone", tag = "contacts",
    params(("contact_id" = ContactId, Path)), request_body = ZoneChange, responses((status = 204))
)]
pub(super) async fn set_zone(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path(contact_id): Path<ContactId>,
    Json(change): Json<ZoneChange>,
) -> Result<StatusCode, Problem> {
    ops::set_zone::set_zone(&state, agent, contact_id, &change).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Write a remark on a contact
///
/// A member's own note; an agent writes on their own follow only.
#[utoipa::path(
    put, path = "/v1/contacts/{contact_id}/follows/{member_id}", tag = "contacts",
    params(("contact_id" = ContactId, Path), ("member_id" = MemberId, Path)), request_body = Remark,
    responses((status = 204))
)]
pub(super) async fn remark(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path((contact_id, member_id)): Path<(ContactId, MemberId)>,
    Json(remark): Json<Remark>,
) -> Result<StatusCode, Problem> {
    ops::remark::remark(&state, agent, contact_id, member_id, remark).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Record a talk with a contact
///
/// A mass message of the tenant comes from the member who talked to the contact last; until anybody tells, the one who
/// met them last. An agent tells of their own follow only. The latest time told counts, so it can be told again and in
/// any order.
#[utoipa::path(
    post, path = "/v1/contacts/{contact_id}/follows/{member_id}/talks", tag = "contacts",
    params(("contact_id" = ContactId, Path), ("member_id" = MemberId, Path)), request_body = Talk,
    responses((status = 204))
)]
pub(super) async fn record_talk(
    extract::State(state): extract::State<State>,
    agent: Agent,
    Path((contact_id, member_id)): Path<(ContactId, MemberId)>,
    Json(talk): Json<Talk>,
) -> Result<StatusCode, Problem> {
    ops::record_talk::record_talk(&state, agent, contact_id, member_id, &talk).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The agent to whom only their own contacts are shown, if an agent asks.
fn follower(staff: Staff) -> Option<MemberId> {
    (staff.role == Role::Agent).then_some(staff.member)
}
