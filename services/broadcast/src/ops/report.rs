//! The proof of a mass message, in figures and recipient by recipient.
//!
//! Cost: the report reads every receipt of the mass message once, in the database. The export holds one page of it, and a
//! connection only while it reads one: a slow reader costs nobody anything, whatever the audience.

use axum::body::Bytes;
use contracts::{BroadcastId, ContactId, TenantId};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use crate::State;
use crate::error::Error;
use crate::report::{Ended, Format, Report};
use crate::store;

const MEMBERS_SHOWN_MAX: i64 = 500;
const PAGE_ROWS: i64 = 2_000;

pub(crate) async fn report(state: &State, tenant: TenantId, broadcast: BroadcastId) -> Result<Report, Error> {
    let mut tx = state.db.read(tenant).await?;
    let found = store::broadcast::find(&mut *tx, broadcast)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    let tally = store::chunk::tally(&mut *tx, broadcast).await?;
    let (members, members_total) = store::chunk::shares(&mut *tx, broadcast, MEMBERS_SHOWN_MAX).await?;
    let mut endings = store::receipt::endings(&mut *tx, tenant, broadcast).await?;
    let summed_up = store::old::summed_up(&mut *tx, tenant, broadcast).await?;
    let has_receipts = summed_up.is_none();
    if let Some(kept) = summed_up {
        let of = |it: store::old::SummedUp| (it.state, it.recipients, it.first_at, it.last_at);
        endings = kept.into_iter().map(of).collect();
    }
    let ended = |(state, recipients, first_at, last_at): (crate::outcome::Outcome, _, _, _)| Ended {
        state,
        why: state.why(),
        recipients,
        first_at,
        last_at,
    };
    Ok(Report {
        broadcast: found,
        audience: tally.audience,
        outcomes: tally.outcomes,
        has_receipts,
        endings: endings.into_iter().map(ended).collect(),
        members,
        members_total,
    })
}

/// The recipients after a contact, in pages of lines; a page that can't be read ends it with an error.
pub(crate) async fn export(
    state: &State,
    tenant: TenantId,
    broadcast: BroadcastId,
    format: Format,
    after: Option<ContactId>,
) -> Result<BoxStream<'static, Result<Bytes, Error>>, Error> {
    let place = state.watches.place(tenant)?;
    let mut tx = state.db.read(tenant).await?;
    if store::broadcast::find(&mut *tx, broadcast).await?.is_none() {
        return Err(Error::BroadcastUnknown);
    }
    super::check_receipts(&mut tx, tenant, broadcast).await?;
    drop(tx);
    let (state, head) = (state.clone(), format.head(after));
    let first = Some((after, head));
    let pages = stream::try_unfold((first, place), move |(next, place)| {
        let state = state.clone();
        async move {
            let Some((after, head)) = next else {
                return Ok(None);
            };
            let mut tx = state.db.read(tenant).await?;
            let rows = store::receipt::page(&mut *tx, tenant, broadcast, after, PAGE_ROWS).await?;
            let is_full = i64::try_from(rows.len()) == Ok(PAGE_ROWS);
            if !is_full {
                super::check_receipts(&mut tx, tenant, broadcast).await?; // forgotten on the way is no end
            }
            drop(tx);
            let next = rows
                .last()
                .filter(|_| is_full)
                .map(|row| (Some(row.contact_id), ""));
            let lines = head.to_owned() + &format.lines(&rows);
            Ok::<_, Error>(Some((Bytes::from(lines), (next, place))))
        }
    });
    Ok(pages.boxed())
}
