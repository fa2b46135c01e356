//! The Kubernetes manifests, rendered and checked without a cluster: schemas, S19, settings, ports, edges, TLS,
//! owners.

mod capacity;
mod network;
mod owners;
mod planted;
mod ports;
mod schema;
mod set;
mod settings;
mod tls;
mod workload;

use std::path::Path;
use std::process::Command;

use testkit::repository;

pub(crate) use schema::validate;
use set::{OVERLAYS, Set};
use settings::Known;

/// What our own rules say about a set; the schemas are asked apart, for that takes a process.
fn findings(set: &Set, known: &mut Known) -> Vec<String> {
    let mut findings = workload::findings(set);
    findings.extend(settings::findings(set, known));
    findings.extend(ports::findings(set));
    findings.extend(network::findings(set));
    findings.extend(owners::findings(set));
    findings.extend(tls::findings(set));
    findings.extend(capacity::findings(set));
    findings
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_overlay_is_valid_and_keeps_the_rules() {
    let mut known = Known::ask();
    let mut all = Vec::new();
    for overlay in OVERLAYS {
        let (set, mut found) = Set::render(overlay);
        found.extend(findings(&set, &mut known));
        println!(
            "{overlay}: {} documents, {} findings",
            set.documents.len(),
            found.len()
        );
        all.extend(found.into_iter().map(|finding| format!("{overlay}: {finding}")));
    }
    assert!(all.is_empty(), "{all:#?}");
}

/// S19 by its name in the list of security tests.
#[test]
fn s19_every_workload_is_confined() {
    for overlay in OVERLAYS {
        let (set, _) = Set::render(overlay);
        let workloads = set.workloads().len();
        assert!(
            workloads >= 13,
            "{overlay}: only {workloads} workloads were looked at"
        );
        let mut found = workload::findings(&set);
        found.extend(network::findings(&set));
        assert!(found.is_empty(), "{overlay}: {found:#?}");
    }
}

#[test]
fn nats_permissions_are_those_of_the_table_of_edges() {
    let script = repository().join("deploy/base/nats/generate.py");
    let output = Command::new(&script).arg("--check").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn the_readme_lists_every_secret_an_operator_makes() {
    let readme = read(&repository().join("deploy/README.md"));
    let mut lost = Vec::new();
    for (name, keys) in settings::by_operator() {
        let words = keys.into_iter().chain([name]);
        lost.extend(words.filter(|word| !readme.contains(&format!("`{word}`"))));
    }
    assert!(lost.is_empty(), "deploy/README.md does not name {lost:?}");
}
