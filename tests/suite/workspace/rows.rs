//! Rows of the domain that an issue has claimed, each covered by tests that exist.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{files, read};
use testkit::repository;

#[derive(Deserialize)]
struct Rows {
    row: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct Row {
    /// What the row asks for, in a line.
    what: String,
    /// The issue that claimed it.
    issue: u32,
    /// Names of test functions.
    tests: Vec<String>,
}

#[test]
fn every_claimed_row_is_covered() {
    let rows: Rows = toml::from_str(&read(&repository().join("tests/rows.toml"))).unwrap();
    let sources: String = files(&["rs"]).iter().map(|path| read(path)).collect();
    let mut missing = Vec::new();
    for (id, row) in &rows.row {
        println!(
            "{id:<5} issue {}  {:<60} {}",
            row.issue,
            row.what,
            row.tests.join(", ")
        );
        if row.tests.is_empty() {
            missing.push(format!(
                "{id} is claimed by issue {} and covered by no test",
                row.issue
            ));
        }
        for test in &row.tests {
            if !sources.contains(&format!("fn {test}()")) {
                missing.push(format!("{id}: there is no test {test}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
