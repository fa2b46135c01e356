//! Settings and secrets: every variable is one the program knows, every reference leads somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;
use testkit::{build_dir, repository};

use super::set::{Set, Workload, list, text};

/// A variable of a container; the value of a secret one is not known here.
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
}

/// Names of Secrets and ConfigMaps, each with its keys.
type Keys = BTreeMap<String, BTreeSet<String>>;

/// Everything in a workload's environment, from ConfigMaps as well.
pub(super) fn of(set: &Set, workload: &Workload<'_>) -> Vec<Variable> {
    let mut variables = Vec::new();
    for container in workload.containers() {
        for source in list(&container["envFrom"]) {
            let data = set
                .get("ConfigMap", text(&source["configMapRef"]["name"]))
                .map(|map| &map["data"]);
            for (name, value) in data.and_then(Value::as_object).into_iter().flatten() {
                variables.push(Variable {
                    name: name.clone(),
                    value: text(value).to_owned(),
                });
            }
        }
        variables.extend(list(&container["env"]).iter().map(|variable| Variable {
            name: text(&variable["name"]).to_owned(),
            value: text(&variable["value"]).to_owned(),
        }));
    }
    variables
}

/// What the manifests lean on and do not hold: asked once, for any number of sets.
pub(super) struct Known {
    /// The variables of a program's mode, by its `--help`.
    manuals: BTreeMap<(String, String), BTreeSet<String>>,
    secrets: Keys,
}

impl Known {
    pub(super) fn ask() -> Self {
        Self {
            manuals: BTreeMap::new(),
            secrets: by_operator(),
        }
    }

    fn variables(&mut self, program: &str, mode: &str) -> &BTreeSet<String> {
        let key = (program.to_owned(), mode.to_owned());
        self.manuals.entry(key).or_insert_with(|| {
            let mut known = variables_of(&help(program, &["--help"]));
            known.extend(variables_of(&help(program, &[mode, "--help"])));
            known
        })
    }
}

