//! What customers learns from identity, and from broadcast. Events may overtake each other; each handler is right in any order.

use contracts::broadcast::v1::ContactOptedOut;
use contracts::customers::v1::ContactConsentChanged;
use contracts::identity::v1::{MemberJoined, MemberLeft, TenantVerified};
use contracts::{ContactId, Envelope, MemberId};
use jiff::Timestamp;
use outbox::{Handler, HandlerError, Tx};

use crate::{State, store};

impl Handler<TenantVerified> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: TenantVerified,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        let at = time_of(event.verified_at, envelope)?;
        if store::member::tenant_verified(&mut **tx, envelope.tenant_id, at).await? {
            tx.audit(envelope, "tenant.verified", envelope.tenant_id);
        }
        Ok(())
    }
}

impl Handler<MemberJoined> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: MemberJoined,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        let member: MemberId = event.member_id.parse()?;
        store::member::joined(&mut **tx, envelope.tenant_id, member, &event.alias, &event.role).await?;
        tx.audit(envelope, "member.joined", member);
        Ok(())
    }
}

impl Handler<MemberLeft> for State {
    async fn handle(&self, tx: &mut Tx, event: MemberLeft, envelope: &Envelope) -> Result<(), HandlerError> {
        let at = time_of(event.left_at, envelope)?;
        let member: MemberId = event.member_id.parse()?;
        store::member::left(&mut **tx, envelope.tenant_id, member, at).await?;
        tx.audit(envelope, "member.left", member);
        Ok(())
    }
}

/// The contact tapped the way out in a message. A later word of theirs stands; of who is unknown here nothing is kept.
impl Handler<ContactOptedOut> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: ContactOptedOut,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        let contact: ContactId = event.contact_id.parse()?;
        if store::contact::opt_out(&mut **tx, contact, envelope.occurred_at).await? {
            tx.audit(envelope, "contact.opted_out", contact);
            let changed = ContactConsentChanged {
                tenant_id: envelope.tenant_id.to_string(),
                contact_id: contact.to_string(),
                marketing: false,
            };
            outbox::record(tx, &changed, self.clock.now()).await?;
        }
        Ok(())
    }
}

/// The time an event names; when it happened, if it names none.
fn time_of(named: Option<prost_types::Timestamp>, envelope: &Envelope) -> Result<Timestamp, jiff::Error> {
    named.map_or(Ok(envelope.occurred_at), |at| {
        Timestamp::new(at.seconds, at.nanos)
    })
}

/// A time as events carry it.
pub(crate) fn timestamp(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}
