//! What a mass message says: a text with up to nine pictures, links and mini-program cards, in up to three languages,
//! with places to fill in for each recipient.

pub(crate) mod address;
pub(crate) mod card;
pub(crate) mod letter;
pub(crate) mod longest;
pub(crate) mod reader;
pub(crate) mod said;
pub(crate) mod short;
pub(crate) mod template;

use chassis::text::Text;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use self::address::{HttpsUrl, ShopUrl};
use self::card::{Attachment, Card, OneOf, Words};
use self::reader::Reader;
use self::said::{Said, TEXT_BYTES_MAX};
use self::short::LinkNo;
use self::template::{RenderError, Template, Value, Variable};

const ATTACHMENTS_MAX: usize = 9;
const CONSTANTS_MAX: usize = 20;
/// As JSON: it stands once per mass message, and is read with each of its chunks.
const CONTENT_BYTES_MAX: usize = 32 * 1024;

/// A language that content is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Language {
    Ja,
    Zh,
    En,
}

impl Language {
    /// Of a BCP 47 tag, whatever its script and region; the languages written in Chinese are Chinese.
    pub(crate) fn of(tag: &str) -> Option<Self> {
        let language = tag.split('-').next().unwrap_or_default();
        match language.to_ascii_lowercase().as_str() {
            "ja" | "jpn" => Some(Self::Ja),
            "zh" | "zho" | "cmn" | "yue" | "wuu" => Some(Self::Zh),
            "en" | "eng" => Some(Self::En),
            _ => None,
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ja => "ja",
            Self::Zh => "zh",
            Self::En => "en",
        }
    }
}

/// The words in one language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variant {
    /// With `{{contact.name|what to say without}}`, `{{member.alias}}`, `{{shop.link}}`, `{{optout.link}}` and
    /// `{{brand.<constant>}}`; filled in, at most 4,000 bytes.
    #[schema(value_type = chassis::text::Multiline<2000>)]
    pub text: Words<2000, true>,
    #[serde(default)]
    #[schema(value_type = Vec<OneOf>, max_items = 9)]
    pub attachments: Vec<Attachment>,
}

/// The words by language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Variants {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ja: Option<Variant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zh: Option<Variant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub en: Option<Variant>,
}

impl Variants {
    fn of(&self, language: Language) -> Option<&Variant> {
        match language {
            Language::Ja => self.ja.as_ref(),
            Language::Zh => self.zh.as_ref(),
            Language::En => self.en.as_ref(),
        }
    }

    fn all(&self) -> impl Iterator<Item = (Language, &Variant)> {
        let languages = [Language::Ja, Language::Zh, Language::En];
        languages
            .into_iter()
            .filter_map(move |language| Some((language, self.of(language)?)))
    }
}

/// A word of the brand's own, the same for everybody: exactly one of text and link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Constant {
    /// A lower-case letter, then letters, digits and `_`; `{{brand.<name>}}` stands for it.
    #[schema(value_type = String, max_length = 30)]
    pub name: Text<30>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<Text<200>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub link: Option<HttpsUrl>,
}

/// As it is sent to us.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draft {
    language: Language,
    variants: Variants,
    #[serde(default)]
    constants: Vec<Constant>,
    #[serde(default)]
    shop_url: Option<ShopUrl>,
    #[serde(default)]
    short_links: bool,
}

/// What a mass message says, and to whom in which language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Draft")]
pub(crate) struct Content {
    /// For contacts whose own language is unknown or not among the variants.
    language: Language,
    variants: Variants,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 20)]
    constants: Vec<Constant>,
    /// Where `{{shop.link}}` leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    shop_url: Option<ShopUrl>,
    /// Links lead over this service, which counts who follows them: `shop.link`, links among the constants, and the urls of
    /// link attachments that are the same for everybody.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    #[schema(required = false)]
    short_links: bool,
}

/// Why a draft can't be sent. Places are told, not what stands there.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ContentError {
    #[error("there is no variant in the content's own language {}; write one, or choose another language", .0.name())]
    NoVariant(Language),
    #[error("variant {} has more than {ATTACHMENTS_MAX} attachments; leave some out", .0.name())]
    Attachments(Language),
    #[error("there are more than {CONSTANTS_MAX} constants")]
    Constants,
    #[error("constant {0} has a name other than a lower-case letter and then letters, digits and `_`")]
    ConstantName(usize),
    #[error("constant {0} stands there twice")]
    ConstantTwice(usize),
    #[error("constant {0} is given by either `text` or `link`")]
    ConstantValue(usize),
    #[error("unknown constant at character {at} of {place}; define it in `constants`")]
    ConstantUnknown { place: String, at: usize },
    #[error("{place} has to be a link, and the constant is a text")]
    TextAsLink { place: String },
    #[error(
        "the constant at character {at} of {place} is a link; a link is the whole url or stands in words"
    )]
    LinkInside { place: String, at: usize },
    #[error("`shop.link` in {0} leads nowhere; say where in `shop_url`")]
    NoShop(String),
    #[error("variant {}: {}", .0.name(), .1)]
    Render(Language, RenderError),
    #[error("the content is longer than {CONTENT_BYTES_MAX} bytes in all")]
    TooLong,
}

