//! S3: each runtime role × each table × each verb it has, with no tenant set, with an empty one, with another's.

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};
use uuid::Uuid;

use super::catalog::{EVERYONE, Table};
use super::scratch::run;
use crate::isolation::findings::Findings;

const INSUFFICIENT_PRIVILEGE: &str = "42501";

/// Whose rows are in the tables.
pub(super) struct Tenants {
    pub(super) home: Uuid,
    pub(super) foreign: Uuid,
}

/// A table as its runtime role may use it.
pub(super) struct Granted {
    table: Table,
    can_select: bool,
    can_delete: bool,
    insertable: Vec<String>,
    updatable: Vec<String>,
    /// The home tenant's row, as JSON.
    row: Value,
}

impl Granted {
    pub(super) async fn load(
        superuser: &mut PgConnection,
        table: &Table,
        home: Uuid,
    ) -> anyhow::Result<Self> {
        const SQL: &str = "
            select has_table_privilege($1, $2::regclass, 'select') as can_select,
                has_table_privilege($1, $2::regclass, 'delete') as can_delete,
                array_agg(quote_ident(attname)) filter (
                    where has_column_privilege($1, attrelid, attnum, 'insert') and attgenerated = '') as insertable,
                array_agg(quote_ident(attname)) filter (
                    where has_column_privilege($1, attrelid, attnum, 'update') and attgenerated = ''
                        and attidentity = '') as updatable
            from pg_attribute where attrelid = $2::regclass and attnum > 0 and not attisdropped";
        let full = table.full();
        let grants = sqlx::query(SQL)
            .bind(&table.schema)
            .bind(&full)
            .fetch_one(&mut *superuser)
            .await?;
        let sql = format!("select to_jsonb(t) from {full} t where tenant_id = $1");
        let row = sqlx::query_scalar(AssertSqlSafe(sql))
            .bind(home)
            .fetch_one(superuser)
            .await?;
        Ok(Self {
            table: table.clone(),
            can_select: grants.try_get("can_select")?,
            can_delete: grants.try_get("can_delete")?,
            insertable: grants.try_get::<Option<_>, _>("insertable")?.unwrap_or_default(),
            updatable: grants.try_get::<Option<_>, _>("updatable")?.unwrap_or_default(),
            row,
        })
    }

    /// Whether a policy `everyone` opens the table for a verb.
    fn is_open(&self, verb: &str) -> bool {
        let opens = |command: &str| command == "ALL" || command == verb;
        EVERYONE
            .iter()
            .any(|(entry, command, _)| self.table.is(entry) && opens(command))
    }
}

/// A part of a table is reached through the whole, whose policies then hold: by itself the runtime role has no right on it.
pub(super) async fn check_part(
    superuser: &mut PgConnection,
    table: &Table,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    const SQL: &str =
        "select has_any_column_privilege($1, $2::regclass, 'select, insert, update, references')
        or has_table_privilege($1, $2::regclass, 'delete, truncate, trigger, maintain')";
    let full = table.full();
    let is_open: bool = sqlx::query_scalar(SQL)
        .bind(&table.schema)
        .bind(&full)
        .fetch_one(superuser)
        .await?;
    findings.check(!is_open, || {
        format!("{full}: {} has a right on a part of a table", table.schema)
    });
    Ok(())
}

/// What the setting `shequn.tenant` is while a statement runs.
#[derive(Clone, Copy, Debug)]
pub(super) enum Scope {
    Unset,
    Empty,
    Stranger,
    Foreign,
    Everyone,
}

/// `Unset` comes first: once set, a connection's setting is empty ever after.
pub(super) const SCOPES: [Scope; 5] = [
    Scope::Unset,
    Scope::Empty,
    Scope::Stranger,
    Scope::Foreign,
    Scope::Everyone,
];

impl Scope {
    fn statement(self, tenants: &Tenants) -> String {
        let set = |tenant: &str| format!("set local shequn.tenant = '{tenant}'");
        match self {
            Self::Unset => String::new(),
            Self::Empty => set(""),
            Self::Stranger => set(&Uuid::new_v4().to_string()),
            Self::Foreign => set(&tenants.foreign.to_string()),
            Self::Everyone => set("*"),
        }
    }
}

