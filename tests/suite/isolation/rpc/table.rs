//! Which service may call which method, with which request, and how the answer tells that there is nothing.

use crate::isolation::thing::Thing;

pub(super) struct Rpc {
    /// `<service's full name>/<method>`
    pub(super) method: &'static str,
    /// Who may; nobody else, and no member, reviewer or contact ever.
    pub(super) callers: &'static [&'static str],
    /// Fields of the request that name things; a list of them gets the one.
    pub(super) fields: &'static [(&'static str, Thing)],
    /// Texts of the request that name none: any value is fine. `cursor` is known to all.
    pub(super) words: &'static [&'static str],
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
        words: &[],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.customers.v1.CustomersService/GetContact",
        callers: &["groups", "broadcast"],
        fields: &[("contact_id", Thing::Contact)],
        words: &[],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.customers.v1.CustomersService/GetAddressees",
        callers: &["broadcast"],
        fields: &[("contact_ids", Thing::Contact), ("member_id", Thing::Follower)],
        words: &[],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.customers.v1.CustomersService/StreamAudience",
        callers: &["broadcast"],
        fields: &[("member_id", Thing::Follower)],
        words: &["tags_any", "tags_all"],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.customers.v1.CustomersService/StreamRecipients",
        callers: &["broadcast"],
        fields: &[("followed_by", Thing::Follower), ("member_id", Thing::Follower)],
        words: &[
            "tags_any",
            "tags_all",
            "contact_ids",
            "except_tags_any",
            "except_tags_all",
            "except_followed_by",
            "except_contact_ids",
            "up_to",
        ],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.groups.v1.GroupsService/StreamSeats",
        callers: &["broadcast"],
        fields: &[("group_ids", Thing::Seat)],
        words: &[],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.groups.v1.GroupsService/StreamOwners",
        callers: &["broadcast"],
        fields: &[("group_ids", Thing::Seat), ("owned_by", Thing::Member)],
        words: &[],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.groups.v1.GroupsService/StreamGroups",
        callers: &["broadcast"],
        fields: &[("series_id", Thing::Series)],
        words: &[],
        nothing: Nothing::Empty,
    },
    Rpc {
        method: "shequn.broadcast.v1.BroadcastService/GetBroadcast",
        callers: &["customers", "referral"],
        fields: &[("broadcast_id", Thing::Broadcast)],
        words: &[],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.broadcast.v1.BroadcastService/StreamProgress",
        callers: &["customers", "referral"],
        fields: &[("broadcast_id", Thing::EndedBroadcast)],
        words: &[],
        nothing: Nothing::NotFound,
    },
    Rpc {
        method: "shequn.referral.v1.ReferralService/GetBalances",
        callers: &["customers", "broadcast"],
        fields: &[("person", Thing::Earner)],
        words: &[],
        nothing: Nothing::Empty,
    },
];
