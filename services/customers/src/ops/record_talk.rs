//! Recording that a member and a contact talked: who talked last speaks for the tenant (D75).
//!
//! Nothing here carries their conversation, so whoever does (the tenant's messenger, a shop's till, a call list) tells.

use chassis::auth::{Agent, Role};
use contracts::{ContactId, MemberId};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::{State, store};

/// How far the clock of whoever tells may be ahead of ours.
const AHEAD_MAX: SignedDuration = SignedDuration::from_mins(5);

/// A talk.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({}))]
pub(crate) struct Talk {
    /// When it was; now unless told. An earlier talk than the latest known changes nothing.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    pub(crate) at: Option<Timestamp>,
}

/// An agent tells of their own follow, an operator of anybody's. Told again, or out of order, it changes nothing.
#[tracing::instrument(name = "customers.record_talk", skip_all)]
pub(crate) async fn record_talk(
    state: &State,
    agent: Agent,
    contact_id: ContactId,
    member_id: MemberId,
    talk: &Talk,
) -> Result<(), Error> {
    if agent.role == Role::Agent && agent.member != member_id {
        return Err(Error::NotYourFollow);
    }
    let now = state.clock.now();
    let at = talk.at.unwrap_or(now);
    if at.duration_since(now) > AHEAD_MAX {
        return Err(Error::TalkAhead);
    }
    let mut tx = state.database.begin(agent.tenant).await?;
    let is_later = store::contact::talked(&mut *tx, contact_id, member_id, at.min(now)).await?;
    if is_later.ok_or(Error::FollowUnknown)? {
        tx.audit(agent, "follow.talked", format!("{contact_id}/{member_id}"));
    }
    tx.commit().await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use jiff::ToSpan as _;

    use super::*;
    use crate::audience::{Audience, Condition};
    use crate::ops::read_recipients::read_recipients;
    use crate::scene::{Scene, code_of};

    #[tokio::test]
    async fn who_talked_last_speaks() {
        let scene = Scene::new().await;
        let (a, b) = (scene.member("a").await, scene.member("b").await);
        let contact = scene.scan(&scene.code(&[a], &[]).await, "wx-1").await.contact_id;
        scene.scan(&scene.code(&[b], &[]).await, "wx-1").await;
        let speaks = async || {
            let audience = Audience {
                named: Condition::default(),
                named_only: false,
                excepted: Condition::default(),
                member_id: None,
                up_to: ContactId(uuid::Uuid::max()),
                by_email: false,
            };
            let nil = ContactId(uuid::Uuid::nil());
            let page = read_recipients(&scene.state, scene.tenant, &audience, nil)
                .await
                .unwrap();
            page.recipients[0].member_id
        };
        let told = async |by: Agent, member, at| {
            record_talk(&scene.state, by, contact, member, &Talk { at })
                .await
                .map_err(code_of)
        };
        let audited = "audit_entry where action = 'follow.talked'";
        assert_eq!(speaks().await, b, "they met last");
        told(scene.agent(a), a, None).await.unwrap();
        assert_eq!(speaks().await, a);
        assert_eq!(scene.rows(audited).await, 1);

        // Earlier than what is known, and told of somebody else's friend.
        let yesterday = scene.state.clock.now() - 24.hours();
        told(scene.agent(b), b, Some(yesterday)).await.unwrap();
        assert_eq!(speaks().await, a);
        assert_eq!(scene.rows(audited).await, 1);
        assert_eq!(told(scene.agent(b), a, None).await, Err("not_your_follow"));
        let operator = Agent {
            role: Role::Operator,
            ..scene.agent(MemberId::new())
        };
        told(operator, b, None).await.unwrap();
        assert_eq!(speaks().await, b);

        assert_eq!(told(operator, MemberId::new(), None).await, Err("follow_unknown"));
        let tomorrow = scene.state.clock.now() + 24.hours();
        assert_eq!(told(operator, a, Some(tomorrow)).await, Err("talk_in_the_future"));
    }
}
