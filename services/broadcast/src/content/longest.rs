//! Content with every link as long as it is sent: what can be written to nobody is refused when it is asked for, and not
//! recipient by recipient.

use contracts::{BroadcastId, ContactId, MemberId};
use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};
use uuid::Uuid;

use super::letter::{SEAL_CHARS, SHOP_PARAMETER};
use super::reader::Reader;
use super::short::LinkNo;
use super::template::Value;
use super::{Content, ContentError};
use crate::click::ShortLinks;
use crate::opt_out::Links;

/// Content that is asked for. What was accepted once is read as it is, and not looked at again.
pub(crate) fn sendable<'de, D: Deserializer<'de>>(wire: D) -> Result<Option<Content>, D::Error> {
    let content = Option::<Content>::deserialize(wire)?;
    if let Some(content) = &content {
        content.check_longest().map_err(D::Error::custom)?;
    }
    Ok(content)
}

impl Content {
    /// Whether it fits for somebody: names are nobody's, since they differ, and every link is as long as any of ours.
    fn check_longest(&self) -> Result<(), ContentError> {
        let links = Links::longest();
        let contact = ContactId(Uuid::nil());
        let short = self.has_short_links().then_some(ShortLinks {
            links: &links,
            broadcast: BroadcastId(Uuid::nil()),
            member: MemberId(Uuid::nil()),
            contact,
        });
        let shop_link = self.shop_url().map(|url| match &short {
            Some(short) => short.of(LinkNo::SHOP),
            None => url.with(SHOP_PARAMETER, &"x".repeat(SEAL_CHARS)),
        });
        let opt_out_link = self.leads_out().then(|| links.of(contact));
        let reader = Reader {
            shop_link: shop_link.as_deref().map_or(Value::Nobodys, Value::Known),
            opt_out_link: opt_out_link.as_deref().map_or(Value::Nobodys, Value::Known),
            short,
            ..self.nobodys()
        };
        for (language, variant) in self.variants.all() {
            self.fill_in(language, variant, &reader)
                .map_err(|error| ContentError::Render(language, error))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use contracts::TenantId;
    use serde_json::{Value, json};
    use url::Url;

    use super::*;
    use crate::Config;
    use crate::broadcast::AcceptBroadcast;
    use crate::opt_out::PUBLIC_URL_BYTES_MAX;
    use crate::preview::PreviewBroadcast;

    /// As long as a process starts with.
    fn public_url() -> Url {
        let host = "https://m.example.com/";
        let url = format!("{host}{}", "x".repeat(PUBLIC_URL_BYTES_MAX - host.len()));
        url.parse().unwrap()
    }

    #[test]
    fn no_link_is_longer_than_the_longest() {
        let longest = Links::longest();
        for generation in [1, i16::MAX] {
            let links = Links::new(&public_url(), TenantId::new(), generation, &[7; 32]);
            let short = |links| ShortLinks {
                links,
                broadcast: BroadcastId::new(),
                member: MemberId::new(),
                contact: ContactId::new(),
            };
            let contact = ContactId::new();
            assert_eq!(links.of(contact).len(), longest.of(contact).len());
            for link in [LinkNo::SHOP, LinkNo(u8::MAX)] {
                assert_eq!(short(&links).of(link).len(), short(&longest).of(link).len());
            }
        }
    }

    #[test]
    fn no_process_starts_with_a_longer_address() {
        let check = |url: &str| Config::parse_from(["broadcast", "--public-url", url, "serve"]).check();
        assert!(check(public_url().as_str()).is_ok());
        let told = check(&format!("{}x", public_url())).unwrap_err().to_string();
        assert!(
            told.contains("SHEQUN_PUBLIC_URL is longer than 200 bytes"),
            "{told}"
        );
    }

    fn zh(text: &str, change: Value) -> Value {
        let mut content = json!({"language": "zh", "variants": {"zh": {"text": text}}});
        for (name, value) in change.as_object().unwrap() {
            content[name] = value.clone();
        }
        content
    }

    fn titled(title: &str, change: Value) -> Value {
        let mut content = zh("t", change);
        content["variants"]["zh"]["attachments"] = json!([{"mini_program": {
            "title": title, "pic": {"media_id": "M"}, "appid": "wx1234567890abcdef", "page": "p"}}]);
        content
    }

    /// Why it is refused, by whoever may be asked for it.
    fn refusal(content: &Value) -> Option<String> {
        let accept =
            json!({"kind": "member", "title": "t", "content": content, "audience": {}, "channel": "inbox"});
        let accepted = serde_json::from_value::<AcceptBroadcast>(accept);
        let preview = json!({"kind": "member", "content": content});
        let previewed = serde_json::from_value::<PreviewBroadcast>(preview);
        let told = accepted.err().map(|error| error.to_string());
        assert_eq!(previewed.err().map(|error| error.to_string()), told);
        told
    }

    #[test]
    fn what_can_be_written_to_nobody_is_refused_at_once() {
        let page = json!([{"name": "page", "link": "https://b.example/"}]);
        let (long, short) = (
            json!({"constants": page}),
            json!({"constants": page, "short_links": true}),
        );
        let shop = json!({"shop_url": "https://s.example/"});
        for content in [
            zh(&format!("{}{{{{optout.link}}}}", "春".repeat(1_200)), json!({})),
            zh(&format!("{}{{{{shop.link}}}}", "春".repeat(1_260)), shop.clone()),
            titled("{{brand.page}}", long),
        ] {
            assert_eq!(refusal(&content), None);
        }
        for (content, bytes_max) in [
            (
                zh(&format!("{}{{{{optout.link}}}}", "春".repeat(1_320)), json!({})),
                4_000,
            ),
            (
                zh(&format!("{}{{{{shop.link}}}}", "春".repeat(1_270)), shop),
                4_000,
            ),
            (titled("{{optout.link}}", json!({})), 64),
            (titled("{{brand.page}}", short), 64),
        ] {
            let told = refusal(&content).unwrap();
            let expected = format!("variant zh: filled in it is longer than {bytes_max} bytes");
            assert!(told.contains(&expected), "{told}");
            // What an earlier version accepted can be read and shown.
            let kept: Content = serde_json::from_value(content).unwrap();
            assert!(kept.say_to_nobody().is_ok());
        }
    }
}
