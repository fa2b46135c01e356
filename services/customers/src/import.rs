//! Imports: contacts from a CSV file, with a report on every row that was not taken (D37).

pub(crate) mod file;
pub(crate) mod row;

use contracts::ImportId;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

/// Rows a file may have.
pub(crate) const ROWS_MAX: u32 = 500_000;
/// Rows written in one transaction.
pub(crate) const BATCH_ROWS_MAX: usize = 500;
/// Different tags a file may name.
pub(crate) const TAGS_MAX: usize = 1_000;
/// Rejected rows in the answer to an upload; the others are read page by page.
pub(crate) const ERRORS_SHOWN_MAX: i64 = 100;
/// An import that wrote nothing for this long was cut off and may be started again.
pub(crate) const STALE_SECS: i64 = 60;

/// How far an import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum ImportState {
    Running,
    Finished,
    /// Given up; what was written until then stays.
    Failed,
}

/// An import and its progress.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct Import {
    pub(crate) import_id: ImportId,
    pub(crate) state: ImportState,
    /// Whether it only reports what it would do.
    pub(crate) dry_run: bool,
    /// Why it failed.
    pub(crate) failure: Option<String>,
    /// Rows read; the next three add up to it.
    pub(crate) rows: i32,
    pub(crate) created: i32,
    pub(crate) updated: i32,
    pub(crate) rejected: i32,
    #[schema(value_type = String, format = DateTime)]
    pub(crate) started_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) finished_at: Option<Timestamp>,
}

/// A finished import and the first rows it did not take.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(crate) struct ImportReport {
    #[serde(flatten)]
    pub(crate) import: Import,
    /// The first 100 rejected rows, by line.
    pub(crate) errors: Vec<Rejection>,
}

/// A row that was not taken, and why. Never the value: it may be personal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Rejection {
    /// The line it starts on; the header is line 1.
    pub(crate) line: i32,
    /// The column; none when it is about the row as a whole.
    pub(crate) field: Option<String>,
    pub(crate) reason: String,
    pub(crate) remedy: String,
}

/// What a batch did, or all of them so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) rows: i32,
    pub(crate) created: i32,
    pub(crate) updated: i32,
    pub(crate) rejected: i32,
}
