//! S10: webhooks reach nothing of ours, of a neighbour's, or of a cloud's inside. What counts is a real listener.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::Path;
use axum::http::StatusCode;
use axum::response::IntoResponse as _;
use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use tokio::net::TcpListener;

use super::scene::Scene;
use crate::State;
use crate::broadcast::Kind;
use crate::channel::webhook::{Client, Directory};
use crate::channel::{Delivered, Mailing};
use crate::content::letter::Letter;
use crate::content::said::Said;
use crate::grip::Grip;
use crate::mail::Mailboxes;
use crate::opt_out::Links;
use crate::pace::Pace;
use crate::webhook::{Receiver, Secret};

/// Hosts in URLs: `{p}` is the port on which everything of this machine listens.
const URLS: [&str; 84] = [
    // Loopback, in every way to write it.
    "https://127.0.0.1:{p}/",
    "https://127.0.0.1.:{p}/",
    "https://127.1:{p}/",
    "https://127.0.1:{p}/",
    "https://127.255.255.254:{p}/",
    "https://2130706433:{p}/",
    "https://0x7f000001:{p}/",
    "https://0x7f.0.0.1:{p}/",
    "https://0x7f.1:{p}/",
    "https://0177.0.0.1:{p}/",
    "https://017700000001:{p}/",
    "https://0177.1:{p}/",
    "https://127.0x0.0.1:{p}/",
    "https://00000177.0.0.1:{p}/",
    "https://[::1]:{p}/",
    "https://[0:0:0:0:0:0:0:1]:{p}/",
    "https://[::ffff:127.0.0.1]:{p}/",
    "https://[::ffff:7f00:1]:{p}/",
    "https://[::127.0.0.1]:{p}/",
    "https://%31%32%37.0.0.1:{p}/",
    "https://127。0。0。1:{p}/",
    "https://１２７.０.０.１:{p}/",
    "https://①②⑦.0.0.1:{p}/",
    "https:127.0.0.1:{p}/",
    "https:\\\\127.0.0.1:{p}\\",
    "https:///127.0.0.1:{p}/",
    " https://127.0.0.1:{p}/ ",
    "https://127.0.0.1:{p}\\@crm.example.com/",
    "https://127.0.0.1:{p}#@crm.example.com/",
    "https://127.0.0.1:{p}?@crm.example.com/",
    "https://127.0.0.1\t:{p}/",
    "HTTPS://127.0.0.1:{p}/",
    // Names that mean this machine or its neighbours.
    "https://localhost:{p}/",
    "https://LOCALHOST:{p}/",
    "https://localhost.:{p}/",
    "https://api.localhost:{p}/",
    "https://ｌｏｃａｌｈｏｓｔ:{p}/",
    "https://local%68ost:{p}/",
    "https://printer.local:{p}/",
    "https://metadata.google.internal:{p}/",
    "https://postgres:{p}/",
    "https://postgres.:{p}/",
    "https://postgres.shequn.svc.cluster.local:{p}/",
    "https://router.lan:{p}/",
    "https://nas.home:{p}/",
    "https://1.0.0.127.in-addr.arpa:{p}/",
    "https://crm.test:{p}/",
    // Unspecified, private, link-local, shared, benchmarks, documentation, multicast, reserved, broadcast.
    "https://0.0.0.0:{p}/",
    "https://0:{p}/",
    "https://0.1.2.3:{p}/",
    "https://10.0.0.8:{p}/",
    "https://10.255.255.255:{p}/",
    "https://172.16.0.1:{p}/",
    "https://172.31.255.255:{p}/",
    "https://192.168.0.1:{p}/",
    "https://169.254.169.254:{p}/",
    "https://169.254.170.2:{p}/",
    "https://100.64.0.1:{p}/",
    "https://100.100.100.200:{p}/",
    "https://192.0.0.8:{p}/",
    "https://192.88.99.1:{p}/",
    "https://198.18.0.1:{p}/",
    "https://203.0.113.1:{p}/",
    "https://224.0.0.1:{p}/",
    "https://240.0.0.1:{p}/",
    "https://255.255.255.255:{p}/",
    "https://[::]:{p}/",
    "https://[fc00::1]:{p}/",
    "https://[fd12:3456::1]:{p}/",
    "https://[fe80::1]:{p}/",
    "https://[fe80::1%25lo]:{p}/",
    "https://[fe80::1%lo]:{p}/",
    "https://[fec0::1]:{p}/",
    "https://[ff02::1]:{p}/",
    // IPv4 within IPv6: NAT64, 6to4, Teredo.
    "https://[64:ff9b::7f00:1]:{p}/",
    "https://[64:ff9b:1::7f00:1]:{p}/",
    "https://[2002:7f00:1::]:{p}/",
    "https://[2001:0:7f00:1::]:{p}/",
    "https://[2001:db8::1]:{p}/",
    // Who is meant is hidden, or it is no https at all.
    "https://crm.example.com@127.0.0.1:{p}/",
    "https://crm.example.com:pw@127.0.0.1:{p}/",
    "http://127.0.0.1:{p}/",
    "ftp://127.0.0.1:{p}/",
    "https://127.0.0.1:0/",
];

