//! Short links of ours in a mass message's words: who follows one is led on, and counted.
//!
//! A link carries tenant, mass message, member, contact and which of the content's links it is, signed like the way out of
//! marketing (`opt_out`), and good for as long. Where it leads stands in the content and never in the link.

mod bots;

use std::collections::VecDeque;
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::content::short::LinkNo;
use crate::error::Error;
use crate::opt_out::{LinkKeys, Links};

const PURPOSE: &[u8] = b"shequn click 1";
const TAG_BYTES: usize = 32;
const SAID_BYTES: usize = 2 + 4 * 16 + 1;
/// Clicks that wait to be counted, in one process: some seconds' worth of a storm, 1 MB.
const WAITING_MAX: usize = 10_000;
/// Headers by which a browser says that nobody has asked for the page yet.
const PURPOSES: [&str; 4] = ["purpose", "sec-purpose", "x-purpose", "x-moz"];

/// What a link says; nothing of it is proven before its signature is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Token {
    pub generation: i16,
    pub tenant: TenantId,
    pub broadcast: BroadcastId,
    pub member: MemberId,
    pub contact: ContactId,
    pub link: LinkNo,
    pub tag: [u8; TAG_BYTES],
}

impl Token {
    fn said(&self) -> Vec<u8> {
        let ids = [self.tenant.0, self.broadcast.0, self.member.0, self.contact.0];
        let ids = ids.iter().flat_map(|id| *id.as_bytes());
        let generation = self.generation.to_be_bytes().into_iter();
        generation.chain(ids).chain([self.link.0]).collect()
    }

    /// Whether the tenant signed it, with a key that still stands.
    pub(crate) fn is_signed(&self, keys: &LinkKeys) -> bool {
        keys.prove(self.generation, &[PURPOSE, &self.said()].concat(), &self.tag)
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64_URL_SAFE_NO_PAD.encode([self.said().as_slice(), &self.tag].concat()))
    }
}

impl FromStr for Token {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok();
        let bytes: [u8; SAID_BYTES + TAG_BYTES] = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Error::LinkUnknown)?;
        let id = |n: usize| {
            let from = 2 + 16 * n;
            Uuid::from_slice(&bytes[from..from + 16]).map_err(|_| Error::LinkUnknown)
        };
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&bytes[SAID_BYTES..]);
        Ok(Self {
            generation: i16::from_be_bytes([bytes[0], bytes[1]]),
            tenant: TenantId(id(0)?),
            broadcast: BroadcastId(id(1)?),
            member: MemberId(id(2)?),
            contact: ContactId(id(3)?),
            link: LinkNo(bytes[SAID_BYTES - 1]),
            tag,
        })
    }
}

/// Makes the short links of one message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ShortLinks<'a> {
    pub links: &'a Links,
    pub broadcast: BroadcastId,
    pub member: MemberId,
    pub contact: ContactId,
}

impl ShortLinks<'_> {
    pub(crate) fn of(&self, link: LinkNo) -> String {
        let mut token = Token {
            generation: self.links.generation(),
            tenant: self.links.tenant(),
            broadcast: self.broadcast,
            member: self.member,
            contact: self.contact,
            link,
            tag: [0; TAG_BYTES],
        };
        token.tag = self.links.sign(&[PURPOSE, &token.said()].concat());
        self.links.url("l", &token)
    }
}

/// Whether this is no person who wants to see the page, as far as the request tells.
pub(crate) fn is_bot(method: &Method, headers: &HeaderMap) -> bool {
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let is_early = PURPOSES.iter().any(|name| {
        let purpose = headers.get(*name).and_then(|purpose| purpose.to_str().ok());
        let purpose = purpose.unwrap_or_default().to_ascii_lowercase();
        ["prefetch", "prerender", "preview"]
            .iter()
            .any(|early| purpose.contains(early))
    });
    *method == Method::HEAD || is_early || bots::is_bot(agent.unwrap_or_default())
}

/// Somebody, or something, followed a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Click {
    pub tenant: TenantId,
    pub broadcast: BroadcastId,
    pub contact: ContactId,
    pub link: LinkNo,
    pub at: Timestamp,
    pub is_bot: bool,
}

/// Clicks that are not counted yet: nobody waits for that. A process that dies takes them with it, and they stay uncounted.
#[derive(Clone, Default)]
pub(crate) struct Clicks(Arc<Mutex<VecDeque<Click>>>);

impl Clicks {
    /// Notes one, unless there are too many; then it is a figure lost, and nobody's way barred.
    pub(crate) fn note(&self, click: Click) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() < WAITING_MAX {
            waiting.push_back(click);
        } else {
            metrics::counter!("broadcast_clicks_lost_total").increment(1);
        }
    }

    /// Takes some, the oldest first.
    pub(crate) fn take(&self, clicks_max: usize) -> Vec<Click> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = waiting.len().min(clicks_max);
        waiting.drain(..taken).collect()
    }
}

