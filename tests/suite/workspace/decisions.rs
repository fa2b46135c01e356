//! Decisions live in the room they govern and can be found from the README.

use super::{files, local, read};
use testkit::repository;

#[test]
fn the_readme_links_every_decision() {
    let readme = read(&repository().join("README.md"));
    let lost: Vec<String> = files(&["md"])
        .iter()
        .map(|path| local(path))
        .filter(|path| path.contains("/decisions/") && !readme.contains(&format!("({path})")))
        .collect();
    assert!(lost.is_empty(), "README.md does not link: {lost:#?}");
}

#[test]
fn a_decision_says_context_decision_and_consequences_on_a_page() {
    for path in files(&["md"]) {
        if !local(&path).contains("/decisions/") {
            continue;
        }
        let text = read(&path).to_lowercase();
        for part in ["context", "decision", "consequences"] {
            assert!(text.contains(part), "{}: no word of {part}", local(&path));
        }
        assert!(text.lines().count() <= 80, "{}: a page is enough", local(&path));
    }
}
