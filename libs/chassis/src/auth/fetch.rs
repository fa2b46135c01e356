//! Identity's published keys: fetched over HTTP, or from identity as a peer, and kept for as long as they may be trusted.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use jiff::{SignedDuration, Timestamp};
use reqwest::redirect::Policy;
use tokio::sync::Mutex;
use tonic::transport::Channel;
use tower::Service as _;
use url::Url;

use super::keys::{Issuer, JWKS_PATH, Jwk, Jwks, TrustedKey};

const FETCH_TIMEOUT: Duration = Duration::from_secs(2);
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// How long keys are good while identity can't be reached.
const STALE_SECS_MAX: i64 = 3600;
/// An unknown key id makes us ask again, but strangers can make up as many as they like.
const ASK_AGAIN_SECS: i64 = 30;
const ASK_AGAIN_AFTER_FAILURE_SECS: i64 = 1;

/// Why identity's keys could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("can't fetch the keys of logins")]
    Http(#[from] reqwest::Error),
    #[error("can't fetch the keys of logins")]
    Peer(#[from] tonic::transport::Error),
    #[error("identity answers {0}")]
    Refused(http::StatusCode),
    #[error("the answer broke off")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("no answer within {} s", FETCH_TIMEOUT.as_secs())]
    TimedOut,
    #[error("the answer is longer than {ANSWER_BYTES_MAX} bytes")]
    TooLong,
    #[error("the answer is not a set of keys")]
    Json(#[from] serde_json::Error),
    #[error("the keys of logins are not known yet, or too old to tell")]
    Absent,
}

/// What is kept says about a key id.
enum Look {
    Known(Box<TrustedKey>),
    Unknown,
    /// Identity may know more than we do.
    Ask,
    /// There is nothing to judge by.
    Absent,
}

/// The keys of the last answer.
#[derive(Default)]
struct Kept {
    keys: HashMap<String, TrustedKey>,
    fetched_at: Option<Timestamp>,
    ask_from: Option<Timestamp>,
    /// Whether the last attempt to fetch them failed.
    is_behind: bool,
}

impl Kept {
    fn is_fresh(&self, now: Timestamp) -> bool {
        self.fetched_at
            .is_some_and(|at| now.duration_since(at) <= SignedDuration::from_secs(STALE_SECS_MAX))
    }

    fn look(&self, kid: &str, now: Timestamp) -> Look {
        let is_fresh = self.is_fresh(now);
        match self.keys.get(kid) {
            Some(key) if is_fresh => Look::Known(Box::new(key.clone())),
            _ if self.ask_from.is_none_or(|from| now >= from) => Look::Ask,
            // Identity may have a new key that we could not fetch: its tokens are not wrong, only not for us to judge.
            _ if is_fresh && !self.is_behind => Look::Unknown,
            _ => Look::Absent,
        }
    }

    fn keep(&mut self, jwks: &Jwks, now: Timestamp) {
        // A key of a type we don't use is not an error: identity may be ahead of us.
        let trusted = |jwk: &Jwk| Some((jwk.kid.clone(), TrustedKey::new(jwk, Issuer::Login)?));
        self.keys = jwks.keys.iter().filter_map(trusted).collect();
        self.fetched_at = Some(now);
        self.ask_from = Some(now + SignedDuration::from_secs(ASK_AGAIN_SECS));
        self.is_behind = false;
    }

    fn fail(&mut self, now: Timestamp) {
        self.ask_from = Some(now + SignedDuration::from_secs(ASK_AGAIN_AFTER_FAILURE_SECS));
        self.is_behind = true;
    }
}

/// The way to identity.
enum Way {
    Plain {
        url: Url,
        client: reqwest::Client,
    },
    /// Both ends have proven who they are.
    Secured(Channel),
}

/// Keys that somebody else publishes.
pub(super) struct Published {
    way: Way,
    kept: RwLock<Kept>,
    /// Held while asking, so that many waiting requests ask once.
    asking: Mutex<()>,
}

impl Published {
    pub(super) fn at(identity_url: &Url) -> Result<Self, anyhow::Error> {
        let url = identity_url.join(JWKS_PATH)?;
        // Neither a proxy nor a redirect may put other keys in the place of identity's.
        let client = reqwest::Client::builder()
            .timeout(FETCH_TIMEOUT)
            .no_proxy()
            .redirect(Policy::none())
            .build()?;
        Ok(Self::by(Way::Plain { url, client }))
    }

    pub(super) fn behind(channel: Channel) -> Self {
        Self::by(Way::Secured(channel))
    }

    fn by(way: Way) -> Self {
        // Zero is never: an alert then speaks of a process that has no keys at all, too.
        metrics::gauge!("auth_keys_fetched_timestamp_seconds").set(0.0);
        metrics::counter!("auth_key_fetches_failed_total").increment(0);
        Self {
            way,
            kept: RwLock::default(),
            asking: Mutex::default(),
        }
    }

    /// The key of this id; `None` when identity has no such key.
    ///
    /// # Errors
    /// When there are no keys to judge by.
    pub(super) async fn find(&self, kid: &str, now: Timestamp) -> Result<Option<TrustedKey>, FetchError> {
        if let Some(answer) = settled(self.look(kid, now)) {
            return answer;
        }
        let _asking = self.asking.lock().await;
        // Whoever held the lock before us may have fetched it.
        if let Some(answer) = settled(self.look(kid, now)) {
            return answer;
        }
        let fetched = self.fetch(now).await;
        match (fetched, settled(self.look(kid, now))) {
            // Why, instead of only that.
            (Err(error), Some(Err(_))) => Err(error),
            (_, answer) => answer.unwrap_or(Ok(None)),
        }
    }

    /// Asks identity, whatever is kept.
    pub(super) async fn refresh(&self, now: Timestamp) -> Result<(), FetchError> {
        let _asking = self.asking.lock().await;
        self.fetch(now).await
    }

    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .is_fresh(now)
    }

    fn look(&self, kid: &str, now: Timestamp) -> Look {
        self.kept
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .look(kid, now)
    }

    async fn fetch(&self, now: Timestamp) -> Result<(), FetchError> {
        let answer = self.get().await;
        let mut kept = self.kept.write().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Ok(jwks) => {
                kept.keep(jwks, now);
                metrics::gauge!("auth_keys_fetched_timestamp_seconds").set(now.as_second() as f64);
            }
            Err(_) => {
                kept.fail(now);
                metrics::counter!("auth_key_fetches_failed_total").increment(1);
            }
        }
        answer.map(drop)
    }

    async fn get(&self) -> Result<Jwks, FetchError> {
        let body = match &self.way {
            Way::Plain { url, client } => get_plain(url, client).await?.into(),
            Way::Secured(channel) => {
                let asking = tokio::time::timeout(FETCH_TIMEOUT, get_secured(channel.clone()));
                asking.await.unwrap_or(Err(FetchError::TimedOut))?
            }
        };
        Ok(serde_json::from_slice(&body)?)
    }
}

