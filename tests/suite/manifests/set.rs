//! One overlay as it is applied: the documents of its three parts, and how to find things in them.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;
use testkit::repository;

use super::schema;

/// The overlays, and the parts each is applied in.
pub(super) const OVERLAYS: [&str; 3] = ["local", "staging", "production"];
const PARTS: [&str; 3] = ["servers", "migrate", "services"];
const KUBECTL_MISSING: &str = "kubectl is missing, which renders the manifests\n  remedy: install kubectl 1.27 or later; \
     any client will do, no cluster is asked (Debian's own 1.20 is too old)";

pub(super) type Labels = BTreeMap<String, String>;

#[derive(Clone)]
pub(super) struct Set {
    pub(super) documents: Vec<Value>,
}

/// What runs pods: a Deployment, a StatefulSet or a Job.
pub(super) struct Workload<'a> {
    pub(super) document: &'a Value,
    pub(super) kind: &'a str,
    pub(super) name: &'a str,
    pub(super) labels: Labels,
    pub(super) pod: &'a Value,
}

impl Set {
    /// All of an overlay, and what Kubernetes' schemas say about it.
    pub(super) fn render(overlay: &str) -> (Self, Vec<String>) {
        let mut text = String::new();
        for part in PARTS {
            text.push_str(&kustomize(&format!("deploy/overlays/{overlay}/{part}")));
            text.push_str("\n---\n");
        }
        let answer = schema::validate(&text);
        let documents = answer.documents;
        (Self { documents }, answer.findings)
    }

    pub(super) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.documents
            .iter()
            .filter(move |document| document["kind"] == kind)
    }

    pub(super) fn get(&self, kind: &str, name: &str) -> Option<&Value> {
        self.of_kind(kind)
            .find(|document| document["metadata"]["name"] == name)
    }

    /// The same, to plant a mistake in.
    pub(super) fn change(&mut self, kind: &str, name: &str) -> &mut Value {
        self.documents
            .iter_mut()
            .find(|document| document["kind"] == kind && document["metadata"]["name"] == name)
            .unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    pub(super) fn remove(&mut self, kind: &str, name: &str) {
        let before = self.documents.len();
        self.documents
            .retain(|document| document["kind"] != kind || document["metadata"]["name"] != name);
        assert!(self.documents.len() < before, "there is no {kind} {name}");
    }

    pub(super) fn workloads(&self) -> Vec<Workload<'_>> {
        let runs_pods =
            |document: &&Value| ["Deployment", "StatefulSet", "Job"].contains(&text(&document["kind"]));
        self.documents
            .iter()
            .filter(runs_pods)
            .map(|document| Workload {
                document,
                kind: text(&document["kind"]),
                name: text(&document["metadata"]["name"]),
                labels: labels(&document["spec"]["template"]["metadata"]["labels"]),
                pod: &document["spec"]["template"]["spec"],
            })
            .collect()
    }
}

impl<'a> Workload<'a> {
    pub(super) fn title(&self) -> String {
        format!("{} {}", self.kind, self.name)
    }

    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let pod = self.pod;
        let all = ["initContainers", "containers"].map(|field| list(&pod[field]));
        all.into_iter().flatten()
    }

    /// Every named port of the pods.
    pub(super) fn ports(&self) -> BTreeMap<&'a str, u64> {
        self.containers()
            .flat_map(|container| list(&container["ports"]))
            .map(|port| {
                (
                    text(&port["name"]),
                    port["containerPort"].as_u64().unwrap_or_default(),
                )
            })
            .collect()
    }

    /// What a port is by number, when the pods have it by this name or number.
    pub(super) fn port(&self, port: &Value) -> Option<u64> {
        let known = self.ports();
        match port {
            Value::String(name) => known.get(name.as_str()).copied(),
            number => number
                .as_u64()
                .filter(|number| known.values().any(|known| known == number)),
        }
    }

    /// The program of a service's image: `shequn/groups:1` runs groups. None for other people's images.
    pub(super) fn program(&self) -> Option<&str> {
        let image = text(&self.containers().next()?["image"]);
        let name = image.rsplit('/').next()?.split([':', '@']).next()?;
        let is_ours = image.contains("shequn/") && !["nats", "postgres"].contains(&name);
        is_ours.then_some(name)
    }
}

/// The manifests of a folder, as `kubectl apply -k` would send them.
fn kustomize(folder: &str) -> String {
    let output = Command::new("kubectl")
        .arg("kustomize")
        .arg(repository().join(folder))
        .output()
        .unwrap_or_else(|error| panic!("{KUBECTL_MISSING}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "kubectl kustomize {folder}: {said}");
    String::from_utf8(output.stdout).expect("kubectl writes UTF-8")
}

/// Whether a selector of Kubernetes picks what has these labels.
pub(super) fn selects(selector: &Value, labels: &Labels) -> bool {
    let by_label = self::labels(&selector["matchLabels"])
        .iter()
        .all(|(key, value)| labels.get(key) == Some(value));
    let by_expression = list(&selector["matchExpressions"]).iter().all(|expression| {
        let value = labels.get(text(&expression["key"]));
        let is_in = value.is_some_and(|value| list(&expression["values"]).iter().any(|one| one == value));
        match text(&expression["operator"]) {
            "In" => is_in,
            "NotIn" => !is_in,
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            other => panic!("a selector has no operator {other:?}"),
        }
    });
    by_label && by_expression
}

pub(super) fn labels(value: &Value) -> Labels {
    let entries = value.as_object().into_iter().flatten();
    entries
        .map(|(key, value)| (key.clone(), text(value).to_owned()))
        .collect()
}

/// A text, or nothing where there is none.
pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A list, or nothing where there is none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
