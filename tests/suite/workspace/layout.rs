//! Where things stand, how large they are, and what must not be written into them.

use super::{files, local, read};
use testkit::repository;

const WARN_LINES: usize = 400;
const FAIL_LINES: usize = 600;
/// Files over 600 lines, each with its reason.
const LONG: &[(&str, &str)] = &[];

/// The top level, fixed by the project's shape; dotfiles beside.
const TOP: [&str; 11] = [
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "Makefile",
    "README.md",
    "deploy",
    "libs",
    "proto",
    "rust-toolchain.toml",
    "services",
    "tests",
];

#[test]
fn no_source_file_outgrows_a_reader() {
    let mut long = Vec::new();
    for path in files(&["rs", "py", "sh"]) {
        let lines = read(&path).lines().count();
        let name = local(&path);
        if lines > WARN_LINES {
            println!("{name} has {lines} lines; {WARN_LINES} are enough");
        }
        if lines > FAIL_LINES && !LONG.iter().any(|(allowed, _)| *allowed == name) {
            long.push(format!("{name}: {lines}"));
        }
    }
    assert!(
        long.is_empty(),
        "over {FAIL_LINES} lines, split by meaning or give a reason: {long:#?}"
    );
}

#[test]
fn every_module_says_what_it_is_for() {
    let silent: Vec<String> = files(&["rs"])
        .iter()
        .filter(|path| !read(path).trim_start().starts_with("//!"))
        .map(|path| local(path))
        .collect();
    assert!(silent.is_empty(), "no `//!` sentence at the top: {silent:#?}");
}

#[test]
fn the_top_level_holds_nothing_else() {
    let strangers: Vec<String> = std::fs::read_dir(repository())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.') && name != "target" && !TOP.contains(&name.as_str()))
        .collect();
    assert!(strangers.is_empty(), "{strangers:?}");
}

#[test]
fn nothing_names_one_machine() {
    // Split, so that this file does not name them either.
    let traces = [
        concat!("/ro", "ot/"),
        concat!("/wo", "rk/"),
        concat!("/ho", "me/"),
    ];
    let mut found = Vec::new();
    for path in files(&[
        "rs", "py", "sh", "md", "toml", "yaml", "yml", "sql", "proto", "in",
    ]) {
        for (n, line) in read(&path).lines().enumerate() {
            if traces.iter().any(|trace| line.contains(trace)) {
                found.push(format!("{}:{}: {line}", local(&path), n + 1));
            }
        }
    }
    assert!(found.is_empty(), "{found:#?}");
}
