//! Lists of contacts, as sorted arrays of up to 10,000.

use contracts::{ContactId, ContactListId, TenantId};
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;

use crate::list::{ContactList, LIST_DAYS_MAX};

const PART_CONTACTS: usize = 10_000;

pub(crate) async fn insert(
    db: &mut sqlx::PgConnection,
    tenant: TenantId,
    list: &ContactList,
    contacts: &[ContactId],
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into contact_list (tenant_id, list_id, contacts, made_at) values ($1, $2, $3, $4)",
        tenant.0,
        list.list_id.0,
        list.contacts,
        list.made_at.to_sqlx() as _,
    )
    .execute(&mut *db)
    .await?;
    for part in contacts.chunks(PART_CONTACTS) {
        sqlx::query!(
            "insert into contact_list_part (tenant_id, list_id, last_id, contact_ids)
             values ($1, $2, ($3::uuid[])[cardinality($3)], $3)",
            tenant.0,
            list.list_id.0,
            part as &[ContactId],
        )
        .execute(&mut *db)
        .await?;
    }
    Ok(())
}

/// Forgets lists that are too old to be meant.
pub(crate) async fn forget_old(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from contact_list where made_at < now() - make_interval(days => $1)",
        LIST_DAYS_MAX
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn is_known(db: impl PgExecutor<'_>, list: ContactListId) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select 1 from contact_list where list_id = $1) as "is_known!""#,
        list.0
    )
    .fetch_one(db)
    .await
}

/// The part of a list with the next contacts behind `after`; some of it may be before. Empty at the end.
pub(crate) async fn part(
    db: impl PgExecutor<'_>,
    list: ContactListId,
    after: ContactId,
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_ids as "contact_ids: Vec<ContactId>" from contact_list_part
           where list_id = $1 and last_id > $2 order by last_id limit 1"#,
        list.0,
        after.0,
    )
    .fetch_optional(db)
    .await
    .map(Option::unwrap_or_default)
}
