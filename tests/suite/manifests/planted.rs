//! The checks can fail: one mistake of each kind is planted into what production renders, and each has to be found.

mod places;

use serde_json::{Value, json};

use self::places::{
    certificate, confine, container, drop_field, listener, pod, policy, scaler, secret, selector, service,
    settings, team, uninvited, unset, variable,
};
use super::set::Set;
use super::settings::Known;
use super::{findings, schema};

/// A mistake: what it is, how it is made, and words of the finding it must lead to.
type Mistake = (&'static str, fn(&mut Set), &'static str);

const SCHEMA: &[Mistake] = &[
    (
        "a typo in a field",
        |set| container(set, "identity")["imagePullPolcy"] = json!("Always"),
        "imagePullPolcy",
    ),
    (
        "a text for a number",
        |set| set.change("Deployment", "groups")["spec"]["minReadySeconds"] = json!("ten"),
        "minReadySeconds",
    ),
    (
        "a typo in a custom resource",
        |set| scaler(set)["maxReplicaCont"] = json!(3),
        "spec.maxReplicaCont: there is no such field",
    ),
    (
        "a number for a text there",
        |set| scaler(set)["triggers"][0]["metadata"]["threshold"] = json!(50_000),
        "is not of type 'string'",
    ),
    (
        "a field missing there",
        |set| drop_field(&mut set.change("Certificate", "groups")["spec"], "secretName"),
        "spec.secretName is required",
    ),
    (
        "an issuer of two kinds",
        |set| set.change("Issuer", "shequn")["spec"]["selfSigned"] = json!({}),
        "exactly one of",
    ),
    (
        "a kind that does not exist",
        |set| set.change("Service", "groups")["kind"] = json!("Servise"),
        "neither Kubernetes nor",
    ),
];

