//! Sends what is to be tried, and reads what came of it.

use client::{Answer, Api};
use reqwest::StatusCode;
use serde_json::Value;
use uuid::Uuid;

use super::document::{Filled, Operation};
use crate::isolation::findings::Findings;
use crate::isolation::world::World;

/// Headers by which somebody might hope to become another tenant.
const TENANT_HEADERS: [&str; 6] = [
    "x-tenant-id",
    "x-tenant",
    "tenant-id",
    "x-shequn-tenant",
    "ce-tenantid",
    "x-forwarded-tenant",
];

pub(super) struct Probe<'a> {
    pub(super) service: &'a str,
    pub(super) api: &'a Api,
    pub(super) home: &'a World,
    pub(super) foreign: &'a World,
    pub(super) findings: Findings,
}

/// How a request is sent, apart from what it says.
#[derive(Clone, Default)]
pub(super) struct Manner<'a> {
    pub(super) token: Option<String>,
    /// No idempotency key at all with `Some("")`; one of its own with `None`.
    pub(super) key: Option<&'a str>,
    /// A tenant named in every header there could be.
    pub(super) forged: Option<&'a str>,
    /// The trace it belongs to, as a header says it.
    pub(super) traceparent: Option<&'a str>,
    /// White space after the body: the same meaning in other bytes.
    pub(super) padding: &'static str,
}

impl Manner<'_> {
    pub(super) fn with(token: Option<String>) -> Self {
        Self {
            token,
            ..Self::default()
        }
    }
}

impl Probe<'_> {
    pub(super) async fn send(
        &self,
        operation: &Operation,
        filled: &Filled,
        manner: &Manner<'_>,
    ) -> anyhow::Result<Answer> {
        let fresh = Uuid::now_v7().to_string();
        let ask = self.api.ask(operation.method.clone(), self.service, &filled.path);
        let mut ask = ask.key(manner.key.unwrap_or(if operation.is_keyed { &fresh } else { "" }));
        if let Some(token) = &manner.token {
            ask = ask.token(token);
        }
        for header in manner.forged.iter().flat_map(|_| TENANT_HEADERS) {
            ask = ask.header(header, manner.forged.unwrap_or_default());
        }
        if let Some(traceparent) = manner.traceparent {
            ask = ask.header("traceparent", traceparent);
        }
        if let (Some(body), Some(described)) = (&filled.body, &operation.body) {
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            ask = ask.body(&described.media_type, text + manner.padding);
        }
        ask.send().await
    }

    pub(super) fn expect(&mut self, answer: &Answer, status: StatusCode, codes: &[&str], what: &str) {
        let is_problem = answer
            .headers
            .get("content-type")
            .is_some_and(|media| media == "application/problem+json");
        let holds = answer.status == status && codes.contains(&answer.code()) && is_problem;
        self.findings.check(holds, || {
            format!("{}, not {status} {codes:?}", told(what, answer))
        });
    }
}

/// What the asker can see of an answer, apart from what they said themselves.
pub(super) fn look(answer: &Answer, value: &Value) -> (StatusCode, String) {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    let said = value.as_str().unwrap_or_default();
    (answer.status, body.to_string().replace(said, "…"))
}

pub(super) fn told(what: &str, answer: &Answer) -> String {
    format!(
        "{}: {what} is answered {} {}",
        answer.what, answer.status, answer.body
    )
}
