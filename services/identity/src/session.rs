//! What follows from a login: short access tokens, and single-use tokens to refresh them.

use chassis::auth::{Kind, Role};
use contracts::{MemberId, TenantId};
use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use rand::Rng;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use uuid::Uuid;

/// A session ends this long after its login, however often it is refreshed.
pub(crate) const LIFE: SignedDuration = SignedDuration::from_hours(30 * 24);
/// Sessions one member may have; a login beyond it ends the oldest.
pub(crate) const PER_MEMBER_MAX: i64 = 100;

const TENANT_BYTES: usize = 16;
const RANDOM_BYTES: usize = 32;

/// One login's session, as a refresh finds it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Session {
    pub session_id: Uuid,
    pub member_id: MemberId,
    pub role: Role,
    /// Whether nobody ended it, its time is not over and the member is still there.
    pub is_alive: bool,
}

/// What a refresh token is worth when it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Worth {
    /// New tokens.
    Renewal,
    /// Nothing.
    Nothing,
    /// It was used before: somebody else has a copy, and which of the two is the member nobody
    /// can tell. The session ends for both.
    Alarm,
}

impl Session {
    /// What one of its tokens is worth.
    #[must_use]
    pub(crate) fn worth(&self, is_first_use: bool) -> Worth {
        match (self.is_alive, is_first_use) {
            (false, _) => Worth::Nothing,
            (true, true) => Worth::Renewal,
            (true, false) => Worth::Alarm,
        }
    }
}

/// What a login or refresh answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Tokens {
    pub access_token: String,
    #[schema(value_type = String, example = "Bearer")]
    pub token_type: &'static str,
    pub expires_in_secs: i64,
    /// Good for one refresh within 30 days of the login; a reviewer gets none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub refresh_token: Option<RefreshToken>,
}

impl Tokens {
    #[must_use]
    pub(crate) fn new(access_token: String, refresh_token: Option<RefreshToken>) -> Self {
        let expires_in_secs = Kind::Member.life_secs_max();
        Self {
            access_token,
            token_type: "Bearer",
            expires_in_secs,
            refresh_token,
        }
    }
}

/// When a session that begins `now` ends.
#[must_use]
pub(crate) fn end(now: Timestamp) -> Timestamp {
    now.saturating_add(LIFE).unwrap_or(Timestamp::MAX)
}

/// 256 random bits, after the tenant in whose rows they are looked up. Clients see 64 characters.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct RefreshToken {
    tenant: TenantId,
    text: SecretString,
}

#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("refresh token is not one that identity issued")]
pub(crate) struct RefreshTokenMalformed;

impl RefreshToken {
    /// A new token.
    #[must_use]
    pub(crate) fn issue(tenant: TenantId) -> Self {
        let mut bytes = [0; TENANT_BYTES + RANDOM_BYTES];
        bytes[..TENANT_BYTES].copy_from_slice(tenant.0.as_bytes());
        rand::rng().fill_bytes(&mut bytes[TENANT_BYTES..]);
        Self {
            tenant,
            text: BASE64URL_NOPAD.encode(&bytes).into(),
        }
    }

    #[must_use]
    pub(crate) fn tenant(&self) -> TenantId {
        self.tenant
    }

    /// What the database knows of it.
    #[must_use]
    pub(crate) fn digest(&self) -> [u8; 32] {
        Sha256::digest(self.text.expose_secret()).into()
    }
}

impl TryFrom<String> for RefreshToken {
    type Error = RefreshTokenMalformed;

    fn try_from(raw: String) -> Result<Self, RefreshTokenMalformed> {
        let bytes = BASE64URL_NOPAD
            .decode(raw.as_bytes())
            .map_err(|_| RefreshTokenMalformed)?;
        let bytes: [u8; TENANT_BYTES + RANDOM_BYTES] = bytes.try_into().map_err(|_| RefreshTokenMalformed)?;
        let tenant = Uuid::from_slice(&bytes[..TENANT_BYTES]).map_err(|_| RefreshTokenMalformed)?;
        Ok(Self {
            tenant: TenantId(tenant),
            text: raw.into(),
        })
    }
}

impl Serialize for RefreshToken {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.text.expose_secret())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_comes_back_as_itself() {
        let tenant = TenantId::new();
        let token = RefreshToken::issue(tenant);
        let text = serde_json::to_value(&token).unwrap();
        assert_eq!(text.as_str().unwrap().len(), 64);
        let back: RefreshToken = serde_json::from_value(text).unwrap();
        assert_eq!((back.tenant(), back.digest()), (tenant, token.digest()));
        assert_ne!(RefreshToken::issue(tenant).digest(), token.digest());
    }

    #[test]
    fn a_second_use_raises_an_alarm_while_the_session_lives() {
        let session = |is_alive| Session {
            session_id: Uuid::nil(),
            member_id: MemberId::new(),
            role: Role::Agent,
            is_alive,
        };
        assert_eq!(session(true).worth(true), Worth::Renewal);
        assert_eq!(session(true).worth(false), Worth::Alarm);
        assert_eq!(session(false).worth(true), Worth::Nothing);
        assert_eq!(session(false).worth(false), Worth::Nothing);
    }

    #[test]
    fn anything_else_is_not_a_token() {
        for raw in ["", "abc", &"!".repeat(64), &"A".repeat(63), &"A".repeat(68)] {
            assert_eq!(
                RefreshToken::try_from(raw.to_owned()).map(drop),
                Err(RefreshTokenMalformed)
            );
        }
    }

    #[test]
    fn a_token_is_not_logged() {
        let token = RefreshToken::issue(TenantId::new());
        assert!(!format!("{token:?}").contains(token.text.expose_secret()));
    }
}
