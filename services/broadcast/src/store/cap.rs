//! Who holds a contact's one mass message of a kind in a window.

use contracts::{BroadcastId, ContactId, TenantId};
use jiff::civil::Date;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::cap::Policy;

/// Takes the caps that are free and tells which of the sorted contacts' caps this mass message now holds, from now or
/// from an earlier claim of the same chunk.
pub(crate) async fn take(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    window_start: Date,
    broadcast: BroadcastId,
    contacts: &[ContactId],
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"with taken as (
             insert into cap (tenant_id, kind, member_id, contact_id, window_start, broadcast_id)
             select $1, $2, $3, contact_id, $4, $5 from unnest($6::uuid[]) as contact_id order by contact_id
             on conflict (tenant_id, kind, member_id, contact_id, window_start) do nothing
             returning contact_id)
           select contact_id as "contact!: ContactId" from taken
           union all
           select contact_id from cap
           where tenant_id = $1 and kind = $2 and member_id = $3 and contact_id = any($6) and window_start = $4
             and broadcast_id = $5
           order by 1"#,
        tenant.0,
        policy.kind.name(),
        policy.member.0,
        window_start.to_sqlx() as _,
        broadcast.0,
        contacts as &[ContactId],
    )
    .fetch_all(db)
    .await
}

/// Gives back what this mass message holds of these contacts' caps; with `but_of`, only those of other windows.
pub(crate) async fn give_back(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    policy: Policy,
    broadcast: BroadcastId,
    contacts: &[ContactId],
    but_of: Option<Date>,
) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from cap
         where tenant_id = $1 and kind = $2 and member_id = $3 and contact_id = any($4) and broadcast_id = $5
           and ($6::date is null or window_start <> $6)",
        tenant.0,
        policy.kind.name(),
        policy.member.0,
        contacts as &[ContactId],
        broadcast.0,
        but_of.map(|date| date.to_sqlx()) as _,
    )
    .execute(db)
    .await
    .map(drop)
}
