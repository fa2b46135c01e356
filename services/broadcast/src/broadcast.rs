//! A mass message: what it says, to whom, and how far it is.

use std::time::Duration;

use chassis::auth::Role;
use chassis::text::{Multiline, Text};
use contracts::{BroadcastId, MemberId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audience::Audience;
use crate::click::ClickFigures;
use crate::content::Content;
use crate::content::card::Card;
use crate::content::said::Said;
use crate::error::Error;
use crate::outcome::Outcomes;
use crate::post::PostIn;
use crate::schedule::{Priority, Schedule};
use crate::task::Task;
use crate::zone::LocalTime;

const TAGS_MAX: usize = 20;
pub(crate) const RATE_PER_S_MAX: i32 = 100_000;
const HELD_OUT_PPM_MAX: i32 = 500_000;
const RESOLVE_REST_MAX: Duration = Duration::from_secs(60);

/// Who starts it and which cap it takes.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Kind {
    /// By one member, to her own contacts: at most one a day from each member (D74).
    Member,
    /// By the tenant, to all its contacts, each by one sender (D75): at most one a week (D76).
    Enterprise,
}

impl Kind {
    /// Whether somebody of this role may start one: everyone who serves contacts may write to their own, the whole
    /// tenant's contacts are for operators and above.
    pub(crate) fn check_starter(self, role: Role) -> Result<(), Error> {
        match self {
            Self::Enterprise if role < Role::Operator => Err(Error::OperatorNeeded),
            Self::Member | Self::Enterprise => Ok(()),
        }
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Member => "member",
            Self::Enterprise => "enterprise",
        }
    }
}

/// How it reaches the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum ChannelName {
    /// The contact's own inbox here.
    Inbox,
    /// The tenant's own system, which takes it further.
    Webhook,
    /// An e-mail in the sending member's name, to the contact's address.
    Email,
}

impl ChannelName {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Inbox => "inbox",
            Self::Webhook => "webhook",
            Self::Email => "email",
        }
    }
}

/// Where a mass message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, sqlx::Type, ToSchema)]
#[serde(rename_all = "snake_case")]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum State {
    /// The audience is being taken from customers.
    Resolving,
    /// Members confirm their shares; what is confirmed is sent.
    Running,
    /// Nothing is resolved or sent until somebody resumes it; members may confirm meanwhile.
    Paused,
    /// Nothing more is sent; the recipients left are being noted as cancelled.
    Cancelling,
    /// Every recipient has a terminal state.
    Finished,
    /// Every recipient has a terminal state, some because it was cancelled.
    Cancelled,
}

impl State {
    pub(crate) const ALL: [Self; 6] = [
        Self::Resolving,
        Self::Running,
        Self::Paused,
        Self::Cancelling,
        Self::Finished,
        Self::Cancelled,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Resolving => "resolving",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Cancelling => "cancelling",
            Self::Finished => "finished",
            Self::Cancelled => "cancelled",
        }
    }

    /// The state of that name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Whether nothing changes any more.
    pub(crate) const fn is_over(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }

    /// The state in which it ends once every recipient has a terminal state; none while the audience may grow,
    /// somebody holds it, or when it has ended already.
    pub(crate) const fn end(self) -> Option<Self> {
        match self {
            Self::Running => Some(Self::Finished),
            Self::Cancelling => Some(Self::Cancelled),
            Self::Resolving | Self::Paused | Self::Finished | Self::Cancelled => None,
        }
    }
}

/// How long an audience rests between two turns: not at all, or after failures in a row 1, 2, 4 … 60 s. It is tried for
/// as long as nobody cancels the mass message: customers may be away for an hour.
pub(crate) fn rest_before_turn(failures: i32) -> Duration {
    let secs = match failures {
        ..=0 => 0,
        _ => 1 << (failures - 1).min(6),
    };
    Duration::from_secs(secs).min(RESOLVE_REST_MAX)
}

/// Tags of contacts, at most 20.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "Vec<Text<64>>")]
#[schema(value_type = Vec<Text<64>>, max_items = 20)]
pub(crate) struct Tags(Vec<Text<64>>);

impl TryFrom<Vec<Text<64>>> for Tags {
    type Error = String;

    fn try_from(tags: Vec<Text<64>>) -> Result<Self, String> {
        if tags.len() > TAGS_MAX {
            return Err(format!(
                "{} tags are too many; name at most {TAGS_MAX}",
                tags.len()
            ));
        }
        Ok(Self(tags))
    }
}

impl Tags {
    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.iter().map(ToString::to_string).collect()
    }
}

/// Recipients per second, of all workers together: 1 to 100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i32")]
#[schema(value_type = i32, minimum = 1, maximum = 100_000)]
pub(crate) struct RatePerS(pub i32);

