//! What other services tell us, and what it makes us do.

use contracts::customers::v1::{ContactBefriended, ContactConsentChanged};
use contracts::groups::v1::GroupJoined;
use contracts::identity::v1::TenantVerified;
use contracts::{ContactId, Envelope, GroupId, MemberId};
use jiff::Timestamp;
use outbox::{Handler, HandlerError, Tx};

use crate::State;
use crate::error::Error;
use crate::message::{self, Kind};
use crate::store;

/// A verified tenant may send, and its days are cut in its zone.
impl Handler<TenantVerified> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: TenantVerified,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        if !store::tenant::is_zone(&mut **tx, &event.zone).await? {
            return Err(Error::Zone(event.zone).into());
        }
        if store::tenant::verify(&mut **tx, envelope.tenant_id, &event.zone, envelope.occurred_at).await? {
            tx.audit(envelope, "tenant.verified", envelope.tenant_id);
        }
        Ok(())
    }
}

/// The member's welcome goes to the new friend, once (D65).
impl Handler<ContactBefriended> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: ContactBefriended,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        if event.welcome.is_empty() {
            return Ok(());
        }
        let (contact, member): (ContactId, MemberId) = (event.contact_id.parse()?, event.member_id.parse()?);
        let id = message::welcome(contact, member);
        let is_new = store::inbox::store(
            &mut **tx,
            envelope.tenant_id,
            id,
            contact,
            Kind::Welcome,
            Some(member),
            &event.welcome,
        )
        .await?;
        if is_new {
            tx.audit(envelope, "message.stored", id);
        }
        Ok(())
    }
}

/// Who withdrew consent is not sent to, also where the audience is resolved already, and nobody knows what they clicked.
impl Handler<ContactConsentChanged> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: ContactConsentChanged,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        let (tenant, contact): (_, ContactId) = (envelope.tenant_id, event.contact_id.parse()?);
        if store::consent::put(&mut **tx, tenant, contact, event.marketing, envelope.occurred_at).await? {
            if !event.marketing {
                store::click::forget(&mut **tx, tenant, contact).await?;
            }
            let action = match event.marketing {
                true => "contact.consented",
                false => "contact.opted_out",
            };
            tx.audit(envelope, action, contact);
        }
        Ok(())
    }
}

/// The group greets its newcomer, once.
impl Handler<GroupJoined> for State {
    async fn handle(&self, tx: &mut Tx, event: GroupJoined, envelope: &Envelope) -> Result<(), HandlerError> {
        if event.greeting.is_empty() {
            return Ok(());
        }
        let (group, contact): (GroupId, ContactId) = (event.group_id.parse()?, event.contact_id.parse()?);
        let id = message::greeting(group, contact);
        let is_new = store::inbox::store(
            &mut **tx,
            envelope.tenant_id,
            id,
            contact,
            Kind::Greeting,
            None,
            &event.greeting,
        )
        .await?;
        if is_new {
            tx.audit(envelope, "message.stored", id);
        }
        Ok(())
    }
}

/// A time as events carry it.
pub(crate) fn proto_time(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}
