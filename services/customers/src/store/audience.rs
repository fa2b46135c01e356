//! The contacts a mass message can reach, page by page.

use contracts::{ContactId, MemberId};
use sqlx::{PgExecutor, Result};

/// Which contacts an audience names. Tags are distinct.
#[derive(Clone, Debug, Default)]
pub(crate) struct Audience {
    pub(crate) tags_any: Vec<String>,
    pub(crate) tags_all: Vec<String>,
    pub(crate) member_id: Option<MemberId>,
}

/// One recipient and who speaks to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) contact_id: ContactId,
    pub(crate) member_id: MemberId,
    pub(crate) marketing: bool,
}

/// The next contacts after `after`, sorted by id, each with one sender: the follow that was last active among the
/// members still there (D75). Whom nobody follows can't be reached and is left out.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    audience: &Audience,
    after: ContactId,
    rows_max: i64,
) -> Result<Vec<Recipient>> {
    sqlx::query_as!(
        Recipient,
        r#"select contact.contact_id as "contact_id: ContactId", sender.member_id as "member_id: MemberId",
               contact.marketing
           from contact cross join lateral (
               select follow.member_id from follow join member using (tenant_id, member_id)
               where follow.contact_id = contact.contact_id and follow.state = 'active' and member.left_at is null
                 and ($2::uuid is null or follow.member_id = $2)
               order by follow.last_active_at desc, follow.member_id limit 1
           ) as sender
           where contact.contact_id > $1
             and (cardinality($3::text[]) = 0 or exists (
                 select 1 from contact_tag
                 where contact_tag.contact_id = contact.contact_id
                   and contact_tag.tag_id in (select tag_id from tag where name = any($3))))
             and (cardinality($4::text[]) = 0 or cardinality($4) = (
                 select count(*) from contact_tag
                 where contact_tag.contact_id = contact.contact_id
                   and contact_tag.tag_id in (select tag_id from tag where name = any($4))))
           order by contact.contact_id limit $5"#,
        after as ContactId,
        audience.member_id as Option<MemberId>,
        &audience.tags_any,
        &audience.tags_all,
        rows_max,
    )
    .fetch_all(db)
    .await
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::scene::Scene;

    const START: ContactId = ContactId(Uuid::nil());

    async fn read(scene: &Scene, audience: &Audience, after: ContactId, rows_max: i64) -> Vec<Recipient> {
        let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
        page(&mut *tx, audience, after, rows_max).await.unwrap()
    }

    fn audience(any: &[&str], all: &[&str], member_id: Option<MemberId>) -> Audience {
        let names = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
        Audience {
            tags_any: names(any),
            tags_all: names(all),
            member_id,
        }
    }

    #[tokio::test]
    async fn each_contact_comes_once_with_the_sender_they_met_last() {
        let scene = Scene::new().await;
        let (a, b) = (scene.member("a").await, scene.member("b").await);
        let one = scene.code(&[a], &["one", "both"]).await;
        let two = scene.code(&[b], &["two", "both"]).await;
        for person in ["wx-1", "wx-2", "wx-3"] {
            scene.scan(&one, person).await;
        }
        scene.scan(&two, "wx-2").await;
        scene.scan(&two, "wx-4").await;

        let everybody = read(&scene, &Audience::default(), START, 500).await;
        assert_eq!(
            everybody
                .iter()
                .map(|recipient| recipient.member_id)
                .collect::<Vec<_>>(),
            [a, b, a, b]
        );
        assert!(everybody.is_sorted_by_key(|recipient| recipient.contact_id));
        assert!(everybody.iter().all(|recipient| recipient.marketing));

        // Page by page it is the same.
        let mut pages = read(&scene, &Audience::default(), START, 3).await;
        pages.extend(read(&scene, &Audience::default(), pages[2].contact_id, 3).await);
        assert_eq!(pages, everybody);

        for (filter, expected) in [
            (audience(&["one", "none"], &[], None), 3),
            (audience(&[], &["one", "two"], None), 1),
            (audience(&[], &["one", "none"], None), 0),
            (audience(&["two"], &["both"], None), 2),
            (audience(&[], &[], Some(a)), 3),
            (audience(&["two"], &[], Some(a)), 1),
        ] {
            assert_eq!(
                read(&scene, &filter, START, 500).await.len(),
                expected,
                "{filter:?}"
            );
        }

        scene.leaves(b).await;
        let reachable = read(&scene, &Audience::default(), START, 500).await;
        assert_eq!(
            reachable
                .iter()
                .map(|recipient| recipient.member_id)
                .collect::<Vec<_>>(),
            [a, a, a]
        );
    }
}
