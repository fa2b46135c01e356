//! S2–S4: the walls inside Postgres, read from its catalog and tried from the outside.

mod breaches;
mod catalog;
mod mix;
mod roles;
mod rows;
mod scratch;

use futures::future::try_join_all;
use sqlx::ConnectOptions as _;
use uuid::Uuid;

use self::catalog::Table;
use self::rows::{Granted, SCOPES, Tenants};
use self::scratch::{Role, Scratch};
use super::findings::Findings;

#[tokio::test]
async fn every_table_belongs_to_tenants_or_says_why_not() -> anyhow::Result<()> {
    let scratch = Scratch::new("catalog", &[]).await?;
    let mut superuser = scratch.superuser().await?;
    let tables = catalog::tables(&mut superuser, &scratch.schemas()).await?;
    let mut findings = Findings::default();
    catalog::check_tables(&tables, &mut findings);
    catalog::check_policies(&mut superuser, &tables, &mut findings).await?;
    catalog::check_detours(&scratch, &mut findings).await?;
    findings.report("rules of the catalog", 150)
}

#[tokio::test]
async fn no_row_shows_itself_to_another_tenant() -> anyhow::Result<()> {
    let tenants = Tenants {
        home: Uuid::new_v4(),
        foreign: Uuid::new_v4(),
    };
    let scratch = Scratch::new("rows", &[tenants.home, tenants.foreign]).await?;
    let each = scratch
        .schemas()
        .into_iter()
        .map(|schema| rows(&scratch, schema, &tenants));
    Findings::all(try_join_all(each).await?).report("reaches for another tenant's rows", 500)
}

/// As one service's runtime role, at each of its tables.
async fn rows(scratch: &Scratch, schema: String, tenants: &Tenants) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    let mut superuser = scratch.superuser().await?;
    let tables = catalog::tables(&mut superuser, std::slice::from_ref(&schema)).await?;
    let mut login = scratch
        .login(&Role {
            schema,
            is_owner: false,
        })?
        .connect()
        .await?;
    let mut own = Vec::new();
    for table in tables.iter().filter(|table| table.is_part) {
        rows::check_part(&mut superuser, table, &mut findings).await?;
    }
    for table in tables.iter().filter(|table| table.has_tenant && !table.is_part) {
        own.push(Granted::load(&mut superuser, table, tenants.home).await?);
    }
    for scope in SCOPES {
        for granted in &own {
            rows::check_foreign(&mut login, granted, scope, tenants, &mut findings).await?;
        }
    }
    for granted in &own {
        rows::check_own(&mut login, granted, tenants, &mut findings).await?;
    }
    Ok(findings)
}

#[tokio::test]
async fn ten_thousand_requests_over_five_connections_stay_apart() -> anyhow::Result<()> {
    let tenants: Vec<Uuid> = (0..mix::TENANTS).map(|_| Uuid::new_v4()).collect();
    let scratch = Scratch::new("mix", &tenants).await?;
    let mut superuser = scratch.superuser().await?;
    let role = Role {
        schema: "customers".to_owned(),
        is_owner: false,
    };
    let mut tables = catalog::tables(&mut superuser, std::slice::from_ref(&role.schema)).await?;
    tables.retain(|table| table.has_tenant);
    let findings = mix::check(&scratch, &role, &tables, &tenants, mix::REQUESTS).await?;
    findings.report("requests of many tenants", mix::REQUESTS)
}

#[tokio::test]
async fn each_role_stays_in_its_schema() -> anyhow::Result<()> {
    let scratch = Scratch::new("roles", &[]).await?;
    let tables = catalog::tables(&mut scratch.superuser().await?, &scratch.schemas()).await?;
    let each = scratch
        .roles()
        .into_iter()
        .map(|role| reaches(&scratch, role, &tables));
    Findings::all(try_join_all(each).await?).report("reaches of roles", 2_000)
}

/// As one role, at everything.
async fn reaches(scratch: &Scratch, role: Role, tables: &[Table]) -> anyhow::Result<Findings> {
    let mut findings = Findings::default();
    roles::check_foreign(scratch, &role, tables, &mut findings).await?;
    roles::check_home(scratch, &role, tables, &mut findings).await?;
    roles::check_attributes(scratch, &role, &mut findings).await?;
    Ok(findings)
}
