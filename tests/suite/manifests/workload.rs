//! S19: how every pod is held: who it is, what it may do, how it starts and ends, how many may be away.

use serde_json::Value;

use super::set::{Set, Workload, labels, list, selects, text};

/// Of a process after its drain: the relay's flush, the ops listener, the exporter's time-out (libs/chassis, process.rs).
const AFTER_DRAIN_SECS: u64 = 5 + 1 + 10;

pub(super) fn findings(set: &Set) -> Vec<String> {
    let mut findings = Vec::new();
    for workload in set.workloads() {
        let title = workload.title();
        let mut found = pod(&workload);
        found.extend(workload.containers().flat_map(container));
        found.extend(account(set, &workload));
        found.extend(owned(&workload));
        if workload.kind != "Job" {
            found.extend(budget(set, &workload));
            found.extend(workload.containers().flat_map(probes));
        }
        if workload.kind == "Deployment" {
            found.extend(spread(&workload));
            found.extend(grace(&workload));
        }
        findings.extend(found.into_iter().map(|finding| format!("{title}: {finding}")));
    }
    for cluster in set.of_kind("Cluster") {
        findings
            .extend(tagged(text(&cluster["spec"]["imageName"])).map(|finding| format!("Cluster: {finding}")));
    }
    findings
}

fn pod(workload: &Workload<'_>) -> Vec<String> {
    let (pod, context) = (workload.pod, &workload.pod["securityContext"]);
    let mut findings = Vec::new();
    let mut ask = |holds: bool, finding: &str| {
        if !holds {
            findings.push(finding.to_owned());
        }
    };
    ask(context["runAsNonRoot"] == true, "may run as root");
    ask(
        context["runAsUser"].as_u64().is_some_and(|user| user > 0),
        "runs as no user of its own",
    );
    ask(
        context["seccompProfile"]["type"] == "RuntimeDefault",
        "has no seccomp profile RuntimeDefault",
    );
    ask(
        pod["automountServiceAccountToken"] == false,
        "mounts a token of the cluster's API",
    );
    ask(
        pod["enableServiceLinks"] == false,
        "gets variables nobody named (enableServiceLinks)",
    );
    for shared in ["hostNetwork", "hostPID", "hostIPC"] {
        ask(pod[shared] != true, &format!("shares the node's {shared}"));
    }
    let has_path = list(&pod["volumes"])
        .iter()
        .any(|volume| !volume["hostPath"].is_null());
    ask(!has_path, "mounts a folder of the node");
    findings
}

fn container(container: &Value) -> Vec<String> {
    let (context, resources) = (&container["securityContext"], &container["resources"]);
    let mut findings: Vec<String> = tagged(text(&container["image"])).collect();
    let mut ask = |holds: bool, finding: &str| {
        if !holds {
            findings.push(finding.to_owned());
        }
    };
    ask(context["privileged"] != true, "is privileged");
    ask(
        context["allowPrivilegeEscalation"] == false,
        "may gain privileges",
    );
    ask(
        context["readOnlyRootFilesystem"] == true,
        "may write to its root file system",
    );
    ask(
        context["capabilities"]["drop"] == serde_json::json!(["ALL"]),
        "keeps capabilities",
    );
    ask(
        list(&context["capabilities"]["add"]).is_empty(),
        "adds capabilities",
    );
    ask(context["runAsNonRoot"] != false, "may run as root");
    ask(context["runAsUser"] != 0, "runs as root");
    ask(
        resources["limits"]["memory"].is_string(),
        "has no limit on memory",
    );
    ask(resources["requests"]["memory"].is_string(), "requests no memory");
    ask(resources["requests"]["cpu"].is_string(), "requests no processor");
    findings
}

/// An image that says which one it is.
fn tagged(image: &str) -> impl Iterator<Item = String> {
    let name = image.rsplit('/').next().unwrap_or_default();
    let is_pinned = image.contains('@')
        || name
            .split_once(':')
            .is_some_and(|(_, tag)| !tag.is_empty() && tag != "latest");
    (!is_pinned)
        .then(|| format!("{image}: the image has no tag, or `latest`"))
        .into_iter()
}

fn account(set: &Set, workload: &Workload<'_>) -> Option<String> {
    let name = text(&workload.pod["serviceAccountName"]);
    match set.get("ServiceAccount", name) {
        Some(account) if account["automountServiceAccountToken"] == false => None,
        Some(_) => Some(format!("ServiceAccount {name} hands out tokens")),
        None => Some(format!("there is no ServiceAccount {name:?}")),
    }
}

/// Whether it finds its own pods again.
fn owned(workload: &Workload<'_>) -> Option<String> {
    let selector = &workload.document["spec"]["selector"];
    let finds = workload.kind == "Job" || (selector.is_object() && selects(selector, &workload.labels));
    (!finds).then(|| "its selector does not pick its own pods".to_owned())
}

fn budget(set: &Set, workload: &Workload<'_>) -> Option<String> {
    let budgets = set
        .of_kind("PodDisruptionBudget")
        .filter(|budget| selects(&budget["spec"]["selector"], &workload.labels));
    match budgets.count() {
        1 => None,
        count => Some(format!("has {count} PodDisruptionBudgets, not one")),
    }
}

fn probes(container: &Value) -> impl Iterator<Item = String> {
    ["startupProbe", "readinessProbe", "livenessProbe"]
        .into_iter()
        .filter(|probe| container[probe].is_null())
        .map(|probe| format!("has no {probe}"))
}

fn spread(workload: &Workload<'_>) -> Option<String> {
    let spread = list(&workload.pod["topologySpreadConstraints"]);
    let over_nodes = spread.iter().any(|constraint| {
        constraint["topologyKey"] == "kubernetes.io/hostname"
            && labels(&constraint["labelSelector"]["matchLabels"])
                .iter()
                .all(|(key, value)| workload.labels.get(key) == Some(value))
    });
    (!over_nodes).then(|| "its pods may all be on one node".to_owned())
}

/// The kubelet must wait longer than the process may take.
fn grace(workload: &Workload<'_>) -> Vec<String> {
    let grace = workload.pod["terminationGracePeriodSeconds"]
        .as_u64()
        .unwrap_or(30);
    workload
        .containers()
        .filter_map(|container| {
            let secs = |name: &str| {
                let mut variables = list(&container["env"]).iter();
                let variable = variables.find(|variable| variable["name"] == name)?;
                text(&variable["value"]).parse::<u64>().ok()
            };
            let (Some(leave), Some(drain)) = (secs("SHEQUN_LEAVE_SECS"), secs("SHEQUN_DRAIN_SECS")) else {
                return Some("does not say how long it serves after SIGTERM, and drains".to_owned());
            };
            let needed = leave + drain + AFTER_DRAIN_SECS;
            (grace < needed).then(|| format!("is killed after {grace} s, and may need {needed} s to end"))
        })
        .collect()
}
