//! Lanes: several messages at once, yet those of one key one after the other.

use std::hash::{DefaultHasher, Hash, Hasher};

use async_nats::jetstream::Message;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

const LANES: usize = 8;
const LANE_MESSAGES_MAX: usize = 16;

/// Tasks that each take messages in order; a key always goes to the same one.
pub(crate) struct Lanes {
    senders: Vec<mpsc::Sender<Message>>,
    tasks: JoinSet<()>,
}

impl Lanes {
    /// Starts the lanes; each handles its messages with `work`.
    pub(crate) fn start<W>(work: W) -> Self
    where
        W: AsyncWork,
    {
        let mut tasks = JoinSet::new();
        let senders = (0..LANES)
            .map(|_| {
                let (sender, mut messages) = mpsc::channel::<Message>(LANE_MESSAGES_MAX);
                let work = work.clone();
                tasks.spawn(async move {
                    while let Some(message) = messages.recv().await {
                        work.run(message).await;
                    }
                });
                sender
            })
            .collect();
        Self { senders, tasks }
    }

    /// Hands a message to its key's lane, waiting while the lane is full.
    ///
    /// The key is the subject's tail behind the event's name: tenant and key. False when the lane's task died; the
    /// message comes again.
    pub(crate) async fn put(&self, message: Message) -> bool {
        let mut hasher = DefaultHasher::new();
        message.subject.splitn(5, '.').nth(4).hash(&mut hasher);
        let lane = (hasher.finish() % LANES as u64) as usize;
        self.senders[lane].send(message).await.is_ok()
    }

    /// Finishes what was handed over.
    pub(crate) async fn finish(mut self) {
        drop(self.senders);
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(panic) = ended {
                tracing::error!(%panic, "a lane died");
            }
        }
    }
}

/// What a lane does with a message.
pub(crate) trait AsyncWork: Clone + Send + Sync + 'static {
    fn run(&self, message: Message) -> impl Future<Output = ()> + Send;
}
