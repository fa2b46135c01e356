//! Which links of a content short ones stand for: each has a number, which says where it stands and never changes.

use super::address::HttpsUrl;
use super::card::Attachment;
use super::template::{Value, Variable};
use super::{ATTACHMENTS_MAX, CONSTANTS_MAX, Content, Language};

const SHOP: u8 = 1;
const FIRST_CONSTANT: u8 = 2;
const FIRST_CARD: u8 = FIRST_CONSTANT + CONSTANTS_MAX as u8;
const LANGUAGES: [Language; 3] = [Language::Ja, Language::Zh, Language::En];

/// A link of a content by its number. 0 is none of them: in figures it stands for all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LinkNo(pub u8);

/// Where a number stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Shop,
    /// The constant's place among the constants.
    Constant(usize),
    /// The url of an attachment of a variant.
    Card(Language, usize),
}

impl LinkNo {
    pub(crate) const SHOP: Self = Self(SHOP);

    pub(super) fn constant(n: usize) -> Self {
        Self(FIRST_CONSTANT.saturating_add(u8::try_from(n).unwrap_or(u8::MAX)))
    }

    pub(super) fn card(language: Language, n: usize) -> Self {
        let variant = LANGUAGES
            .iter()
            .position(|it| *it == language)
            .unwrap_or_default();
        let card = u8::try_from(variant * ATTACHMENTS_MAX + n).unwrap_or(u8::MAX);
        Self(FIRST_CARD.saturating_add(card))
    }

    pub(crate) fn place(self) -> Option<Place> {
        match self.0 {
            0 => None,
            SHOP => Some(Place::Shop),
            n if n < FIRST_CARD => Some(Place::Constant(usize::from(n - FIRST_CONSTANT))),
            n => {
                let card = usize::from(n - FIRST_CARD);
                let language = LANGUAGES.get(card / ATTACHMENTS_MAX)?;
                Some(Place::Card(*language, card % ATTACHMENTS_MAX))
            }
        }
    }
}

/// Where a link leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target<'a> {
    /// The shop, to which the seal of who was sent there is added.
    Shop(&'a HttpsUrl),
    Url(String),
}

impl Content {
    /// Whether each gets short links of their own.
    pub(crate) fn has_short_links(&self) -> bool {
        self.short_links && self.numbers().next().is_some()
    }

    /// Every link that a short one stands for.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = LinkNo> {
        let shop = self.shop_url().map(|_| LinkNo::SHOP);
        let constants = self.constants.iter().enumerate();
        let used = constants.filter(|(_, constant)| {
            constant.link.is_some()
                && self
                    .variables()
                    .any(|variable| matches!(variable, Variable::Brand(name) if **name == *constant.name))
        });
        let cards = self.variants.all().flat_map(|(language, variant)| {
            let cards = variant.attachments.iter().enumerate();
            cards
                .filter(|(_, card)| card.has_one_url())
                .map(move |(n, _)| LinkNo::card(language, n))
        });
        shop.into_iter()
            .chain(used.map(|(n, _)| LinkNo::constant(n)))
            .chain(cards)
    }

    /// Where a link of the content leads: only ever where its author wrote.
    pub(crate) fn target(&self, link: LinkNo) -> Option<Target<'_>> {
        if !self.short_links {
            return None;
        }
        match link.place()? {
            Place::Shop => self.shop_url().map(Target::Shop),
            Place::Constant(n) => {
                let link = self.constants.get(n)?.link.as_ref()?;
                Some(Target::Url(link.as_str().to_owned()))
            }
            Place::Card(language, n) => {
                let card = self.variants.of(language)?.attachments.get(n)?;
                let Attachment::Link(link) = card.has_one_url().then_some(card)? else {
                    return None;
                };
                let values = |variable: &Variable| {
                    self.constant(variable)
                        .map_or(Value::Missing, super::Constant::value)
                };
                link.url.render(&values).ok().map(Target::Url)
            }
        }
    }

    /// Where a link stands, as its author knows it.
    pub(crate) fn place_of(&self, link: LinkNo) -> Option<String> {
        Some(match link.place()? {
            Place::Shop => "shop.link".to_owned(),
            Place::Constant(n) => format!("brand.{}", self.constants.get(n)?.name),
            Place::Card(language, n) => format!("variants.{}.attachments[{n}].link.url", language.name()),
        })
    }
}

