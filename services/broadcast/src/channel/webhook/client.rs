//! Connections to all receivers: to public addresses alone, looked at when a connection is made and not before.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use contracts::TenantId;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect::Policy;

use super::Webhook;
use crate::State;
use crate::channel::account::Accounts;
use crate::ops::Claim;
use crate::webhook::{Receiver, Target, is_public};

const CONNECT_SECS_MAX: u64 = 3;
/// Of an HTTP/2 answer's headers; HTTP/1 has a bound of its own, 100 headers.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// Connections that nobody uses, kept for a receiver: what one process needs at once.
const IDLE_CONNECTIONS_MAX: usize = 64;
const IDLE_SECS_MAX: u64 = 60;

/// One for all receivers. HTTP/2 where a receiver offers it, else connections that are used again. No proxy, no
/// redirect, nothing unpacked.
pub(crate) struct Client {
    http: reqwest::Client,
    accounts: Accounts,
}

impl Client {
    pub(crate) fn new(state: &State) -> anyhow::Result<Self> {
        Self::with(state, Directory::System, |builder| builder)
    }

    /// With names told by `directory`, and the last word on how it connects.
    pub(crate) fn with(
        state: &State,
        directory: Directory,
        adjust: impl FnOnce(reqwest::ClientBuilder) -> reqwest::ClientBuilder,
    ) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("shequn/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
            .timeout(state.knobs.webhook_timeout())
            .http2_max_header_list_size(HEADER_BYTES_MAX)
            .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
            .pool_idle_timeout(Duration::from_secs(IDLE_SECS_MAX));
        let builder = if state.dev {
            builder
        } else {
            builder.dns_resolver(PublicHosts(Arc::new(directory)))
        };
        Ok(Self {
            http: adjust(builder).build()?,
            accounts: Accounts::default(),
        })
    }

    /// The webhook for a claimed chunk.
    pub(crate) fn to<'a>(&'a self, state: &'a State, claim: &'a Claim) -> Webhook<'a> {
        let (tenant, receiver) = (claim.mailing.tenant, claim.receiver.as_ref());
        self.at(state, tenant, receiver, claim.is_trial())
    }

    /// The tenant's webhook; one that is missing, or may not be called, has no way to anybody.
    pub(crate) fn at<'a>(
        &'a self,
        state: &'a State,
        tenant: TenantId,
        receiver: Option<&'a Receiver>,
        is_trial: bool,
    ) -> Webhook<'a> {
        let parsed = |receiver: &'a Receiver| Some((Target::parse(&receiver.url, state.dev).ok()?, receiver));
        let (target, secrets) = match receiver.and_then(parsed) {
            Some((target, receiver)) => (Some(target), receiver.secrets.as_slice()),
            None => (None, [].as_slice()),
        };
        let account = self.accounts.of(tenant, &state.knobs);
        Webhook {
            state,
            http: &self.http,
            target,
            secrets,
            account,
            is_trial,
        }
    }
}

/// Who tells a name's addresses.
pub(crate) enum Directory {
    System,
    /// Of each name the answers, of which a look takes the next; the last one stays.
    #[cfg(test)]
    Told(std::sync::Mutex<std::collections::HashMap<String, Vec<Vec<IpAddr>>>>),
}

impl Directory {
    async fn look(&self, name: &str) -> std::io::Result<Vec<IpAddr>> {
        match self {
            Self::System => Ok(tokio::net::lookup_host((name, 0))
                .await?
                .map(|address| address.ip())
                .collect()),
            #[cfg(test)]
            Self::Told(names) => {
                let mut names = names.lock().unwrap();
                let answers = names.get_mut(name).expect("a name of the test's");
                Ok(if answers.len() > 1 {
                    answers.remove(0)
                } else {
                    answers[0].clone()
                })
            }
        }
    }
}

/// Resolves names to their addresses, if every one of them is public: a name that points inside as well is none to
/// trust. The connection is made to what this returns, so a name can't point elsewhere between the look and the connect;
/// addresses in the URL itself are looked at when it is parsed, for every chunk.
struct PublicHosts(Arc<Directory>);

impl Resolve for PublicHosts {
    fn resolve(&self, name: Name) -> Resolving {
        let directory = self.0.clone();
        Box::pin(async move {
            let found = directory.look(name.as_str()).await?;
            if found.is_empty() || !found.iter().copied().all(is_public) {
                return Err("the host has no public address, or others as well".into());
            }
            let addresses = found.into_iter().map(|ip| SocketAddr::new(ip, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