impl TryFrom<Draft> for Content {
    type Error = ContentError;

    fn try_from(draft: Draft) -> Result<Self, ContentError> {
        let content = Self {
            language: draft.language,
            variants: draft.variants,
            constants: draft.constants,
            shop_url: draft.shop_url,
            short_links: draft.short_links,
        };
        content.check_constants()?;
        if content.variants.of(content.language).is_none() {
            return Err(ContentError::NoVariant(content.language));
        }
        for (language, variant) in content.variants.all() {
            content.check_variant(language, variant)?;
            content
                .fill_in(language, variant, &content.nobodys())
                .map_err(|error| ContentError::Render(language, error))?;
        }
        let bytes = serde_json::to_vec(&content).map_or(usize::MAX, |json| json.len());
        if bytes > CONTENT_BYTES_MAX {
            return Err(ContentError::TooLong);
        }
        Ok(content)
    }
}

impl Content {
    fn check_constants(&self) -> Result<(), ContentError> {
        if self.constants.len() > CONSTANTS_MAX {
            return Err(ContentError::Constants);
        }
        for (n, constant) in self.constants.iter().enumerate() {
            if !template::is_constant_name(&constant.name) {
                return Err(ContentError::ConstantName(n));
            }
            if self.constants[..n]
                .iter()
                .any(|other| other.name == constant.name)
            {
                return Err(ContentError::ConstantTwice(n));
            }
            if constant.text.is_some() == constant.link.is_some() {
                return Err(ContentError::ConstantValue(n));
            }
        }
        Ok(())
    }

    /// Every variable is known, and of the kind its place takes.
    fn check_variant(&self, language: Language, variant: &Variant) -> Result<(), ContentError> {
        if variant.attachments.len() > ATTACHMENTS_MAX {
            return Err(ContentError::Attachments(language));
        }
        let place = |what: &str| format!("variants.{}.{what}", language.name());
        self.check_words(&place("text"), variant.text.template())?;
        for (n, attachment) in variant.attachments.iter().enumerate() {
            let place = |what: &str| place(&format!("attachments[{n}].{what}"));
            for (what, words) in attachment.words() {
                self.check_words(&place(what), words)?;
            }
            if let Some((what, query)) = attachment.queries() {
                let place = place(what);
                self.check_words(&place, query)?;
                for slot in query.slots() {
                    if self.constant(&slot.variable).is_some_and(|it| it.link.is_some()) {
                        return Err(ContentError::LinkInside { place, at: slot.at });
                    }
                }
            }
            if let Some((what, variable)) = attachment.whole() {
                let place = place(what);
                self.check_variable(&place, variable, 1)?;
                if self.constant(variable).is_some_and(|it| it.link.is_none()) {
                    return Err(ContentError::TextAsLink { place });
                }
            }
        }
        Ok(())
    }

    fn check_words(&self, place: &str, words: &Template) -> Result<(), ContentError> {
        words
            .slots()
            .try_for_each(|slot| self.check_variable(place, &slot.variable, slot.at))
    }

    fn check_variable(&self, place: &str, variable: &Variable, at: usize) -> Result<(), ContentError> {
        match variable {
            Variable::Brand(_) if self.constant(variable).is_none() => Err(ContentError::ConstantUnknown {
                place: place.to_owned(),
                at,
            }),
            Variable::ShopLink if self.shop_url.is_none() => Err(ContentError::NoShop(place.to_owned())),
            _ => Ok(()),
        }
    }

    fn constant(&self, variable: &Variable) -> Option<&Constant> {
        let Variable::Brand(name) = variable else {
            return None;
        };
        self.constants.iter().find(|constant| *constant.name == **name)
    }

    /// Its own language, for contacts whose own is unknown or not written.
    pub(crate) const fn language(&self) -> Language {
        self.language
    }

    /// Whether everybody gets the same.
    pub(crate) fn is_same_for_all(&self) -> bool {
        self.variants.all().count() == 1
            && !self.has_short_links()
            && self
                .variables()
                .all(|variable| matches!(variable, Variable::Brand(_)))
    }

