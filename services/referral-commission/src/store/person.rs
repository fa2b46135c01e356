//! How contacts are called by the tenant.

use contracts::{ContactId, TenantId};
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::engine::PersonId;

pub(crate) async fn put(
    db: impl PgExecutor<'_>,
    tenant_id: TenantId,
    contact_id: ContactId,
    person: &PersonId,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "insert into person (tenant_id, contact_id, external_id) values ($1, $2, $3)
         on conflict (tenant_id, contact_id) do update set external_id = excluded.external_id",
        tenant_id.0,
        contact_id.0,
        person.as_str(),
    )
    .execute(db)
    .await
    .map(drop)
}

/// The person that is meant: the contact with this id if there is one, else the id itself (R20).
/// No statement for what does not look like a contact's id.
pub(crate) async fn resolve(db: impl PgExecutor<'_>, named: PersonId) -> Result<PersonId, sqlx::Error> {
    let Ok(contact_id) = named.as_str().parse::<Uuid>() else {
        return Ok(named);
    };
    let known = sqlx::query_scalar!(
        r#"select external_id as "person: PersonId" from person where contact_id = $1"#,
        contact_id,
    )
    .fetch_optional(db)
    .await?;
    Ok(known.unwrap_or(named))
}
