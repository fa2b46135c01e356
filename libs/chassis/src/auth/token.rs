//! The claims of a token and the rules they keep; pure, given the key and the time.

use contracts::{ContactId, MemberId, TenantId};
use jiff::Timestamp;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::caller::{Caller, Role};
use super::keys::{Issuer, TrustedKey};

/// Who signs tokens of members and reviewers.
pub const LOGIN_ISSUER: &str = "identity";
/// Who signs tokens of contacts.
pub const CONTACT_ISSUER: &str = "customers";
/// Where members and reviewers may go.
pub const LOGIN_AUDIENCE: [&str; 5] = ["identity", "customers", "groups", "broadcast", "referral"];
/// Where contacts may go.
pub const CONTACT_AUDIENCE: [&str; 3] = ["customers", "groups", "broadcast"];

pub const TOKEN_BYTES_MAX: usize = 4096;
/// How far two machines' clocks may be apart.
const LEEWAY_SECS: i64 = 30;

/// What kind of caller a token proves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Member,
    Reviewer,
    Service,
    Contact,
}

impl Kind {
    /// How long such a token may live.
    #[must_use]
    pub const fn life_secs_max(self) -> i64 {
        match self {
            Self::Member | Self::Reviewer => 600,
            Self::Service => 300,
            Self::Contact => 30 * 24 * 3600,
        }
    }

    /// Keys of logins sign nothing but logins, keys of services never do.
    fn is_signed_by(self, issuer: &Issuer) -> bool {
        match (self, issuer) {
            (Self::Member | Self::Reviewer, Issuer::Login) | (Self::Service, Issuer::Peer(_)) => true,
            (Self::Contact, Issuer::Peer(name)) => name == CONTACT_ISSUER,
            _ => false,
        }
    }
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    pub iss: String,
    pub aud: Vec<String>,
    pub sub: String,
    pub exp: i64,
    pub iat: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<i64>,
    pub jti: Uuid,
    pub kind: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

impl Claims {
    /// A member's access token.
    #[must_use]
    pub fn member(tenant: TenantId, member: MemberId, role: Role, now: Timestamp) -> Self {
        let claims = Self::new(
            Kind::Member,
            LOGIN_ISSUER,
            &LOGIN_AUDIENCE,
            member.to_string(),
            now,
        );
        Self {
            tenant: Some(tenant),
            role: Some(role),
            ..claims
        }
    }

    /// A platform reviewer's access token.
    #[must_use]
    pub fn reviewer(reviewer: Uuid, now: Timestamp) -> Self {
        Self::new(
            Kind::Reviewer,
            LOGIN_ISSUER,
            &LOGIN_AUDIENCE,
            reviewer.to_string(),
            now,
        )
    }

    /// What `service` shows to `target` while it acts for `tenant`.
    #[must_use]
    pub fn service(service: &str, target: &str, tenant: TenantId, now: Timestamp) -> Self {
        let claims = Self::new(Kind::Service, service, &[target], service.to_owned(), now);
        Self {
            tenant: Some(tenant),
            ..claims
        }
    }

    /// What a contact gets for a scan.
    #[must_use]
    pub fn contact(tenant: TenantId, contact: ContactId, now: Timestamp) -> Self {
        let claims = Self::new(
            Kind::Contact,
            CONTACT_ISSUER,
            &CONTACT_AUDIENCE,
            contact.to_string(),
            now,
        );
        Self {
            tenant: Some(tenant),
            ..claims
        }
    }

    fn new(kind: Kind, iss: &str, aud: &[&str], sub: String, now: Timestamp) -> Self {
        let iat = now.as_second();
        Self {
            iss: iss.to_owned(),
            aud: aud.iter().map(|&name| name.to_owned()).collect(),
            sub,
            exp: iat + kind.life_secs_max(),
            iat,
            nbf: None,
            jti: Uuid::now_v7(),
            kind,
            tenant: None,
            role: None,
        }
    }

