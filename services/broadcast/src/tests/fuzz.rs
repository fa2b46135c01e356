//! Whatever comes from outside is parsed or refused, never a crash (S16): addresses of webhooks, requests, hints.

use contracts::broadcast::v1::ChunkReady;
use jiff::Timestamp;
use prost::Message as _;
use testkit::fuzz;

use crate::broadcast::{AcceptBroadcast, RATE_PER_S_MAX};
use crate::task::ConfirmTask;
use crate::webhook::{Target, is_public, retry_after};

#[test]
fn a_webhooks_address_is_public_or_refused() {
    let seeds: [&[u8]; 8] = [
        b"https://example.com/hook?a=b",
        b"https://1.1.1.1:8443/",
        b"https://[2606:4700::1111]/x",
        b"https://127.0.0.1/",
        b"https://[::ffff:10.0.0.1]/",
        b"https://0x7f.1/",
        b"http://user:password@localhost:80/#top",
        "https://b\u{fc}cher.example/\u{ff0f}".as_bytes(),
    ];
    let inputs = fuzz(&seeds, |input| {
        let Ok(text) = std::str::from_utf8(input) else {
            return;
        };
        let Ok(target) = Target::parse(text, false) else {
            return;
        };
        let url = target.url();
        assert_eq!(url.scheme(), "https");
        assert!(url.username().is_empty() && url.password().is_none());
        let address = url
            .host_str()
            .unwrap()
            .trim_matches(['[', ']'])
            .parse::<std::net::IpAddr>();
        assert!(address.is_ok_and(is_public) || url.domain().is_some(), "{url}");
    });
    println!("{inputs} addresses");
}

#[test]
fn a_request_is_understood_or_refused() {
    let seeds: [&[u8]; 3] = [
        br#"{"kind":"member","title":"t","text":"x","audience":{"tags_any":["vip"],"tags_all":[]},"channel":"inbox","rate_per_s":200}"#,
        br#"{"kind":"enterprise","title":"t","text":"x\n","audience":{},"channel":"webhook","rate_per_s":null}"#,
        br#"{"deselect":["0199d3a8-0000-7000-8000-000000000000"]}"#,
    ];
    let inputs = fuzz(&seeds, |input| {
        if let Ok(command) = serde_json::from_slice::<AcceptBroadcast>(input) {
            assert!(
                command
                    .rate_per_s
                    .is_none_or(|rate| (1..=RATE_PER_S_MAX).contains(&rate.0))
            );
            let tags = command.audience.map(|audience| audience.tags_any.names().len());
            assert!(tags.is_none_or(|tags| tags <= 20));
        }
        drop(serde_json::from_slice::<ConfirmTask>(input));
    });
    println!("{inputs} requests");
}

#[test]
fn a_hint_is_decoded_or_refused() {
    let hint = ChunkReady {
        tenant_id: uuid::Uuid::now_v7().to_string(),
        broadcast_id: uuid::Uuid::now_v7().to_string(),
        chunk: u32::MAX,
        epoch: 1,
    };
    let encoded = hint.encode_to_vec();
    let inputs = fuzz(&[&encoded, b"\x08\xff\xff\xff\xff\x0f"], |input| {
        let _ = crate::queue::hint_of(input);
    });
    println!("{inputs} hints");
}

#[test]
fn retry_after_is_a_time_or_nothing() {
    let seeds: [&[u8]; 3] = [b"120", b"Fri, 31 Dec 1999 23:59:59 GMT", b"-9223372036854775808"];
    let inputs = fuzz(&seeds, |input| {
        if let Ok(text) = std::str::from_utf8(input) {
            let _ = retry_after(text, Timestamp::UNIX_EPOCH);
        }
    });
    println!("{inputs} headers");
}
