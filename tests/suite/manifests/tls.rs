//! TLS between services: where certificates are issued, each service shows its own and calls nobody in the clear.

use std::collections::BTreeMap;

use serde_json::Value;

use super::set::{Set, Workload, list, text};
use super::settings;

/// A setting, and the key of a certificate's Secret whose file it has to name.
const FILES: [(&str, &str); 3] = [
    ("SHEQUN_TLS_CERT", "tls.crt"),
    ("SHEQUN_TLS_KEY", "tls.key"),
    ("SHEQUN_TLS_CA", "ca.crt"),
];

pub(super) fn findings(set: &Set) -> Vec<String> {
    let is_service = |certificate: &&Value| certificate["spec"]["isCA"] != true;
    // By the Secret each is written to.
    let certificates: BTreeMap<&str, &Value> = set
        .of_kind("Certificate")
        .filter(is_service)
        .map(|certificate| (text(&certificate["spec"]["secretName"]), &certificate["spec"]))
        .collect();
    let mut findings = Vec::new();
    for workload in set.workloads() {
        if workload.kind != "Deployment" || workload.program().is_none() {
            continue;
        }
        let variables: BTreeMap<String, String> = settings::of(set, &workload)
            .into_iter()
            .map(|variable| (variable.name, variable.value))
            .collect();
        let mut found = addresses(&variables, !certificates.is_empty());
        if !certificates.is_empty() {
            found.extend(files(&workload, &variables, &certificates));
        }
        findings.extend(
            found
                .into_iter()
                .map(|finding| format!("{}: {finding}", workload.title())),
        );
    }
    findings
}

/// Plain without certificates, secured with them.
fn addresses(variables: &BTreeMap<String, String>, is_secured: bool) -> Vec<String> {
    let scheme = if is_secured { "https://" } else { "http://" };
    let is_peer = |name: &str| name.ends_with("_GRPC") || name == "SHEQUN_IDENTITY_URL";
    variables
        .iter()
        .filter(|(name, value)| is_peer(name) && !value.starts_with(scheme))
        .map(|(name, value)| format!("{name} is {value}, and has to begin with {scheme}"))
        .collect()
}

fn files(
    workload: &Workload<'_>,
    variables: &BTreeMap<String, String>,
    certificates: &BTreeMap<&str, &Value>,
) -> Vec<String> {
    let mut findings = Vec::new();
    for (variable, key) in FILES {
        let Some(path) = variables.get(variable) else {
            findings.push(format!("has no {variable}"));
            continue;
        };
        let mounted = path
            .strip_suffix(key)
            .and_then(|folder| mounted(workload, folder.trim_end_matches('/')));
        let Some(certificate) = mounted.and_then(|secret| certificates.get(secret)) else {
            findings.push(format!(
                "{variable} is {path}, where no certificate's {key} is mounted"
            ));
            continue;
        };
        findings.extend(fits(workload, certificate, variables.get("SHEQUN_NATS_USER")));
    }
    findings.dedup();
    findings
}

/// The Secret whose files are in a folder.
fn mounted<'a>(workload: &Workload<'a>, folder: &str) -> Option<&'a str> {
    let mut mounts = workload
        .containers()
        .flat_map(|container| list(&container["volumeMounts"]));
    let mount = mounts.find(|mount| text(&mount["mountPath"]) == folder)?;
    let volumes = list(&workload.pod["volumes"]);
    let volume = volumes.iter().find(|volume| volume["name"] == mount["name"])?;
    volume["secret"]["secretName"].as_str()
}

/// Whether a certificate names the service as its tokens do, and is good for what the service does with it.
fn fits(workload: &Workload<'_>, certificate: &Value, service: Option<&String>) -> Vec<String> {
    let mut findings = Vec::new();
    let names: Vec<&str> = list(&certificate["dnsNames"]).iter().map(text).collect();
    if service.map(String::as_str) != names.first().copied() || names.len() != 1 {
        findings.push(format!(
            "shows a certificate of {names:?}, and its tokens name {service:?}"
        ));
    }
    let serves = workload.ports().contains_key("grpc");
    for (usage, is_needed) in [("client auth", true), ("server auth", serves)] {
        let is_there = list(&certificate["usages"]).iter().any(|known| known == usage);
        if is_needed != is_there {
            findings.push(format!(
                "its certificate's {usage:?} is there or not, against need"
            ));
        }
    }
    findings
}
