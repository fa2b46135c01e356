//! Showing what real recipients would get. It changes nothing, and nothing of the recipients is kept.

use std::time::Duration;

use chassis::auth::Agent;
use contracts::customers::v1::StreamAudienceRequest;
use contracts::customers::v1::customers_service_client::CustomersServiceClient;
use contracts::{BroadcastId, ContactId, MemberId, TaskId, TenantId};
use tonic::Status;
use uuid::Uuid;

use super::address::people;
use crate::State;
use crate::broadcast::{Audience, said};
use crate::content::Content;
use crate::content::letter::{Personal, Sender, Unwritten};
use crate::content::reader::Person;
use crate::content::said::Said;
use crate::error::Error;
use crate::preview::{Preview, PreviewBroadcast, SHOWN_MAX};
use crate::store;

const SAMPLE_WAIT: Duration = Duration::from_secs(4);

/// For the contacts named, or for some of the audience.
pub(crate) async fn preview(
    state: &State,
    agent: Agent,
    command: &PreviewBroadcast,
) -> Result<Vec<Preview>, Error> {
    command.check_starter(agent.role)?;
    let same = said(command.text.as_deref(), command.content.as_ref())?;
    let sender = command.sender(agent);
    let sampled;
    let contacts = match command.contact_ids.contacts() {
        [] => {
            sampled = sample(state, agent.tenant, &command.audience, sender).await?;
            sampled.as_slice()
        }
        named => named,
    };
    let people = people(state, agent.tenant, contacts, sender).await?;
    let unknown = contacts
        .iter()
        .find(|contact| !people.iter().any(|it| it.contact == **contact && it.is_friend));
    if let Some(&contact) = unknown {
        return Err(Error::ContactUnknown(contact));
    }
    let show = |person: Person| show(state, agent, command.content.as_ref(), &same, person);
    Ok(people.into_iter().map(show).collect())
}

/// For the first recipients of a member's own share, from her.
pub(crate) async fn preview_task(state: &State, agent: Agent, task: TaskId) -> Result<Vec<Preview>, Error> {
    let mut tx = state.db.read(agent.tenant).await?;
    let broadcast = store::task::broadcast_of(&mut *tx, task, agent.member)
        .await?
        .ok_or(Error::TaskUnknown)?;
    let broadcast = store::broadcast::find(&mut *tx, broadcast)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    let rows_max = i64::try_from(SHOWN_MAX).unwrap_or(i64::MAX);
    let recipients = store::task::recipients(&mut *tx, task, agent.member, None, rows_max).await?;
    drop(tx);
    let contacts: Vec<_> = recipients.iter().map(|recipient| recipient.contact_id).collect();
    let mut people = people(state, agent.tenant, &contacts, Some(agent.member)).await?;
    let same = Said {
        language: broadcast.content.as_ref().map(Content::language),
        text: broadcast.text,
        attachments: broadcast.attachments,
    };
    let content = broadcast.content.as_ref();
    let show_one = |contact| {
        let place = people.iter().position(|it| it.contact == contact && it.is_friend);
        match place.map(|place| people.swap_remove(place)) {
            Some(person) => show(state, agent, content, &same, person),
            None => Preview::new(contact, Some(agent.member), Err(Unwritten::Gone)),
        }
    };
    Ok(contacts.into_iter().map(show_one).collect())
}

fn show(state: &State, agent: Agent, content: Option<&Content>, same: &Said, person: Person) -> Preview {
    let (contact, member) = (person.contact, person.member);
    let written = match content {
        None => Ok(same.clone()),
        Some(content) => {
            let sender = Sender {
                signer: state.signer.clone(),
                tenant: agent.tenant,
                // Of nothing that was sent: an order that comes by this link is nobody's.
                broadcast: BroadcastId(Uuid::nil()),
                member: member.unwrap_or(agent.member),
            };
            Personal::new(content.clone(), sender, vec![person]).write(contact)
        }
    };
    Preview::new(contact, member, written)
}

/// Some of the audience, from all over its first page.
async fn sample(
    state: &State,
    tenant: TenantId,
    audience: &Audience,
    sender: Option<MemberId>,
) -> Result<Vec<ContactId>, Error> {
    let message = StreamAudienceRequest {
        tags_any: audience.tags_any.names(),
        tags_all: audience.tags_all.names(),
        member_id: sender.map(|member| member.to_string()).unwrap_or_default(),
        ..StreamAudienceRequest::default()
    };
    let request = chassis::grpc::authorize(message, &state.signer, "customers", tenant);
    let channel = state.customers.clone();
    let channel = channel.ok_or_else(|| Status::failed_precondition("there is no way to customers"))?;
    let mut customers = CustomersServiceClient::new(channel);
    let first = async {
        customers
            .stream_audience(request)
            .await?
            .into_inner()
            .message()
            .await
    };
    let page = tokio::time::timeout(SAMPLE_WAIT, first).await;
    let page = page.unwrap_or_else(|_| Err(Status::deadline_exceeded("the first page did not come")))?;
    let entries = page.map(|page| page.entries).unwrap_or_default();
    let step = entries.len().div_ceil(SHOWN_MAX).max(1);
    let contacts = entries.iter().step_by(step).map(|entry| entry.contact_id.parse());
    contacts
        .collect::<Result<_, _>>()
        .map_err(|_| Error::Audience("contact_id is no uuid".to_owned()))
}
