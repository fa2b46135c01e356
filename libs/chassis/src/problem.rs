//! What can go wrong, classified once: one table from classes to HTTP and gRPC, one wire form (RFC 9457).

use std::error::Error;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde::{Deserialize, Serialize};
use tonic::{Code, Status};
use utoipa::ToSchema;

type Source = Box<dyn Error + Send + Sync>;

/// How the caller can react to a problem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// The request itself is wrong; repeating it unchanged is pointless.
    Invalid,
    /// We don't know who asks.
    Unauthenticated,
    /// We know who asks, and they may not.
    Forbidden,
    /// There is no such thing, or it is another tenant's.
    NotFound,
    /// It was there, and is forgotten for good.
    Gone,
    /// The path exists, the method doesn't.
    MethodNotAllowed,
    /// It clashes with something that exists.
    Conflict,
    /// The request is fine, the present state forbids it.
    Refused,
    /// The body is larger than this route takes.
    TooLarge,
    /// The body is of a type this route doesn't read.
    UnsupportedMedia,
    /// Too often; later is fine.
    TooMany,
    /// Something we depend on is away; later is fine.
    Unavailable,
    /// Our own fault.
    Internal,
}

impl Class {
    /// The one table: title, HTTP status, gRPC code.
    const fn row(self) -> (&'static str, StatusCode, Code) {
        use StatusCode as Http;
        match self {
            Self::Invalid => ("invalid request", Http::BAD_REQUEST, Code::InvalidArgument),
            Self::Unauthenticated => ("not authenticated", Http::UNAUTHORIZED, Code::Unauthenticated),
            Self::Forbidden => ("not allowed", Http::FORBIDDEN, Code::PermissionDenied),
            Self::NotFound => ("not found", Http::NOT_FOUND, Code::NotFound),
            Self::Gone => ("gone", Http::GONE, Code::NotFound),
            Self::MethodNotAllowed => (
                "method not allowed",
                Http::METHOD_NOT_ALLOWED,
                Code::Unimplemented,
            ),
            Self::Conflict => ("conflict", Http::CONFLICT, Code::AlreadyExists),
            Self::Refused => ("refused in this state", Http::CONFLICT, Code::FailedPrecondition),
            Self::TooLarge => ("too large", Http::PAYLOAD_TOO_LARGE, Code::ResourceExhausted),
            Self::UnsupportedMedia => (
                "unsupported media type",
                Http::UNSUPPORTED_MEDIA_TYPE,
                Code::InvalidArgument,
            ),
            Self::TooMany => (
                "too many requests",
                Http::TOO_MANY_REQUESTS,
                Code::ResourceExhausted,
            ),
            Self::Unavailable => ("unavailable", Http::SERVICE_UNAVAILABLE, Code::Unavailable),
            Self::Internal => ("internal error", Http::INTERNAL_SERVER_ERROR, Code::Internal),
        }
    }

    /// The HTTP status of this class.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.row().1
    }

    /// The gRPC code of this class.
    #[must_use]
    pub const fn grpc(self) -> Code {
        self.row().2
    }
}

/// An answer that is not the one asked for.
#[derive(Debug, thiserror::Error)]
#[error("{detail}")]
pub struct Problem {
    pub class: Class,
    /// Stable, `snake_case`; what a client's program looks at.
    pub code: &'static str,
    /// What a person reads; never contains internals.
    pub detail: String,
    /// The part of the request it is about: `members[0].weight`.
    pub field: Option<String>,
    /// What to do about it.
    pub remedy: Option<String>,
    pub retry_after_secs: Option<u32>,
    /// Why, for the log only.
    #[source]
    source: Option<Source>,
}

impl Problem {
    /// A problem of a class; those that pass by themselves ask to be retried after a second.
    #[must_use]
    pub fn new(class: Class, code: &'static str, detail: impl Into<String>) -> Self {
        let passes = matches!(class, Class::TooMany | Class::Unavailable);
        Self {
            class,
            code,
            detail: detail.into(),
            field: None,
            remedy: None,
            retry_after_secs: passes.then_some(1),
            source: None,
        }
    }

    /// Names the part of the request it is about.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says what to do about it.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Says when asking again makes sense.
    #[must_use]
    pub fn retry_after_secs(mut self, secs: u32) -> Self {
        self.retry_after_secs = Some(secs);
        self
    }

