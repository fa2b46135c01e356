//! The tenant's own system, called as Standard Webhooks says. It can dedupe by the `webhook-id` header (also `id` in the
//! body), which is the same in every attempt; a repetition happens after a lost answer, and for at most 50 recipients
//! per worker crash.

mod client;

use client::{Http, is_handed};

pub(crate) use client::Client;
#[cfg(test)]
pub(crate) use client::Directory;

use std::sync::Arc;
use std::time::Duration;

use contracts::{BroadcastId, ContactId, GroupId, MemberId, MessageId, TenantId};
use futures::FutureExt as _;
use http::Request;
use http::header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::timeout;

use super::account::Account;
use super::calls::{Caller, Failed};
use super::{Delivered, Delivery, Mailing};
use crate::State;
use crate::broadcast::Kind;
use crate::content::Language;
use crate::content::card::Card;
use crate::failure::Failure;
use crate::grip::Grip;
use crate::message;
use crate::outcome::Outcome;
use crate::pace::Pace;
use crate::post::To;
use crate::webhook::{Secret, Target, retry_after, signatures};

/// Of an answer no more is read, and nothing of it is used: it is only read so that the connection can go on.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
const ANSWER_WAIT_MAX: Duration = Duration::from_millis(500);

const AGENT: HeaderValue = HeaderValue::from_static(concat!("shequn/", env!("CARGO_PKG_VERSION")));
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// What a receiver gets.
#[derive(Serialize)]
struct Body<'a> {
    /// The same in every attempt.
    id: MessageId,
    kind: Kind,
    tenant: TenantId,
    broadcast_id: BroadcastId,
    #[serde(flatten)]
    recipient: Recipient,
    member_id: MemberId,
    /// None where one text is for all.
    language: Option<Language>,
    text: &'a str,
    attachments: &'a [Card],
    sent_at: Timestamp,
}

/// Whom it is for.
#[derive(Serialize)]
#[serde(untagged)]
enum Recipient {
    Contact {
        contact_id: ContactId,
        /// Where the contact opts out; show it with the message.
        opt_out_url: String,
    },
    /// It is to be posted in the group.
    Group { group_id: GroupId },
}

impl Recipient {
    fn of(mailing: &Mailing, recipient: ContactId) -> Self {
        match mailing.to {
            To::Contacts => Self::Contact {
                contact_id: recipient,
                opt_out_url: mailing.links.of(recipient),
            },
            To::Groups => Self::Group {
                group_id: GroupId(recipient.0),
            },
        }
    }
}

pub(crate) struct Webhook<'a> {
    state: &'a State,
    http: &'a Http,
    target: Option<Target>,
    secrets: &'a [Secret],
    account: Arc<Account>,
    is_trial: bool,
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
                failure: None,
            };
            return Delivered {
                deliveries: contacts.iter().map(nobody).collect(),
                ..Delivered::default()
            };
        };
        let caller = Caller {
            account: &self.account,
            knobs: &self.state.knobs,
            grip,
            is_trial: self.is_trial,
        };
        // Boxed and collected, or the compiler can't see that the stream may move between threads.
        let calls = contacts.iter().enumerate().map(|(i, &contact)| {
            let attempt = move || self.attempt(target, mailing, contact);
            caller.call(contact, pace.at(i), attempt).boxed()
        });
        let calls = calls.collect();
        caller.gather(calls, self.calls_max()).await
    }

    pub(super) fn calls_max(&self) -> usize {
        self.state.knobs.webhook_calls_max.into()
    }

    async fn attempt(&self, target: &Target, mailing: &Mailing, contact: ContactId) -> Result<(), Failed> {
        let said = mailing.letter.to(contact);
        let body = Body {
            id: message::mass(mailing.broadcast, contact),
            kind: mailing.kind,
            tenant: mailing.tenant,
            broadcast_id: mailing.broadcast,
            recipient: Recipient::of(mailing, contact),
            member_id: mailing.member,
            language: said.language,
            text: &said.text,
            attachments: &said.attachments,
            sent_at: self.state.clock.now(),
        };
        let failed = |failure, is_handed, retry_after| Failed {
            failure,
            retry_after,
            is_handed,
        };
        let Ok(bytes) = serde_json::to_vec(&body) else {
            return Err(failed(Failure::Refused, false, None)); // of strings and ids alone: it always encodes
        };
        let (id, at_secs) = (body.id.to_string(), body.sent_at.as_second());
        let signed = signatures(self.secrets, &id, at_secs, &bytes);
        let request = Request::post(target.uri().clone())
            .header(USER_AGENT, AGENT)
            .header(CONTENT_TYPE, JSON)
            .header(ID, id)
            .header(TIMESTAMP, at_secs)
            .header(SIGNATURE, signed)
            .body(Full::from(bytes));
        let Ok(request) = request else {
            return Err(failed(Failure::Refused, false, None)); // of ids and base64 alone: it is always a header
        };
        let response = match timeout(self.state.knobs.webhook_timeout(), self.http.call(request)).await {
            Ok(Ok(response)) => response,
            Ok(Err(error)) => {
                tracing::debug!(%error, "webhook not reached");
                let failure = match error.is_connect() {
                    true => Failure::Unreachable,
                    false => Failure::Broken,
                };
                return Err(failed(failure, is_handed(&error), None));
            }
            Err(_) => return Err(failed(Failure::TimedOut, true, None)),
        };
        let failure = Failure::of_status(response.status().as_u16());
        let asked = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|value| retry_after(value.to_str().ok()?, body.sent_at));
        discard(response.into_body()).await;
        match failure {
            None => Ok(()),
            Some(failure) => Err(failed(failure, true, asked)),
        }
    }
}

/// The status is the answer; whatever happens to the rest changes nothing, and takes no longer than a moment.
async fn discard(mut body: Incoming) {
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(frame)) = body.frame().await {
            bytes += frame.data_ref().map_or(0, Bytes::len);
            if bytes > ANSWER_BYTES_MAX {
                return;
            }
        }
    };
    let _ = timeout(ANSWER_WAIT_MAX, all).await;
}
