//! What the catalog says of every table, policy and function; the exceptions stand here with their reasons.

use sqlx::{PgConnection, Row as _};

use super::scratch::Scratch;
use crate::isolation::findings::Findings;

/// Tables without `tenant_id`: nothing in them is a tenant's. `*` stands for every schema.
const WITHOUT_TENANT: &[(&str, &str)] = &[
    ("*._sqlx_migrations", "which migrations ran"),
    ("*._outbox_migrations", "which migrations ran"),
    (
        "*.relay_state",
        "how far the relay has come in the service's own stream",
    ),
    ("identity.reviewer", "the platform's own people"),
    ("identity.signing_key", "the platform's keys"),
    (
        "groups.capacity_profile",
        "the platform's policy, the same for every tenant",
    ),
];

/// Policies that look across tenants: table, command, why.
pub(super) const EVERYONE: &[(&str, &str, &str)] = &[
    (
        "*.outbox",
        "ALL",
        "the relay publishes every tenant's events, the pruner forgets them",
    ),
    ("*.inbox", "ALL", "the pruner forgets what was handled long ago"),
    (
        "*.dead_letter",
        "ALL",
        "an operator of the platform lists and replays them",
    ),
    ("*.request", "ALL", "the pruner forgets old answers"),
    (
        "identity.tenant",
        "SELECT",
        "a login finds its tenant by slug, a reviewer lists them",
    ),
    (
        "customers.code_token",
        "SELECT",
        "a scan knows a token, and not whose it is",
    ),
    (
        "referral.shop_order",
        "SELECT",
        "one loop asks whose commissions mature next",
    ),
    (
        "referral.balance",
        "SELECT",
        "the ledger check sums each tenant's accounts",
    ),
    ("broadcast.broadcast", "SELECT", "the loops look for work"),
    ("broadcast.task", "SELECT", "the loops look for work"),
    ("broadcast.chunk", "SELECT", "the loops look for work"),
    (
        "broadcast.account",
        "SELECT",
        "the dispatcher passes over who has no tokens yet",
    ),
    (
        "broadcast.account_rate",
        "SELECT",
        "the dispatcher queues no more than what tokens are for",
    ),
    (
        "broadcast.slow_receiver",
        "SELECT",
        "the dispatcher sends what is slow aside",
    ),
    (
        "broadcast.chunk",
        "UPDATE",
        "the dispatcher hands chunks to workers",
    ),
];

/// Functions that run as their owner: each for the service of its schema alone, with a search path of its own, and why.
const AS_OWNER: &[(&str, &str)] = &[
    (
        "broadcast.add_receipt_weeks(integer)",
        "the service owns no table, and the next weeks' receipts need theirs; it takes a number and tells one",
    ),
    (
        "broadcast.drop_receipt_week(integer)",
        "receipts of old weeks are forgotten by the table; it refuses what is younger than four weeks or goes on",
    ),
];

const OF_ONE_TENANT: &str =
    "(tenant_id = (NULLIF(NULLIF(current_setting('shequn.tenant'::text, true), ''::text), '*'::text))::uuid)";
/// The same, read once a statement and not once a row: for tables of which a statement writes hundreds.
const OF_ONE_TENANT_AT_ONCE: &str = "(tenant_id = ( SELECT (NULLIF(NULLIF(current_setting('shequn.tenant'::text, true), ''::text), '*'::text))::uuid AS \"nullif\"))";
const OF_EVERYONE: &str = "(current_setting('shequn.tenant'::text, true) = '*'::text)";

/// A table of a service.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) has_tenant: bool,
    /// A part of another table, through which alone it is to be used.
    pub(super) is_part: bool,
    is_enabled: bool,
    is_forced: bool,
}

impl Table {
    pub(super) fn full(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }

    /// Whether an entry of a list speaks of this table.
    pub(super) fn is(&self, entry: &str) -> bool {
        is(&self.full(), entry)
    }
}

fn is(full: &str, entry: &str) -> bool {
    let of_every = entry.strip_prefix('*').is_some_and(|table| full.ends_with(table));
    full == entry || of_every
}

/// Every table of the given schemas.
pub(super) async fn tables(superuser: &mut PgConnection, schemas: &[String]) -> anyhow::Result<Vec<Table>> {
    const SQL: &str = "
        select relnamespace::regnamespace::text as schema, relname::text as name, relrowsecurity, relforcerowsecurity,
            relispartition, exists (select from pg_attribute where attrelid = pg_class.oid and attname = 'tenant_id') as has_tenant
        from pg_class
        where relkind in ('r', 'p', 'f', 'm') and relnamespace::regnamespace::text = any ($1)
        order by 1, 2";
    let rows = sqlx::query(SQL).bind(schemas).fetch_all(superuser).await?;
    let table = |row: sqlx::postgres::PgRow| {
        Ok(Table {
            schema: row.try_get("schema")?,
            name: row.try_get("name")?,
            has_tenant: row.try_get("has_tenant")?,
            is_part: row.try_get("relispartition")?,
            is_enabled: row.try_get("relrowsecurity")?,
            is_forced: row.try_get("relforcerowsecurity")?,
        })
    };
    rows.into_iter().map(table).collect()
}

