//! Who may talk to whom: refused unless named, named at both ends, and the same as in deploy/dev/edges.toml.

use std::collections::BTreeSet;

use serde_json::Value;
use testkit::repository;

use super::ports::{self, Pods};
use super::set::{Labels, Set, Workload, list, selects, text};
use super::settings;

const POSTGRES_PORT: u64 = 5432;

/// From, to, port.
type Edge<'a> = (&'a str, &'a str, u64);

/// What the policies of a set name.
#[derive(Default)]
struct Edges<'a> {
    out: BTreeSet<Edge<'a>>,
    back: BTreeSet<Edge<'a>>,
    findings: Vec<String>,
}

pub(super) fn findings(set: &Set) -> Vec<String> {
    let pods = ports::pods(set);
    let mut findings = refused_unless_named(set, &pods);
    let edges = edges(set, &pods);
    findings.extend(edges.findings.iter().cloned());
    for (from, to, port) in edges.out.difference(&edges.back) {
        findings.push(format!(
            "NetworkPolicy: {from} goes to {to} at {port}, which {to} does not let in"
        ));
    }
    let is_job = |name: &str| pods.iter().any(|pods| pods.name == name && pods.is_job);
    for (from, to, port) in edges
        .back
        .difference(&edges.out)
        .filter(|(from, _, _)| !is_job(from))
    {
        findings.push(format!(
            "NetworkPolicy: {to} lets {from} in at {port}, who does not come"
        ));
    }
    findings.extend(calls(set, &edges, &pods));
    for workload in set.workloads() {
        findings.extend(needed(set, &workload, &edges, &pods));
    }
    findings
}

fn refused_unless_named(set: &Set, pods: &[Pods<'_>]) -> Vec<String> {
    let mut findings = Vec::new();
    let is_for_all = |policy: &Value| policy["spec"]["podSelector"] == serde_json::json!({});
    let denies = |policy: &Value| {
        let rules = ["ingress", "egress"].map(|way| list(&policy["spec"][way]).len());
        is_for_all(policy) && rules == [0, 0] && is_both_ways(policy)
    };
    if !set.of_kind("NetworkPolicy").any(denies) {
        findings.push("NetworkPolicy: nothing is refused by default".to_owned());
    }
    for policy in set
        .of_kind("NetworkPolicy")
        .filter(|policy| !is_both_ways(policy))
    {
        findings.push(format!(
            "NetworkPolicy {}: leaves one way open",
            text(&policy["metadata"]["name"])
        ));
    }
    for pods in pods {
        let is_own =
            |policy: &&Value| !is_for_all(policy) && selects(&policy["spec"]["podSelector"], &pods.labels);
        if !set.of_kind("NetworkPolicy").any(|policy| is_own(&policy)) {
            findings.push(format!("NetworkPolicy: {} has none of its own", pods.name));
        }
    }
    findings
}

fn is_both_ways(policy: &Value) -> bool {
    let ways = list(&policy["spec"]["policyTypes"]);
    ["Ingress", "Egress"]
        .iter()
        .all(|way| ways.iter().any(|known| known == way))
}

/// Every edge between pods of the set, as the one who goes and as the one who lets in sees it.
fn edges<'a>(set: &'a Set, pods: &'a [Pods<'a>]) -> Edges<'a> {
    let mut edges = Edges::default();
    for policy in set.of_kind("NetworkPolicy") {
        let name = text(&policy["metadata"]["name"]);
        let here: Vec<&Pods<'_>> = chosen(pods, &policy["spec"]["podSelector"]);
        for rule in list(&policy["spec"]["egress"]) {
            for there in peers(pods, &rule["to"]) {
                for port in numbers(name, rule, there, &mut edges.findings) {
                    edges
                        .out
                        .extend(here.iter().map(|from| (from.name, there.name, port)));
                }
            }
        }
        for rule in list(&policy["spec"]["ingress"]) {
            for to in &here {
                for port in numbers(name, rule, to, &mut edges.findings) {
                    edges
                        .back
                        .extend(peers(pods, &rule["from"]).map(|from| (from.name, to.name, port)));
                }
            }
        }
    }
    edges
}

fn chosen<'a>(pods: &'a [Pods<'a>], selector: &Value) -> Vec<&'a Pods<'a>> {
    pods.iter()
        .filter(|pods| selects(selector, &pods.labels))
        .collect()
}

/// The pods of this namespace that a rule's peers pick.
fn peers<'a>(pods: &'a [Pods<'a>], peers: &'a Value) -> impl Iterator<Item = &'a Pods<'a>> {
    list(peers)
        .iter()
        .filter(|peer| peer["namespaceSelector"].is_null() && !peer["podSelector"].is_null())
        .flat_map(|peer| chosen(pods, &peer["podSelector"]))
}

/// A rule's ports as numbers of these pods.
fn numbers(policy: &str, rule: &Value, pods: &Pods<'_>, findings: &mut Vec<String>) -> Vec<u64> {
    let mut numbers = Vec::new();
    for port in list(&rule["ports"]) {
        match pods.port(&port["port"]) {
            Some(number) => numbers.push(number),
            None => findings.push(format!(
                "NetworkPolicy {policy}: names port {} of {}, who has no such port",
                port["port"], pods.name
            )),
        }
    }
    numbers
}