/// How often the links of a mass message were followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct ClickFigures {
    /// By people, every time.
    pub clicks: i64,
    /// Contacts who followed one, once; of those who withdrew their consent nobody is known.
    pub clickers: i64,
    /// Before the receipt is written or within two seconds after it, most of them by programs; not in `clicks`. A receipt is
    /// written when all who are sent to together are done: over a slow channel people are among these.
    pub early: i64,
    /// By programs that say so: crawlers, previews, prefetching; not in `clicks`.
    pub bots: i64,
}

/// The same of one link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct LinkClicks {
    /// Where it stands: `shop.link`, `brand.<constant>`, `variants.zh.attachments[0].link.url`.
    pub link: String,
    #[serde(flatten)]
    pub figures: ClickFigures,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(key: u8) -> Links {
        Links::new(
            &"https://m.example.com/".parse().unwrap(),
            TenantId(Uuid::nil()),
            4,
            &[key; 32],
        )
    }

    fn token(key: u8) -> Token {
        let links = links(key);
        let short = ShortLinks {
            links: &links,
            broadcast: BroadcastId::new(),
            member: MemberId::new(),
            contact: ContactId::new(),
        };
        let url = short.of(LinkNo(22));
        let token = url.strip_prefix("https://m.example.com/l/").unwrap();
        assert_eq!(token.len(), 132);
        let read: Token = token.parse().unwrap();
        assert_eq!(read.to_string(), token);
        assert_eq!(
            (read.broadcast, read.member, read.contact, read.link),
            (short.broadcast, short.member, short.contact, LinkNo(22))
        );
        read
    }

    fn keys() -> LinkKeys {
        LinkKeys {
            generation: 4,
            key: vec![7; 32],
            before: None,
        }
    }

    #[test]
    fn nothing_of_a_link_can_be_changed() {
        let token = token(7);
        assert!(token.is_signed(&keys()) && !self::token(6).is_signed(&keys()));
        let mut bytes = BASE64_URL_SAFE_NO_PAD.decode(token.to_string()).unwrap();
        for at in 0..bytes.len() {
            bytes[at] ^= 1;
            let forged: Token = BASE64_URL_SAFE_NO_PAD.encode(&bytes).parse().unwrap();
            assert!(!forged.is_signed(&keys()), "byte {at}");
            bytes[at] ^= 1;
        }
        for text in ["", "a", "ä", &token.to_string()[1..], &format!("{token}A")] {
            assert!(matches!(text.parse::<Token>(), Err(Error::LinkUnknown)), "{text}");
        }
        // The way out of marketing is signed with the same key, and is no such link.
        let way_out = links(7).of(token.contact);
        let way_out = way_out.rsplit('/').next().unwrap();
        assert!(way_out.parse::<Token>().is_err());
    }

    #[test]
    fn what_nobody_asked_for_is_no_click() {
        let asked = |method: Method, headers: &[(&'static str, &'static str)]| {
            let mut map = HeaderMap::new();
            map.insert(
                header::USER_AGENT,
                "Mozilla/5.0 (iPhone) MicroMessenger/8.0".parse().unwrap(),
            );
            for (name, value) in headers {
                map.insert(*name, value.parse().unwrap());
            }
            is_bot(&method, &map)
        };
        assert!(!asked(Method::GET, &[]) && !asked(Method::GET, &[("sec-fetch-mode", "navigate")]));
        assert!(asked(Method::HEAD, &[]));
        assert!(asked(Method::GET, &[("purpose", "prefetch")]));
        assert!(asked(Method::GET, &[("sec-purpose", "prefetch;prerender")]));
        assert!(asked(Method::GET, &[("x-moz", "prefetch")]));
        assert!(asked(Method::GET, &[("user-agent", "Twitterbot/1.0")]));
        assert!(is_bot(&Method::GET, &HeaderMap::new()));
    }

    #[test]
    fn clicks_wait_in_their_order_and_not_without_end() {
        let clicks = Clicks::default();
        let click = |n: u8| Click {
            tenant: TenantId(Uuid::nil()),
            broadcast: BroadcastId(Uuid::nil()),
            contact: ContactId(Uuid::nil()),
            link: LinkNo(n),
            at: Timestamp::UNIX_EPOCH,
            is_bot: false,
        };
        for n in 0..=WAITING_MAX {
            clicks.note(click(u8::from(n > 1)));
        }
        let first = clicks.take(3);
        assert_eq!(
            first.iter().map(|click| click.link.0).collect::<Vec<_>>(),
            [0, 0, 1]
        );
        assert_eq!(clicks.take(usize::MAX).len(), WAITING_MAX - 3);
        assert!(clicks.take(1).is_empty());
    }
}