const RULES: &[Mistake] = &[
    // S19
    (
        "no disruption budget",
        |set| set.remove("PodDisruptionBudget", "customers"),
        "Deployment customers: has 0 PodDisruptionBudgets",
    ),
    (
        "a privileged container",
        |set| confine(set)["privileged"] = json!(true),
        "Deployment groups: is privileged",
    ),
    (
        "privileges to gain",
        |set| confine(set)["allowPrivilegeEscalation"] = json!(true),
        "may gain privileges",
    ),
    (
        "a root to write to",
        |set| drop_field(confine(set), "readOnlyRootFilesystem"),
        "may write to its root",
    ),
    (
        "capabilities kept",
        |set| confine(set)["capabilities"] = json!({}),
        "keeps capabilities",
    ),
    (
        "root",
        |set| pod(set, "groups")["securityContext"]["runAsUser"] = json!(0),
        "runs as no user of its own",
    ),
    (
        "no seccomp",
        |set| drop_field(&mut pod(set, "groups")["securityContext"], "seccompProfile"),
        "no seccomp profile",
    ),
    (
        "no limit",
        |set| drop_field(&mut container(set, "groups")["resources"], "limits"),
        "has no limit on memory",
    ),
    (
        "a token mounted",
        |set| drop_field(pod(set, "groups"), "automountServiceAccountToken"),
        "mounts a token",
    ),
    (
        "the node's network",
        |set| pod(set, "groups")["hostNetwork"] = json!(true),
        "shares the node's hostNetwork",
    ),
    (
        "a probe forgotten",
        |set| drop_field(container(set, "groups"), "readinessProbe"),
        "has no readinessProbe",
    ),
    (
        "too little time to end",
        |set| pod(set, "groups")["terminationGracePeriodSeconds"] = json!(30),
        "is killed after 30 s",
    ),
    (
        "latest",
        |set| container(set, "groups")["image"] = json!("shequn/groups:latest"),
        "no tag, or `latest`",
    ),
    (
        "no tag",
        |set| container(set, "groups")["image"] = json!("shequn/groups"),
        "no tag, or `latest`",
    ),
    (
        "a selector that picks nobody",
        |set| selector(set)["app.kubernetes.io/name"] = json!("group"),
        "does not pick its own pods",
    ),
    // Settings and secrets
    (
        "an unknown variable",
        |set| variable(set, "SHEQUN_JOINS_MAX", "8"),
        "groups knows no SHEQUN_JOINS_MAX",
    ),
    (
        "one of another mode",
        |set| variable(set, "SHEQUN_REFERRAL_MATURITY_POLL_SECS", "1"),
        "groups knows no SHEQUN_REFERRAL",
    ),
    (
        "an unknown one in a ConfigMap",
        |set| settings(set)["SHEQUN_JOIN_MAX"] = json!("8"),
        "groups knows no SHEQUN_JOIN_MAX",
    ),
    (
        "a variable set twice",
        |set| variable(set, "SHEQUN_DRAIN_SECS", "1"),
        "SHEQUN_DRAIN_SECS is set twice",
    ),
    (
        "an unknown secret",
        |set| secret(set)["name"] = json!("groups-run"),
        "nobody makes groups-run",
    ),
    (
        "an unknown key of one",
        |set| secret(set)["key"] = json!("url"),
        "groups-runtime has no key url",
    ),
    (
        "a secret's value",
        |set| {
            set.documents
                .push(json!({"kind": "Secret", "metadata": {"name": "x"}}))
        },
        "has no place here",
    ),
    // Ports
    (
        "another target port",
        |set| service(set)["targetPort"] = json!(8081),
        "Service customers: customers has no port 8081",
    ),
    (
        "another port of a Service",
        |set| service(set)["port"] = json!(80),
        "names port 9090 of customers",
    ),
    (
        "another container port",
        |set| container(set, "groups")["ports"][0]["containerPort"] = json!(9999),
        "Deployment groups: SHEQUN_",
    ),
    (
        "a probe beside the listener",
        |set| container(set, "groups")["livenessProbe"]["httpGet"]["port"] = json!(80),
        "livenessProbe asks at port 80",
    ),
    (
        "another listener",
        |set| listener(set),
        "SHEQUN_GRPC_LISTEN is 0.0.0.0:9191",
    ),
    (
        "a policy's other port",
        |set| policy(set)["ingress"][0]["ports"][0]["port"] = json!("rpc"),
        "names port \"rpc\" of customers",
    ),
    // Edges
    (
        "nothing refused",
        |set| set.remove("NetworkPolicy", "default-deny"),
        "nothing is refused by default",
    ),
    (
        "a workload without a policy",
        |set| set.remove("NetworkPolicy", "groups"),
        "groups has none of its own",
    ),
    (
        "one way open",
        |set| policy(set)["policyTypes"] = json!(["Ingress"]),
        "NetworkPolicy customers: leaves one way open",
    ),
    (
        "an edge with one end",
        |set| policy(set)["ingress"] = json!([]),
        "groups goes to customers at 9090",
    ),
    (
        "a call nobody knows of",
        |set| uninvited(set),
        "referral-commission calls customers in edges.toml or",
    ),
    (
        "a server out of reach",
        |set| set.change("NetworkPolicy", "nats")["spec"]["podSelector"] = json!({"matchLabels": {"a": "b"}}),
        "NetworkPolicy: nats has none",
    ),
    // TLS
    (
        "a call in the clear",
        |set| settings(set)["SHEQUN_CUSTOMERS_GRPC"] = json!("http://customers:9090"),
        "SHEQUN_CUSTOMERS_GRPC is http://customers:9090, and has to",
    ),
    (
        "another's certificate",
        |set| certificate(set)["dnsNames"] = json!(["customers"]),
        "shows a certificate of [\"customers\"]",
    ),
    (
        "a certificate for clients",
        |set| certificate(set)["usages"] = json!(["client auth"]),
        "its certificate's \"server auth\" is there or not",
    ),
    (
        "a certificate that is not mounted",
        |set| certificate(set)["secretName"] = json!("elsewhere"),
        "where no certificate's tls.crt is mounted",
    ),
    (
        "a certificate without its key's setting",
        |set| unset(set, "SHEQUN_TLS_KEY"),
        "has no SHEQUN_TLS_KEY",
    ),
    // Owners
    (
        "another team",
        |set| team(set),
        "CODEOWNERS gives deploy/base/groups/ to \"groups\"",
    ),
    (
        "a label forgotten",
        |set| {
            drop_field(
                &mut set.change("Service", "groups")["metadata"]["labels"],
                "app.kubernetes.io/part-of",
            )
        },
        "Service groups: has no label",
    ),
    (
        "another version",
        |set| container(set, "groups")["image"] = json!("shequn/groups:9"),
        "its label says another version",
    ),
    // Capacity
    (
        "streams on one server of three",
        |set| unset(set, "SHEQUN_STREAM_REPLICAS"),
        "Deployment groups: 1 copies of its streams, on 3 servers",
    ),
    (
        "more replicas than connections",
        |set| set.change("HorizontalPodAutoscaler", "groups")["spec"]["maxReplicas"] = json!(60),
        "connections may be wanted",
    ),
];

#[test]
fn every_planted_mistake_is_found() {
    let (sound, found) = Set::render("production");
    assert!(found.is_empty(), "{found:#?}");
    let mut known = Known::ask();
    let mut missed = Vec::new();
    for (what, plant, words) in RULES {
        let mut set = sound.clone();
        plant(&mut set);
        let found = findings(&set, &mut known);
        if !found.iter().any(|finding| finding.contains(words)) {
            missed.push(format!("{what}: nothing says {words:?}, but {found:#?}"));
        }
    }
    for (what, plant, words) in SCHEMA {
        let mut set = sound.clone();
        plant(&mut set);
        let changed = |document: &&Value| !sound.documents.contains(document);
        let changed: Vec<Value> = set.documents.iter().filter(changed).cloned().collect();
        let found = schema::findings(&changed);
        if !found.iter().any(|finding| finding.contains(words)) {
            missed.push(format!("{what}: nothing says {words:?}, but {found:#?}"));
        }
    }
    println!("{} mistakes were planted", RULES.len() + SCHEMA.len());
    assert!(missed.is_empty(), "{missed:#?}");
}
