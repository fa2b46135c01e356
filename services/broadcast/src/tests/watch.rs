//! Whoever watches a mass message sees its counters grow and its end, however many watch.

use chassis::auth::Caller;
use contracts::TenantId;
use contracts::broadcast::v1::StreamProgressRequest;
use contracts::broadcast::v1::broadcast_service_server::BroadcastService as _;
use futures::{StreamExt as _, future};

use super::scene::Scene;
use crate::broadcast::{Kind, State};
use crate::error::Error;
use crate::watch::Look;

fn never_goes_back(looks: &[Look]) {
    for two in looks.windows(2) {
        assert!(two[0].audience <= two[1].audience, "{looks:?}");
        assert!(two[0].outcomes.total() <= two[1].outcomes.total(), "{looks:?}");
        assert!(
            two[0].outcomes.delivered <= two[1].outcomes.delivered,
            "{looks:?}"
        );
        assert_ne!(two[0].mark(), two[1].mark());
    }
}

#[tokio::test]
async fn fifty_followers_share_one_looker_and_see_the_same_end() {
    let scene = Scene::new(&["--chunk-recipients-max", "20"]).await;
    scene.audience(300);
    let broadcast = scene.start(Kind::Enterprise).await;
    let (state, watches) = (&scene.state, &scene.state.watches);
    let mut followers = vec![];
    for _ in 0..50 {
        let following = watches.follow(state, scene.tenant, broadcast).await.unwrap();
        followers.push(following.looks(None).collect::<Vec<_>>());
    }
    assert_eq!(watches.watched(), 1);
    let (seen, ()) = tokio::join!(future::join_all(followers), async {
        scene.confirm_all(broadcast).await;
        scene.send_all().await;
        scene.end().await;
    });
    for looks in &seen {
        never_goes_back(looks);
        let last = looks.last().unwrap();
        assert_eq!((last.state, last.outcomes.delivered), (State::Finished, 270));
        assert_eq!(looks[0].state, State::Running);
    }
    assert_eq!(watches.watched(), 0);

    // Later, and elsewhere.
    let last = seen[0].last().unwrap().mark();
    let again = watches.follow(state, scene.tenant, broadcast).await.unwrap();
    assert!(again.is_told(Some(last)) && !again.is_told(None));
    let all: Vec<_> = again.looks(None).collect().await;
    assert_eq!(all.len(), 1);
    let elsewhere = watches.follow(state, TenantId::new(), broadcast).await;
    assert!(matches!(elsewhere.err(), Some(Error::BroadcastUnknown)));
}

#[tokio::test]
async fn nobody_is_looked_at_for_nobody() {
    let scene = Scene::new(&[]).await;
    scene.audience(3);
    let broadcast = scene.start(Kind::Enterprise).await;
    let watches = &scene.state.watches;
    let following = watches
        .follow(&scene.state, scene.tenant, broadcast)
        .await
        .unwrap();
    let mut looks = std::pin::pin!(following.looks(None));
    assert_eq!(looks.next().await.unwrap().audience, 3);
    assert_eq!(watches.watched(), 1);
    looks.set(
        watches
            .follow(&scene.state, scene.tenant, broadcast)
            .await
            .unwrap()
            .looks(None),
    );
    assert_eq!(watches.watched(), 1);
}

#[tokio::test]
async fn who_stopped_watching_is_forgotten() {
    let scene = Scene::new(&[]).await;
    scene.audience(3);
    let broadcast = scene.start(Kind::Enterprise).await;
    let watches = &scene.state.watches;
    drop(
        watches
            .follow(&scene.state, scene.tenant, broadcast)
            .await
            .unwrap(),
    );
    testkit::eventually(async || match watches.watched() {
        0 => Ok(()),
        _ => Err("still looked at"),
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn peers_watch_their_own_tenants() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let done = scene.run(Kind::Enterprise).await;
    let ask = async |service: &str, tenant: TenantId| {
        let broadcast_id = done.broadcast.broadcast_id.to_string();
        let mut request = tonic::Request::new(StreamProgressRequest { broadcast_id });
        let service = service.to_owned();
        request
            .extensions_mut()
            .insert(Caller::Service { service, tenant });
        scene.state.stream_progress(request).await
    };
    let told = ask("referral", scene.tenant).await.unwrap().into_inner();
    let told: Vec<_> = told.map(|told| told.unwrap().broadcast.unwrap()).collect().await;
    assert_eq!(told.len(), 1);
    assert_eq!(
        (told[0].state.as_str(), told[0].outcomes["delivered"]),
        ("finished", 27)
    );
    let refused = ask("customers", TenantId::new()).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::NotFound);
    let refused = ask("groups", scene.tenant).await.err().unwrap();
    assert_eq!(refused.code(), tonic::Code::PermissionDenied);
}
