//! Imports, their progress, the people they bring and the rows they reject.

use std::collections::HashMap;

use chassis::http::Page;
use contracts::{ContactId, ImportId, MemberId, TenantId};
use jiff::{SignedDuration, Timestamp};
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgConnection, PgExecutor, Result};
use uuid::Uuid;

use crate::import::row::Row;
use crate::import::{Counts, Import, ImportState, Rejection, STALE_SECS};

/// One attempt at an import. What it writes holds only while it is the last attempt: `started_at` tells them apart.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub(crate) tenant: TenantId,
    pub(crate) import_id: ImportId,
    pub(crate) started_at: Timestamp,
    pub(crate) dry_run: bool,
}

/// Claims a request key for a run: a new one, or one whose run failed or was cut off. `None` when its run is under
/// way or has finished.
pub(crate) async fn claim(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    request_key: &str,
    dry_run: bool,
    started_by: MemberId,
    now: Timestamp,
) -> Result<Option<Run>> {
    let import_id = sqlx::query_scalar!(
        r#"insert into import (tenant_id, import_id, request_key, dry_run, state, rows, created, updated, rejected,
                               started_by, started_at, progress_at)
           values ($1, $2, $3, $4, 'running', 0, 0, 0, 0, $5, $6, $6)
           on conflict (tenant_id, request_key) do update set
               dry_run = excluded.dry_run, state = 'running', failure = null, rows = 0, created = 0, updated = 0,
               rejected = 0, started_by = excluded.started_by, started_at = excluded.started_at,
               progress_at = excluded.progress_at, finished_at = null
           where import.state = 'failed' or (import.state = 'running' and import.progress_at < $7)
           returning import_id as "import_id: ImportId""#,
        tenant as TenantId,
        ImportId::new() as ImportId,
        request_key,
        dry_run,
        started_by as MemberId,
        now.to_sqlx() as _,
        (now - SignedDuration::from_secs(STALE_SECS)).to_sqlx() as _,
    )
    .fetch_optional(db)
    .await?;
    Ok(import_id.map(|import_id| Run {
        tenant,
        import_id,
        started_at: now,
        dry_run,
    }))
}

/// Takes back the report of an earlier run.
pub(crate) async fn forget_rejections(db: impl PgExecutor<'_>, import_id: ImportId) -> Result<()> {
    sqlx::query!(
        "delete from import_rejection where import_id = $1",
        import_id as ImportId
    )
    .execute(db)
    .await
    .map(drop)
}

/// The import a request key stands for, and its fingerprint if it has finished.
pub(crate) async fn of_key(
    db: impl PgExecutor<'_>,
    request_key: &str,
) -> Result<(ImportId, ImportState, Option<Vec<u8>>)> {
    let row = sqlx::query!(
        r#"select import_id as "import_id: ImportId", state as "state: ImportState", fingerprint
           from import where request_key = $1"#,
        request_key,
    )
    .fetch_one(db)
    .await?;
    Ok((row.import_id, row.state, row.fingerprint))
}

pub(crate) async fn find(db: impl PgExecutor<'_>, import_id: ImportId) -> Result<Option<Import>> {
    let row = sqlx::query!(
        r#"select state as "state: ImportState", dry_run, failure, rows, created, updated, rejected, started_at,
               finished_at as "finished_at?: jiff_sqlx::Timestamp"
           from import where import_id = $1"#,
        import_id as ImportId,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| Import {
        import_id,
        state: row.state,
        dry_run: row.dry_run,
        failure: row.failure,
        rows: row.rows,
        created: row.created,
        updated: row.updated,
        rejected: row.rejected,
        started_at: row.started_at.to_jiff(),
        finished_at: row.finished_at.map(jiff_sqlx::Timestamp::to_jiff),
    }))
}

/// A page of rejected rows by line.
pub(crate) async fn rejections(
    db: impl PgExecutor<'_>,
    import_id: ImportId,
    page: &Page<i32>,
) -> Result<Vec<Rejection>> {
    sqlx::query_as!(
        Rejection,
        "select line, field, reason, remedy from import_rejection
         where import_id = $1 and line > $2 order by line limit $3",
        import_id as ImportId,
        page.after.unwrap_or(0),
        page.rows_max(),
    )
    .fetch_all(db)
    .await
}

