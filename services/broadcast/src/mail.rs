//! How e-mails leave: from which address, by which server, and how its answers are understood.

mod answer;
mod server;

pub(crate) use answer::{Stage, failure_of};
pub(crate) use server::{Server, ServerError};

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use contracts::ContactId;
use lettre::Address;
use secrecy::ExposeSecret as _;

use crate::config::MailSettings;
use crate::content::reader::Person;

/// What this process knows of sending e-mails.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    pub from: Address,
    /// None where nothing is sent, as in `serve`.
    pub server: Option<Server>,
    pub connections_max: u16,
    pub timeout: Duration,
}

/// Why the settings can't be used. Never contains the URL, which holds a password.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MailError {
    #[error("SHEQUN_SMTP_URL is set without SHEQUN_MAIL_FROM, the address that e-mails come from")]
    NoSender,
    #[error("SHEQUN_MAIL_FROM is not plain ASCII; give the domain as xn--…")]
    Sender,
    #[error("SHEQUN_SMTP_URL can't be used: {0}")]
    Server(#[from] ServerError),
}

impl Mail {
    /// None where no e-mails are sent. In development a password may go out unencrypted.
    pub(crate) fn open(settings: &MailSettings, dev: bool) -> Result<Option<Self>, MailError> {
        let (url, from) = (&settings.smtp_url, settings.mail_from.clone());
        let Some(from) = from else {
            return url.as_ref().map_or(Ok(None), |_| Err(MailError::NoSender));
        };
        if !AsRef::<str>::as_ref(&from).is_ascii() {
            return Err(MailError::Sender);
        }
        let server = url
            .as_ref()
            .map(|url| Server::parse(url.expose_secret(), from.domain(), dev))
            .transpose()?;
        Ok(Some(Self {
            from,
            server,
            connections_max: settings.smtp_connections_max,
            timeout: Duration::from_secs(settings.smtp_timeout_secs),
        }))
    }
}

/// Where e-mails to a chunk's recipients go, and under whose name. It lives as long as the attempt to send the chunk.
#[derive(Clone, Default)]
pub(crate) struct Mailboxes {
    /// The member as contacts see her (D78); empty while unknown.
    pub alias: String,
    /// None: the contact has no address.
    addresses: Arc<HashMap<ContactId, Option<Address>>>,
}

impl Mailboxes {
    /// Of those customers told of. What it tells as an address and is none, is nobody's.
    pub(crate) fn of(people: &[Person]) -> Self {
        let address = |person: &Person| {
            let address = person.email.parse::<Address>().ok();
            let address = address.filter(|_| person.email.bytes().all(|byte| byte.is_ascii_graphic()));
            (person.contact, address)
        };
        Self {
            alias: people
                .first()
                .map(|person| person.member_alias.clone())
                .unwrap_or_default(),
            addresses: Arc::new(people.iter().map(address).collect()),
        }
    }

    /// None: the tenant does not have the contact any more.
    pub(crate) fn to(&self, contact: ContactId) -> Option<Option<&Address>> {
        self.addresses.get(&contact).map(Option::as_ref)
    }
}

/// Without the addresses: they are personal.
impl fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailboxes")
            .field("addresses", &self.addresses.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn person(email: &str) -> Person {
        Person {
            contact: ContactId::new(),
            name: String::new(),
            language: String::new(),
            email: email.to_owned(),
            member: None,
            member_alias: "小雨".to_owned(),
            is_friend: true,
        }
    }

    fn open(from: Option<&str>, url: Option<&str>) -> Result<Option<Mail>, MailError> {
        let settings = MailSettings {
            mail_from: from.map(|from| from.parse().unwrap()),
            smtp_url: url.map(Into::into),
            smtp_connections_max: 10,
            smtp_timeout_secs: 30,
        };
        Mail::open(&settings, false)
    }

    #[test]
    fn what_is_set_fits_together() {
        assert!(open(None, None).unwrap().is_none());
        assert!(
            open(Some("hi@shop.example"), None)
                .unwrap()
                .unwrap()
                .server
                .is_none()
        );
        let whole = open(Some("hi@shop.example"), Some("smtps://u:hunter2@mail.example"))
            .unwrap()
            .unwrap();
        assert!(!format!("{whole:?}").contains("hunter2"));
        let refused = |from, url| open(from, url).unwrap_err();
        assert_eq!(refused(None, Some("smtps://mail.example")), MailError::NoSender);
        assert_eq!(refused(Some("hi@例え.jp"), None), MailError::Sender);
        let refused = refused(
            Some("hi@shop.example"),
            Some("smtp://u:hunter2@mail.example?tls=none"),
        );
        assert!(!refused.to_string().contains("hunter2") && refused.to_string().contains("encrypt"));
    }

    #[test]
    fn whoever_has_no_plain_address_has_none() {
        let people = [
            "hana@example.jp",
            "",
            "hana",
            "a@b.example\r\nBcc: c@d.example",
            "花@example.jp",
        ]
        .map(person);
        let mailboxes = Mailboxes::of(&people);
        let known: Vec<_> = people
            .iter()
            .map(|person| mailboxes.to(person.contact).unwrap().is_some())
            .collect();
        assert_eq!(known, [true, false, false, false, false]);
        assert_eq!(
            (mailboxes.alias.as_str(), mailboxes.to(ContactId::new())),
            ("小雨", None)
        );
        assert!(!format!("{mailboxes:?}").contains("hana"));
    }
}
