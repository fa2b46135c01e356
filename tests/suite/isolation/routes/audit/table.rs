//! What each operation that changes something leaves in its service's audit, and each event that is heard.

use crate::isolation::thing::Thing;

/// What one success leaves.
pub(super) struct Left {
    pub(super) operation: &'static str,
    /// The first row is the caller's, any other one the service's own.
    pub(super) actions: &'static [&'static str],
    /// What kind of caller that is, where no token says it.
    pub(super) public: Option<&'static str>,
    /// What the same request leaves once more: nothing, unless it is another one each time.
    pub(super) again: &'static [&'static str],
    /// A slot that needs something else here than in `ROUTES`, for something to change.
    pub(super) instead: Option<(&'static str, Thing)>,
}

const fn left(operation: &'static str, actions: &'static [&'static str]) -> Left {
    Left {
        operation,
        actions,
        public: None,
        again: &[],
        instead: None,
    }
}

const fn public(
    operation: &'static str,
    kind: &'static str,
    actions: &'static [&'static str],
    again: &'static [&'static str],
) -> Left {
    Left {
        public: Some(kind),
        again,
        ..left(operation, actions)
    }
}

pub(super) const LEFT: &[Left] = &[
    public("register", "member", &["tenant.registered"], &[]),
    public("log_in", "member", &["session.started"], &["session.started"]),
    // Used twice, the token ends the session.
    public("refresh", "member", &["session.refreshed"], &["session.revoked"]),
    public("log_out", "member", &["session.ended"], &[]),
    public(
        "log_in_reviewer",
        "reviewer",
        &["reviewer.logged_in"],
        &["reviewer.logged_in"],
    ),
    left("review", &["tenant.verified"]),
    left("resubmit", &["tenant.resubmitted"]),
    left("join", &["member.joined"]),
    left("leave", &["member.left"]),
    left("issue_code", &["code.issued"]),
    Left {
        instead: Some(("/external_id", Thing::Newcomer)),
        ..public("scan", "contact", &["contact.befriended"], &[])
    },
    left("tag_contact", &["contact.tagged"]),
    left("set_zone", &["contact.zone_set"]),
    left("remark", &["contact.remarked"]),
    Left {
        again: &["follow.talked"], // each time it is another talk
        ..left("record_talk", &["follow.talked"])
    },
    left("import_contacts", &["import.started", "import.finished"]),
    left("change_consent", &["contact.opted_out"]),
    Left {
        // The example's is set already, by the staff.
        instead: Some(("/zone", Thing::Is("Asia/Seoul"))),
        ..left("set_own_zone", &["contact.zone_set"])
    },
    left("open_series", &["series.opened"]),
    left("join_series", &["seat.taken"]),
    left("open_group", &["group.opened"]),
    left("join_group", &["seat.taken"]),
    left("leave_group", &["seat.given_back"]),
    left("start_broadcast", &["broadcast.accepted"]),
    left("preview_broadcast", &[]),
    left("make_list", &["contact_list.made"]),
    left("cancel_broadcast", &["broadcast.cancelled"]),
    left("pause_broadcast", &["broadcast.paused"]),
    left("resume_broadcast", &["broadcast.resumed"]),
    left("reschedule_broadcast", &["broadcast.rescheduled"]),
    left("confirm_task", &["task.confirmed"]),
    left("cancel_task", &["task.cancelled"]),
    left("read_message", &["message.read"]),
    left("set_rate", &["rate.set"]),
    public("opt_out", "contact", &["contact.opted_out"], &[]),
    left("rotate_link_key", &["link_key.rotated"]),
    left("set_quiet_hours", &["quiet_hours.set"]),
    left("set_cap_policy", &["cap_policy.set"]),
    Left {
        // The example's is set already, by whoever looks at it.
        instead: Some(("/url", Thing::Is("https://crm.example.com/another"))),
        ..left("set_webhook", &["webhook.set"])
    },
    left("replay_dead", &["broadcast.replayed"]),
    left("rotate_secret", &["webhook.secret_rotated"]),
    left("publish_plan", &["plan.published"]),
    left("adopt_yunji_demo", &["plan.published"]),
    left("take_in_order_event", &["order_event.posted"]),
];

/// What each durable's event leaves with its listener.
pub(super) const HEARD: &[(&str, &str)] = &[
    ("customers-tenant", "tenant.verified"),
    ("customers-member-joined", "member.joined"),
    ("customers-member-left", "member.left"),
    ("customers-opt-out", "contact.opted_out"),
    ("groups-tenant", "tenant.verified"),
    ("broadcast-tenant", "tenant.verified"),
    ("broadcast-welcome", "message.stored"),
    ("broadcast-consent", "contact.opted_out"),
    ("broadcast-greeting", "message.stored"),
    ("referral-person", "person.named"),
];

/// What a service does by itself, as far as a story that just began gets.
pub(super) const BY_ITSELF: &[(&str, &str, Whose)] = &[
    ("broadcast", "broadcast.resolved", Whose::Tenant),
    ("identity", "signing_key.made", Whose::Nobody),
];

#[derive(Clone, Copy, Debug)]
pub(super) enum Whose {
    Tenant,
    Nobody,
}
