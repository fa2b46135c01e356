//! Who a claimed chunk's recipients are, as far as the words for them, or e-mails to them, need it (decisions/0007).
//!
//! Cost: nothing where all get the same, but by e-mail; else one call to customers for the chunk, at most 500 names,
//! languages and addresses, which live as long as this attempt to send it. It is asked before any call of the channel is
//! started, so a chunk whose people can't be told just rests.

use std::borrow::Cow;
use std::time::Duration;

use contracts::customers::v1::customers_service_client::CustomersServiceClient;
use contracts::customers::v1::{Addressee, GetAddresseesRequest};
use contracts::{ContactId, MemberId, TenantId};
use tonic::Status;

use super::Claim;
use crate::State;
use crate::broadcast::ChannelName;
use crate::channel::Mailing;
use crate::content::Content;
use crate::content::letter::{Personal, Sender};
use crate::content::reader::Person;
use crate::error::Error;
use crate::mail::Mailboxes;

const ANSWER_WAIT: Duration = Duration::from_secs(2);

/// What the chunk's recipients get.
pub(super) async fn address<'a>(state: &State, claim: &'a Claim) -> Result<Cow<'a, Mailing>, Error> {
    let content = claim
        .content
        .as_ref()
        .filter(|content| !content.is_same_for_all());
    let (mailing, is_mail) = (&claim.mailing, claim.channel == ChannelName::Email);
    if content.is_none() && !is_mail {
        return Ok(Cow::Borrowed(mailing));
    }
    let people = if is_mail || content.is_some_and(Content::needs_people) {
        let member = Some(mailing.member);
        let asked = people(state, mailing.tenant, &claim.allowed, member).await;
        asked.map_err(|error| error.before_any_call())?
    } else {
        vec![]
    };
    let mut addressed = mailing.clone();
    if is_mail {
        addressed.mailboxes = Mailboxes::of(&people);
    }
    if let Some(content) = content {
        let sender = Sender {
            signer: state.signer.clone(),
            tenant: mailing.tenant,
            broadcast: mailing.broadcast,
            member: mailing.member,
            links: Some(mailing.links.clone()),
        };
        let personal = Personal::new(content.clone(), sender, people);
        addressed.letter = mailing.letter.personal(personal);
    }
    Ok(Cow::Owned(addressed))
}

/// What customers knows of up to 500 contacts, with the member who speaks to them: the one asked for, or for each the
/// last in touch. Whom the tenant does not have is left out.
pub(super) async fn people(
    state: &State,
    tenant: TenantId,
    contacts: &[ContactId],
    member: Option<MemberId>,
) -> Result<Vec<Person>, Error> {
    let message = GetAddresseesRequest {
        contact_ids: contacts.iter().map(ToString::to_string).collect(),
        member_id: member.map(|member| member.to_string()).unwrap_or_default(),
    };
    let mut request = chassis::grpc::authorize(message, &state.signer, "customers", tenant);
    request.set_timeout(ANSWER_WAIT);
    let mut customers = CustomersServiceClient::new(state.customers.clone());
    let answer = tokio::time::timeout(ANSWER_WAIT, customers.get_addressees(request)).await;
    let answer = answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("customers took too long")))?;
    answer.into_inner().addressees.into_iter().map(person).collect()
}

fn person(told: Addressee) -> Result<Person, Error> {
    let malformed = |_| Error::Audience("contact_id of an addressee is no uuid".to_owned());
    let member = (!told.member_id.is_empty())
        .then(|| told.member_id.parse::<MemberId>())
        .transpose();
    Ok(Person {
        contact: told.contact_id.parse().map_err(malformed)?,
        name: told.name,
        language: told.language,
        email: told.email,
        member: member.map_err(malformed)?,
        member_alias: told.member_alias,
        is_friend: told.follows,
    })
}
