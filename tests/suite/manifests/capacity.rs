//! Whether Postgres has a connection for everybody, when every autoscaler is at its end, and NATS a copy of each stream
//! on every server.

use super::set::{Set, list, text};
use super::settings;

/// Beside the pool: the readiness check's own (libs/outbox, link.rs).
const CHECK_CONNECTIONS: u64 = 1;
/// Migrations, provisioning, an operator with psql, CloudNativePG's own.
const RESERVED: u64 = 15;

pub(super) fn findings(set: &Set) -> Vec<String> {
    let (mut needed, mut findings) = (RESERVED, copies(set));
    for workload in set.workloads() {
        if workload.program().is_none() || workload.kind != "Deployment" {
            continue;
        }
        let variables = settings::of(set, &workload);
        let pool = variables
            .iter()
            .find(|variable| variable.name == "SHEQUN_POOL_CONNECTIONS_MAX");
        let Some(pool) = pool.and_then(|variable| variable.value.parse::<u64>().ok()) else {
            findings.push(format!(
                "{}: does not say SHEQUN_POOL_CONNECTIONS_MAX",
                workload.title()
            ));
            continue;
        };
        let surge = workload.document["spec"]["strategy"]["rollingUpdate"]["maxSurge"]
            .as_u64()
            .unwrap_or(1);
        needed += (replicas_max(set, workload.name) + surge) * (pool + CHECK_CONNECTIONS);
    }
    match connections_max(set) {
        Some(there) if there >= needed => {}
        there => findings.push(format!(
            "Postgres: {needed} connections may be wanted, and max_connections is {there:?}"
        )),
    }
    findings
}

/// Each service has its streams on as many servers as there are.
fn copies(set: &Set) -> Vec<String> {
    let servers = set
        .get("StatefulSet", "nats")
        .and_then(|nats| nats["spec"]["replicas"].as_u64());
    let servers = servers.unwrap_or(1);
    let mut findings = Vec::new();
    for workload in set.workloads() {
        if workload.program().is_none() || workload.kind != "Deployment" {
            continue;
        }
        let variables = settings::of(set, &workload);
        let said = variables
            .iter()
            .find(|variable| variable.name == "SHEQUN_STREAM_REPLICAS");
        let copies = said.map_or(Some(1), |variable| variable.value.parse().ok());
        if copies != Some(servers) {
            let (title, copies) = (workload.title(), copies.unwrap_or_default());
            findings.push(format!(
                "{title}: {copies} copies of its streams, on {servers} servers"
            ));
        }
    }
    findings
}

fn replicas_max(set: &Set, name: &str) -> u64 {
    let scaled = |kind: &str, field: &str| {
        set.of_kind(kind)
            .find(|scaler| scaler["spec"]["scaleTargetRef"]["name"] == name)
            .and_then(|scaler| scaler["spec"][field].as_u64())
    };
    let fixed = || {
        set.get("Deployment", name)
            .and_then(|deployment| deployment["spec"]["replicas"].as_u64())
    };
    scaled("HorizontalPodAutoscaler", "maxReplicas")
        .or_else(|| scaled("ScaledObject", "maxReplicaCount"))
        .or_else(fixed)
        .unwrap_or(1)
}

fn connections_max(set: &Set) -> Option<u64> {
    if let Some(cluster) = set.of_kind("Cluster").next() {
        return text(&cluster["spec"]["postgresql"]["parameters"]["max_connections"])
            .parse()
            .ok();
    }
    let server = set.get("StatefulSet", "postgres")?;
    let arguments = list(&server["spec"]["template"]["spec"]["containers"][0]["args"]);
    let said = arguments
        .iter()
        .find_map(|argument| text(argument).strip_prefix("max_connections="));
    said?.parse().ok()
}
