//! The secret a receiver verifies our calls with, and their signatures: Standard Webhooks 1.0, symmetric.
//!
//! What is signed is `id.timestamp.body`. The id is the same in every attempt, the timestamp is the attempt's own: a
//! receiver refuses what is older than five minutes, and an id it has taken before.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::{Serialize, Serializer};

const PREFIX: &str = "whsec_";
const SECRET_BYTES: usize = 32;

/// Shown to nobody but who sets or rotates it: neither logs nor errors print it.
#[derive(Clone, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub(crate) struct Secret(Vec<u8>);

impl Secret {
    pub(crate) fn new() -> Self {
        Self(rand::random::<[u8; SECRET_BYTES]>().to_vec())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn sign(&self, signed: &[u8]) -> String {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.0);
        format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed)))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// As receivers are told it.
impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{PREFIX}{}", STANDARD.encode(&self.0)))
    }
}

/// The header `webhook-signature`: one signature per secret, so that a receiver may know either.
pub(crate) fn signatures(secrets: &[Secret], id: &str, timestamp_secs: i64, body: &[u8]) -> String {
    let signed = [
        id.as_bytes(),
        b".",
        timestamp_secs.to_string().as_bytes(),
        b".",
        body,
    ]
    .concat();
    let all: Vec<_> = secrets.iter().map(|secret| secret.sign(&signed)).collect();
    all.join(" ")
}

#[cfg(test)]
impl Secret {
    /// One that is told as `whsec_…`.
    pub(crate) fn parse(told: &str) -> Self {
        Self(STANDARD.decode(told.strip_prefix(PREFIX).unwrap()).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
    const AT: i64 = 1_614_265_330;
    const BODY: &[u8] = br#"{"test": 2432232314}"#;

    /// The vector of the specification's own libraries.
    #[test]
    fn s11_signatures_are_those_of_standard_webhooks() {
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";
        assert_eq!(signatures(std::slice::from_ref(&secret), ID, AT, BODY), signature);
        let two = signatures(&[Secret::new(), secret.clone()], ID, AT, BODY);
        assert_eq!(two.split(' ').count(), 2);
        assert!(two.ends_with(signature));
        for other in [
            signatures(std::slice::from_ref(&secret), "msg_other", AT, BODY),
            signatures(std::slice::from_ref(&secret), ID, AT + 1, BODY),
            signatures(std::slice::from_ref(&secret), ID, AT, b"{}"),
            signatures(&[Secret::new()], ID, AT, BODY),
        ] {
            assert_ne!(other, signature);
        }
    }

    #[test]
    fn a_secret_is_told_in_one_form_and_printed_in_none() {
        let secret = Secret::new();
        let told = serde_json::to_value(&secret).unwrap();
        let told = told.as_str().unwrap();
        assert_eq!(Secret::parse(told), secret);
        assert_eq!(secret.bytes().len(), SECRET_BYTES);
        assert_eq!(format!("{secret:?}"), "Secret");
        assert_ne!(Secret::new(), secret);
    }
}