impl TryFrom<i32> for RatePerS {
    type Error = String;

    fn try_from(rate: i32) -> Result<Self, String> {
        if !(1..=RATE_PER_S_MAX).contains(&rate) {
            return Err(format!(
                "rate {rate} is out of range; give 1 to {RATE_PER_S_MAX} recipients per second"
            ));
        }
        Ok(Self(rate))
    }
}

/// Of a million contacts, how many are kept out to measure against: 0 to 500,000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "i32")]
#[schema(value_type = i32, minimum = 0, maximum = 500_000)]
pub(crate) struct HeldOutPpm(pub i32);

impl TryFrom<i32> for HeldOutPpm {
    type Error = String;

    fn try_from(ppm: i32) -> Result<Self, String> {
        if !(0..=HELD_OUT_PPM_MAX).contains(&ppm) {
            return Err(format!(
                "held_out_ppm {ppm} is out of range; give 0 to {HELD_OUT_PPM_MAX} of a million contacts"
            ));
        }
        Ok(Self(ppm))
    }
}

/// What a member asks for.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "kind": "member",
    "title": "Spring serum",
    "text": "The new serum is in. Reply here and I keep one for you.",
    "audience": {"tags_any": ["vip"], "tags_all": []},
    "channel": "inbox",
    "rate_per_s": 200
}))]
pub(crate) struct AcceptBroadcast {
    pub kind: Kind,
    /// For the staff; recipients see it as the subject of an e-mail, and nowhere else.
    pub title: Text<80>,
    /// What everybody gets, as it is. Either this or `content`.
    pub text: Option<Multiline<2000>>,
    /// What each gets, in their language and with their name.
    pub content: Option<Content>,
    /// The contacts it goes to. Either this or `post_in`.
    #[serde(default)]
    pub audience: Option<Audience>,
    /// The groups it is posted in, over the channel `webhook`.
    #[serde(default)]
    pub post_in: Option<PostIn>,
    pub channel: ChannelName,
    /// Unlimited when absent.
    pub rate_per_s: Option<RatePerS>,
    /// Which of the tenant's mass messages go first.
    #[serde(default)]
    pub priority: Priority,
    /// Nothing is sent before, at most 90 days ahead; at once when absent. Members confirm before and after.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub send_at: Option<Timestamp>,
    /// Instead of `send_at`: nothing is sent to a contact before their clock shows this, in the tenant's zone to those whose
    /// zone is not known. Ahead in the tenant's zone; where it is past already, it is sent at once. What a clock skips in
    /// spring is sent as much later as it is put forward, what it shows twice in autumn the first time.
    pub send_at_local: Option<LocalTime>,
    /// Nothing is sent after: who is not reached by then ends as `quiet_expired`, or `unconfirmed`.
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub send_until: Option<Timestamp>,
    /// The share that is kept out, always the same contacts of this mass message, to measure against.
    #[serde(default)]
    pub held_out_ppm: HeldOutPpm,
}

impl AcceptBroadcast {
    /// What it says to nobody in particular, which is all there is to say when nothing is filled in.
    pub(crate) fn said(&self) -> Result<Said, Error> {
        said(self.text.as_deref(), self.content.as_ref())
    }

    pub(crate) fn check_starter(&self, role: Role) -> Result<(), Error> {
        self.kind.check_starter(role)?;
        self.priority.check(role)
    }

    /// When it is to be sent.
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            send_at: self.send_at,
            send_at_local: self.send_at_local,
            send_until: self.send_until,
        }
    }
}

/// What either a plain text or content says to nobody in particular.
pub(crate) fn said(text: Option<&str>, content: Option<&Content>) -> Result<Said, Error> {
    match (text, content) {
        (Some(text), None) => Ok(Said::plain(text)),
        // It was tried when it was parsed.
        (None, Some(content)) => content.say_to_nobody().map_err(|_| Error::SaysNothing),
        (None, None) => Err(Error::SaysNothing),
        (Some(_), Some(_)) => Err(Error::SaysTwice),
    }
}

/// A mass message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub(crate) struct Broadcast {
    pub broadcast_id: BroadcastId,
    pub kind: Kind,
    pub title: String,
    /// What it says; of content what it says to nobody in particular, in its own language.
    pub text: String,
    /// What goes with the text.
    #[serde(default)]
    pub attachments: Vec<Card>,
    /// What its author wrote, if it was more than a text.
    #[serde(default)]
    pub content: Option<Content>,
    /// The audience: contacts with at least one of these tags.
    pub tags_any: Vec<String>,
    /// The audience: contacts with all of these tags.
    pub tags_all: Vec<String>,
    /// The groups it is posted in; absent when it goes to contacts.
    #[serde(default)]
    pub post_in: Option<PostIn>,
    pub channel: ChannelName,
    pub rate_per_s: Option<i32>,
    #[serde(default)]
    pub priority: Priority,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub send_at: Option<Timestamp>,
    pub send_at_local: Option<LocalTime>,
    #[schema(value_type = Option<String>, format = DateTime)]
    #[serde(default)]
    pub send_until: Option<Timestamp>,
    /// Of a million contacts, how many are kept out.
    #[serde(default)]
    pub held_out_ppm: i32,
    pub started_by: MemberId,
    pub state: State,
    /// What a person should know about how it went.
    pub note: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    pub accepted_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub finished_at: Option<Timestamp>,
}