    /// Keeps the error behind it for the log.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Our own fault: the caller learns nothing but that, the log everything.
    #[must_use]
    pub fn internal(source: impl Into<Source>) -> Self {
        Self::new(Class::Internal, "internal", "something went wrong on our side")
            .remedy("report the request id if it happens again")
            .caused_by(source)
    }

    /// Something we depend on is away.
    #[must_use]
    pub fn unavailable(source: impl Into<Source>) -> Self {
        Self::new(
            Class::Unavailable,
            "unavailable",
            "something this service depends on is not available",
        )
        .remedy("repeat the request later; with an idempotency key nothing happens twice")
        .caused_by(source)
    }

    /// A database that can't answer now is unavailable, everything else is our fault.
    #[must_use]
    pub fn from_sqlx(error: sqlx::Error) -> Self {
        if is_passing(&error) {
            Self::unavailable(error)
        } else {
            Self::internal(error)
        }
    }

    /// What a failed call of a peer means for our own caller, when the operation itself does not
    /// know better.
    #[must_use]
    pub fn from_peer(status: Status) -> Self {
        match status.code() {
            Code::Unavailable | Code::DeadlineExceeded | Code::Cancelled | Code::ResourceExhausted => {
                Self::unavailable(status)
            }
            // The peer never said so: its connection broke, as it does when it restarts.
            _ if status.source().is_some() => Self::unavailable(status),
            _ => Self::internal(status),
        }
    }

    /// Writes what only the log may know; called once, where the problem leaves the process.
    fn log(&self) {
        let Some(source) = &self.source else { return };
        let cause = chain(source.as_ref());
        match self.class {
            Class::Internal => tracing::error!(code = self.code, cause, "request failed"),
            Class::Unavailable => tracing::warn!(code = self.code, cause, "request refused for now"),
            _ => tracing::debug!(code = self.code, cause, "request refused"),
        }
    }
}

/// Whether the same statement may well succeed a second later.
#[must_use]
pub fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed
        | sqlx::Error::Io(_)
        | sqlx::Error::Tls(_) => true,
        sqlx::Error::Database(error) => error.code().is_some_and(|state| is_passing_state(&state)),
        _ => false,
    }
}

/// SQLSTATEs: connection exceptions (08), too many connections, a full disk and no memory (53), shut down or starting
/// (57P), statement timeout (57014), deadlock and serialization (40), lock timeout (55P03).
fn is_passing_state(state: &str) -> bool {
    matches!(state, "57014" | "55P03")
        || ["08", "53", "57P", "40"]
            .iter()
            .any(|prefix| state.starts_with(prefix))
}

/// `outermost: …: innermost`
fn chain(error: &(dyn Error + 'static)) -> String {
    std::iter::successors(Some(error), |&error| error.source())
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

impl From<sqlx::Error> for Problem {
    fn from(error: sqlx::Error) -> Self {
        Self::from_sqlx(error)
    }
}

/// A problem as it is sent: `application/problem+json`.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct Body {
    /// `urn:shequn:problem:<code>`
    pub r#type: String,
    /// The class of the problem.
    pub title: String,
    pub status: u16,
    /// What happened this time, for people.
    pub detail: String,
    /// Stable name of the problem, for programs.
    pub code: String,
    /// The part of the request it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// Quote it when you report the problem.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.log();
        let (title, status, _) = self.class.row();
        let body = Body {
            r#type: format!("urn:shequn:problem:{}", self.code),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail,
            code: self.code.to_owned(),
            field: self.field,
            remedy: self.remedy,
            request_id: crate::serve::request_id(),
        };
        let mut response = (status, axum::Json(body)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(secs) = self.retry_after_secs {
            headers.insert(header::RETRY_AFTER, secs.into());
        }
        if self.class == Class::Unauthenticated {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

impl From<Problem> for Status {
    /// Code and field travel as metadata of these names.
    fn from(problem: Problem) -> Self {
        problem.log();
        let mut status = Self::new(problem.class.grpc(), problem.detail);
        let metadata = status.metadata_mut();
        metadata.insert("code", tonic::metadata::MetadataValue::from_static(problem.code));
        // A field name that no header can carry is in the detail anyway.
        if let Some(field) = problem.field.and_then(|field| field.parse().ok()) {
            metadata.insert("field", field);
        }
        status
    }
}

#[cfg(test)]
mod tests;
