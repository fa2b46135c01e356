//! Text parsed at the door: trimmed, composed, bounded, without control characters.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

/// Why a string is not acceptable text; says the remedy with it.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextError {
    #[error("text is empty; give 1 to {max} characters")]
    Empty { max: usize },
    #[error("text has {chars} characters; shorten it to {max}")]
    TooLong { chars: usize, max: usize },
    #[error("text contains the control character U+{:04X}; remove it", *.0 as u32)]
    Control(char),
}

/// One line of 1 to `MAX` characters; with `LINES`, several whose ends are `\n`.
///
/// `TryFrom` is the only way in from outside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, sqlx::Type)]
#[serde(try_from = "String", into = "String")]
#[sqlx(transparent)]
pub struct Text<const MAX: usize, const LINES: bool = false>(String);

/// Lines of together 1 to `MAX` characters.
pub type Multiline<const MAX: usize> = Text<MAX, true>;

impl<const MAX: usize, const LINES: bool> Text<MAX, LINES> {
    /// Trims, composes (NFC) and checks.
    ///
    /// # Errors
    /// When nothing is left, it is longer than `MAX` characters, or has control characters.
    pub fn parse(raw: &str) -> Result<Self, TextError> {
        let text: String = raw.replace("\r\n", "\n").trim().nfc().collect();
        if let Some(control) = text.chars().find(|c| c.is_control() && !(LINES && *c == '\n')) {
            return Err(TextError::Control(control));
        }
        match text.chars().count() {
            0 => Err(TextError::Empty { max: MAX }),
            chars if chars > MAX => Err(TextError::TooLong { chars, max: MAX }),
            _ => Ok(Self(text)),
        }
    }
}

impl<const MAX: usize, const LINES: bool> TryFrom<String> for Text<MAX, LINES> {
    type Error = TextError;

    fn try_from(raw: String) -> Result<Self, TextError> {
        Self::parse(&raw)
    }
}

impl<const MAX: usize, const LINES: bool> FromStr for Text<MAX, LINES> {
    type Err = TextError;

    fn from_str(raw: &str) -> Result<Self, TextError> {
        Self::parse(raw)
    }
}

impl<const MAX: usize, const LINES: bool> From<Text<MAX, LINES>> for String {
    fn from(text: Text<MAX, LINES>) -> Self {
        text.0
    }
}

impl<const MAX: usize, const LINES: bool> Deref for Text<MAX, LINES> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize, const LINES: bool> fmt::Display for Text<MAX, LINES> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize, const LINES: bool> PartialSchema for Text<MAX, LINES> {
    fn schema() -> RefOr<Schema> {
        let schema = ObjectBuilder::new().schema_type(Type::String);
        schema.min_length(Some(1)).max_length(Some(MAX)).into()
    }
}

impl<const MAX: usize, const LINES: bool> ToSchema for Text<MAX, LINES> {
    fn name() -> Cow<'static, str> {
        format!("{}{MAX}", if LINES { "Multiline" } else { "Text" }).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_trimmed_and_composed() {
        assert_eq!(&*Text::<5>::parse("\u{3000} は\u{3099}な \n").unwrap(), "ばな");
        assert_eq!(&*Text::<3>::parse("李小红").unwrap(), "李小红");
    }

    #[test]
    fn what_is_not_text_is_refused_with_its_limit() {
        assert_eq!(Text::<3>::parse(" \t "), Err(TextError::Empty { max: 3 }));
        assert_eq!(
            Text::<3>::parse("abcd"),
            Err(TextError::TooLong { chars: 4, max: 3 })
        );
        assert_eq!(Text::<9>::parse("a\0b"), Err(TextError::Control('\0')));
        assert_eq!(Text::<9>::parse("a\nb"), Err(TextError::Control('\n')));
        assert_eq!(Text::<9>::parse("a\u{85}b"), Err(TextError::Control('\u{85}')));
        assert_eq!(
            TextError::TooLong { chars: 4, max: 3 }.to_string(),
            "text has 4 characters; shorten it to 3"
        );
        assert_eq!(
            TextError::Control('\u{1b}').to_string(),
            "text contains the control character U+001B; remove it"
        );
    }

    #[test]
    fn lines_are_kept_where_they_are_meant() {
        assert_eq!(&*Multiline::<9>::parse("a\r\nb\n").unwrap(), "a\nb");
        assert_eq!(Multiline::<9>::parse("a\rb"), Err(TextError::Control('\r')));
    }

    #[test]
    fn json_goes_through_the_same_door() {
        assert_eq!(
            serde_json::from_str::<Text<4>>("\" a \"").unwrap(),
            Text::parse("a").unwrap()
        );
        assert!(serde_json::from_str::<Text<4>>("\"abcde\"").is_err());
        assert_eq!(
            serde_json::to_string(&Text::<4>::parse("a").unwrap()).unwrap(),
            "\"a\""
        );
    }

    #[test]
    fn the_document_shows_the_limit() {
        #[derive(utoipa::ToSchema)]
        #[expect(dead_code)]
        struct Named {
            name: Text<80>,
        }
        let mut schemas = Vec::new();
        Named::schemas(&mut schemas);
        let (name, schema) = schemas.remove(0);
        assert_eq!(name, "Text80");
        assert_eq!(serde_json::to_value(schema).unwrap()["maxLength"], 80);
    }
}
