//! One tap out of marketing: a signed link for each contact, which needs no login and does nothing else.
//!
//! The link carries tenant, contact and the generation of the key that signed it (HMAC-SHA256). It is good for as long as
//! its key or the one after it stands, since people read messages late.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contracts::{ContactId, TenantId};
use ring::hmac;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::error::Error;

/// Keeps these signatures apart from any other that might once be made with the same key.
const PURPOSE: &[u8] = b"shequn opt-out 1";
/// Of what links in messages begin with: content is accepted only where they fit, however long that is.
pub(crate) const PUBLIC_URL_BYTES_MAX: usize = 200;
const TAG_BYTES: usize = 32;
const TOKEN_BYTES: usize = 2 + 16 + 16 + TAG_BYTES;

/// A tenant's keys for links.
pub(crate) struct LinkKeys {
    pub generation: i16,
    pub key: Vec<u8>,
    /// Of the generation before; its links are still good.
    pub before: Option<Vec<u8>>,
}

impl LinkKeys {
    fn of(&self, generation: i16) -> Option<&[u8]> {
        if generation == self.generation {
            Some(&self.key)
        } else if generation.checked_add(1) == Some(self.generation) {
            self.before.as_deref()
        } else {
            None
        }
    }

    /// Whether the tenant signed it, for this contact, with a key that still stands.
    pub(crate) fn signed(&self, token: &Token) -> bool {
        self.prove(token.generation, &token.said(), &token.tag)
    }

    /// Whether the key of this generation still stands, and this is its signature.
    pub(crate) fn prove(&self, generation: i16, said: &[u8], tag: &[u8]) -> bool {
        self.of(generation).is_some_and(|key| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, key);
            hmac::verify(&key, said, tag).is_ok()
        })
    }

    /// Asked twice for the same change, it changes once.
    pub(crate) fn rotation(&self, to: i16) -> Result<Rotation, Error> {
        if to == self.generation {
            return Ok(Rotation::Done);
        }
        if self.generation.checked_add(1) == Some(to) {
            return Ok(Rotation::New);
        }
        Err(Error::LinkGeneration(self.generation))
    }
}

/// What asking for a generation of the key means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rotation {
    New,
    Done,
}

/// Makes the links of one tenant.
#[derive(Clone)]
pub(crate) struct Links {
    /// Without a slash at its end.
    base: String,
    tenant: TenantId,
    generation: i16,
    key: hmac::Key,
}

impl fmt::Debug for Links {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Links")
            .field("tenant", &self.tenant)
            .finish_non_exhaustive()
    }
}

impl Links {
    pub(crate) fn new(base: &Url, tenant: TenantId, generation: i16, key: &[u8]) -> Self {
        Self {
            base: base.as_str().trim_end_matches('/').to_owned(),
            tenant,
            generation,
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
        }
    }

    /// Makes links as long as any of ours can be, and good for nobody.
    pub(crate) fn longest() -> Self {
        Self {
            base: "x".repeat(PUBLIC_URL_BYTES_MAX),
            tenant: TenantId(Uuid::nil()),
            generation: 0,
            key: hmac::Key::new(hmac::HMAC_SHA256, &[0; TAG_BYTES]),
        }
    }

    /// Where this contact opts out.
    pub(crate) fn of(&self, contact: ContactId) -> String {
        let mut token = Token {
            generation: self.generation,
            tenant: self.tenant,
            contact,
            tag: [0; TAG_BYTES],
        };
        token.tag = self.sign(&token.said());
        self.url("v1/opt-out", &token)
    }

    pub(crate) fn sign(&self, said: &[u8]) -> [u8; TAG_BYTES] {
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(hmac::sign(&self.key, said).as_ref());
        tag
    }

    pub(crate) fn url(&self, path: &str, token: &impl fmt::Display) -> String {
        format!("{}/{path}/{token}", self.base)
    }

    pub(crate) const fn tenant(&self) -> TenantId {
        self.tenant
    }

