//! Who is kept out to measure against.

use contracts::{BroadcastId, ContactId};
use sqlx::PgExecutor;

/// Those of the sorted contacts that this mass message keeps out, sorted: the same ones whenever it is asked.
pub(crate) async fn among(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    contacts: &[ContactId],
    held_out_ppm: i32,
) -> sqlx::Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact!: ContactId" from unnest($2::uuid[]) as asked (contact_id)
           where is_held_out($1, contact_id, $3) order by 1"#,
        broadcast.0,
        contacts as &[ContactId],
        held_out_ppm,
    )
    .fetch_all(db)
    .await
}
