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
        let lost = asked(&text).filter(|verb| !verbs.iter().any(|known| known == verb));
        unknown.extend(lost.map(|verb| format!("{}: make {verb}", local(&path))));
    }
    assert!(unknown.is_empty(), "{unknown:#?}");
}

/// The verbs after every `make` in a document's code: between back quotes, and in fenced blocks up to the remark.
fn asked(text: &str) -> impl Iterator<Item = &str> {
    let mut is_fenced = false;
    let mut code = Vec::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if is_fenced {
            code.extend(line.split('#').next());
        } else {
            code.extend(line.split('`').skip(1).step_by(2));
        }
    }
    code.into_iter().flat_map(|code| {
        let words: Vec<&str> = code.split_whitespace().collect();
        let pairs = words.windows(2).filter(|pair| pair[0] == "make");
        let verbs = pairs.map(|pair| pair[1].trim_end_matches([';', ',', '.']));
        verbs.collect::<Vec<_>>()
    })
}

#[test]
fn verbs_are_found_in_code_alone() {
    let text =
        "They make do. `make test` or `KEEP=1 make demo`.\n```sh\nmake up  # to make it run\n```\nmake off";
    assert_eq!(asked(text).collect::<Vec<_>>(), ["test", "demo", "up"]);
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
