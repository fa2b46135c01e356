//! What identity tells the others. It listens to nobody.

use contracts::identity::v1::{MemberJoined, MemberLeft, TenantRegistered, TenantRejected, TenantVerified};
use contracts::{MemberId, TenantId};
use jiff::Timestamp;

use crate::member::Member;
use crate::tenant::{Reason, Tenant};

pub(crate) fn tenant_registered(tenant: &Tenant) -> TenantRegistered {
    TenantRegistered {
        tenant_id: tenant.tenant_id.to_string(),
        key: tenant.tenant_id.to_string(),
        slug: tenant.slug.as_str().to_owned(),
        name: tenant.name.to_string(),
    }
}

pub(crate) fn tenant_verified(tenant: &Tenant, now: Timestamp) -> TenantVerified {
    TenantVerified {
        tenant_id: tenant.tenant_id.to_string(),
        key: tenant.tenant_id.to_string(),
        name: tenant.name.to_string(),
        zone: tenant.zone.as_str().to_owned(),
        verified_at: Some(wire(now)),
    }
}

pub(crate) fn tenant_rejected(tenant: &Tenant, reason: &Reason) -> TenantRejected {
    TenantRejected {
        tenant_id: tenant.tenant_id.to_string(),
        key: tenant.tenant_id.to_string(),
        reason: reason.to_string(),
    }
}

/// Carries the alias and neither name nor address: those never leave identity.
pub(crate) fn member_joined(tenant: TenantId, member: &Member) -> MemberJoined {
    MemberJoined {
        tenant_id: tenant.to_string(),
        member_id: member.member_id.to_string(),
        alias: member.alias.to_string(),
        role: member.role.as_str().to_owned(),
    }
}

pub(crate) fn member_left(tenant: TenantId, member: MemberId, now: Timestamp) -> MemberLeft {
    MemberLeft {
        tenant_id: tenant.to_string(),
        member_id: member.to_string(),
        left_at: Some(wire(now)),
    }
}

fn wire(at: Timestamp) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: at.as_second(),
        nanos: at.subsec_nanosecond(),
    }
}
