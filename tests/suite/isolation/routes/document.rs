//! A service's OpenAPI document as a list of operations to try.

use anyhow::Context as _;
use serde_json::Value;

use crate::isolation::thing::Thing;

/// One operation of the public API.
pub(in crate::isolation) struct Operation {
    pub(in crate::isolation) id: String,
    pub(in crate::isolation) method: reqwest::Method,
    path: String,
    pub(in crate::isolation) is_private: bool,
    /// Whether it wants an idempotency key.
    pub(in crate::isolation) is_keyed: bool,
    /// Path and query parameters that may name a thing: `{series_id}`, `?series_id`.
    pub(in crate::isolation) ids: Vec<String>,
    /// Whether it is a list in pages, which a cursor goes through.
    pub(super) has_pages: bool,
    pub(in crate::isolation) body: Option<Body>,
}

/// What is sent, as the document's example has it.
pub(in crate::isolation) struct Body {
    pub(in crate::isolation) media_type: String,
    pub(in crate::isolation) example: Option<Value>,
    /// Pointers to ids that the schema has and the example does not show.
    pub(super) hidden_ids: Vec<String>,
}

/// A request whose slots are filled.
#[derive(Clone, Debug)]
pub(in crate::isolation) struct Filled {
    pub(in crate::isolation) path: String,
    pub(in crate::isolation) body: Option<Value>,
}

/// A slot of a request and what stands in it.
pub(in crate::isolation) type Slot = (&'static str, Thing, Value);

impl Operation {
    /// Every operation, in the order of the document.
    pub(in crate::isolation) fn all(document: &Value) -> anyhow::Result<Vec<Self>> {
        let paths = document["paths"]
            .as_object()
            .context("an OpenAPI document has paths")?;
        let mut operations = Vec::new();
        for (path, item) in paths {
            for (method, operation) in item.as_object().context("a path has methods")? {
                let id = operation["operationId"].as_str();
                let id = id.with_context(|| format!("{method} {path} has no operation id"))?;
                operations.push(Self::read(document, id, method, path, operation)?);
            }
        }
        Ok(operations)
    }

    fn read(document: &Value, id: &str, method: &str, path: &str, operation: &Value) -> anyhow::Result<Self> {
        let parameters = operation["parameters"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let in_path = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "path")
            .map(|it| format!("{{{}}}", name(it)));
        let (cursors, in_query): (Vec<&Value>, Vec<&Value>) = parameters
            .iter()
            .filter(|parameter| parameter["in"] == "query")
            .filter(|parameter| !is_plain(resolve(document, &parameter["schema"])))
            .partition(|parameter| name(parameter) == "cursor");
        let in_query = in_query.into_iter().map(|it| format!("?{}", name(it)));
        Ok(Self {
            id: id.to_owned(),
            method: method.to_uppercase().parse()?,
            path: path.to_owned(),
            is_private: operation["security"]
                .as_array()
                .is_some_and(|schemes| !schemes.is_empty()),
            is_keyed: parameters
                .iter()
                .any(|it| it["in"] == "header" && name(it).eq_ignore_ascii_case("idempotency-key")),
            ids: in_path.chain(in_query).collect(),
            has_pages: !cursors.is_empty(),
            body: Body::read(document, &operation["requestBody"]["content"]),
        })
    }

    /// The request with these things in its slots.
    pub(in crate::isolation) fn fill(&self, slots: &[Slot]) -> anyhow::Result<Filled> {
        let mut filled = Filled {
            path: self.path.clone(),
            body: self.body.as_ref().and_then(|body| body.example.clone()),
        };
        for (slot, thing, value) in slots {
            let text = value.as_str().unwrap_or_default();
            // What the example leaves out stays out, if the schema has it.
            let is_out = *thing == Thing::Absent
                && self
                    .body
                    .iter()
                    .any(|body| body.hidden_ids.iter().any(|id| id == slot));
            if slot.is_empty() || is_out {
                continue;
            }
            if slot.starts_with('{') {
                filled.path = filled.path.replace(slot, text);
            } else if let Some(name) = slot.strip_prefix('?') {
                filled = filled.with(name, text);
            } else {
                let body = filled
                    .body
                    .as_mut()
                    .with_context(|| format!("{}: no body for {slot}", self.id))?;
                put(body, slot, *thing, value)
                    .with_context(|| format!("{}: the example has no {slot}", self.id))?;
            }
        }
        Ok(filled)
    }
}

impl Filled {
    /// The same with one more parameter in its query.
    pub(in crate::isolation) fn with(mut self, name: &str, value: &str) -> Self {
        let joint = if self.path.contains('?') { '&' } else { '?' };
        self.path = format!("{}{joint}{name}={value}", self.path);
        self
    }
}

impl Body {
    fn read(document: &Value, content: &Value) -> Option<Self> {
        let (media_type, media) = content.as_object()?.iter().next()?;
        let schema = resolve(document, &media["schema"]);
        let example = [&media["example"], &schema["example"], &schema["examples"][0]];
        let example = example.into_iter().find(|example| !example.is_null()).cloned();
        let mut hidden_ids = Vec::new();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let property = resolve(document, property);
            let is_id = |schema: &Value| resolve(document, schema)["format"] == "uuid";
            let nullable = property["oneOf"].as_array().into_iter().flatten().any(is_id);
            let pointer = match (is_id(property) || nullable, is_id(&property["items"])) {
                (true, _) => format!("/{name}"),
                (_, true) => format!("/{name}/0"),
                _ => continue,
            };
            if example
                .as_ref()
                .is_some_and(|example| example.pointer(&pointer).is_none())
            {
                hidden_ids.push(pointer);
            }
        }
        Some(Self {
            media_type: media_type.clone(),
            example,
            hidden_ids,
        })
    }
}