    /// Who the claims prove to be asking `service`, when `issuer` signed them.
    fn caller(self, issuer: &Issuer, service: &str, now: Timestamp) -> Result<Caller, Fault> {
        if self.iss != issuer.name() {
            return Err(Fault::Issuer);
        }
        if !self.kind.is_signed_by(issuer) {
            return Err(Fault::Kind);
        }
        if !self.aud.iter().any(|name| name == service) {
            return Err(Fault::Audience);
        }
        self.check_times(now.as_second())?;
        if self.role.is_some() && self.kind != Kind::Member {
            return Err(Fault::Role);
        }
        match self.kind {
            Kind::Member => Ok(Caller::Member {
                tenant: self.tenant.ok_or(Fault::Tenant)?,
                member: self.sub.parse().map_err(|_| Fault::Subject)?,
                role: self.role.ok_or(Fault::Role)?,
            }),
            Kind::Reviewer if self.tenant.is_some() => Err(Fault::Tenant),
            Kind::Reviewer => Ok(Caller::Reviewer {
                reviewer: self.sub.parse().map_err(|_| Fault::Subject)?,
            }),
            Kind::Service if self.sub != self.iss => Err(Fault::Subject),
            // A token for several targets could be replayed by one of them at another.
            Kind::Service if self.aud.len() != 1 => Err(Fault::Audience),
            Kind::Service => Ok(Caller::Service {
                service: self.sub,
                tenant: self.tenant.ok_or(Fault::Tenant)?,
            }),
            Kind::Contact => Ok(Caller::Contact {
                tenant: self.tenant.ok_or(Fault::Tenant)?,
                contact: self.sub.parse().map_err(|_| Fault::Subject)?,
            }),
        }
    }

    fn check_times(&self, now: i64) -> Result<(), Fault> {
        let life_secs = self.exp.checked_sub(self.iat).ok_or(Fault::Life)?;
        if !(1..=self.kind.life_secs_max()).contains(&life_secs) {
            return Err(Fault::Life);
        }
        if self.iat.max(self.nbf.unwrap_or(i64::MIN)) > now + LEEWAY_SECS {
            return Err(Fault::NotYet);
        }
        if self.exp <= now - LEEWAY_SECS {
            return Err(Fault::Expired);
        }
        Ok(())
    }
}

/// Why a token proves nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("token is longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("token is not a JWT with this platform's claims")]
    Malformed,
    #[error("token is not signed with EdDSA")]
    Algorithm,
    #[error("token does not name its key")]
    KeyMissing,
    #[error("token names a key that is not known here")]
    KeyUnknown,
    #[error("token's signature does not fit")]
    Signature,
    #[error("token's issuer is not the owner of its key")]
    Issuer,
    #[error("token is of a kind its issuer may not sign")]
    Kind,
    #[error("token is meant for another service")]
    Audience,
    #[error("token lives longer than its kind may, or not at all")]
    Life,
    #[error("token is not valid yet")]
    NotYet,
    #[error("token has expired")]
    Expired,
    #[error("token's subject is not what its kind needs")]
    Subject,
    #[error("token's tenant is not what its kind needs")]
    Tenant,
    #[error("token's role is not what its kind needs")]
    Role,
}

/// The id of the key a token claims to be signed with; nothing is proven yet.
pub(super) fn kid(token: &str) -> Result<String, Fault> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(Fault::TooLong);
    }
    let header = jsonwebtoken::decode_header(token).map_err(|_| Fault::Malformed)?;
    if header.alg != Algorithm::EdDSA {
        return Err(Fault::Algorithm);
    }
    // RFC 7515 4.1.11: what must be understood and is not, must be refused.
    if header.crit.is_some() {
        return Err(Fault::Malformed);
    }
    header.kid.ok_or(Fault::KeyMissing)
}

/// Who a token proves to be asking `service`.
pub(super) fn open(token: &str, key: &TrustedKey, service: &str, now: Timestamp) -> Result<Caller, Fault> {
    let mut signature_only = Validation::new(Algorithm::EdDSA);
    // Everything below the signature is checked by `caller`, against the `now` it is given.
    signature_only.required_spec_claims.clear();
    signature_only.validate_exp = false;
    signature_only.validate_aud = false;
    let token =
        jsonwebtoken::decode::<Claims>(token, &key.key, &signature_only).map_err(|error| {
            match error.kind() {
                ErrorKind::InvalidSignature => Fault::Signature,
                _ => Fault::Malformed,
            }
        })?;
    token.claims.caller(&key.issuer, service, now)
}

/// Signs claims with a key that peers know as `kid`.
///
/// # Errors
/// When the key is not an Ed25519 key.
pub fn encode(claims: &Claims, kid: &str, key: &EncodingKey) -> Result<String, jsonwebtoken::errors::Error> {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::EdDSA)
    };
    jsonwebtoken::encode(&header, claims, key)
}

#[cfg(test)]
mod tests;
