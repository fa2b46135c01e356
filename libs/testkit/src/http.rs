//! An HTTP client for tests and tools.

use std::time::Duration;

const TIMEOUT: Duration = Duration::from_secs(30);

/// A client that follows no redirects and gives up after 30 s.
///
/// # Panics
/// When the machine can't set up TLS at all.
#[must_use]
pub fn http() -> reqwest::Client {
    // An error means that another part of the program was first, with the same provider.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .expect("a client with constant settings")
}
