//! Contracts only grow: what was accepted once keeps its number, name and type, or its number is reserved.

use std::collections::BTreeMap;
use std::process::Command;

use prost_reflect::DescriptorPool;

use super::proto::{packages, text};

/// Which revision's contracts are kept, when it is not the branch this one came from.
const BASE: &str = "SHEQUN_CONTRACTS_BASE";

#[test]
fn proto_only_grows() {
    let Some(base) = base() else { return };
    let pool = DescriptorPool::decode(contracts::DESCRIPTORS).unwrap();
    let mut broken = Vec::new();
    for package in packages(&pool) {
        let file = format!("proto-{}.snap", package.split('.').nth(1).unwrap());
        // A package that is new was never accepted.
        let Some(before) = committed(&base, &file) else {
            continue;
        };
        broken.extend(breaks(&before, &text(&pool, &package)));
    }
    assert!(
        broken.is_empty(),
        "listeners with yesterday's contracts would misread today's messages; take a new number, and reserve the \
         old one (see proto/README.md):\n  {}",
        broken.join("\n  ")
    );
}

/// The common revision with the main branch; on that branch itself the commit before. The first one has none before.
fn base() -> Option<String> {
    if let Ok(base) = std::env::var(BASE) {
        return Some(base);
    }
    let head = git(&["rev-parse", "HEAD"]);
    let branches = git(&[
        "for-each-ref",
        "--format=%(refname)",
        "refs/remotes/origin/main",
        "refs/heads/main",
    ]);
    let common = branches
        .lines()
        .last()
        .map(|main| git(&["merge-base", "HEAD", main]));
    if let Some(common) = common.filter(|common| *common != head) {
        return Some(common);
    }
    let is_shallow = git(&["rev-parse", "--is-shallow-repository"]);
    let before = git(&["log", "--format=%P", "--max-count=1"]);
    let first = before.split_whitespace().next().map(str::to_owned);
    assert!(
        first.is_some() || is_shallow == "false",
        "a shallow clone does not know yesterday's contracts: git fetch --unshallow"
    );
    first
}

/// The snapshot's text at the base revision.
fn committed(base: &str, file: &str) -> Option<String> {
    let path = format!("tests/suite/contracts/snapshots/{file}");
    if git(&["ls-tree", "--name-only", base, &path]).is_empty() {
        return None;
    }
    let shown = git(&["show", &format!("{base}:{path}")]);
    // Insta's header stands between two lines of dashes.
    shown.splitn(3, "---\n").nth(2).map(str::to_owned)
}

fn git(arguments: &[&str]) -> String {
    let output = Command::new("git")
        .current_dir(testkit::repository())
        .args(arguments)
        .output()
        .expect("git is installed");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "git {}: {said}", arguments.join(" "));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// What of `before` does not stand in `after` any more.
fn breaks(before: &str, after: &str) -> Vec<String> {
    let after = members(after);
    let kept = |(place, meaning): &(&(&str, &str), &&str)| {
        after
            .get(*place)
            .is_some_and(|now| now == *meaning || *now == "reserved")
    };
    let told = |((owner, member), was): (&(&str, &str), &&str)| {
        let now = after.get(&(*owner, *member)).unwrap_or(&"gone");
        format!("{owner}: {member} was `{was}` and is `{now}`")
    };
    members(before)
        .iter()
        .filter(|member| !kept(member))
        .map(told)
        .collect()
}

/// (message, number) → name and type; (service, method) → what it takes and gives.
fn members(text: &str) -> BTreeMap<(&str, &str), &str> {
    let mut members = BTreeMap::new();
    let mut owner = "";
    for line in text.lines().filter(|line| !line.is_empty()) {
        match line.strip_prefix("  ") {
            Some(member) => drop(members.insert(
                split((owner, member)),
                member.split_once(' ').map_or("", |(_, it)| it),
            )),
            None => {
                owner = line;
                members.insert((owner, ""), "");
            }
        }
    }
    members
}

fn split<'a>((owner, member): (&'a str, &'a str)) -> (&'a str, &'a str) {
    (owner, member.split(' ').next().unwrap_or_default())
}

const BEFORE: &str = "message a.Contact\n  1 contact_id string\n  2 name string\n  5 reserved\n\n\
                      service a.Service\n  Get a.Request -> a.Contact\n";

#[test]
fn growing_is_fine() {
    for (what, after) in [
        ("nothing changed", BEFORE.to_owned()),
        ("a new field", BEFORE.replace("  5", "  3 phone string\n  5")),
        (
            "a new message",
            format!("{BEFORE}\nmessage a.Other\n  1 id string\n"),
        ),
        (
            "a new method",
            format!("{BEFORE}  List a.Request -> stream a.Contact\n"),
        ),
        ("a reserved field", BEFORE.replace("2 name string", "2 reserved")),
    ] {
        assert_eq!(breaks(BEFORE, &after), [""; 0], "{what}");
    }
}

#[test]
fn every_break_is_told() {
    for (what, after) in [
        ("a field is gone", BEFORE.replace("  2 name string\n", "")),
        ("a field has another number", BEFORE.replace("2 name", "3 name")),
        ("a number has another name", BEFORE.replace("name", "phone")),
        (
            "a number has another type",
            BEFORE.replace("2 name string", "2 name int64"),
        ),
        (
            "a field is a list now",
            BEFORE.replace("name string", "name repeated string"),
        ),
        (
            "a reserved number is used again",
            BEFORE.replace("5 reserved", "5 phone string"),
        ),
        (
            "a reserved number is free again",
            BEFORE.replace("  5 reserved\n", ""),
        ),
        (
            "a message has another name",
            BEFORE.replace("message a.Contact", "message a.Person"),
        ),
        (
            "a method is gone",
            BEFORE.replace("  Get a.Request -> a.Contact\n", ""),
        ),
        ("a method streams now", BEFORE.replace("-> a", "-> stream a")),
    ] {
        assert!(!breaks(BEFORE, &after).is_empty(), "{what}, and nothing is told");
    }
}
