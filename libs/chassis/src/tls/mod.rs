//! TLS between services: who we are and whom we believe, from files that may be swapped while we run.

mod material;
mod wire;

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use url::Url;

use self::material::{Fault, Material};
pub(crate) use self::wire::{Presented, take_in};
use crate::clock::Clock;
use crate::settings::TlsSettings;

/// Where the three files are.
#[derive(Clone, Debug)]
pub(crate) struct Paths {
    cert: PathBuf,
    key: PathBuf,
    ca: PathBuf,
}

struct Inner {
    service: &'static str,
    paths: Paths,
    clock: Clock,
    look: Duration,
    current: RwLock<Arc<Material>>,
}

/// A service's certificate and its authorities, as they are by now. Clones share them.
#[derive(Clone)]
pub(crate) struct Tls(Arc<Inner>);

impl Tls {
    /// Reads the files, when there are to be any.
    ///
    /// # Errors
    /// When only some are named, or they are of no use together.
    pub(crate) fn load(
        service: &'static str,
        settings: &TlsSettings,
        clock: Clock,
    ) -> anyhow::Result<Option<Self>> {
        let (cert, key, ca) = match (&settings.tls_cert, &settings.tls_key, &settings.tls_ca) {
            (None, None, None) => return Ok(None),
            (Some(cert), Some(key), Some(ca)) => (cert.clone(), key.clone(), ca.clone()),
            _ => anyhow::bail!(
                "SHEQUN_TLS_CERT, SHEQUN_TLS_KEY and SHEQUN_TLS_CA go together: set all or none"
            ),
        };
        let paths = Paths { cert, key, ca };
        let material = Material::load(service, &paths, clock.now()).context("TLS can't be used")?;
        material.tell();
        // It is there from the start, so that an alert can ask for its increase.
        metrics::counter!("tls_reload_failures_total").absolute(0);
        Ok(Some(Self(Arc::new(Inner {
            service,
            paths,
            clock,
            look: Duration::from_secs(settings.tls_reload_secs),
            current: RwLock::new(Arc::new(material)),
        }))))
    }

    fn current(&self) -> Arc<Material> {
        self.0
            .current
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    fn server(&self) -> Arc<ServerConfig> {
        self.current().server.clone()
    }

    fn client(&self) -> Arc<ClientConfig> {
        self.current().client.clone()
    }

    /// Looks at the files now and then until `stopping` fires. Whatever is wrong with them, what was read last stays.
    ///
    /// # Errors
    /// Never; it is a process's loop.
    pub(crate) async fn keep_fresh(self, stopping: CancellationToken) -> anyhow::Result<()> {
        let mut tick = tokio::time::interval(self.0.look);
        while stopping.run_until_cancelled(tick.tick()).await.is_some() {
            let tls = self.clone();
            match spawn_blocking(move || tls.look()).await? {
                Ok(None) => {}
                Ok(Some(material)) => self.take_up(material),
                Err(fault) => {
                    metrics::counter!("tls_reload_failures_total").increment(1);
                    let error = &fault as &dyn std::error::Error;
                    tracing::warn!(error, "new TLS files can't be used, the old ones stay");
                }
            }
        }
        Ok(())
    }

    /// What the files hold, when it is something new.
    fn look(&self) -> Result<Option<Material>, Fault> {
        let Inner {
            service,
            paths,
            clock,
            ..
        } = &*self.0;
        let files = paths.read()?;
        if self.current().is_of(&files) {
            return Ok(None);
        }
        Material::new(service, paths, &files, clock.now()).map(Some)
    }

    /// For connections made from now on; those that are there end at their age.
    fn take_up(&self, material: Material) {
        material.tell();
        tracing::info!(expires_at = %material.expires_at, "new TLS files are in use");
        *self.0.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(material);
    }
}

/// The name by which certificates know a service. It is the service's own and not its address: whatever stands at an
/// address has to prove that it is the service we mean.
pub(crate) fn name(service: &str) -> anyhow::Result<ServerName<'static>> {
    ServerName::try_from(service.to_owned())
        .with_context(|| format!("{service:?} can't be a certificate's name"))
}

/// Plain and secured don't mix: with TLS no call may leave in the clear, without it none can be secured.
pub(crate) fn check_scheme(url: &Url, is_secured: bool) -> anyhow::Result<()> {
    let shown = url.as_str();
    ensure!(
        matches!(url.scheme(), "http" | "https"),
        "{shown} begins with neither http:// nor https://"
    );
    ensure!(
        !is_secured || url.scheme() == "https",
        "{shown} is plain: with SHEQUN_TLS_CERT set it has to begin with https://"
    );
    ensure!(
        is_secured || url.scheme() == "http",
        "{shown} needs SHEQUN_TLS_CERT, SHEQUN_TLS_KEY and SHEQUN_TLS_CA: nobody answers a caller without a certificate"
    );
    Ok(())
}

#[cfg(test)]
mod tests;
