//! Transactions that know their tenant and wake the relay when they commit an event.

use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use contracts::TenantId;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Notify;

use crate::audit::Entry;
use crate::figures;

/// A service's schema: its own tables beside those of the outbox.
#[derive(Clone)]
pub struct Database {
    pool: PgPool,
    recorded: Arc<Notify>,
}

impl Database {
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self {
            pool,
            recorded: Arc::new(Notify::new()),
        }
    }

    /// Begins an operation of `tenant`: row-level security shows its rows and no others.
    /// One round trip.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn begin(&self, tenant: TenantId) -> Result<Tx, sqlx::Error> {
        self.begin_as("begin", &tenant.to_string()).await
    }

    /// Begins a transaction that only reads `tenant`'s rows; dropping it ends it.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn read(&self, tenant: TenantId) -> Result<Tx, sqlx::Error> {
        self.begin_as("begin read only", &tenant.to_string()).await
    }

    /// Begins work across tenants: it sees the tables that have a policy `everyone`, and
    /// nothing of the others.
    ///
    /// # Errors
    /// When no connection can be had in time.
    pub async fn begin_everyone(&self) -> Result<Tx, sqlx::Error> {
        self.begin_as("begin", "*").await
    }

    /// The connections themselves, for a look-up that no tenant stands behind yet: row-level security shows it
    /// nothing but what a function of the schema's owner gives away.
    #[must_use]
    pub const fn tenantless(&self) -> &PgPool {
        &self.pool
    }

    /// Resolves once some transaction committed an event.
    pub(crate) async fn recorded(&self) {
        self.recorded.notified().await;
    }

    /// `scope` is a uuid's text or `*`, so it can stand in the statement; a bind would cost a
    /// second round trip.
    async fn begin_as(&self, begin: &str, scope: &str) -> Result<Tx, sqlx::Error> {
        let statement = format!("{begin}; set local shequn.tenant = '{scope}'");
        let inner = self.pool.begin_with(AssertSqlSafe(statement)).await;
        let inner = inner.inspect_err(figures::count_time_out)?;
        Ok(Tx {
            inner,
            recorded: Arc::clone(&self.recorded),
            wakes: false,
            audited: Vec::new(),
        })
    }
}

/// One operation's transaction; dropped without `commit`, nothing happened.
pub struct Tx {
    inner: Transaction<'static, Postgres>,
    recorded: Arc<Notify>,
    wakes: bool,
    /// State changes whose rows are not written yet.
    pub(crate) audited: Vec<Entry>,
}

impl Tx {
    /// Makes the operation final, with a row for each state change, and wakes the relay if it recorded an event.
    ///
    /// # Errors
    /// When the outcome is unknown or a deferred constraint refuses it.
    pub async fn commit(mut self) -> Result<(), sqlx::Error> {
        self.write_audited().await?;
        self.inner.commit().await?;
        if self.wakes {
            self.recorded.notify_one();
        }
        Ok(())
    }

    pub(crate) fn wake_on_commit(&mut self) {
        self.wakes = true;
    }
}

impl Deref for Tx {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.inner
    }
}

impl DerefMut for Tx {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.inner
    }
}
