//! S4: each role at each foreign schema, and what a runtime role must never have at home.

use sqlx::{ConnectOptions as _, PgConnection};

use super::catalog::Table;
use super::scratch::{Role, Scratch, run};
use crate::isolation::findings::Findings;

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Every verb at every table of every other service, and the schema itself.
pub(super) async fn check_foreign(
    scratch: &Scratch,
    role: &Role,
    tables: &[Table],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut login = scratch.login(role)?.connect().await?;
    for table in tables.iter().filter(|table| table.schema != role.schema) {
        let full = table.full();
        for sql in [
            format!("select 1 from {full} limit 0"),
            format!("select count(*) from {full}"),
            format!("insert into {full} default values"),
            format!("delete from {full} where false"),
            format!("truncate {full}"),
            format!("lock table {full} in access share mode"),
            format!("create index on {full} ((1))"),
            format!("alter table {full} disable row level security"),
            format!("grant select on {full} to {}", role.name()),
        ] {
            refused(&mut login, role, &sql, findings).await?;
        }
    }
    for schema in scratch.schemas().iter().filter(|schema| **schema != role.schema) {
        for sql in [
            format!("create table {schema}.burrow (n int)"),
            format!("create function {schema}.burrow() returns int language sql as 'select 1'"),
            format!("set local role {schema}"),
            format!("set local role {schema}_owner"),
        ] {
            refused(&mut login, role, &sql, findings).await?;
        }
    }
    Ok(())
}

/// What no role of a service may do anywhere, and no runtime role at home.
pub(super) async fn check_home(
    scratch: &Scratch,
    role: &Role,
    tables: &[Table],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut login = scratch.login(role)?.connect().await?;
    let mut statements: Vec<String> = [
        "create table public.burrow (n int)",
        "create schema burrow",
        "create temporary table burrow (n int)",
        "create role burrow",
        "set local role postgres",
        "copy (select 1) to program 'true'",
    ]
    .map(str::to_owned)
    .into();
    let schema = &role.schema;
    // The trigger stands in the owner's way, too.
    statements.extend([
        format!("update {schema}.audit_entry set note = 'never mind'"),
        format!("delete from {schema}.audit_entry"),
        format!("truncate {schema}.audit_entry"),
    ]);
    if !role.is_owner {
        statements.push(format!("create table {schema}.burrow (n int)"));
        statements.push(format!(
            "create function {schema}.burrow() returns int language sql as 'select 1'"
        ));
        statements.push(format!("set local role {schema}_owner"));
        for table in tables.iter().filter(|table| table.schema == *schema) {
            let full = table.full();
            statements.extend([
                format!("truncate {full}"),
                format!("drop table {full}"),
                format!("alter table {full} disable row level security"),
                format!("alter table {full} no force row level security"),
                format!("create policy burrow on {full} using (true)"),
                format!("create trigger burrow before insert on {full} execute function suppress_redundant_updates_trigger()"),
            ]);
        }
    }
    for sql in &statements {
        refused(&mut login, role, sql, findings).await?;
    }
    Ok(())
}

/// Attributes, memberships and property, from the catalog.
pub(super) async fn check_attributes(
    scratch: &Scratch,
    role: &Role,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    const RULES: [(&str, &str, bool); 5] = [
        (
            "is a plain login",
            "select rolcanlogin and not (rolsuper or rolbypassrls or rolcreatedb or rolcreaterole or rolreplication)
             from pg_roles where rolname = $1",
            true,
        ),
        (
            "belongs to no other role, and no other role to it",
            "select not exists (select from pg_auth_members where member = $1::text::regrole or roleid = $1::text::regrole)",
            true,
        ),
        (
            "owns nothing",
            "select not exists (select from pg_shdepend where refobjid = $1::text::regrole and deptype = 'o')",
            false,
        ),
        (
            "reads and adds to its audit only",
            "select not has_table_privilege($1, $1 || '.audit_entry', 'update, delete, truncate')
                and not has_any_column_privilege($1, $1 || '.audit_entry', 'update')",
            false,
        ),
        (
            "can reach no database of the cluster but the set's",
            "select not has_database_privilege($1, 'postgres', 'connect')
                and not has_database_privilege($1, 'template1', 'connect')",
            true,
        ),
    ];
    let mut superuser = scratch.superuser().await?;
    for (what, sql, for_owners) in RULES {
        if role.is_owner && !for_owners {
            continue;
        }
        let holds: bool = sqlx::query_scalar(sql)
            .bind(role.name())
            .fetch_one(&mut superuser)
            .await?;
        findings.check(holds, || {
            format!("role {} breaks the rule that it {what}", role.name())
        });
    }
    Ok(())
}

async fn refused(
    login: &mut PgConnection,
    role: &Role,
    sql: &str,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    // One round trip: what the last attempt left is taken back, and what works ends in a division by zero.
    let outcome = match run(login, &format!("rollback; begin; {sql}; select 1 / 0")).await {
        Ok(_) => anyhow::bail!("`{sql}` hid the division by zero"),
        Err(sqlx::Error::Database(error)) => error.code().unwrap_or_default().into_owned(),
        Err(error) => return Err(error.into()),
    };
    findings.check(outcome == INSUFFICIENT_PRIVILEGE, || {
        format!(
            "{}: `{sql}` must be refused with {INSUFFICIENT_PRIVILEGE}: {outcome} (22012: it worked)",
            role.name()
        )
    });
    Ok(())
}
