//! What can go wrong in identity, and what a caller is told about it.

use chassis::auth::Role;
use chassis::{Class, Problem};
use outbox::RecordError;
use outbox::request::RequestError;

use crate::seal::SealError;
use crate::tenant::TenantState;

/// Why an operation could not be done.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the slug belongs to another tenant")]
    SlugTaken,
    #[error("the e-mail address belongs to another member")]
    EmailTaken,
    #[error("there is no such tenant")]
    TenantUnknown,
    #[error("there is no such member")]
    MemberUnknown,
    #[error("the tenant is {0}, it does not wait for a decision")]
    TenantNotPending(TenantState),
    #[error("the tenant is {0}, there is nothing to submit again for")]
    TenantNotRejected(TenantState),
    #[error("a tenant's last owner can't leave")]
    LastOwner,
    #[error("this is above your own role: {}", .0.as_str())]
    RoleAbove(Role),
    #[error("tenant, e-mail address or password is wrong")]
    CredentialsWrong,
    #[error("the refresh token is used, expired or unknown")]
    RefreshTokenInvalid,
    #[error("too many failed logins")]
    Throttled { retry_after_secs: u32 },
    #[error("too many passwords are being checked")]
    TooManyHashes,
    #[error("there is no key to sign with yet")]
    NoSigningKey,
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error(transparent)]
    Seal(#[from] SealError),
    #[error("the database failed")]
    Database(#[from] sqlx::Error),
    #[error("identity failed")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    pub(crate) fn internal(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Internal(source.into())
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::OtherBody => Self::KeyReused,
            RequestError::Database(error) => Self::Database(error),
            error @ RequestError::Answer(_) => Self::internal(error),
        }
    }
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Database(error) => Self::Database(error),
            error @ RecordError::Envelope(_) => Self::internal(error),
        }
    }
}

/// The one table.
impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let text = error.to_string();
        let problem = |class, code| Self::new(class, code, text);
        match error {
            Error::SlugTaken => problem(Class::Conflict, "slug_taken")
                .field("slug")
                .remedy("choose another slug"),
            Error::EmailTaken => problem(Class::Conflict, "email_taken")
                .field("email")
                .remedy("one member has one address"),
            Error::TenantUnknown => problem(Class::NotFound, "tenant_unknown"),
            Error::MemberUnknown => problem(Class::NotFound, "member_unknown"),
            Error::TenantNotPending(_) => problem(Class::Refused, "tenant_not_pending"),
            Error::TenantNotRejected(_) => problem(Class::Refused, "tenant_not_rejected"),
            Error::LastOwner => problem(Class::Refused, "last_owner").remedy("let another owner join before"),
            Error::RoleAbove(_) => problem(Class::Forbidden, "role_above")
                .field("role")
                .remedy("ask an owner"),
            Error::CredentialsWrong => problem(Class::Unauthenticated, "credentials_wrong"),
            Error::RefreshTokenInvalid => {
                problem(Class::Unauthenticated, "refresh_token_invalid").remedy("log in again")
            }
            Error::Throttled { retry_after_secs } => problem(Class::TooMany, "login_throttled")
                .retry_after_secs(retry_after_secs)
                .remedy("wait as long as Retry-After says"),
            Error::TooManyHashes => problem(Class::Unavailable, "logins_busy"),
            Error::NoSigningKey => problem(Class::Unavailable, "signing_key_missing"),
            Error::KeyReused => problem(Class::Conflict, "idempotency_key_reused")
                .field("Idempotency-Key")
                .remedy("take a new key for a new request"),
            Error::Database(error) => Self::from_sqlx(error),
            Error::Seal(_) | Error::Internal(_) => Self::internal(error),
        }
    }
}
