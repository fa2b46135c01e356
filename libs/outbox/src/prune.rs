//! Forgetting what can no longer come again.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::Database;

const EVERY: Duration = Duration::from_secs(5);
const BATCH_ROWS_MAX: i64 = 5_000;

/// Prunes every 5 s, beside the relay: publishing does not wait for it.
pub(crate) async fn prune_until(db: &Database, stopping: &CancellationToken) {
    while stopping
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        if let Err(error) = prune(db).await {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "old rows stay a while longer"
            );
        }
    }
}

/// Deletes a bounded share of what is past its time: published events after 7 days (as long as the
/// stream keeps them), request keys after 7, inbox rows after 21 (longer than any redelivery).
///
/// Each statement starts at the oldest rows and reads no others: the outbox is in the order of its key.
async fn prune(db: &Database) -> Result<(), sqlx::Error> {
    for statement in [
        "delete from outbox where seq in (
           select seq from (select seq, published_at from outbox order by seq limit $1) as oldest
           where published_at < now() - interval '7 days')",
        "delete from request where ctid in (
           select ctid from request where at < now() - interval '7 days' order by at limit $1)",
        "delete from inbox where ctid in (
           select ctid from inbox where seen_at < now() - interval '21 days' order by seen_at limit $1)",
    ] {
        let mut tx = db.begin_everyone().await?;
        sqlx::query(statement)
            .bind(BATCH_ROWS_MAX)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
    }
    Ok(())
}
