//! Step 2, first half: contacts come from a file; what can't be taken is reported by line.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use client::text;
use serde::Deserialize;
use serde_json::Value;

use crate::brand::Shop;
use crate::run::Run;
use crate::screen::{Cell, Table, count};

/// Contacts that tests/demo/contacts.csv holds besides its bad rows.
const GOOD_ROWS: u64 = 1_200;
/// Those: line and column.
const BAD_ROWS: [(u64, &str); 12] = [
    (90, "name"),
    (154, "external_id"),
    (241, "phone"),
    (323, "phone"),
    (408, "external_id"),
    (540, "name"),
    (627, "name"),
    (753, "birth_month"),
    (880, "phone"),
    (969, ""),
    (1_055, "birth_month"),
    (1_179, "external_id"),
];
/// A file may have 256 MiB.
const UPLOAD: Duration = Duration::from_secs(30 * 60);
const REJECTIONS_SHOWN: usize = 20;

/// A contact the file brought.
pub(crate) struct Imported {
    pub(crate) contact_id: String,
    pub(crate) external_id: String,
    /// BCP 47, guessed from the country of the phone.
    pub(crate) language: &'static str,
}

/// What an import says of itself.
#[derive(Deserialize)]
struct Report {
    import_id: String,
    rows: u64,
    created: u64,
    updated: u64,
    rejected: u64,
}

/// A row that was not taken.
#[derive(Deserialize)]
struct Rejection {
    line: u64,
    field: Option<String>,
    reason: String,
}

impl Rejection {
    fn is_told(&self) -> bool {
        self.line > 1 && !self.reason.is_empty()
    }
}

/// Imports the file: first only to see what would happen, then really.
pub(crate) async fn import(run: &mut Run<'_>, shop: &Shop, rows: u64) -> anyhow::Result<Vec<Imported>> {
    let path = run.home.options.contacts.clone();
    let began = Instant::now();
    let dry = upload(run, shop, &path, true).await?;
    run.done("Contacts read in a dry run", usize::try_from(dry.rows)?, began);
    let rejections = rejections(run, shop, &dry).await?;
    show(run, &dry, &rejections);

    let began = Instant::now();
    let report = upload(run, shop, &path, false).await?;
    let imported = list(run, shop).await?;
    run.done("Contacts imported", usize::try_from(report.created)?, began);
    run.part(
        "rows rejected, each with line and reason",
        rejections.iter().filter(|row| row.is_told()).count(),
    );

    let checks = &mut run.checks;
    checks.equal("rows the import counted", rows, report.rows);
    checks.equal(
        "import: rows",
        report.rows,
        report.created + report.updated + report.rejected,
    );
    checks.equal(
        "import: created, as the dry run said",
        dry.created,
        report.created,
    );
    checks.equal(
        "import: rejected, as the dry run said",
        dry.rejected,
        report.rejected,
    );
    let told = rejections.iter().filter(|row| row.is_told()).count() as u64;
    checks.equal("rejected rows told with line and reason", dry.rejected, told);
    checks.equal("contacts the brand has", report.created, imported.len() as u64);
    if !run.home.options.has_own_contacts() {
        checks.equal("good rows of contacts.csv", GOOD_ROWS, report.created);
        let bad: Vec<(u64, &str)> = rejections
            .iter()
            .map(|row| (row.line, row.field.as_deref().unwrap_or_default()))
            .collect();
        checks.holds(bad == BAD_ROWS, || format!("bad rows of contacts.csv: {bad:?}"));
    }
    ensure!(
        !imported.is_empty(),
        "{}: none of its {} rows can be taken, so there is nobody to tell the story with; remedy: correct the lines above",
        path.display(),
        count(report.rows),
    );
    Ok(imported)
}

/// Counts the rows below the first line ourselves, whatever stands in them.
pub(crate) fn count_rows(path: &Path) -> anyhow::Result<u64> {
    let unreadable = || {
        format!(
            "{} can't be read; remedy: name a CSV file, CONTACTS=path",
            path.display()
        )
    };
    let opened = csv::ReaderBuilder::new().flexible(true).from_path(path);
    let mut reader = opened.with_context(unreadable)?;
    let mut record = csv::ByteRecord::new();
    let mut rows = 0;
    while reader.read_byte_record(&mut record).with_context(unreadable)? {
        rows += 1;
    }
    ensure!(
        rows > 0,
        "{} holds no contact; remedy: a line `external_id,name,phone,birth_month,tags`, and a row for each person",
        path.display(),
    );
    Ok(rows)
}

async fn upload(run: &Run<'_>, shop: &Shop, path: &Path, dry_run: bool) -> anyhow::Result<Report> {
    let title = if dry_run {
        "Reading the contacts, dry run"
    } else {
        "Importing the contacts"
    };
    let _bar = run.screen.spinner(title);
    let token = shop.operator.token().await?;
    let file = tokio::fs::File::open(path)
        .await
        .with_context(|| path.display().to_string())?;
    let url = format!("/v1/imports?dry_run={dry_run}");
    let ask = run.api.post("customers", &url).token(&token).timeout(UPLOAD);
    let answer = ask
        .body("text/csv", file)
        .ok()
        .await
        .with_context(|| path.display().to_string())?;
    serde_json::from_value(answer).context("the answer is no report of an import")
}

fn rejections_of(report: &Report) -> String {
    format!("/v1/imports/{}/rows", report.import_id)
}

async fn rejections(run: &Run<'_>, shop: &Shop, report: &Report) -> anyhow::Result<Vec<Rejection>> {
    let path = rejections_of(report);
    let rows = run
        .api
        .all("customers", &path, &shop.operator.token().await?)
        .await?;
    rows.into_iter()
        .map(|row| serde_json::from_value(row).with_context(|| path.clone()))
        .collect()
}

fn show(run: &Run<'_>, report: &Report, rows: &[Rejection]) {
    let mut table = Table::new(&["line", "column", "reason"]);
    for row in rows.iter().take(REJECTIONS_SHOWN) {
        table.row(vec![
            Cell::figure(row.line.to_string()),
            Cell::word(row.field.as_deref().unwrap_or("–")),
            Cell::word(&row.reason),
        ]);
    }
    if !rows.is_empty() {
        run.screen.aside(&table);
    }
    if rows.len() > REJECTIONS_SHOWN {
        let more = count((rows.len() - REJECTIONS_SHOWN) as u64);
        run.screen.note(&format!(
            "… and {more} more: GET {}{}",
            run.api.url("customers"),
            rejections_of(report)
        ));
    }
}

async fn list(run: &Run<'_>, shop: &Shop) -> anyhow::Result<Vec<Imported>> {
    let contacts = run
        .api
        .all("customers", "/v1/contacts", &shop.operator.token().await?)
        .await?;
    contacts.iter().map(imported).collect()
}

fn imported(contact: &Value) -> anyhow::Result<Imported> {
    let is_japanese = contact["phone"]
        .as_str()
        .is_some_and(|phone| phone.starts_with("+81"));
    Ok(Imported {
        contact_id: text(contact, "contact_id")?,
        external_id: text(contact, "external_id")?,
        language: if is_japanese { "ja" } else { "zh" },
    })
}