/// S2: row-level security stands on every table that has tenants, and every other one is known.
pub(super) fn check_tables(tables: &[Table], findings: &mut Findings) {
    for table in tables {
        let full = table.full();
        let listed = WITHOUT_TENANT.iter().any(|(entry, _)| table.is(entry));
        findings.check(table.has_tenant != listed, || match table.has_tenant {
            true => format!("{full} has a tenant_id now: take it off WITHOUT_TENANT"),
            false => {
                format!("{full} has no tenant_id: give it one, or WITHOUT_TENANT a line with the reason")
            }
        });
        findings.check(!table.has_tenant || table.is_enabled && table.is_forced, || {
            format!("{full}: row-level security is not enabled and forced; `alter table {full} force row level security`")
        });
    }
    for (entry, _) in WITHOUT_TENANT {
        let stands = tables.iter().any(|table| table.is(entry));
        findings.check(stands, || {
            format!("{entry} does not exist: take it off WITHOUT_TENANT")
        });
    }
}

/// S3: a table shows one tenant's rows, by the one expression everybody uses; exceptions are listed.
pub(super) async fn check_policies(
    superuser: &mut PgConnection,
    tables: &[Table],
    findings: &mut Findings,
) -> anyhow::Result<()> {
    const SQL: &str = "select schemaname || '.' || tablename as full, policyname::text, cmd, qual, with_check
        from pg_policies order by 1, 2";
    let rows = sqlx::query(SQL).fetch_all(superuser).await?;
    let (mut tenant, mut everyone) = (Vec::new(), Vec::new());
    for row in rows {
        let full: String = row.try_get("full")?;
        let (name, command): (String, String) = (row.try_get("policyname")?, row.try_get("cmd")?);
        let both: [Option<String>; 2] = [row.try_get("qual")?, row.try_get("with_check")?];
        let says = |expected: &str| both.iter().flatten().all(|expression| expression == expected);
        if name == "tenant" {
            let is_of_one = says(OF_ONE_TENANT) || says(OF_ONE_TENANT_AT_ONCE);
            findings.check(is_of_one && command == "ALL", || {
                format!("policy tenant on {full} is for {command} and says {both:?}, not {OF_ONE_TENANT}")
            });
            tenant.push(full);
        } else {
            let listed = EVERYONE
                .iter()
                .any(|(entry, allowed, _)| is(&full, entry) && *allowed == command);
            findings.check(listed && says(OF_EVERYONE) && name.starts_with("everyone"), || {
                format!("policy {name} on {full} for {command} ({both:?}) is neither `tenant` nor on the list EVERYONE")
            });
            everyone.push((full, command));
        }
    }
    for table in tables.iter().filter(|table| table.has_tenant) {
        let policies = tenant.iter().filter(|full| **full == table.full()).count();
        findings.check(policies == 1, || {
            format!("{} has {policies} policies named tenant", table.full())
        });
    }
    for (entry, command, _) in EVERYONE {
        let stands = everyone
            .iter()
            .any(|(full, actual)| is(full, entry) && actual == command);
        findings.check(stands, || {
            format!("no policy {entry} for {command}: take it off the list EVERYONE")
        });
    }
    Ok(())
}

/// Ways around row-level security that need no row of it.
pub(super) async fn check_detours(scratch: &Scratch, findings: &mut Findings) -> anyhow::Result<()> {
    const DETOURS: [(&str, &str); 3] = [
        (
            "a function that runs as its owner (security definer)",
            "select oid::regprocedure::text from pg_proc where prosecdef and pronamespace::regnamespace::text = any ($1)",
        ),
        (
            "a view that runs as its owner (add `with (security_invoker)`)",
            "select oid::regclass::text from pg_class where relkind in ('v', 'm')
                and relnamespace::regnamespace::text = any ($1)
                and not coalesce('security_invoker=true' = any (reloptions), false)",
        ),
        (
            "something in the schema public",
            "select oid::regclass::text from pg_class where relnamespace::regnamespace::text = 'public' and $1 <> '{}'",
        ),
    ];
    const WALLED: &str = "
        select coalesce(bool_or(prosecdef and not has_function_privilege('public', oid, 'execute')
            and proconfig @> array[format('search_path=%s, pg_temp', pronamespace::regnamespace)]), false)
        from pg_proc where oid = to_regprocedure($1)";
    let mut superuser = scratch.superuser().await?;
    for (function, _) in AS_OWNER {
        let is_walled: bool = sqlx::query_scalar(WALLED)
            .bind(function)
            .fetch_one(&mut superuser)
            .await?;
        findings.check(is_walled, || {
            format!("{function} is open to everybody or to other schemas, or should be off the list AS_OWNER")
        });
    }
    for (what, sql) in DETOURS {
        let mut found: Vec<String> = sqlx::query_scalar(sql)
            .bind(scratch.schemas())
            .fetch_all(&mut superuser)
            .await?;
        found.retain(|name| !AS_OWNER.iter().any(|(function, _)| name == function));
        findings.check(found.is_empty(), || format!("{what}: {}", found.join(", ")));
    }
    Ok(())
}
