//! Tokens as somebody would make them who knows everything but the right key, or has a right key and abuses it.

use anyhow::Context as _;
use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use chassis::auth::{Claims, Role, SigningKey};
use contracts::{ContactId, MemberId, TenantId};
use ed25519_dalek::Signer as _;
use ed25519_dalek::pkcs8::DecodePrivateKey as _;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use testkit::Stack;

use crate::isolation::keys::now;

/// The order of Ed25519's group, little-endian: a signature with it added to its second half would be another one for
/// the same message, if a verifier took it.
const GROUP_ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A private key under the name by which verifiers know it.
pub(super) struct Key {
    pub(super) kid: String,
    private: ed25519_dalek::SigningKey,
}

impl Key {
    pub(super) fn from_seed(kid: &str, seed: u8) -> Self {
        Self {
            kid: kid.to_owned(),
            private: ed25519_dalek::SigningKey::from_bytes(&[seed; 32]),
        }
    }

    /// A service's own, as the stack gave it to it.
    pub(super) fn of(stack: &Stack, service: &str) -> anyhow::Result<Self> {
        let env = &stack.process(service).env;
        let peers = std::fs::read_to_string(&env["SHEQUN_PEER_KEYS"])?;
        let peers: Value = serde_json::from_str(&peers)?;
        let keys = peers["keys"].as_array().context("keys")?;
        let own = keys.iter().find(|jwk| jwk["iss"] == service);
        let kid = own.and_then(|jwk| jwk["kid"].as_str()).context("kid")?;
        let pem = std::fs::read_to_string(&env["SHEQUN_SIGNING_KEY"])?;
        Ok(Self {
            kid: kid.to_owned(),
            private: ed25519_dalek::SigningKey::from_pkcs8_pem(pem.trim())?,
        })
    }

    pub(super) fn jwk(&self) -> Value {
        json!(SigningKey::from_seed(self.kid.clone(), self.private.as_bytes()).jwk())
    }

    pub(super) fn public(&self) -> [u8; 32] {
        self.private.verifying_key().to_bytes()
    }

    pub(super) fn header(&self) -> Value {
        json!({"typ": "JWT", "alg": "EdDSA", "kid": self.kid})
    }

    /// Signs whatever it is given.
    pub(super) fn sign(&self, header: impl ToString, claims: impl ToString) -> String {
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.private.sign(message.as_bytes());
        format!(
            "{message}.{}",
            BASE64_URL_SAFE_NO_PAD.encode(signature.to_bytes())
        )
    }
}

/// Right claims, to be spoilt.
pub(super) fn member(tenant: TenantId) -> Value {
    json!(Claims::member(tenant, MemberId::new(), Role::Owner, now()))
}

pub(super) fn service(caller: &str, target: &str, tenant: TenantId) -> Value {
    json!(Claims::service(caller, target, tenant, now()))
}

pub(super) fn contact(tenant: TenantId) -> Value {
    json!(Claims::contact(tenant, ContactId::new(), now()))
}

/// The claims with one of them changed; `null` takes it away.
pub(super) fn with(mut claims: Value, claim: &str, value: Value) -> Value {
    if let Value::Object(fields) = &mut claims {
        match value {
            Value::Null => drop(fields.remove(claim)),
            value => drop(fields.insert(claim.to_owned(), value)),
        }
    }
    claims
}

/// Signed with a secret that everybody knows.
pub(super) fn hmac(kid: &str, claims: &Value, secret: &[u8]) -> anyhow::Result<String> {
    let header = Header {
        kid: Some(kid.to_owned()),
        ..Header::new(Algorithm::HS256)
    };
    Ok(jsonwebtoken::encode(
        &header,
        claims,
        &EncodingKey::from_secret(secret),
    )?)
}

/// The public key as `openssl pkey -pubout` prints it.
pub(super) fn public_pem(public: [u8; 32]) -> String {
    let mut der = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".to_vec();
    der.extend(public);
    let text = BASE64_STANDARD.encode(der);
    format!("-----BEGIN PUBLIC KEY-----\n{text}\n-----END PUBLIC KEY-----\n")
}

pub(super) fn part(text: impl ToString) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(text.to_string())
}

/// The same signature with the group's order added to its second half.
pub(super) fn malleated(token: &str) -> anyhow::Result<String> {
    let (message, signature) = token.rsplit_once('.').context("three parts")?;
    let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(signature)?;
    let mut carry = 0;
    for (byte, order) in bytes[32..].iter_mut().zip(GROUP_ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = (sum & 0xff) as u8;
        carry = sum >> 8;
    }
    Ok(format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// The same signature in other letters: the last one has four bits that say nothing.
pub(super) fn respelt(token: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = token.split_at(token.len() - 1);
    let place = LETTERS.find(last).unwrap_or_default();
    format!("{rest}{}", &LETTERS[place + 1..place + 2])
}
