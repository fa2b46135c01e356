//! What the documents say is there is there.

use std::path::Path;

use super::{files, local, read};
use testkit::repository;

const VERBS_MAX: usize = 15;
const SERVICE_README_LINES_MAX: usize = 120;

/// The verbs of the Makefile that `make` lists.
fn verbs() -> Vec<String> {
    read(&repository().join("Makefile"))
        .lines()
        .filter(|line| line.contains("## ") && !line.starts_with(['#', '\t']))
        .filter_map(|line| line.split_once(':').map(|(verb, _)| verb.to_owned()))
        .collect()
}

#[test]
fn every_make_verb_in_the_documents_exists() {
    let verbs = verbs();
    assert!(!verbs.is_empty() && verbs.len() <= VERBS_MAX, "{verbs:?}");
    let mut unknown = Vec::new();
    for path in files(&["md"]) {
        let text = read(&path);
        for (at, _) in text.match_indices("`make ") {
            let verb: String = text[at + 6..]
                .chars()
                .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                .collect();
            if !verb.is_empty() && !verbs.contains(&verb) {
                unknown.push(format!("{}: make {verb}", local(&path)));
            }
        }
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut broken = Vec::new();
    for path in files(&["md"]) {
        let text = read(&path);
        let folder = path.parent().unwrap_or(Path::new("."));
        for (at, _) in text.match_indices("](") {
            let link = text[at + 2..].split([')', '#']).next().unwrap_or_default();
            if !link.is_empty() && !link.contains("://") && !folder.join(link).exists() {
                broken.push(format!("{}: {link}", local(&path)));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
}

#[test]
fn every_service_has_a_readme_of_two_screens() {
    for entry in std::fs::read_dir(repository().join("services")).unwrap() {
        let path = entry.unwrap().path().join("README.md");
        let lines = read(&path).lines().count();
        assert!(
            lines <= SERVICE_README_LINES_MAX,
            "{}: {lines} lines",
            local(&path)
        );
    }
}

#[test]
fn every_service_has_its_owners() {
    let owners = read(&repository().join(".github/CODEOWNERS"));
    for entry in std::fs::read_dir(repository().join("services")).unwrap() {
        let name = entry.unwrap().file_name().to_string_lossy().into_owned();
        for folder in [format!("/services/{name}/"), format!("/deploy/base/{name}/")] {
            assert!(
                owners.lines().any(|line| line.starts_with(&folder)),
                "CODEOWNERS lacks {folder}"
            );
        }
    }
}
