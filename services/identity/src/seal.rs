//! Sealing what must not be readable in a stolen database: signing keys, licence numbers, and
//! fingerprints of requests that hold a password.

use contracts::RequestKey;
use rand::Rng;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::{hkdf, hmac};
use secrecy::{ExposeSecret, SecretString};

const SECRET_CHARS_MIN: usize = 32;

#[derive(Debug, thiserror::Error)]
pub(crate) enum SealError {
    #[error("SHEQUN_KEY_SECRET is shorter than {SECRET_CHARS_MIN} characters")]
    SecretTooShort,
    #[error("{0} was not sealed under this SHEQUN_KEY_SECRET; restore the secret, or see the runbook")]
    Broken(String),
    #[error("the sealing key can't be made or used")]
    Crypto,
}

impl From<ring::error::Unspecified> for SealError {
    fn from(_: ring::error::Unspecified) -> Self {
        Self::Crypto
    }
}

/// Two keys derived from the one secret.
pub(crate) struct Seal {
    aead: LessSafeKey,
    blind: hmac::Key,
}

impl Seal {
    /// Derives the keys.
    ///
    /// # Errors
    /// When the secret is too short to be one.
    pub(crate) fn new(secret: &SecretString) -> Result<Self, SealError> {
        let secret = secret.expose_secret();
        if secret.chars().count() < SECRET_CHARS_MIN {
            return Err(SealError::SecretTooShort);
        }
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, b"shequn.identity.v1").extract(secret.as_bytes());
        let aead = UnboundKey::from(prk.expand(&[b"seal"], &AES_256_GCM)?);
        let blind = hmac::Key::from(prk.expand(&[b"blind"], hmac::HMAC_SHA256)?);
        Ok(Self {
            aead: LessSafeKey::new(aead),
            blind,
        })
    }

    /// Seals `plain` for the place `of` (an id): moved to another row, it does not open.
    ///
    /// # Errors
    /// When it is too large for the cipher.
    pub(crate) fn seal(&self, of: &str, plain: &[u8]) -> Result<Vec<u8>, SealError> {
        // Random nonces are safe for 2^32 seals; a tenant or a key is sealed a few times.
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        let mut sealed = plain.to_vec();
        let aad = Aad::from(of.as_bytes());
        self.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)?;
        sealed.splice(0..0, nonce);
        Ok(sealed)
    }

    /// Opens what was sealed for the place `of`.
    ///
    /// # Errors
    /// When it was changed, moved, or sealed under another secret.
    pub(crate) fn open(&self, of: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let broken = || SealError::Broken(of.to_owned());
        let (nonce, rest) = sealed.split_first_chunk::<NONCE_LEN>().ok_or_else(broken)?;
        let mut rest = rest.to_vec();
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let plain = self
            .aead
            .open_in_place(nonce, Aad::from(of.as_bytes()), &mut rest);
        Ok(plain.map_err(|_| broken())?.to_vec())
    }

    /// The key with its fingerprint keyed: a plain hash of a body that holds a password would let
    /// a thief of the database try passwords as fast as SHA-256 goes.
    #[must_use]
    pub(crate) fn blind(&self, key: &RequestKey) -> RequestKey {
        let tag = hmac::sign(&self.blind, &key.fingerprint);
        let mut fingerprint = [0; 32];
        fingerprint.copy_from_slice(tag.as_ref());
        RequestKey {
            key: key.key.clone(),
            fingerprint,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seal(secret: &str) -> Seal {
        Seal::new(&SecretString::from(secret.repeat(32))).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_alone() {
        let sealed = seal("a").seal("key-1", b"plain").unwrap();
        assert_eq!(seal("a").open("key-1", &sealed).unwrap(), b"plain");
        assert!(matches!(
            seal("a").open("key-2", &sealed),
            Err(SealError::Broken(_))
        ));
        assert!(matches!(
            seal("b").open("key-1", &sealed),
            Err(SealError::Broken(_))
        ));
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(seal("a").open("key-1", &changed).is_err());
            assert!(seal("a").open("key-1", &sealed[..at]).is_err());
        }
    }

    #[test]
    fn the_same_is_sealed_differently_each_time() {
        assert_ne!(
            seal("a").seal("x", b"plain").unwrap(),
            seal("a").seal("x", b"plain").unwrap()
        );
    }

    #[test]
    fn a_short_secret_is_refused() {
        assert!(matches!(
            Seal::new(&"short".into()),
            Err(SealError::SecretTooShort)
        ));
    }

    #[test]
    fn a_blinded_key_tells_bodies_apart_and_needs_the_secret() {
        let key = |byte| RequestKey {
            key: "k".to_owned(),
            fingerprint: [byte; 32],
        };
        assert_eq!(seal("a").blind(&key(1)), seal("a").blind(&key(1)));
        assert_ne!(seal("a").blind(&key(1)), seal("a").blind(&key(2)));
        assert_ne!(seal("a").blind(&key(1)), seal("b").blind(&key(1)));
    }
}