fn help(program: &str, arguments: &[&str]) -> String {
    let path = build_dir().expect("a test lies in a folder").join(program);
    let output = Command::new(&path)
        .args(arguments)
        .env_clear()
        .output()
        .unwrap_or_else(|error| {
            panic!(
                "{}: {error}\n  remedy: cargo build --workspace --bins --features failpoints",
                path.display()
            )
        });
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// `[env: NAME=]` and `[env: NAME]`, broken into lines wherever.
fn variables_of(help: &str) -> BTreeSet<String> {
    let words: Vec<&str> = help.split_whitespace().collect();
    let pairs = words.windows(2).filter(|pair| pair[0].ends_with("[env:"));
    pairs
        .filter_map(|pair| pair[1].split(['=', ']']).next().map(str::to_owned))
        .collect()
}

#[test]
fn variables_are_read_from_a_manual() {
    let help = "--nats-url <URL>  NATS [env:\n   SHEQUN_NATS_URL=] [default: x]\n --key  Seals [env: SHEQUN_KEY_SECRET]";
    let known = variables_of(help);
    assert_eq!(
        known,
        BTreeSet::from(["SHEQUN_KEY_SECRET".to_owned(), "SHEQUN_NATS_URL".to_owned()])
    );
}

pub(super) fn findings(set: &Set, known: &mut Known) -> Vec<String> {
    let mut findings = Vec::new();
    for workload in set.workloads() {
        let title = workload.title();
        if let Some(program) = workload.program() {
            let mode = workload
                .containers()
                .next()
                .map(|container| text(&container["args"][0]));
            let variables = known.variables(program, mode.unwrap_or_default());
            for variable in of(set, &workload) {
                if !variables.contains(&variable.name) {
                    findings.push(format!("{title}: {program} knows no {}", variable.name));
                }
            }
        }
        let variables = of(set, &workload);
        let twice = repeated(&variables).into_iter();
        findings.extend(twice.map(|name| format!("{title}: {name} is set twice")));
    }
    findings.extend(references(set, &known.secrets));
    findings.extend(generated(set));
    findings.extend(set.of_kind("Secret").map(|secret| {
        format!(
            "Secret {}: a secret's value has no place here",
            secret["metadata"]["name"]
        )
    }));
    findings
}

fn repeated(variables: &[Variable]) -> BTreeSet<&str> {
    let mut seen = BTreeSet::new();
    let names = variables.iter().map(|variable| variable.name.as_str());
    names.filter(|name| !seen.insert(*name)).collect()
}

/// Every Secret and ConfigMap that is referred to is made by somebody, with that key.
fn references(set: &Set, secrets: &Keys) -> Vec<String> {
    let made = made(set, secrets);
    let mut findings = Vec::new();
    for document in &set.documents {
        let title = format!(
            "{} {}",
            text(&document["kind"]),
            text(&document["metadata"]["name"])
        );
        let mut found = Vec::new();
        gather(document, &mut found);
        for (name, key) in found {
            match (made.get(&name), key) {
                (None, _) => findings.push(format!("{title}: nobody makes {name}")),
                (Some(keys), Some(key)) if !keys.contains(&key) => {
                    findings.push(format!("{title}: {name} has no key {key}"));
                }
                (Some(_), _) => {}
            }
        }
    }
    findings
}

/// What deploy/overlays/make-secrets.py prints, what cert-manager writes, and the set's own ConfigMaps.
fn made(set: &Set, secrets: &Keys) -> Keys {
    let mut made = secrets.clone();
    for certificate in set.of_kind("Certificate") {
        let keys = ["tls.crt", "tls.key", "ca.crt"].map(str::to_owned);
        made.insert(
            text(&certificate["spec"]["secretName"]).to_owned(),
            BTreeSet::from(keys),
        );
    }
    for map in set.of_kind("ConfigMap") {
        let keys = map["data"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(key, _)| key.clone());
        made.insert(text(&map["metadata"]["name"]).to_owned(), keys.collect());
    }
    made
}

pub(super) fn by_operator() -> Keys {
    let script = repository().join("deploy/overlays/make-secrets.py");
    let output = Command::new(&script)
        .args(["--namespace", "any", "--names"])
        .output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines()
        .map(|line| {
            let mut words = line.split_whitespace().skip(1).map(str::to_owned);
            (words.next().expect("a line has a name"), words.collect())
        })
        .collect()
}

/// The references below a value: a name, and a key where one is named.
fn gather(value: &Value, found: &mut Vec<(String, Option<String>)>) {
    if let Some(fields) = value.as_object() {
        for (field, value) in fields {
            let name = value["name"].as_str().map(str::to_owned);
            match (field.as_str(), name) {
                ("secretKeyRef" | "configMapKeyRef", Some(name)) => {
                    found.push((name, value["key"].as_str().map(str::to_owned)));
                }
                ("configMap" | "configMapRef" | "secretRef" | "superuserSecret" | "secret", Some(name)) => {
                    found.push((name.clone(), None));
                    let items = list(&value["items"]).iter();
                    found.extend(items.map(|item| (name.clone(), item["key"].as_str().map(str::to_owned))));
                }
                _ => gather(value, found),
            }
            // A Certificate's own is the one it writes.
            if field == "secret"
                && let Some(name) = value["secretName"].as_str()
            {
                found.push((name.to_owned(), None));
            }
        }
    }
    for value in list(value) {
        gather(value, found);
    }
}

/// NATS takes its users' passwords from variables that its own configuration names.
fn generated(set: &Set) -> Vec<String> {
    let Some(nats) = set
        .workloads()
        .into_iter()
        .find(|workload| workload.name == "nats")
    else {
        return vec!["StatefulSet nats: is not there".to_owned()];
    };
    let given: BTreeSet<String> = of(set, &nats).into_iter().map(|variable| variable.name).collect();
    let files = list(&nats.pod["volumes"])
        .iter()
        .filter_map(|volume| set.get("ConfigMap", text(&volume["configMap"]["name"])))
        .flat_map(|map| map["data"].as_object().into_iter().flatten())
        .map(|(_, file)| text(file));
    let mut findings = Vec::new();
    for file in files {
        for word in file.split("$NATS_").skip(1) {
            let rest: String = word
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            let name = format!("NATS_{rest}");
            if !given.contains(&name) {
                findings.push(format!("StatefulSet nats: its configuration wants {name}"));
            }
        }
    }
    findings
}
