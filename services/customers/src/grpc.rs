//! What peers ask customers: one contact, or the audience of a mass message.

use std::pin::Pin;

use chassis::{Problem, grpc};
use contracts::customers::v1::customers_service_server::CustomersService;
use contracts::customers::v1::{
    Addressee, AudienceEntry, Contact, GetAddresseesRequest, GetAddresseesResponse, GetContactRequest,
    GetContactResponse, StreamAudienceRequest, StreamAudienceResponse, StreamRecipientsRequest,
    StreamRecipientsResponse,
};
use contracts::packed::{pack, unpack};
use contracts::{ContactId, MemberId, TenantId};
use futures::{Stream, StreamExt as _, stream};
use tokio::sync::mpsc;
use tonic::{Request, Response, Status};
use tracing::Instrument as _;
use uuid::Uuid;

use crate::audience::{Audience, Condition, PAGE_CONTACTS_MAX, Page, Recipient};
use crate::error::Error;
use crate::ops::read_recipients::read_recipients;
use crate::{State, store};

/// Recipients in one message of `StreamAudience`.
const ENTRIES_MAX: usize = 500;
/// Tags an audience may name in each of its conditions, and members.
const NAMES_MAX: usize = 100;
/// Pages read ahead of a slow peer.
const PAGES_AHEAD_MAX: usize = 4;
/// Contacts asked for at once: a chunk of a mass message.
const ADDRESSEES_MAX: usize = 500;

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl CustomersService for State {
    async fn get_contact(
        &self,
        request: Request<GetContactRequest>,
    ) -> Result<Response<GetContactResponse>, Status> {
        let peer = grpc::peer(&request, &["groups", "broadcast"])?;
        let contact_id: ContactId = id("contact_id", &request.get_ref().contact_id)?;
        let contact = contact(self, peer.tenant, contact_id)
            .await
            .map_err(Problem::from)?;
        Ok(Response::new(GetContactResponse {
            contact: Some(contact),
        }))
    }

    async fn get_addressees(
        &self,
        request: Request<GetAddresseesRequest>,
    ) -> Result<Response<GetAddresseesResponse>, Status> {
        let peer = grpc::peer(&request, &["broadcast"])?;
        let GetAddresseesRequest {
            contact_ids,
            member_id,
        } = request.into_inner();
        if contact_ids.len() > ADDRESSEES_MAX {
            return Err(Status::invalid_argument(format!(
                "at most {ADDRESSEES_MAX} contacts are told at once"
            )));
        }
        let contacts: Vec<ContactId> = contact_ids
            .iter()
            .map(|text| id("contact_ids", text))
            .collect::<Result<_, _>>()?;
        let member_id = optional("member_id", &member_id)?;
        let found = addressees(self, peer.tenant, &contacts, member_id)
            .await
            .map_err(Problem::from)?;
        Ok(Response::new(GetAddresseesResponse {
            addressees: found.into_iter().map(addressee).collect(),
        }))
    }

    type StreamAudienceStream = Answers<StreamAudienceResponse>;

    async fn stream_audience(
        &self,
        request: Request<StreamAudienceRequest>,
    ) -> Result<Response<Self::StreamAudienceStream>, Status> {
        let peer = grpc::peer(&request, &["broadcast"])?;
        let (audience, after) = audience(request.into_inner())?;
        let pages = pages(self.clone(), peer.tenant, audience, after).map(|page| {
            let messages = page.map(|page| entries(&page));
            stream::iter(match messages {
                Ok(messages) => messages.into_iter().map(Ok).collect::<Vec<_>>(),
                Err(status) => vec![Err(status)],
            })
        });
        Ok(Response::new(Box::pin(pages.flatten())))
    }

    type StreamRecipientsStream = Answers<StreamRecipientsResponse>;

    async fn stream_recipients(
        &self,
        request: Request<StreamRecipientsRequest>,
    ) -> Result<Response<Self::StreamRecipientsStream>, Status> {
        let peer = grpc::peer(&request, &["broadcast"])?;
        let (audience, after) = recipients(request.into_inner())?;
        let pages = pages(self.clone(), peer.tenant, audience, after);
        Ok(Response::new(Box::pin(
            pages.map(|page| page.map(|page| packed(&page))),
        )))
    }
}

