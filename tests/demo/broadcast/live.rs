//! What a mass message tells of itself while it goes on: server-sent events.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Context as _;
use futures::stream::BoxStream;
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Deserialize;

use crate::brand::Shop;
use crate::run::Run;

/// A service ends such a stream sooner.
const STREAM_MAX: Duration = Duration::from_secs(900);

/// How far it is.
#[derive(Deserialize)]
pub(crate) struct Look {
    pub(crate) state: String,
    pub(crate) audience: u64,
    pub(crate) outcomes: BTreeMap<String, u64>,
}

pub(crate) struct Live {
    body: BoxStream<'static, reqwest::Result<Vec<u8>>>,
    /// What has come of the next events.
    came: Vec<u8>,
}

impl Live {
    pub(crate) async fn open(run: &Run<'_>, shop: &Shop, id: &str) -> anyhow::Result<Self> {
        let path = format!("/v1/broadcasts/{id}/progress");
        let ask = run.api.get("broadcast", &path).timeout(STREAM_MAX);
        let answer = ask.token(&shop.operator.token().await?).open().await?;
        let body = answer.bytes_stream().map_ok(|bytes| bytes.to_vec()).boxed();
        Ok(Self { body, came: vec![] })
    }

    /// The next event; none when the stream is over.
    pub(crate) async fn next(&mut self) -> anyhow::Result<Option<Look>> {
        loop {
            while let Some(end) = self.came.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.came.drain(..=end).collect();
                if let Some(data) = line.strip_prefix(b"data:") {
                    let look = serde_json::from_slice(data).context("the event is no progress")?;
                    return Ok(Some(look));
                }
            }
            let Some(bytes) = self.body.next().await else {
                return Ok(None);
            };
            self.came.extend(bytes?);
        }
    }
}
