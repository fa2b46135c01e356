//! Imports on a real database: every row accounted for, once per key, atomic per batch.

use std::fmt::Write as _;

use chassis::auth::Operator;
use chassis::http::Page;
use contracts::customers::v1::ImportFinished;
use futures::stream;
use tokio::io::AsyncWriteExt as _;
use tokio_util::io::StreamReader;

use super::import_contacts;
use crate::error::Error;
use crate::import::{ImportReport, ImportState};
use crate::scene::{Scene, code_of};
use crate::store;
use crate::store::contact::Filter;

const FILE: &str = "external_id,name,phone,birth_month,tags\n\
    wx-1,李小红,138 0013 8000,1990-02,vip;mama\n\
    wx-2,佐藤 花,090-1234-5678,,vip\n\
    wx-3,,,,\n\
    wx-4,Li,12345,,\n\
    wx-1,Li,,,\n";

async fn import(
    scene: &Scene,
    by: Operator,
    key: &str,
    dry_run: bool,
    file: &str,
) -> Result<ImportReport, Error> {
    import_contacts(&scene.state, by, key, dry_run, file.as_bytes()).await
}

fn figures(report: &ImportReport) -> [i32; 4] {
    let import = &report.import;
    [import.rows, import.created, import.updated, import.rejected]
}

async fn contacts(scene: &Scene) -> Vec<crate::contact::Contact> {
    let mut tx = scene.state.database.read(scene.tenant).await.unwrap();
    let all = Page {
        limit: 500,
        after: None,
    };
    store::contact::list(&mut *tx, &Filter::default(), &all)
        .await
        .unwrap()
}

#[tokio::test]
async fn good_rows_are_taken_and_bad_ones_reported_by_line() {
    let scene = Scene::new().await;
    let report = import(&scene, scene.operator(), "k", false, FILE).await.unwrap();
    assert_eq!(report.import.state, ImportState::Finished);
    assert_eq!(figures(&report), [5, 2, 0, 3]);
    let errors: Vec<_> = report
        .errors
        .iter()
        .map(|error| (error.line, error.field.as_deref(), error.reason.as_str()))
        .collect();
    let expected = [
        (4, Some("name"), "text is empty"),
        (5, Some("phone"), "not a number of Japan or mainland China"),
        (6, Some("external_id"), "the same person is on line 2"),
    ];
    assert_eq!(errors, expected);

    let contacts = contacts(&scene).await;
    let li = contacts
        .iter()
        .find(|contact| contact.external_id == "wx-1")
        .unwrap();
    assert_eq!(
        (li.name.as_str(), li.phone.as_deref()),
        ("李小红", Some("+8613800138000"))
    );
    assert_eq!(
        (li.birth_month.as_deref(), li.marketing),
        (Some("1990-02"), false)
    );
    assert_eq!(li.tags, ["mama", "vip"]);
    let told = scene.events::<ImportFinished>().await;
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].created, told[0].updated, told[0].rejected), (2, 0, 3));
}

#[tokio::test]
async fn a_person_who_exists_is_updated() {
    let scene = Scene::new().await;
    import(&scene, scene.operator(), "k", false, FILE).await.unwrap();
    let file = "name,external_id,tags,phone\n李红,wx-1,gold,\nNew,wx-9,,\n";
    let report = import(&scene, scene.operator(), "l", false, file).await.unwrap();
    assert_eq!(figures(&report), [2, 1, 1, 0]);
    let contacts = contacts(&scene).await;
    let li = contacts
        .iter()
        .find(|contact| contact.external_id == "wx-1")
        .unwrap();
    assert_eq!(
        (li.name.as_str(), li.phone.as_deref()),
        ("李红", Some("+8613800138000"))
    );
    assert_eq!(li.tags, ["gold", "mama", "vip"]);
}

#[tokio::test]
async fn a_dry_run_says_the_same_and_writes_nobody() {
    let scene = Scene::new().await;
    let dry = import(&scene, scene.operator(), "dry", true, FILE).await.unwrap();
    assert!(dry.import.dry_run);
    assert_eq!((scene.rows("contact").await, scene.rows("tag").await), (0, 0));
    assert!(scene.events::<ImportFinished>().await.is_empty());
    let real = import(&scene, scene.operator(), "real", false, FILE)
        .await
        .unwrap();
    assert_eq!((figures(&dry), dry.errors), (figures(&real), real.errors));
}

