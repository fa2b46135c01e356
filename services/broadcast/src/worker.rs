//! The worker: takes hints from the work queue and sends their chunks, a few at a time.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt as _, StreamExt as _};
use outbox::crash_point;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::State;
use crate::channel::Channels;
use crate::chunk::Hint;
use crate::error::Error;
use crate::ops::{self, Answer};
use crate::queue::{self, Queue};

/// Hints asked for at once; more would wait here while another worker has nothing to do.
const FETCH_MESSAGES_MAX: usize = 2;
const FETCH_EXPIRES: Duration = Duration::from_secs(2);
const SET_UP_AGAIN: Duration = Duration::from_millis(500);
const AFTER_FAILURE: Duration = Duration::from_secs(2);

/// Works until `stopping`; then ends its chunks' sub-batches, hands the rest back, and returns.
pub(crate) async fn work(state: State, queue: Queue, stopping: CancellationToken) -> anyhow::Result<()> {
    let worker = Worker {
        channels: Arc::new(Channels::open(&state)?),
        state,
        stopping,
    };
    let slots = Arc::new(Semaphore::new(worker.state.knobs.worker_chunks_max.into()));
    let tasks = TaskTracker::new();
    while !worker.stopping.is_cancelled() {
        if let Err(error) = worker.take_from(&queue, &slots, &tasks).await {
            tracing::warn!(error = error.chain(), "worker sets up its consumer again");
            let _ = timeout(SET_UP_AGAIN, worker.stopping.cancelled()).await;
        }
    }
    tasks.close();
    tasks.wait().await;
    Ok(())
}

#[derive(Clone)]
struct Worker {
    state: State,
    channels: Arc<Channels>,
    stopping: CancellationToken,
}

impl Worker {
    async fn take_from(
        &self,
        queue: &Queue,
        slots: &Arc<Semaphore>,
        tasks: &TaskTracker,
    ) -> Result<(), Error> {
        let consumer = queue.set_up().await?;
        while !self.stopping.is_cancelled() {
            let Some(slot) = self.free_slot(slots).await else {
                return Ok(());
            };
            let mut slots_taken = vec![slot];
            while slots_taken.len() < FETCH_MESSAGES_MAX
                && let Ok(slot) = slots.clone().try_acquire_owned()
            {
                slots_taken.push(slot);
            }
            for message in fetch(&consumer, slots_taken.len()).await? {
                let (worker, slot) = (self.clone(), slots_taken.pop());
                tasks.spawn(async move { worker.answer(message, slot).await });
            }
        }
        Ok(())
    }

    async fn free_slot(&self, slots: &Arc<Semaphore>) -> Option<OwnedSemaphorePermit> {
        let slot = self
            .stopping
            .run_until_cancelled(slots.clone().acquire_owned())
            .await;
        slot?.ok()
    }

    /// Sends what the message hints at and tells the queue what becomes of the hint.
    async fn answer(&self, message: Message, _slot: Option<OwnedSemaphorePermit>) {
        let Some(hint) = queue::decode(&message) else {
            tracing::error!(subject = %message.subject, "message is no hint");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        let span = tracing::info_span!(
            "broadcast.send_chunk",
            tenant = %hint.chunk.tenant,
            broadcast_id = %hint.chunk.broadcast,
            chunk = hint.chunk.n,
            epoch = hint.epoch,
        );
        let answered = async {
            let answer = if self.stopping.is_cancelled() {
                Answer::Again(Duration::ZERO) // fetched just before the end: for another worker
            } else {
                self.send(&message, hint).await
            };
            match answer {
                Answer::Forget => {
                    crash_point("broadcast-before-ack");
                    message.double_ack().await
                }
                Answer::Again(wait) => message.ack_with(AckKind::Nak(Some(wait))).await,
            }
        };
        if let Err(error) = answered.instrument(span).await {
            tracing::debug!(
                error,
                "acknowledgement lost; the hint comes again and is stale then"
            );
        }
    }

    /// After a failure the chunk rests in the database; the hint comes again, and finds it so, gone on or dispatched
    /// anew.
    async fn send(&self, message: &Message, hint: Hint) -> Answer {
        let sending = ops::send(&self.state, &self.channels, hint, &self.stopping);
        let sending = std::panic::AssertUnwindSafe(sending).catch_unwind();
        tokio::pin!(sending);
        let sent = loop {
            tokio::select! {
                sent = &mut sending => break sent,
                () = tokio::time::sleep(self.state.knobs.lease() / 3) => {
                    if let Err(error) = message.ack_with(AckKind::Progress).await {
                        tracing::debug!(error, "progress not told");
                    }
                }
            }
        };
        match sent {
            Ok(Ok(answer)) => answer,
            Ok(Err(error)) => {
                tracing::warn!(error = error.chain(), "chunk not sent to its end");
                Answer::Again(AFTER_FAILURE)
            }
            Err(_) => {
                tracing::error!("sending a chunk panicked; its lease expires");
                Answer::Again(AFTER_FAILURE)
            }
        }
    }
}

/// Whatever comes within the expiry. A handle that stays silent for twice as long is taken to be dead.
async fn fetch(consumer: &PullConsumer, messages_max: usize) -> Result<Vec<Message>, Error> {
    let silent = |_| Error::Queue("the consumer is silent".into());
    let fetching = async {
        let batch = consumer
            .fetch()
            .max_messages(messages_max)
            .expires(FETCH_EXPIRES)
            .messages();
        let mut batch = batch.await.map_err(|error| Error::Queue(error.into()))?;
        let mut messages = Vec::with_capacity(messages_max);
        while let Some(message) = batch.next().await {
            messages.push(message.map_err(Error::Queue)?);
        }
        Ok(messages)
    };
    timeout(FETCH_EXPIRES * 2, fetching).await.map_err(silent)?
}
