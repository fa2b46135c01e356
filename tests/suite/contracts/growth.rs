//! Contracts only grow: what was accepted once keeps its number, name and type, or its number is reserved.

use std::collections::BTreeMap;
use std::process::Command;

use prost_reflect::DescriptorPool;

use super::proto::{packages, text};

/// Which revision's contracts are kept, when it is not the branch this one came from.
const BASE: &str = "SHEQUN_CONTRACTS_BASE";

#[test]
fn proto_only_grows() {
    let pool = DescriptorPool::decode(contracts::DESCRIPTORS).unwrap();
    let mut broken = Vec::new();
    for package in packages(&pool) {
        let file = format!("proto-{}.snap", package.split('.').nth(1).unwrap());
        // A package that is new was never accepted.
        let Some(before) = committed(&file) else { continue };
        broken.extend(breaks(&before, &text(&pool, &package)));
    }
    assert!(
        broken.is_empty(),
        "listeners with yesterday's contracts would misread today's messages; take a new number, and reserve the \
         old one (see proto/README.md):\n  {}",
        broken.join("\n  ")
    );
}

/// The snapshot's text at the base revision: the common one with the main branch, or the last commit.
fn committed(file: &str) -> Option<String> {
    let main = ["origin/main", "main"]
        .iter()
        .find_map(|main| git(&["merge-base", "HEAD", main]));
    let base = std::env::var(BASE)
        .ok()
        .or(main)
        .unwrap_or_else(|| "HEAD".to_owned());
    let shown = git(&[
        "show",
        &format!("{}:tests/suite/contracts/snapshots/{file}", base.trim()),
    ])?;
    // Insta's header stands between two lines of dashes.
    shown.splitn(3, "---\n").nth(2).map(str::to_owned)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git")
        .current_dir(testkit::repository())
        .args(arguments)
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
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