impl Broadcast {
    /// A new mass message, its audience still to be resolved.
    pub(crate) fn accept(command: &AcceptBroadcast, said: Said, starter: MemberId, now: Timestamp) -> Self {
        let audience = command.audience.clone().unwrap_or_default();
        Self {
            broadcast_id: BroadcastId::new(),
            kind: command.kind,
            title: command.title.to_string(),
            text: said.text,
            attachments: said.attachments,
            content: command.content.clone(),
            tags_any: audience.tags_any.names(),
            tags_all: audience.tags_all.names(),
            post_in: command.post_in.clone(),
            channel: command.channel,
            rate_per_s: command.rate_per_s.map(|rate| rate.0),
            priority: command.priority,
            send_at: command.send_at,
            send_at_local: command.send_at_local,
            send_until: command.send_until,
            held_out_ppm: command.held_out_ppm.0,
            started_by: starter,
            state: State::Resolving,
            note: None,
            accepted_at: now,
            finished_at: None,
        }
    }

    /// Whether it can be told who followed its links.
    pub(crate) fn has_short_links(&self) -> bool {
        self.content.as_ref().is_some_and(Content::has_short_links)
    }

    /// Whether this member may stop it and let it go on: whoever started it, and operators.
    fn check_control(&self, member: MemberId, role: Role) -> Result<(), Error> {
        let is_own = self.kind == Kind::Member && self.started_by == member;
        if is_own || role >= Role::Operator {
            return Ok(());
        }
        Err(Error::OperatorNeeded)
    }

    /// What cancelling makes of it: the state to go to, or none when it was cancelled before.
    pub(crate) fn cancel(&self, member: MemberId, role: Role) -> Result<Option<State>, Error> {
        self.check_control(member, role)?;
        match self.state {
            State::Resolving | State::Running | State::Paused => Ok(Some(State::Cancelling)),
            State::Cancelling | State::Cancelled => Ok(None),
            State::Finished => Err(Error::BroadcastFinished),
        }
    }

    /// Whether there is something to pause: nothing when it is paused already.
    pub(crate) fn pause(&self, member: MemberId, role: Role) -> Result<bool, Error> {
        self.check_control(member, role)?;
        match self.state {
            State::Resolving | State::Running => Ok(true),
            State::Paused => Ok(false),
            State::Cancelling | State::Cancelled => Err(Error::BroadcastCancelled),
            State::Finished => Err(Error::BroadcastFinished),
        }
    }

    /// Whether it has not begun in any of these zones, so that it may be put off, or forward.
    pub(crate) fn reschedule(
        &self,
        member: MemberId,
        role: Role,
        now: Timestamp,
        zones: &[TimeZone],
    ) -> Result<(), Error> {
        self.pause(member, role)?;
        match self.schedule().has_begun(now, zones) {
            true => Err(Error::ScheduleOver),
            false => Ok(()),
        }
    }

    /// When it is to be sent.
    pub(crate) fn schedule(&self) -> Schedule {
        Schedule {
            send_at: self.send_at,
            send_at_local: self.send_at_local,
            send_until: self.send_until,
        }
    }

    /// Whether there is something to resume: nothing when it goes on already.
    pub(crate) fn resume(&self, member: MemberId, role: Role) -> Result<bool, Error> {
        self.pause(member, role).map(|goes_on| !goes_on)
    }
}

/// A mass message with its progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Progress {
    #[serde(flatten)]
    pub broadcast: Broadcast,
    /// Recipients; grows while the audience is being resolved.
    pub audience: i64,
    /// Recipients by terminal state; they sum to the audience when it is over.
    pub outcomes: Outcomes,
    /// The sending members' shares.
    pub tasks: Vec<Task>,
    /// How often its links were followed; null unless they are short links.
    pub clicks: Option<ClickFigures>,
}

impl Progress {
    /// The state in which it ends, once every recipient has a terminal state.
    pub(crate) fn end(&self) -> Option<State> {
        self.broadcast
            .state
            .end()
            .filter(|_| self.outcomes.total() == self.audience)
    }

