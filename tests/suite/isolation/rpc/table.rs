//! Which service may call which method, with which request, and how the answer tells that there is nothing.

use crate::isolation::thing::Thing;

pub(super) struct Rpc {
    /// `<service's full name>/<method>`
    pub(super) method: &'static str,
    /// Who may; nobody else, and no member, reviewer or contact ever.
    pub(super) callers: &'static [&'static str],
    /// Fields of the request that name things.
    pub(super) fields: &'static [(&'static str, Thing)],
    pub(super) nothing: Nothing,
}

/// What is answered about a thing the tenant does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Nothing {
    NotFound,
    /// OK without content: a filter nothing passes, a person who earned nothing.
    Empty,
}

pub(super) const RPCS: &[Rpc] = &[
    Rpc {
        method: "shequn.identity.v1.IdentityService/GetTenant",
        callers: &["customers", "groups", "broadcast", "referral"],
        fields: &[],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.customers.v1.CustomersService/GetContact",
        callers: &["groups", "broadcast"],
        fields: &[("contact_id", Thing::Contact)],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.customers.v1.CustomersService/StreamAudience",
        callers: &["broadcast"],
        fields: &[("member_id", Thing::Follower)],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.groups.v1.GroupsService/StreamGroups",
        callers: &["broadcast"],
        fields: &[("series_id", Thing::Series)],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.broadcast.v1.BroadcastService/GetBroadcast",
        callers: &["customers", "referral"],
        fields: &[("broadcast_id", Thing::Broadcast)],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.referral.v1.ReferralService/GetBalances",
        callers: &["customers", "broadcast"],
        fields: &[("person", Thing::Earner)],
        nothing: Nothing::Empty,
    },
];