/// Reads page after page, a few ahead of the peer, until the last one or until the peer is gone.
fn pages(
    state: State,
    tenant: TenantId,
    audience: Audience,
    after: ContactId,
) -> impl Stream<Item = Result<Page, Status>> + Send {
    let (pages, read) = mpsc::channel(PAGES_AHEAD_MAX);
    let read_ahead = async move {
        let mut after = Some(after);
        while let Some(place) = after {
            let page = read_recipients(&state, tenant, &audience, place).await;
            after = page.as_ref().ok().and_then(|page| page.looked_to);
            let page = page.map_err(|error| Status::from(Problem::from(error)));
            if pages.send(page).await.is_err() {
                return;
            }
        }
    };
    tokio::spawn(read_ahead.in_current_span());
    // The end of the stream says that the audience is complete, so it has to be the end of the pages, too.
    stream::unfold((read, false), |(mut read, is_over)| async move {
        if is_over {
            return None;
        }
        let broken = || Err(Status::aborted("the audience broke off"));
        let page: Result<Page, Status> = read.recv().await.unwrap_or_else(broken);
        let is_over = !page.as_ref().is_ok_and(|page| page.looked_to.is_some());
        Some((page, (read, is_over)))
    })
}

async fn contact(state: &State, tenant: TenantId, contact_id: ContactId) -> Result<Contact, Error> {
    let mut tx = state.database.read(tenant).await?;
    let contact = store::contact::find(&mut *tx, contact_id, None)
        .await?
        .ok_or(Error::ContactUnknown)?;
    Ok(Contact {
        contact_id: contact_id.to_string(),
        external_id: contact.external_id,
        name: contact.name,
        language: contact.language,
        marketing: contact.marketing,
    })
}

async fn addressees(
    state: &State,
    tenant: TenantId,
    contacts: &[ContactId],
    member_id: Option<MemberId>,
) -> Result<Vec<store::addressee::Addressee>, Error> {
    let mut tx = state.database.read(tenant).await?;
    Ok(store::addressee::find(&mut *tx, contacts, member_id).await?)
}

fn addressee(found: store::addressee::Addressee) -> Addressee {
    Addressee {
        contact_id: found.contact_id.to_string(),
        name: found.name,
        language: found.language,
        member_id: found
            .member_id
            .map(|member| member.to_string())
            .unwrap_or_default(),
        member_alias: found.member_alias,
        follows: found.follows,
        email: found.email.unwrap_or_default(),
    }
}

fn entries(page: &Page) -> Vec<StreamAudienceResponse> {
    let entry = |recipient: &Recipient| AudienceEntry {
        contact_id: recipient.contact_id.to_string(),
        member_id: recipient.member_id.to_string(),
        marketing: recipient.marketing,
    };
    let message = |recipients: &[Recipient]| StreamAudienceResponse {
        entries: recipients.iter().map(entry).collect(),
        cursor: recipients
            .last()
            .map(|last| last.contact_id.to_string())
            .unwrap_or_default(),
    };
    page.recipients.chunks(ENTRIES_MAX).map(message).collect()
}

fn packed(page: &Page) -> StreamRecipientsResponse {
    let each = || page.recipients.iter();
    let mut members: Vec<_> = each().map(|recipient| recipient.member_id).collect();
    members.sort();
    members.dedup();
    let position = |place: usize| u32::try_from(place).unwrap_or(u32::MAX);
    let sender = |recipient: &Recipient| members.binary_search(&recipient.member_id).unwrap_or_default();
    let silent = each().enumerate().filter(|(_, recipient)| !recipient.marketing);
    let has_no_email =
        |recipient: &Recipient| page.without_email.binary_search(&recipient.contact_id).is_ok();
    let mute = each()
        .enumerate()
        .filter(|(_, recipient)| has_no_email(recipient));
    StreamRecipientsResponse {
        contact_ids: pack(&each().map(|recipient| recipient.contact_id).collect::<Vec<_>>()),
        senders: each().map(|recipient| position(sender(recipient))).collect(),
        member_ids: pack(&members),
        without_marketing: silent.map(|(place, _)| position(place)).collect(),
        not_friends: pack(&page.not_friends),
        zones: page.zoned.iter().map(|zoned| zoned.zone.clone()).collect(),
        zone_of: page.zone_of(),
        without_email: mute.map(|(place, _)| position(place)).collect(),
        cursor: (page.looked_to.or_else(|| page.last()))
            .map(|last| last.to_string())
            .unwrap_or_default(),
    }
}

