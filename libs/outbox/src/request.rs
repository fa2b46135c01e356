//! Requests under an `Idempotency-Key`: the same key and body replays the first answer.

use contracts::RequestKey;
use serde::{Serialize, de::DeserializeOwned};

use crate::Tx;

/// Why a request can't be answered under its key.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error("the idempotency key was used for another request")]
    OtherBody,
    #[error("stored answer does not decode")]
    Answer(#[from] serde_json::Error),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
}

/// The answer given before under this key, or `None` for a first request, which then holds the
/// key until its transaction ends: a second one with the same key waits here.
///
/// # Errors
/// [`RequestError::OtherBody`] when the key stands for something else.
pub async fn earlier<T: DeserializeOwned>(tx: &mut Tx, key: &RequestKey) -> Result<Option<T>, RequestError> {
    let claimed = sqlx::query(
        "insert into request (tenant_id, key, fingerprint)
         values (current_setting('shequn.tenant')::uuid, $1, $2)
         on conflict do nothing",
    )
    .bind(&key.key)
    .bind(key.fingerprint.as_slice())
    .execute(&mut **tx)
    .await?
    .rows_affected();
    if claimed == 1 {
        return Ok(None);
    }
    let (fingerprint, answer): (Vec<u8>, serde_json::Value) = sqlx::query_as(
        "select fingerprint, coalesce(answer, 'null') from request
             where tenant_id = current_setting('shequn.tenant')::uuid and key = $1",
    )
    .bind(&key.key)
    .fetch_one(&mut **tx)
    .await?;
    if fingerprint != key.fingerprint {
        return Err(RequestError::OtherBody);
    }
    Ok(Some(serde_json::from_value(answer)?))
}

/// Keeps the answer, to be replayed if the request comes again; call before commit.
///
/// # Errors
/// When the answer does not encode or the database fails.
pub async fn keep<T: Serialize>(tx: &mut Tx, key: &RequestKey, answer: &T) -> Result<(), RequestError> {
    sqlx::query(
        "update request set answer = $2
         where tenant_id = current_setting('shequn.tenant')::uuid and key = $1",
    )
    .bind(&key.key)
    .bind(serde_json::to_value(answer)?)
    .execute(&mut **tx)
    .await?;
    Ok(())
}
