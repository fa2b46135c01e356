//! Text with places to fill in: `{{contact.name|friend}}`. No conditions, no loops, no includes, so that every template
//! ends, and says what it may say, before anybody is sent anything (decisions/0007).
//!
//! A place is a variable's name in double braces, where one that can be missing has its fallback behind a `|`. Two
//! braces that mean themselves are written `\{{`. What is filled in is never read as a template again.

use std::fmt::Write as _;

/// Places in one template.
const PLACES_MAX: usize = 50;
/// What stands for a value that nobody in particular has.
const NOBODYS: &str = "…";
/// Names, as a refusal tells them.
const KNOWN: &str = "contact.name, member.alias, shop.link, optout.link, brand.<a constant's name>";

/// What a place is filled with: a closed set, apart from the names of the brand's own constants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Variable {
    /// A text; missing while nobody has told it.
    ContactName,
    /// A text: what contacts see of the member who sends it.
    MemberAlias,
    /// A link: to the shop, with who was sent it by whom.
    ShopLink,
    /// A link: out of marketing, which the contact alone may follow.
    OptOutLink,
    /// A text or a link, as the content says.
    Brand(String),
}

impl Variable {
    fn parse(name: &str) -> Option<Self> {
        match name {
            "contact.name" => Some(Self::ContactName),
            "member.alias" => Some(Self::MemberAlias),
            "shop.link" => Some(Self::ShopLink),
            "optout.link" => Some(Self::OptOutLink),
            _ => {
                let constant = name.strip_prefix("brand.")?;
                is_constant_name(constant).then(|| Self::Brand(constant.to_owned()))
            }
        }
    }

    /// Without the names of constants, which are the author's.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::ContactName => "contact.name",
            Self::MemberAlias => "member.alias",
            Self::ShopLink => "shop.link",
            Self::OptOutLink => "optout.link",
            Self::Brand(_) => "brand",
        }
    }
}

/// A lower-case letter, then letters, digits and `_`; at most 30.
pub(crate) fn is_constant_name(name: &str) -> bool {
    name.len() <= 30
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Why a text is no template, and where. Never with what was written: others read refusals, too.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TemplateError {
    #[error(
        "the braces opened at character {0} are not closed; write `}}}}`, or `\\{{{{` for braces as such"
    )]
    Unclosed(usize),
    #[error(
        "there are braces within the braces opened at character {0}; a place has a name and a fallback alone"
    )]
    Nested(usize),
    #[error("unknown variable at character {0}; known are {KNOWN}")]
    Unknown(usize),
    #[error(
        "`contact.name` at character {0} can be missing; write what to say then: `{{{{contact.name|friend}}}}`"
    )]
    FallbackMissing(usize),
    #[error("the variable at character {0} is never missing; leave out the fallback")]
    FallbackIdle(usize),
    #[error("there are more than {PLACES_MAX} places to fill in; use fewer")]
    TooMany,
}

/// Why a template can't be filled in for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RenderError {
    #[error("{0} is not known and has no fallback")]
    Missing(&'static str),
    #[error("filled in it is longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
}

/// What a value becomes where it is filled in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Among words that somebody reads.
    Words,
    /// In the query or fragment of an address.
    Query,
}

/// One part of a template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Literal(String),
    Slot(Slot),
}

/// A place to fill in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Slot {
    pub variable: Variable,
    pub fallback: Option<String>,
    /// The character of the source at which it begins, from 1.
    pub at: usize,
}

/// A text that was understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    source: String,
    parts: Vec<Part>,
}

