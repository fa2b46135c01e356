//! Giving a contact tags and taking them away.

use chassis::auth::{Agent, Role};
use contracts::customers::v1::ContactTagged;
use contracts::{ContactId, RequestKey};
use outbox::request;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::error::Error;
use crate::tag::{self, TAGS_MAX, TagName};
use crate::{State, store};

/// Tags to give and to take.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"add": ["vip"], "remove": ["newcomer"]}))]
pub(crate) struct TagChange {
    /// Tags the tenant doesn't have yet are made.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub(crate) add: Vec<TagName>,
    #[serde(default)]
    #[schema(max_items = 20)]
    pub(crate) remove: Vec<TagName>,
}

/// The tags a contact has now.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub(crate) struct ContactTags {
    pub(crate) contact_id: ContactId,
    pub(crate) tags: Vec<String>,
    /// What this request gave.
    pub(crate) added: Vec<String>,
    /// What this request took.
    pub(crate) removed: Vec<String>,
}

impl TagChange {
    fn check(&self) -> Result<(), Error> {
        for (field, tags) in [("add", &self.add), ("remove", &self.remove)] {
            if tags.len() > TAGS_MAX {
                return Err(Error::TooManyTags { field });
            }
        }
        match self.remove.iter().any(|tag| self.add.contains(tag)) {
            true => Err(Error::TagAddedAndRemoved),
            false => Ok(()),
        }
    }
}

#[tracing::instrument(name = "customers.tag_contact", skip_all)]
pub(crate) async fn tag_contact(
    state: &State,
    agent: Agent,
    contact_id: ContactId,
    key: &RequestKey,
    change: TagChange,
) -> Result<ContactTags, Error> {
    change.check()?;
    let now = state.clock.now();
    let mut tx = state.database.begin(agent.tenant).await?;
    if let Some(tags) = request::earlier(&mut tx, key).await? {
        return Ok(tags);
    }
    let follower = (agent.role == Role::Agent).then_some(agent.member);
    store::contact::find(&mut *tx, contact_id, follower)
        .await?
        .ok_or(Error::ContactUnknown)?;
    let add = tag::distinct(change.add);
    let add: Vec<&str> = add.iter().map(|tag| &**tag).collect();
    let tag_ids: Vec<_> = store::tag::ensure(&mut tx, agent.tenant, &add)
        .await?
        .into_values()
        .collect();
    let added = store::tag::add(&mut *tx, agent.tenant, contact_id, &tag_ids).await?;
    let remove: Vec<&str> = change.remove.iter().map(|tag| &**tag).collect();
    let removed = store::tag::remove(&mut *tx, contact_id, &remove).await?;
    if !added.is_empty() || !removed.is_empty() {
        let event = ContactTagged {
            tenant_id: agent.tenant.to_string(),
            contact_id: contact_id.to_string(),
            added: added.clone(),
            removed: removed.clone(),
        };
        tx.audit(agent, "contact.tagged", contact_id);
        outbox::record(&mut tx, &event, now).await?;
    }
    let tags = store::tag::of_contact(&mut *tx, contact_id).await?;
    let tags = ContactTags {
        contact_id,
        tags,
        added,
        removed,
    };
    request::keep(&mut tx, key, &tags).await?;
    tx.commit().await?;
    Ok(tags)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Scene, code_of, key};

    fn change(add: &[&str], remove: &[&str]) -> TagChange {
        let tags = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        TagChange {
            add: tags(add),
            remove: tags(remove),
        }
    }

    #[test]
    fn a_change_is_bounded_and_of_one_mind() {
        assert!(change(&["a"], &["b"]).check().is_ok());
        assert!(matches!(
            change(&["a", "b"], &["b"]).check(),
            Err(Error::TagAddedAndRemoved)
        ));
        let refused = change(&[], &["x"; 21]).check();
        assert!(matches!(refused, Err(Error::TooManyTags { field: "remove" })));
    }

    #[tokio::test]
    async fn only_what_changed_is_told_and_a_repetition_changes_nothing() {
        let scene = Scene::new().await;
        let member = scene.member("a").await;
        let contact_id = scene
            .scan(&scene.code(&[member], &["parcel"]).await, "wx-1")
            .await
            .contact_id;
        let (agent, key) = (scene.agent(member), key("tags"));
        for _ in 0..2 {
            let change = change(&["vip", "parcel"], &["nobody has this"]);
            let tags = tag_contact(&scene.state, agent, contact_id, &key, change)
                .await
                .unwrap();
            assert_eq!(
                (tags.tags, tags.added, tags.removed.len()),
                (vec!["parcel".into(), "vip".into()], vec!["vip".into()], 0)
            );
        }
        let events = scene.events::<ContactTagged>().await;
        assert_eq!(
            events
                .iter()
                .map(|event| event.added.join(","))
                .collect::<Vec<_>>(),
            ["vip"]
        );
    }

    #[tokio::test]
    async fn an_agent_tags_only_whom_they_follow() {
        let scene = Scene::new().await;
        let contact_id = scene
            .scan(&scene.code(&[scene.member("a").await], &[]).await, "wx-1")
            .await
            .contact_id;
        let stranger = scene.agent(scene.member("b").await);
        let refused = tag_contact(&scene.state, stranger, contact_id, &key("t"), change(&["x"], &[])).await;
        assert_eq!(code_of(refused.unwrap_err()), "contact_unknown");
        let operator = Agent {
            role: Role::Operator,
            ..stranger
        };
        assert!(
            tag_contact(&scene.state, operator, contact_id, &key("t"), change(&["x"], &[]))
                .await
                .is_ok()
        );
    }
}
