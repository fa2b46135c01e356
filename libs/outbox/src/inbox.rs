//! Which events a listener has in effect, how often it tried, and which it gave up on.

use contracts::Envelope;
use jiff_sqlx::ToSqlx as _;
use uuid::Uuid;

use crate::Tx;

/// The how-manieth attempt this is, unless the event is in effect already; it is once the transaction commits. A
/// second delivery at the same time waits here for the first one's outcome.
pub(crate) async fn first_time(
    tx: &mut Tx,
    consumer: &str,
    envelope: &Envelope,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "insert into inbox (consumer, event_id, tenant_id, attempts, handled_at)
         values ($1, $2, $3, 1, now())
         on conflict (consumer, event_id) do update
           set handled_at = now(), attempts = inbox.attempts + 1
           where inbox.handled_at is null
         returning attempts",
    )
    .bind(consumer)
    .bind(envelope.event_id)
    .bind(envelope.tenant_id.0)
    .fetch_optional(&mut **tx)
    .await
}

/// Counts a failed attempt; how many there were, or `None` when the event is in effect after all.
pub(crate) async fn failed(
    tx: &mut Tx,
    consumer: &str,
    envelope: &Envelope,
    reason: &str,
) -> Result<Option<i32>, sqlx::Error> {
    sqlx::query_scalar(
        "insert into inbox (consumer, event_id, tenant_id, attempts, last_error) values ($1, $2, $3, 1, $4)
         on conflict (consumer, event_id) do update
           set attempts = inbox.attempts + 1, last_error = $4
           where inbox.handled_at is null
         returning attempts",
    )
    .bind(consumer)
    .bind(envelope.event_id)
    .bind(envelope.tenant_id.0)
    .bind(reason)
    .fetch_optional(&mut **tx)
    .await
}

/// Puts the event aside with the reason, for a person to replay.
pub(crate) async fn bury(
    tx: &mut Tx,
    consumer: &str,
    envelope: &Envelope,
    reason: &str,
    attempts: i32,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "insert into dead_letter (dead_letter_id, consumer, event_id, tenant_id, name, key, occurred_at,
           payload, traceparent, reason, attempts)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
         on conflict on constraint dead_letter_once
           do update set reason = $10, attempts = $11, replay_at = null",
    )
    .bind(Uuid::now_v7())
    .bind(consumer)
    .bind(envelope.event_id)
    .bind(envelope.tenant_id.0)
    .bind(&envelope.name)
    .bind(&envelope.key)
    .bind(envelope.occurred_at.to_sqlx())
    .bind(&envelope.payload)
    .bind(&envelope.traceparent)
    .bind(reason)
    .bind(attempts)
    .execute(&mut **tx)
    .await
    .map(drop)
}

/// The event is in effect: nothing is left to replay.
pub(crate) async fn unbury(tx: &mut Tx, consumer: &str, event_id: Uuid) -> Result<(), sqlx::Error> {
    sqlx::query("delete from dead_letter where consumer = $1 and event_id = $2")
        .bind(consumer)
        .bind(event_id)
        .execute(&mut **tx)
        .await
        .map(drop)
}
