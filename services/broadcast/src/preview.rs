//! What real recipients would get of a mass message, before anybody is sent anything.

use chassis::auth::{Agent, Role};
use chassis::text::Multiline;
use contracts::{ContactId, MemberId};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::audience::Audience;
use crate::broadcast::Kind;
use crate::content::letter::Unwritten;
use crate::content::said::Said;
use crate::content::{Content, longest};
use crate::error::Error;
use crate::post::PostIn;

/// Recipients shown at once.
pub(crate) const SHOWN_MAX: usize = 10;

/// Contacts to show it for, at most 10.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(try_from = "Vec<ContactId>")]
#[schema(value_type = Vec<ContactId>, max_items = 10)]
pub(crate) struct Shown(Vec<ContactId>);

impl TryFrom<Vec<ContactId>> for Shown {
    type Error = String;

    fn try_from(mut contacts: Vec<ContactId>) -> Result<Self, String> {
        contacts.sort_unstable();
        contacts.dedup();
        if contacts.len() > SHOWN_MAX {
            return Err(format!(
                "{} contacts are too many; name at most {SHOWN_MAX}",
                contacts.len()
            ));
        }
        Ok(Self(contacts))
    }
}

impl Shown {
    pub(crate) fn contacts(&self) -> &[ContactId] {
        &self.0
    }
}

/// What to show, and for whom.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "kind": "member",
    "content": {
        "language": "zh",
        "variants": {
            "zh": {
                "text": "{{contact.name|亲}}，{{brand.season}}的新品到了。{{member.alias|我}}给你留了一份。",
                "attachments": [{"link": {
                    "title": "{{brand.season}} — 给{{contact.name|你}}", "url": "{{shop.link}}",
                    "pic_url": "https://cdn.example.com/spring.jpg"
                }}]
            },
            "en": {"text": "{{contact.name|Hello}}, the new serum is in: {{shop.link}}"}
        },
        "constants": [{"name": "season", "text": "Spring"}],
        "shop_url": "https://shop.example.com/serum"
    },
    "contact_ids": ["019a0000-0000-7000-8000-000000000001"]
}))]
pub(crate) struct PreviewBroadcast {
    pub kind: Kind,
    /// Either this or `content`.
    pub text: Option<Multiline<2000>>,
    #[serde(default, deserialize_with = "longest::sendable")]
    pub content: Option<Content>,
    /// For whom; when empty, for some of the audience.
    #[serde(default)]
    pub contact_ids: Shown,
    /// Everybody when absent. Either this or `post_in`.
    #[serde(default)]
    pub audience: Option<Audience>,
    /// Shows it for some of these groups, or for those whose ids stand in `contact_ids`.
    #[serde(default)]
    pub post_in: Option<PostIn>,
}

impl PreviewBroadcast {
    /// Whoever may start it may look at it first.
    pub(crate) fn check_starter(&self, role: Role) -> Result<(), Error> {
        self.kind.check_starter(role)
    }

    /// Whether it goes to contacts or into groups, not both. With neither, everybody is meant.
    pub(crate) fn check_recipients(&self) -> Result<(), Error> {
        match (&self.audience, &self.post_in) {
            (Some(_), Some(_)) => Err(Error::ToBoth),
            _ => Ok(()),
        }
    }

    /// The member who would send it: the one who asks, or for each contact the last in touch.
    pub(crate) fn sender(&self, agent: Agent) -> Option<MemberId> {
        (self.kind == Kind::Member).then_some(agent.member)
    }
}

/// What one recipient would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Preview {
    /// Of a post in groups the group's id.
    pub contact_id: ContactId,
    /// Who would send it.
    pub member_id: Option<MemberId>,
    /// The words as inbox and webhook carry them; a shop link is good for looking only.
    pub said: Option<Said>,
    /// The same as a page or an e-mail shows it.
    pub html: Option<String>,
    /// Why this recipient would get nothing.
    pub problem: Option<String>,
}

impl Preview {
    pub(crate) fn new(
        contact_id: ContactId,
        member_id: Option<MemberId>,
        written: Result<Said, Unwritten>,
    ) -> Self {
        let (said, problem) = match written {
            Ok(said) => (Some(said), None),
            Err(why) => (None, Some(why.to_string())),
        };
        Self {
            contact_id,
            member_id,
            html: said.as_ref().map(Said::html),
            said,
            problem,
        }
    }
}

/// What some recipients would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Previews {
    pub items: Vec<Preview>,
}
