//! Recording an event in the transaction of the operation it tells of, with the rows that say who did it.

use chassis::telemetry;
use contracts::{Envelope, EnvelopeError, Event};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;

use crate::Tx;
use crate::audit::Columns;

const RECORD: &str = "
    with event as (
        insert into outbox (event_id, tenant_id, name, key, occurred_at, payload, traceparent)
        select event_id, tenant_id, $3, key, $5, payload, $7
        from unnest($1::uuid[], $2::uuid[], $4::text[], $6::bytea[]) with ordinality
          as event (event_id, tenant_id, key, payload, n)
        order by n
    )
    insert into audit_entry (tenant_id, actor_kind, actor_id, action, subject_id, note, trace_id)
    select current_setting('shequn.tenant')::uuid, actor_kind, actor_id, action, subject_id, note,
        split_part($7, '-', 2)
    from unnest($8::text[], $9::text[], $10::text[], $11::text[], $12::text[]) with ordinality
      as entry (actor_kind, actor_id, action, subject_id, note, n)
    order by n";

/// Why an event could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    #[error(transparent)]
    Envelope(#[from] EnvelopeError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Records that `event` happens `now`, if the transaction commits. One statement.
///
/// # Errors
/// When the event's tenant or key can't stand in a subject, or the database fails.
pub async fn record<E: Event>(tx: &mut Tx, event: &E, now: Timestamp) -> Result<(), RecordError> {
    record_all(tx, std::slice::from_ref(event), now).await
}

/// Records many events in their order, and what [`Tx::audit`] was told before, in one statement.
///
/// # Errors
/// As [`record`].
pub async fn record_all<E: Event>(tx: &mut Tx, events: &[E], now: Timestamp) -> Result<(), RecordError> {
    if events.is_empty() {
        return Ok(());
    }
    let envelopes = events
        .iter()
        .map(|event| Envelope::new(event, now))
        .collect::<Result<Vec<_>, _>>()?;
    let audited = Columns::from(std::mem::take(&mut tx.audited));
    sqlx::query(RECORD)
        .bind(
            envelopes
                .iter()
                .map(|envelope| envelope.event_id)
                .collect::<Vec<_>>(),
        )
        .bind(
            envelopes
                .iter()
                .map(|envelope| envelope.tenant_id.0)
                .collect::<Vec<_>>(),
        )
        .bind(E::full_name())
        .bind(
            envelopes
                .iter()
                .map(|envelope| envelope.key.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(now.to_sqlx())
        .bind(
            envelopes
                .iter()
                .map(|envelope| envelope.payload.as_slice())
                .collect::<Vec<_>>(),
        )
        .bind(telemetry::current_traceparent())
        .bind(audited.actor_kinds)
        .bind(audited.actor_ids)
        .bind(audited.actions)
        .bind(audited.subject_ids)
        .bind(audited.notes)
        .execute(&mut **tx)
        .await?;
    tx.wake_on_commit();
    Ok(())
}
