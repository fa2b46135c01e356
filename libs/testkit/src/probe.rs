//! Listening to the events of one tenant, to wait for one.

use std::time::Duration;

use anyhow::Context as _;
use async_nats::ConnectOptions;
use async_nats::jetstream;
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
        let user = &stack.description().nats.users["admin"];
        let client = ConnectOptions::with_user_and_password(user.user.clone(), user.password.clone())
            .custom_inbox_prefix(&user.inbox)
            .connect(&stack.description().nats.url)
            .await?;
        let stream = stream_of(&E::full_name()).context("event belongs to no stream")?;
        let consumer = jetstream::new(client)
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
        let message = tokio::time::timeout(DEADLINE, self.messages.next())
            .await
            .with_context(|| format!("no {} within {DEADLINE:?}", E::NAME))?
            .context("the stream ended")??;
        Ok(E::decode(message.payload.clone())?)
    }
}
