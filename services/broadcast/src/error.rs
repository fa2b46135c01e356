//! What can go wrong, and what it means to whoever asked.

use chassis::problem::is_passing;
use chassis::{Class, Problem};
use contracts::ContactId;
use http_body_util::LengthLimitError;
use jiff::civil::Date;
use outbox::RecordError;
use outbox::request::RequestError;
use tonic::Status;

use crate::list::ListError;

/// Why an operation did not happen.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("the tenant is not verified")]
    TenantUnverified,
    #[error("a mass message to the whole tenant is for operators and above")]
    OperatorNeeded,
    #[error("an urgent mass message is for operators and above")]
    UrgentOperatorNeeded,
    #[error("{0} is in the past")]
    SchedulePast(&'static str),
    #[error("{0} is more than 90 days ahead, counted from when the mass message was accepted")]
    ScheduleFar(&'static str),
    #[error("send_until is not after the time from which it is sent")]
    ScheduleEmpty,
    #[error("send_at and send_at_local both say when it begins")]
    ScheduleTwice,
    #[error("the mass message has begun to be sent, or may have")]
    ScheduleOver,
    #[error("there is no such mass message")]
    BroadcastUnknown,
    #[error("the mass message is finished")]
    BroadcastFinished,
    #[error("the mass message is cancelled")]
    BroadcastCancelled,
    #[error("the receipts of the mass message are forgotten")]
    ReceiptsForgotten,
    #[error("you have no such task")]
    TaskUnknown,
    #[error("the task expired unconfirmed")]
    TaskExpired,
    #[error("the task, or its mass message, was cancelled")]
    TaskCancelled,
    #[error("all of the task is sent")]
    TaskSent,
    #[error("the task is confirmed, and contact {0} was not left out then")]
    TaskConfirmed(ContactId),
    #[error("contact {0} is not a recipient of this task")]
    NotARecipient(ContactId),
    #[error("you have no such message")]
    MessageUnknown,
    #[error("the tenant has no webhook")]
    WebhookUnknown,
    #[error("the tenant has set no webhook")]
    WebhookUnset,
    #[error("no e-mails are sent from here")]
    MailUnset,
    #[error("the webhook's url can't be used: {0}")]
    WebhookUrl(#[from] crate::webhook::UrlError),
    #[error("too many streams are open")]
    StreamsBusy,
    #[error("a limit can be set from {0} on, not for a day that has begun")]
    PolicyTooEarly(Date),
    #[error("a limit can be set for days up to {0}")]
    PolicyTooLate(Date),
    #[error("no link of ours leads here")]
    LinkUnknown,
    #[error("the links' key is of generation {0}, and the next one comes after it")]
    LinkGeneration(i16),
    #[error("the audience is not complete yet")]
    AudienceOpen,
    #[error("there is no such list of contacts")]
    ListUnknown,
    #[error(transparent)]
    List(#[from] ListError),
    #[error("a list of contacts is CSV")]
    NotCsv,
    #[error("the file ended before it was complete")]
    BodyBroken(#[source] axum::Error),
    #[error("the idempotency key was used for another request")]
    KeyReused,
    #[error("the lease on the chunk is lost")]
    LeaseLost,
    #[error("the audience is not as customers promises: {0}")]
    Audience(String),
    #[error("zone {0:?} of the tenant is unknown to the database")]
    Zone(String),
    #[error("customers or groups did not answer")]
    Customers(#[source] Box<Status>),
    #[error("customers did not tell who the recipients are")]
    Unaddressed(#[source] Box<Error>),
    #[error("it says nothing")]
    SaysNothing,
    #[error("it has both a text and content")]
    SaysTwice,
    #[error("it goes to nobody")]
    ToNobody,
    #[error("it goes to contacts and into groups at once")]
    ToBoth,
    #[error("a group has no inbox here: who sits in it is known to groups alone, and may change")]
    PostChannel,
    #[error("a group reads a post together, so it can't say something else to each")]
    PostPersonal,
    #[error("nobody is held out of a post in groups")]
    PostHeldOut,
    #[error("contact {0} is not among those you may write to")]
    ContactUnknown(ContactId),
    #[error("too many streams are open")]
    StreamsFull,
    #[error("the work queue did not answer")]
    Queue(#[source] async_nats::Error),
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error("the event could not be recorded")]
    Event(#[from] contracts::EnvelopeError),
    #[error("the stored answer does not decode")]
    Answer(#[from] serde_json::Error),
}

impl From<RecordError> for Error {
    fn from(error: RecordError) -> Self {
        match error {
            RecordError::Envelope(error) => Self::Event(error),
            RecordError::Database(error) => Self::Database(error),
        }
    }
}

impl From<RequestError> for Error {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::OtherBody => Self::KeyReused,
            RequestError::Answer(error) => Self::Answer(error),
            RequestError::Database(error) => Self::Database(error),
        }
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        Self::Customers(Box::new(status))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let say = |class, code| Self::new(class, code, error.to_string());
        match error {
            Error::TenantUnverified => say(Class::Refused, "tenant_unverified")
                .remedy("have the tenant verified by a reviewer first"),
            Error::OperatorNeeded => say(Class::Forbidden, "operator_needed")
                .remedy("ask an operator, or send to your own contacts with the kind `member`"),
            Error::UrgentOperatorNeeded => say(Class::Forbidden, "operator_needed")
                .field("priority")
                .remedy("ask an operator, or send it with the priority `normal`"),
            Error::SchedulePast(field) => say(Class::Invalid, "schedule_past")
                .field(field)
                .remedy("give a time in the future, or leave it out"),
            Error::ScheduleFar(field) => say(Class::Invalid, "schedule_far")
                .field(field)
                .remedy("give a time within 90 days of when it was accepted"),
            Error::ScheduleEmpty => say(Class::Invalid, "schedule_empty")
                .field("send_until")
                .remedy("give a time after send_at, or after send_at_local in the tenant's zone"),
            Error::ScheduleTwice => say(Class::Invalid, "schedule_twice")
                .field("send_at_local")
                .remedy("give one time for all, or one that each contact's clock shows"),
            Error::ScheduleOver => {
                say(Class::Refused, "schedule_over").remedy("pause or cancel it, and start a new one")
            }
            Error::BroadcastUnknown => say(Class::NotFound, "broadcast_unknown"),
            Error::BroadcastFinished => say(Class::Refused, "broadcast_finished"),
            Error::BroadcastCancelled => say(Class::Refused, "broadcast_cancelled").remedy("start a new one"),
            Error::ReceiptsForgotten => say(Class::Gone, "receipts_forgotten").remedy(
                "its figures are in GET /v1/broadcasts/{broadcast_id}/report; export the next one in time",
            ),
            Error::TaskUnknown => say(Class::NotFound, "task_unknown"),
            Error::TaskExpired => say(Class::Refused, "task_expired")
                .remedy("start the mass message again, and confirm it in time"),
            Error::TaskCancelled => say(Class::Refused, "task_cancelled"),
            Error::TaskSent => say(Class::Refused, "task_sent"),
            Error::TaskConfirmed(_) => say(Class::Conflict, "task_confirmed").field("deselect"),
            Error::NotARecipient(_) => say(Class::Invalid, "not_a_recipient")
                .field("deselect")
                .remedy("name contacts that /v1/tasks/{task_id}/recipients lists"),
            Error::MessageUnknown => say(Class::NotFound, "message_unknown"),
            Error::WebhookUnknown => say(Class::Refused, "webhook_unknown")
                .field("channel")
                .remedy("set one with PUT /v1/webhook, or use the channel `inbox`"),
            Error::WebhookUnset => {
                say(Class::NotFound, "webhook_unset").remedy("set one with PUT /v1/webhook")
            }
            Error::MailUnset => say(Class::Refused, "mail_unset").field("channel").remedy(
                "use another channel, or have whoever runs this set SHEQUN_MAIL_FROM and SHEQUN_SMTP_URL",
            ),
            Error::WebhookUrl(_) => say(Class::Invalid, "webhook_url")
                .field("url")
                .remedy("give an https URL of a public host, without user name or password"),
            Error::StreamsBusy => say(Class::TooMany, "streams_busy")
                .remedy("close one, or ask for the mass message itself now and then"),
            Error::PolicyTooEarly(_) => say(Class::Invalid, "policy_too_early")
                .field("since")
                .remedy("give a later day, or leave it out for the next one"),
            Error::PolicyTooLate(_) => say(Class::Invalid, "policy_too_late")
                .field("since")
                .remedy("give an earlier day, and set later limits when their time comes"),
            Error::LinkUnknown => {
                say(Class::NotFound, "link_unknown").remedy("use the link of a newer message")
            }
            Error::LinkGeneration(_) => say(Class::Conflict, "link_generation")
                .field("generation")
                .remedy("see GET /v1/opt-out-key, and give the next generation"),
            Error::AudienceOpen => say(Class::Refused, "audience_open")
                .remedy("ask again when its state is no longer `resolving`"),
            Error::ListUnknown => say(Class::Invalid, "contact_list_unknown")
                .field("audience.list")
                .remedy("upload it with POST /v1/contact-lists; a list is kept for 90 days"),
            Error::List(ListError::NoId { line }) => say(Class::Invalid, "contact_id_malformed")
                .field(format!("line {line}"))
                .remedy("give one contact's id a line, as GET /v1/contacts of customers tells it"),
            Error::List(ListError::TooMany { .. }) => {
                say(Class::TooLarge, "list_too_long").remedy("make several lists, and a mass message to each")
            }
            Error::List(ListError::Empty) => {
                say(Class::Invalid, "list_empty").remedy("give one contact's id a line")
            }
            Error::NotCsv => say(Class::UnsupportedMedia, "content_type_not_csv")
                .field("Content-Type")
                .remedy("send `Content-Type: text/csv`"),
            Error::BodyBroken(_) => body_problem(&error),
            Error::KeyReused => say(Class::Conflict, "idempotency_key_reused")
                .field("Idempotency-Key")
                .remedy("use a new key for a new request"),
            Error::SaysNothing => say(Class::Invalid, "missing_field")
                .field("text")
                .remedy("give either `text` or `content`"),
            Error::SaysTwice => say(Class::Invalid, "text_and_content")
                .field("content")
                .remedy("give either `text` or `content`"),
            Error::ToNobody => say(Class::Invalid, "missing_field")
                .field("audience")
                .remedy("give either `audience` or `post_in`"),
            Error::ToBoth => say(Class::Invalid, "audience_and_post_in")
                .field("post_in")
                .remedy("give either `audience` or `post_in`, and start another one for the other"),
            Error::PostChannel => say(Class::Invalid, "post_channel").field("channel").remedy(
                "use the channel `webhook`, or name the groups in `audience` to reach who sits in them",
            ),
            Error::PostPersonal => say(Class::Invalid, "post_personal")
                .field("content")
                .remedy("give one variant, with `brand` places alone and no `short_links`, or a text"),
            Error::PostHeldOut => say(Class::Invalid, "post_held_out")
                .field("held_out_ppm")
                .remedy("leave it out, or leave groups out by `post_in.except`"),
            Error::ContactUnknown(_) => say(Class::Invalid, "contact_unknown")
                .field("contact_ids")
                .remedy("name contacts of the tenant; of a message of your own, contacts you follow"),
            Error::StreamsFull => Self::unavailable("too many streams are open"),
            Error::Customers(status) => Self::from_peer(*status),
            Error::Unaddressed(error) => Self::from(*error),
            Error::Queue(error) => Self::unavailable(error),
            Error::Database(error) => Self::from_sqlx(error),
            Error::LeaseLost | Error::Audience(_) | Error::Zone(_) | Error::Event(_) | Error::Answer(_) => {
                Self::internal(error)
            }
        }
    }
}

/// The body was too large for an upload, or the client hung up.
fn body_problem(error: &Error) -> Problem {
    let first = error as &(dyn std::error::Error + 'static);
    let mut causes = std::iter::successors(Some(first), |cause| cause.source());
    if causes.any(|cause| cause.is::<LengthLimitError>()) {
        let detail = "the file is larger than this route takes";
        return Problem::new(Class::TooLarge, "body_too_large", detail)
            .remedy("give one contact's id a line, at most 1,000,000");
    }
    Problem::new(Class::Invalid, "body_unreadable", error.to_string())
        .remedy("send the file again under the same key")
}

impl Error {
    /// The error and its sources on one line, for the log.
    pub(crate) fn chain(&self) -> String {
        let sources = std::iter::successors(Some(self as &dyn std::error::Error), |error| error.source());
        sources.map(ToString::to_string).collect::<Vec<_>>().join(": ")
    }

    /// The same, where it is known that no call was started since the claim.
    pub(crate) fn before_any_call(self) -> Self {
        Self::Unaddressed(Box::new(self))
    }

    /// Whether the same may well succeed a little later, so that it is no attempt.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Queue(_) | Self::Customers(_) | Self::Unaddressed(_) => true,
            // In the midst of an answer a cut connection is a breach of protocol.
            Self::Database(error) => is_passing(error) || matches!(error, sqlx::Error::Protocol(_)),
            _ => false,
        }
    }
}
