//! What a recipient gets: words with nothing left to fill in, and how each channel carries them safely.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Language;
use super::card::Card;

/// As WeCom takes it.
pub(crate) const TEXT_BYTES_MAX: usize = 4_000;

/// The words of one message. In JSON, as inboxes and webhooks carry it, they stand as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Said {
    /// None for a plain text, whose language nobody told.
    pub language: Option<Language>,
    pub text: String,
    #[serde(default)]
    pub attachments: Vec<Card>,
}

impl Said {
    /// A text and nothing else.
    pub(crate) fn plain(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ..Self::default()
        }
    }

    /// As lines, for an e-mail that is read as text. No link leads elsewhere than to https.
    pub(crate) fn words(&self) -> String {
        let mut words = self.text.clone();
        for card in &self.attachments {
            let lines = match card {
                Card::Image(picture) => vec![picture.url.as_ref().map_or("", |url| url.as_str())],
                Card::Link(link) => vec![
                    link.title.as_str(),
                    link.desc.as_deref().unwrap_or_default(),
                    https_or_nothing(&link.url),
                ],
                Card::MiniProgram(card) => vec![card.title.as_str()],
            };
            let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
            words = format!("{words}\n\n{}", lines.join("\n"));
        }
        words
    }

    /// As the body of a page or an e-mail. Nothing said can end up as markup, and no link leads elsewhere than to https.
    pub(crate) fn html(&self) -> String {
        let mut html = String::with_capacity(self.text.len() * 2);
        let text = escape(&self.text).replace('\n', "<br>");
        // To a string it can't fail.
        let _ = write!(html, "<p>{text}</p>");
        for card in &self.attachments {
            let _ = match card {
                Card::Image(picture) => match &picture.url {
                    Some(url) => write!(html, "<p><img src=\"{}\" alt=\"\"></p>", escape(url.as_str())),
                    None => Ok(()), // an upload of another channel's
                },
                Card::Link(link) => write!(
                    html,
                    "<p><a href=\"{}\" rel=\"noopener noreferrer\">{}</a>{}</p>",
                    escape(https_or_nothing(&link.url)),
                    escape(&link.title),
                    link.desc
                        .as_ref()
                        .map(|desc| format!("<br>{}", escape(desc)))
                        .unwrap_or_default(),
                ),
                // A browser can't open it.
                Card::MiniProgram(card) => write!(html, "<p>{}</p>", escape(&card.title)),
            };
        }
        html
    }
}

fn https_or_nothing(url: &str) -> &str {
    if url.starts_with("https://") { url } else { "" }
}

/// For text and for attributes in double quotes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::card::LinkCard;
    use super::*;

    fn link(title: &str, url: &str) -> Card {
        Card::Link(LinkCard {
            title: title.to_owned(),
            desc: Some(title.to_owned()),
            url: url.to_owned(),
            pic_url: None,
        })
    }

    #[test]
    fn a_page_shows_words_as_words() {
        let said = Said {
            attachments: vec![
                link("<b>", "https://shop.example/?a=1&b=\"2\""),
                link("x", "javascript:alert(1)"),
            ],
            ..Said::plain("<script>alert('x')</script>\n&")
        };
        assert_eq!(
            said.html(),
            "<p>&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;<br>&amp;</p>\
             <p><a href=\"https://shop.example/?a=1&amp;b=&quot;2&quot;\" rel=\"noopener noreferrer\">&lt;b&gt;</a><br>&lt;b&gt;</p>\
             <p><a href=\"\" rel=\"noopener noreferrer\">x</a><br>x</p>"
        );
    }

    #[test]
    fn lines_show_what_a_page_shows() {
        let said = Said {
            attachments: vec![
                link("Serum", "https://shop.example/?a=1"),
                link("x", "javascript:alert(1)"),
            ],
            ..Said::plain("<b>")
        };
        assert_eq!(
            said.words(),
            "<b>\n\nSerum\nSerum\nhttps://shop.example/?a=1\n\nx\nx"
        );
    }

    /// Any text, controls too.
    fn text() -> impl Strategy<Value = String> {
        prop::collection::vec(any::<char>(), 0..60).prop_map(|chars| chars.into_iter().collect())
    }

    proptest! {
        /// Whatever is said: the page has the tags and quotes we write and no others, and JSON gives it back as it was.
        #[test]
        fn nothing_said_becomes_markup(text in text(), title in text()) {
            let said = Said { attachments: vec![link(&title, &text)], ..Said::plain(&text) };
            let html = said.html();
            let lines = text.matches('\n').count();
            prop_assert_eq!(html.matches('<').count(), 7 + lines);
            prop_assert_eq!(html.matches('>').count(), 7 + lines);
            prop_assert_eq!(html.matches('"').count(), 4);
            prop_assert!(!html.contains('\''));
            let json = serde_json::to_string(&said).unwrap();
            prop_assert_eq!(serde_json::from_str::<Said>(&json).unwrap(), said);
        }
    }
}
