//! Giving a seat back.

use contracts::{GroupId, RequestKey};
use outbox::request;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::seat::{Applicant, Left};
use crate::store;

/// Gives the contact's seat back. Locks as in [`join`](super::join): request key, group, seat.
#[tracing::instrument(name = "groups.leave", skip_all)]
pub(crate) async fn leave(
    state: &State,
    applicant: &Applicant,
    key: &RequestKey,
    group_id: GroupId,
) -> Result<Left, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(applicant.tenant_id).await?;
    if let Some(earlier) = request::earlier(&mut tx, key).await? {
        return Ok(earlier);
    }
    if !store::seat::give_back(&mut *tx, group_id, applicant, now).await? {
        return Err(Error::SeatUnknown);
    }
    tx.audit(applicant.actor(), "seat.given_back", applicant.seat(group_id));
    outbox::record(&mut tx, &events::group_left(applicant, group_id), now).await?;
    let left = Left {
        group_id,
        contact_id: applicant.contact_id,
    };
    request::keep(&mut tx, key, &left).await?;
    tx.commit().await?;
    Ok(left)
}
