//! What groups tells, and what it listens to.

use contracts::groups::v1::{GroupJoined, GroupLeft, GroupOpened};
use contracts::identity::v1::TenantVerified;
use contracts::{Envelope, GroupId, TenantId};
use jiff::Timestamp;
use outbox::{Handler, HandlerError, Tx};

use crate::State;
use crate::group::Group;
use crate::seat::Applicant;
use crate::store;
use crate::store::seat::Taken;

/// Identity verified a tenant: it may open groups from now on.
impl Handler<TenantVerified> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        _event: TenantVerified,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        if store::tenant::verify(&mut **tx, envelope.tenant_id, envelope.occurred_at).await? {
            tx.audit(envelope, "tenant.verified", envelope.tenant_id);
        }
        Ok(())
    }
}

pub(crate) fn group_opened(tenant_id: TenantId, group: &Group) -> GroupOpened {
    GroupOpened {
        tenant_id: tenant_id.to_string(),
        group_id: group.group_id.to_string(),
        series_id: group.series_id.map(|id| id.to_string()).unwrap_or_default(),
        name: group.name.clone(),
        capacity: group.capacity.unsigned_abs(),
    }
}

pub(crate) fn group_joined(
    applicant: &Applicant,
    group_id: GroupId,
    taken: &Taken,
    now: Timestamp,
) -> GroupJoined {
    GroupJoined {
        tenant_id: applicant.tenant_id.to_string(),
        group_id: group_id.to_string(),
        contact_id: applicant.contact_id.to_string(),
        series_id: taken.series_id.map(|id| id.to_string()).unwrap_or_default(),
        group_name: taken.group_name.clone(),
        greeting: taken.greeting.clone(),
        joined_at: Some(prost_types::Timestamp {
            seconds: now.as_second(),
            nanos: now.subsec_nanosecond(),
        }),
    }
}

pub(crate) fn group_left(applicant: &Applicant, group_id: GroupId) -> GroupLeft {
    GroupLeft {
        tenant_id: applicant.tenant_id.to_string(),
        group_id: group_id.to_string(),
        contact_id: applicant.contact_id.to_string(),
    }
}
