//! Importing contacts from a CSV file that streams in: batch by batch, each in a transaction of its own.
//!
//! The body can't be hashed before it is read, so a request key is claimed first and its fingerprint is compared
//! last (decisions/0003-fingerprint-an-import-at-its-end.md).

use std::collections::{BTreeSet, HashMap};

use chassis::auth::Operator;
use chassis::http::Page;
use contracts::customers::v1::ImportFinished;
use outbox::Actor;
use tokio::io::AsyncRead;
use uuid::Uuid;

use crate::error::Error;
use crate::import::file::File;
use crate::import::row::{Census, Row};
use crate::import::{
    BATCH_ROWS_MAX, Counts, ERRORS_SHOWN_MAX, ImportReport, ImportState, ROWS_MAX, Rejection,
};
use crate::store::import::Run;
use crate::{State, store};

/// Who ends an import that somebody started.
const BY_ITSELF: Actor = Actor::System("import");

/// Takes the people of a file, or with `dry_run` only reports what it would do.
///
/// Cost: per 500 rows one transaction of 4 to 7 statements, whatever the rows; memory for one batch and for a
/// digest of each person.
#[tracing::instrument(name = "customers.import_contacts", skip_all)]
pub(crate) async fn import_contacts(
    state: &State,
    operator: Operator,
    request_key: &str,
    dry_run: bool,
    body: impl AsyncRead + Unpin + Send,
) -> Result<ImportReport, Error> {
    let file = File::new(body, &format!("POST\n/v1/imports?dry_run={dry_run}\n"));
    let Some(run) = claim(state, operator, request_key, dry_run).await? else {
        return replay(state, operator, request_key, file).await;
    };
    match load(state, &run, file).await {
        Ok(report) => Ok(report),
        Err(error) => Err(give_up(state, &run, error).await),
    }
}

async fn claim(
    state: &State,
    operator: Operator,
    request_key: &str,
    dry_run: bool,
) -> Result<Option<Run>, Error> {
    let now = state.clock.now();
    let mut tx = state.database.begin(operator.tenant).await?;
    let run = store::import::claim(
        &mut *tx,
        operator.tenant,
        request_key,
        dry_run,
        operator.member,
        now,
    )
    .await?;
    if let Some(run) = &run {
        store::import::forget_rejections(&mut *tx, run.import_id).await?;
        tx.audit(operator, "import.started", run.import_id);
    }
    tx.commit().await?;
    Ok(run)
}

/// The stored report, if this is the same file again.
async fn replay(
    state: &State,
    operator: Operator,
    request_key: &str,
    file: File<impl AsyncRead + Unpin + Send>,
) -> Result<ImportReport, Error> {
    let mut tx = state.database.read(operator.tenant).await?;
    let (import_id, import_state, expected) = store::import::of_key(&mut *tx, request_key).await?;
    drop(tx);
    if import_state != ImportState::Finished {
        return Err(Error::ImportRunning);
    }
    if expected.as_deref() != Some(&file.fingerprint().await?) {
        return Err(outbox::request::RequestError::OtherBody.into());
    }
    report(state, operator.tenant, import_id).await
}

async fn load(
    state: &State,
    run: &Run,
    mut file: File<impl AsyncRead + Unpin + Send>,
) -> Result<ImportReport, Error> {
    let header = file.header().await?;
    let (mut batch, mut writer) = (Batch::default(), Writer::new(state, run));
    let mut census = Census::default();
    while let Some(row) = state
        .stopping
        .run_until_cancelled(file.next(&header))
        .await
        .ok_or(Error::Stopping)??
    {
        batch.add(row.and_then(|row| census.admit(row)));
        if writer.total.rows.cast_unsigned() + batch.len() > ROWS_MAX {
            return Err(Error::TooManyRows);
        }
        if batch.is_full() {
            writer.write(std::mem::take(&mut batch)).await?;
        }
    }
    writer.write(batch).await?;
    let total = writer.total;
    finish(state, run, total, &file.fingerprint().await?).await?;
    report(state, run.tenant, run.import_id).await
}

async fn finish(state: &State, run: &Run, total: Counts, fingerprint: &[u8; 32]) -> Result<(), Error> {
    let now = state.clock.now();
    let mut tx = state.database.begin(run.tenant).await?;
    if !store::import::finish(&mut *tx, run, fingerprint, now).await? {
        return Err(Error::ImportTakenOver);
    }
    tx.audit(BY_ITSELF, "import.finished", run.import_id);
    if !run.dry_run {
        let event = ImportFinished {
            tenant_id: run.tenant.to_string(),
            import_id: run.import_id.to_string(),
            created: total.created.unsigned_abs().into(),
            updated: total.updated.unsigned_abs().into(),
            rejected: total.rejected.unsigned_abs().into(),
        };
        outbox::record(&mut tx, &event, now).await?;
    }
    tx.commit().await?;
    Ok(())
}

