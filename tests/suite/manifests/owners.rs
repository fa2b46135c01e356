//! Who is asked: recommended labels on everything, a team on everything, the same team in CODEOWNERS.

use serde_json::Value;
use testkit::repository;

use super::read;
use super::set::{Set, text};

const LABELS: [&str; 6] = [
    "app.kubernetes.io/name",
    "app.kubernetes.io/instance",
    "app.kubernetes.io/component",
    "app.kubernetes.io/part-of",
    "app.kubernetes.io/managed-by",
    "shequn.dev/team",
];

pub(super) fn findings(set: &Set) -> Vec<String> {
    let owners = Owners::read();
    let mut findings = Vec::new();
    for document in &set.documents {
        let title = format!(
            "{} {}",
            text(&document["kind"]),
            text(&document["metadata"]["name"])
        );
        let mut places = vec![&document["metadata"]["labels"]];
        let pods = &document["spec"]["template"]["metadata"]["labels"];
        if !pods.is_null() {
            places.push(pods);
        }
        for labels in places {
            let missing = LABELS.iter().filter(|label| text(&labels[**label]).is_empty());
            findings.extend(missing.map(|label| format!("{title}: has no label {label}")));
            findings.extend(owners.differ(labels).map(|finding| format!("{title}: {finding}")));
        }
    }
    for workload in set
        .workloads()
        .iter()
        .filter(|workload| workload.program().is_some())
    {
        let labels = &workload.document["metadata"]["labels"];
        let image = text(&workload.pod["containers"][0]["image"]);
        let tag = image.rsplit_once(':').map(|(_, tag)| tag);
        if Some(text(&labels["app.kubernetes.io/version"])) != tag {
            findings.push(format!(
                "{}: runs {image}, and its label says another version",
                workload.title()
            ));
        }
    }
    findings
}

/// The lines of CODEOWNERS: folder and team, the last that fits counts.
struct Owners(Vec<(String, String)>);

impl Owners {
    fn read() -> Self {
        let lines = read(&repository().join(".github/CODEOWNERS"));
        let pairs = lines.lines().filter(|line| !line.starts_with('#'));
        Self(
            pairs
                .filter_map(|line| {
                    let mut words = line.split_whitespace();
                    let folder = words.next()?.trim_start_matches(['*', '/']);
                    Some((
                        folder.to_owned(),
                        words.next()?.trim_start_matches("@shequn/").to_owned(),
                    ))
                })
                .collect(),
        )
    }

    fn of(&self, path: &str) -> &str {
        let last = self
            .0
            .iter()
            .rev()
            .find(|(folder, _)| path.starts_with(folder.as_str()));
        last.map_or("nobody", |(_, team)| team)
    }

    /// What is named after a folder belongs to the folder's team, anything else to the platform's.
    fn differ(&self, labels: &Value) -> impl Iterator<Item = String> {
        let (name, team) = (
            text(&labels["app.kubernetes.io/name"]),
            text(&labels["shequn.dev/team"]),
        );
        let owner = self.of(&format!("deploy/base/{name}/")).to_owned();
        (owner != team)
            .then(|| format!("its team is {team:?}, and CODEOWNERS gives deploy/base/{name}/ to {owner:?}"))
            .into_iter()
    }
}