    pub(crate) const fn generation(&self) -> i16 {
        self.generation
    }
}

/// What a link says; nothing of it is proven before its signature is.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub generation: i16,
    pub tenant: TenantId,
    pub contact: ContactId,
    pub tag: [u8; TAG_BYTES],
}

impl Token {
    fn said(&self) -> Vec<u8> {
        let (tenant, contact) = (self.tenant.0.as_bytes(), self.contact.0.as_bytes());
        [PURPOSE, &self.generation.to_be_bytes(), tenant, contact].concat()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = [&self.said()[PURPOSE.len()..], &self.tag].concat();
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let bytes: [u8; TOKEN_BYTES] = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Error::LinkUnknown)?;
        let id = |from: usize| Uuid::from_slice(&bytes[from..from + 16]).map_err(|_| Error::LinkUnknown);
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&bytes[34..]);
        Ok(Self {
            generation: i16::from_be_bytes([bytes[0], bytes[1]]),
            tenant: TenantId(id(2)?),
            contact: ContactId(id(18)?),
            tag,
        })
    }
}

/// Where a contact opts out of marketing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct OptOutLink {
    /// Without a login: `GET` shows a button, `POST` does it (RFC 8058).
    pub opt_out_url: String,
}

/// The generation of the key that links are signed with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"generation": 2}))]
pub(crate) struct LinkKey {
    /// To rotate, give the next one: links of the last generation stay good, those of earlier ones do not.
    #[schema(minimum = 1)]
    pub generation: i16,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(generation: i16) -> LinkKeys {
        LinkKeys {
            generation,
            key: vec![7; 32],
            before: Some(vec![6; 32]),
        }
    }

    fn token(tenant: TenantId, contact: ContactId, generation: i16, key: u8) -> Token {
        let base = "https://m.example.com/".parse().unwrap();
        let link = Links::new(&base, tenant, generation, &[key; 32]).of(contact);
        let token = link.strip_prefix("https://m.example.com/v1/opt-out/").unwrap();
        assert_eq!(token.len(), 88);
        token.parse().unwrap()
    }

    #[test]
    fn a_link_is_good_for_its_contact_until_the_key_after_next() {
        let (tenant, contact) = (TenantId::new(), ContactId::new());
        let link = token(tenant, contact, 4, 7);
        assert_eq!((link.tenant, link.contact), (tenant, contact));
        assert!(link.to_string().parse::<Token>().ok().as_ref() == Some(&link));
        assert!(keys(4).signed(&link));
        assert!(keys(5).signed(&token(tenant, contact, 4, 6)));
        assert!(!keys(6).signed(&token(tenant, contact, 4, 6)));
        assert!(!keys(4).signed(&token(tenant, contact, 5, 7)), "of a key to come");
    }

    #[test]
    fn nothing_of_it_can_be_changed() {
        let link = token(TenantId::new(), ContactId::new(), 4, 7);
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(link.to_string()).unwrap();
        for at in 0..TOKEN_BYTES {
            bytes[at] ^= 1;
            let forged: Token = BASE64_URL_SAFE_NO_PAD.encode(&bytes).parse().unwrap();
            assert!(!keys(4).signed(&forged), "byte {at}");
            bytes[at] ^= 1;
        }
        for text in ["", "a", "ä", &link.to_string()[1..], &format!("{link}A")] {
            assert!(matches!(text.parse::<Token>(), Err(Error::LinkUnknown)), "{text}");
        }
    }

    #[test]
    fn a_key_is_rotated_one_step_at_a_time() {
        assert_eq!(keys(4).rotation(5).unwrap(), Rotation::New);
        assert_eq!(keys(4).rotation(4).unwrap(), Rotation::Done);
        for to in [1, 3, 6, i16::MAX] {
            assert!(matches!(keys(4).rotation(to), Err(Error::LinkGeneration(4))));
        }
    }
}