impl Template {
    pub(crate) fn parse(source: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let (mut literal, mut rest, mut slots) = (String::new(), source, 0);
        while let Some((before, after)) = rest.split_once("{{") {
            if let Some(before) = before.strip_suffix('\\') {
                literal.push_str(before);
                literal.push_str("{{");
                rest = after;
                continue;
            }
            literal.push_str(before);
            let opened = source.len() - after.len() - "{{".len();
            let at = source[..opened].chars().count() + 1;
            let (inner, after) = after.split_once("}}").ok_or(TemplateError::Unclosed(at))?;
            slots += 1;
            if slots > PLACES_MAX {
                return Err(TemplateError::TooMany);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(std::mem::take(&mut literal)));
            }
            parts.push(Part::Slot(slot(inner, at)?));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            parts.push(Part::Literal(literal));
        }
        Ok(Self {
            source: source.to_owned(),
            parts,
        })
    }

    pub(crate) fn source(&self) -> &str {
        &self.source
    }

    pub(crate) fn parts(&self) -> &[Part] {
        &self.parts
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.parts.iter().filter_map(|part| match part {
            Part::Slot(slot) => Some(slot),
            Part::Literal(_) => None,
        })
    }

    /// Fills it in. Takes no longer, and no more memory, than template and bound together allow.
    pub(crate) fn render<'a>(
        &self,
        values: &impl Fn(&Variable) -> Value<'a>,
        place: Place,
        bytes_max: usize,
    ) -> Result<String, RenderError> {
        let mut filled = String::with_capacity(self.source.len().min(bytes_max));
        for part in &self.parts {
            match part {
                Part::Literal(literal) => filled.push_str(literal),
                Part::Slot(slot) => {
                    let value = match (values(&slot.variable), &slot.fallback) {
                        (Value::Known(value), _) => value,
                        (Value::Missing | Value::Nobodys, Some(fallback)) => fallback.as_str(),
                        (Value::Nobodys, None) => NOBODYS,
                        (Value::Missing, None) => return Err(RenderError::Missing(slot.variable.name())),
                    };
                    fill(&mut filled, value, place);
                }
            }
            if filled.len() > bytes_max {
                return Err(RenderError::TooLong { bytes_max });
            }
        }
        Ok(filled)
    }
}

/// What is known of a variable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Value<'a> {
    Known(&'a str),
    Missing,
    /// It depends on who reads it, and here nobody does.
    Nobodys,
}

fn slot(inner: &str, at: usize) -> Result<Slot, TemplateError> {
    if inner.contains("{{") {
        return Err(TemplateError::Nested(at));
    }
    let (name, fallback) = match inner.split_once('|') {
        Some((name, fallback)) => (name, Some(fallback.trim().to_owned())),
        None => (inner, None),
    };
    let variable = Variable::parse(name.trim()).ok_or(TemplateError::Unknown(at))?;
    match (&variable, &fallback) {
        (Variable::ContactName, None) => Err(TemplateError::FallbackMissing(at)),
        (Variable::ShopLink | Variable::OptOutLink | Variable::Brand(_), Some(_)) => {
            Err(TemplateError::FallbackIdle(at))
        }
        _ => Ok(Slot {
            variable,
            fallback,
            at,
        }),
    }
}

fn fill(filled: &mut String, value: &str, place: Place) {
    match place {
        Place::Words => filled.extend(value.chars().filter(|c| !is_unspoken(*c))),
        Place::Query => encode(filled, value),
    }
}