/// gRPC calls are those of the one table of edges; with TLS, identity's listener also gives out the keys of logins.
fn calls(set: &Set, edges: &Edges<'_>, pods: &[Pods<'_>]) -> Vec<String> {
    let path = repository().join("deploy/dev/edges.toml");
    let table: toml::Table = super::read(&path).parse().expect("edges.toml is well-formed");
    let services = table["service"].as_table().expect("it has services");
    let binary = |service: &toml::Value| {
        service["binary"]
            .as_str()
            .expect("a service has a binary")
            .to_owned()
    };
    let mut wanted = BTreeSet::new();
    for service in services.values() {
        for (key, workload) in [
            ("calls", binary(service)),
            ("worker_calls", format!("{}-worker", binary(service))),
        ] {
            let peers = service.get(key).and_then(toml::Value::as_array);
            for peer in peers.into_iter().flatten() {
                let peer = peer.as_str().expect("a peer is a name");
                wanted.insert((workload.clone(), binary(&services[peer])));
            }
        }
    }
    for workload in set
        .workloads()
        .iter()
        .filter(|workload| workload.name != "identity")
    {
        let is_secured = |variable: &settings::Variable| {
            variable.name == "SHEQUN_IDENTITY_URL" && variable.value.starts_with("https://")
        };
        if settings::of(set, workload).iter().any(is_secured) {
            wanted.insert((workload.name.to_owned(), "identity".to_owned()));
        }
    }
    let is_grpc = |to: &str, port: u64| {
        pods.iter()
            .any(|pods| pods.name == to && pods.ports.get("grpc") == Some(&port))
    };
    let named: BTreeSet<(String, String)> = edges
        .out
        .iter()
        .filter(|(_, to, port)| is_grpc(to, *port))
        .map(|(from, to, _)| ((*from).to_owned(), (*to).to_owned()))
        .collect();
    let differ = named.symmetric_difference(&wanted);
    differ
        .map(|(from, to)| {
            format!("NetworkPolicy: {from} calls {to} in edges.toml or in the policies, not in both")
        })
        .collect()
}

/// Each server that a setting names can be reached.
fn needed(set: &Set, workload: &Workload<'_>, edges: &Edges<'_>, pods: &[Pods<'_>]) -> Vec<String> {
    let (name, mut findings) = (workload.name, Vec::new());
    let goes = |to: &str, port: u64| edges.out.contains(&(name, to, port));
    for variable in settings::of(set, workload) {
        let needs_postgres = variable.name == "PGHOST" || variable.name.ends_with("DATABASE_URL");
        if needs_postgres {
            let is_postgres = |pods: &&Pods<'_>| {
                pods.labels
                    .get("shequn.dev/server")
                    .is_some_and(|server| server == "postgres")
            };
            if !pods
                .iter()
                .filter(is_postgres)
                .any(|pods| goes(pods.name, POSTGRES_PORT))
            {
                findings.push(format!("NetworkPolicy: {name} cannot reach Postgres"));
            }
            findings.extend(
                outside(set, &workload.labels, "kube-system", 53)
                    .map(|why| format!("NetworkPolicy: {name} {why}")),
            );
        }
        let Some(address) = ports::address(&variable.value) else {
            continue;
        };
        if let Some((_, namespace)) = address.host.split_once('.') {
            let unreachable = outside(set, &workload.labels, namespace, address.port);
            findings.extend(
                unreachable.map(|why| format!("NetworkPolicy: {name} {why}, which {} names", variable.name)),
            );
        } else if let Some(service) = set.get("Service", address.host) {
            let selector = serde_json::json!({"matchLabels": service["spec"]["selector"]});
            let lost = chosen(pods, &selector)
                .into_iter()
                .filter(|pods| pods.name != name);
            let lost = lost.filter(|pods| !goes(pods.name, address.port));
            findings.extend(lost.map(|pods| {
                format!(
                    "NetworkPolicy: {name} cannot reach {}, which {} names",
                    pods.name, variable.name
                )
            }));
        }
    }
    findings
}

/// Why a port of another namespace can't be reached, if it can't.
fn outside(set: &Set, labels: &Labels, namespace: &str, port: u64) -> impl Iterator<Item = String> {
    let leads_there = |rule: &Value| {
        let is_there = |peer: &Value| {
            peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] == namespace
        };
        list(&rule["to"]).iter().any(is_there)
            && list(&rule["ports"]).iter().any(|known| known["port"] == port)
    };
    let reachable = set
        .of_kind("NetworkPolicy")
        .filter(|policy| selects(&policy["spec"]["podSelector"], labels))
        .any(|policy| list(&policy["spec"]["egress"]).iter().any(leads_there));
    (!reachable)
        .then(|| format!("cannot reach port {port} in {namespace}"))
        .into_iter()
}
