//! Audiences on a real database: forms, exceptions, senders, and pages from any place on.

use chassis::auth::ContactSelf;
use contracts::MemberId;

use super::*;
use crate::ops::change_consent::{ConsentChange, change_consent};
use crate::ops::set_zone::{ZoneChange, set_own_zone};
use crate::scene::Scene;

const START: ContactId = ContactId(Uuid::nil());

fn everybody() -> Audience {
    Audience {
        named: Condition::default(),
        named_only: false,
        excepted: Condition::default(),
        member_id: None,
        up_to: ContactId(Uuid::max()),
        by_email: false,
    }
}

fn tags(any: &[&str], all: &[&str]) -> Condition {
    let names = |tags: &[&str]| tags.iter().map(|tag| (*tag).to_owned()).collect();
    Condition {
        tags_any: names(any),
        tags_all: names(all),
        ..Condition::default()
    }
}

fn ids(contacts: &[ContactId]) -> Condition {
    let mut contact_ids = contacts.to_vec();
    contact_ids.sort();
    Condition {
        contact_ids,
        ..Condition::default()
    }
}

fn friends(members: &[MemberId]) -> Condition {
    Condition {
        followed_by: members.to_vec(),
        ..Condition::default()
    }
}

async fn read(scene: &Scene, audience: &Audience) -> Page {
    read_recipients(&scene.state, scene.tenant, audience, START)
        .await
        .unwrap()
}

async fn contacts(scene: &Scene, audience: &Audience) -> Vec<ContactId> {
    let page = read(scene, audience).await;
    assert!(page.recipients.is_sorted_by_key(|recipient| recipient.contact_id));
    page.recipients
        .iter()
        .map(|recipient| recipient.contact_id)
        .collect()
}

/// Four people: 1, 2, 3 are friends of a with the tags one and both, 2 and 4 of b with two and both; b met 2 last.
struct Four {
    scene: Scene,
    a: MemberId,
    b: MemberId,
    people: Vec<ContactId>,
}

async fn four() -> Four {
    let scene = Scene::new().await;
    let (a, b) = (scene.member("a").await, scene.member("b").await);
    let one = scene.code(&[a], &["one", "both"]).await;
    let two = scene.code(&[b], &["two", "both"]).await;
    let mut people = vec![];
    for person in ["wx-1", "wx-2", "wx-3"] {
        people.push(scene.scan(&one, person).await.contact_id);
    }
    scene.scan(&two, "wx-2").await;
    people.push(scene.scan(&two, "wx-4").await.contact_id);
    Four { scene, a, b, people }
}

#[tokio::test]
async fn each_contact_comes_once_with_the_sender_they_met_last() {
    let Four { scene, a, b, .. } = four().await;
    let senders = async || {
        let page = read(&scene, &everybody()).await;
        page.recipients
            .iter()
            .map(|recipient| recipient.member_id)
            .collect::<Vec<_>>()
    };
    assert_eq!(senders().await, [a, b, a, b]);
    assert!(
        read(&scene, &everybody())
            .await
            .recipients
            .iter()
            .all(|recipient| recipient.marketing)
    );
    // Whom nobody is left to speak to can't be reached.
    scene.leaves(b).await;
    assert_eq!(senders().await, [a, a, a]);
}

#[tokio::test]
async fn forms_are_a_union_and_exceptions_come_last() {
    let Four { scene, a, b, people } = four().await;
    let only = |named| Audience {
        named,
        named_only: true,
        ..everybody()
    };
    let of = |indices: &[usize]| indices.iter().map(|i| people[*i]).collect::<Vec<_>>();
    for (named, expected) in [
        (Condition::default(), of(&[])),
        (tags(&["one", "none"], &[]), of(&[0, 1, 2])),
        (tags(&["none"], &[]), of(&[])),
        (tags(&[], &["one", "two"]), of(&[1])),
        (tags(&[], &["one", "none"]), of(&[])),
        (tags(&["two"], &["both"]), of(&[1, 3])),
        (friends(&[b]), of(&[1, 3])),
        (friends(&[a, b]), of(&[0, 1, 2, 3])),
        (ids(&of(&[0, 3])), of(&[0, 3])),
        (
            Condition {
                tags_all: vec!["two".to_owned()],
                ..ids(&of(&[0]))
            },
            of(&[0, 1, 3]),
        ),
    ] {
        let audience = only(named);
        assert_eq!(contacts(&scene, &audience).await, expected, "{audience:?}");
    }
    for (excepted, expected) in [
        (tags(&["two"], &[]), of(&[0, 2])),
        (tags(&["none"], &[]), of(&[0, 1, 2, 3])),
        (tags(&[], &["one", "two"]), of(&[0, 2, 3])),
        (friends(&[a]), of(&[3])),
        (ids(&of(&[0, 1])), of(&[2, 3])),
    ] {
        let audience = Audience {
            excepted,
            ..everybody()
        };
        assert_eq!(contacts(&scene, &audience).await, expected, "{audience:?}");
        // The same, where somebody is named.
        let audience = Audience {
            named: tags(&[], &["both"]),
            ..audience
        };
        assert_eq!(contacts(&scene, &audience).await, expected, "{audience:?}");
    }
}

