//! The bill of materials of a service: what `deploy/images/sbom.py` says is linked into its program.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use cargo_metadata::semver::Version;
use cargo_metadata::{DependencyKind, Package};
use serde::Deserialize;
use serde_json::{Value, json};
use testkit::repository;

use super::{read, run, scratch, tool, workspace};

pub(super) const SERVICES: [&str; 5] = [
    "identity",
    "customers",
    "groups",
    "broadcast",
    "referral-commission",
];
/// What only tests and builds use, of each kind: ours, a test library, a build script's, a procedural macro.
const STRANGERS: [&str; 6] = ["testkit", "proptest", "insta", "protox", "serde_derive", "syn"];

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: Version,
    checksum: Option<String>,
}

/// The bills as they are made for images.
pub(super) fn bills(name: &str) -> BTreeMap<&'static str, Value> {
    let folder = scratch().join(name);
    std::fs::create_dir_all(&folder).expect("a folder of our own");
    let mut command = Command::new(repository().join("deploy/images/sbom.py"));
    command.arg(&folder).args(SERVICES);
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    SERVICES
        .iter()
        .map(|service| (*service, parse(&folder.join(format!("{service}.cdx.json")))))
        .collect()
}

pub(super) fn parse(path: &Path) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// What CycloneDX' schema finds.
fn invalid(bills: &[Value]) -> String {
    let mut command = tool("cyclonedx");
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().expect("the validator starts");
    let mut input = child.stdin.take().expect("its input is a pipe");
    let text = serde_json::to_vec(bills).expect("JSON is written");
    let written = input.write_all(&text);
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && written.is_ok(), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is wrong with a service's bill, by its manifest and by Cargo.lock.
fn findings(service: &Package, lock: &Lock, bill: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    let components: Vec<&Value> = bill["components"].as_array().into_iter().flatten().collect();
    let has = |name: &str, version: &str| {
        components
            .iter()
            .any(|component| component["name"] == name && component["version"] == version)
    };
    let direct = service.dependencies.iter();
    for dependency in direct.filter(|dependency| dependency.kind == DependencyKind::Normal) {
        let mut locked = lock
            .package
            .iter()
            .filter(|locked| locked.name == dependency.name && dependency.req.matches(&locked.version));
        if !locked.any(|locked| has(&locked.name, &locked.version.to_string())) {
            findings.push(format!("{} is not named as it is locked", dependency.name));
        }
    }
    for component in &components {
        let text = |field: &str| component[field].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        if STRANGERS.contains(&name) {
            findings.push(format!("{name} is not linked"));
        }
        if text("purl").is_empty() || component["licenses"][0]["expression"].as_str().is_none() {
            findings.push(format!("{name} has no address or licence"));
        }
        let locked = lock
            .package
            .iter()
            .find(|locked| locked.name == name && locked.version.to_string() == version);
        let checksum = locked.and_then(|locked| locked.checksum.as_deref());
        if component["hashes"][0]["content"].as_str() != checksum {
            findings.push(format!("{name} {version} has another checksum than Cargo.lock"));
        }
    }
    if bill["metadata"]["component"]["name"] != service.name.as_str() {
        findings.push("it is another program's".to_owned());
    }
    findings
}

fn lock() -> Lock {
    toml::from_str(&read(&repository().join("Cargo.lock"))).expect("Cargo.lock is well-formed")
}

#[test]
fn a_bill_names_what_is_linked_and_nothing_else() {
    let (lock, packages) = (lock(), workspace().packages);
    let bills = bills("bills");
    for (service, bill) in &bills {
        let package = packages.iter().find(|package| package.name == *service);
        let findings = findings(package.expect("a crate of ours"), &lock, bill);
        assert!(findings.is_empty(), "{service}: {findings:#?}");
    }
    let invalid = invalid(&bills.into_values().collect::<Vec<_>>());
    assert!(invalid.is_empty(), "{invalid}");
}

#[test]
fn a_wrong_bill_is_noticed() {
    let (lock, packages) = (lock(), workspace().packages);
    let package = packages.iter().find(|package| package.name == "identity");
    let package = package.expect("a crate of ours");
    let bill = bills("wrong-bills").remove("identity").expect("identity's bill");
    let at = |name: &str| {
        let components = bill["components"].as_array().expect("components");
        components
            .iter()
            .position(|component| component["name"] == name)
            .expect(name)
    };
    let wrong = |change: &dyn Fn(&mut Vec<Value>)| {
        let mut bill = bill.clone();
        change(bill["components"].as_array_mut().expect("components"));
        bill
    };
    let mistakes = [
        ("is not named", wrong(&|all| drop(all.remove(at("axum"))))),
        (
            "is not named",
            wrong(&|all| all[at("axum")]["version"] = json!("0.7.0")),
        ),
        (
            "is not linked",
            wrong(&|all| all[at("axum")]["name"] = json!("testkit")),
        ),
        (
            "has no address or licence",
            wrong(&|all| all[at("axum")]["licenses"] = json!([])),
        ),
        (
            "another checksum",
            wrong(&|all| all[at("axum")]["hashes"][0]["content"] = json!("00")),
        ),
    ];
    for (words, bill) in mistakes {
        let findings = findings(package, &lock, &bill);
        assert!(
            findings.iter().any(|finding| finding.contains(words)),
            "{words}: {findings:#?}"
        );
    }
    let invalid = invalid(&[wrong(&|all| {
        all[0]["type"] = json!("libary");
    })]);
    assert!(invalid.contains("libary"), "{invalid}");
}
