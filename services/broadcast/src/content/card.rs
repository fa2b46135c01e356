//! What a message can bring beside its text, as WeCom's mass messages: pictures, links and mini-program cards.

use chassis::text::{Text, TextError};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::address::{HttpsUrl, PageTemplate, UrlTemplate};
use super::template::{Place, RenderError, Template, TemplateError, Value, Variable};

/// As WeCom takes them, filled in.
const LINK_TITLE_BYTES_MAX: usize = 128;
const DESC_BYTES_MAX: usize = 512;
const MINI_PROGRAM_TITLE_BYTES_MAX: usize = 64;

/// Why words are no template.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WordsError {
    #[error(transparent)]
    Text(#[from] TextError),
    #[error(transparent)]
    Template(#[from] TemplateError),
}

/// A template of 1 to `MAX` characters; with `LINES` of several lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Words<const MAX: usize, const LINES: bool = false>(Template);

impl<const MAX: usize, const LINES: bool> Words<MAX, LINES> {
    pub(crate) fn template(&self) -> &Template {
        &self.0
    }

    pub(super) fn render<'a>(
        &self,
        values: &impl Fn(&Variable) -> Value<'a>,
        bytes_max: usize,
    ) -> Result<String, RenderError> {
        self.0.render(values, Place::Words, bytes_max)
    }
}

impl<const MAX: usize, const LINES: bool> TryFrom<String> for Words<MAX, LINES> {
    type Error = WordsError;

    fn try_from(raw: String) -> Result<Self, WordsError> {
        Ok(Self(Template::parse(&Text::<MAX, LINES>::parse(&raw)?)?))
    }
}

impl<const MAX: usize, const LINES: bool> From<Words<MAX, LINES>> for String {
    fn from(words: Words<MAX, LINES>) -> Self {
        words.0.source().to_owned()
    }
}

/// Where a picture is: exactly one of both.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Either")]
pub(crate) struct Picture {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<HttpsUrl>,
    /// The channel's own id of an uploaded picture.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text<128>>)]
    pub media_id: Option<Text<128>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Either {
    #[serde(default)]
    url: Option<HttpsUrl>,
    #[serde(default)]
    media_id: Option<Text<128>>,
}

impl TryFrom<Either> for Picture {
    type Error = &'static str;

    fn try_from(Either { url, media_id }: Either) -> Result<Self, Self::Error> {
        match (&url, &media_id) {
            (Some(_), None) | (None, Some(_)) => Ok(Self { url, media_id }),
            _ => Err("a picture is given by either `url` or `media_id`"),
        }
    }
}

/// A link with its card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Link {
    /// Filled in, at most 128 bytes.
    #[schema(value_type = Text<128>)]
    pub title: Words<128>,
    /// Filled in, at most 512 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Text<512>>)]
    pub desc: Option<Words<512>>,
    pub url: UrlTemplate,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pic_url: Option<HttpsUrl>,
}

/// The id of a mini-program: `wx` and 16 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String")]
#[schema(value_type = String, min_length = 18, max_length = 18)]
pub(crate) struct AppId(String);

impl TryFrom<String> for AppId {
    type Error = &'static str;

    fn try_from(id: String) -> Result<Self, Self::Error> {
        let is_hex =
            |digits: &str| digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if id.strip_prefix("wx").is_some_and(is_hex) {
            Ok(Self(id))
        } else {
            Err("not an appid; it is `wx` with 16 hexadecimal digits")
        }
    }
}

/// A card that opens a page of a mini-program.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct MiniProgram {
    /// Filled in, at most 64 bytes.
    #[schema(value_type = Text<64>)]
    pub title: Words<64>,
    pub pic: Picture,
    pub appid: AppId,
    pub page: PageTemplate,
}

/// Something beside the text: exactly one of these.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "OneOf", rename_all = "snake_case")]
pub(crate) enum Attachment {
    Image(Picture),
    Link(Link),
    MiniProgram(MiniProgram),
}

/// The wire's form: an enum would refuse a stranger among its fields with less to say.
#[derive(Deserialize, ToSchema)]
#[schema(as = Attachment)]
#[serde(deny_unknown_fields)]
pub(crate) struct OneOf {
    #[serde(default)]
    image: Option<Picture>,
    #[serde(default)]
    link: Option<Link>,
    #[serde(default)]
    mini_program: Option<MiniProgram>,
}

impl TryFrom<OneOf> for Attachment {
    type Error = &'static str;

    fn try_from(one: OneOf) -> Result<Self, Self::Error> {
        match (one.image, one.link, one.mini_program) {
            (Some(image), None, None) => Ok(Self::Image(image)),
            (None, Some(link), None) => Ok(Self::Link(link)),
            (None, None, Some(mini_program)) => Ok(Self::MiniProgram(mini_program)),
            _ => Err("an attachment is exactly one of `image`, `link` and `mini_program`"),
        }
    }
}

