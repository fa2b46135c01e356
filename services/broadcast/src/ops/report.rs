//! The proof of a mass message, in figures and recipient by recipient.
//!
//! Cost: the report reads every receipt of the mass message once, in the database. The export holds one page of it, and a
//! connection only while it reads one: a slow reader costs nobody anything, whatever the audience.

use axum::body::Bytes;
use contracts::{BroadcastId, ContactId, TenantId};
use futures::StreamExt as _;
use futures::stream::{self, BoxStream};

use crate::State;
use crate::broadcast::{Broadcast, ChannelName};
use crate::click::{ClickFigures, LinkClicks};
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
    let (clicks, links) = clicks(&mut tx, &found).await?;
    let reads = match found.channel == ChannelName::Inbox {
        true => Some(store::inbox::reads(&mut *tx, tenant, broadcast).await?),
        false => None, // nobody tells us
    };
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
        clicks,
        links,
        reads,
        endings: endings.into_iter().map(ended).collect(),
        members,
        members_total,
    })
}

/// How often its links were followed, together and one by one, where that can be told.
async fn clicks(
    db: &mut sqlx::PgConnection,
    found: &Broadcast,
) -> Result<(Option<ClickFigures>, Vec<LinkClicks>), Error> {
    let Some(content) = found.content.as_ref().filter(|content| content.has_short_links()) else {
        return Ok((None, vec![]));
    };
    let total = store::click::total(&mut *db, found.broadcast_id).await?;
    let links = store::click::links(&mut *db, found.broadcast_id).await?;
    let named = |(link, figures)| {
        let link = content.place_of(link)?;
        Some(LinkClicks { link, figures })
    };
    Ok((Some(total), links.into_iter().filter_map(named).collect()))
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
