//! Forgetting what can no longer come again.

use crate::Tx;

const BATCH_ROWS_MAX: i64 = 5_000;

/// Deletes a bounded share of what is past its time: published events after 7 days (as long as the
/// stream keeps them), request keys after 7, inbox rows after 21 (longer than any redelivery).
pub(crate) async fn prune(tx: &mut Tx) -> Result<(), sqlx::Error> {
    for statement in [
        "delete from outbox where seq in (
           select seq from outbox
           where published_at < now() - interval '7 days' order by seq limit $1)",
        "delete from request where ctid in (
           select ctid from request where at < now() - interval '7 days' limit $1)",
        "delete from inbox where ctid in (
           select ctid from inbox where seen_at < now() - interval '21 days' limit $1)",
    ] {
        sqlx::query(statement)
            .bind(BATCH_ROWS_MAX)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}
