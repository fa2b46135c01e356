//! Quiet hours: nothing is sent in them, and no lane is held meanwhile.

use chassis::auth::{Caller, Operator, Role};
use jiff::{SignedDuration, ToSpan as _};

use super::scene::{Scene, command};
use crate::broadcast::Kind;
use crate::ops::{self, Answer, Claimed};
use crate::quiet::{Hours, QuietHours};

impl Scene {
    /// Quiet hours from so many minutes from now to so many.
    pub(super) async fn quiet(&self, from_minutes: i64, to_minutes: i64) {
        let operator = Operator::try_from(&Caller::Member {
            tenant: self.tenant,
            member: self.members[0],
            role: Role::Operator,
        });
        let now = self.state.clock.now().in_tz("Asia/Shanghai").unwrap().time();
        let hours = Hours {
            starts: now.wrapping_add(from_minutes.minutes()),
            ends: now.wrapping_add(to_minutes.minutes()),
        };
        let asked = QuietHours { hours: Some(hours) };
        ops::set_quiet_hours(&self.state, operator.unwrap(), asked)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_chunk_waits_without_a_lane() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    let hint = scene.hints().await[0];
    scene.quiet(-60, 60).await;
    let quiet = scene.forecast(broadcast).await.unwrap();
    assert_eq!(quiet.outcomes.delivered, 9, "it waits");
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    let waiting = "select count(*) from chunk where state = 'ready' and attempts = 0
        and not_before between now() + interval '50 minutes' and now() + interval '1 hour'";
    assert_eq!(scene.count(waiting).await, 1);
    assert_eq!(scene.count("select count(*) from cap").await, 0);
    assert!(scene.hints().await.is_empty(), "not dispatched before");

    // Lifted, or put off, they keep nothing waiting that waited for them before.
    scene.quiet(60, 120).await;
    scene.send_all().await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes, quiet.outcomes);
    let audited = "select count(*) from audit_entry where action = 'quiet_hours.set'";
    assert_eq!(scene.count(audited).await, 2);
    scene.check_books().await;
}

#[tokio::test]
async fn what_ends_before_the_quiet_hours_is_over() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let mut command = command(Kind::Enterprise, "inbox");
    let until = scene.state.clock.now() + SignedDuration::from_mins(30);
    command["send_until"] = serde_json::to_value(until).unwrap();
    command["held_out_ppm"] = 300_000.into();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.quiet(-60, 60).await;
    let forecast = scene.comes_true(broadcast).await;
    let ends = forecast.outcomes;
    assert_eq!(ends.quiet_expired + ends.held_out, 27, "{ends:?}");
    assert!(ends.quiet_expired > 0);
}

#[tokio::test]
async fn nothing_starts_once_they_begin() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    scene.quiet(2, 60).await;
    let hint = scene.hints().await[0];
    // A day that ends sooner is another one's test.
    if let Claimed::Chunk(claim) = ops::claim(&scene.state, hint).await.unwrap() {
        assert!(claim.send_for.as_secs() <= 120, "{:?}", claim.send_for);
    }
}

#[tokio::test]
async fn hours_that_change_leave_local_times_as_they_were() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let broadcast = scene.plan(60, None).await.unwrap();
    scene.confirm_all(broadcast).await;
    // As a claim in the night leaves them.
    scene
        .force("update chunk set not_before = now() + interval '9 hours'")
        .await;
    scene.quiet(180, 240).await;
    let timed = "select count(*) from chunk
        where not_before between now() + interval '58 minutes' and now() + interval '62 minutes'";
    assert_eq!(scene.count(timed).await, 3);
}
