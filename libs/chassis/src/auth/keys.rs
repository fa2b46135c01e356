//! Ed25519 keys: the public ones tokens are checked with, and the private one a service signs with.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use uuid::Uuid;

use super::seal;
use super::token::{self, Claims, LOGIN_ISSUER};

/// Where identity publishes the keys of its logins.
pub const JWKS_PATH: &str = "/.well-known/jwks.json";

/// What stands before the 32 bytes of an Ed25519 private key in PKCS#8 (RFC 8410).
const PKCS8_PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// A public key as it is published (RFC 8037).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwk {
    pub kid: String,
    /// `OKP`
    pub kty: String,
    /// `Ed25519`
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crv: Option<String>,
    /// The 32 bytes of the key, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub x: Option<String>,
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alg: Option<String>,
    /// The service that signs with it; only in the file of peer keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
}

impl Jwk {
    /// The 32 bytes, when it is an Ed25519 key for signatures.
    #[must_use]
    pub fn ed25519(&self) -> Option<[u8; 32]> {
        let fits = self.kty == "OKP"
            && self.crv.as_deref() == Some("Ed25519")
            && self.usage.as_deref().is_none_or(|usage| usage == "sig")
            && self.alg.as_deref().is_none_or(|alg| alg == "EdDSA");
        let x = fits.then_some(self.x.as_deref()).flatten()?;
        BASE64_URL_SAFE_NO_PAD.decode(x).ok()?.try_into().ok()
    }
}

/// A set of public keys, as `/.well-known/jwks.json` answers it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Jwks {
    pub keys: Vec<Jwk>,
}

/// Whose key it is, which decides what it may sign.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Issuer {
    /// Identity's, published for logins.
    Login,
    /// A service's own, from the file of peer keys.
    Peer(String),
}

impl Issuer {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Login => LOGIN_ISSUER,
            Self::Peer(name) => name,
        }
    }
}

/// A public key and what it may sign.
#[derive(Clone)]
pub(super) struct TrustedKey {
    pub(super) key: DecodingKey,
    pub(super) issuer: Issuer,
}

impl TrustedKey {
    /// Nothing when it is not an Ed25519 key.
    pub(super) fn new(jwk: &Jwk, issuer: Issuer) -> Option<Self> {
        // The length is checked first: jsonwebtoken panics on a key that is too short.
        let key = jwk.ed25519().map(|_| jwk.x.as_deref())??;
        Some(Self {
            key: DecodingKey::from_ed_components(key).ok()?,
            issuer,
        })
    }
}

/// What is wrong with a key or a file of keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("can't read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not a set of keys")]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("peer key {kid:?} is not an Ed25519 key with the service that owns it in `iss`")]
    Peer { kid: String },
    #[error("peer key {kid:?} is there twice")]
    Twice { kid: String },
    #[error("private key is not Ed25519 in PKCS#8 PEM")]
    Private,
    #[error("the signing key of {service} is not among the peer keys")]
    Unlisted { service: &'static str },
}

pub(super) fn read(path: &Path) -> Result<String, KeyError> {
    std::fs::read_to_string(path).map_err(|source| KeyError::Read {
        path: path.to_owned(),
        source,
    })
}

/// The public keys of all services, by key id.
pub(super) struct PeerKeys {
    jwks: Jwks,
}

impl PeerKeys {
    pub(super) fn load(path: &Path) -> Result<Self, KeyError> {
        let jwks = serde_json::from_str(&read(path)?).map_err(|source| KeyError::Json {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self { jwks })
    }

    pub(super) fn trusted(&self) -> Result<HashMap<String, TrustedKey>, KeyError> {
        let mut trusted = HashMap::new();
        for jwk in &self.jwks.keys {
            let kid = jwk.kid.clone();
            let key = jwk
                .iss
                .clone()
                .and_then(|service| TrustedKey::new(jwk, Issuer::Peer(service)));
            let Some(key) = key else {
                return Err(KeyError::Peer { kid });
            };
            if trusted.insert(kid.clone(), key).is_some() {
                return Err(KeyError::Twice { kid });
            }
        }
        Ok(trusted)
    }

    /// The Ed25519 keys of a service.
    pub(super) fn publics(&self, service: &str) -> Vec<[u8; 32]> {
        let of_service = |jwk: &&Jwk| jwk.iss.as_deref() == Some(service);
        let keys = self.jwks.keys.iter().filter(of_service);
        keys.filter_map(Jwk::ed25519).collect()
    }

    /// The id under which peers know a service's key.
    pub(super) fn kid(&self, service: &'static str, public: [u8; 32]) -> Result<&str, KeyError> {
        let known = |jwk: &&Jwk| jwk.iss.as_deref() == Some(service) && jwk.ed25519() == Some(public);
        let jwk = self
            .jwks
            .keys
            .iter()
            .find(known)
            .ok_or(KeyError::Unlisted { service })?;
        Ok(&jwk.kid)
    }
}

/// A private key that is known to sign.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    public: [u8; 32],
    private: EncodingKey,
    /// The same, for what is no token.
    sealing: ed25519_dalek::SigningKey,
}

impl SigningKey {
    /// Reads PKCS#8 PEM.
    ///
    /// # Errors
    /// When it is anything else, or not an Ed25519 key.
    pub fn from_pem(kid: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError::Private)?;
        Ok(Self::new(kid.into(), &key))
    }

    /// Makes a key of 32 random bytes.
    #[must_use]
    pub fn from_seed(kid: impl Into<String>, seed: &[u8; 32]) -> Self {
        Self::new(kid.into(), &ed25519_dalek::SigningKey::from_bytes(seed))
    }

    fn new(kid: String, key: &ed25519_dalek::SigningKey) -> Self {
        let der = [PKCS8_PREFIX, key.as_bytes()].concat();
        Self {
            kid,
            public: key.verifying_key().to_bytes(),
            private: EncodingKey::from_ed_der(&der),
            sealing: key.clone(),
        }
    }

    /// The id under which others know it.
    #[must_use]
    pub fn kid(&self) -> &str {
        &self.kid
    }

    #[must_use]
    pub(super) fn public(&self) -> [u8; 32] {
        self.public
    }

    #[must_use]
    pub(super) fn known_as(self, kid: &str) -> Self {
        Self {
            kid: kid.to_owned(),
            ..self
        }
    }

    /// The public half, for publishing.
    #[must_use]
    pub fn jwk(&self) -> Jwk {
        Jwk {
            kid: self.kid.clone(),
            kty: "OKP".to_owned(),
            crv: Some("Ed25519".to_owned()),
            x: Some(BASE64_URL_SAFE_NO_PAD.encode(self.public)),
            usage: Some("sig".to_owned()),
            alg: Some("EdDSA".to_owned()),
            iss: None,
        }
    }

    /// A short text with ids, which [`Seals`](super::Seals) of this service open for the same purpose; of at most
    /// [`SEALED_IDS_MAX`](super::SEALED_IDS_MAX) ids.
    #[must_use]
    pub fn seal(&self, purpose: &str, ids: &[Uuid]) -> String {
        let body = seal::body(ids);
        let signature = self.sealing.sign(&seal::signed(purpose, &body));
        seal::text(body, signature.to_bytes())
    }

    /// Signs claims.
    #[must_use]
    pub fn sign(&self, claims: &Claims) -> String {
        token::encode(claims, &self.kid, &self.private)
            .expect("an Ed25519 key in its RFC 8410 form signs, and claims are plain JSON")
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .finish_non_exhaustive()
    }
}
