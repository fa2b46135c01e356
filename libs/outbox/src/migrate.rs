//! Bringing a service's schema up to date, as the owner role.

use sqlx::migrate::Migrator;
use sqlx::{Connection as _, PgConnection};

static OUTBOX: Migrator = sqlx::migrate!();

/// Why a schema could not be brought up to date.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    #[error("could not connect as the schema's owner")]
    Connect(#[from] sqlx::Error),
    #[error("migration failed")]
    Migration(#[from] sqlx::migrate::MigrateError),
}

/// Applies the outbox's tables, then the service's own; what is applied already is left alone.
///
/// # Errors
/// When the database is out of reach or a migration fails; nothing of it is then applied.
pub async fn migrate(owner_url: &str, own: &Migrator) -> Result<(), MigrateError> {
    let mut connection = PgConnection::connect(owner_url).await?;
    OUTBOX.run(&mut connection).await?;
    own.run(&mut connection).await?;
    Ok(connection.close().await?)
}
