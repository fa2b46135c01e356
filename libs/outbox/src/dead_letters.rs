//! Events a listener gave up on: listed and replayed by an operator.

use std::time::Duration;

use contracts::{Envelope, Event};
use sqlx::Row as _;
use sqlx::postgres::PgRow;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::consume::{Handler, Listener, reason};
use crate::{Actor, Database, Tx, relay};

const LISTED_MAX: i64 = 500;
const REPLAYED_AT_ONCE_MAX: i64 = 100;
const POLL: Duration = Duration::from_secs(1);

/// What an operator can do with dead letters.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// List the newest 500 with the reason each was given up.
    List,
    /// Hand one (or all of them, with `all`) to the running service again.
    Replay {
        /// The dead letter's id as `list` shows it, or `all`.
        id: String,
    },
}

/// Runs the command and prints what it did, one line each.
///
/// # Errors
/// When the database is out of reach or the id is none.
#[expect(clippy::print_stdout, reason = "the answer of a command line")]
pub async fn run(command: Command, db: &Database) -> Result<(), CommandError> {
    let mut tx = db.begin_everyone().await?;
    match command {
        Command::List => {
            let rows = sqlx::query(
                "select dead_letter_id, consumer, tenant_id, name, key, attempts, died_at::text, reason
                 from dead_letter order by died_at desc limit $1",
            )
            .bind(LISTED_MAX)
            .fetch_all(&mut *tx)
            .await?;
            for row in &rows {
                println!("{}", line(row)?);
            }
        }
        Command::Replay { id } => {
            let id: Option<Uuid> = match id.as_str() {
                "all" => None,
                text => Some(text.parse().map_err(|_| CommandError::Id(text.to_owned()))?),
            };
            let replayed = hand_back(&mut tx, id).await?;
            tx.commit().await?;
            println!("{replayed} handed to the running service");
        }
    }
    Ok(())
}

/// Why a command could not be run.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("{0:?} is no id of a dead letter; `dead-letters list` shows them")]
    Id(String),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// Hands letters to their listeners again; each tenant's rows say so.
async fn hand_back(tx: &mut Tx, id: Option<Uuid>) -> Result<usize, sqlx::Error> {
    let mut handed_back: Vec<(Uuid, Uuid)> = sqlx::query_as(
        "update dead_letter set replay_at = now() where $1::uuid is null or dead_letter_id = $1
         returning tenant_id, event_id",
    )
    .bind(id)
    .fetch_all(&mut **tx)
    .await?;
    handed_back.sort_unstable();
    for of_tenant in handed_back.chunk_by(|(a, _), (b, _)| a == b) {
        sqlx::query("select set_config('shequn.tenant', $1, true)")
            .bind(of_tenant[0].0.to_string())
            .execute(&mut **tx)
            .await?;
        for (_, event) in of_tenant {
            tx.audit(
                Actor::CommandLine("dead-letters replay"),
                "dead_letter.replayed",
                event,
            );
        }
        tx.write_audited().await?;
    }
    Ok(handed_back.len())
}

fn line(row: &PgRow) -> Result<String, sqlx::Error> {
    Ok(format!(
        "{} {} {} {}.{} attempts={} {}",
        row.try_get::<Uuid, _>("dead_letter_id")?,
        row.try_get::<String, _>("died_at")?,
        row.try_get::<String, _>("consumer")?,
        row.try_get::<String, _>("name")?,
        row.try_get::<String, _>("key")?,
        row.try_get::<i32, _>("attempts")?,
        row.try_get::<String, _>("reason")?,
    ))
}

/// Applies the letters handed back to this listener, until `stopping`.
pub(crate) async fn replay_loop<E, H>(listener: Listener<E, H>, stopping: CancellationToken)
where
    E: Event + 'static,
    H: Handler<E>,
{
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(POLL) => {}
        }
        match handed_back(&listener.db, listener.durable).await {
            Ok(envelopes) => {
                for envelope in envelopes {
                    replay(&listener, &envelope).await;
                }
            }
            Err(error) => tracing::debug!(%error, durable = listener.durable, "dead letters not readable"),
        }
    }
}

async fn handed_back(db: &Database, durable: &str) -> Result<Vec<Envelope>, sqlx::Error> {
    let mut tx = db.begin_everyone().await?;
    sqlx::query(
        "select event_id, tenant_id, name, key, occurred_at, payload, traceparent
         from dead_letter where consumer = $1 and replay_at is not null order by died_at limit $2",
    )
    .bind(durable)
    .bind(REPLAYED_AT_ONCE_MAX)
    .try_map(|row: PgRow| relay::envelope(&row))
    .fetch_all(&mut *tx)
    .await
}

/// A failure buries the letter again with its new reason.
async fn replay<E, H>(listener: &Listener<E, H>, envelope: &Envelope)
where
    E: Event + 'static,
    H: Handler<E>,
{
    let Err(error) = listener.apply(envelope).await else {
        tracing::info!(event_id = %envelope.event_id, durable = listener.durable, "dead letter replayed");
        return;
    };
    let reason = reason(error.as_ref());
    if let Err(error) = listener.count(envelope, &reason, true).await {
        tracing::warn!(%error, event_id = %envelope.event_id, "dead letter not put back; tried again");
    }
}
