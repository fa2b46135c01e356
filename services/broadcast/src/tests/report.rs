//! The report and the export are the counters: row by row, and from wherever an export goes on.

use std::collections::{BTreeMap, BTreeSet};

use chassis::auth::Role;
use contracts::{BroadcastId, ContactId, TenantId};
use futures::TryStreamExt as _;

use super::scene::Scene;
use crate::broadcast::Kind;
use crate::error::Error;
use crate::ops;
use crate::outcome::Outcome;
use crate::report::Format;

async fn export(scene: &Scene, broadcast: BroadcastId, format: Format, after: Option<ContactId>) -> String {
    let rows = ops::report::export(&scene.state, scene.tenant, broadcast, format, after)
        .await
        .unwrap();
    let pages: Vec<_> = rows.try_collect().await.unwrap();
    String::from_utf8(pages.concat()).unwrap()
}

#[tokio::test]
async fn the_exports_rows_are_the_reports_counters() {
    let scene = Scene::new(&["--chunk-recipients-max", "100"]).await;
    let contacts = scene.audience(6_000);
    let broadcast = scene.start(Kind::Enterprise).await;
    let tasks = scene.tasks(broadcast).await;
    let left_out: Vec<_> = contacts.iter().copied().step_by(30).collect();
    scene.confirm(&tasks[0], &left_out).await.unwrap();
    scene.confirm(&tasks[1], &[]).await.unwrap();
    scene.send_all().await;
    let agent = scene.agent(tasks[2].member_id, Role::Agent);
    ops::cancel_task(&scene.state, agent, tasks[2].task_id)
        .await
        .unwrap();
    scene.end().await;

    let report = ops::report::report(&scene.state, scene.tenant, broadcast)
        .await
        .unwrap();
    assert_eq!((report.audience, report.outcomes.total()), (6_000, 6_000));
    assert_eq!(
        [
            report.outcomes.delivered,
            report.outcomes.cancelled,
            report.outcomes.opted_out,
            report.outcomes.deselected
        ],
        [3_400, 1_800, 600, 200]
    );
    assert_eq!(report.members_total, 3);
    let of_members: i64 = report.members.iter().map(|member| member.outcomes.total()).sum();
    assert_eq!(of_members, 6_000);
    for ended in &report.endings {
        assert_eq!(ended.recipients, report.outcomes.of(ended.state));
        assert!(ended.first_at <= ended.last_at);
    }

    let csv = export(&scene, broadcast, Format::Csv, None).await;
    let mut counted: BTreeMap<&str, i64> = BTreeMap::new();
    let mut by_sender: BTreeMap<&str, i64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for line in csv.lines().skip(1) {
        let cells: Vec<_> = line.split(',').collect();
        assert!(seen.insert(cells[0].to_owned()), "{line} stands twice");
        *by_sender.entry(cells[1]).or_default() += 1;
        *counted.entry(cells[2]).or_default() += 1;
    }
    let everybody: BTreeSet<_> = contacts.iter().map(ToString::to_string).collect();
    assert_eq!(seen, everybody);
    for outcome in Outcome::ALL {
        let rows = counted.get(outcome.name()).copied().unwrap_or_default();
        assert_eq!(rows, report.outcomes.of(outcome), "{outcome:?}");
    }
    for member in &report.members {
        assert_eq!(by_sender[member.member_id.to_string().as_str()], member.audience);
    }

    // Broken off anywhere, it goes on with the line after the last.
    let jsonl = export(&scene, broadcast, Format::Jsonl, None).await;
    assert_eq!(jsonl.lines().count(), 6_000);
    let mut sorted = contacts.clone();
    sorted.sort();
    for kept in [1, 1_999, 2_000, 5_999, 6_000] {
        let rest = export(&scene, broadcast, Format::Jsonl, Some(sorted[kept - 1])).await;
        let whole: Vec<_> = jsonl.lines().take(kept).chain(rest.lines()).collect();
        assert_eq!(whole, jsonl.lines().collect::<Vec<_>>());
    }
    let elsewhere = ops::report::export(&scene.state, TenantId::new(), broadcast, Format::Csv, None).await;
    assert!(matches!(elsewhere.err(), Some(Error::BroadcastUnknown)));
}
