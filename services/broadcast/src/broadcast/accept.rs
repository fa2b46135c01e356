//! What a member asks for when a mass message is to be sent, bounded at the door.

use chassis::auth::Role;
use chassis::text::{Multiline, Text};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{ChannelName, Kind};
use crate::audience::Audience;
use crate::content::said::Said;
use crate::content::{Content, longest};
use crate::error::Error;
use crate::post::PostIn;
use crate::schedule::{Priority, Schedule};
use crate::zone::LocalTime;

const TAGS_MAX: usize = 20;
pub(crate) const RATE_PER_S_MAX: i32 = 100_000;
const HELD_OUT_PPM_MAX: i32 = 500_000;

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
    #[serde(default, deserialize_with = "longest::sendable")]
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