    /// Whether what each gets depends on what customers knows of them or their member.
    pub(crate) fn needs_people(&self) -> bool {
        self.variants.all().count() > 1
            || self
                .variables()
                .any(|variable| matches!(variable, Variable::ContactName | Variable::MemberAlias))
    }

    fn variables(&self) -> impl Iterator<Item = &Variable> {
        self.variants.all().flat_map(|(_, variant)| {
            let attachments = variant.attachments.iter();
            let words = attachments.clone().flat_map(Attachment::words);
            let queries = attachments.clone().filter_map(Attachment::queries);
            let wholes = attachments
                .filter_map(Attachment::whole)
                .map(|(_, variable)| variable);
            let templates = words.chain(queries).map(|(_, template)| template);
            std::iter::once(variant.text.template())
                .chain(templates)
                .flat_map(Template::slots)
                .map(|slot| &slot.variable)
                .chain(wholes)
        })
    }

    /// Where shop links lead, if there are any.
    pub(crate) fn shop_url(&self) -> Option<&HttpsUrl> {
        let has_links = self.variables().any(|variable| *variable == Variable::ShopLink);
        self.shop_url.as_ref().map(ShopUrl::url).filter(|_| has_links)
    }

    /// Whether its words show the way out of marketing.
    pub(crate) fn leads_out(&self) -> bool {
        self.variables().any(|variable| *variable == Variable::OptOutLink)
    }

    /// The language for a contact, first of: the contact's own, the content's. The content's is always written.
    pub(crate) fn language_for(&self, tag: &str) -> Language {
        Language::of(tag)
            .filter(|language| self.variants.of(*language).is_some())
            .unwrap_or(self.language)
    }

    /// What somebody gets.
    pub(crate) fn say_to(&self, reader: &Reader<'_>) -> Result<Said, RenderError> {
        let language = self.language_for(reader.language);
        let variant = self.variants.of(language);
        let variant = variant.ok_or(RenderError::Missing("language"))?;
        self.fill_in(language, variant, reader)
    }

    /// What it says to nobody in particular, in its own language: where a value is missing its fallback, or `…`.
    pub(crate) fn say_to_nobody(&self) -> Result<Said, RenderError> {
        let variant = self.variants.of(self.language);
        let variant = variant.ok_or(RenderError::Missing("language"))?;
        self.fill_in(self.language, variant, &self.nobodys())
    }

    fn nobodys(&self) -> Reader<'_> {
        Reader {
            language: self.language.name(),
            contact_name: Value::Nobodys,
            member_alias: Value::Nobodys,
            shop_link: self
                .shop_url()
                .map_or(Value::Nobodys, |url| Value::Known(url.as_str())),
            opt_out_link: Value::Nobodys,
            short: None,
        }
    }

    fn fill_in(
        &self,
        language: Language,
        variant: &Variant,
        reader: &Reader<'_>,
    ) -> Result<Said, RenderError> {
        let short = reader.short.filter(|_| self.short_links);
        let constants = self.constants.iter().enumerate();
        let shortened: Vec<_> = constants
            .map(|(n, it)| Some(short.as_ref()?.of(it.link.as_ref().map(|_| LinkNo::constant(n))?)))
            .collect();
        let values = |variable: &Variable| match variable {
            Variable::ContactName => reader.contact_name,
            Variable::MemberAlias => reader.member_alias,
            Variable::ShopLink => reader.shop_link,
            Variable::OptOutLink => reader.opt_out_link,
            Variable::Brand(name) => {
                let mut both = self.constants.iter().zip(&shortened);
                let found = both.find(|(constant, _)| *constant.name == **name);
                found.map_or(Value::Missing, |(constant, short)| {
                    short.as_deref().map_or_else(|| constant.value(), Value::Known)
                })
            }
        };
        let attachments = variant.attachments.iter().enumerate().map(|(n, attachment)| {
            let mut card = attachment.render(&values)?;
            if let (Card::Link(link), Some(short)) = (&mut card, &short)
                && attachment.has_one_url()
            {
                link.url = short.of(LinkNo::card(language, n));
            }
            Ok::<_, RenderError>(card)
        });
        Ok(Said {
            language: Some(language),
            text: variant.text.render(&values, TEXT_BYTES_MAX)?,
            attachments: attachments.collect::<Result<_, _>>()?,
        })
    }
}

impl Constant {
    fn value(&self) -> Value<'_> {
        match (&self.text, &self.link) {
            (Some(text), _) => Value::Known(text),
            (None, Some(link)) => Value::Known(link.as_str()),
            (None, None) => Value::Missing,
        }
    }
}

#[cfg(test)]
mod tests;