impl Attachment {
    /// Whether it is a link whose url is the same for everybody, and is none of the variables alone.
    pub(super) fn has_one_url(&self) -> bool {
        match self {
            Self::Link(link) if link.url.whole().is_none() => {
                let mut slots = link.url.template().slots();
                slots.all(|slot| matches!(slot.variable, Variable::Brand(_)))
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use contracts::{BroadcastId, ContactId, MemberId, TenantId};
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::card::Card;
    use super::super::reader::Reader;
    use super::*;
    use crate::click::{ShortLinks, Token};
    use crate::opt_out::Links;

    const BASE: &str = "https://m.example.com/l/";

    /// The links of what is said, in their order: in words they stand between spaces.
    fn urls(content: &Content, short: Option<ShortLinks<'_>>, language: &str) -> Vec<String> {
        let shop = short.map_or_else(
            || "https://shop.example/?st=x".to_owned(),
            |short| short.of(LinkNo::SHOP),
        );
        let reader = Reader {
            language,
            contact_name: Value::Known("王芳"),
            member_alias: Value::Known("小雨"),
            shop_link: Value::Known(&shop),
            opt_out_link: Value::Nobodys,
            short,
        };
        let said = content.say_to(&reader).unwrap();
        let words = said.text.split(' ').filter(|word| word.starts_with("https://"));
        let cards = said.attachments.iter().filter_map(|card| match card {
            Card::Link(link) => Some(link.url.clone()),
            _ => None,
        });
        words.map(ToOwned::to_owned).chain(cards).collect()
    }

    /// Cards in any order, with what a short link can stand for and what it can't.
    fn cards() -> impl Strategy<Value = Vec<serde_json::Value>> {
        let url = prop_oneof![
            "[a-z]{1,8}".prop_map(|path| format!("https://a.example/{path}?who={{{{brand.who}}}}")),
            Just("https://a.example/".to_owned()),
            Just("https://a.example/?for={{contact.name|you}}".to_owned()),
            Just("{{shop.link}}".to_owned()),
            Just("{{brand.catalogue}}".to_owned()),
        ];
        let link = url.prop_map(|url| json!({"link": {"title": "t", "url": url}}));
        prop::collection::vec(prop_oneof![link, Just(json!({"image": {"media_id": "M"}}))], 0..9)
    }

    proptest! {
        /// What a short link leads to is what would stand there without, and nothing else is shortened.
        #[test]
        fn a_short_link_leads_where_the_long_one_does(ja in cards(), en in cards()) {
            let text = "{{shop.link}} and {{brand.catalogue}} ";
            let content = |short_links: bool| -> Content {
                serde_json::from_value(json!({
                    "language": "en",
                    "short_links": short_links,
                    "variants": {"ja": {"text": text, "attachments": ja}, "en": {"text": text, "attachments": en}},
                    "constants": [{"name": "who", "text": "春 & co"}, {"name": "catalogue", "link": "https://b.example/c?d=1"}],
                    "shop_url": "https://shop.example/"
                })).unwrap()
            };
            let links = Links::new(&"https://m.example.com".parse().unwrap(), TenantId::new(), 1, &[7; 32]);
            let (broadcast, member, contact) = (BroadcastId::new(), MemberId::new(), ContactId::new());
            let short = Some(ShortLinks { links: &links, broadcast, member, contact });
            let (long, shortened) = (content(false), content(true));
            prop_assert!(shortened.has_short_links() && !long.has_short_links());
            for language in ["ja", "en"] {
                let (long, shortened_urls) = (urls(&long, None, language), urls(&shortened, short, language));
                prop_assert_eq!(long.len(), shortened_urls.len());
                for (long, shorter) in long.iter().zip(&shortened_urls) {
                    let Some(token) = shorter.strip_prefix(BASE) else {
                        prop_assert_eq!(long, shorter);
                        prop_assert!(long.contains("?for="), "{} is everybody's", long);
                        continue;
                    };
                    let token: Token = token.parse().unwrap();
                    prop_assert!(shortened.numbers().any(|no| no == token.link));
                    prop_assert!(content(false).target(token.link).is_none());
                    match shortened.target(token.link).unwrap() {
                        Target::Url(url) => prop_assert_eq!(&url, long),
                        Target::Shop(url) => {
                            prop_assert_eq!(url.as_str(), "https://shop.example/");
                            prop_assert_eq!(long, "https://shop.example/?st=x");
                        }
                    }
                    prop_assert!(shortened.place_of(token.link).is_some());
                }
            }
        }
    }

    #[test]
    fn without_a_link_there_is_nothing_to_shorten() {
        let plain = json!({"language": "en", "short_links": true, "variants": {"en": {"text": "hi"}}});
        let plain: Content = serde_json::from_value(plain).unwrap();
        assert!(!plain.has_short_links() && plain.is_same_for_all());
        for no in (0..=u8::MAX).map(LinkNo) {
            assert_eq!(plain.target(no), None);
        }
    }

    #[test]
    fn each_number_is_one_place() {
        let mut seen = BTreeSet::from([LinkNo::SHOP]);
        assert_eq!(LinkNo::SHOP.place(), Some(Place::Shop));
        for n in 0..CONSTANTS_MAX {
            let no = LinkNo::constant(n);
            assert_eq!(no.place(), Some(Place::Constant(n)));
            assert!(seen.insert(no));
        }
        for language in LANGUAGES {
            for n in 0..ATTACHMENTS_MAX {
                let no = LinkNo::card(language, n);
                assert_eq!(no.place(), Some(Place::Card(language, n)));
                assert!(seen.insert(no));
            }
        }
        for no in (0..=u8::MAX).map(LinkNo) {
            assert_eq!(no.place().is_some(), seen.contains(&no), "{no:?}");
        }
    }
}
