//! Taking a seat: in a group, or in whichever group of a series takes newcomers now.
//!
//! Cost: one call to customers, then one transaction of 7 round trips (begin, request key, door,
//! seat, event, answer, commit); 12 for the one join in a series that opens its next group.
//!
//! Locks, always in this order, so that no two operations of this service wait for each other in a
//! circle: request key, series, group, seat. A join of a series holds the series' row until it
//! commits, so its newcomers come one by one and exactly one of them opens the next group. A join
//! of a group, and a leave, never take the series' row. Whoever has inserted or deleted a seat waits for
//! nothing more. The row of a full group may stay locked until the transaction ends; the next group
//! that is locked after it is new and nobody else can see it.

use contracts::{GroupId, RequestKey, SeriesId};
use jiff::Timestamp;
use outbox::{Tx, request};
use tokio::sync::OwnedSemaphorePermit;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::group::GroupKind;
use crate::seat::{Applicant, Change, Joined};
use crate::store;
use crate::store::seat::Taken;

/// A lost race shows a seat at the next look, so the second attempt ends it; the third is for a
/// contact that leaves in between.
const ATTEMPTS_MAX: usize = 3;

/// Where a contact asks for a seat.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Door {
    Group(GroupId),
    Series(SeriesId),
}

/// Takes a seat, or answers the one the contact has there already.
#[tracing::instrument(name = "groups.join", skip_all)]
pub(crate) async fn join(
    state: &State,
    applicant: &Applicant,
    key: &RequestKey,
    door: Door,
) -> Result<Joined, Error> {
    let _turn = match admit(state, applicant).await {
        Ok(turn) => turn,
        // An answer that was given stands, whatever is the matter now.
        Err(error) => return answered(state, applicant, key).await?.ok_or(error),
    };
    for _ in 1..ATTEMPTS_MAX {
        match attempt(state, applicant, key, door).await {
            Err(Error::SeatRaced) => {}
            done => return done,
        }
    }
    attempt(state, applicant, key, door).await
}

/// A turn, and customers' word that there is such a contact.
async fn admit(state: &State, applicant: &Applicant) -> Result<OwnedSemaphorePermit, Error> {
    let turn = state.gate.turn().await?;
    let expected = state.customers.expect(applicant.tenant_id, applicant.contact_id);
    let known = expected.await;
    if matches!(known, Err(Error::Customers(_))) {
        state.gate.turn_away();
    }
    known.map(|()| turn)
}

/// The answer this request got before, if it did.
async fn answered(state: &State, applicant: &Applicant, key: &RequestKey) -> Result<Option<Joined>, Error> {
    let mut tx = state.db.begin(applicant.tenant_id).await?;
    // Not committed, so a key that is new stays free.
    Ok(request::earlier(&mut tx, key).await?)
}

async fn attempt(
    state: &State,
    applicant: &Applicant,
    key: &RequestKey,
    door: Door,
) -> Result<Joined, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(applicant.tenant_id).await?;
    if let Some(earlier) = request::earlier(&mut tx, key).await? {
        return Ok(earlier);
    }
    let joined = match door {
        Door::Group(group_id) => join_group(&mut tx, applicant, group_id, now).await?,
        Door::Series(series_id) => join_series(&mut tx, applicant, series_id, now).await?,
    };
    request::keep(&mut tx, key, &joined).await?;
    tx.commit().await?;
    Ok(joined)
}

async fn join_group(
    tx: &mut Tx,
    applicant: &Applicant,
    group_id: GroupId,
    now: Timestamp,
) -> Result<Joined, Error> {
    let door = store::seat::group_door(&mut **tx, group_id, applicant.contact_id).await?;
    let door = door.ok_or(Error::GroupUnknown)?;
    if let Some(held) = door.held {
        return Ok(held);
    }
    if !door.is_verified {
        return Err(Error::TenantUnverified);
    }
    if door.kind == GroupKind::Internal {
        return Err(Error::GroupInternal);
    }
    let taken = store::seat::take(&mut **tx, group_id, applicant, Change::JoinedGroup, now).await?;
    seated(tx, applicant, group_id, taken.ok_or(Error::GroupFull)?, now).await
}

async fn join_series(
    tx: &mut Tx,
    applicant: &Applicant,
    series_id: SeriesId,
    now: Timestamp,
) -> Result<Joined, Error> {
    let door = store::seat::lock_series_door(&mut **tx, series_id, applicant.contact_id).await?;
    let door = door.ok_or(Error::SeriesUnknown)?;
    if let Some(held) = door.held {
        return Ok(held);
    }
    if !door.is_verified {
        return Err(Error::TenantUnverified);
    }
    let mut group_id = door.current_group_id;
    let mut taken = store::seat::take(&mut **tx, group_id, applicant, Change::JoinedSeries, now).await?;
    if taken.is_none() {
        group_id = open_next(tx, applicant, series_id, now).await?;
        taken = store::seat::take(&mut **tx, group_id, applicant, Change::JoinedSeries, now).await?;
    }
    seated(tx, applicant, group_id, taken.ok_or(Error::GroupFull)?, now).await
}

/// Opens the next group of a series whose row this transaction holds.
async fn open_next(
    tx: &mut Tx,
    applicant: &Applicant,
    series_id: SeriesId,
    now: Timestamp,
) -> Result<GroupId, Error> {
    let series = store::series::find(&mut **tx, series_id).await?;
    let mut series = series.ok_or(Error::SeriesUnknown)?;
    let terms = store::tenant::terms(&mut **tx, GroupKind::External, now).await?;
    let group = series.open_next(terms, now)?;
    store::group::insert(&mut **tx, applicant.tenant_id, &group).await?;
    store::series::advance(&mut **tx, &series).await?;
    tx.audit(applicant.actor(), "group.opened", group.group_id);
    outbox::record(tx, &events::group_opened(applicant.tenant_id, &group), now).await?;
    Ok(group.group_id)
}

/// Tells of the seat, unless the contact got another one at the same moment.
async fn seated(
    tx: &mut Tx,
    applicant: &Applicant,
    group_id: GroupId,
    taken: Taken,
    now: Timestamp,
) -> Result<Joined, Error> {
    if !taken.is_seated {
        return Err(Error::SeatRaced);
    }
    tx.audit(applicant.actor(), "seat.taken", applicant.seat(group_id));
    outbox::record(tx, &events::group_joined(applicant, group_id, &taken, now), now).await?;
    Ok(Joined {
        group_id,
        group_name: taken.group_name,
        seat: taken.seat,
        already: false,
    })
}
