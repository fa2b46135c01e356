//! A mass message: what it says, to whom, and how far it is.

pub(crate) mod accept;

pub(crate) use accept::{AcceptBroadcast, HeldOutPpm, RatePerS, Tags, said};

use std::time::Duration;

use chassis::auth::Role;
use contracts::{BroadcastId, MemberId};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::click::ClickFigures;
use crate::content::Content;
use crate::content::card::Card;
use crate::content::said::Said;
use crate::error::Error;
use crate::outcome::Outcomes;
use crate::post::{PostIn, To};
use crate::schedule::{Priority, Schedule};
use crate::task::Task;
use crate::zone::LocalTime;

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
    /// Whether it goes to contacts, or into groups.
    #[serde(default)]
    pub to: To,
    /// The groups it is posted in; null when it goes to contacts, and in lists, where `to` alone tells.
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
            to: To::of(command.post_in.as_ref()),
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
mod tests;
