//! The repository checks itself: layers, sizes, manifests, decisions, README, rows, what comes from elsewhere.

mod decisions;
mod layers;
mod layout;
mod manifests;
mod readme;
mod rows;
mod supply;

use std::path::{Path, PathBuf};

use testkit::repository;
use walkdir::WalkDir;

/// Every file of the checkout with one of these endings, without what is generated or installed.
fn files(endings: &[&str]) -> Vec<PathBuf> {
    let skipped = ["target", ".git", ".shequn", "node_modules"];
    WalkDir::new(repository())
        .sort_by_file_name()
        .into_iter()
        .filter_entry(|entry| !skipped.iter().any(|name| entry.file_name() == *name))
        .filter_map(Result::ok)
        .map(walkdir::DirEntry::into_path)
        .filter(|path| {
            path.extension()
                .is_some_and(|ending| endings.iter().any(|wanted| ending == *wanted))
        })
        .collect()
}

/// A path as the repository names it.
fn local(path: &Path) -> String {
    path.strip_prefix(repository())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
