//! Whether every field exists: Kubernetes' kinds by its own schemas, the others by tables of ours.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde::Deserialize;
use serde_json::Value;
use testkit::repository;

use super::set::text;

#[derive(Deserialize)]
pub(crate) struct Answer {
    pub(crate) documents: Vec<Value>,
    pub(crate) findings: Vec<String>,
    /// Kinds Kubernetes does not have itself.
    unknown: Vec<String>,
}

#[derive(Deserialize)]
struct Tables {
    kind: Vec<Kind>,
}

/// A custom resource as its documentation describes it.
#[derive(Deserialize)]
struct Kind {
    api: String,
    name: String,
    pages: Vec<String>,
    #[serde(default)]
    required: Vec<String>,
    #[serde(default)]
    either: Vec<String>,
    fields: BTreeMap<String, String>,
}

/// Reads YAML and holds it against the schemas and the tables.
pub(crate) fn validate(yaml: &str) -> Answer {
    let script = repository().join("tests/suite/manifests/validate.py");
    let mut child = Command::new(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let mut input = child.stdin.take().expect("its input is a pipe");
    let written = input.write_all(yaml.as_bytes());
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && written.is_ok(), "{said}");
    let mut answer: Answer = serde_json::from_slice(&output.stdout).expect("it answers in JSON");
    let tables = tables();
    for document in &answer.documents {
        let title = title(document);
        if answer.unknown.contains(&title) {
            answer.findings.extend(by_table(&tables, document));
        }
    }
    answer
}

/// The same for documents that were read before.
pub(super) fn findings(documents: &[Value]) -> Vec<String> {
    let yaml: String = documents
        .iter()
        .map(|document| format!("---\n{document}\n"))
        .collect();
    validate(&yaml).findings
}

fn title(document: &Value) -> String {
    format!(
        "{} {}",
        text(&document["kind"]),
        text(&document["metadata"]["name"])
    )
}

fn tables() -> Vec<Kind> {
    let tables: Tables = toml::from_str(include_str!("fields.toml")).expect("fields.toml is well-formed");
    tables.kind
}

fn by_table(tables: &[Kind], document: &Value) -> Vec<String> {
    let (title, api) = (title(document), text(&document["apiVersion"]));
    let Some(kind) = tables
        .iter()
        .find(|kind| kind.api == api && document["kind"] == kind.name)
    else {
        return vec![format!(
            "{title}: neither Kubernetes nor fields.toml knows a {api}"
        )];
    };
    let mut leaves = Vec::new();
    for (field, value) in document.as_object().into_iter().flatten() {
        match field.as_str() {
            "apiVersion" | "kind" => {}
            "metadata" => gather(value, "metadata", &mut leaves),
            other => gather(value, other, &mut leaves),
        }
    }
    let mut findings = Vec::new();
    for (path, value) in &leaves {
        match kind.wants(path) {
            None => findings.push(format!(
                "{title}: {path}: there is no such field ({})",
                kind.pages[0]
            )),
            Some(wanted) if !is_a(value, wanted) => {
                findings.push(format!("{title}: {path}: {value} is not of type '{wanted}'"));
            }
            Some(_) => {}
        }
    }
    let has = |path: &String| leaves.iter().any(|(known, _)| known == path);
    let missing = kind.required.iter().filter(|path| !has(path));
    findings.extend(missing.map(|path| format!("{title}: {path} is required")));
    if !kind.either.is_empty() && kind.either.iter().filter(|path| has(path)).count() != 1 {
        findings.push(format!("{title}: exactly one of {:?} is required", kind.either));
    }
    findings
}

impl Kind {
    /// The type of a field, if there is such a field.
    fn wants(&self, path: &str) -> Option<&str> {
        let everybody = ["metadata.name", "metadata.namespace"];
        let is_map = ["metadata.labels.", "metadata.annotations."];
        if everybody.contains(&path) || is_map.iter().any(|map| path.starts_with(map)) {
            return Some("string");
        }
        let known = self.fields.iter().find(|(known, _)| {
            known.as_str() == path
                || known
                    .strip_suffix('*')
                    .is_some_and(|map| path.strip_prefix(map).is_some_and(|key| !key.is_empty()))
        });
        known.map(|(_, wanted)| wanted.as_str())
    }
}

/// Every leaf below a value, by its path.
fn gather<'a>(value: &'a Value, path: &str, leaves: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            for (field, value) in fields {
                gather(value, &format!("{path}.{field}"), leaves);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            for item in items {
                gather(item, &format!("{path}[]"), leaves);
            }
        }
        leaf => leaves.push((path.to_owned(), leaf)),
    }
}

fn is_a(value: &Value, wanted: &str) -> bool {
    match wanted {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "boolean" => value.is_boolean(),
        "object" => value.is_object(),
        other => panic!("fields.toml: there is no type {other}"),
    }
}