    /// What a person should know about an end that needs explaining.
    pub(crate) const fn note_at_end(&self) -> Option<&'static str> {
        match (self.audience, self.broadcast.state) {
            (0, State::Running) => Some("nobody matches the audience, so nothing was sent"),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn command(kind: &str) -> AcceptBroadcast {
        serde_json::from_value(json!({
            "kind": kind, "title": "t", "text": "x", "audience": {}, "channel": "inbox"
        }))
        .unwrap()
    }

    #[test]
    fn the_whole_tenant_is_for_operators() {
        assert!(command("member").check_starter(Role::Agent).is_ok());
        assert!(matches!(
            command("enterprise").check_starter(Role::Agent),
            Err(Error::OperatorNeeded)
        ));
        assert!(command("enterprise").check_starter(Role::Operator).is_ok());
    }

    #[test]
    fn it_says_one_thing() {
        assert_eq!(command("member").said().unwrap(), Said::plain("x"));
        let content = json!({"language": "zh", "variants": {"zh": {"text": "{{contact.name|亲}}"}}});
        let content: Content = serde_json::from_value(content).unwrap();
        assert_eq!(said(None, Some(&content)).unwrap().text, "亲");
        assert!(matches!(said(None, None), Err(Error::SaysNothing)));
        assert!(matches!(said(Some("x"), Some(&content)), Err(Error::SaysTwice)));
    }

    #[test]
    fn tags_and_rate_are_bounded() {
        assert!(serde_json::from_value::<Tags>(json!(vec!["a"; 20])).is_ok());
        assert!(serde_json::from_value::<Tags>(json!(vec!["a"; 21])).is_err());
        assert!(serde_json::from_value::<RatePerS>(json!(10_000)).is_ok());
        assert!(serde_json::from_value::<RatePerS>(json!(0)).is_err());
        assert!(serde_json::from_value::<HeldOutPpm>(json!(500_000)).is_ok());
        assert!(serde_json::from_value::<HeldOutPpm>(json!(500_001)).is_err());
    }

    #[test]
    fn a_starter_or_an_operator_cancels_what_is_not_over() {
        let starter = MemberId::new();
        let mut own = Broadcast::accept(
            &command("member"),
            Said::plain("x"),
            starter,
            Timestamp::UNIX_EPOCH,
        );
        assert_eq!(own.cancel(starter, Role::Agent).unwrap(), Some(State::Cancelling));
        assert!(matches!(
            own.cancel(MemberId::new(), Role::Agent),
            Err(Error::OperatorNeeded)
        ));
        assert_eq!(
            own.cancel(MemberId::new(), Role::Operator).unwrap(),
            Some(State::Cancelling)
        );
        own.state = State::Cancelling;
        assert_eq!(own.cancel(starter, Role::Agent).unwrap(), None);
        own.state = State::Finished;
        assert!(matches!(
            own.cancel(starter, Role::Agent),
            Err(Error::BroadcastFinished)
        ));
    }

    #[test]
    fn a_starter_or_an_operator_pauses_and_resumes_what_is_not_over() {
        let starter = MemberId::new();
        let mut own = Broadcast::accept(
            &command("member"),
            Said::plain("x"),
            starter,
            Timestamp::UNIX_EPOCH,
        );
        let (pause, resume) = (
            |own: &Broadcast| own.pause(starter, Role::Agent),
            |own: &Broadcast| own.resume(starter, Role::Agent),
        );
        for (state, is_paused) in [
            (State::Resolving, false),
            (State::Running, false),
            (State::Paused, true),
        ] {
            own.state = state;
            assert_eq!(pause(&own).unwrap(), !is_paused);
            assert_eq!(resume(&own).unwrap(), is_paused);
            assert!(own.pause(MemberId::new(), Role::Operator).is_ok());
            let stranger = own.resume(MemberId::new(), Role::Agent);
            assert!(matches!(stranger, Err(Error::OperatorNeeded)));
        }
        for state in [State::Cancelling, State::Cancelled] {
            own.state = state;
            assert!(matches!(pause(&own), Err(Error::BroadcastCancelled)));
            assert!(matches!(resume(&own), Err(Error::BroadcastCancelled)));
        }
        own.state = State::Finished;
        assert!(matches!(resume(&own), Err(Error::BroadcastFinished)));
    }

    #[test]
    fn an_audience_rests_for_a_minute_at_most() {
        let secs = |failures| rest_before_turn(failures).as_secs();
        assert_eq!([0, 1, 2, 6, 7, 1_000].map(secs), [0, 1, 2, 32, 60, 60]);
    }

    #[test]
    fn it_ends_once() {
        assert_eq!(State::Running.end(), Some(State::Finished));
        assert_eq!(State::Cancelling.end(), Some(State::Cancelled));
        for state in [State::Resolving, State::Paused, State::Finished, State::Cancelled] {
            assert_eq!(state.end(), None);
        }
    }
}
