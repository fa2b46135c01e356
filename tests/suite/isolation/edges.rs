//! `deploy/dev/edges.toml`: who publishes, who listens, who calls.

use std::collections::BTreeMap;

use anyhow::Context as _;
use serde::Deserialize;

const PATH: &str = "deploy/dev/edges.toml";

#[derive(Deserialize)]
pub(crate) struct Edges {
    /// By NATS user, which is also the schema's name.
    pub(crate) service: BTreeMap<String, Service>,
    pub(crate) tail: Tail,
}

#[derive(Deserialize)]
pub(crate) struct Service {
    /// Its program's name.
    pub(crate) binary: String,
    /// Stream → the subjects it keeps.
    pub(crate) streams: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) durables: BTreeMap<String, Durable>,
}

#[derive(Deserialize)]
pub(crate) struct Durable {
    pub(crate) stream: String,
    /// Full name of the event; the filter is this and `.>`.
    pub(crate) event: String,
}

#[derive(Deserialize)]
pub(crate) struct Tail {
    pub(crate) streams: Vec<String>,
}

impl Edges {
    pub(crate) fn load() -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(testkit::repository().join(PATH)).context(PATH)?;
        toml::from_str(&text).context(PATH)
    }

    /// Every stream with the subjects it keeps.
    pub(crate) fn streams(&self) -> impl Iterator<Item = (&str, &str)> {
        let streams = self.service.values().flat_map(|service| &service.streams);
        streams.map(|(stream, subjects)| (stream.as_str(), subjects.as_str()))
    }

    /// Every durable with its name.
    pub(crate) fn durables(&self) -> impl Iterator<Item = (&str, &Durable)> {
        let durables = self.service.values().flat_map(|service| &service.durables);
        durables.map(|(name, durable)| (name.as_str(), durable))
    }
}