#[tokio::test]
async fn a_key_stands_for_one_file() {
    let scene = Scene::new().await;
    let first = import(&scene, scene.operator(), "k", false, FILE).await.unwrap();
    let again = import(&scene, scene.operator(), "k", false, FILE).await.unwrap();
    assert_eq!(again.import.import_id, first.import.import_id);
    assert_eq!((figures(&again), again.errors), (figures(&first), first.errors));
    assert_eq!(scene.events::<ImportFinished>().await.len(), 1);
    let other = format!("{FILE}wx-8,Li,,,\n");
    for (dry_run, file) in [(false, other.as_str()), (true, FILE)] {
        let refused = import(&scene, scene.operator(), "k", dry_run, file)
            .await
            .unwrap_err();
        assert_eq!(code_of(refused), "idempotency_key_reused");
    }
    assert_eq!(scene.rows("contact").await, 2);
}

#[tokio::test]
async fn a_file_that_breaks_off_keeps_its_batches_and_can_be_sent_again() {
    let scene = Scene::new().await;
    let mut file = "external_id,name\n".to_owned();
    for n in 0..1_200 {
        writeln!(file, "wx-{n},Li {n}").unwrap();
    }
    let cut = file.len() / 2;
    let sent = [
        Ok(file.as_bytes()[..cut].to_vec()),
        Err(std::io::Error::other("hung up")),
    ];
    let broken = StreamReader::new(stream::iter(sent.map(|part| part.map(std::io::Cursor::new))));
    let refused = import_contacts(&scene.state, scene.operator(), "k", false, broken)
        .await
        .unwrap_err();
    assert_eq!(code_of(refused), "body_unreadable");
    assert_eq!(scene.rows("contact").await, 500);
    assert_eq!(
        scene.rows("import where state = 'failed' and rows = 500").await,
        1
    );

    let report = import(&scene, scene.operator(), "k", false, &file).await.unwrap();
    assert_eq!(figures(&report), [1_200, 700, 500, 0]);
    assert_eq!(report.import.failure, None);
}

#[tokio::test]
async fn a_process_that_stops_does_not_wait_for_the_rest_of_a_file() {
    let scene = Scene::new().await;
    let (mut open, body) = tokio::io::duplex(64);
    open.write_all(b"external_id,name\nwx-1,Li\n").await.unwrap();
    scene.state.stopping.cancel();
    let refused = import_contacts(&scene.state, scene.operator(), "k", false, body)
        .await
        .unwrap_err();
    assert_eq!(code_of(refused), "stopping");
    assert_eq!(scene.rows("import where state = 'failed'").await, 1);
}

#[tokio::test]
async fn a_key_under_way_is_not_started_twice() {
    let scene = Scene::new().await;
    let (open, never_ends) = tokio::io::duplex(64);
    let operator = scene.operator();
    let running = import_contacts(&scene.state, operator, "k", false, never_ends);
    let second = async {
        while scene.rows("import").await == 0 {
            tokio::task::yield_now().await;
        }
        let refused = import(&scene, operator, "k", false, FILE).await.unwrap_err();
        drop(open);
        refused
    };
    let (first, second) = futures::join!(running, second);
    assert_eq!(code_of(second), "import_running");
    assert_eq!(code_of(first.unwrap_err()), "csv_header_malformed");
}

#[tokio::test]
async fn a_header_that_is_none_fails_the_import() {
    let scene = Scene::new().await;
    let refused = import(&scene, scene.operator(), "k", false, "a,b\n1,2\n")
        .await
        .unwrap_err();
    assert_eq!(code_of(refused), "csv_header_malformed");
    assert_eq!(
        scene
            .rows("import where state = 'failed' and failure is not null")
            .await,
        1
    );
}

#[tokio::test]
async fn a_zone_is_taken_from_the_file_and_left_where_the_file_says_nothing() {
    let scene = Scene::new().await;
    let zones = async || {
        let contacts = contacts(&scene).await;
        contacts.into_iter().map(|it| it.zone).collect::<Vec<_>>()
    };
    let first = "external_id,name,zone\nwx-1,Li,asia/tokyo\nwx-2,Li,\nwx-3,Li,Mars/Phobos\n";
    let report = import(&scene, scene.operator(), "k", false, first).await.unwrap();
    assert_eq!(figures(&report), [3, 2, 0, 1]);
    assert_eq!(report.errors[0].field.as_deref(), Some("zone"));
    assert_eq!(zones().await, [Some("Asia/Tokyo".to_owned()), None]);
    let again = "external_id,name,zone\nwx-1,Li,\nwx-2,Li,Europe/Paris\n";
    import(&scene, scene.operator(), "l", false, again).await.unwrap();
    let expected = ["Asia/Tokyo", "Europe/Paris"].map(|zone| Some(zone.to_owned()));
    assert_eq!(zones().await, expected);
}