/// What somebody gets of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Card {
    Image(Picture),
    Link(LinkCard),
    MiniProgram(MiniProgramCard),
}

/// A link, filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct LinkCard {
    pub title: String,
    pub desc: Option<String>,
    pub url: String,
    pub pic_url: Option<HttpsUrl>,
}

/// A mini-program's card, filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct MiniProgramCard {
    pub title: String,
    pub pic: Picture,
    pub appid: AppId,
    pub page: String,
}

impl Attachment {
    /// Its templates that are no whole URL, each with where it stands.
    pub(super) fn words(&self) -> Vec<(&'static str, &Template)> {
        match self {
            Self::Image(_) => vec![],
            Self::Link(link) => {
                let mut words = vec![("link.title", link.title.template())];
                words.extend(link.desc.iter().map(|desc| ("link.desc", desc.template())));
                words
            }
            Self::MiniProgram(card) => vec![("mini_program.title", card.title.template())],
        }
    }

    /// Its templates in whose query something is filled in.
    pub(super) fn queries(&self) -> Option<(&'static str, &Template)> {
        match self {
            Self::Link(link) if link.url.whole().is_none() => Some(("link.url", link.url.template())),
            Self::MiniProgram(card) => Some(("mini_program.page", card.page.template())),
            _ => None,
        }
    }

    /// The variable that is a whole URL.
    pub(super) fn whole(&self) -> Option<(&'static str, &Variable)> {
        match self {
            Self::Link(link) => link.url.whole().map(|variable| ("link.url", variable)),
            _ => None,
        }
    }

    pub(super) fn render<'a>(&self, values: &impl Fn(&Variable) -> Value<'a>) -> Result<Card, RenderError> {
        Ok(match self {
            Self::Image(picture) => Card::Image(picture.clone()),
            Self::Link(link) => Card::Link(LinkCard {
                title: link.title.render(values, LINK_TITLE_BYTES_MAX)?,
                desc: link
                    .desc
                    .as_ref()
                    .map(|desc| desc.render(values, DESC_BYTES_MAX))
                    .transpose()?,
                url: link.url.render(values)?,
                pic_url: link.pic_url.clone(),
            }),
            Self::MiniProgram(card) => Card::MiniProgram(MiniProgramCard {
                title: card.title.render(values, MINI_PROGRAM_TITLE_BYTES_MAX)?,
                pic: card.pic.clone(),
                appid: card.appid.clone(),
                page: card.page.render(values)?,
            }),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn read(attachment: Json) -> Result<Attachment, String> {
        serde_json::from_value(attachment).map_err(|error| error.to_string())
    }

    #[test]
    fn an_attachment_is_one_thing_as_wecom_has_it() {
        for attachment in [
            json!({"image": {"url": "https://cdn.example/a.jpg"}}),
            json!({"image": {"media_id": "MEDIA-1"}}),
            json!({"link": {"title": "Spring", "url": "https://shop.example/"}}),
            json!({"link": {"title": "{{contact.name|you}}", "desc": "d", "url": "{{shop.link}}",
                            "pic_url": "https://cdn.example/a.jpg"}}),
            json!({"mini_program": {"title": "Shop", "pic": {"media_id": "M"}, "appid": "wx1234567890abcdef",
                                    "page": "pages/index?from={{brand.x}}"}}),
        ] {
            let read = read(attachment.clone()).unwrap();
            assert_eq!(
                serde_json::to_value(&read).unwrap(),
                attachment,
                "as it was written"
            );
        }
        for (attachment, told) in [
            (json!({}), "exactly one of"),
            (
                json!({"image": {"media_id": "M"}, "link": {"title": "t", "url": "https://a.example/"}}),
                "exactly one of",
            ),
            (json!({"video": {}}), "unknown field `video`"),
            (json!({"image": {}}), "either `url` or `media_id`"),
            (
                json!({"image": {"url": "https://a.example/", "media_id": "M"}}),
                "either `url` or `media_id`",
            ),
            (json!({"image": {"url": "http://a.example/"}}), "not https"),
            (json!({"link": {"title": "t"}}), "missing field `url`"),
            (
                json!({"link": {"title": "", "url": "https://a.example/"}}),
                "text is empty",
            ),
            (
                json!({"link": {"title": "a\nb", "url": "https://a.example/"}}),
                "control character",
            ),
            (
                json!({"link": {"title": "{{nobody}}", "url": "https://a.example/"}}),
                "unknown variable at character 1",
            ),
            (
                json!({"mini_program": {"title": "t", "pic": {"media_id": "M"}, "appid": "wx12", "page": "p"}}),
                "not an appid",
            ),
        ] {
            let refused = read(attachment.clone()).unwrap_err();
            assert!(refused.contains(told), "{attachment}: {refused}");
        }
    }
}