fn name(parameter: &Value) -> &str {
    parameter["name"].as_str().unwrap_or_default()
}

/// Values that can't name a thing: numbers, switches, times, words of a fixed list.
fn is_plain(schema: &Value) -> bool {
    let kind = schema["type"].as_str().unwrap_or_default();
    ["integer", "number", "boolean"].contains(&kind)
        || schema["format"] == "date-time"
        || schema["enum"].is_array()
}

/// Follows a reference within the document.
fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'))
    {
        Some(pointer) => document.pointer(pointer).unwrap_or(schema),
        None => schema,
    }
}

fn put(body: &mut Value, pointer: &str, thing: Thing, value: &Value) -> Option<()> {
    if thing == Thing::Absent {
        let (parent, field) = pointer.rsplit_once('/')?;
        return body.pointer_mut(parent)?.as_object_mut()?.remove(field).map(drop);
    }
    // What the example leaves out is put in: a field, or the first element of a list.
    let (parent, place) = pointer.rsplit_once('/')?;
    match body.pointer_mut(parent)? {
        Value::Object(fields) => drop(fields.insert(place.to_owned(), value.clone())),
        Value::Array(items) if items.is_empty() => items.push(value.clone()),
        Value::Array(items) => *items.get_mut(place.parse::<usize>().ok()?)? = value.clone(),
        _ => return None,
    }
    Some(())
}

/// Pointers to everything in a body that looks like an id.
pub(super) fn ids(body: &Value) -> Vec<String> {
    walk(body, &|value| {
        value
            .as_str()
            .is_some_and(|text| uuid::Uuid::try_parse(text).is_ok())
    })
}

/// Pointers to every object of a body, the body itself first.
pub(in crate::isolation) fn objects(body: &Value) -> Vec<String> {
    walk(body, &Value::is_object)
}

/// Pointers to every value of a body that holds no others.
pub(in crate::isolation) fn leaves(body: &Value) -> Vec<String> {
    walk(body, &|value| !value.is_object() && !value.is_array())
}

fn walk(value: &Value, wanted: &dyn Fn(&Value) -> bool) -> Vec<String> {
    let mut found: Vec<String> = wanted(value).then(String::new).into_iter().collect();
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(items) => items
            .iter()
            .enumerate()
            .map(|(n, child)| (n.to_string(), child))
            .collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        found.extend(
            walk(child, wanted)
                .into_iter()
                .map(|rest| format!("/{name}{rest}")),
        );
    }
    found
}
