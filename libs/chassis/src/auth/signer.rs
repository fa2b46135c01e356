//! Signs what a service shows to its peers, and what it hands out to contacts.

use std::collections::HashMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use contracts::{ContactId, TenantId};
use jiff::Timestamp;
use uuid::Uuid;

use super::keys::{PeerKeys, SigningKey, read};
use super::token::Claims;

const KEPT_TOKENS_MAX: usize = 10_000;
/// A token is used again while it lives at least this long: a call and the clocks' difference.
const REST_SECS_MIN: i64 = 60;

/// A token and when it expires.
struct Kept {
    token: String,
    exp: i64,
}

struct Inner {
    service: &'static str,
    key: SigningKey,
    kept: Mutex<HashMap<(String, TenantId), Kept>>,
}

/// A service's own signing key.
#[derive(Clone)]
pub struct Signer(Arc<Inner>);

impl Signer {
    /// Reads the private key, and finds the id under which the peers know it.
    ///
    /// # Errors
    /// When a file can't be read, the key is not Ed25519, or the peers don't know it.
    pub fn load(service: &'static str, signing_key: &Path, peer_keys: &Path) -> anyhow::Result<Self> {
        let key = SigningKey::from_pem("", &read(signing_key)?)?;
        let peers = PeerKeys::load(peer_keys)?;
        let kid = peers.kid(service, key.public())?;
        Ok(Self::new(service, key.known_as(kid)))
    }

    fn new(service: &'static str, key: SigningKey) -> Self {
        Self(Arc::new(Inner {
            service,
            key,
            kept: Mutex::default(),
        }))
    }

    /// A token that shows `target` that we act for `tenant`; the same one for a few minutes.
    #[must_use]
    pub fn service_token(&self, target: &str, tenant: TenantId, now: Timestamp) -> String {
        let now_secs = now.as_second();
        let key = (target.to_owned(), tenant);
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = kept.get(&key).filter(|kept| kept.exp - now_secs >= REST_SECS_MIN) {
            return kept.token.clone();
        }
        if kept.len() >= KEPT_TOKENS_MAX {
            kept.retain(|_, kept| kept.exp - now_secs >= REST_SECS_MIN);
        }
        // Still full means thousands of tenants within minutes: start over instead of ranking them.
        if kept.len() >= KEPT_TOKENS_MAX {
            kept.clear();
        }
        let claims = Claims::service(self.0.service, target, tenant, now);
        let token = self.sign(&claims);
        kept.insert(
            key,
            Kept {
                token: token.clone(),
                exp: claims.exp,
            },
        );
        token
    }

    /// A token for a contact's own inbox, groups and consent; believed only from the service that
    /// owns contacts.
    #[must_use]
    pub fn contact_token(&self, tenant: TenantId, contact: ContactId, now: Timestamp) -> String {
        self.sign(&Claims::contact(tenant, contact, now))
    }

    /// Seals ids with this service's key: see [`Seals`](super::Seals).
    #[must_use]
    pub fn seal(&self, purpose: &str, ids: &[Uuid]) -> String {
        self.0.key.seal(purpose, ids)
    }

    /// Signs claims with this service's key.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        self.0.key.sign(claims)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer")
            .field("service", &self.0.service)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::new("groups", SigningKey::from_seed("groups-1", &[3; 32]))
    }

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(1_900_000_000 + secs).unwrap()
    }

    #[test]
    fn a_service_token_is_used_again_until_its_last_minute() {
        let signer = signer();
        let tenant = TenantId::new();
        let token = signer.service_token("customers", tenant, at(0));
        assert_eq!(signer.service_token("customers", tenant, at(240)), token);
        assert_ne!(signer.service_token("customers", tenant, at(241)), token);
    }

    #[test]
    fn tokens_differ_by_target_and_tenant() {
        let signer = signer();
        let tenant = TenantId::new();
        let token = signer.service_token("customers", tenant, at(0));
        assert_ne!(signer.service_token("broadcast", tenant, at(0)), token);
        assert_ne!(signer.service_token("customers", TenantId::new(), at(0)), token);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let signer = signer();
        let mut kept = signer.0.kept.lock().unwrap();
        for _ in 0..KEPT_TOKENS_MAX {
            let exp = at(300).as_second();
            kept.insert(
                ("customers".to_owned(), TenantId::new()),
                Kept {
                    token: String::new(),
                    exp,
                },
            );
        }
        drop(kept);
        let _ = signer.service_token("customers", TenantId::new(), at(0));
        assert_eq!(signer.0.kept.lock().unwrap().len(), 1);
    }
}
