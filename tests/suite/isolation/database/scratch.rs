//! A database of a test's own with all five schemas in it, as the services' own `migrate` makes them, and rows of
//! every tenant in every table. What the test finds open, it can't harm.

use anyhow::Context as _;
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, PgConnection};
use testkit::{Stack, repository, succeed};
use uuid::Uuid;

const FILL: &str = include_str!("fill.sql");

pub(super) struct Scratch {
    stack: Stack,
    name: String,
}

/// One of a service's two database roles.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Role {
    pub(super) schema: String,
    pub(super) is_owner: bool,
}

impl Role {
    pub(super) fn name(&self) -> String {
        if self.is_owner {
            format!("{}_owner", self.schema)
        } else {
            self.schema.clone()
        }
    }
}

impl Scratch {
    /// Made anew at each start; the one of the last run goes.
    pub(super) async fn new(test: &str, tenants: &[Uuid]) -> anyhow::Result<Self> {
        let stack = tokio::task::spawn_blocking(Stack::shared).await??;
        let scratch = Self {
            name: format!("scratch_{test}"),
            stack,
        };
        let mut admin = scratch.cluster()?.connect().await?;
        run(
            &mut admin,
            &format!("drop database if exists {} with (force)", scratch.name),
        )
        .await?;
        run(
            &mut admin,
            &format!("create database {} template template0", scratch.name),
        )
        .await?;
        let mut superuser = scratch.superuser().await?;
        let provision = std::fs::read_to_string(repository().join("deploy/dev/provision-database.sql"))?;
        run(&mut superuser, &provision).await?;
        for schema in scratch.schemas() {
            scratch.migrate(&schema).await?;
        }
        let tenants: Vec<String> = tenants.iter().map(Uuid::to_string).collect();
        run(
            &mut superuser,
            &format!("set fill.tenants = '{}'", tenants.join(",")),
        )
        .await?;
        run(&mut superuser, FILL).await.context("fill.sql")?;
        superuser.close().await?;
        Ok(scratch)
    }

    /// The services' schemas.
    pub(super) fn schemas(&self) -> Vec<String> {
        let processes = &self.stack.description().processes;
        let services = processes
            .iter()
            .filter(|(name, process)| **name == process.service);
        services.map(|(name, _)| name.clone()).collect()
    }

    /// Both roles of every service.
    pub(super) fn roles(&self) -> Vec<Role> {
        let both = |schema: String| {
            [false, true].map(|is_owner| Role {
                schema: schema.clone(),
                is_owner,
            })
        };
        self.schemas().into_iter().flat_map(both).collect()
    }

    pub(super) async fn superuser(&self) -> anyhow::Result<PgConnection> {
        Ok(self.cluster()?.database(&self.name).connect().await?)
    }

    pub(super) fn login(&self, role: &Role) -> anyhow::Result<PgConnectOptions> {
        Ok(self.url(role)?.parse()?)
    }

    fn cluster(&self) -> anyhow::Result<PgConnectOptions> {
        Ok(self.stack.description().postgres.superuser_url.parse()?)
    }

    fn url(&self, role: &Role) -> anyhow::Result<String> {
        let variable = if role.is_owner {
            "SHEQUN_OWNER_DATABASE_URL"
        } else {
            "SHEQUN_DATABASE_URL"
        };
        let url = &self.stack.process(&role.schema).env[variable];
        let (server, _) = url
            .rsplit_once('/')
            .context("an address ends in the database's name")?;
        Ok(format!("{server}/{}", self.name))
    }

    async fn migrate(&self, schema: &str) -> anyhow::Result<()> {
        let owner = Role {
            schema: schema.to_owned(),
            is_owner: true,
        };
        let mut command = self.stack.command(schema)?;
        command
            .arg("migrate")
            .env("SHEQUN_OWNER_DATABASE_URL", self.url(&owner)?);
        succeed(command).await
    }
}

/// Any number of statements without parameters.
pub(super) async fn run(connection: &mut PgConnection, sql: &str) -> Result<u64, sqlx::Error> {
    Ok(sqlx::raw_sql(AssertSqlSafe(sql))
        .execute(connection)
        .await?
        .rows_affected())
}
