//! The protobuf contracts as text: one line per field, value and method.

use prost_reflect::{
    Cardinality, DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, ServiceDescriptor,
};

use super::accepted;

/// A wider range of reserved numbers is somebody's mistake.
const RESERVED_NUMBERS_MAX: u32 = 1_000;

#[test]
fn proto_is_as_accepted() {
    let pool = DescriptorPool::decode(contracts::DESCRIPTORS).unwrap();
    for package in packages(&pool) {
        let name = format!("proto-{}", package.split('.').nth(1).unwrap());
        accepted(&name, &text(&pool, &package));
    }
}

/// Our own packages, sorted.
pub(super) fn packages(pool: &DescriptorPool) -> Vec<String> {
    let ours = pool
        .files()
        .map(|file| file.package_name().to_owned())
        .filter(|name| name.starts_with("shequn."));
    let mut packages: Vec<String> = ours.collect();
    packages.sort();
    packages.dedup();
    packages
}

/// One package; its lines keep their meaning apart from each other, which `growth` builds on.
pub(super) fn text(pool: &DescriptorPool, package: &str) -> String {
    let mut blocks = Vec::new();
    for message in pool
        .all_messages()
        .filter(|message| message.package_name() == package)
    {
        if !message.is_map_entry() {
            blocks.push(message_text(&message));
        }
    }
    blocks.extend(
        pool.all_enums()
            .filter(|one| one.package_name() == package)
            .map(|one| enum_text(&one)),
    );
    blocks.extend(
        pool.services()
            .filter(|one| one.package_name() == package)
            .map(|one| service_text(&one)),
    );
    blocks.sort();
    blocks.join("\n")
}

fn message_text(message: &MessageDescriptor) -> String {
    let mut lines: Vec<(u32, String)> = message
        .fields()
        .map(|field| (field.number(), field_text(&field)))
        .collect();
    for range in message.reserved_ranges() {
        assert!(
            range.end - range.start <= RESERVED_NUMBERS_MAX,
            "{} reserves {range:?}",
            message.full_name()
        );
        lines.extend(range.map(|number| (number, "reserved".to_owned())));
    }
    block("message", message.full_name(), lines)
}

fn field_text(field: &FieldDescriptor) -> String {
    let label = match field.cardinality() {
        Cardinality::Repeated if !field.is_map() => "repeated ",
        _ if field.supports_presence() && field.containing_oneof().is_some() => "optional ",
        _ => "",
    };
    format!("{} {label}{}", field.name(), kind_text(field))
}

fn kind_text(field: &FieldDescriptor) -> String {
    match field.kind() {
        Kind::Message(entry) if field.is_map() => {
            let value = entry.map_entry_value_field();
            format!(
                "map<{:?}, {}>",
                entry.map_entry_key_field().kind(),
                kind_text(&value)
            )
        }
        Kind::Message(message) => message.full_name().to_owned(),
        Kind::Enum(one) => one.full_name().to_owned(),
        scalar => format!("{scalar:?}").to_lowercase(),
    }
}

fn enum_text(one: &EnumDescriptor) -> String {
    let lines = one
        .values()
        .map(|value| (value.number().cast_unsigned(), value.name().to_owned()));
    block("enum", one.full_name(), lines.collect())
}

fn service_text(service: &ServiceDescriptor) -> String {
    let mut text = format!("service {}\n", service.full_name());
    for method in service.methods() {
        let stream = if method.is_server_streaming() {
            "stream "
        } else {
            ""
        };
        let (name, input, output) = (method.name(), method.input(), method.output());
        text += &format!(
            "  {name} {} -> {stream}{}\n",
            input.full_name(),
            output.full_name()
        );
    }
    text
}

fn block(what: &str, name: &str, mut lines: Vec<(u32, String)>) -> String {
    lines.sort();
    let lines: String = lines
        .into_iter()
        .map(|(number, line)| format!("  {number} {line}\n"))
        .collect();
    format!("{what} {name}\n{lines}")
}
