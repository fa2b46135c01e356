//! Who may ask each operation, and what stands in its slots: `{name}` in the path, `?name` in the query, a JSON
//! pointer in the body, nothing for what has to be there before. Everything else of a request comes from the example
//! in the service's document.

use crate::isolation::thing::Thing::{self, *};
use crate::isolation::world::By::{self, Admin, Agent, Anybody, Auditor, Operator, RejectedOwner, Reviewer};

/// One way to ask an operation with success.
pub(in crate::isolation) struct Route {
    pub(in crate::isolation) operation: &'static str,
    /// The least who may.
    pub(in crate::isolation) by: By,
    pub(in crate::isolation) slots: &'static [(&'static str, Thing)],
}

const fn route(operation: &'static str, by: By, slots: &'static [(&'static str, Thing)]) -> Route {
    Route { operation, by, slots }
}

/// By service.
pub(in crate::isolation) const ROUTES: &[(&str, &[Route])] = &[
    ("identity", IDENTITY),
    ("customers", CUSTOMERS),
    ("groups", GROUPS),
    ("broadcast", BROADCAST),
    ("referral", REFERRAL),
];

/// POSTs that need no idempotency key, each with the reason.
pub(super) const KEYLESS: &[(&str, &str)] = &[
    ("log_in", "makes nothing but tokens"),
    ("log_in_reviewer", "makes nothing but tokens"),
    ("refresh", "the refresh token itself is good once"),
    ("log_out", "an ended session stays ended"),
    ("leave", "who left stays gone"),
    ("scan", "the same person and code give the same contact"),
    ("record_talk", "the latest time counts"),
    ("cancel_broadcast", "a cancelled message stays cancelled"),
    ("pause_broadcast", "a paused message stays paused"),
    ("resume_broadcast", "what goes on goes on"),
    ("preview_broadcast", "changes nothing"),
    ("confirm_task", "a confirmed task stays confirmed"),
    ("cancel_task", "a cancelled share stays cancelled"),
    ("read_message", "the first time counts"),
    ("opt_out", "who is out stays out"),
    ("take_in_order_event", "the event's own id is the key"),
];

/// Query parameters that name nothing of a tenant's, each with the reason.
pub(super) const NOT_IDS: &[(&str, &str)] = &[
    ("?tag", "a word: it filters the tenant's own rows"),
    (
        "?after",
        "a place among the tenant's own rows, or in the contact's own messages",
    ),
];

/// Lists whose cursors no other list gives out, and which are too short here to give out one.
pub(super) const SHORT: &[(&str, &str)] = &[
    ("list_messages", "an inbox of one welcome"),
    ("list_dead_recipients", "nobody died"),
    ("list_parked", "no order waits"),
];

const IDENTITY: &[Route] = &[
    route("register", Anybody, &[("/slug", Slug)]),
    route(
        "log_in",
        Anybody,
        &[
            ("/tenant", OwnSlug),
            ("/email", OwnerEmail),
            ("/password", Password),
        ],
    ),
    route("refresh", Anybody, &[("/refresh_token", RefreshToken)]),
    route("log_out", Anybody, &[("/refresh_token", RefreshToken)]),
    route(
        "log_in_reviewer",
        Anybody,
        &[("/email", ReviewerEmail), ("/password", ReviewerPassword)],
    ),
    route("jwks", Anybody, &[]),
    route("list_tenants", Reviewer, &[]),
    route("review", Reviewer, &[("{tenant_id}", PendingTenant)]),
    route("get_tenant", Auditor, &[]),
    route("resubmit", RejectedOwner, &[]),
    route("join", Admin, &[("/email", Email)]),
    route("list_members", Auditor, &[]),
    route("get_member", Auditor, &[("{member_id}", Member)]),
    route("leave", Admin, &[("{member_id}", SpareMember)]),
];

const CUSTOMERS: &[Route] = &[
    route(
        "issue_code",
        Operator,
        &[
            ("/members/0/member_id", Member),
            ("/members/1/member_id", SpareMember),
        ],
    ),
    route("list_codes", Auditor, &[]),
    route("get_code", Auditor, &[("{code_id}", Code)]),
    route("draw_code", Auditor, &[("{code_id}", Code)]),
    route(
        "scan",
        Anybody,
        &[("/code", CodeToken), ("/external_id", ExternalId)],
    ),
    route("list_contacts", Auditor, &[("?member_id", Follower)]),
    route(
        "list_contacts",
        Auditor,
        &[("?member_id", Follower), ("?external_id", ExternalId)],
    ),
    route("get_contact", Auditor, &[("{contact_id}", Contact)]),
    route("get_contact", Agent, &[("{contact_id}", Contact)]),
    route("tag_contact", Agent, &[("{contact_id}", Contact)]),
    route("set_zone", Agent, &[("{contact_id}", Contact)]),
    route(
        "remark",
        Agent,
        &[("{contact_id}", Contact), ("{member_id}", Follower)],
    ),
    route(
        "record_talk",
        Agent,
        &[("{contact_id}", Contact), ("{member_id}", Follower)],
    ),
    route("import_contacts", Operator, &[]),
    route("get_import", Auditor, &[("{import_id}", Import)]),
    route("list_rejections", Auditor, &[("{import_id}", Import)]),
    route("get_me", By::Contact, &[]),
    route("change_consent", By::Contact, &[]),
    route("set_own_zone", By::Contact, &[]),
];

/// Groups knows no members: an owner is a name to it, and shows nothing of theirs.
const GROUPS: &[Route] = &[
    route("open_series", Operator, &[("/owner_id", Absent)]),
    route("list_series", Auditor, &[]),
    route("get_series", Auditor, &[("{series_id}", Series)]),
    route(
        "join_series",
        Operator,
        &[("{series_id}", Series), ("/contact_id", Contact)],
    ),
    route(
        "join_series",
        By::Contact,
        &[("{series_id}", Series), ("/contact_id", Absent)],
    ),
    route("open_group", Operator, &[("/owner_id", Absent)]),
    route("list_groups", Auditor, &[("?series_id", Series)]),
    route("get_group", Auditor, &[("{group_id}", Group)]),
    route("list_contacts", Auditor, &[("{group_id}", Seat)]),
    route(
        "join_group",
        Operator,
        &[("{group_id}", Group), ("/contact_id", Contact)],
    ),
    route(
        "join_group",
        By::Contact,
        &[("{group_id}", Group), ("/contact_id", Absent)],
    ),
    route(
        "leave_group",
        Operator,
        &[("{group_id}", Seat), ("/contact_id", Contact)],
    ),
    route(
        "leave_group",
        By::Contact,
        &[("{group_id}", Seat), ("/contact_id", Absent)],
    ),
    route("list_own_groups", By::Contact, &[]),
];

const BROADCAST: &[Route] = &[
    route("start_broadcast", Agent, &[("/kind", Is("member"))]),
    route("start_broadcast", Operator, &[("/kind", Is("enterprise"))]),
    route(
        "preview_broadcast",
        Agent,
        &[("/kind", Is("member")), ("/contact_ids/0", Contact)],
    ),
    route(
        "preview_broadcast",
        Operator,
        &[("/kind", Is("enterprise")), ("/contact_ids/0", Contact)],
    ),
    route("make_list", Operator, &[]),
    route("list_broadcasts", Auditor, &[]),
    route("get_broadcast", Auditor, &[("{broadcast_id}", Broadcast)]),
    route("watch_broadcast", Auditor, &[("{broadcast_id}", EndedBroadcast)]),
    route("report_broadcast", Auditor, &[("{broadcast_id}", Broadcast)]),
    route("export_broadcast", Auditor, &[("{broadcast_id}", EndedBroadcast)]),
    route("cancel_broadcast", Operator, &[("{broadcast_id}", Broadcast)]),
    route("cancel_broadcast", Agent, &[("{broadcast_id}", OwnBroadcast)]),
    route("pause_broadcast", Operator, &[("{broadcast_id}", Broadcast)]),
    route("pause_broadcast", Agent, &[("{broadcast_id}", OwnBroadcast)]),
    route(
        "resume_broadcast",
        Operator,
        &[("{broadcast_id}", PausedBroadcast)],
    ),
    route("resume_broadcast", Agent, &[("{broadcast_id}", PausedBroadcast)]),
    route(
        "reschedule_broadcast",
        Operator,
        &[
            ("{broadcast_id}", PlannedBroadcast),
            ("/send_at", Tomorrow),
            ("/send_until", Absent),
        ],
    ),
    route(
        "reschedule_broadcast",
        Agent,
        &[
            ("{broadcast_id}", PlannedBroadcast),
            ("/send_at", Tomorrow),
            ("/send_until", Absent),
        ],
    ),
    route("forecast_broadcast", Auditor, &[("{broadcast_id}", Resolved)]),
    route("list_receipts", Auditor, &[("{broadcast_id}", Broadcast)]),
    route("list_dead_recipients", Auditor, &[("?broadcast_id", Broadcast)]),
    route(
        "replay_dead",
        Operator,
        &[
            ("{broadcast_id}", Broadcast),
            // Who is not dead is left as they are, so it tells nothing whose contact this is.
            ("/contact_ids/0", Is("0193a1f0-0000-7000-8000-000000000001")),
        ],
    ),
    route("list_tasks", Agent, &[]),
    route("list_recipients", Agent, &[("{task_id}", Task)]),
    route("preview_task", Agent, &[("{task_id}", Task)]),
    route(
        "confirm_task",
        Agent,
        &[("{task_id}", Task), ("/deselect/0", Contact)],
    ),
    route("cancel_task", Agent, &[("{task_id}", Task)]),
    route("list_messages", By::Contact, &[]),
    route("stream_messages", By::Contact, &[("?wait_secs", Is("0"))]),
    route("read_message", By::Contact, &[("{message_id}", Message)]),
    route("set_rate", Admin, &[]),
    route("list_rates", Auditor, &[]),
    route("show_opt_out", Anybody, &[("{token}", OptOutToken)]),
    route("opt_out", Anybody, &[("{token}", OptOutToken)]),
    route("follow_link", Anybody, &[("{token}", ClickToken)]),
    route("get_opt_out_link", By::Contact, &[]),
    route("get_link_key", Auditor, &[]),
    route("rotate_link_key", Admin, &[]),
    route("set_quiet_hours", Operator, &[]),
    route("get_quiet_hours", Auditor, &[]),
    route("set_cap_policy", Operator, &[]),
    route("list_cap_policies", Auditor, &[]),
    route("set_webhook", Admin, &[]),
    route("rotate_secret", Admin, &[("", Webhook)]),
    route("get_webhook", Auditor, &[("", Webhook)]),
];

const REFERRAL: &[Route] = &[
    route("publish_plan", Admin, &[]),
    route("adopt_yunji_demo", Admin, &[]),
    route("list_plans", Auditor, &[]),
    route(
        "take_in_order_event",
        Operator,
        &[("", Plan), ("/id", EventId), ("/order", NewOrder)],
    ),
    route("get_order", Auditor, &[("{order}", Order)]),
    route("list_accruals", Auditor, &[("?person", ExternalId)]),
    route("get_statement", Auditor, &[("{person}", ExternalId)]),
    route("get_trial_balance", Auditor, &[]),
    route("list_parked", Auditor, &[]),
];