fn audience(request: StreamAudienceRequest) -> Result<(Audience, ContactId), Status> {
    let named = Condition {
        tags_any: tags(request.tags_any)?,
        tags_all: tags(request.tags_all)?,
        ..Condition::default()
    };
    let audience = Audience {
        named,
        named_only: false,
        excepted: Condition::default(),
        member_id: optional("member_id", &request.member_id)?,
        up_to: LAST,
        by_email: false,
    };
    Ok((audience, optional("cursor", &request.cursor)?.unwrap_or(FIRST)))
}

const FIRST: ContactId = ContactId(Uuid::nil());
const LAST: ContactId = ContactId(Uuid::max());

fn recipients(request: StreamRecipientsRequest) -> Result<(Audience, ContactId), Status> {
    let named = Condition {
        tags_any: tags(request.tags_any)?,
        tags_all: tags(request.tags_all)?,
        followed_by: members("followed_by", &request.followed_by)?,
        contact_ids: contacts("contact_ids", &request.contact_ids)?,
    };
    let excepted = Condition {
        tags_any: tags(request.except_tags_any)?,
        tags_all: tags(request.except_tags_all)?,
        followed_by: members("except_followed_by", &request.except_followed_by)?,
        contact_ids: contacts("except_contact_ids", &request.except_contact_ids)?,
    };
    let audience = Audience {
        named,
        named_only: request.named_only,
        excepted,
        member_id: optional("member_id", &request.member_id)?,
        up_to: optional("up_to", &request.up_to)?.unwrap_or(LAST),
        by_email: request.by_email,
    };
    Ok((audience, optional("cursor", &request.cursor)?.unwrap_or(FIRST)))
}

fn tags(mut tags: Vec<String>) -> Result<Vec<String>, Status> {
    if tags.len() > NAMES_MAX {
        return Err(Status::invalid_argument(format!(
            "an audience names at most {NAMES_MAX} tags"
        )));
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
}

fn members(field: &str, texts: &[String]) -> Result<Vec<MemberId>, Status> {
    if texts.len() > NAMES_MAX {
        return Err(Status::invalid_argument(format!(
            "{field} names at most {NAMES_MAX} members"
        )));
    }
    let mut members = texts
        .iter()
        .map(|text| id(field, text))
        .collect::<Result<Vec<MemberId>, _>>()?;
    members.sort();
    members.dedup();
    Ok(members)
}

fn contacts(field: &str, packed: &[u8]) -> Result<Vec<ContactId>, Status> {
    let contacts = unpack::<ContactId>(packed)
        .ok_or_else(|| Status::invalid_argument(format!("{field} is not 16 bytes for each id")))?;
    if contacts.len() > PAGE_CONTACTS_MAX {
        return Err(Status::invalid_argument(format!(
            "{field} names {} contacts; name at most {PAGE_CONTACTS_MAX} in a call",
            contacts.len()
        )));
    }
    if !contacts.is_sorted_by(|one, next| one < next) {
        return Err(Status::invalid_argument(format!(
            "{field} is not sorted, or names a contact twice"
        )));
    }
    Ok(contacts)
}

fn optional<T: std::str::FromStr>(field: &str, text: &str) -> Result<Option<T>, Status> {
    (!text.is_empty()).then(|| id(field, text)).transpose()
}

fn id<T: std::str::FromStr>(field: &str, text: &str) -> Result<T, Status> {
    text.parse()
        .map_err(|_| Status::invalid_argument(format!("{field} is no id")))
}

#[cfg(test)]
mod tests;