/// What names of the public DNS resolve to, look by look.
const ANSWERS: [&[&[&str]]; 25] = [
    &[&["127.0.0.1"]],
    &[&["127.8.8.8"]],
    &[&["0.0.0.0"]],
    &[&["10.0.0.8"]],
    &[&["172.16.0.1"]],
    &[&["192.168.3.4"]],
    &[&["169.254.169.254"]],
    &[&["100.64.0.1"]],
    &[&["224.0.0.1"]],
    &[&["255.255.255.255"]],
    &[&["::1"]],
    &[&["::"]],
    &[&["::ffff:127.0.0.1"]],
    &[&["::127.0.0.1"]],
    &[&["64:ff9b::7f00:1"]],
    &[&["2002:7f00:1::1"]],
    &[&["fd00::1"]],
    &[&["fe80::1"]],
    &[&["ff02::1"]],
    &[&[]],
    // To a public address as well, first or last.
    &[&["2606:4700::1", "127.0.0.1"]],
    &[&["127.0.0.1", "2606:4700::1"]],
    &[&["::1", "2606:4700::1"]],
    // To a public address when it is looked at first, and to this machine the next moment.
    &[&["2606:4700::1"], &["127.0.0.1"]],
    &[&["2606:4700::1"], &["::1", "127.0.0.1"]],
];

/// A listener on every address of this machine, IPv4 as well as IPv6.
struct Doors {
    port: u16,
    knocks: Arc<AtomicUsize>,
}

impl Doors {
    async fn open() -> Self {
        let listener = match TcpListener::bind("[::]:0").await {
            Ok(listener) => listener,
            Err(_) => TcpListener::bind("0.0.0.0:0").await.unwrap(), // no IPv6 on this machine
        };
        let (port, knocks) = (
            listener.local_addr().unwrap().port(),
            Arc::<AtomicUsize>::default(),
        );
        let counted = knocks.clone();
        tokio::spawn(async move {
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        Self { port, knocks }
    }

    fn knocks(&self) -> usize {
        self.knocks.load(Ordering::SeqCst)
    }
}

fn directory() -> Directory {
    let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse::<IpAddr>().unwrap()).collect();
    let names = ANSWERS.iter().enumerate().map(|(i, answers)| {
        let answers: Vec<Vec<IpAddr>> = answers.iter().map(parse).collect();
        (format!("name-{i}.example.com"), answers)
    });
    Directory::Told(std::sync::Mutex::new(names.collect()))
}

/// Of nobody's.
pub(crate) fn mailing() -> Mailing {
    let tenant = TenantId::new();
    let said = Said {
        language: None,
        text: "The serum is in.".to_owned(),
        attachments: vec![],
    };
    Mailing {
        tenant,
        broadcast: BroadcastId::new(),
        kind: Kind::Enterprise,
        to: crate::post::To::Contacts,
        member: MemberId::new(),
        title: "Spring".to_owned(),
        mailboxes: Mailboxes::default(),
        letter: Letter::same(said),
        links: Links::new(&"https://m.example.com".parse().unwrap(), tenant, 1, &[7; 32]),
    }
}

/// One recipient's call.
async fn call(state: &State, client: &Client, url: &str) -> Delivered {
    let receiver = Receiver {
        url: url.to_owned(),
        secrets: vec![Secret::new()],
    };
    let mailing = mailing();
    let webhook = client.at(state, mailing.tenant, Some(&receiver), false);
    webhook
        .deliver(&mailing, &[ContactId::new()], Pace::free(), &Grip::firm())
        .await
}

#[tokio::test]
async fn s10_no_case_reaches_a_blocked_address() {
    let scene = Scene::new(&["--webhook-attempts-max", "1", "--webhook-timeout-secs", "5"]).await;
    let doors = Doors::open().await;
    let mut state = scene.state.clone();
    let open = Client::with(&state, Directory::System, None).unwrap();
    let url = format!("https://127.0.0.1:{}/", doors.port);
    call(&state, &open, &url).await;
    assert!(doors.knocks() > 0, "the doors count, where nothing is blocked");
    let before = doors.knocks();

    state.dev = false;
    let client = Client::with(&state, directory(), None).unwrap();
    let named = (0..ANSWERS.len()).map(|i| format!("https://name-{i}.example.com:{{p}}/"));
    let urls: Vec<_> = URLS.iter().map(|&url| url.to_owned()).chain(named).collect();
    for url in urls.iter().map(|url| url.replace("{p}", &doors.port.to_string())) {
        for look in 1..=2 {
            let delivered = call(&state, &client, &url).await;
            assert!(!delivered.is_in_doubt, "{url}, look {look}");
            assert!(
                delivered.deliveries.iter().all(|delivery| !delivery.is_handed),
                "{url}, look {look}"
            );
            assert_eq!(doors.knocks(), before, "{url}, look {look}");
        }
    }
}

#[tokio::test]
async fn s10_no_redirect_is_followed() {
    let scene = Scene::new(&["--webhook-attempts-max", "1"]).await;
    let doors = Doors::open().await;
    let port = doors.port;
    let answer = move |Path((status, form)): Path<(u16, usize)>| async move {
        let location = match form {
            0 => format!("http://127.0.0.1:{port}/"),
            1 => format!("https://localhost:{port}/"),
            2 => format!("//[::1]:{port}/"),
            _ => format!("http://crm.example.com@127.0.0.1:{port}/"),
        };
        (StatusCode::from_u16(status).unwrap(), [("location", location)]).into_response()
    };
    let router = axum::Router::new().route("/{status}/{form}", axum::routing::post(answer));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    let client = Client::new(&scene.state).unwrap();
    for status in [300, 301, 302, 303, 305, 307, 308] {
        for form in 0..4 {
            let url = format!("http://{address}/{status}/{form}");
            let delivered = call(&scene.state, &client, &url).await;
            assert!(delivered.deliveries[0].is_handed, "{url}");
            assert_eq!(
                delivered.deliveries[0].outcome,
                crate::outcome::Outcome::Dead,
                "{url}"
            );
        }
    }
    assert_eq!(doors.knocks(), 0);
}
