//! Whether every port that is named anywhere is one that somebody listens on.

use std::collections::BTreeMap;

use serde_json::Value;

use super::set::{Labels, Set, Workload, labels, list, selects, text};
use super::settings;

/// A listener's setting and the container port that has to be the same.
const LISTENERS: [(&str, &str); 3] = [
    ("SHEQUN_HTTP_LISTEN", "http"),
    ("SHEQUN_GRPC_LISTEN", "grpc"),
    ("SHEQUN_OPS_LISTEN", "ops"),
];

/// Pods of one kind: those of a workload, or those an operator makes for it.
pub(super) struct Pods<'a> {
    pub(super) name: &'a str,
    pub(super) is_job: bool,
    pub(super) labels: Labels,
    pub(super) ports: BTreeMap<&'a str, u64>,
}

impl Pods<'_> {
    pub(super) fn port(&self, port: &Value) -> Option<u64> {
        match port {
            Value::String(name) => self.ports.get(name.as_str()).copied(),
            number => number
                .as_u64()
                .filter(|number| self.ports.values().any(|known| known == number)),
        }
    }
}

/// A server as a setting names it: a Service of this namespace, and what it leads to.
pub(super) struct Address<'a> {
    pub(super) host: &'a str,
    pub(super) port: u64,
}

pub(super) fn pods(set: &Set) -> Vec<Pods<'_>> {
    let mut pods: Vec<Pods<'_>> = set
        .workloads()
        .into_iter()
        .map(|workload| Pods {
            name: workload.name,
            is_job: workload.kind == "Job",
            ports: workload.ports(),
            labels: workload.labels,
        })
        .collect();
    pods.extend(set.of_kind("Cluster").map(|cluster| {
        let name = text(&cluster["metadata"]["name"]);
        let mut labels = labels(&cluster["spec"]["inheritedMetadata"]["labels"]);
        labels.insert("cnpg.io/cluster".to_owned(), name.to_owned());
        Pods {
            name,
            is_job: false,
            labels,
            // Those of CloudNativePG's instances.
            ports: BTreeMap::from([("postgres", 5432), ("status", 8000)]),
        }
    }));
    pods
}

pub(super) fn findings(set: &Set) -> Vec<String> {
    let mut findings = services(set);
    for workload in set.workloads() {
        let title = workload.title();
        let mut found = probes(&workload);
        found.extend(listeners(set, &workload));
        found.extend(addresses(set, &workload));
        findings.extend(found.into_iter().map(|finding| format!("{title}: {finding}")));
    }
    for monitor in set.of_kind("PodMonitor") {
        findings.extend(scraped(set, monitor));
    }
    findings
}

fn services(set: &Set) -> Vec<String> {
    let (pods, mut findings) = (pods(set), Vec::new());
    for service in set.of_kind("Service") {
        let name = text(&service["metadata"]["name"]);
        let wanted = serde_json::json!({"matchLabels": service["spec"]["selector"]});
        let behind: Vec<&Pods<'_>> = pods
            .iter()
            .filter(|pods| selects(&wanted, &pods.labels))
            .collect();
        if behind.len() != 1 {
            findings.push(format!(
                "Service {name}: leads to {} kinds of pods, not one",
                behind.len()
            ));
        }
        for port in list(&service["spec"]["ports"]) {
            let target = &port["targetPort"];
            for pods in behind.iter().filter(|pods| pods.port(target).is_none()) {
                findings.push(format!("Service {name}: {} has no port {target}", pods.name));
            }
        }
    }
    findings
}

fn probes(workload: &Workload<'_>) -> Vec<String> {
    let mut findings = Vec::new();
    for container in workload.containers() {
        for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
            for way in ["httpGet", "tcpSocket"] {
                let port = &container[probe][way]["port"];
                if !port.is_null() && workload.port(port).is_none() {
                    findings.push(format!("{probe} asks at port {port}, which nobody listens on"));
                }
            }
        }
    }
    findings
}

fn listeners(set: &Set, workload: &Workload<'_>) -> Vec<String> {
    let (ports, mut findings) = (workload.ports(), Vec::new());
    for variable in settings::of(set, workload) {
        let Some((_, port)) = LISTENERS.iter().find(|(setting, _)| *setting == variable.name) else {
            continue;
        };
        let listens = variable
            .value
            .strip_prefix("0.0.0.0:")
            .and_then(|port| port.parse().ok());
        if listens != ports.get(port).copied() {
            findings.push(format!(
                "{} is {}, and its port {port} is {:?}",
                variable.name,
                variable.value,
                ports.get(port)
            ));
        }
    }
    let has = |port: &str| {
        let setting = LISTENERS
            .iter()
            .find(|(_, name)| *name == port)
            .map(|(setting, _)| *setting);
        settings::of(set, workload)
            .iter()
            .any(|variable| Some(variable.name.as_str()) == setting)
    };
    if workload.program().is_some() {
        let silent = ports.keys().filter(|port| !has(port));
        findings
            .extend(silent.map(|port| format!("offers port {port}, and no setting makes it listen there")));
    }
    findings
}

/// Every `scheme://host:port` of the settings that stays in the namespace.
fn addresses(set: &Set, workload: &Workload<'_>) -> Vec<String> {
    let mut findings = Vec::new();
    for variable in settings::of(set, workload) {
        let Some(address) = address(&variable.value) else {
            continue;
        };
        if address.host.contains('.') || address.host == "localhost" {
            continue;
        }
        let ports = set
            .get("Service", address.host)
            .map(|service| list(&service["spec"]["ports"]));
        match ports {
            None => findings.push(format!(
                "{} names {}, and there is no such Service",
                variable.name, address.host
            )),
            Some(ports) if !ports.iter().any(|port| port["port"] == address.port) => findings.push(format!(
                "{} names port {} of {}, which its Service does not have",
                variable.name, address.port, address.host
            )),
            Some(_) => {}
        }
    }
    findings
}

/// Host and port of a URL that names both.
pub(super) fn address(url: &str) -> Option<Address<'_>> {
    let (_, rest) = url.split_once("://")?;
    let (host, port) = rest.split('/').next()?.rsplit_once(':')?;
    Some(Address {
        host,
        port: port.parse().ok()?,
    })
}

fn scraped(set: &Set, monitor: &Value) -> Vec<String> {
    let pods = pods(set);
    let watched: Vec<&Pods<'_>> = pods
        .iter()
        .filter(|pods| selects(&monitor["spec"]["selector"], &pods.labels))
        .collect();
    let mut findings = Vec::new();
    for endpoint in list(&monitor["spec"]["podMetricsEndpoints"]) {
        let deaf = watched
            .iter()
            .filter(|pods| pods.port(&endpoint["port"]).is_none());
        findings
            .extend(deaf.map(|pods| format!("PodMonitor: {} has no port {}", pods.name, endpoint["port"])));
    }
    if watched.is_empty() {
        findings.push("PodMonitor: watches nobody".to_owned());
    }
    findings
}
