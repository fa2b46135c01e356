//! Forgetting what can no longer come again.

use std::convert::Infallible;
use std::time::Duration;

use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use tokio_util::sync::CancellationToken;

use crate::Database;
use crate::reconcile::Publisher;

const EVERY: Duration = Duration::from_secs(5);
const BATCH_ROWS_MAX: i64 = 5_000;

/// Published events, after 7 days: as long as the stream keeps them.
const EVENTS: &str = "delete from outbox where seq in (
    select seq from (select seq, published_at from outbox order by seq limit $1) as oldest
    where published_at < now() - interval '7 days')";
/// Request keys, after 7 days.
const REQUESTS: &str = "delete from request where ctid in (
    select ctid from request where at < now() - interval '7 days' order by at limit $1)";

/// Prunes every 5 s, beside the relay: publishing does not wait for it.
///
/// Each statement deletes a bounded share, starts at the oldest rows and reads no others: the outbox is in the order of
/// its key.
pub(crate) async fn prune_until(db: &Database, publisher: &Publisher, stopping: &CancellationToken) {
    while stopping
        .run_until_cancelled(tokio::time::sleep(EVERY))
        .await
        .is_some()
    {
        // A database restored from an old backup holds nothing but rows past their time, and a stream that lost them all.
        let events = publisher.has_compared().then_some(EVENTS);
        for statement in events.into_iter().chain([REQUESTS]) {
            said(prune(db, statement).await);
        }
    }
}

async fn prune(db: &Database, statement: &'static str) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_everyone().await?;
    sqlx::query(statement)
        .bind(BATCH_ROWS_MAX)
        .execute(&mut *tx)
        .await?;
    tx.commit().await
}

/// Prunes a listener's inbox every 5 s, for as long as the consumer created at `created` lasts.
pub(crate) async fn prune_inbox(db: &Database, durable: &'static str, created: Timestamp) -> Infallible {
    loop {
        tokio::time::sleep(EVERY).await;
        said(forget(db, durable, created).await);
    }
}

/// Deletes a bounded share of what came 21 days ago, longer than any redelivery. Nothing while the consumer is younger:
/// it was made anew, on a stream that may have been, too, and is given the events of a backup of whatever age.
async fn forget(db: &Database, durable: &str, created: Timestamp) -> Result<(), sqlx::Error> {
    let mut tx = db.begin_everyone().await?;
    sqlx::query(
        "delete from inbox where ctid in (
           select ctid from inbox
           where consumer = $1 and seen_at < now() - interval '21 days' and $2 < now() - interval '21 days'
           order by seen_at limit $3)",
    )
    .bind(durable)
    .bind(created.to_sqlx())
    .bind(BATCH_ROWS_MAX)
    .execute(&mut *tx)
    .await?;
    tx.commit().await
}

fn said(pruned: Result<(), sqlx::Error>) {
    if let Err(error) = pruned {
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "old rows stay a while longer"
        );
    }
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use sqlx::migrate::Migrator;

    use super::*;

    #[tokio::test]
    async fn an_inbox_is_kept_whole_while_its_consumer_is_young() -> anyhow::Result<()> {
        let clone = testkit::database("broadcast", async |owner| {
            crate::migrate(&owner, &Migrator::DEFAULT).await
        })
        .await?;
        let db = Database::new(clone.pool.clone());
        sqlx::query(
            "insert into inbox (consumer, event_id, tenant_id, attempts, handled_at, seen_at)
             select consumer, gen_random_uuid(), gen_random_uuid(), 1, now(), now() - age
             from unnest(array['broadcast-welcome', 'broadcast-greeting']) as consumer,
               unnest(array[interval '30 days', interval '20 days']) as age",
        )
        .execute(&clone.superuser)
        .await?;
        let left = async || -> anyhow::Result<Vec<(String, i64)>> {
            let rows = sqlx::query_as("select consumer, count(*) from inbox group by 1 order by 1");
            Ok(rows.fetch_all(&clone.superuser).await?)
        };
        let now = sqlx::query_scalar::<_, jiff_sqlx::Timestamp>("select now()");
        let now = now.fetch_one(&clone.superuser).await?.to_jiff();
        let (greeting, welcome) = ("broadcast-greeting".to_owned(), "broadcast-welcome".to_owned());

        forget(
            &db,
            "broadcast-welcome",
            now - SignedDuration::from_hours(20 * 24),
        )
        .await?;
        assert_eq!(left().await?, [(greeting.clone(), 2), (welcome.clone(), 2)]);
        forget(
            &db,
            "broadcast-welcome",
            now - SignedDuration::from_hours(22 * 24),
        )
        .await?;
        assert_eq!(left().await?, [(greeting, 2), (welcome, 1)]);
        Ok(())
    }
}
