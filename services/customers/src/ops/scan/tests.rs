//! Scans on a real database: once befriended, always the same member, one move when that member leaves.

use std::collections::HashSet;

use chassis::auth::ContactSelf;
use contracts::TenantId;
use contracts::customers::v1::{ContactBefriended, ContactTagged, FollowMoved};
use futures::future::join_all;

use crate::contact::{ConsentBasis, FollowState};
use crate::ops;
use crate::ops::change_consent::ConsentChange;
use crate::ops::remark::Remark;
use crate::scene::{Scene, code_of, scan};
use crate::store;

#[tokio::test]
async fn a_first_scan_befriends_and_welcomes_once() {
    let scene = Scene::new().await;
    let member = scene.member("小丸子").await;
    let code = scene.code(&[member], &["parcel", "new"]).await;

    let first = scene.scan(&code, "wx-1").await;
    assert!(first.first);
    assert_eq!(
        (first.member.member_id, first.member.alias.as_str()),
        (member, "小丸子")
    );
    for _ in 0..3 {
        let again = scene.scan(&code, "wx-1").await;
        assert!(!again.first);
        assert_eq!(
            (again.contact_id, again.member),
            (first.contact_id, first.member.clone())
        );
    }

    let events = scene.events::<ContactBefriended>().await;
    assert_eq!(events.len(), 1);
    let event = &events[0];
    assert_eq!(event.contact_id, first.contact_id.to_string());
    assert_eq!(event.member_id, member.to_string());
    assert_eq!(event.code_id, code.code_id.to_string());
    let facts = [
        &event.external_id,
        &event.add_way,
        &event.state,
        &event.welcome,
        &event.member_alias,
    ];
    assert_eq!(facts, ["wx-1", "live_code", "parcel", "你好！", "小丸子"]);
    assert_eq!(event.tags, ["new", "parcel"]);
    assert!(event.befriended_at.is_some());
    assert!(scene.events::<ContactTagged>().await.is_empty());
}

#[tokio::test]
async fn ten_scans_at_once_make_one_friend() {
    let scene = Scene::new().await;
    let members = [
        scene.member("a").await,
        scene.member("b").await,
        scene.member("c").await,
    ];
    let code = scene.code(&members, &["parcel"]).await;
    let scans = join_all((0..10).map(|_| scene.scan(&code, "wx-1"))).await;
    assert_eq!(scans.iter().filter(|scanned| scanned.first).count(), 1);
    let seen: HashSet<_> = scans
        .iter()
        .map(|scanned| (scanned.contact_id, scanned.member.member_id))
        .collect();
    assert_eq!(seen.len(), 1);
    assert_eq!(scene.events::<ContactBefriended>().await.len(), 1);
    for table in ["contact", "assignment", "follow", "contact_tag"] {
        assert_eq!(scene.rows(table).await, 1, "{table}");
    }
}

#[tokio::test]
async fn when_the_member_leaves_the_next_scan_moves_the_contact_once() {
    let scene = Scene::new().await;
    let members = [
        scene.member("a").await,
        scene.member("b").await,
        scene.member("c").await,
    ];
    let (code, other) = (scene.code(&members, &[]).await, scene.code(&members, &[]).await);
    let before = scene.scan(&code, "wx-1").await;
    let elsewhere = scene.scan(&other, "wx-1").await;
    let gone = before.member.member_id;
    let remark = Remark {
        remark: Some("春から".parse().unwrap()),
    };
    ops::remark::remark(&scene.state, scene.agent(gone), before.contact_id, gone, remark)
        .await
        .unwrap();
    let befriended = scene.events::<ContactBefriended>().await.len();

    scene.leaves(gone).await;
    let scans = join_all((0..5).map(|_| scene.scan(&code, "wx-1"))).await;
    let now = scans[0].member.member_id;
    assert_ne!(now, gone);
    assert!(
        scans
            .iter()
            .all(|scanned| scanned.member.member_id == now && !scanned.first)
    );
    let expected = if elsewhere.member.member_id == gone {
        now
    } else {
        elsewhere.member.member_id
    };
    assert_eq!(scene.scan(&other, "wx-1").await.member.member_id, expected);

    let moves = scene.events::<FollowMoved>().await;
    assert_eq!(moves.len(), 1);
    assert_eq!(
        (moves[0].from_member_id.clone(), moves[0].to_member_id.clone()),
        (gone.to_string(), now.to_string())
    );
    // Handed over, not met anew: no second welcome.
    assert_eq!(scene.events::<ContactBefriended>().await.len(), befriended);

    let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
    let follows = store::contact::follows(&mut *tx, before.contact_id)
        .await
        .unwrap();
    let old = follows.iter().find(|follow| follow.member_id == gone).unwrap();
    assert_eq!((old.state, old.moved_to), (FollowState::Moved, Some(now)));
    let new = follows.iter().find(|follow| follow.member_id == now).unwrap();
    assert_eq!((new.state, new.channel.as_str()), (FollowState::Active, "parcel"));
    // Unless the two were friends already, the note goes along.
    if elsewhere.member.member_id != now {
        assert_eq!(new.remark, "春から");
    }
}

