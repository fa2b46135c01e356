//! The table `signing_key`, which belongs to no tenant.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;

/// A key as it is stored.
pub(crate) struct SealedKey {
    pub(crate) kid: String,
    pub(crate) sealed_seed: Vec<u8>,
    pub(crate) signs_from: Timestamp,
}

/// Lets one process at a time decide about the keys, until its transaction ends.
pub(crate) async fn hold(db: impl PgExecutor<'_>) -> sqlx::Result<()> {
    sqlx::query!("select pg_advisory_xact_lock(hashtext('identity.signing_key'))")
        .fetch_one(db)
        .await
        .map(drop)
}

/// A handful: those that outlived their tokens are deleted when a new one is made.
pub(crate) async fn all(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<SealedKey>> {
    sqlx::query_as!(
        SealedKey,
        "select kid, sealed_seed, signs_from from signing_key order by signs_from"
    )
    .fetch_all(db)
    .await
}

pub(crate) async fn insert(db: impl PgExecutor<'_>, key: &SealedKey) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into signing_key (kid, sealed_seed, signs_from) values ($1, $2, $3)",
        key.kid,
        key.sealed_seed,
        key.signs_from.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn delete(db: impl PgExecutor<'_>, kids: &[String]) -> sqlx::Result<()> {
    sqlx::query!("delete from signing_key where kid = any($1)", kids)
        .execute(db)
        .await
        .map(drop)
}
