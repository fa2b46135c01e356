//! Versions stand once, in the workspace's manifest.

use toml::{Table, Value};

use super::{files, local, read};

#[test]
fn dependencies_are_inherited() {
    let mut own = Vec::new();
    for path in files(&["toml"]) {
        let name = local(&path);
        if !name.ends_with("/Cargo.toml") {
            continue;
        }
        let manifest: Table = read(&path).parse().unwrap();
        for section in ["dependencies", "dev-dependencies", "build-dependencies"] {
            let table = manifest.get(section).and_then(Value::as_table);
            for (dependency, spec) in table.into_iter().flatten() {
                if spec.get("workspace").and_then(Value::as_bool) != Some(true) {
                    own.push(format!("{name}: {dependency}"));
                }
            }
        }
        for key in ["version", "edition", "license", "rust-version", "publish"] {
            let inherited = manifest["package"]
                .get(key)
                .and_then(|value| value.get("workspace"));
            if inherited.and_then(Value::as_bool) != Some(true) {
                own.push(format!("{name}: package.{key}"));
            }
        }
        let lints = manifest.get("lints").and_then(|lints| lints.get("workspace"));
        if lints.and_then(Value::as_bool) != Some(true) {
            own.push(format!("{name}: lints"));
        }
    }
    assert!(own.is_empty(), "write `{{ workspace = true }}`: {own:#?}");
}
