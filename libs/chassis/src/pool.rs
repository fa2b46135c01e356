//! Connections to Postgres: made at first use, so a process starts without it and errs, never hangs, while it is away.

use std::time::Duration;

use anyhow::Context;
use secrecy::{ExposeSecret, SecretString};
use sqlx::{
    Connection, PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::Settings;

const ACQUIRE_SECS_MAX: u64 = 2;
const STATEMENT_SECS_MAX: u64 = 15;
const LOCK_SECS_MAX: u64 = 5;
/// A process that is cut off keeps what it has locked for no longer.
const IDLE_IN_TRANSACTION_SECS_MAX: u64 = 15;
/// A connection used within this time is taken on trust; an older one is asked first.
const TRUSTED_SECS: u64 = 1;
const IDLE_SECS_MAX: u64 = 300;

/// The pool of the role that runs. Nothing is connected yet.
///
/// # Errors
/// When the URL is missing or malformed.
pub fn pool(settings: &Settings) -> anyhow::Result<PgPool> {
    of(settings, settings.pool_connections_max)
}

/// The same with another number of connections at most.
///
/// # Errors
/// When the URL is missing or malformed.
pub fn of(settings: &Settings, connections_max: u32) -> anyhow::Result<PgPool> {
    let options = parse(settings.database_url.as_ref(), "SHEQUN_DATABASE_URL")?.options([
        ("statement_timeout", format!("{STATEMENT_SECS_MAX}s")),
        ("lock_timeout", format!("{LOCK_SECS_MAX}s")),
        (
            "idle_in_transaction_session_timeout",
            format!("{IDLE_IN_TRANSACTION_SECS_MAX}s"),
        ),
    ]);
    Ok(PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECS_MAX))
        .idle_timeout(Duration::from_secs(IDLE_SECS_MAX))
        // Asking before every use costs a round trip; a busy connection that died says so at once.
        .test_before_acquire(false)
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                Ok(meta.idle_for < Duration::from_secs(TRUSTED_SECS) || connection.ping().await.is_ok())
            })
        })
        .connect_lazy_with(options))
}

/// The pool of the role that owns the schema, for `migrate`: one connection, no limit on a statement.
///
/// # Errors
/// When the URL is missing or malformed.
pub fn owner_pool(settings: &Settings) -> anyhow::Result<PgPool> {
    let options = parse(settings.owner_database_url.as_ref(), "SHEQUN_OWNER_DATABASE_URL")?
        .options([("lock_timeout", format!("{LOCK_SECS_MAX}s"))]);
    Ok(PgPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECS_MAX))
        .connect_lazy_with(options))
}

/// The readiness check of a pool: a statement goes through.
///
/// # Errors
/// What is in the way, in words for the operator.
pub async fn check(pool: &PgPool) -> Result<(), String> {
    sqlx::query("select 1")
        .execute(pool)
        .await
        .map(drop)
        .map_err(|error| error.to_string())
}

fn parse(url: Option<&SecretString>, variable: &str) -> anyhow::Result<PgConnectOptions> {
    let url = url.with_context(|| format!("{variable} is not set"))?;
    // The source may quote the URL, and with it the password.
    let options: PgConnectOptions = url
        .expose_secret()
        .parse()
        .map_err(|_| anyhow::anyhow!("{variable} is not a postgres URL"))?;
    let role = options.get_username().to_owned();
    Ok(options.application_name(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_url_is_named_and_not_quoted() {
        let missing = parse(None, "SHEQUN_DATABASE_URL").unwrap_err();
        assert_eq!(missing.to_string(), "SHEQUN_DATABASE_URL is not set");
        let bad = parse(Some(&"postgres://a:hunter2@[".into()), "SHEQUN_DATABASE_URL").unwrap_err();
        assert!(!format!("{bad:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn an_unreachable_database_errs() {
        let pool = PgPoolOptions::new()
            .acquire_timeout(Duration::from_millis(50))
            .connect_lazy("postgres://nobody@127.0.0.1:1/none")
            .unwrap();
        assert!(check(&pool).await.is_err());
    }
}
