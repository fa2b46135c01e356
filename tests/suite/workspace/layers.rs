//! Who may import whom.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

const SERVICES: [&str; 5] = [
    "broadcast",
    "customers",
    "groups",
    "identity",
    "referral-commission",
];

/// What each crate may depend on here, beside what its tests need.
fn allowed(name: &str) -> &'static [&'static str] {
    match name {
        "contracts" => &[],
        "chassis" | "testkit" => &["contracts"],
        "outbox" => &["chassis", "contracts"],
        "shequn-tests" => &["contracts", "outbox", "testkit"],
        service if SERVICES.contains(&service) => &["chassis", "contracts", "outbox"],
        unknown => panic!("{unknown}: say in tests/suite/workspace/layers.rs what it may depend on"),
    }
}

/// Libraries that would make a room something else than it is.
fn forbidden(name: &str) -> &'static [&'static str] {
    match name {
        "contracts" => &["tokio", "axum", "reqwest", "async-nats"],
        "outbox" => &["axum", "tonic"],
        "chassis" => &["async-nats"],
        _ => &[],
    }
}

fn members() -> BTreeMap<String, Package> {
    let metadata = MetadataCommand::new()
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .expect("cargo reads its own manifests");
    metadata
        .packages
        .into_iter()
        .map(|package| (package.name.to_string(), package))
        .collect()
}

#[test]
fn each_crate_imports_only_what_its_layer_may() {
    let members = members();
    let mut wrong = Vec::new();
    for (name, package) in &members {
        for dependency in &package.dependencies {
            let ours = members.contains_key(&dependency.name);
            let in_tests = dependency.kind == DependencyKind::Development;
            let may = allowed(name).contains(&dependency.name.as_str())
                || (in_tests && (dependency.name == "testkit" || name == "shequn-tests"));
            if (ours && !may) || (!in_tests && forbidden(name).contains(&dependency.name.as_str())) {
                wrong.push(format!("{name} → {}", dependency.name));
            }
        }
    }
    assert!(wrong.is_empty(), "not allowed: {wrong:#?}");
}