async fn get_plain(url: &Url, client: &reqwest::Client) -> Result<Vec<u8>, FetchError> {
    let mut response = client.get(url.clone()).send().await?.error_for_status()?;
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

async fn get_secured(mut channel: Channel) -> Result<Bytes, FetchError> {
    let mut request = http::Request::new(tonic::body::Body::empty());
    *request.uri_mut() = http::Uri::from_static(JWKS_PATH);
    poll_fn(|cx| channel.poll_ready(cx)).await?;
    let response = channel.call(request).await?;
    if !response.status().is_success() {
        return Err(FetchError::Refused(response.status()));
    }
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX);
    let body = body
        .collect()
        .await
        .map_err(|error| match error.is::<LengthLimitError>() {
            true => FetchError::TooLong,
            false => FetchError::Body(error),
        })?;
    Ok(body.to_bytes())
}

/// The answer, unless identity has to be asked.
fn settled(look: Look) -> Option<Result<Option<TrustedKey>, FetchError>> {
    match look {
        Look::Known(key) => Some(Ok(Some(*key))),
        Look::Unknown => Some(Ok(None)),
        Look::Absent => Some(Err(FetchError::Absent)),
        Look::Ask => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SigningKey;

    fn jwks(kid: &str) -> Jwks {
        Jwks {
            keys: vec![SigningKey::from_seed(kid, &[7; 32]).jwk()],
        }
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + secs).unwrap()
    }

    fn name(look: &Look) -> &'static str {
        match look {
            Look::Known(_) => "known",
            Look::Unknown => "unknown",
            Look::Ask => "ask",
            Look::Absent => "absent",
        }
    }

    #[test]
    fn nothing_is_known_before_the_first_answer() {
        let mut kept = Kept::default();
        assert_eq!(name(&kept.look("a", at(0))), "ask");
        kept.fail(at(0));
        assert_eq!(name(&kept.look("a", at(0))), "absent");
        assert_eq!(name(&kept.look("a", at(1))), "ask");
    }

    #[test]
    fn made_up_key_ids_ask_at_most_every_30_seconds() {
        let mut kept = Kept::default();
        kept.keep(&jwks("a"), at(0));
        assert_eq!(name(&kept.look("a", at(0))), "known");
        assert_eq!(name(&kept.look("b", at(29))), "unknown");
        assert_eq!(name(&kept.look("b", at(30))), "ask");
    }

    #[test]
    fn keys_outlive_identity_by_an_hour() {
        let mut kept = Kept::default();
        kept.keep(&jwks("a"), at(0));
        kept.fail(at(3600));
        assert_eq!(name(&kept.look("a", at(3600))), "known");
        kept.fail(at(3601));
        assert_eq!(name(&kept.look("a", at(3601))), "absent");
    }

    #[test]
    fn a_new_key_is_not_judged_while_identity_can_not_be_asked() {
        let mut kept = Kept::default();
        kept.keep(&jwks("a"), at(0));
        kept.fail(at(600));
        assert_eq!(name(&kept.look("a", at(600))), "known");
        assert_eq!(name(&kept.look("b", at(600))), "absent");
        assert_eq!(name(&kept.look("b", at(601))), "ask");
        kept.keep(&jwks("b"), at(601));
        assert_eq!(name(&kept.look("a", at(601))), "unknown");
    }

    #[test]
    fn a_rotated_key_replaces_the_old_one_and_foreign_keys_are_skipped() {
        let mut kept = Kept::default();
        kept.keep(&jwks("a"), at(0));
        let mut next = jwks("b");
        next.keys
            .push(serde_json::from_str(r#"{"kid":"c","kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#).unwrap());
        next.keys
            .push(serde_json::from_str(r#"{"kid":"d","kty":"OKP","crv":"Ed25519","x":"AA"}"#).unwrap());
        kept.keep(&next, at(1));
        assert_eq!(kept.keys.keys().collect::<Vec<_>>(), ["b"]);
    }
}
