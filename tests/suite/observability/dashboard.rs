//! Dashboards: what Grafana needs of each, and that the files are what the script says.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{folder, listed, read, succeed};

const VARIABLES: [&str; 3] = ["datasource", "namespace", "service"];

/// A query of a panel.
pub(super) struct Query {
    pub(super) place: String,
    pub(super) expression: String,
}

fn dashboards() -> Vec<(String, Value)> {
    let parse = |path: String| {
        let dashboard = serde_json::from_str(&read(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, dashboard)
    };
    listed("dashboards", ".json").into_iter().map(parse).collect()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Every query, for all namespaces and services and over five minutes.
pub(super) fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for (path, dashboard) in dashboards() {
        for panel in list(&dashboard["panels"]) {
            for target in list(&panel["targets"]) {
                let expression = target["expr"].as_str().unwrap_or_default();
                let expression = ["$namespace", "$service"]
                    .iter()
                    .fold(expression.replace("$__rate_interval", "5m"), |text, name| {
                        text.replace(name, ".*")
                    });
                let place = format!("{path}: {}", panel["title"]);
                queries.push(Query { place, expression });
            }
        }
    }
    queries
}

#[test]
fn the_dashboards_are_what_their_script_says() {
    succeed(&folder().join("dashboards.py").to_string_lossy(), &["--check"]);
}

#[test]
fn every_dashboard_has_what_grafana_needs() {
    let (mut wrong, mut uids) = (Vec::new(), BTreeSet::new());
    for (path, dashboard) in dashboards() {
        let mut check = |is_well: bool, what: &str| {
            if !is_well {
                wrong.push(format!("{path}: {what}"));
            }
        };
        let variables: Vec<&str> = list(&dashboard["templating"]["list"])
            .iter()
            .filter_map(|variable| variable["name"].as_str())
            .collect();
        check(variables == VARIABLES, "variables");
        check(dashboard["schemaVersion"].as_u64() >= Some(39), "schemaVersion");
        check(
            dashboard["title"].as_str().is_some_and(|title| !title.is_empty()),
            "title",
        );
        let uid = dashboard["uid"].as_str().unwrap_or_default();
        check(!uid.is_empty() && uids.insert(uid.to_owned()), "a uid of its own");
        let (mut ids, mut titles) = (BTreeSet::new(), BTreeSet::new());
        for panel in list(&dashboard["panels"]) {
            let title = panel["title"].as_str().unwrap_or_default();
            check(titles.insert(title), "two panels of one title");
            check(ids.insert(panel["id"].as_u64()), title);
            check(panel["datasource"]["uid"] == "${datasource}", title);
            check(panel["fieldConfig"]["defaults"]["unit"].is_string(), title);
            check(panel["fieldConfig"]["defaults"]["thresholds"].is_object(), title);
            check(
                panel["description"].as_str().is_some_and(|text| !text.is_empty()),
                title,
            );
            check(!list(&panel["targets"]).is_empty(), title);
        }
        check(!ids.is_empty(), "panels");
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
