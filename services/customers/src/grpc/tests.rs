//! Peers' calls on a real database: only those named may ask, and an audience comes whole however it is read.

use chassis::auth::Caller;
use contracts::{CodeId, TenantId};
use tonic::Code;

use super::*;
use crate::ops::import_contacts::import_contacts;
use crate::scene::Scene;

fn from<T>(service: &str, tenant: TenantId, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(Caller::Service {
        service: service.to_owned(),
        tenant,
    });
    request
}

fn everybody(cursor: &str) -> StreamAudienceRequest {
    StreamAudienceRequest {
        cursor: cursor.to_owned(),
        ..Default::default()
    }
}

async fn pages(scene: &Scene, cursor: &str) -> Vec<StreamAudienceResponse> {
    let request = from("broadcast", scene.tenant, everybody(cursor));
    scene
        .state
        .stream_audience(request)
        .await
        .unwrap()
        .into_inner()
        .map(Result::unwrap)
        .collect()
        .await
}

#[tokio::test]
async fn a_peer_gets_a_contact_of_the_tenant_it_acts_for() {
    let scene = Scene::new().await;
    let scanned = scene
        .scan(&scene.code(&[scene.member("a").await], &[]).await, "wx-1")
        .await;
    let ask = |service, tenant, id: &str| {
        let request = from(
            service,
            tenant,
            GetContactRequest {
                contact_id: id.to_owned(),
            },
        );
        async {
            scene
                .state
                .get_contact(request)
                .await
                .map_err(|status| status.code())
        }
    };
    let id = scanned.contact_id.to_string();
    for service in ["groups", "broadcast"] {
        let contact = ask(service, scene.tenant, &id)
            .await
            .unwrap()
            .into_inner()
            .contact
            .unwrap();
        assert_eq!((contact.external_id.as_str(), contact.marketing), ("wx-1", true));
    }
    assert_eq!(
        ask("referral", scene.tenant, &id).await.unwrap_err(),
        Code::PermissionDenied
    );
    assert_eq!(
        ask("groups", TenantId::new(), &id).await.unwrap_err(),
        Code::NotFound
    );
    assert_eq!(
        ask("groups", scene.tenant, &ContactId::new().to_string())
            .await
            .unwrap_err(),
        Code::NotFound
    );
    assert_eq!(
        ask("groups", scene.tenant, "wx-1").await.unwrap_err(),
        Code::InvalidArgument
    );
}

#[tokio::test]
async fn only_broadcast_reads_an_audience() {
    let scene = Scene::new().await;
    let ask = |service, message| {
        let request = from(service, scene.tenant, message);
        async {
            scene
                .state
                .stream_audience(request)
                .await
                .map(drop)
                .map_err(|status| status.code())
        }
    };
    assert_eq!(ask("groups", everybody("")).await, Err(Code::PermissionDenied));
    assert_eq!(
        ask("broadcast", everybody("nowhere")).await,
        Err(Code::InvalidArgument)
    );
    let crowd = StreamAudienceRequest {
        tags_any: vec!["tag".to_owned(); 101],
        ..Default::default()
    };
    assert_eq!(ask("broadcast", crowd).await, Err(Code::InvalidArgument));
    assert_eq!(ask("broadcast", everybody("")).await, Ok(()));
}

#[tokio::test]
async fn an_audience_comes_in_pages_and_goes_on_where_it_broke_off() {
    let scene = Scene::new().await;
    let member = scene.member("a").await;
    assert!(pages(&scene, "").await.is_empty());
    scene.befriend_many(member, CodeId::new(), 1_000).await;
    // Exactly two full pages, and no empty one after them.
    let whole = pages(&scene, "").await;
    assert_eq!(
        whole.iter().map(|page| page.entries.len()).collect::<Vec<_>>(),
        [500, 500]
    );
    scene.befriend_many(member, CodeId::new(), 1).await;
    let whole = pages(&scene, "").await;
    assert_eq!(
        whole.iter().map(|page| page.entries.len()).collect::<Vec<_>>(),
        [500, 500, 1]
    );

    let ids: Vec<_> = whole
        .iter()
        .flat_map(|page| &page.entries)
        .map(|entry| &entry.contact_id)
        .collect();
    assert!(ids.is_sorted() && ids.iter().collect::<std::collections::HashSet<_>>().len() == 1_001);
    assert_eq!(pages(&scene, &whole[0].cursor).await, whole[1..]);

    // The same, packed.
    let packed = packed_pages(&scene, StreamRecipientsRequest::default())
        .await
        .unwrap();
    assert_eq!((packed.len(), &packed[0].cursor), (1, &whole[2].cursor));
    let texts: Vec<_> = unpack::<ContactId>(&packed[0].contact_ids)
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(texts.iter().eq(ids));
    assert_eq!(packed[0].member_ids, member.0.as_bytes());
    assert_eq!(packed[0].senders, vec![0; 1_001]);
    assert!(packed[0].without_marketing.is_empty() && packed[0].not_friends.is_empty());
}

async fn packed_pages(
    scene: &Scene,
    request: StreamRecipientsRequest,
) -> Result<Vec<StreamRecipientsResponse>, Code> {
    let answer = scene
        .state
        .stream_recipients(from("broadcast", scene.tenant, request))
        .await
        .map_err(|status| status.code())?;
    Ok(answer.into_inner().map(Result::unwrap).collect().await)
}