/// Writes a batch of people, sorted by external id, with their tags: one statement. Answers how many are new.
///
/// An empty field of the file leaves what is known; tags are added, never taken.
pub(crate) async fn upsert(
    db: &mut PgConnection,
    tenant: TenantId,
    rows: &[Row],
    tag_ids: &HashMap<String, Uuid>,
    now: Timestamp,
) -> Result<i64> {
    let ids: Vec<_> = rows.iter().map(|_| ContactId::new()).collect();
    let external_ids: Vec<&str> = rows.iter().map(|row| &*row.external_id).collect();
    let names: Vec<&str> = rows.iter().map(|row| &*row.name).collect();
    let phones: Vec<_> = rows
        .iter()
        .map(|row| row.phone.as_ref().map(|phone| phone.as_str()))
        .collect();
    let emails: Vec<_> = rows
        .iter()
        .map(|row| row.email.as_ref().map(|email| email.as_str()))
        .collect();
    let months: Vec<_> = rows.iter().map(|row| row.birth_month.as_deref()).collect();
    let zones: Vec<_> = rows
        .iter()
        .map(|row| row.zone.as_ref().map(|zone| zone.as_str()))
        .collect();
    let (tagged, tags): (Vec<&str>, Vec<Uuid>) = rows
        .iter()
        .flat_map(|row| row.tags.iter().map(|tag| (&*row.external_id, tag)))
        .filter_map(|(person, tag)| Some((person, *tag_ids.get(&**tag)?)))
        .unzip();
    sqlx::query_scalar!(
        r#"with input as (
               select * from unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $10::text[], $11::text[])
                   as t (contact_id, external_id, name, phone, birth_month, email, zone)
           ), person as (
               insert into contact (tenant_id, contact_id, external_id, name, language, phone, email, birth_month, zone,
                                    marketing, consent_basis, consent_version, consent_at, created_at)
               select $1, contact_id, external_id, name, '', phone, email, birth_month, zone, false, 'import', 0, $9, $9
               from input order by external_id
               on conflict (tenant_id, external_id) do update set
                   name = excluded.name,
                   phone = coalesce(excluded.phone, contact.phone),
                   email = coalesce(excluded.email, contact.email),
                   birth_month = coalesce(excluded.birth_month, contact.birth_month),
                   zone = coalesce(excluded.zone, contact.zone)
               returning contact_id, external_id
           ), tagged as (
               insert into contact_tag (tenant_id, contact_id, tag_id)
               select $1, contact_id, tag_id
               from unnest($7::text[], $8::uuid[]) as t (external_id, tag_id) join person using (external_id)
               order by contact_id, tag_id
               on conflict do nothing
           )
           select count(*) as "created!" from person join input using (contact_id)"#,
        tenant as TenantId,
        &ids as &[ContactId],
        &external_ids as &[&str],
        &names as &[&str],
        &phones as &[Option<&str>],
        &months as &[Option<&str>],
        &tagged as &[&str],
        &tags,
        now.to_sqlx() as _,
        &emails as &[Option<&str>],
        &zones as &[Option<&str>],
    )
    .fetch_one(db)
    .await
}

/// How many of a batch would be new: what a dry run asks instead of writing.
pub(crate) async fn count_new(db: impl PgExecutor<'_>, rows: &[Row]) -> Result<i64> {
    let external_ids: Vec<&str> = rows.iter().map(|row| &*row.external_id).collect();
    sqlx::query_scalar!(
        r#"select count(*) as "new!" from unnest($1::text[]) as t (external_id)
           where not exists (select 1 from contact where contact.external_id = t.external_id)"#,
        &external_ids as &[&str],
    )
    .fetch_one(db)
    .await
}

/// Adds rejected rows to the report.
pub(crate) async fn reject(db: impl PgExecutor<'_>, run: &Run, rejections: &[Rejection]) -> Result<()> {
    let lines: Vec<_> = rejections.iter().map(|rejection| rejection.line).collect();
    let fields: Vec<_> = rejections
        .iter()
        .map(|rejection| rejection.field.as_deref())
        .collect();
    let reasons: Vec<_> = rejections
        .iter()
        .map(|rejection| rejection.reason.as_str())
        .collect();
    let remedies: Vec<_> = rejections
        .iter()
        .map(|rejection| rejection.remedy.as_str())
        .collect();
    sqlx::query!(
        "insert into import_rejection (tenant_id, import_id, line, field, reason, remedy)
         select $1, $2, line, field, reason, remedy
         from unnest($3::integer[], $4::text[], $5::text[], $6::text[]) as t (line, field, reason, remedy)",
        run.tenant as TenantId,
        run.import_id as ImportId,
        &lines,
        &fields as &[Option<&str>],
        &reasons as &[&str],
        &remedies as &[&str],
    )
    .execute(db)
    .await
    .map(drop)
}

/// Adds a batch to the progress. False when a later run has taken over.
pub(crate) async fn progress(
    db: impl PgExecutor<'_>,
    run: &Run,
    batch: Counts,
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query!(
        "update import set rows = rows + $3, created = created + $4, updated = updated + $5,
             rejected = rejected + $6, progress_at = $7
         where import_id = $1 and started_at = $2 and state = 'running'",
        run.import_id as ImportId,
        run.started_at.to_sqlx() as _,
        batch.rows,
        batch.created,
        batch.updated,
        batch.rejected,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a run that read the whole file. False when a later run has taken over.
pub(crate) async fn finish(
    db: impl PgExecutor<'_>,
    run: &Run,
    fingerprint: &[u8; 32],
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query!(
        "update import set state = 'finished', fingerprint = $3, finished_at = $4
         where import_id = $1 and started_at = $2 and state = 'running'",
        run.import_id as ImportId,
        run.started_at.to_sqlx() as _,
        fingerprint.as_slice(),
        now.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Ends a run that could not go on. False when a later run has taken over.
pub(crate) async fn fail(db: impl PgExecutor<'_>, run: &Run, failure: &str, now: Timestamp) -> Result<bool> {
    let done = sqlx::query!(
        "update import set state = 'failed', failure = $3, finished_at = $4
         where import_id = $1 and started_at = $2 and state = 'running'",
        run.import_id as ImportId,
        run.started_at.to_sqlx() as _,
        failure,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}
