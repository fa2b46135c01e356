//! What identity remembers: one function per statement, one file per table.

pub(crate) mod member;
pub(crate) mod reviewer;
pub(crate) mod session;
pub(crate) mod signing_key;
pub(crate) mod tenant;

use contracts::TenantId;
use sqlx::PgExecutor;

/// From here on the transaction sees and writes the rows of `tenant`: for the one operation that
/// begins without a tenant and makes one.
pub(crate) async fn act_for(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<()> {
    sqlx::query!("select set_config('shequn.tenant', $1, true)", tenant.to_string())
        .fetch_one(db)
        .await
        .map(drop)
}

/// Whether a statement failed because of the constraint of this name.
pub(crate) fn violates(error: &sqlx::Error, constraint: &str) -> bool {
    error.as_database_error().and_then(|error| error.constraint()) == Some(constraint)
}