/// How a statement ended: rows touched, or the error's code.
type Outcome = Result<u64, String>;

/// Runs one statement in a scope, and takes it back.
async fn attempt(
    login: &mut PgConnection,
    scope: &str,
    sql: &str,
    row: Option<&Value>,
) -> anyhow::Result<Outcome> {
    let mut tx = login.begin().await?;
    run(&mut tx, scope).await?;
    let query = sqlx::query(AssertSqlSafe(sql.to_owned()));
    let query = match row {
        Some(row) => query.bind(row),
        None => query,
    };
    let outcome = match query.execute(&mut *tx).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(sqlx::Error::Database(error)) => Err(error.code().unwrap_or_default().into_owned()),
        Err(error) => return Err(error.into()),
    };
    tx.rollback().await?;
    Ok(outcome)
}

/// The home tenant's row stays out of reach of everybody else, whatever they try.
pub(super) async fn check_foreign(
    login: &mut PgConnection,
    granted: &Granted,
    scope: Scope,
    tenants: &Tenants,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (full, home) = (granted.table.full(), tenants.home);
    let set = scope.statement(tenants);
    let mut touching = Vec::new();
    if granted.can_select {
        touching.push((
            "SELECT",
            format!("select 1 from {full} where tenant_id = '{home}'"),
        ));
    }
    if let Some(column) = granted.updatable.first() {
        touching.push((
            "UPDATE",
            format!("update {full} set {column} = {column} where tenant_id = '{home}'"),
        ));
    }
    if granted.can_delete {
        touching.push(("DELETE", format!("delete from {full} where tenant_id = '{home}'")));
    }
    let is_everyone = matches!(scope, Scope::Everyone);
    for (verb, sql) in touching {
        let outcome = attempt(login, &set, &sql, None).await?;
        let expected = if is_everyone && granted.is_open(verb) {
            1
        } else {
            0
        };
        findings.check(outcome == Ok(expected), || {
            format!("{full}: {verb} of a row of another tenant with the setting {scope:?} gives {outcome:?}, not {expected} rows")
        });
    }
    let is_meant = is_everyone && granted.is_open("INSERT");
    if !is_meant && !granted.insertable.is_empty() {
        let columns = granted.insertable.join(", ");
        let sql = format!(
            "insert into {full} ({columns}) overriding system value
             select {columns} from jsonb_populate_record(null::{full}, $1)"
        );
        let outcome = attempt(login, &set, &sql, Some(&granted.row)).await?;
        findings.check(outcome == Err(INSUFFICIENT_PRIVILEGE.to_owned()), || {
            format!("{full}: INSERT for another tenant with the setting {scope:?} gives {outcome:?}, not {INSUFFICIENT_PRIVILEGE}")
        });
    }
    Ok(())
}

/// The tenant itself sees its row and no other, and can't give it away. Without this, an empty table would do.
pub(super) async fn check_own(
    login: &mut PgConnection,
    granted: &Granted,
    tenants: &Tenants,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let (full, home, foreign) = (granted.table.full(), tenants.home, tenants.foreign);
    let set = format!("set local shequn.tenant = '{home}'");
    if granted.can_select {
        let outcome = attempt(login, &set, &format!("select 1 from {full}"), None).await?;
        findings.check(outcome == Ok(1), || {
            format!("{full}: a tenant sees {outcome:?} rows, not its own one")
        });
    }
    if granted.updatable.iter().any(|column| column == "tenant_id") {
        let sql = format!("update {full} set tenant_id = '{foreign}'");
        let outcome = attempt(login, &set, &sql, None).await?;
        findings.check(outcome == Err(INSUFFICIENT_PRIVILEGE.to_owned()), || {
            format!("{full}: a tenant gives its row to another one: {outcome:?}")
        });
    }
    Ok(())
}
