//! Ids that strangers carry for us: one short text, signed by a service for one purpose, which any peer can check without
//! asking anybody.
//!
//! The form is base64url without padding of: the byte 1, the ids' 16 bytes each, and 64 bytes of an Ed25519 signature over
//! `shequn-seal`, a zero, the purpose, a zero, and all that stands before the signature. Four ids are 172 characters. The
//! ids can be read by whoever holds it; nobody can make or change one, or use it for another purpose.

use std::path::Path;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ed25519_dalek::{Signature, VerifyingKey};
use uuid::Uuid;

use super::keys::PeerKeys;

const FORM: u8 = 1;
const ID_BYTES: usize = 16;
const SIGNATURE_BYTES: usize = 64;
/// Ids in one seal.
pub const SEALED_IDS_MAX: usize = 8;
/// The longest text that can be a seal.
const CHARS_MAX: usize = 272;

/// What is signed: a seal for one purpose is of no use for another, nor is any other signature of the service.
pub(super) fn signed(purpose: &str, body: &[u8]) -> Vec<u8> {
    [b"shequn-seal\0", purpose.as_bytes(), b"\0", body].concat()
}

/// Form and ids, which the signature follows.
pub(super) fn body(ids: &[Uuid]) -> Vec<u8> {
    let ids = ids.iter().take(SEALED_IDS_MAX).flat_map(|id| *id.as_bytes());
    std::iter::once(FORM).chain(ids).collect()
}

pub(super) fn text(mut body: Vec<u8>, signature: [u8; SIGNATURE_BYTES]) -> String {
    body.extend(signature);
    BASE64_URL_SAFE_NO_PAD.encode(body)
}

/// Opens what one service sealed.
#[derive(Clone, Debug)]
pub struct Seals {
    /// All keys the peers know it by: a seal outlives the key's rotation.
    keys: Vec<VerifyingKey>,
}

impl Seals {
    /// Of the service `issuer`, by its public keys.
    ///
    /// # Errors
    /// When the file can't be read or is no set of keys.
    pub fn load(issuer: &str, peer_keys: &Path) -> anyhow::Result<Self> {
        Ok(Self::of(PeerKeys::load(peer_keys)?.publics(issuer)))
    }

    fn of(publics: impl IntoIterator<Item = [u8; 32]>) -> Self {
        let keys = publics
            .into_iter()
            .filter_map(|public| VerifyingKey::from_bytes(&public).ok());
        Self { keys: keys.collect() }
    }

    /// The ids in a seal made for this purpose; nothing for any other text.
    #[must_use]
    pub fn open<const IDS: usize>(&self, purpose: &str, text: &str) -> Option<[Uuid; IDS]> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode((text.len() <= CHARS_MAX).then_some(text)?)
            .ok()?;
        let (body, signature) = bytes.split_at_checked(bytes.len().checked_sub(SIGNATURE_BYTES)?)?;
        let (&form, ids) = body.split_first()?;
        if form != FORM || ids.len() != IDS * ID_BYTES {
            return None;
        }
        let (signed, signature) = (signed(purpose, body), Signature::from_slice(signature).ok()?);
        let is_ours = |key: &VerifyingKey| key.verify_strict(&signed, &signature).is_ok();
        self.keys.iter().any(is_ours).then_some(())?;
        let mut opened = [Uuid::nil(); IDS];
        for (id, bytes) in opened.iter_mut().zip(ids.chunks_exact(ID_BYTES)) {
            *id = Uuid::from_slice(bytes).ok()?;
        }
        Some(opened)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::SigningKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed("broadcast-1", &[seed; 32])
    }

    #[test]
    fn what_was_sealed_is_opened_for_its_purpose_alone() {
        let ids: [Uuid; 4] = std::array::from_fn(|_| Uuid::now_v7());
        let seal = key(3).seal("shop-link", &ids);
        assert_eq!(seal.len(), 172);
        let seals = Seals::of([key(4).public(), key(3).public()]);
        assert_eq!(seals.open("shop-link", &seal), Some(ids));
        assert_eq!(seals.open::<4>("opt-out", &seal), None);
        assert_eq!(seals.open::<3>("shop-link", &seal), None);
        assert_eq!(Seals::of([key(4).public()]).open::<4>("shop-link", &seal), None);
        let most: [Uuid; SEALED_IDS_MAX] = std::array::from_fn(|_| Uuid::now_v7());
        let seal = key(3).seal("shop-link", &most);
        assert!(seal.len() <= CHARS_MAX);
        assert_eq!(seals.open("shop-link", &seal), Some(most));
    }

    #[test]
    fn no_other_text_opens() {
        let seals = Seals::of([key(3).public()]);
        let seal = key(3).seal("shop-link", &[Uuid::now_v7()]);
        for n in 0..seal.len() {
            let mut bytes = seal.clone().into_bytes();
            bytes[n] = if bytes[n] == b'A' { b'B' } else { b'A' };
            assert_eq!(
                seals.open::<1>("shop-link", &String::from_utf8(bytes).unwrap()),
                None,
                "{n}"
            );
            assert_eq!(seals.open::<1>("shop-link", &seal[..n]), None, "{n}");
        }
        for text in ["", "AQ", "é", &"A".repeat(CHARS_MAX + 1)] {
            assert_eq!(seals.open::<1>("shop-link", text), None, "{text}");
        }
    }
}
