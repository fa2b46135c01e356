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

/// The person that is meant: the contact with this id if there is one, else the id itself (R20). None for what looks like
/// a contact's id, and is neither that of a contact told of yet nor a person's name: taken for a person of its own it would
/// earn what nobody finds, and pass for somebody else than itself. No statement for what does not look like one.
pub(crate) async fn find(db: impl PgExecutor<'_>, named: &PersonId) -> Result<Option<PersonId>, sqlx::Error> {
    let Ok(id) = named.as_str().parse::<Uuid>() else {
        return Ok(Some(named.clone()));
    };
    let known = sqlx::query_scalar!(
        r#"select external_id as "person: PersonId" from person where contact_id = $1 or external_id = $2
           order by contact_id = $1 desc limit 1"#,
        id,
        named.as_str(),
    )
    .fetch_optional(db)
    .await?;
    // Contacts' ids are of version 7; shops' customers may well be numbered by others.
    Ok(known.or_else(|| (id.get_version_num() != 7).then(|| named.clone())))
}

/// For who only asks: nothing is known of an unknown person.
pub(crate) async fn resolve(db: impl PgExecutor<'_>, named: PersonId) -> Result<PersonId, sqlx::Error> {
    Ok(find(db, &named).await?.unwrap_or(named))
}