#[tokio::test]
async fn recipients_by_id_are_at_most_ten_thousand_and_sorted() {
    let scene = Scene::new().await;
    let ids: Vec<_> = (0..10_001).map(|_| ContactId::new()).collect();
    let ask = async |contact_ids: Vec<u8>| {
        let request = StreamRecipientsRequest {
            contact_ids,
            ..Default::default()
        };
        packed_pages(&scene, request).await
    };
    let pages = ask(pack(&ids[1..])).await.unwrap();
    assert_eq!(pages[0].not_friends, pack(&ids[1..]), "strangers are told");
    assert_eq!(ask(pack(&ids)).await, Err(Code::InvalidArgument));
    assert_eq!(ask(pack(&[ids[1], ids[0]])).await, Err(Code::InvalidArgument));
    assert_eq!(ask(pack(&[ids[0], ids[0]])).await, Err(Code::InvalidArgument));
    assert_eq!(ask(vec![0; 15]).await, Err(Code::InvalidArgument));
}

#[tokio::test]
async fn addressees_are_told_with_who_speaks_to_them() {
    let scene = Scene::new().await;
    let (a, b) = (scene.member("小雨").await, scene.member("Ken").await);
    let contact = scene.scan(&scene.code(&[a], &[]).await, "wx-1").await.contact_id;
    scene.scan(&scene.code(&[b], &[]).await, "wx-1").await;
    let other = scene.scan(&scene.code(&[b], &[]).await, "wx-2").await.contact_id;
    let ask = |service, tenant, contact_ids: Vec<String>, member: Option<MemberId>| {
        let member_id = member.map(|member| member.to_string()).unwrap_or_default();
        let request = from(
            service,
            tenant,
            GetAddresseesRequest {
                contact_ids,
                member_id,
            },
        );
        async {
            let told = scene.state.get_addressees(request).await;
            told.map(|told| told.into_inner().addressees)
                .map_err(|status| status.code())
        }
    };
    let ids = |ids: &[ContactId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    let told = ask(
        "broadcast",
        scene.tenant,
        ids(&[other, ContactId::new(), contact]),
        Some(a),
    )
    .await
    .unwrap();
    let told: Vec<_> = told
        .iter()
        .map(|it| (&*it.contact_id, &*it.member_alias, it.follows))
        .collect();
    let mut expected = [(contact.to_string(), true), (other.to_string(), false)];
    expected.sort();
    let expected: Vec<_> = expected
        .iter()
        .map(|(id, follows)| (&**id, "小雨", *follows))
        .collect();
    assert_eq!(told, expected, "sorted, without whom nobody knows");

    let told = ask("broadcast", scene.tenant, ids(&[contact]), None)
        .await
        .unwrap();
    assert_eq!(
        (
            told[0].member_id.clone(),
            told[0].member_alias.as_str(),
            told[0].follows
        ),
        (b.to_string(), "Ken", true),
        "the last in touch"
    );
    let strangers = ask("broadcast", TenantId::new(), ids(&[contact]), Some(a)).await;
    assert_eq!(strangers, Ok(vec![]));
    assert_eq!(
        ask("groups", scene.tenant, ids(&[contact]), None).await,
        Err(Code::PermissionDenied)
    );
    assert_eq!(
        ask("broadcast", scene.tenant, vec!["wx-1".to_owned()], None).await,
        Err(Code::InvalidArgument)
    );
    assert_eq!(
        ask("broadcast", scene.tenant, ids(&[contact; 501]), None).await,
        Err(Code::InvalidArgument)
    );
}

#[tokio::test]
async fn an_e_mail_address_is_told_to_who_writes_to_it() {
    let scene = Scene::new().await;
    let code = scene.code(&[scene.member("小雨").await], &[]).await;
    let contact = scene.scan(&code, "wx-1").await.contact_id;
    let without = async |contact_ids, by_email| {
        let request = StreamRecipientsRequest {
            contact_ids,
            by_email,
            ..Default::default()
        };
        packed_pages(&scene, request)
            .await
            .unwrap()
            .remove(0)
            .without_email
    };
    assert_eq!(without(vec![], true).await, [0]);
    assert_eq!(without(pack(&[contact]), true).await, [0]);
    assert!(
        without(vec![], false).await.is_empty(),
        "nobody looks where nobody asks"
    );
    let mut told = vec![];
    let files = [
        "wx-1,Li,",
        "wx-1,Li,Li@Example.CN",
        "wx-1,Li,",
        "wx-1,Li,li@",
        "wx-1,Li,new@example.cn",
    ];
    for (key, row) in files.iter().enumerate() {
        let (key, file) = (key.to_string(), format!("external_id,name,email\n{row}\n"));
        import_contacts(&scene.state, scene.operator(), &key, false, file.as_bytes())
            .await
            .unwrap();
        let request = GetAddresseesRequest {
            contact_ids: vec![contact.to_string()],
            member_id: String::new(),
        };
        let answer = scene
            .state
            .get_addressees(from("broadcast", scene.tenant, request))
            .await;
        told.push(answer.unwrap().into_inner().addressees.remove(0).email);
    }
    let (li, new) = ("Li@example.cn", "new@example.cn");
    assert_eq!(
        told,
        ["", li, li, li, new],
        "what is empty or no address leaves what is known"
    );
    assert!(without(vec![], true).await.is_empty());
    assert!(without(pack(&[contact]), true).await.is_empty());
}
