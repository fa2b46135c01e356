//! The tenant's own system. It can dedupe by the `webhook-id` header (also `id` in the body), which is the same in every
//! attempt; a repetition happens after a lost answer, and for at most 50 recipients per worker crash.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use contracts::{BroadcastId, ContactId, MemberId, MessageId, TenantId};
use futures::{FutureExt as _, StreamExt as _, stream};
use jiff::Timestamp;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::RETRY_AFTER;
use reqwest::redirect::Policy;
use serde::Serialize;

use super::{Delivered, Delivery, Mailing};
use crate::State;
use crate::broadcast::Kind;
use crate::grip::{Grip, Released};
use crate::message;
use crate::outcome::Outcome;
use crate::pace::Pace;
use crate::webhook::{Receipt, Target, back_off, is_public, retry_after};

const CONNECT_SECS_MAX: u64 = 3;
/// Of an answer no more is read, and nothing of it is used: it is only read so that the connection can go on.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// What a receiver gets.
#[derive(Serialize)]
struct Body<'a> {
    /// The same in every attempt.
    id: MessageId,
    kind: Kind,
    tenant: TenantId,
    broadcast_id: BroadcastId,
    contact_id: ContactId,
    member_id: MemberId,
    text: &'a str,
    /// Where the contact opts out; show it with the message.
    opt_out_url: String,
    sent_at: Timestamp,
}

/// Connections to all receivers. No proxy, no redirect.
pub(crate) struct Client {
    http: reqwest::Client,
}

impl Client {
    pub(crate) fn new(state: &State) -> anyhow::Result<Self> {
        let builder = reqwest::Client::builder()
            .user_agent(concat!("shequn/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(Duration::from_secs(CONNECT_SECS_MAX))
            .timeout(state.knobs.webhook_timeout());
        let builder = if state.dev {
            builder
        } else {
            builder.dns_resolver(PublicHosts)
        };
        Ok(Self {
            http: builder.build()?,
        })
    }

    /// The webhook at this URL; one that is missing, or may not be called, has no way to anybody.
    pub(crate) fn to<'a>(&'a self, state: &'a State, url: Option<&str>) -> Webhook<'a> {
        let target = url.and_then(|url| Target::parse(url, state.dev).ok());
        Webhook {
            state,
            http: &self.http,
            target,
        }
    }
}

/// Resolves names to their public addresses. The connection is made to what this returns, so a name can't point
/// elsewhere between the look and the connect; addresses in the URL itself were looked at when it was parsed.
struct PublicHosts;

impl Resolve for PublicHosts {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let public: Vec<SocketAddr> = found.filter(|address| is_public(address.ip())).collect();
            if public.is_empty() {
                return Err("the host has no public address".into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

pub(crate) struct Webhook<'a> {
    state: &'a State,
    http: &'a reqwest::Client,
    target: Option<Target>,
}

/// One attempt.
enum Attempt {
    Taken,
    Refused,
    Failed {
        retry_after: Option<Duration>,
        is_handed: bool,
    },
}

impl Webhook<'_> {
    pub(crate) async fn deliver(
        &self,
        mailing: &Mailing,
        contacts: &[ContactId],
        pace: Pace,
        grip: &Grip,
    ) -> Delivered {
        let Some(target) = &self.target else {
            let nobody = |&contact| Delivery {
                contact,
                outcome: Outcome::NoChannel,
                is_handed: false,
            };
            return Delivered {
                deliveries: contacts.iter().map(nobody).collect(),
                ..Delivered::default()
            };
        };
        // Boxed and collected, or the compiler can't see that the stream may move between threads.
        let calls: Vec<_> = contacts
            .iter()
            .enumerate()
            .map(|(i, &contact)| self.call(target, mailing, contact, pace.at(i), grip).boxed())
            .collect();
        let mut calls = stream::iter(calls).buffer_unordered(self.state.knobs.webhook_calls_max.into());
        let mut delivered = Delivered::default();
        while let Some(called) = calls.next().await {
            match called {
                Called::Ended(delivery) => delivered.deliveries.push(delivery),
                Called::InDoubt => delivered.is_in_doubt = true,
                Called::NotStarted => {}
            }
        }
        delivered
    }

    /// One recipient: up to `webhook_attempts_max` attempts, none of them started without the grip.
    async fn call(
        &self,
        target: &Target,
        mailing: &Mailing,
        contact: ContactId,
        due: Instant,
        grip: &Grip,
    ) -> Called {
        let ended = |outcome, is_handed| {
            Called::Ended(Delivery {
                contact,
                outcome,
                is_handed,
            })
        };
        let (mut at, mut was_handed) = (due, false);
        for attempt in 1..=self.state.knobs.webhook_attempts_max {
            match grip.wait_until(at).await {
                None => {}
                Some(Released::Cancelled) if was_handed => return ended(Outcome::Cancelled, true),
                Some(_) if was_handed => return Called::InDoubt,
                Some(_) => return Called::NotStarted,
            }
            match self.attempt(target, mailing, contact).await {
                Attempt::Taken => return ended(Outcome::Delivered, true),
                Attempt::Refused => return ended(Outcome::Dead, true),
                Attempt::Failed {
                    retry_after,
                    is_handed,
                } => {
                    was_handed |= is_handed;
                    at = Instant::now() + back_off(attempt, retry_after, self.state.knobs.retry_after_max());
                }
            }
        }
        ended(Outcome::Dead, was_handed)
    }

    async fn attempt(&self, target: &Target, mailing: &Mailing, contact: ContactId) -> Attempt {
        let body = Body {
            id: message::mass(mailing.broadcast, contact),
            kind: mailing.kind,
            tenant: mailing.tenant,
            broadcast_id: mailing.broadcast,
            contact_id: contact,
            member_id: mailing.member,
            text: &mailing.text,
            opt_out_url: mailing.links.of(contact),
            sent_at: self.state.clock.now(),
        };
        let request = self
            .http
            .post(target.url().clone())
            .header("webhook-id", body.id.to_string())
            .json(&body);
        let response = match request.send().await {
            Ok(response) => response,
            Err(error) => {
                // Without a connection nothing was handed over.
                let is_handed = !error.is_connect();
                tracing::debug!(error = %error.without_url(), "webhook not reached");
                return Attempt::Failed {
                    retry_after: None,
                    is_handed,
                };
            }
        };
        let receipt = Receipt::of(response.status().as_u16());
        let asked = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, body.sent_at));
        discard(response).await;
        match receipt {
            Receipt::Taken => Attempt::Taken,
            Receipt::Refused => Attempt::Refused,
            Receipt::Again => Attempt::Failed {
                retry_after: asked,
                is_handed: true,
            },
        }
    }
}

enum Called {
    Ended(Delivery),
    InDoubt,
    NotStarted,
}

/// The status is the answer; whatever happens to the rest changes nothing.
async fn discard(mut response: reqwest::Response) {
    let mut bytes = 0;
    while let Ok(Some(chunk)) = response.chunk().await {
        bytes += chunk.len();
        if bytes > ANSWER_BYTES_MAX {
            return;
        }
    }
}
