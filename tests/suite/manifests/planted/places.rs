//! Where in the manifests mistakes are planted.

use serde_json::{Value, json};

use crate::manifests::set::Set;

pub(super) fn pod<'a>(set: &'a mut Set, name: &str) -> &'a mut Value {
    &mut set.change("Deployment", name)["spec"]["template"]["spec"]
}

pub(super) fn container<'a>(set: &'a mut Set, name: &str) -> &'a mut Value {
    &mut pod(set, name)["containers"][0]
}

pub(super) fn confine(set: &mut Set) -> &mut Value {
    &mut container(set, "groups")["securityContext"]
}

pub(super) fn selector(set: &mut Set) -> &mut Value {
    &mut set.change("Deployment", "groups")["spec"]["selector"]["matchLabels"]
}

pub(super) fn scaler(set: &mut Set) -> &mut Value {
    &mut set.change("ScaledObject", "broadcast-worker")["spec"]
}

/// The gRPC port of customers' Service.
pub(super) fn service(set: &mut Set) -> &mut Value {
    &mut set.change("Service", "customers")["spec"]["ports"][1]
}

pub(super) fn policy(set: &mut Set) -> &mut Value {
    &mut set.change("NetworkPolicy", "customers")["spec"]
}

pub(super) fn variable(set: &mut Set, name: &str, value: &str) {
    let variables = container(set, "groups")["env"]
        .as_array_mut()
        .expect("it is there");
    variables.push(json!({"name": name, "value": value}));
}

pub(super) fn unset(set: &mut Set, name: &str) {
    let variables = container(set, "groups")["env"]
        .as_array_mut()
        .expect("it is there");
    variables.retain(|variable| variable["name"] != name);
}

pub(super) fn certificate(set: &mut Set) -> &mut Value {
    &mut set.change("Certificate", "groups")["spec"]
}

pub(super) fn listener(set: &mut Set) {
    let variables = container(set, "groups")["env"]
        .as_array_mut()
        .expect("it is there");
    let listener = variables
        .iter_mut()
        .find(|variable| variable["name"] == "SHEQUN_GRPC_LISTEN");
    listener.expect("it is there")["value"] = json!("0.0.0.0:9191");
}

pub(super) fn settings(set: &mut Set) -> &mut Value {
    let is_settings = |document: &&mut Value| {
        document["kind"] == "ConfigMap"
            && document["metadata"]["name"]
                .as_str()
                .expect("it is there")
                .starts_with("groups-settings-")
    };
    &mut set.documents.iter_mut().find(is_settings).expect("it is there")["data"]
}

pub(super) fn secret(set: &mut Set) -> &mut Value {
    let variables = container(set, "groups")["env"]
        .as_array_mut()
        .expect("it is there");
    let url = variables
        .iter_mut()
        .find(|variable| variable["name"] == "SHEQUN_DATABASE_URL");
    &mut url.expect("it is there")["valueFrom"]["secretKeyRef"]
}

pub(super) fn team(set: &mut Set) {
    set.change("Deployment", "groups")["metadata"]["labels"]["shequn.dev/team"] = json!("customers");
}

/// An edge at both ends that the table of edges does not have.
pub(super) fn uninvited(set: &mut Set) {
    let port = json!([{"protocol": "TCP", "port": "grpc"}]);
    let peer = |name: &str| json!([{"podSelector": {"matchLabels": {"app.kubernetes.io/name": name}}}]);
    let goes = set.change("NetworkPolicy", "referral-commission")["spec"]["egress"].as_array_mut();
    goes.expect("it is there")
        .push(json!({"to": peer("customers"), "ports": port}));
    let comes = policy(set)["ingress"].as_array_mut();
    comes
        .expect("it is there")
        .push(json!({"from": peer("referral-commission"), "ports": port}));
}

pub(super) fn drop_field(value: &mut Value, field: &str) {
    let removed = value.as_object_mut().and_then(|fields| fields.remove(field));
    assert!(removed.is_some(), "there is no {field} to leave out");
}
