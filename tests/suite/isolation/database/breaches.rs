//! The checks of the database themselves: a wall that was taken down must show.

use std::collections::BTreeSet;

use anyhow::ensure;
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use super::catalog::{self, Table};
use super::rows::Tenants;
use super::scratch::{self, Role, Scratch};
use super::{Findings, mix, reaches, rows};

/// Enough to meet both tenants in every ending.
const REQUESTS: usize = 24;

/// What somebody might do to a database, and a word of the finding there must be.
const BREACHES: [(&str, &str); 15] = [
    (
        "alter table groups.seat disable row level security",
        "groups.seat: row-level security is not",
    ),
    (
        "alter table groups.series no force row level security",
        "groups.series: row-level security is not",
    ),
    (
        "alter table groups.seat disable row level security",
        "groups.seat: SELECT of a row of another tenant",
    ),
    (
        "create policy everyone on groups.groups using (true)",
        "policy everyone on groups.groups",
    ),
    (
        "create policy everyone on groups.groups using (true)",
        "groups.groups: UPDATE of a row of another tenant",
    ),
    (
        "drop policy tenant on groups.tenant",
        "groups.tenant has 0 policies named tenant",
    ),
    (
        "create table groups.stray (n int)",
        "groups.stray has no tenant_id",
    ),
    (
        "create function groups.peek() returns bigint language sql security definer return 1",
        "security definer): groups.peek()",
    ),
    ("create view groups.peeking as select 1 as n", "groups.peeking"),
    (
        "grant usage on schema groups to referral; grant select on groups.seat to referral",
        "referral: `select 1 from groups.seat",
    ),
    (
        "grant update on groups.audit_entry to groups",
        "groups breaks the rule that it reads and adds to its audit only",
    ),
    (
        "drop trigger audit_entry_stands on groups.audit_entry",
        "groups: `update groups.audit_entry",
    ),
    (
        "grant create on schema groups to groups",
        "groups: `create table groups.burrow",
    ),
    (
        "alter table groups.seat disable row level security",
        "saw the rows of",
    ),
    (
        "create table groups.owned (tenant_id uuid); alter table groups.owned owner to groups",
        "role groups breaks the rule that it owns nothing",
    ),
];

#[tokio::test]
async fn every_breach_is_found_out() -> anyhow::Result<()> {
    let tenants = Tenants {
        home: Uuid::new_v4(),
        foreign: Uuid::new_v4(),
    };
    let scratch = Scratch::new("breaches", &[tenants.home, tenants.foreign]).await?;
    let mut superuser = scratch.superuser().await?;
    let mut findings = Findings::default();
    let [groups, referral] = ["groups", "referral"].map(|schema| Role {
        schema: schema.to_owned(),
        is_owner: false,
    });
    let before = catalog::tables(&mut superuser, &scratch.schemas()).await?;
    let seats: Vec<Table> = before
        .iter()
        .filter(|table| table.is("groups.seat"))
        .cloned()
        .collect();
    let breaches: BTreeSet<&str> = BREACHES.iter().map(|(breach, _)| *breach).collect();
    for breach in breaches {
        scratch::run(&mut superuser, breach).await?;
    }
    let tables = catalog::tables(&mut superuser, &scratch.schemas()).await?;
    catalog::check_tables(&tables, &mut findings);
    catalog::check_policies(&mut superuser, &tables, &mut findings).await?;
    catalog::check_detours(&scratch, &mut findings).await?;
    for role in [&groups, &referral] {
        findings.absorb(reaches(&scratch, role.clone(), &before).await?);
    }
    scratch::run(&mut superuser, "drop table groups.owned, groups.stray").await?;
    findings.absorb(rows(&scratch, "groups".to_owned(), &tenants).await?);
    findings.absorb(
        mix::check(
            &scratch,
            &groups,
            &seats,
            &[tenants.home, tenants.foreign],
            REQUESTS,
        )
        .await?,
    );
    let told = findings.told();
    let missed: Vec<_> = BREACHES.iter().filter(|(_, word)| !told.contains(word)).collect();
    ensure!(
        missed.is_empty(),
        "nobody noticed {missed:#?}; the checks told\n{told}"
    );
    Ok(())
}

#[tokio::test]
async fn a_setting_that_stays_on_a_connection_is_found_out() -> anyhow::Result<()> {
    let scratch = Scratch::new("rest", &[]).await?;
    let groups = Role {
        schema: "groups".to_owned(),
        is_owner: false,
    };
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(scratch.login(&groups)?)
        .await?;
    sqlx::query("set shequn.tenant = '*'").execute(&pool).await?;
    let mut findings = Findings::default();
    mix::check_rest(&pool, &mut findings).await?;
    ensure!(findings.told().contains("still acts for"), "nobody noticed");
    Ok(())
}
