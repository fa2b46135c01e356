//! Rows of the domain and of the security tests that an issue has claimed, each covered by tests that run.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{files, read};
use testkit::repository;

const TABLES: [&str; 2] = ["tests/rows.toml", "tests/suite/isolation/rows.toml"];

#[derive(Deserialize)]
struct Rows {
    /// Issue → the rows it has claimed.
    claims: BTreeMap<String, Vec<String>>,
    row: BTreeMap<String, Row>,
}

#[derive(Deserialize)]
struct Row {
    /// What the row asks for, in a line.
    what: String,
    /// Names of test functions.
    tests: Vec<String>,
}

#[test]
fn every_claimed_row_is_covered() {
    let sources: String = files(&["rs"]).iter().map(|path| read(path)).collect();
    let tables = TABLES.map(|table| read(&repository().join(table)));
    let mut missing = Vec::new();
    for table in tables {
        let rows: Rows = toml::from_str(&table).unwrap();
        for (id, Row { what, tests }) in &rows.row {
            println!("{id:<5} {what:<60} {}", tests.join(", "));
        }
        missing.extend(uncovered(rows, &sources));
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// What a table claims and does not cover.
fn uncovered(mut rows: Rows, sources: &str) -> Vec<String> {
    let mut missing = Vec::new();
    for (issue, claimed) in &rows.claims {
        for id in claimed {
            let Some(Row { tests, .. }) = rows.row.remove(id) else {
                missing.push(format!("{id} is claimed by issue {issue} and has no section"));
                continue;
            };
            if tests.is_empty() {
                missing.push(format!("{id} is claimed by issue {issue} and covered by no test"));
            }
            let lost = tests.iter().filter(|test| !runs(sources, test));
            missing.extend(lost.map(|test| format!("{id}: no test {test} runs")));
        }
    }
    missing.extend(rows.row.keys().map(|id| format!("{id} is claimed by no issue")));
    missing
}

/// Whether a function of this name is a test, and not an ignored one: the attributes right above it say so.
fn runs(sources: &str, test: &str) -> bool {
    let Some(at) = sources.find(&format!("fn {test}()")) else {
        return false;
    };
    let above = sources[..at].rsplit_once('\n').map_or("", |(above, _)| above);
    let attributes: Vec<&str> = above
        .lines()
        .rev()
        .map(str::trim)
        .take_while(|line| line.starts_with(['#', '/']))
        .collect();
    let is_test = |line: &&str| line.starts_with("#[test]") || line.starts_with("#[tokio::test");
    attributes.iter().any(is_test) && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}

#[test]
fn a_row_needs_a_test_that_runs() {
    let source = "#[test]\n/// Why.\nfn plain() {\n#[tokio::test(flavor = \"x\")]\nasync fn later() {\n\
                  #[test]\n#[ignore = \"slow\"]\nfn ignored() {\n#[test]\nfn other() {}\nfn helper() {";
    for test in ["plain", "later", "other"] {
        assert!(runs(source, test), "{test}");
    }
    for test in ["ignored", "helper", "gone"] {
        assert!(!runs(source, test), "{test}");
    }
}
