//! What peers ask customers: one contact, or the audience of a mass message.

use std::pin::Pin;

use chassis::{Problem, grpc};
use contracts::customers::v1::customers_service_server::CustomersService;
use contracts::customers::v1::{
    Addressee, AudienceEntry, Contact, GetAddresseesRequest, GetAddresseesResponse, GetContactRequest,
    GetContactResponse, StreamAudienceRequest, StreamAudienceResponse,
};
use contracts::{ContactId, MemberId, TenantId};
use futures::{Stream, TryStreamExt as _, stream};
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::error::Error;
use crate::store::audience::{Audience, Recipient};
use crate::{State, store};

/// Recipients in one page of an audience.
const PAGE_ROWS_MAX: i64 = 500;
/// Tags an audience may name in each of its conditions.
const TAGS_MAX: usize = 100;
/// Contacts asked for at once: a chunk of a mass message.
const ADDRESSEES_MAX: usize = 500;

type Pages = Pin<Box<dyn Stream<Item = Result<StreamAudienceResponse, Status>> + Send>>;

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

    type StreamAudienceStream = Pages;

    /// A page is read when the one before it has been taken: a slow reader holds neither rows nor a transaction.
    async fn stream_audience(
        &self,
        request: Request<StreamAudienceRequest>,
    ) -> Result<Response<Self::StreamAudienceStream>, Status> {
        let peer = grpc::peer(&request, &["broadcast"])?;
        let (audience, after) = audience(request.into_inner())?;
        let reader = Reader {
            state: self.clone(),
            tenant: peer.tenant,
            audience,
        };
        let pages = stream::try_unfold(Some(after), move |after| {
            let reader = reader.clone();
            async move {
                let Some(after) = after else { return Ok(None) };
                reader.page(after).await.map_err(Problem::from)
            }
        });
        Ok(Response::new(Box::pin(pages.map_err(Status::from))))
    }
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
    }
}

/// Reads one audience of one tenant.
#[derive(Clone)]
struct Reader {
    state: State,
    tenant: TenantId,
    audience: Audience,
}

impl Reader {
    /// The page after a contact and where the next one starts; each page is a short transaction of its own.
    async fn page(
        &self,
        after: ContactId,
    ) -> Result<Option<(StreamAudienceResponse, Option<ContactId>)>, Error> {
        let mut tx = self.state.database.read(self.tenant).await?;
        let recipients = store::audience::page(&mut *tx, &self.audience, after, PAGE_ROWS_MAX).await?;
        let Some(last) = recipients.last().map(|recipient| recipient.contact_id) else {
            return Ok(None);
        };
        let is_full = i64::try_from(recipients.len()) == Ok(PAGE_ROWS_MAX);
        let entries = recipients.into_iter().map(entry).collect();
        Ok(Some((
            StreamAudienceResponse {
                entries,
                cursor: last.to_string(),
            },
            is_full.then_some(last),
        )))
    }
}

fn entry(recipient: Recipient) -> AudienceEntry {
    AudienceEntry {
        contact_id: recipient.contact_id.to_string(),
        member_id: recipient.member_id.to_string(),
        marketing: recipient.marketing,
    }
}

fn audience(request: StreamAudienceRequest) -> Result<(Audience, ContactId), Status> {
    let member_id: Option<MemberId> = optional("member_id", &request.member_id)?;
    let after = optional("cursor", &request.cursor)?.unwrap_or(ContactId(Uuid::nil()));
    let audience = Audience {
        tags_any: tags(request.tags_any)?,
        tags_all: tags(request.tags_all)?,
        member_id,
    };
    Ok((audience, after))
}

fn tags(mut tags: Vec<String>) -> Result<Vec<String>, Status> {
    if tags.len() > TAGS_MAX {
        return Err(Status::invalid_argument(format!(
            "an audience names at most {TAGS_MAX} tags"
        )));
    }
    tags.sort();
    tags.dedup();
    Ok(tags)
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
