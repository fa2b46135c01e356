//! The key under which a client may repeat a request.

/// An `Idempotency-Key` together with a fingerprint of what was asked, so that the same key
/// with another body is told apart from a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestKey {
    /// The caller, and the 1 to 128 visible ASCII characters it chose.
    pub key: String,
    /// SHA-256 of method, path and body.
    pub fingerprint: [u8; 32],
}
