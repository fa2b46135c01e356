//! Who followed which link, and how often links were followed.

use contracts::{BroadcastId, ContactId, TenantId};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::click::{Click, ClickFigures, Token};
use crate::content::Content;
use crate::content::short::LinkNo;
use crate::opt_out::LinkKeys;

/// What proves a link, and what says where it leads.
pub(crate) async fn behind(
    db: impl PgExecutor<'_>,
    token: &Token,
) -> sqlx::Result<Option<(LinkKeys, Option<Content>)>> {
    sqlx::query!(
        r#"select link_generation, link_key, link_key_before, content as "content?: Json<Content>"
           from tenant left join broadcast on broadcast.tenant_id = tenant.tenant_id and broadcast_id = $2
           where tenant.tenant_id = $1"#,
        token.tenant.0,
        token.broadcast.0,
    )
    .fetch_optional(db)
    .await
    .map(|row| {
        row.map(|row| {
            let keys = LinkKeys {
                generation: row.link_generation,
                key: row.link_key,
                before: row.link_key_before,
            };
            (keys, row.content.map(|content| content.0))
        })
    })
}

/// Counts clicks on the links of one mass message. Of a contact the first on each link has a row, and the first on any of
/// them, unless they have withdrawn their consent, or it is summed up: then whoever comes again would be counted again, and
/// kept for ever. Who sums it up waits for this and this for them (`store::old::lock`). Too early is what follows the
/// receipt at once, or comes before it: a receipt has the time of its sub-batch, whose first may have had theirs long ago.
pub(crate) async fn count(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    clicks: &[Click],
    early_secs: f64,
) -> sqlx::Result<()> {
    let contacts: Vec<_> = clicks.iter().map(|click| click.contact).collect();
    let links: Vec<_> = clicks.iter().map(|click| i16::from(click.link.0)).collect();
    let ats: Vec<_> = clicks.iter().map(|click| click.at.to_sqlx()).collect();
    let bots: Vec<_> = clicks.iter().map(|click| click.is_bot).collect();
    sqlx::query!(
        "with open as materialized (
           select broadcast_id from broadcast where broadcast_id = $2 and endings is null for key share),
         visit as (
           select visit.contact_id, link, visit.at, is_bot,
             not is_bot and coalesce(visit.at < receipt.at + make_interval(secs => $7), (
               select state not in ('finished', 'cancelled') from broadcast where broadcast_id = $2), false) as is_early,
             exists (
               select from consent
               where consent.tenant_id = $1 and consent.contact_id = visit.contact_id and not marketing) as is_nobodys
           from unnest($3::uuid[], $4::int2[], $5::timestamptz[], $6::bool[]) as visit (contact_id, link, at, is_bot)
           left join receipt
             on receipt.tenant_id = $1 and receipt.broadcast_id = $2 and receipt.contact_id = visit.contact_id),
         each as (
           select * from visit
           union all select contact_id, 0::int2, at, is_bot, is_early, is_nobodys from visit),
         first as (
           insert into click (tenant_id, broadcast_id, contact_id, link, at)
           select $1, $2, contact_id, link, min(at) from each
           where not is_bot and not is_early and not is_nobodys and exists (select from open)
           group by contact_id, link order by contact_id, link
           on conflict (tenant_id, broadcast_id, contact_id, link) do nothing
           returning link)
         insert into click_count (tenant_id, broadcast_id, link, clicks, clickers, bots, early)
         select $1, $2, link, count(*) filter (where not is_bot and not is_early),
           (select count(*) from first where first.link = each.link),
           count(*) filter (where is_bot), count(*) filter (where is_early)
         from each group by link order by link
         on conflict (tenant_id, broadcast_id, link) do update set
           clicks = click_count.clicks + excluded.clicks, clickers = click_count.clickers + excluded.clickers,
           bots = click_count.bots + excluded.bots, early = click_count.early + excluded.early",
        tenant.0,
        broadcast.0,
        &contacts as &[ContactId],
        &links,
        &ats as _,
        &bots,
        early_secs,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Forgets which links the contact followed, of any mass message; figures stay.
pub(crate) async fn forget(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contact: ContactId,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from click using (
           select broadcast_id, link from click
           where tenant_id = $1 and contact_id = $2 order by broadcast_id, link for update) as picked
         where click.tenant_id = $1 and click.contact_id = $2
           and click.broadcast_id = picked.broadcast_id and click.link = picked.link",
        tenant.0,
        contact.0,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Of all links of a mass message together.
pub(crate) async fn total(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<ClickFigures> {
    sqlx::query_as!(
        ClickFigures,
        "select clicks, clickers, early, bots from click_count where broadcast_id = $1 and link = 0",
        broadcast.0,
    )
    .fetch_optional(db)
    .await
    .map(Option::unwrap_or_default)
}

/// Of each link that somebody followed.
pub(crate) async fn links(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
) -> sqlx::Result<Vec<(LinkNo, ClickFigures)>> {
    sqlx::query!(
        "select link, clicks, clickers, early, bots from click_count
         where broadcast_id = $1 and link > 0 order by link",
        broadcast.0,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        let figures = rows.into_iter().filter_map(|row| {
            let figures = ClickFigures {
                clicks: row.clicks,
                clickers: row.clickers,
                early: row.early,
                bots: row.bots,
            };
            Some((LinkNo(u8::try_from(row.link).ok()?), figures))
        });
        figures.collect()
    })
}
