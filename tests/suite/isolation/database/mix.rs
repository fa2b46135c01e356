//! Many tenants over few connections: what one transaction set must be gone in the next, however the first one ended.

use std::time::Duration;

use contracts::TenantId;
use futures::StreamExt as _;
use outbox::Database;
use sqlx::postgres::PgPoolOptions;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use super::catalog::Table;
use super::scratch::{Role, Scratch};
use crate::isolation::findings::Findings;

pub(super) const TENANTS: usize = 50;
pub(super) const REQUESTS: usize = 10_000;
const CONNECTIONS_MAX: u32 = 5;
const AT_ONCE: usize = 20;
/// Long enough to be cut off, short enough not to matter.
const CUT: Duration = Duration::from_millis(1);

/// How a request ends.
const ENDINGS: [Ending; 6] = [
    Ending::Committed,
    Ending::Dropped,
    Ending::Failed,
    Ending::Cut,
    Ending::AcrossTenants,
    Ending::Dropped,
];

#[derive(Clone, Copy)]
enum Ending {
    Committed,
    Dropped,
    /// A statement fails, and the transaction is dropped as it is.
    Failed,
    /// The caller goes away in the middle of a statement.
    Cut,
    /// A loop's transaction that sees every tenant's rows goes before.
    AcrossTenants,
}

/// Requests of all tenants in turn, each looking at one table.
pub(super) async fn check(
    scratch: &Scratch,
    role: &Role,
    tables: &[Table],
    tenants: &[Uuid],
    requests: usize,
) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let options = PgPoolOptions::new().max_connections(CONNECTIONS_MAX);
    let pool = options.connect_with(scratch.login(role)?).await?;
    let database = Database::new(pool.clone());
    let requests = (0..requests).map(|n| {
        let (tenant, table) = (
            tenants[n % tenants.len()],
            &tables[n / tenants.len() % tables.len()],
        );
        request(&database, TenantId(tenant), table, ENDINGS[n % ENDINGS.len()])
    });
    let mut answers = futures::stream::iter(requests).buffer_unordered(AT_ONCE);
    while let Some(answer) = answers.next().await {
        let (table, tenant, seen) = answer?;
        findings.check(seen == [tenant.0], || {
            format!("{table}: {tenant} saw the rows of {seen:?}")
        });
    }
    drop(answers);
    check_rest(&pool, &mut findings).await?;
    Ok(findings)
}

async fn request<'a>(
    database: &Database,
    tenant: TenantId,
    table: &'a Table,
    ending: Ending,
) -> anyhow::Result<(&'a str, TenantId, Vec<Uuid>)> {
    if matches!(ending, Ending::AcrossTenants) {
        drop(database.begin_everyone().await?);
    }
    let mut tx = database.begin(tenant).await?;
    let sql = format!("select tenant_id from {}", table.full());
    let seen = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *tx).await?;
    match ending {
        Ending::Committed => tx.commit().await?,
        Ending::Failed => drop(sqlx::query("select 1 / 0").execute(&mut *tx).await),
        Ending::Cut => {
            let slow = sqlx::query("select pg_sleep(0.005)").execute(&mut *tx);
            drop(tokio::time::timeout(CUT, slow).await);
        }
        Ending::Dropped | Ending::AcrossTenants => drop(tx),
    }
    Ok((&table.name, tenant, seen))
}

/// Nothing stays behind on a connection.
pub(super) async fn check_rest(pool: &PgPool, findings: &mut Findings) -> anyhow::Result<()> {
    let mut connections = Vec::new();
    for _ in 0..pool.options().get_max_connections() {
        let mut connection = pool.acquire().await?;
        let rest: Option<String> =
            sqlx::query_scalar("select nullif(current_setting('shequn.tenant', true), '')")
                .fetch_one(&mut *connection)
                .await?;
        findings.check(rest.is_none(), || {
            format!("a connection in the pool still acts for {rest:?}")
        });
        connections.push(connection);
    }
    Ok(())
}
