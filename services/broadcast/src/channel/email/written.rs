//! An e-mail as it is handed over: headers that nobody's words can add to, the text, and the same as a page.

use std::time::SystemTime;

use contracts::ContactId;
use jiff::Timestamp;
use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message};

use super::super::Mailing;
use crate::content::said::{Said, escape};
use crate::message;

const ALIAS_CHARS_MAX: usize = 80;
/// A line of a header can't be longer than 998.
const WAY_OUT_BYTES_MAX: usize = 900;
const WAY_OUT: &str = "退订 · 配信停止 · Unsubscribe";

/// Why there is no e-mail to somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsent {
    /// The tenant does not have them any more.
    Gone,
    NoAddress,
    /// It can't be written.
    Unwritten,
}

pub(super) struct Written {
    pub(super) contact: ContactId,
    pub(super) to: Address,
    pub(super) content: Vec<u8>,
}

impl Written {
    /// The e-mail to one of the recipients.
    pub(super) fn new(
        mailing: &Mailing,
        contact: ContactId,
        from: &Address,
        now: Timestamp,
    ) -> Result<Self, Unsent> {
        let to = mailing.mailboxes.to(contact).ok_or(Unsent::Gone)?;
        let to = to.ok_or(Unsent::NoAddress)?;
        let way_out = mailing.links.of(contact);
        if way_out.len() > WAY_OUT_BYTES_MAX || !way_out.bytes().all(is_plain) {
            return Err(Unsent::Unwritten);
        }
        let said = mailing.letter.to(contact);
        let alias = one_line(&mailing.mailboxes.alias, ALIAS_CHARS_MAX);
        let key = message::mass(mailing.broadcast, contact);
        let email = Message::builder()
            .from(Mailbox::new((!alias.is_empty()).then_some(alias), from.clone()))
            .to(to.clone().into())
            .subject(one_line(&mailing.title, usize::MAX))
            .date(SystemTime::from(now))
            // The same in every attempt.
            .message_id(Some(format!("<{key}@{}>", from.domain())))
            .raw_header(as_is("List-Unsubscribe", format!("<{way_out}>")))
            // One click in the mail program is enough (RFC 8058).
            .raw_header(as_is(
                "List-Unsubscribe-Post",
                "List-Unsubscribe=One-Click".to_owned(),
            ))
            // No holiday notes, please.
            .raw_header(as_is("Auto-Submitted", "auto-generated".to_owned()))
            .multipart(MultiPart::alternative_plain_html(
                text(said, &way_out),
                page(said, &way_out),
            ))
            .map_err(|_| Unsent::Unwritten)?;
        Ok(Self {
            contact,
            to: to.clone(),
            content: email.formatted(),
        })
    }
}

/// What a URL in angle brackets may consist of.
const fn is_plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>')
}

/// A header of ours, not folded: some programs don't find a link behind a line end.
fn as_is(name: &'static str, value: String) -> HeaderValue {
    let name = HeaderName::new_from_ascii_str(name);
    HeaderValue::dangerous_new_pre_encoded(name, value.clone(), value)
}

/// Without ends of lines, controls and marks of direction: all that words in a header could do.
fn one_line(words: &str, chars_max: usize) -> String {
    let is_mark = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let line: String = words
        .chars()
        .map(|c| if c.is_control() || is_mark(c) { ' ' } else { c })
        .take(chars_max)
        .collect();
    line.trim().to_owned()
}

/// Only we end lines: to some servers a lone CR is an end of its own.
fn text(said: &Said, way_out: &str) -> String {
    format!("{}\n\n-- \n{WAY_OUT}\n{way_out}\n", said.words()).replace('\r', "")
}

fn page(said: &Said, way_out: &str) -> String {
    let language = said
        .language
        .map(|language| format!(" lang=\"{}\"", language.name()));
    format!(
        "<!doctype html>\n<html{}><head><meta charset=\"utf-8\"></head>\n<body>{}\n<hr><p><a href=\"{}\">{WAY_OUT}</a></p></body></html>\n",
        language.unwrap_or_default(),
        said.html(),
        escape(way_out)
    )
    .replace('\r', "")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::letter::Letter;
    use crate::content::reader::Person;
    use crate::mail::Mailboxes;
    use crate::tests::ssrf::mailing;

    const NAMES: [&str; 9] = [
        "From",
        "To",
        "Subject",
        "Date",
        "Message-ID",
        "List-Unsubscribe",
        "List-Unsubscribe-Post",
        "Auto-Submitted",
        "MIME-Version",
    ];

    fn written(title: &str, alias: &str, text: &str) -> Result<String, Unsent> {
        let contact = ContactId::new();
        let person = Person {
            contact,
            name: String::new(),
            language: String::new(),
            email: "hana@example.jp".to_owned(),
            member: None,
            member_alias: alias.to_owned(),
            is_friend: true,
        };
        let mailing = Mailing {
            title: title.to_owned(),
            letter: Letter::same(Said::plain(text)),
            mailboxes: Mailboxes::of(&[person]),
            ..mailing()
        };
        let from: Address = "hi@shop.example".parse().unwrap();
        let written = Written::new(&mailing, contact, &from, Timestamp::UNIX_EPOCH)?;
        Ok(String::from_utf8(written.content).unwrap())
    }

    /// The names of the headers, in whatever order.
    fn names(email: &str) -> Vec<&str> {
        let (head, _) = email.split_once("\r\n\r\n").unwrap();
        let begins = head.split("\r\n").filter(|line| !line.starts_with([' ', '\t']));
        begins.map(|line| line.split_once(':').unwrap().0).collect()
    }

    #[test]
    fn the_way_out_stands_on_one_line() {
        let email = written("Spring", "小雨", "The serum is in.").unwrap();
        let line = email
            .split("\r\n")
            .find(|line| line.starts_with("List-Unsubscribe: "))
            .unwrap();
        assert!(
            line.starts_with("List-Unsubscribe: <https://m.example.com/v1/opt-out/") && line.ends_with('>')
        );
        assert!(email.contains("\r\nSubject: Spring\r\n"));
        assert!(email.contains("\r\nList-Unsubscribe-Post: List-Unsubscribe=One-Click\r\n"));
        assert!(email.contains("\r\nDate: Thu, 01 Jan 1970 00:00:00 +0000\r\n"));
    }

    proptest! {
        /// Whatever a title, an alias or a text holds, the headers are ours, and the lines are as SMTP wants them.
        #[test]
        fn nobodys_words_become_a_header(
            title in prop::collection::vec(any::<char>(), 0..40),
            alias in "(\r\nBcc: x@evil\\.example|\n|\u{2028}|\"|<|>|,|=\\?utf-8\\?q\\?|[a-z雨]){0,6}",
            text in prop::collection::vec(any::<char>(), 0..40),
        ) {
            let (title, text): (String, String) = (title.into_iter().collect(), text.into_iter().collect());
            let email = written(&title, &alias, &text).unwrap();
            prop_assert!(email.is_ascii());
            prop_assert!(!email.replace("\r\n", "").contains(['\r', '\n']));
            prop_assert!(email.split("\r\n").all(|line| line.len() <= 998));
            let mut found = names(&email);
            found.retain(|name| *name != "Content-Type");
            found.sort_unstable();
            let mut expected = NAMES.to_vec();
            expected.sort_unstable();
            prop_assert_eq!(found, expected);
        }
    }
}