#[tokio::test]
async fn another_code_of_the_same_member_only_tags() {
    let scene = Scene::new().await;
    let member = scene.member("a").await;
    let (code, other) = (
        scene.code(&[member], &["one"]).await,
        scene.code(&[member], &["one", "two"]).await,
    );
    assert!(scene.scan(&code, "wx-1").await.first);
    assert!(!scene.scan(&other, "wx-1").await.first);
    assert_eq!(scene.events::<ContactBefriended>().await.len(), 1);
    let tagged = scene.events::<ContactTagged>().await;
    assert_eq!(tagged.len(), 1);
    assert_eq!(tagged[0].added, ["two"]);
}

#[tokio::test]
async fn a_code_is_never_dead_while_an_agent_is_there() {
    let scene = Scene::new().await;
    let (gone, stays) = (scene.member("a").await, scene.member("b").await);
    let code = scene.code(&[gone], &[]).await;
    scene.scan(&code, "wx-1").await;
    scene.leaves(gone).await;
    assert_eq!(scene.scan(&code, "wx-1").await.member.member_id, stays);
    let newcomer = scene.scan(&code, "wx-2").await;
    assert!(newcomer.first && newcomer.member.member_id == stays);
    scene.leaves(stays).await;
    for person in ["wx-1", "wx-3"] {
        assert_eq!(
            code_of(scene.try_scan(&code.token, person).await.unwrap_err()),
            "nobody_left"
        );
    }
}

#[tokio::test]
async fn leaving_may_be_heard_before_joining() {
    let scene = Scene::new().await;
    let (early, stays) = (contracts::MemberId::new(), scene.member("b").await);
    scene.leaves(early).await;
    scene.joins(early, "a").await;
    let code = scene.code(&[stays], &[]).await;
    scene.leaves(stays).await;
    assert_eq!(
        code_of(scene.try_scan(&code.token, "wx-1").await.unwrap_err()),
        "nobody_left"
    );
}

#[tokio::test]
async fn only_codes_of_verified_tenants_can_be_scanned() {
    let mut scene = Scene::new().await;
    let code = scene.code(&[scene.member("a").await], &[]).await;
    assert_eq!(
        code_of(scene.try_scan("nosuchcode", "wx-1").await.unwrap_err()),
        "code_unknown"
    );
    scene.tenant = TenantId::new();
    let members = [scene.member("b").await];
    let new =
        serde_json::from_value(serde_json::json!({"name": "x", "members": [{"member_id": members[0]}]}));
    let refused = ops::issue_code::issue_code(
        &scene.state,
        scene.operator(),
        &crate::scene::key("code"),
        new.unwrap(),
    )
    .await;
    assert_eq!(code_of(refused.unwrap_err()), "tenant_unverified");
    // A token says whose code it is, whoever asks.
    assert!(scene.scan(&code, "wx-1").await.first);
}

#[tokio::test]
async fn the_scan_page_states_consent_but_never_overrules_the_contact() {
    let scene = Scene::new().await;
    let (a, b) = (scene.member("a").await, scene.member("b").await);
    let scanned = scene.scan(&scene.code(&[a], &[]).await, "wx-1").await;
    let me = ContactSelf {
        tenant: scene.tenant,
        contact: scanned.contact_id,
    };
    let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
    let consent = store::contact::consent(&mut *tx, me.contact)
        .await
        .unwrap()
        .unwrap();
    drop(tx);
    assert_eq!(
        (consent.marketing, consent.basis, consent.version),
        (true, ConsentBasis::Scan, 1)
    );

    for _ in 0..2 {
        let said = ConsentChange { marketing: false };
        let consent = ops::change_consent::change_consent(&scene.state, me, said)
            .await
            .unwrap();
        assert_eq!((consent.marketing, consent.basis), (false, ConsentBasis::Contact));
    }
    let told = scene
        .events::<contracts::customers::v1::ContactConsentChanged>()
        .await;
    assert_eq!(
        told.iter().map(|event| event.marketing).collect::<Vec<_>>(),
        [false]
    );

    scene.scan(&scene.code(&[b], &[]).await, "wx-1").await;
    let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
    let consent = store::contact::consent(&mut *tx, me.contact)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((consent.marketing, consent.basis), (false, ConsentBasis::Contact));
}

#[tokio::test]
async fn what_a_scan_says_of_a_person_fills_gaps_only() {
    let scene = Scene::new().await;
    let code = scene.code(&[scene.member("a").await], &[]).await;
    let mut named = scan(&code.token, "wx-1");
    named.name = Some("李小红".parse().unwrap());
    named.language = Some("zh".to_owned().try_into().unwrap());
    let contact_id = ops::scan::scan(&scene.state, &named).await.unwrap().contact_id;
    named.name = Some("somebody else".parse().unwrap());
    named.code = scene
        .code(&[scene.member("b").await], &[])
        .await
        .token
        .parse()
        .unwrap();
    ops::scan::scan(&scene.state, &named).await.unwrap();
    let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
    let contact = store::contact::find(&mut *tx, contact_id, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (contact.name.as_str(), contact.language.as_str()),
        ("李小红", "zh")
    );
}
