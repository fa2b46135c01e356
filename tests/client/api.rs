//! One request to one service, and what it answers.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use testkit::{Description, Stack};

/// The longest page the services give.
const PAGE_ITEMS: usize = 500;

const TRIES: usize = 5;

/// Where the services listen.
#[derive(Clone)]
pub struct Api {
    http: reqwest::Client,
    urls: BTreeMap<String, String>,
}

impl Api {
    #[must_use]
    pub fn new(stack: &Stack) -> Self {
        Self::of(stack.description())
    }

    #[must_use]
    pub fn of(description: &Description) -> Self {
        let urls = description
            .processes
            .iter()
            .map(|(name, process)| (name.clone(), process.url("http")))
            .collect();
        Self {
            http: testkit::http(),
            urls,
        }
    }

    /// The address of a service's public API; its name is its schema's: `customers`, `referral`.
    #[must_use]
    pub fn url(&self, service: &str) -> &str {
        &self.urls[service]
    }

    #[must_use]
    pub fn http(&self) -> &reqwest::Client {
        &self.http
    }

    #[must_use]
    pub fn get(&self, service: &str, path: &str) -> Ask {
        self.ask(Method::GET, service, path)
    }

    /// A POST under a fresh idempotency key.
    #[must_use]
    pub fn post(&self, service: &str, path: &str) -> Ask {
        self.ask(Method::POST, service, path)
            .key(&uuid::Uuid::now_v7().to_string())
    }

    #[must_use]
    pub fn put(&self, service: &str, path: &str) -> Ask {
        self.ask(Method::PUT, service, path)
            .key(&uuid::Uuid::now_v7().to_string())
    }

    /// Every item of a list, page by page.
    ///
    /// # Errors
    /// When a page is refused.
    pub async fn all(&self, service: &str, path: &str, token: &str) -> anyhow::Result<Vec<Value>> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let first = format!("{path}{separator}limit={PAGE_ITEMS}");
        let mut items = Vec::new();
        let mut next = Some(first.clone());
        while let Some(path) = next {
            let mut page = self.get(service, &path).token(token).ok().await?;
            match page["items"].take() {
                Value::Array(some) => items.extend(some),
                other => bail!("GET {service} {path}: {other} is no list of items"),
            }
            // Cursors are base64url, so they need no escaping.
            next = page["next_cursor"]
                .as_str()
                .map(|cursor| format!("{first}&cursor={cursor}"));
        }
        Ok(items)
    }

    #[must_use]
    pub fn ask(&self, method: Method, service: &str, path: &str) -> Ask {
        Ask {
            what: format!("{method} {service} {path}"),
            request: self.http.request(method, format!("{}{path}", self.urls[service])),
            key: None,
        }
    }
}

/// A request in the making.
pub struct Ask {
    what: String,
    request: reqwest::RequestBuilder,
    key: Option<String>,
}

impl Ask {
    #[must_use]
    pub fn token(mut self, token: &str) -> Self {
        self.request = self.request.bearer_auth(token);
        self
    }

    /// Replaces the idempotency key; an empty one sends none.
    #[must_use]
    pub fn key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned()).filter(|key| !key.is_empty());
        self
    }

    #[must_use]
    pub fn json(mut self, body: &Value) -> Self {
        self.request = self.request.json(body);
        self
    }

    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.request = self.request.header(name, value);
        self
    }

    #[must_use]
    pub fn body(mut self, content_type: &str, body: impl Into<reqwest::Body>) -> Self {
        self.request = self.request.header("content-type", content_type).body(body);
        self
    }

    /// Waits this long for the answer, instead of 30 s.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.request = self.request.timeout(limit);
        self
    }

    /// Sends it, for an answer that is read as it comes.
    ///
    /// # Errors
    /// When nothing is answered, or a refusal.
    pub async fn open(self) -> anyhow::Result<reqwest::Response> {
        let response = self.request.send().await.with_context(|| self.what.clone())?;
        response.error_for_status().context(self.what)
    }

    /// Sends it, whatever is answered.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn send(self) -> anyhow::Result<Answer> {
        let request = match &self.key {
            Some(key) => self.request.header("idempotency-key", key),
            None => self.request,
        };
        let response = request.send().await.with_context(|| self.what.clone())?;
        let status = response.status();
        let headers = response.headers().clone();
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Answer {
            what: self.what,
            status,
            headers,
            body,
        })
    }

    /// Sends it. A refusal for now is taken at its word: sent again after Retry-After, under the
    /// same key, a few times.
    ///
    /// # Errors
    /// When nothing is answered.
    pub async fn answer(mut self) -> anyhow::Result<Answer> {
        for _ in 1..TRIES {
            // A body that streams can't be sent twice.
            let Some(again) = self.again() else { break };
            let answer = self.send().await?;
            let Some(wait) = answer.retry_after() else {
                return Ok(answer);
            };
            tokio::time::sleep(wait).await;
            self = again;
        }
        self.send().await
    }

    /// Sends it, again when it is told to, and expects success.
    ///
    /// # Errors
    /// When it is refused, with the problem.
    pub async fn ok(self) -> anyhow::Result<Value> {
        self.answer().await?.ok()
    }

    fn again(&self) -> Option<Self> {
        let request = self.request.try_clone()?;
        Some(Self {
            what: self.what.clone(),
            request,
            key: self.key.clone(),
        })
    }
}

/// What was answered.
#[derive(Debug)]
pub struct Answer {
    pub what: String,
    pub status: StatusCode,
    pub headers: reqwest::header::HeaderMap,
    pub body: Value,
}

impl Answer {
    /// How long a service that is not available asks to wait.
    fn retry_after(&self) -> Option<Duration> {
        let header = self
            .headers
            .get("retry-after")
            .filter(|_| self.status == StatusCode::SERVICE_UNAVAILABLE)?;
        header.to_str().ok()?.parse().ok().map(Duration::from_secs)
    }

    /// What it says, when it says yes.
    ///
    /// # Errors
    /// When it is a refusal, with the problem.
    pub fn ok(self) -> anyhow::Result<Value> {
        if self.status.is_success() {
            return Ok(self.body);
        }
        let part = |name: &str| self.body[name].as_str();
        let Some(detail) = part("detail") else {
            bail!("{}: {} {}", self.what, self.status, self.body)
        };
        let place = part("field")
            .map(|field| format!(" at {field}"))
            .unwrap_or_default();
        let remedy = part("remedy")
            .map(|remedy| format!("; remedy: {remedy}"))
            .unwrap_or_default();
        bail!(
            "{}: {} {}{place}: {detail}{remedy}",
            self.what,
            self.status.as_u16(),
            self.code()
        )
    }

    /// The stable code of the problem, or an empty text.
    #[must_use]
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}
