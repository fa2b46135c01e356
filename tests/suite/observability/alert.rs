//! Alerts: each has its thresholds right, a page that says what to do, and series that fire it and that do not.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{folder, listed, read, succeed};
use crate::manifests::validate;

const SEVERITIES: [&str; 2] = ["critical", "warning"];

pub(super) struct Alert {
    pub(super) name: String,
    pub(super) expression: String,
    severity: String,
    annotations: Value,
}

/// The rules as the operator gets them, which are the rule files themselves below a head.
pub(super) fn alerts() -> Vec<Alert> {
    let script = folder().join("rules.py");
    let answer = validate(&succeed(&script.to_string_lossy(), &[]));
    assert!(answer.findings.is_empty(), "{:#?}", answer.findings);
    let rules = answer.documents.iter().flat_map(|document| {
        let groups = document["spec"]["groups"].as_array().cloned().unwrap_or_default();
        groups
            .into_iter()
            .flat_map(|group| group["rules"].as_array().cloned().unwrap_or_default())
    });
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let alerts: Vec<Alert> = rules
        .map(|rule| Alert {
            name: text(&rule["alert"]),
            expression: text(&rule["expr"]),
            severity: text(&rule["labels"]["severity"]),
            annotations: rule["annotations"].clone(),
        })
        .collect();
    let names: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    assert!(!alerts.is_empty() && names.len() == alerts.len(), "{names:?}");
    alerts
}

#[test]
fn every_alert_has_its_page_and_every_page_its_alert() {
    let alerts = alerts();
    let mut wrong = Vec::new();
    for Alert {
        name,
        severity,
        annotations,
        ..
    } in &alerts
    {
        if !SEVERITIES.contains(&severity.as_str()) {
            wrong.push(format!("{name}: severity {severity:?}"));
        }
        let page = format!("deploy/observability/RUNBOOK.md#{}", name.to_lowercase());
        if annotations["runbook"] != page {
            wrong.push(format!("{name}: runbook {}, not {page}", annotations["runbook"]));
        }
        let told = ["summary", "description"].map(|key| annotations[key].as_str().unwrap_or_default());
        if told.iter().any(|text| text.is_empty()) {
            wrong.push(format!("{name}: needs a summary and a description"));
        }
    }
    let known: BTreeSet<&str> = alerts.iter().map(|alert| alert.name.as_str()).collect();
    let runbook = read("RUNBOOK.md");
    let mut pages = BTreeSet::new();
    for page in runbook.split("\n## ").skip(1) {
        let (heading, text) = page.split_once('\n').unwrap_or((page, ""));
        pages.insert(heading);
        wrong.extend(["Look", "Do"].iter().filter_map(|word| {
            // `Look and do: as …` is both.
            let is_said = text.contains(&format!("{word}:")) || text.contains("Look and do:");
            (!is_said).then(|| format!("{heading}: the page has no `{word}:`"))
        }));
    }
    wrong.extend(known.difference(&pages).map(|name| format!("{name} has no page")));
    wrong.extend(
        pages
            .difference(&known)
            .map(|name| format!("no alert is called {name}")),
    );
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn promtool_accepts_the_rules_and_recorded_series_fire_each_and_leave_it_silent() {
    let rules = listed("alerts", ".yaml");
    let tests = listed("tests", ".yaml");
    let with = |verb: &str, files: &[String]| {
        let words: Vec<&str> = verb.split(' ').chain(files.iter().map(String::as_str)).collect();
        succeed("promtool", &words)
    };
    with("check rules", &rules);
    with("test rules", &tests);

    let lines: String = tests.iter().map(|path| read(path)).collect();
    let says = |name: &str, namespace: &str, samples: &str| {
        lines.lines().any(|line| {
            line.contains(&format!(
                "ALERTS{{alertname=\"{name}\",namespace=\"{namespace}\",alertstate=\"firing\"}}"
            )) && line.contains(samples)
        })
    };
    let mut missing = Vec::new();
    for Alert { name, .. } in alerts() {
        if !says(&name, "bad", "exp_samples: [{labels: '{}', value: 1}]") {
            missing.push(format!("{name}: no series fire it"));
        }
        if !says(&name, "good", "exp_samples: []") {
            missing.push(format!("{name}: no series leave it silent"));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
