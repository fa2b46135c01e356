//! Generates the messages, clients and servers from `proto/`, and makes every message of an
//! `events.proto` an [`Event`](src/event.rs).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};

const PACKAGES: [&str; 6] = [
    "types",
    "identity",
    "groups",
    "customers",
    "broadcast",
    "referral",
];

fn main() -> anyhow::Result<()> {
    let root = Path::new(&std::env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    println!("cargo:rerun-if-changed={}", root.display());

    let files = proto_files(&root)?;
    let set = protox::compile(&files, [&root])?;
    std::fs::write(out.join("descriptors.bin"), set.encode_to_vec())?;
    std::fs::write(out.join("events.rs"), events(&set)?)?;

    let mut config = prost_build_config();
    config.out_dir(&out);
    tonic_prost_build::configure()
        .build_transport(true)
        .compile_fds_with_config(set, config)?;
    Ok(())
}

fn prost_build_config() -> tonic_prost_build::Config {
    let mut config = tonic_prost_build::Config::new();
    // The full name is the event's subject.
    config.enable_type_names();
    config.btree_map(["."]);
    config
}

fn proto_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for package in PACKAGES {
        let folder = root.join("shequn").join(package).join("v1");
        for entry in std::fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            let path = entry?.path();
            if path.extension().is_some_and(|ending| ending == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// Events whose key is not field 2. Numbers can't change; and a group that fills is no one thing whose events need an order
/// among them, but each contact's joining and leaving is.
const KEYED_OTHERWISE: [(&str, &str); 2] = [("GroupJoined", "contact_id"), ("GroupLeft", "contact_id")];

/// `impl Event` for each event message, from the convention that field 1 is `tenant_id` and
/// field 2 the key.
fn events(set: &FileDescriptorSet) -> anyhow::Result<String> {
    let mut code = String::new();
    let mut names = Vec::new();
    for file in set
        .file
        .iter()
        .filter(|file| file.name().ends_with("/events.proto"))
    {
        let service = file
            .package()
            .split('.')
            .nth(1)
            .context("package is shequn.<service>.v1")?;
        for message in &file.message_type {
            let key = key_of(message)?;
            let name = message.name();
            names.push(format!("{}.{name}", file.package()));
            write!(
                code,
                "impl Event for crate::{service}::v1::{name} {{\n    \
                     fn tenant_id(&self) -> &str {{ &self.tenant_id }}\n    \
                     fn key(&self) -> &str {{ &self.{key} }}\n}}\n"
            )?;
        }
    }
    writeln!(
        code,
        "/// The full name of every event, sorted by service.\npub const EVENT_NAMES: &[&str] = &{names:?};"
    )?;
    Ok(code)
}

fn key_of(message: &DescriptorProto) -> anyhow::Result<&str> {
    let field = |number| {
        message
            .field
            .iter()
            .find(|field| field.number() == number)
            .map(|field| field.name())
            .with_context(|| format!("event {} lacks field {number}", message.name()))
    };
    ensure!(
        field(1)? == "tenant_id",
        "field 1 of event {} is not tenant_id",
        message.name()
    );
    match KEYED_OTHERWISE.iter().find(|(name, _)| *name == message.name()) {
        Some((_, key)) => Ok(key),
        None => field(2),
    }
}
