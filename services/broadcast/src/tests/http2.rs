//! HTTP/2 where a receiver offers it: one connection, and what the receiver has not looked at is called again.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use contracts::ContactId;
use h2::Reason;
use h2::server::SendResponse;
use http::{HeaderMap, Request, Response};
use hyper::body::Bytes;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::scene::Scene;
use super::ssrf::mailing;
use crate::channel::Delivered;
use crate::channel::webhook::{Client, Directory};
use crate::grip::Grip;
use crate::outcome::Outcome;
use crate::pace::Pace;
use crate::webhook::{Receiver, Secret};

const CALLS: usize = 30;

struct Peer {
    port: u16,
    client: Client,
    connections: Arc<AtomicUsize>,
    /// The `webhook-id` of each call it looked at.
    taken: Arc<Mutex<Vec<String>>>,
}

impl Peer {
    /// Refuses the first so many calls.
    async fn open(scene: &Scene, refused: usize) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut tls = rustls::ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let tls = rustls::ClientConfig::builder()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let peer = Self {
            port: listener.local_addr().unwrap().port(),
            client: Client::with(&scene.state, Directory::System, Some(tls)).unwrap(),
            connections: Arc::default(),
            taken: Arc::default(),
        };
        let (connections, taken, calls) = (
            peer.connections.clone(),
            peer.taken.clone(),
            Arc::<AtomicUsize>::default(),
        );
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(
                    acceptor.clone(),
                    stream,
                    refused,
                    calls.clone(),
                    taken.clone(),
                ));
            }
        });
        peer
    }

    async fn deliver(&self, scene: &Scene, contacts: &[ContactId]) -> Delivered {
        let receiver = Receiver {
            url: format!("https://localhost:{}/", self.port),
            secrets: vec![Secret::new()],
        };
        let mailing = mailing();
        let webhook = self
            .client
            .at(&scene.state, mailing.tenant, Some(&receiver), false);
        webhook
            .deliver(&mailing, contacts, Pace::free(), &Grip::firm())
            .await
    }

    /// Each was delivered to, and looked at once.
    fn check(&self, delivered: &[Delivered]) {
        let ends = delivered.iter().flat_map(|delivered| &delivered.deliveries);
        assert!(
            ends.clone()
                .all(|delivery| delivery.outcome == Outcome::Delivered)
        );
        assert_eq!(ends.count(), CALLS);
        let mut taken = self.taken.lock().unwrap().clone();
        assert_eq!(taken.len(), CALLS);
        taken.sort();
        taken.dedup();
        assert_eq!(taken.len(), CALLS, "nobody was called twice");
    }
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    refused: usize,
    calls: Arc<AtomicUsize>,
    taken: Arc<Mutex<Vec<String>>>,
) {
    let stream = acceptor.accept(stream).await.unwrap();
    let mut connection = h2::server::handshake(stream).await.unwrap();
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        match calls.fetch_add(1, Ordering::SeqCst) < refused {
            true => answer.send_reset(Reason::REFUSED_STREAM), // it has not looked at it
            false => drop(tokio::spawn(take(request, answer, taken.clone()))),
        }
    }
}

async fn take(
    request: Request<h2::RecvStream>,
    mut answer: SendResponse<Bytes>,
    taken: Arc<Mutex<Vec<String>>>,
) {
    let (head, mut body) = request.into_parts();
    while let Some(Ok(part)) = body.data().await {
        body.flow_control().release_capacity(part.len()).unwrap();
    }
    let id = |headers: &HeaderMap| headers["webhook-id"].to_str().unwrap().to_owned();
    taken.lock().unwrap().push(id(&head.headers));
    answer.send_response(Response::new(()), true).unwrap();
}

#[tokio::test]
async fn http2_is_used_where_it_is_offered_over_one_connection() {
    let scene = Scene::new(&[]).await;
    let peer = Peer::open(&scene, 0).await;
    let contacts: Vec<_> = (0..CALLS).map(|_| ContactId::new()).collect();
    let mut delivered = vec![];
    for contacts in [&contacts[..1], &contacts[1..]] {
        delivered.push(peer.deliver(&scene, contacts).await);
    }
    peer.check(&delivered);
    assert_eq!(peer.connections.load(Ordering::SeqCst), 1);
}

/// With one attempt each: what the receiver has not looked at is none.
#[tokio::test]
async fn what_a_receiver_has_not_looked_at_is_called_again_and_is_no_failure() {
    let scene = Scene::new(&["--webhook-attempts-max", "1"]).await;
    let peer = Peer::open(&scene, 10).await;
    let contacts: Vec<_> = (0..CALLS).map(|_| ContactId::new()).collect();
    peer.check(&[peer.deliver(&scene, &contacts).await]);
}
