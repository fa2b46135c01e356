//! Addresses that contacts open: https, to a host that the author wrote, whatever is filled in.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::template::{Part, Place, RenderError, Template, Value, Variable};

/// As WeCom takes it.
const URL_BYTES_MAX: usize = 2_048;
/// Leaves room for the seal of a shop link.
const SHOP_URL_BYTES_MAX: usize = 1_800;
const PAGE_BYTES_MAX: usize = 1_024;

/// Why an address can't be sent.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AddressError {
    #[error("the url is longer than {0} bytes; shorten it")]
    TooLong(usize),
    #[error("the url is malformed: {0}; write one like https://shop.example/spring")]
    Malformed(#[from] url::ParseError),
    #[error("the url is not https; write one like https://shop.example/spring")]
    NotHttps,
    #[error("the url carries a user name or password; leave them out")]
    Credentials,
    #[error(transparent)]
    Template(#[from] super::template::TemplateError),
    #[error(
        "the variable at character {0} stands before the `?`; only what follows it can be filled in, or a whole \
             url by a link alone"
    )]
    BeforeQuery(usize),
    #[error(
        "the variable at character {0} is a link among other text; a link is the whole url or stands in words"
    )]
    LinkInside(usize),
    #[error("the page is no path like `pages/index?from=app`")]
    Page,
}

/// An https URL of at most 2,048 bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 2048)]
pub(crate) struct HttpsUrl(Url);

impl HttpsUrl {
    pub(crate) fn parse(text: &str) -> Result<Self, AddressError> {
        if text.len() > URL_BYTES_MAX {
            return Err(AddressError::TooLong(URL_BYTES_MAX));
        }
        let url: Url = text.trim().parse()?;
        if url.scheme() != "https" {
            return Err(AddressError::NotHttps);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(AddressError::Credentials);
        }
        // Parsed, it is encoded, and may have grown.
        if url.as_str().len() > URL_BYTES_MAX {
            return Err(AddressError::TooLong(URL_BYTES_MAX));
        }
        Ok(Self(url))
    }

    pub(crate) fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The same with one more parameter in its query.
    pub(crate) fn with(&self, name: &str, value: &str) -> String {
        let mut url = self.0.clone();
        url.query_pairs_mut().append_pair(name, value);
        url.into()
    }
}

impl TryFrom<String> for HttpsUrl {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        Self::parse(&text)
    }
}

impl From<HttpsUrl> for String {
    fn from(url: HttpsUrl) -> Self {
        url.0.into()
    }
}

/// Where shop links lead: an https URL of at most 1,800 bytes, to which the seal is added.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 1800)]
pub(crate) struct ShopUrl(HttpsUrl);

impl ShopUrl {
    pub(crate) fn url(&self) -> &HttpsUrl {
        &self.0
    }
}

impl TryFrom<String> for ShopUrl {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        let url = HttpsUrl::parse(&text)?;
        if url.as_str().len() > SHOP_URL_BYTES_MAX {
            return Err(AddressError::TooLong(SHOP_URL_BYTES_MAX));
        }
        Ok(Self(url))
    }
}

impl From<ShopUrl> for String {
    fn from(url: ShopUrl) -> Self {
        url.0.into()
    }
}

/// An https URL in whose query something is filled in, or a link alone: `{{shop.link}}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 2048)]
pub(crate) struct UrlTemplate(Template);

impl UrlTemplate {
    fn is_link_alone(template: &Template) -> bool {
        matches!(template.parts(), [Part::Slot(slot)] if slot.variable.can_be_link())
    }

    pub(crate) fn template(&self) -> &Template {
        &self.0
    }

    /// The slot that is the whole URL, which has to be a link.
    pub(crate) fn whole(&self) -> Option<&Variable> {
        match self.0.parts() {
            [Part::Slot(slot)] => Some(&slot.variable),
            _ => None,
        }
    }

