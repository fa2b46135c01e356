//! The worker: takes hints from the work queue and sends their chunks, a few at a time; one of a slow receiver beside them,
//! so that it keeps nobody else's waiting.

use std::sync::Arc;
use std::time::Duration;

use async_nats::jetstream::consumer::PullConsumer;
use async_nats::jetstream::{AckKind, Message};
use futures::{FutureExt as _, StreamExt as _};
use outbox::{crash_point, is_mutant};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
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

const FETCH_EXPIRES: Duration = Duration::from_secs(1);
const SET_UP_AGAIN: Duration = Duration::from_millis(250);
const AFTER_FAILURE: Duration = Duration::from_secs(2);
/// A hint that finds the place aside taken looks for another worker's. With 100 deliveries that is 25 s of looking; a chunk
/// gives its place back long before.
const ASIDE_AGAIN: Duration = Duration::from_millis(250);

/// Works until `stopping`; then ends its chunks' sub-batches, hands the rest back, and returns.
pub(crate) async fn work(state: State, queue: Queue, stopping: CancellationToken) -> anyhow::Result<()> {
    let worker = Worker {
        channels: Arc::new(Channels::open(&state)?),
        state,
        stopping,
        place_aside: Arc::new(Semaphore::new(1)),
        aside: TaskTracker::new(),
    };
    let mut lanes = JoinSet::new();
    for _ in 0..worker.state.knobs.worker_chunks_max {
        lanes.spawn(worker.clone().run(queue.clone()));
    }
    lanes.join_all().await;
    worker.aside.close();
    worker.aside.wait().await;
    Ok(())
}

#[derive(Clone)]
struct Worker {
    state: State,
    channels: Arc<Channels>,
    stopping: CancellationToken,
    /// For one chunk beside the lanes.
    place_aside: Arc<Semaphore>,
    aside: TaskTracker,
}

impl Worker {
    /// One chunk after the other.
    async fn run(self, queue: Queue) {
        while !self.stopping.is_cancelled() {
            if let Err(error) = self.take_from(&queue).await {
                tracing::warn!(error = error.chain(), "worker sets up its consumer again");
                let _ = timeout(SET_UP_AGAIN, self.stopping.cancelled()).await;
            }
        }
    }

    async fn take_from(&self, queue: &Queue) -> Result<(), Error> {
        let consumer = queue.set_up().await?;
        while !self.stopping.is_cancelled() {
            if let Some(message) = fetch(&consumer).await? {
                self.place(message).await;
            }
        }
        Ok(())
    }

    /// Sends what the message hints at, here or aside, where the lane does not wait for it.
    async fn place(&self, message: Message) {
        let Some(hint) = queue::decode(&message) else {
            tracing::error!(subject = %message.subject, "message is no hint");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        if !hint.is_aside {
            return self.answer(message, hint, None).await;
        }
        match self.place_aside.clone().try_acquire_owned() {
            Ok(place) => {
                let worker = self.clone();
                self.aside
                    .spawn(async move { worker.answer(message, hint, Some(place)).await });
            }
            Err(_) => {
                let _ = message.ack_with(AckKind::Nak(Some(ASIDE_AGAIN))).await; // lost: it comes when the queue misses it
            }
        }
    }

    /// Sends the chunk and tells the queue what becomes of its hint.
    async fn answer(&self, message: Message, hint: Hint, place: Option<OwnedSemaphorePermit>) {
        if is_mutant("mutant-ack-first") {
            let _ = message.double_ack().await;
        }
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
            drop(place); // the next one may be dispatched already
            match answer {
                Answer::Forget => {
                    crash_point("broadcast-before-ack");
                    message.double_ack().await
                }
                Answer::Again(wait) => message.ack_with(AckKind::Nak(Some(wait))).await,
                Answer::Leave => Ok(()),
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

/// The next hint, if one comes within the expiry: never more, which would wait here while another worker has nothing
/// to do. A handle that stays silent for twice as long is taken to be dead.
async fn fetch(consumer: &PullConsumer) -> Result<Option<Message>, Error> {
    let silent = |_| Error::Queue("the consumer is silent".into());
    let fetching = async {
        let batch = consumer.fetch().max_messages(1).expires(FETCH_EXPIRES).messages();
        let mut batch = batch.await.map_err(|error| Error::Queue(error.into()))?;
        batch.next().await.transpose().map_err(Error::Queue)
    };
    timeout(FETCH_EXPIRES * 2, fetching).await.map_err(silent)?
}
