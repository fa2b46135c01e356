//! The keys this process signs with at present, kept in step with the database and the clock.

use std::sync::Arc;
use std::time::Duration;

use chassis::Clock;
use chassis::auth::{Claims, Jwks};
use jiff::Timestamp;
use outbox::Database;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::error::Error;
use crate::keyring::Keyring;
use crate::ops::rotate_keys::{self, Rotation};
use crate::seal::Seal;

/// How soon a key that another process made is known here.
const RELOAD_SECS: u64 = 15;
const RETRY_SECS: u64 = 1;

/// Signs logins, and publishes what is needed to check them.
#[derive(Clone)]
pub(crate) struct Keys {
    ring: watch::Sender<Arc<Keyring>>,
    published: watch::Sender<Jwks>,
}

impl Keys {
    /// Without any key yet: `keep` brings them.
    pub(crate) fn new() -> Self {
        Self {
            ring: watch::Sender::default(),
            published: watch::Sender::default(),
        }
    }

    /// The public keys, as they change.
    pub(crate) fn published(&self) -> watch::Receiver<Jwks> {
        self.published.subscribe()
    }

    pub(crate) fn sign(&self, claims: &Claims, now: Timestamp) -> Result<String, Error> {
        let ring = self.ring.borrow();
        ring.signing(now)
            .map(|key| key.sign(claims))
            .ok_or(Error::NoSigningKey)
    }

    /// For readiness: whether logins can be signed.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), String> {
        let ring = self.ring.borrow();
        ring.signing(now)
            .map(drop)
            .ok_or_else(|| Error::NoSigningKey.to_string())
    }

    /// Loads the keys, again and again, and makes a new one when it is due. A key that does not
    /// open stops the process: it could neither sign nor say what is wrong in a better place.
    pub(crate) async fn keep(
        self,
        db: Database,
        seal: Arc<Seal>,
        clock: Clock,
        stopping: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut pause = Duration::ZERO;
        while stopping
            .run_until_cancelled(tokio::time::sleep(pause))
            .await
            .is_some()
        {
            pause = match self.reload(&db, &seal, clock.now()).await {
                Ok(()) => Duration::from_secs(RELOAD_SECS),
                Err(Error::Database(error)) => {
                    tracing::warn!(error = %error, "the signing keys stay as they are");
                    Duration::from_secs(RETRY_SECS)
                }
                Err(error) => return Err(error.into()),
            };
        }
        Ok(())
    }

    pub(crate) async fn reload(&self, db: &Database, seal: &Seal, now: Timestamp) -> Result<(), Error> {
        let mut ring = rotate_keys::load(db, seal).await?;
        if ring.due(now).is_some() {
            ring = rotate_keys::rotate_keys(db, seal, Rotation::WhenDue, now).await?;
        }
        let published = ring.published(now);
        self.published.send_if_modified(|known| {
            let is_news = *known != published;
            *known = published;
            is_news
        });
        self.ring.send_replace(Arc::new(ring));
        Ok(())
    }
}