#[tokio::test]
async fn a_named_member_speaks_to_their_friends() {
    let Four { scene, a, b, people } = four().await;
    let senders = async |audience: Audience| {
        let page = read(&scene, &audience).await;
        page.recipients
            .iter()
            .map(|one| (one.contact_id, one.member_id))
            .collect::<Vec<_>>()
    };
    // Person 2 talked last with b.
    let friends_of_a = Audience {
        named: friends(&[a]),
        ..everybody()
    };
    assert_eq!(
        senders(friends_of_a).await,
        [(people[0], a), (people[1], a), (people[2], a)]
    );
    let own = Audience {
        member_id: Some(a),
        ..everybody()
    };
    assert_eq!(
        senders(own).await,
        [(people[0], a), (people[1], a), (people[2], a)]
    );
    let own = Audience {
        member_id: Some(a),
        named: tags(&["two"], &[]),
        ..everybody()
    };
    assert_eq!(senders(own).await, [(people[1], a)]);
    let own = Audience {
        member_id: Some(b),
        named: ids(&people),
        ..everybody()
    };
    assert_eq!(senders(own.clone()).await, [(people[1], b), (people[3], b)]);
    assert_eq!(read(&scene, &own).await.not_friends, [people[0], people[2]]);
}

#[tokio::test]
async fn whom_nobody_can_speak_to_is_said_unless_excepted() {
    let Four { scene, people, .. } = four().await;
    let strangers = [ContactId::new(), ContactId::new()];
    let asked = [people[0], strangers[0], strangers[1]];
    let audience = Audience {
        named: ids(&asked),
        ..everybody()
    };
    let page = read(&scene, &audience).await;
    assert_eq!((page.recipients.len(), page.looked_to), (1, None));
    assert_eq!(page.not_friends, strangers);
    let audience = Audience {
        excepted: ids(&strangers[..1]),
        ..audience
    };
    assert_eq!(read(&scene, &audience).await.not_friends, strangers[1..]);
}

#[tokio::test]
async fn a_crowd_comes_whole_and_once_by_every_road() {
    let scene = Scene::new().await;
    let (a, b) = (scene.member("a").await, scene.member("b").await);
    scene.befriend_many(a, contracts::CodeId::new(), 12_000).await;
    scene.befriend_many(b, contracts::CodeId::new(), 9_000).await;
    let all = async |audience: &Audience| {
        let (mut seen, mut after) = (vec![], START);
        loop {
            let page = read_recipients(&scene.state, scene.tenant, audience, after)
                .await
                .unwrap();
            assert!(page.recipients.len() <= PAGE_CONTACTS_MAX);
            seen.extend(page.recipients);
            let Some(looked_to) = page.looked_to else {
                return seen;
            };
            assert!(looked_to > after);
            after = looked_to;
        }
    };
    let walked = all(&everybody()).await;
    assert_eq!(walked.len(), 21_000);
    assert!(walked.is_sorted_by(|one, other| one.contact_id < other.contact_id));
    let named = Audience {
        named: friends(&[a, b]),
        ..everybody()
    };
    assert_eq!(all(&named).await, walked, "by their members");
    let half: Vec<_> = walked.iter().step_by(3).map(|one| one.contact_id).collect();
    let by_id = Audience {
        named: ids(&half),
        ..everybody()
    };
    assert_eq!(
        all(&by_id).await.len(),
        7_000,
        "by id, some walked to and some looked up"
    );
    let window = Audience {
        up_to: walked[99].contact_id,
        ..everybody()
    };
    assert_eq!(all(&window).await, walked[..100]);
}

#[tokio::test]
async fn recipients_come_with_the_zones_they_live_in() {
    let Four { scene, people, .. } = four().await;
    let zones = async |audience: &Audience| {
        let page = read(&scene, audience).await;
        let zone = |position: &u32| match position {
            0 => "",
            _ => page.zoned[*position as usize - 1].zone.as_str(),
        };
        page.zone_of()
            .iter()
            .map(|it| zone(it).to_owned())
            .collect::<Vec<_>>()
    };
    let named = Audience {
        named: ids(&people[1..]),
        named_only: true,
        ..everybody()
    };
    assert!(zones(&everybody()).await.is_empty() && zones(&named).await.is_empty());
    for (contact, zone) in [(people[0], "Asia/Tokyo"), (people[3], "Europe/Paris")] {
        let me = ContactSelf {
            tenant: scene.tenant,
            contact,
        };
        let zone = zone.to_owned().try_into().unwrap();
        set_own_zone(&scene.state, me, &ZoneChange { zone: Some(zone) })
            .await
            .unwrap();
    }
    assert_eq!(zones(&everybody()).await, ["Asia/Tokyo", "", "", "Europe/Paris"]);
    assert_eq!(zones(&named).await, ["", "", "Europe/Paris"]);
}

#[tokio::test]
async fn a_walk_that_meets_too_many_ends_and_each_is_looked_up() {
    let Four { scene, people, .. } = four().await;
    for &contact in &people[..3] {
        let me = ContactSelf {
            tenant: scene.tenant,
            contact,
        };
        let zone = "Asia/Tokyo".to_owned().try_into().unwrap();
        set_own_zone(&scene.state, me, &ZoneChange { zone: Some(zone) })
            .await
            .unwrap();
        change_consent(&scene.state, me, ConsentChange { marketing: false })
            .await
            .unwrap();
    }
    // As if nobody followed the one between them.
    let page = [people[0], people[2], people[3]];
    let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
    for (walk_max, met) in [(4, &people[..3]), (3, &page[..2]), (1, &page[..2])] {
        assert_eq!(silent(&mut tx, &page, walk_max).await.unwrap(), met, "{walk_max}");
        let zoned = zoned(&mut tx, &page, walk_max).await.unwrap();
        let mut contact_ids = zoned[0].contact_ids.clone();
        contact_ids.sort();
        assert_eq!((zoned.len(), contact_ids.as_slice()), (1, met), "{walk_max}");
    }
}