    pub(crate) fn render<'a>(&self, values: &impl Fn(&Variable) -> Value<'a>) -> Result<String, RenderError> {
        let too_long = RenderError::TooLong {
            bytes_max: URL_BYTES_MAX,
        };
        if self.whole().is_some() {
            return self.0.render(values, Place::Words, URL_BYTES_MAX);
        }
        let filled = self.0.render(values, Place::Query, URL_BYTES_MAX)?;
        // It was one with other words in its query; only its length can be wrong by now.
        HttpsUrl::parse(&filled).map(Into::into).map_err(|_| too_long)
    }
}

impl TryFrom<String> for UrlTemplate {
    type Error = AddressError;

    fn try_from(source: String) -> Result<Self, AddressError> {
        let source = source.trim();
        if source.len() > URL_BYTES_MAX {
            return Err(AddressError::TooLong(URL_BYTES_MAX));
        }
        let template = Template::parse(source)?;
        if !Self::is_link_alone(&template) {
            HttpsUrl::parse(&in_query_alone(&template)?)?;
        }
        Ok(Self(template))
    }
}

impl From<UrlTemplate> for String {
    fn from(url: UrlTemplate) -> Self {
        url.0.source().to_owned()
    }
}

/// A page of a mini-program: a path, in whose query something is filled in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, max_length = 1024)]
pub(crate) struct PageTemplate(Template);

impl PageTemplate {
    pub(crate) fn template(&self) -> &Template {
        &self.0
    }

    pub(crate) fn render<'a>(&self, values: &impl Fn(&Variable) -> Value<'a>) -> Result<String, RenderError> {
        self.0.render(values, Place::Query, PAGE_BYTES_MAX)
    }
}

impl TryFrom<String> for PageTemplate {
    type Error = AddressError;

    fn try_from(source: String) -> Result<Self, AddressError> {
        let template = Template::parse(source.trim())?;
        let page = in_query_alone(&template)?;
        let path = page.split(['?', '#']).next().unwrap_or_default();
        let is_path = path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._/".contains(&byte));
        let is_plain = page.bytes().all(|byte| byte.is_ascii_graphic());
        if path.is_empty() || !is_path || !is_plain || page.len() > PAGE_BYTES_MAX {
            return Err(AddressError::Page);
        }
        Ok(Self(template))
    }
}

impl From<PageTemplate> for String {
    fn from(page: PageTemplate) -> Self {
        page.0.source().to_owned()
    }
}

/// The address with a letter in each place, all of which have to stand behind its first `?`: so whatever is filled in,
/// encoded, can change neither host nor path.
fn in_query_alone(template: &Template) -> Result<String, AddressError> {
    let mut address = String::new();
    for part in template.parts() {
        match part {
            Part::Literal(literal) => address.push_str(literal),
            Part::Slot(slot) if matches!(slot.variable, Variable::ShopLink | Variable::OptOutLink) => {
                return Err(AddressError::LinkInside(slot.at));
            }
            Part::Slot(slot) if !address.contains('?') => return Err(AddressError::BeforeQuery(slot.at)),
            Part::Slot(_) => address.push('x'),
        }
    }
    Ok(address)
}

