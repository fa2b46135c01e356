//! Listening to the events of one tenant, to wait for one.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use contracts::{Event, TenantId, stream_of};
use futures::StreamExt as _;

use crate::Stack;

const DEADLINE: Duration = Duration::from_secs(20);

/// The events of type `E` of one tenant, from the stream's beginning.
pub struct Probe<E> {
    messages: Ordered,
    event: std::marker::PhantomData<E>,
}

impl<E: Event> Probe<E> {
    /// Starts listening.
    ///
    /// # Errors
    /// When the bus is out of reach or the stream does not exist.
    pub async fn start(stack: &Stack, tenant: TenantId) -> anyhow::Result<Self> {
        let stream = stream_of(&E::full_name()).context("event belongs to no stream")?;
        let consumer = stack
            .jetstream()
            .await?
            .get_stream(stream)
            .await?
            .create_consumer(OrderedConfig {
                filter_subject: format!("{}.{tenant}.>", E::full_name()),
                ..OrderedConfig::default()
            })
            .await?;
        Ok(Self {
            messages: consumer.messages().await?,
            event: std::marker::PhantomData,
        })
    }

    /// The next event; waits 20 s at most.
    ///
    /// # Errors
    /// When none comes in time or it does not decode.
    pub async fn next(&mut self) -> anyhow::Result<E> {
        Ok(self.step().await?.0)
    }

    /// The next event and all behind it that are in the stream by now.
    ///
    /// # Errors
    /// When none comes within 20 s or one does not decode.
    pub async fn so_far(&mut self) -> anyhow::Result<Vec<E>> {
        let mut events = Vec::new();
        loop {
            let (event, behind) = self.step().await?;
            events.push(event);
            if behind == 0 {
                return Ok(events);
            }
        }
    }

    /// The next event and how many are behind it.
    async fn step(&mut self) -> anyhow::Result<(E, u64)> {
        let message = tokio::time::timeout(DEADLINE, self.messages.next())
            .await
            .with_context(|| format!("no {} within {DEADLINE:?}", E::NAME))?
            .context("the stream ended")??;
        let behind = message.info().map_err(|error| anyhow::anyhow!(error))?.pending;
        Ok((E::decode(message.payload.clone())?, behind))
    }
}