/// Characters that a value must not bring among the author's words: line ends and other controls, and those that turn
/// the direction in which everything after them is read.
fn is_unspoken(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// All but the unreserved characters of RFC 3986, percent-encoded.
fn encode(filled: &mut String, value: &str) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            filled.push(char::from(byte));
        } else {
            // To a string it can't fail.
            let _ = write!(filled, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named<'a>(name: &'a str) -> impl Fn(&Variable) -> Value<'a> {
        move |variable| match variable {
            Variable::ContactName if name.is_empty() => Value::Missing,
            Variable::MemberAlias => Value::Missing,
            _ => Value::Known(name),
        }
    }

    fn say(source: &str, name: &str) -> Result<String, RenderError> {
        Template::parse(source)
            .unwrap()
            .render(&named(name), Place::Words, 200)
    }

    #[test]
    fn places_are_filled_and_braces_can_be_meant() {
        assert_eq!(say("{{contact.name|亲}}，你好", "王芳").unwrap(), "王芳，你好");
        assert_eq!(say("{{ contact.name | 亲 }}，你好", "").unwrap(), "亲，你好");
        assert_eq!(say("hi {{contact.name|}}!", "").unwrap(), "hi !");
        assert_eq!(
            say(r"\{{contact.name}} and }}", "x").unwrap(),
            "{{contact.name}} and }}"
        );
        assert_eq!(say("{{brand.season}}{{brand.season}}", "春").unwrap(), "春春");
        assert_eq!(
            say("{{contact.name|}}", "{{shop.link}}").unwrap(),
            "{{shop.link}}",
            "a value is no template"
        );
        assert_eq!(say("a{{contact.name|}}b", "x\r\n\u{202e}y\u{0}").unwrap(), "axyb");
        assert_eq!(
            say("{{member.alias}}", "x"),
            Err(RenderError::Missing("member.alias"))
        );
        assert_eq!(say("{{member.alias|us}}", "x").unwrap(), "us");
    }

    #[test]
    fn a_refusal_says_where() {
        use TemplateError::{FallbackIdle, FallbackMissing, Nested, TooMany, Unclosed, Unknown};
        for (source, error) in [
            ("你好 {{contact.name|", Unclosed(4)),
            ("{{contact.nmae|x}}", Unknown(1)),
            ("a {{CONTACT.NAME|x}}", Unknown(3)),
            ("a {{}}", Unknown(3)),
            ("a {{brand.Season}}", Unknown(3)),
            ("a {{brand.}}", Unknown(3)),
            ("{{contact.name|{{shop.link}}}}", Nested(1)),
            ("{% for %} {{contact.name}}", FallbackMissing(11)),
            ("{{shop.link|x}}", FallbackIdle(1)),
            ("{{optout.link|x}}", FallbackIdle(1)),
            ("{{brand.season|x}}", FallbackIdle(1)),
        ] {
            assert_eq!(Template::parse(source), Err(error), "{source}");
        }
        assert!(Template::parse(&"{{shop.link}}".repeat(PLACES_MAX)).is_ok());
        assert_eq!(
            Template::parse(&"{{shop.link}}".repeat(PLACES_MAX + 1)),
            Err(TooMany)
        );
        assert!(Unclosed(4).to_string().contains("write `}}`, or `\\{{`"));
        assert!(FallbackMissing(1).to_string().contains("{{contact.name|friend}}"));
        assert!(
            Unknown(1)
                .to_string()
                .contains("contact.name, member.alias, shop.link, optout.link")
        );
    }

    #[test]
    fn what_is_filled_in_is_bounded() {
        let template = Template::parse(&"{{brand.x}}".repeat(50)).unwrap();
        let long = "漢".repeat(10_000);
        let values = named(&long);
        assert_eq!(
            template.render(&values, Place::Words, 4_000),
            Err(RenderError::TooLong { bytes_max: 4_000 })
        );
        assert_eq!(say(&"x".repeat(200), "").unwrap().len(), 200);
        assert!(say(&"x".repeat(201), "").is_err());
    }

    /// Any text, controls too.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    /// Braces, names, bars and other text in any order.
    fn source() -> impl Strategy<Value = String> {
        let pieces = prop_oneof![
            Just("{{".to_owned()),
            Just("}}".to_owned()),
            Just("\\".to_owned()),
            Just("|".to_owned()),
            Just("contact.name".to_owned()),
            Just("{{contact.name|you}}".to_owned()),
            Just("{{shop.link}}".to_owned()),
            Just("{{brand.season}}".to_owned()),
            text(),
        ];
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]

        /// Whatever is written is refused or understood, and what is understood is filled in or refused, within bounds.
        #[test]
        fn every_text_is_a_template_or_is_refused(source in source(), name in text()) {
            let Ok(template) = Template::parse(&source) else { return Ok(()) };
            prop_assert_eq!(template.source(), &source);
            for place in [Place::Words, Place::Query] {
                if let Ok(filled) = template.render(&named(&name), place, 300) {
                    prop_assert!(filled.len() <= 300);
                }
            }
        }

        #[test]
        fn text_without_braces_says_itself(text in "[^{]*") {
            let template = Template::parse(&text).unwrap();
            prop_assert_eq!(template.render(&named("x"), Place::Words, usize::MAX).unwrap(), text);
        }

        /// Whatever the value: in words it adds no line and no direction, in a query no new part.
        #[test]
        fn no_value_breaks_out_of_its_place(name in text()) {
            let template = Template::parse("<{{brand.x}}>").unwrap();
            let words = template.render(&named(&name), Place::Words, usize::MAX).unwrap();
            prop_assert!(!words.chars().any(is_unspoken));
            let query = template.render(&named(&name), Place::Query, usize::MAX).unwrap();
            let inner = &query[1..query.len() - 1];
            prop_assert!(inner.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._~%".contains(&b)));
        }
    }
}
