//! Authorities of the test's own, the certificates they sign, and what a handshake makes of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use time::{Duration, OffsetDateTime};

use crate::isolation::keys::now;

pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
    pub(super) ends_at: i64,
}

impl Authority {
    pub(super) fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        let issuer = Issuer::new(params, key);
        Ok(Self { issuer, certificate })
    }

    pub(super) fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// What a service gets: for an hour, as a client and as a server.
    pub(super) fn sign(&self, name: &str) -> anyhow::Result<Pair> {
        self.sign_with(name, |_| ())
    }

    pub(super) fn expired(&self, name: &str) -> anyhow::Result<Pair> {
        self.sign_with(name, |params| {
            (params.not_before, params.not_after) = (at(-Duration::hours(2)), at(-Duration::minutes(1)));
        })
    }

    pub(super) fn not_yet_valid(&self, name: &str) -> anyhow::Result<Pair> {
        self.sign_with(name, |params| params.not_before = at(Duration::minutes(30)))
    }

    pub(super) fn for_servers_only(&self, name: &str) -> anyhow::Result<Pair> {
        self.sign_with(name, |params| params.extended_key_usages = vec![ServerAuth])
    }

    fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> anyhow::Result<Pair> {
        let mut params = CertificateParams::new([name.to_owned()])?;
        params.extended_key_usages = vec![ServerAuth, ClientAuth];
        (params.not_before, params.not_after) = (at(-Duration::minutes(1)), at(Duration::hours(1)));
        change(&mut params);
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Pair {
            certificate_pem: certificate.pem(),
            certificate: certificate.into(),
            key_pem: key.serialize_pem(),
            ends_at: params.not_after.unix_timestamp(),
        })
    }

    fn roots(&self) -> anyhow::Result<Arc<RootCertStore>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone())?;
        Ok(Arc::new(roots))
    }

    /// A client that believes this authority and shows a certificate, or none.
    pub(super) fn client(&self, shown: Option<&Pair>) -> anyhow::Result<Arc<ClientConfig>> {
        let client = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(self.roots()?);
        let mut client = match shown {
            Some(pair) => client.with_client_auth_cert(vec![pair.certificate.clone()], pair.key()?)?,
            None => client.with_no_client_auth(),
        };
        client.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(client))
    }

    /// A server that shows this certificate and asks for one of this authority's.
    pub(super) fn server(&self, shown: &Pair) -> anyhow::Result<Arc<ServerConfig>> {
        let provider = Arc::new(default_provider());
        let clients = WebPkiClientVerifier::builder_with_provider(self.roots()?, provider.clone()).build()?;
        let mut server = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_client_cert_verifier(clients)
            .with_single_cert(vec![shown.certificate.clone()], shown.key()?)?;
        server.alpn_protocols = vec![b"h2".to_vec()];
        Ok(Arc::new(server))
    }
}

impl Pair {
    fn key(&self) -> anyhow::Result<PrivateKeyDer<'static>> {
        Ok(PrivateKeyDer::from_pem_slice(self.key_pem.as_bytes())?)
    }

    /// This certificate with another one's key: what is seen half-way through a swap.
    pub(super) fn with_key_of(&self, other: &Self) -> Self {
        Self {
            certificate: self.certificate.clone(),
            certificate_pem: self.certificate_pem.clone(),
            key_pem: other.key_pem.clone(),
            ends_at: self.ends_at,
        }
    }
}

/// The three files of a service; they go with this.
pub(super) struct Files(PathBuf);

impl Files {
    pub(super) fn new(pair: &Pair, authorities: &str) -> anyhow::Result<Self> {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mtls-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir_all(&folder)?;
        let files = Self(folder);
        files.swap(pair, authorities)?;
        Ok(files)
    }

    /// Each is whole at any time, as when Kubernetes swaps them.
    pub(super) fn swap(&self, pair: &Pair, authorities: &str) -> anyhow::Result<()> {
        let texts = [("tls.key", &pair.key_pem), ("tls.crt", &pair.certificate_pem)];
        for (name, text) in texts.into_iter().chain([("ca.crt", &authorities.to_owned())]) {
            let new = self.0.join(format!("{name}.new"));
            std::fs::write(&new, text)?;
            std::fs::rename(&new, self.0.join(name))?;
        }
        Ok(())
    }

    /// The settings that name them, looked at each second.
    pub(super) fn env(&self) -> Vec<(&'static str, String)> {
        let path = |name: &str| self.0.join(name).to_string_lossy().into_owned();
        vec![
            ("SHEQUN_TLS_CERT", path("tls.crt")),
            ("SHEQUN_TLS_KEY", path("tls.key")),
            ("SHEQUN_TLS_CA", path("ca.crt")),
            ("SHEQUN_TLS_RELOAD_SECS", "1".to_owned()),
        ]
    }

    pub(super) fn log(&self) -> PathBuf {
        self.0.join("log")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // In a folder of the build; nothing depends on its going away.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn at(offset: Duration) -> OffsetDateTime {
    let now = OffsetDateTime::from_unix_timestamp(now().as_second()).context("now");
    now.expect("it is within the calendar") + offset
}
