//! What can go wrong in groups, and how the caller is told.

use chassis::{Class, Problem};
use outbox::RecordError;
use outbox::request::RequestError;

#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the tenant is not verified yet")]
    TenantUnverified,
    #[error("there is no such series")]
    SeriesUnknown,
    #[error("there is no such group")]
    GroupUnknown,
    #[error("the contact has no seat in such a group")]
    SeatUnknown,
    #[error("there is no such contact")]
    ContactUnknown,
    #[error("a member joins or leaves for a contact, and none is named")]
    ContactMissing,
    #[error("a contact joins and leaves for itself only")]
    ContactForeign,
    #[error("capacity is {asked}, the policy allows 1 to {seats_max}")]
    CapacityOutOfRange { asked: i32, seats_max: i32 },
    #[error("the owner is the nil id, which is nobody's")]
    OwnerNil,
    #[error("no capacity profile is in effect for this kind of group")]
    NoCapacityProfile,
    #[error("all seats of the group are taken")]
    GroupFull,
    #[error("the group is for employees")]
    GroupInternal,
    #[error("the contact took or left a seat at the same moment")]
    SeatRaced,
    #[error("too many are joining at the moment")]
    Crowded,
    #[error("customers did not answer")]
    Customers(#[source] Box<tonic::Status>),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        use Class::{Conflict, Forbidden, Invalid, NotFound, Refused, Unavailable};
        let (class, code, field, remedy) = match error {
            Error::TenantUnverified => (
                Refused,
                "tenant_unverified",
                None,
                "wait for the review of the tenant",
            ),
            Error::SeriesUnknown => (
                NotFound,
                "series_unknown",
                Some("series_id"),
                "take it from GET /v1/series",
            ),
            Error::GroupUnknown => (
                NotFound,
                "group_unknown",
                Some("group_id"),
                "take it from GET /v1/groups",
            ),
            Error::SeatUnknown => (
                NotFound,
                "seat_unknown",
                Some("contact_id"),
                "look it up in GET /v1/groups/{group_id}/contacts",
            ),
            Error::ContactUnknown => (
                Invalid,
                "unknown_contact",
                Some("contact_id"),
                "take it from GET /v1/contacts of customers",
            ),
            Error::ContactMissing => (Invalid, "contact_missing", Some("contact_id"), "name the contact"),
            Error::ContactForeign => (
                Forbidden,
                "contact_foreign",
                Some("contact_id"),
                "leave contact_id out",
            ),
            Error::CapacityOutOfRange { .. } => (
                Invalid,
                "capacity_out_of_range",
                Some("capacity"),
                "ask for fewer seats, or leave capacity out for as many as the policy allows",
            ),
            Error::OwnerNil => (
                Invalid,
                "owner_nil",
                Some("owner_id"),
                "name a member, or leave owner_id out to own it yourself",
            ),
            Error::NoCapacityProfile => (
                Refused,
                "no_capacity_profile",
                Some("kind"),
                "ask the platform when its profile takes effect",
            ),
            Error::GroupFull => (
                Refused,
                "group_full",
                Some("group_id"),
                "join the series instead, or a group with a free seat",
            ),
            Error::GroupInternal => (
                Refused,
                "group_internal",
                Some("group_id"),
                "join a group of kind external",
            ),
            Error::SeatRaced => (
                Unavailable,
                "seat_raced",
                None,
                "repeat the request with the same key",
            ),
            Error::Crowded => (
                Unavailable,
                "crowded",
                None,
                "repeat the request with the same key",
            ),
            Error::Request(RequestError::OtherBody) => (
                Conflict,
                "idempotency_key_reused",
                Some("Idempotency-Key"),
                "send a new key with a new request, the old key with the unchanged one",
            ),
            Error::Customers(status) => return Self::from_peer(*status),
            Error::Request(RequestError::Database(error))
            | Error::Record(RecordError::Database(error))
            | Error::Database(error) => return Self::from_sqlx(error),
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
