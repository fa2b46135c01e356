//! Scanning a live code: the person becomes a contact and a friend of the member the code shows them.

use chassis::text::Text;
use contracts::customers::v1::{ContactBefriended, ContactTagged, FollowMoved};
use contracts::{CodeId, ContactId, TenantId};
use jiff::Timestamp;
use outbox::{Actor, Tx};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::assignment::{self, Assigned, Seat, Turn};
use crate::contact::{AddWay, ContactName, ExternalId, Face, Language};
use crate::error::Error;
use crate::store::scan::{FirstScan, Standing};
use crate::{State, events, store};

/// Agents who may look after people whose code has nobody left.
const AGENTS_MAX: i64 = 100;
/// One scan at the same time can win against us; the next look sees what it wrote.
const ATTEMPTS_MAX: usize = 3;

/// Somebody scans a code.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "code": "mfzwizltoqydamjrgm3dqmzsgi",
    "external_id": "wx-o7QK5jz",
    "name": "李小红",
    "language": "zh",
}))]
pub(crate) struct Scan {
    /// The token the QR code carries.
    pub(crate) code: Text<64>,
    /// The tenant's own id of the person.
    pub(crate) external_id: ExternalId,
    #[serde(default)]
    pub(crate) name: Option<ContactName>,
    #[serde(default)]
    pub(crate) language: Option<Language>,
}

/// What the person sees.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Scanned {
    pub(crate) contact_id: ContactId,
    /// The same at every scan of this code, as long as they are there.
    pub(crate) member: Face,
    /// Opens the contact's own inbox, groups and consent for 30 days.
    pub(crate) contact_token: String,
    /// Whether this scan made the two friends.
    pub(crate) first: bool,
}

/// Cost of a first scan: 6 round trips (code, begin, standing, befriend, outbox, commit) and 5 rows and one per tag,
/// in one transaction; of a repeated one: 3 and no row. It locks rows of this contact only.
#[tracing::instrument(name = "customers.scan", skip_all)]
pub(crate) async fn scan(state: &State, scan: &Scan) -> Result<Scanned, Error> {
    let code = store::code::of_token(state.database.tenantless(), &scan.code).await?;
    let (tenant, code_id) = code.ok_or(Error::TokenUnknown)?;
    for _ in 0..ATTEMPTS_MAX {
        if let Some(meeting) = meet(state, tenant, code_id, scan).await? {
            let Meeting {
                contact_id,
                member,
                first,
            } = meeting;
            let contact_token = state.signer.contact_token(tenant, contact_id, state.clock.now());
            return Ok(Scanned {
                contact_id,
                member,
                contact_token,
                first,
            });
        }
    }
    Err(Error::ScanContended)
}

/// Who met whom.
struct Meeting {
    contact_id: ContactId,
    member: Face,
    first: bool,
}

/// One look and what follows from it. `None` when another scan of the same person was quicker: look again.
async fn meet(
    state: &State,
    tenant: TenantId,
    code_id: CodeId,
    scan: &Scan,
) -> Result<Option<Meeting>, Error> {
    let now = state.clock.now();
    let mut tx = state.database.begin(tenant).await?;
    let mut standing = store::scan::standing(&mut *tx, code_id, &scan.external_id).await?;
    if !standing.is_tenant_verified {
        return Err(Error::TenantUnverified);
    }
    if !standing.has_somebody() {
        // Never a dead code (D28).
        standing.seats = store::member::agents(&mut *tx, AGENTS_MAX).await?;
    }
    let earlier = standing.assigned.take();
    let turn = assignment::turn(code_id, &scan.external_id, earlier, &standing.seats);
    let meeting = match turn.ok_or(Error::NobodyLeft)? {
        Turn::Stay(Assigned {
            contact_id,
            member_id,
            alias,
            ..
        }) => {
            // Nothing to write: the transaction is dropped.
            return Ok(Some(Meeting {
                contact_id,
                member: Face { member_id, alias },
                first: false,
            }));
        }
        Turn::Move { from, to } => hand_on(&mut tx, tenant, from, to, now).await?,
        Turn::First(seat) => befriend(&mut tx, tenant, code_id, scan, &standing, seat, now).await?,
    };
    if meeting.is_some() {
        tx.commit().await?;
    }
    Ok(meeting)
}

/// First scan of this code: contact, assignment, follow, tags and the event that welcomes the friend once (D65).
async fn befriend(
    tx: &mut Tx,
    tenant: TenantId,
    code_id: CodeId,
    scan: &Scan,
    standing: &Standing,
    seat: Seat,
    now: Timestamp,
) -> Result<Option<Meeting>, Error> {
    let first = FirstScan {
        tenant,
        code_id,
        member_id: seat.member_id,
        external_id: &scan.external_id,
        name: scan.name.as_deref().unwrap_or_default(),
        language: scan.language.as_ref().map_or("", Language::as_str),
        channel: &standing.channel,
        now,
    };
    let befriended = store::scan::befriend(&mut **tx, &first).await?;
    if !befriended.is_assigned {
        return Ok(None);
    }
    let contact_id = befriended.contact_id;
    let action = match befriended.is_new_friend {
        true => "contact.befriended",
        // A friend already, by another code.
        false => "contact.assigned",
    };
    tx.audit(Actor::Contact(contact_id), action, contact_id);
    if befriended.is_new_friend {
        let event = ContactBefriended {
            tenant_id: tenant.to_string(),
            contact_id: contact_id.to_string(),
            member_id: seat.member_id.to_string(),
            external_id: scan.external_id.to_string(),
            add_way: AddWay::LiveCode.as_str().to_owned(),
            code_id: code_id.to_string(),
            state: standing.channel.clone(),
            welcome: standing.welcome.clone(),
            member_alias: seat.alias.clone(),
            befriended_at: Some(events::timestamp(now)),
            tags: befriended.tags,
        };
        outbox::record(tx, &event, now).await?;
    } else if !befriended.tags.is_empty() {
        let event = ContactTagged {
            tenant_id: tenant.to_string(),
            contact_id: contact_id.to_string(),
            added: befriended.tags,
            removed: vec![],
        };
        outbox::record(tx, &event, now).await?;
    }
    let member = Face {
        member_id: seat.member_id,
        alias: seat.alias,
    };
    Ok(Some(Meeting {
        contact_id,
        member,
        first: befriended.is_new_friend,
    }))
}

/// The member has left: the one recorded move (D63). It is no new friendship, so nobody is welcomed.
async fn hand_on(
    tx: &mut Tx,
    tenant: TenantId,
    from: Assigned,
    to: Seat,
    now: Timestamp,
) -> Result<Option<Meeting>, Error> {
    let contact_id = from.contact_id;
    if !store::scan::move_follow(&mut **tx, contact_id, from.member_id, to.member_id, now).await? {
        return Ok(None);
    }
    let event = FollowMoved {
        tenant_id: tenant.to_string(),
        contact_id: contact_id.to_string(),
        from_member_id: from.member_id.to_string(),
        to_member_id: to.member_id.to_string(),
    };
    tx.audit(Actor::Contact(contact_id), "contact.moved", contact_id);
    outbox::record(tx, &event, now).await?;
    let member = Face {
        member_id: to.member_id,
        alias: to.alias,
    };
    Ok(Some(Meeting {
        contact_id,
        member,
        first: false,
    }))
}

#[cfg(test)]
mod tests;
