//! A database for each test: a clone of a template that was migrated once.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use anyhow::Context as _;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgConnection, PgPool};

use crate::{Stack, repository};

const POOL_CONNECTIONS_MAX: u32 = 8;

/// A service's schema of one's own, empty but for its migrations.
pub struct TestDatabase {
    /// Connected as the service's runtime role.
    pub pool: PgPool,
    /// Connected as superuser: sees every tenant's rows.
    pub superuser: PgPool,
    name: String,
}

impl TestDatabase {
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// Clones the template of `service` (schema and role name), migrating it first if this build has
/// not yet; `migrate` is given the owner's address.
///
/// # Errors
/// When Postgres can't be started or a migration fails.
pub async fn database<E>(
    service: &str,
    migrate: impl AsyncFnOnce(String) -> Result<(), E>,
) -> anyhow::Result<TestDatabase>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let superuser: PgConnectOptions = stack.description().postgres.superuser_url.parse()?;
    let mut admin = superuser.connect().await.context("the shared stack's Postgres")?;
    let template = format!("template_{service}_{:016x}", this_build()?);
    // Tests start at once in many processes: one makes the template, the others wait.
    admin
        .execute("select pg_advisory_lock(hashtext('template'))")
        .await?;
    let there: bool = sqlx::query_scalar("select exists (select from pg_database where datname = $1)")
        .bind(&template)
        .fetch_one(&mut admin)
        .await?;
    if !there {
        let draft = format!("draft_{}", uuid::Uuid::now_v7().simple());
        create(&mut admin, &draft, "template0").await?;
        let mut connection = superuser.clone().database(&draft).connect().await?;
        provision(&mut connection).await?;
        connection.close().await?;
        migrate(url(&stack, service, "SHEQUN_OWNER_DATABASE_URL", &draft)?).await?;
        admin
            .execute(AssertSqlSafe(format!(
                "alter database {draft} rename to {template}"
            )))
            .await?;
    }
    let name = format!("test_{}", uuid::Uuid::now_v7().simple());
    create(&mut admin, &name, &template).await?;
    admin
        .execute("select pg_advisory_unlock(hashtext('template'))")
        .await?;
    admin.close().await?;

    let pool = |options: PgConnectOptions| {
        PgPoolOptions::new()
            .max_connections(POOL_CONNECTIONS_MAX)
            .connect_lazy_with(options)
    };
    let superuser = superuser.database(&name).options([("search_path", service)]);
    let mut connection = superuser.connect().await?;
    provision(&mut connection).await?;
    connection.close().await?;
    let runtime: PgConnectOptions = url(&stack, service, "SHEQUN_DATABASE_URL", &name)?.parse()?;
    Ok(TestDatabase {
        pool: pool(runtime),
        superuser: pool(superuser),
        name,
    })
}

async fn create(admin: &mut PgConnection, name: &str, template: &str) -> Result<(), sqlx::Error> {
    admin
        .execute(AssertSqlSafe(format!(
            "create database {name} template {template}"
        )))
        .await
        .map(drop)
}

/// Grants and search paths belong to a database, so every clone is provisioned again.
async fn provision(connection: &mut PgConnection) -> anyhow::Result<()> {
    let script = std::fs::read_to_string(repository().join("deploy/dev/provision-database.sql"))?;
    // `raw_sql` takes several statements.
    sqlx::raw_sql(AssertSqlSafe(script)).execute(connection).await?;
    Ok(())
}

fn url(stack: &Stack, service: &str, variable: &str, database: &str) -> anyhow::Result<String> {
    let url = &stack.process(service).env[variable];
    let (server, _) = url
        .rsplit_once('/')
        .context("an address ends in the database's name")?;
    Ok(format!("{server}/{database}"))
}

/// Another build may bring other migrations, and then needs another template.
fn this_build() -> anyhow::Result<u64> {
    let program = std::env::current_exe()?;
    let mut hasher = DefaultHasher::new();
    program.hash(&mut hasher);
    program.metadata()?.modified()?.hash(&mut hasher);
    Ok(hasher.finish())
}