async fn report(
    state: &State,
    tenant: contracts::TenantId,
    import_id: contracts::ImportId,
) -> Result<ImportReport, Error> {
    let mut tx = state.database.read(tenant).await?;
    let import = store::import::find(&mut *tx, import_id)
        .await?
        .ok_or(Error::ImportUnknown)?;
    let first = Page {
        limit: ERRORS_SHOWN_MAX - 1,
        after: None,
    };
    let errors = store::import::rejections(&mut *tx, import_id, &first).await?;
    Ok(ImportReport { import, errors })
}

/// Notes the failure where the database allows; an import that nobody could note goes stale instead.
async fn give_up(state: &State, run: &Run, error: Error) -> Error {
    let failure = error.to_string();
    let noted = async {
        let mut tx = state.database.begin(run.tenant).await?;
        if store::import::fail(&mut *tx, run, &failure, state.clock.now()).await? {
            tx.audit(BY_ITSELF, "import.failed", run.import_id);
        }
        tx.commit().await
    };
    if let Err(error) = noted.await {
        tracing::warn!(%error, import_id = %run.import_id, "failed import not noted");
    }
    error
}

/// Rows read and not yet written.
#[derive(Default)]
struct Batch {
    rows: Vec<Row>,
    rejections: Vec<Rejection>,
}

impl Batch {
    fn add(&mut self, row: Result<Row, Rejection>) {
        match row {
            Ok(row) => self.rows.push(row),
            Err(rejection) => self.rejections.push(rejection),
        }
    }

    fn len(&self) -> u32 {
        u32::try_from(self.rows.len() + self.rejections.len()).unwrap_or(u32::MAX)
    }

    fn is_full(&self) -> bool {
        self.rows.len() + self.rejections.len() >= BATCH_ROWS_MAX
    }
}

/// Writes batches, and remembers tags and totals between them.
struct Writer<'a> {
    state: &'a State,
    run: &'a Run,
    tag_ids: HashMap<String, Uuid>,
    total: Counts,
}

impl<'a> Writer<'a> {
    fn new(state: &'a State, run: &'a Run) -> Self {
        Self {
            state,
            run,
            tag_ids: HashMap::new(),
            total: Counts::default(),
        }
    }

    async fn write(&mut self, mut batch: Batch) -> Result<(), Error> {
        let now = self.state.clock.now();
        // Whoever else writes these contacts locks them in the same order.
        batch.rows.sort_by(|a, b| a.external_id.cmp(&b.external_id));
        let mut tx = self.state.database.begin(self.run.tenant).await?;
        let created = if self.run.dry_run {
            store::import::count_new(&mut *tx, &batch.rows).await?
        } else {
            self.learn_tags(&mut tx, &batch.rows).await?;
            store::import::upsert(&mut tx, self.run.tenant, &batch.rows, &self.tag_ids, now).await?
        };
        if !batch.rejections.is_empty() {
            store::import::reject(&mut *tx, self.run, &batch.rejections).await?;
        }
        let counts = counts(&batch, created);
        if !store::import::progress(&mut *tx, self.run, counts, now).await? {
            return Err(Error::ImportTakenOver);
        }
        tx.commit().await?;
        self.total.rows += counts.rows;
        self.total.created += counts.created;
        self.total.updated += counts.updated;
        self.total.rejected += counts.rejected;
        Ok(())
    }

    async fn learn_tags(&mut self, tx: &mut outbox::Tx, rows: &[Row]) -> Result<(), Error> {
        let named = rows.iter().flat_map(|row| &row.tags).map(|tag| &**tag);
        let new: BTreeSet<&str> = named.filter(|tag| !self.tag_ids.contains_key(*tag)).collect();
        if !new.is_empty() {
            let new: Vec<_> = new.into_iter().collect();
            self.tag_ids
                .extend(store::tag::ensure(tx, self.run.tenant, &new).await?);
        }
        Ok(())
    }
}

/// A batch is at most 500 rows, so nothing here can overflow.
fn counts(batch: &Batch, created: i64) -> Counts {
    let count = |n: usize| i32::try_from(n).unwrap_or(i32::MAX);
    let (taken, rejected) = (count(batch.rows.len()), count(batch.rejections.len()));
    let created = i32::try_from(created).unwrap_or(taken);
    Counts {
        rows: taken + rejected,
        created,
        updated: taken - created,
        rejected,
    }
}

#[cfg(test)]
mod tests;
