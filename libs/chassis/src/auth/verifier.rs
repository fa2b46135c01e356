//! From a token to the caller it proves, or to the reason why it proves nothing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use url::Url;

use super::caller::Caller;
use super::fetch::Published;
use super::keys::{Issuer, Jwks, PeerKeys, TrustedKey};
use super::token::{self, Fault};
use crate::clock::Clock;
use crate::problem::{Class, Problem};

const REFRESH: Duration = Duration::from_secs(600);
const RETRY_MIN: Duration = Duration::from_millis(250);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Where the keys of logins come from.
pub enum KeySource {
    /// Identity's address; its set of keys is fetched and kept.
    Http(Url),
    /// Identity as a peer, on a connection that nobody else can be at the end of.
    Peer(Channel),
    /// Identity itself.
    Local(watch::Receiver<Jwks>),
}

enum LoginKeys {
    Published(Box<Published>),
    Local(watch::Receiver<Jwks>),
}

struct Inner {
    service: &'static str,
    clock: Clock,
    peers: HashMap<String, TrustedKey>,
    logins: LoginKeys,
}

/// Checks tokens meant for one service.
#[derive(Clone)]
pub struct Verifier(Arc<Inner>);

impl Verifier {
    /// Reads the peers' keys; those of logins are fetched when they are needed.
    ///
    /// # Errors
    /// When the file can't be read or has a key in it that is none.
    pub fn new(
        service: &'static str,
        peer_keys: &Path,
        source: KeySource,
        clock: Clock,
    ) -> anyhow::Result<Self> {
        let peers = PeerKeys::load(peer_keys)?.trusted()?;
        let logins = match source {
            KeySource::Http(url) => LoginKeys::Published(Box::new(Published::at(&url)?)),
            KeySource::Peer(channel) => LoginKeys::Published(Box::new(Published::behind(channel))),
            KeySource::Local(keys) => LoginKeys::Local(keys),
        };
        Ok(Self(Arc::new(Inner {
            service,
            clock,
            peers,
            logins,
        })))
    }

    /// Who the token proves to be asking.
    ///
    /// # Errors
    /// `Unauthenticated` when it proves nothing, `Unavailable` when the keys to tell are not at hand.
    pub async fn verify(&self, token: &str) -> Result<Caller, Problem> {
        let now = self.0.clock.now();
        let kid = token::kid(token)?;
        let key = self.find(&kid, now).await?.ok_or(Fault::KeyUnknown)?;
        Ok(token::open(token, &key, self.0.service, now)?)
    }

    /// Peers come first, so no published key can take the place of one of theirs.
    async fn find(&self, kid: &str, now: Timestamp) -> Result<Option<TrustedKey>, Problem> {
        if let Some(key) = self.0.peers.get(kid) {
            return Ok(Some(key.clone()));
        }
        match &self.0.logins {
            LoginKeys::Published(published) => published.find(kid, now).await.map_err(Problem::unavailable),
            LoginKeys::Local(keys) => {
                let keys = keys.borrow();
                let jwk = keys.keys.iter().find(|jwk| jwk.kid == kid);
                Ok(jwk.and_then(|jwk| TrustedKey::new(jwk, Issuer::Login)))
            }
        }
    }

    /// Keeps the keys of logins at hand until `stopping` fires.
    ///
    /// # Errors
    /// Never; it is a process's loop.
    pub async fn keep_fresh(self, stopping: CancellationToken) -> anyhow::Result<()> {
        let LoginKeys::Published(published) = &self.0.logins else {
            stopping.cancelled().await;
            return Ok(());
        };
        let mut retry = RETRY_MIN;
        while !stopping.is_cancelled() {
            let pause = match published.refresh(self.0.clock.now()).await {
                Ok(()) => {
                    retry = RETRY_MIN;
                    REFRESH
                }
                Err(error) => {
                    tracing::debug!(
                        error = &error as &dyn std::error::Error,
                        "the keys of logins stay as they are"
                    );
                    let pause = retry;
                    retry = RETRY_MAX.min(retry * 2);
                    pause
                }
            };
            // Ends early when it fires; either way the loop's head decides.
            let _ = tokio::time::timeout(pause, stopping.cancelled()).await;
        }
        Ok(())
    }

    /// The keys of logins, when this process is the one that publishes them.
    pub(crate) fn published(&self) -> Option<watch::Receiver<Jwks>> {
        match &self.0.logins {
            LoginKeys::Published(_) => None,
            LoginKeys::Local(keys) => Some(keys.clone()),
        }
    }

    /// Whether tokens of logins can be checked now.
    ///
    /// # Errors
    /// The reason why not.
    pub fn ready(&self) -> Result<(), String> {
        match &self.0.logins {
            LoginKeys::Published(published) if !published.is_fresh(self.0.clock.now()) => {
                Err("the keys of logins are not known yet, or too old".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let (code, remedy) = match fault {
            Fault::Expired => ("token_expired", "refresh it or log in again"),
            _ => ("token_invalid", "log in again"),
        };
        Self::new(Class::Unauthenticated, code, fault.to_string())
            .field("Authorization")
            .remedy(remedy)
    }
}

#[cfg(test)]
mod tests;
