//! What comes from elsewhere (S18): licences, sources and versions of all dependencies, and no unsafe code of our own.
//!
//! cargo-deny judges; of its four checks the advisories are left out, for their database is out of reach on CI.

mod bill;
mod image;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cargo_metadata::{Metadata, MetadataCommand};
use serde_json::Value;
use testkit::repository;
use toml::Table;

use super::read;

const CHECKS: [&str; 3] = ["bans", "licenses", "sources"];

/// One of the tools that `wheels.py` installs.
fn tool(name: &str) -> Command {
    let mut command = Command::new(repository().join("tests/suite/workspace/supply/wheels.py"));
    command.current_dir(repository()).arg(name);
    command
}

fn run(mut command: Command) -> Output {
    let output = command.output();
    output.unwrap_or_else(|error| panic!("{}: {error}", command.get_program().display()))
}

fn scratch() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
}

/// Every manifest of ours.
fn workspace() -> Metadata {
    let mut command = MetadataCommand::new();
    command.no_deps().other_options(["--offline".to_owned()]);
    command.exec().expect("cargo reads its own manifests")
}

/// What cargo-deny finds under these rules: the code of each finding, with its text.
fn denied(rules: &Path) -> Vec<(String, String)> {
    let mut command = tool("deny");
    command.args(["--format", "json", "--locked", "--config"]);
    command.arg(rules).args(["check", "-D", "warnings"]).args(CHECKS);
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<Value> = said
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect();
    let summary = lines.iter().find(|line| line["type"] == "summary");
    let is_whole = summary.is_some_and(|line| CHECKS.iter().all(|check| line["fields"][check].is_object()));
    assert!(is_whole, "cargo-deny did not check everything: {said}");
    let text = |line: &Value, field: &str| line["fields"][field].as_str().unwrap_or_default().to_owned();
    let findings: Vec<_> = lines
        .iter()
        .filter(|line| line["fields"]["severity"] == "error")
        .map(|line| (text(line, "code"), text(line, "message")))
        .collect();
    assert_eq!(output.status.success(), findings.is_empty(), "{said}");
    findings
}

#[test]
fn every_dependency_is_one_we_allow() {
    let findings = denied(&repository().join(".deny.toml"));
    assert!(findings.is_empty(), "{findings:#?}");
}

#[test]
fn a_planted_dependency_is_denied() {
    const PLANTED: [(&str, &str, &str); 6] = [
        (
            "banned",
            "deny = [",
            "deny = [{ crate = \"axum\", reason = \"planted\" },",
        ),
        ("duplicate", "{ crate = \"syn@2\",", "{ crate = \"syn@99\","),
        (
            "unnecessary-skip",
            "skip = [",
            "skip = [{ crate = \"axum\", reason = \"planted\" },",
        ),
        ("rejected", "\"ISC\",", ""),
        ("license-not-encountered", "\"ISC\",", "\"ISC\", \"GPL-3.0\","),
        (
            "source-not-allowed",
            "unknown-git",
            "allow-registry = []\nunknown-git",
        ),
    ];
    let rules = read(&repository().join(".deny.toml"));
    for (code, from, to) in PLANTED {
        assert_eq!(rules.matches(from).count(), 1, "{from}");
        let planted = scratch().join(format!("planted-{code}.toml"));
        std::fs::write(&planted, rules.replace(from, to)).expect("a file of our own");
        let findings = denied(&planted);
        assert!(
            findings.iter().any(|(found, _)| found == code),
            "{code} is not seen: {findings:#?}"
        );
    }
}

/// Whether unsafe code can't be written in a crate: the workspace forbids it, which no attribute takes back.
fn forbids_unsafe(root: &Table, crate_: &Table) -> bool {
    let lint = root["workspace"]["lints"]["rust"].get("unsafe_code");
    let inherits = crate_.get("lints").and_then(|lints| lints.get("workspace"));
    lint.and_then(|lint| lint.as_str()) == Some("forbid")
        && inherits.and_then(|lints| lints.as_bool()) == Some(true)
}

#[test]
fn no_crate_of_ours_may_be_unsafe() {
    let root = read(&repository().join("Cargo.toml"));
    let weaker = root.replace("unsafe_code = \"forbid\"", "unsafe_code = \"deny\"");
    let [root, weaker]: [Table; 2] = [root, weaker].map(|text| text.parse().expect("a manifest"));
    let packages = workspace().packages;
    assert!(packages.len() >= 10, "{}", packages.len());
    for package in packages {
        let text = read(package.manifest_path.as_std_path());
        let own = text.replace(
            "[lints]\nworkspace = true",
            "[lints.rust]\nunsafe_code = \"forbid\"",
        );
        let [manifest, own]: [Table; 2] = [text, own].map(|text| text.parse().expect("a manifest"));
        assert!(forbids_unsafe(&root, &manifest), "{}", package.name);
        assert!(!forbids_unsafe(&weaker, &manifest), "{}", package.name);
        assert!(!forbids_unsafe(&root, &own), "{}", package.name);
    }
}
