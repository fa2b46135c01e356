//! What can go wrong in referral-commission, and how the caller is told.

use chassis::{Class, Problem};
use outbox::RecordError;
use outbox::request::RequestError;

use crate::engine::{Fault, Flaw, PersonId};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error(transparent)]
    Fault(#[from] Fault),
    #[error("the tenant has no plan yet")]
    NoPlanYet,
    #[error("another plan was published at the same moment")]
    PlanMoved,
    #[error("an event with this id or about the same thing says something else")]
    KeyConflict,
    #[error("the event lies in the future")]
    InTheFuture,
    #[error("an order has at most {0} events")]
    OrderFull(usize),
    #[error("an order earns at most {0} commissions")]
    OrderTooLarge(usize),
    #[error("no contact {0} is known here")]
    PersonUnknown(PersonId),
    #[error("there is no such order")]
    OrderUnknown,
    #[error("a statement has at most {0} lines")]
    StatementTooLong(i64),
    #[error("`from` is not before `to`")]
    PeriodEmpty,
    #[error("a stored plan or event is not readable")]
    Stored(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// Something we wrote ourselves can't be read.
    pub(crate) fn stored(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Stored(error.into())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use Class::{Conflict, Invalid, NotFound, Refused};
        let (class, code, field, remedy) = match error {
            Error::Fault(fault) => return from_fault(fault),
            Error::NoPlanYet => (
                Refused,
                "plan_missing",
                None,
                "publish one: POST /v1/plans, or POST /v1/plans/yunji-demo",
            ),
            Error::PlanMoved => (
                Conflict,
                "plan_moved",
                None,
                "look at GET /v1/plans and publish again",
            ),
            Error::KeyConflict => (
                Conflict,
                "key_conflict",
                Some("id"),
                "nothing was posted; GET /v1/parked keeps this event",
            ),
            Error::InTheFuture => (
                Invalid,
                "in_the_future",
                Some("occurred_at"),
                "send it once it has happened",
            ),
            Error::OrderFull(_) => (
                Refused,
                "order_full",
                Some("order"),
                "give back several lines in one refund",
            ),
            Error::OrderTooLarge(_) => (
                Invalid,
                "order_too_large",
                Some("lines"),
                "send it as several orders with fewer lines",
            ),
            Error::PersonUnknown(_) => (
                Refused,
                "person_unknown",
                None,
                "nothing was posted; send the event again once the contact has befriended somebody, or name the external id",
            ),
            Error::OrderUnknown => (
                NotFound,
                "order_unknown",
                Some("order"),
                "use the shop's order number",
            ),
            Error::StatementTooLong(_) => (
                Invalid,
                "statement_too_long",
                Some("from"),
                "ask for a shorter period",
            ),
            Error::PeriodEmpty => (Invalid, "period_empty", Some("to"), "give a `to` after `from`"),
            Error::Request(RequestError::OtherBody) => (
                Conflict,
                "idempotency_key_reused",
                Some("Idempotency-Key"),
                "send a new key with a new request, the old key with the unchanged one",
            ),
            Error::Request(RequestError::Database(error))
            | Error::Record(RecordError::Database(error))
            | Error::Database(error) => return Self::from_sqlx(error),
            Error::Stored(error) => return Self::internal(error),
            Error::Request(error) => return Self::internal(error),
            Error::Record(error) => return Self::internal(error),
        };
        let problem = Self::new(class, code, error.to_string()).remedy(remedy);
        match field {
            Some(field) => problem.field(field),
            None => problem,
        }
    }
}

fn from_fault(fault: Fault) -> Problem {
    let Fault { field, flaw } = fault;
    let (class, code, remedy) = match flaw {
        Flaw::Wrong(_) => (Class::Invalid, "invalid_value", "correct this field"),
        Flaw::Unsupported(_) => (Class::Invalid, "not_supported_yet", "leave it out for now"),
        Flaw::Missing => (Class::Invalid, "missing_field", "add it"),
        Flaw::Superfluous => (Class::Invalid, "superfluous_field", "leave it out"),
        Flaw::RewritesPast(_) => (
            Class::Refused,
            "plan_rewrites_past",
            "keep what GET /v1/plans shows, and let the new version start later",
        ),
    };
    let detail = match flaw {
        Flaw::Unsupported(_) | Flaw::RewritesPast(_) => flaw.to_string(),
        _ => format!("{field} {flaw}"),
    };
    Problem::new(class, code, detail).field(field).remedy(remedy)
}
