//! Whatever comes from outside is parsed or refused, never a crash (S16): addresses of webhooks, requests,
//! templates, hints.

use contracts::broadcast::v1::ChunkReady;
use jiff::Timestamp;
use prost::Message as _;
use testkit::fuzz;

use crate::broadcast::AcceptBroadcast;
use crate::broadcast::accept::RATE_PER_S_MAX;
use crate::content::Content;
use crate::content::reader::{Reader, known};
use crate::content::said::TEXT_BYTES_MAX;
use crate::content::template::Value;
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
    let seeds: [&[u8]; 4] = [
        br#"{"kind":"member","title":"t","text":"x","audience":{"tags_any":["vip"],"tags_all":[]},"channel":"inbox","rate_per_s":200}"#,
        br#"{"kind":"enterprise","title":"t","text":"x\n","audience":{},"channel":"webhook","rate_per_s":null}"#,
        br#"{"kind":"member","title":"t","text":"x","post_in":{"groups":["0199d3a8-0000-7000-8000-000000000000"],"owned_by":[],"except":[]},"channel":"webhook"}"#,
        br#"{"deselect":["0199d3a8-0000-7000-8000-000000000000"]}"#,
    ];
    let inputs = fuzz(&seeds, |input| {
        if let Ok(command) = serde_json::from_slice::<AcceptBroadcast>(input) {
            assert!(
                command
                    .rate_per_s
                    .is_none_or(|rate| (1..=RATE_PER_S_MAX).contains(&rate.0))
            );
            let _ = command.check_recipients();
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
        aside: true,
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

/// Whatever is written and whoever reads it: what is accepted says something, within its bounds, and reads back as it was.
#[test]
fn a_template_says_what_it_may_or_is_refused() {
    let seeds: [&[u8]; 3] = [
        r#"{"language":"zh","variants":{"zh":{"text":"{{contact.name|亲}}，{{brand.season}}到了。{{member.alias|我}} {{shop.link}} {{optout.link}}"}},"constants":[{"name":"season","text":"春 2026"}],"shop_url":"https://shop.example/"}"#.as_bytes(),
        br#"{"language":"en","variants":{"en":{"text":"\\{{ {{brand.page}}","attachments":[{"link":{"title":"For {{contact.name|you}}","url":"{{brand.page}}"}},{"image":{"media_id":"M"}}]},"ja":{"text":"{{contact.name|x}}"}},"constants":[{"name":"page","link":"https://a.example/?b=c#d"}]}"#,
        br#"{"language":"en","variants":{"en":{"text":"x","attachments":[{"mini_program":{"title":"{{brand.s}}","pic":{"media_id":"M"},"appid":"wx1234567890abcdef","page":"pages/i?s={{brand.s}}"}}]}},"constants":[{"name":"s","text":"<b>&"}]}"#,
    ];
    let mut accepted = 0;
    let inputs = fuzz(&seeds, |input| {
        let Ok(content) = serde_json::from_slice::<Content>(input) else {
            return;
        };
        accepted += 1;
        let kept = serde_json::to_value(&content).unwrap();
        assert_eq!(serde_json::from_value::<Content>(kept).unwrap(), content);
        let mut said = vec![content.say_to_nobody().unwrap()];
        for (language, name) in [
            ("ja", ""),
            ("zh-Hans", "{{contact.name|<b>}}"),
            ("\u{202e}", "王\r\n\0"),
        ] {
            let reader = Reader {
                language,
                contact_name: known(name),
                member_alias: known(name),
                shop_link: Value::Known("https://shop.example/?st=x"),
                opt_out_link: Value::Known("https://m.example/v1/opt-out/x"),
                short: None,
            };
            said.extend(content.say_to(&reader)); // who has too long a name gets nothing
        }
        for said in said {
            assert!(said.text.len() <= TEXT_BYTES_MAX);
            assert!(!said.html().contains("<script"));
        }
    });
    println!("{accepted} templates of {inputs}");
    assert!(accepted > 0);
}