impl Variable {
    /// Whether it is a link, or a constant that may be one.
    const fn can_be_link(&self) -> bool {
        matches!(self, Self::ShopLink | Self::OptOutLink | Self::Brand(_))
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use proptest::prelude::*;

    use super::*;

    fn url(source: &str) -> Result<UrlTemplate, AddressError> {
        source.to_owned().try_into()
    }

    fn page(source: &str) -> Result<PageTemplate, AddressError> {
        source.to_owned().try_into()
    }

    #[test]
    fn only_https_without_credentials() {
        assert_eq!(
            HttpsUrl::parse(" https://shop.example/春 ").unwrap().as_str(),
            "https://shop.example/%E6%98%A5"
        );
        assert_eq!(
            HttpsUrl::parse("http://shop.example/"),
            Err(AddressError::NotHttps)
        );
        assert_eq!(
            HttpsUrl::parse("javascript:alert(1)"),
            Err(AddressError::NotHttps)
        );
        assert_eq!(HttpsUrl::parse("data:text/html,x"), Err(AddressError::NotHttps));
        assert_eq!(
            HttpsUrl::parse("https://a@shop.example/"),
            Err(AddressError::Credentials)
        );
        assert_eq!(
            HttpsUrl::parse("https://:b@shop.example/"),
            Err(AddressError::Credentials)
        );
        for malformed in ["", "shop.example", "https://", "//shop.example", "https://a b/"] {
            assert!(
                matches!(HttpsUrl::parse(malformed), Err(AddressError::Malformed(_))),
                "{malformed}"
            );
        }
        let long = format!("https://shop.example/{}", "x".repeat(2_048));
        assert_eq!(HttpsUrl::parse(&long), Err(AddressError::TooLong(2_048)));
        let grows = format!("https://shop.example/{}", "春".repeat(500));
        assert_eq!(HttpsUrl::parse(&grows), Err(AddressError::TooLong(2_048)));
        assert!(ShopUrl::try_from(format!("https://shop.example/{}", "x".repeat(1_800))).is_err());
    }

    #[test]
    fn a_parameter_is_added() {
        let shop = |url: &str| HttpsUrl::parse(url).unwrap().with("st", "a+b");
        assert_eq!(shop("https://shop.example"), "https://shop.example/?st=a%2Bb");
        assert_eq!(
            shop("https://shop.example/x?a=1#f"),
            "https://shop.example/x?a=1&st=a%2Bb#f"
        );
    }

    #[test]
    fn values_stand_in_the_query_alone() {
        assert!(url("https://shop.example/x?for={{brand.who}}&n=1").is_ok());
        assert!(url("{{shop.link}}").is_ok() && url(" {{brand.catalogue}} ").is_ok());
        assert!(url("{{optout.link}}").is_ok() && url("https://shop.example/?to={{optout.link}}").is_err());
        assert_eq!(url("https://{{brand.host}}/"), Err(AddressError::BeforeQuery(9)));
        assert_eq!(
            url("https://shop.example/{{brand.x}}"),
            Err(AddressError::BeforeQuery(22))
        );
        assert_eq!(
            url("https://shop.example/?to={{shop.link}}"),
            Err(AddressError::LinkInside(26))
        );
        assert!(url("{{contact.name|x}}").is_err() && url("{{member.alias}}").is_err());
        assert!(url("http://shop.example/?x={{brand.x}}").is_err());

        assert!(page("pages/index").is_ok() && page("pages/index?who={{contact.name|}}").is_ok());
        for wrong in [
            "",
            "?a=1",
            "https://x.example/",
            "pages/{{brand.x}}",
            "a b",
            "a?x= y",
            "{{shop.link}}",
        ] {
            assert!(page(wrong).is_err(), "{wrong}");
        }
    }

    /// Any text, controls too.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        /// Scheme, host and path stay the author's whatever is filled in.
        #[test]
        fn no_value_changes_where_it_leads(name in text()) {
            let values = |_: &Variable| Value::Known(&name);
            let template = url("https://shop.example:8443/a/b?for={{contact.name|x}}#top").unwrap();
            if let Ok(filled) = template.render(&values) {
                let url: Url = filled.parse().unwrap();
                prop_assert_eq!(url.origin().ascii_serialization(), "https://shop.example:8443");
                prop_assert_eq!((url.path(), url.fragment(), url.username()), ("/a/b", Some("top"), ""));
                let pairs: Vec<_> = url.query_pairs().collect();
                prop_assert_eq!(pairs, vec![(Cow::from("for"), Cow::from(name.as_str()))]);
            }
        }

        #[test]
        fn every_text_is_an_address_or_is_refused(source in text(), name in text()) {
            let values = |_: &Variable| Value::Known(&name);
            if let Ok(template) = url(&source) {
                let _ = template.render(&values);
            }
            if let Ok(template) = page(&source) {
                let _ = template.render(&values);
            }
        }
    }
}
