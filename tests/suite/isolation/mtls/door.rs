//! An address that leads now to a service, now to somebody who only pretends to be it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

/// Who is behind the door.
#[derive(Clone)]
pub(super) enum Host {
    Service(SocketAddr),
    Impostor(Arc<ServerConfig>),
}

/// What an impostor saw of a caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    /// The caller broke the handshake off.
    Refused(String),
    /// It showed its certificate.
    Shown(Option<CertificateDer<'static>>),
    /// It went on to say something.
    Spoke,
}

pub(super) struct Door {
    pub(super) address: SocketAddr,
    host: watch::Sender<Host>,
    met: Arc<Mutex<Vec<Met>>>,
}

impl Door {
    pub(super) async fn open(host: Host) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let door = Self {
            address: listener.local_addr()?,
            host: watch::Sender::new(host),
            met: Arc::default(),
        };
        let (host, met) = (door.host.subscribe(), door.met.clone());
        tokio::spawn(async move {
            while let Ok((caller, _)) = listener.accept().await {
                let (mut host, met) = (host.clone(), met.clone());
                tokio::spawn(async move {
                    let is_now = host.borrow_and_update().clone();
                    tokio::select! {
                        _ = host.changed() => {} // everybody out
                        _ = receive(caller, is_now, &met) => {}
                    }
                });
            }
        });
        Ok(door)
    }

    /// Ends what goes on and forgets whom the last one met.
    pub(super) fn lead_to(&self, host: Host) {
        self.host.send_replace(host);
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    pub(super) fn host(&self) -> Host {
        self.host.borrow().clone()
    }

    pub(super) fn met(&self) -> Vec<Met> {
        self.met.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn receive(mut caller: TcpStream, host: Host, met: &Mutex<Vec<Met>>) -> io::Result<()> {
    let note = |what: Met| met.lock().unwrap_or_else(PoisonError::into_inner).push(what);
    let config = match host {
        Host::Service(address) => {
            let mut service = TcpStream::connect(address).await?;
            return copy_bidirectional(&mut caller, &mut service).await.map(drop);
        }
        Host::Impostor(config) => config,
    };
    match TlsAcceptor::from(config).accept(caller).await {
        Err(error) => note(Met::Refused(error.to_string())),
        Ok(mut stream) => {
            let shown = stream.get_ref().1.peer_certificates();
            note(Met::Shown(shown.and_then(|chain| chain.first().cloned())));
            if stream.read_u8().await.is_ok() {
                note(Met::Spoke);
            }
            std::future::pending::<()>().await;
        }
    }
    Ok(())
}
