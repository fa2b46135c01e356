//! What the three files hold: read, held against each other, and made into what a handshake needs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rustls::client::{Resumption, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate, VerifierBuilderError, WebPkiClientVerifier};
use rustls::version::TLS13;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use x509_cert::der::Decode as _;

use super::Paths;

const ALPN: &[u8] = b"h2";

/// Why files can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    #[error("can't read {path}")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not what it should be in PEM")]
    Pem { path: PathBuf, source: pem::Error },
    #[error("{path} holds no certificate")]
    Empty { path: PathBuf },
    #[error("{path} is no certificate of X.509")]
    Der {
        path: PathBuf,
        source: x509_cert::der::Error,
    },
    #[error("the certificate does not name {service}")]
    Name { service: &'static str },
    #[error("{path} holds no authority")]
    Authority {
        path: PathBuf,
        source: VerifierBuilderError,
    },
    /// Another key, another authority, expired, not for clients.
    #[error("certificate, key and authority don't fit")]
    Unfit(#[from] rustls::Error),
}

/// The files' bytes.
pub(super) struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
}

impl Paths {
    pub(super) fn read(&self) -> Result<Files, Fault> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|source| Fault::Read {
                path: path.to_owned(),
                source,
            })
        };
        Ok(Files {
            cert: read(&self.cert)?,
            key: read(&self.key)?,
            ca: read(&self.ca)?,
        })
    }
}

impl Files {
    /// Tells whether they changed, whatever their times say: Kubernetes swaps a link above them.
    fn digest(&self) -> [u8; 32] {
        let mut digest = Sha256::new();
        for file in [&self.cert, &self.key, &self.ca] {
            digest.update((file.len() as u64).to_be_bytes());
            digest.update(file);
        }
        digest.finalize().into()
    }
}

/// Files that are of use together.
pub(super) struct Material {
    digest: [u8; 32],
    pub(super) expires_at: Timestamp,
    pub(super) server: Arc<ServerConfig>,
    pub(super) client: Arc<ClientConfig>,
}

impl Material {
    pub(super) fn load(service: &'static str, paths: &Paths, now: Timestamp) -> Result<Self, Fault> {
        Self::new(service, paths, &paths.read()?, now)
    }

    pub(super) fn new(
        service: &'static str,
        paths: &Paths,
        files: &Files,
        now: Timestamp,
    ) -> Result<Self, Fault> {
        let chain = certificates(&paths.cert, &files.cert)?;
        let key = PrivateKeyDer::from_pem_slice(&files.key).map_err(|source| Fault::Pem {
            path: paths.key.clone(),
            source,
        })?;
        let mut roots = RootCertStore::empty();
        for authority in certificates(&paths.ca, &files.ca)? {
            roots.add(authority)?;
        }
        let (roots, provider) = (Arc::new(roots), Arc::new(ring::default_provider()));
        let peers = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone()).build();
        let peers = peers.map_err(|source| Fault::Authority {
            path: paths.ca.clone(),
            source,
        })?;
        let own = &chain[0];
        if !names(own, service) {
            return Err(Fault::Name { service });
        }
        // As our peers will, so that a certificate nobody takes is noticed here.
        peers.verify_client_cert(own, &chain[1..], unix_time(now))?;

        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&[&TLS13])?
            .with_client_cert_verifier(peers)
            .with_single_cert(chain.clone(), key.clone_key())?;
        server.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would be believed for its old certificate's sake, unverified.
        server.session_storage = Arc::new(NoServerSessionStorage {});
        server.send_tls13_tickets = 0;
        let expires_at = expires_at(&paths.cert, own)?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&TLS13])?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        client.alpn_protocols = vec![ALPN.to_vec()];
        client.resumption = Resumption::disabled();
        Ok(Self {
            digest: files.digest(),
            expires_at,
            server: Arc::new(server),
            client: Arc::new(client),
        })
    }

    /// Whether it was made of these files.
    pub(super) fn is_of(&self, files: &Files) -> bool {
        self.digest == files.digest()
    }

    pub(super) fn tell(&self) {
        metrics::gauge!("tls_certificate_expires_at_seconds").set(self.expires_at.as_second() as f64);
    }
}

/// Whether a certificate is of this service.
pub(super) fn names(certificate: &CertificateDer<'_>, service: &str) -> bool {
    let Ok(name) = ServerName::try_from(service) else {
        return false;
    };
    ParsedCertificate::try_from(certificate)
        .is_ok_and(|certificate| verify_server_name(&certificate, &name).is_ok())
}

fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, Fault> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let certificates = certificates.map_err(|source| Fault::Pem {
        path: path.to_owned(),
        source,
    })?;
    if certificates.is_empty() {
        return Err(Fault::Empty {
            path: path.to_owned(),
        });
    }
    Ok(certificates)
}

fn expires_at(path: &Path, certificate: &CertificateDer<'_>) -> Result<Timestamp, Fault> {
    let parsed = x509_cert::Certificate::from_der(certificate).map_err(|source| Fault::Der {
        path: path.to_owned(),
        source,
    })?;
    let secs = parsed
        .tbs_certificate
        .validity
        .not_after
        .to_unix_duration()
        .as_secs();
    // 9999-12-31 stands for "never"; it fits.
    Ok(i64::try_from(secs)
        .ok()
        .and_then(|secs| Timestamp::from_second(secs).ok())
        .unwrap_or(Timestamp::MAX))
}

fn unix_time(now: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(now.as_second().unsigned_abs()))
}
