//! What an image says of itself: its bill of materials, and labels.

use std::process::Command;

use serde_json::Value;

use super::bill::{SERVICES, bills, parse};
use super::{run, scratch};
use crate::containers::is_ci;

fn docker(arguments: &[&str]) -> Result<String, String> {
    let mut command = Command::new("docker");
    let output = run({
        command.args(arguments);
        command
    });
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .ok_or(said)
}

/// The bill inside an image, without starting it.
fn bill_of(image: &str, service: &str) -> Result<Value, String> {
    let container = docker(&["create", image])?;
    let copy = scratch().join(format!("{service}-of-image.cdx.json"));
    let inside = format!("{container}:/usr/share/doc/{service}/sbom.cdx.json");
    let copied = docker(&["cp", &inside, &copy.to_string_lossy()]);
    docker(&["rm", &container])?;
    copied.map(|_| parse(&copy))
}

/// The labels of an image that are missing or can't be.
fn odd_labels(labels: &Value, service: &str) -> Vec<String> {
    let label = |name: &str| {
        let value = labels[format!("org.opencontainers.image.{name}")].as_str();
        value.unwrap_or_default().to_owned()
    };
    let (created, revision, source) = (label("created"), label("revision"), label("source"));
    let is_commit = |text: &str| text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit());
    [
        ("title", label("title") == format!("shequn {service}")),
        ("version", !label("version").is_empty()),
        ("licenses", label("licenses") == "Apache-2.0"),
        (
            "revision",
            is_commit(revision.strip_suffix("-dirty").unwrap_or(&revision)),
        ),
        (
            "created",
            created
                .parse::<jiff::Timestamp>()
                .is_ok_and(|at| at > jiff::Timestamp::UNIX_EPOCH),
        ),
        // Where nobody says it, a clone of a folder has none.
        ("source", source.is_empty() || source.starts_with("https://")),
    ]
    .into_iter()
    .filter(|(_, is_right)| !is_right)
    .map(|(name, _)| format!("{name} is {:?}", label(name)))
    .collect()
}

#[test]
fn every_image_carries_its_bill_and_labels() {
    if let Err(missing) = docker(&["version"]) {
        assert!(!is_ci(), "CI starts a Docker engine, but none answers: {missing}");
        println!("skipped: no Docker engine answers: {missing}");
        return;
    }
    let variable = |name: &str, default: &str| std::env::var(name).unwrap_or_else(|_| default.to_owned());
    let registry = variable("SHEQUN_REGISTRY", "shequn");
    let tag = variable("SHEQUN_TAG", "dev");
    let bills = bills("image-bills");
    for service in SERVICES {
        let image = format!("{registry}/{service}:{tag}");
        let bill = bill_of(&image, service).unwrap_or_else(|error| panic!("{image}: build it anew: {error}"));
        for part in ["components", "dependencies"] {
            assert!(
                bill[part] == bills[service][part],
                "{image}: built with other {part}; build it anew"
            );
        }
        let labels = docker(&["image", "inspect", "--format", "{{json .Config.Labels}}", &image]);
        let labels = labels.expect("it was there just now");
        let labels: Value = serde_json::from_str(&labels).expect("labels are JSON");
        let odd = odd_labels(&labels, service);
        assert!(odd.is_empty(), "{image}: {odd:#?}");
    }
}

#[test]
fn a_missing_label_is_noticed() {
    let odd = odd_labels(&Value::Null, "identity");
    assert_eq!(odd.len(), 5, "all but the source: {odd:#?}");
}
