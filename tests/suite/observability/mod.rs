//! What an operator watches: alert rules, their tests and pages, dashboards, and a real Prometheus that scrapes the set.

mod alert;
mod dashboard;
mod prometheus;
mod promql;
mod scrape;

use std::path::PathBuf;
use std::process::Command;

use testkit::repository;

fn folder() -> PathBuf {
    repository().join("deploy/observability")
}

fn read(path: &str) -> String {
    let path = folder().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names of a folder's files with this ending, sorted.
fn listed(of: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder().join(of)).expect("the folder is there");
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.ok()?.file_name().to_string_lossy().into_owned()))
        .filter(|name| name.ends_with(ending))
        .map(|name| format!("{of}/{name}"))
        .collect();
    names.sort();
    assert!(!names.is_empty(), "{of} is empty");
    names
}

/// Runs a program in the folder; what it says, when it is content.
fn succeed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(folder())
        .output()
        .unwrap_or_else(|error| panic!("{program}: {error}\n  remedy: {}", prometheus::REMEDY));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let erred = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {arguments:?}:\n{said}{erred}");
    said
}
