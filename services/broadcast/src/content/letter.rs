//! What the recipients of a chunk get: the same words for all, or words of their own that are made when they are sent and
//! kept nowhere but in the message.

use std::collections::HashMap;
use std::sync::Arc;

use chassis::auth::Signer;
use contracts::{BroadcastId, ContactId, MemberId, TenantId};

use super::Content;
use super::address::HttpsUrl;
use super::reader::{Person, Reader, known};
use super::said::Said;
use super::short::LinkNo;
use super::template::{RenderError, Value};
use crate::click::ShortLinks;
use crate::opt_out::Links;

/// What a seal in a shop link is for: see `chassis::auth::Seals`.
pub(crate) const SHOP_LINK: &str = "shop-link";
/// The parameter of a shop link that says who was sent it by whom.
pub(super) const SHOP_PARAMETER: &str = "st";
/// Of a seal of four ids, which `chassis::auth::Seals` says and a test looks at.
pub(crate) const SEAL_CHARS: usize = 172;

/// Why somebody gets no words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unwritten {
    #[error("the contact is nobody who may be written to any more")]
    Gone,
    /// Of a post in groups.
    #[error("it is no group one may post in")]
    NoGroup,
    #[error(transparent)]
    Render(#[from] RenderError),
}

/// Who speaks, and about what.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub signer: Signer,
    pub tenant: TenantId,
    /// Nil in a preview.
    pub broadcast: BroadcastId,
    pub member: MemberId,
    /// None in a preview: who looks at it is not who may opt out.
    pub links: Option<Links>,
}

impl Sender {
    /// With the seal that lets the shop's orders tell what made them: of tenant, mass message, member and contact.
    pub(crate) fn shop_link(&self, url: &HttpsUrl, contact: ContactId) -> String {
        let ids = [self.tenant.0, self.broadcast.0, self.member.0, contact.0];
        url.with(SHOP_PARAMETER, &self.signer.seal(SHOP_LINK, &ids))
    }
}

/// Content that says something else to each.
#[derive(Clone, Debug)]
pub(crate) struct Personal {
    content: Content,
    /// None when no word leads to the shop: then nothing is sealed.
    shop_url: Option<HttpsUrl>,
    leads_out: bool,
    has_short_links: bool,
    sender: Sender,
    people: HashMap<ContactId, Person>,
}

impl Personal {
    pub(crate) fn new(content: Content, sender: Sender, people: Vec<Person>) -> Self {
        let people = people.into_iter().map(|person| (person.contact, person));
        Self {
            shop_url: content.shop_url().cloned(),
            leads_out: content.leads_out(),
            has_short_links: content.has_short_links(),
            content,
            sender,
            people: people.collect(),
        }
    }

    /// The words for one of the people.
    pub(crate) fn write(&self, contact: ContactId) -> Result<Said, Unwritten> {
        let nobody;
        let person = match self.people.get(&contact) {
            Some(person) => person,
            None if self.content.needs_people() => return Err(Unwritten::Gone),
            None => {
                nobody = Person {
                    contact,
                    name: String::new(),
                    language: String::new(),
                    email: String::new(),
                    member: None,
                    member_alias: String::new(),
                    is_friend: true,
                };
                &nobody
            }
        };
        // No link is made in vain.
        let links = self.sender.links.as_ref();
        let short = links.filter(|_| self.has_short_links).map(|links| ShortLinks {
            links,
            broadcast: self.sender.broadcast,
            member: self.sender.member,
            contact,
        });
        let shop_link = self.shop_url.as_ref().map(|url| match &short {
            Some(short) => short.of(LinkNo::SHOP),
            None => self.sender.shop_link(url, contact),
        });
        let opt_out_link = links.filter(|_| self.leads_out).map(|links| links.of(contact));
        let reader = Reader {
            language: &person.language,
            contact_name: known(&person.name),
            member_alias: known(&person.member_alias),
            shop_link: shop_link.as_deref().map_or(Value::Missing, Value::Known),
            opt_out_link: opt_out_link.as_deref().map_or(Value::Nobodys, Value::Known),
            short,
        };
        Ok(self.content.say_to(&reader)?)
    }
}

/// The words of a chunk's messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct Letter {
    /// What everybody gets who has no words of their own.
    pub same: Said,
    personal: Option<Arc<Personal>>,
    each: HashMap<ContactId, Said>,
}

impl Letter {
    /// The same for all.
    pub(crate) fn same(said: Said) -> Self {
        Self {
            same: said,
            ..Self::default()
        }
    }

    pub(crate) fn personal(&self, personal: Personal) -> Self {
        Self {
            same: self.same.clone(),
            personal: Some(Arc::new(personal)),
            each: HashMap::new(),
        }
    }

    /// Whether each gets words of their own.
    pub(crate) fn is_personal(&self) -> bool {
        self.personal.is_some()
    }

    /// Writes to some: who could not be written to comes back with why, and stops nobody else.
    pub(crate) fn write(&self, contacts: &[ContactId]) -> (Self, Vec<(ContactId, Unwritten)>) {
        let mut unwritten = Vec::new();
        let mut written = self.clone();
        written.each.clear();
        if let Some(personal) = &self.personal {
            for &contact in contacts {
                match personal.write(contact) {
                    Ok(said) => drop(written.each.insert(contact, said)),
                    Err(why) => unwritten.push((contact, why)),
                }
            }
        }
        (written, unwritten)
    }

    /// What one of those written to gets.
    pub(crate) fn to(&self, contact: ContactId) -> &Said {
        self.each.get(&contact).unwrap_or(&self.same)
    }
}
