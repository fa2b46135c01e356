//! A forecast is the outcome, as long as nothing else changes.

use contracts::BroadcastId;
use contracts::customers::v1::ContactConsentChanged;

use super::policy::limit;
use super::scene::{Scene, command};
use crate::broadcast::Kind;
use crate::cap::{Scope, Window};
use crate::error::Error;
use crate::forecast::{Forecast, Way};
use crate::ops;
use crate::outcome::Outcome;

impl Scene {
    pub(super) async fn forecast(&self, broadcast: BroadcastId) -> Result<Forecast, Error> {
        ops::forecast(&self.state, self.tenant, broadcast).await
    }

    /// Resolved, with a fifth held out.
    async fn start_held_out(&self, kind: Kind) -> BroadcastId {
        let mut command = command(kind, "inbox");
        command["held_out_ppm"] = 200_000.into();
        let broadcast = self.accept(command).await.unwrap().broadcast_id;
        self.resolve().await;
        broadcast
    }

    /// Forecasts, sends and compares.
    pub(super) async fn comes_true(&self, broadcast: BroadcastId) -> Forecast {
        self.confirm_all(broadcast).await;
        let forecast = self.forecast(broadcast).await.unwrap();
        self.send_all().await;
        self.end().await;
        let done = self.progress(broadcast).await;
        assert_eq!(
            (forecast.audience, forecast.outcomes),
            (done.audience, done.outcomes)
        );
        assert_eq!(done.outcomes.total(), done.audience);
        let after = self.forecast(broadcast).await.unwrap();
        assert_eq!(after.outcomes, done.outcomes, "and stays so");
        self.check_books().await;
        forecast
    }

    /// Only the first contacts of the audience.
    fn narrow(&self, count: usize) -> Vec<super::played::Befriended> {
        let mut entries = self.customers.entries.lock().unwrap();
        let all = entries.clone();
        entries.truncate(count);
        all
    }
}

#[tokio::test]
async fn a_forecast_is_the_outcome() {
    let scene = Scene::new(&["--chunk-recipients-max", "40"]).await;
    scene
        .limit(Scope::Fatigue, 0, Some(limit(Window::Day, 1, None)))
        .await;
    let contacts = scene.audience(300);
    let all = scene.narrow(120);
    let first = scene.run(Kind::Enterprise).await;
    assert_eq!(first.outcomes.delivered, 108);
    *scene.customers.entries.lock().unwrap() = all;
    let own = scene.run(Kind::Member).await;
    assert_eq!((own.outcomes.delivered, own.outcomes.fatigued), (54, 36));

    let broadcast = scene.start_held_out(Kind::Enterprise).await;
    for contact in [contacts[1], contacts[200], contacts[201]] {
        let event = ContactConsentChanged {
            tenant_id: scene.tenant.to_string(),
            contact_id: contact.to_string(),
            marketing: false,
        };
        scene.hear_of(scene.state.clock.now(), event).await.unwrap();
    }
    let tasks = scene.tasks(broadcast).await;
    let hers = tasks.iter().find(|task| task.member_id == scene.members[0]);
    scene
        .confirm(hers.unwrap(), &[contacts[0], contacts[150]])
        .await
        .unwrap();
    let forecast = scene.comes_true(broadcast).await;
    let ends = forecast.outcomes;
    for (outcome, least) in [
        (Outcome::Delivered, 50),
        (Outcome::Capped, 60),
        (Outcome::Fatigued, 20),
        (Outcome::HeldOut, 20),
        (Outcome::OptedOut, 33),
        (Outcome::Deselected, 2),
    ] {
        assert!(ends.of(outcome) >= least, "{ends:?}");
    }
    let held: Vec<_> = forecast
        .holders
        .iter()
        .map(|holder| (holder.outcome, holder.broadcast_id, holder.recipients))
        .collect();
    let expected = [
        (Outcome::Capped, first.broadcast.broadcast_id, ends.capped),
        (Outcome::Fatigued, own.broadcast.broadcast_id, ends.fatigued),
    ];
    assert_eq!(held, expected);
    assert_eq!(forecast.holders[0].title, "Spring");
}

#[tokio::test]
async fn limits_of_several_are_forecast_too() {
    let scene = Scene::new(&["--chunk-recipients-max", "40"]).await;
    let twice = limit(Window::MonthDays, 2, None);
    scene.limit(Scope::Enterprise, -40, Some(twice)).await;
    let thrice = limit(Window::RollingDays, 3, Some(5));
    scene.limit(Scope::Fatigue, -40, Some(thrice)).await;
    scene.audience(150);
    let all = scene.narrow(90);
    for _ in 0..2 {
        assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 81);
    }
    *scene.customers.entries.lock().unwrap() = all;
    let broadcast = scene.start_held_out(Kind::Enterprise).await;
    let forecast = scene.comes_true(broadcast).await;
    assert!(forecast.outcomes.capped > 50 && forecast.outcomes.delivered > 30);
    let by_member = scene.start_held_out(Kind::Member).await;
    scene.comes_true(by_member).await;
}

#[tokio::test]
async fn the_better_ways_are_told() {
    let scene = Scene::new(&[]).await;
    scene.audience(90);
    scene.run(Kind::Member).await;
    let again = scene.start(Kind::Member).await;
    let forecast = scene.forecast(again).await.unwrap();
    assert_eq!((forecast.outcomes.capped, forecast.outcomes.delivered), (27, 0));
    let ways: Vec<_> = forecast
        .alternatives
        .iter()
        .map(|other| (other.way, other.delivered))
        .collect();
    assert_eq!(ways, [(Way::Tomorrow, 27), (Way::ByEnterprise, 27)]);
    let at = forecast.alternatives[0]
        .at
        .unwrap()
        .in_tz("Asia/Shanghai")
        .unwrap();
    assert_eq!((at.hour(), at.minute()), (9, 0));

    scene.run(Kind::Enterprise).await;
    let week = scene.start(Kind::Enterprise).await;
    let forecast = scene.forecast(week).await.unwrap();
    assert_eq!((forecast.outcomes.capped, forecast.outcomes.delivered), (81, 0));
    let by_member = forecast
        .alternatives
        .iter()
        .find(|other| other.way == Way::ByMember)
        .unwrap();
    assert_eq!(
        by_member.delivered, 54,
        "two of the three members wrote to nobody today"
    );
    let free = scene.forecast(scene.start(Kind::Member).await).await.unwrap();
    assert_eq!(free.outcomes.capped, 27);
}

#[tokio::test]
async fn only_a_fixed_audience_is_forecast() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let open = scene
        .accept(command(Kind::Enterprise, "inbox"))
        .await
        .unwrap()
        .broadcast_id;
    assert!(matches!(scene.forecast(open).await, Err(Error::AudienceOpen)));
    let nobody = scene.forecast(BroadcastId::new()).await;
    assert!(matches!(nobody, Err(Error::BroadcastUnknown)));
    let pause = async || ops::pause(&scene.state, scene.operator(), open).await.unwrap();
    pause().await;
    let paused = scene.forecast(open).await;
    assert!(matches!(paused, Err(Error::AudienceOpen)), "it is not whole yet");
    ops::resume(&scene.state, scene.operator(), open).await.unwrap();
    scene.resolve().await;
    pause().await;
    assert_eq!(scene.forecast(open).await.unwrap().outcomes.delivered, 27);
    ops::cancel(&scene.state, scene.operator(), open).await.unwrap();
    let forecast = scene.forecast(open).await.unwrap();
    assert_eq!(
        (forecast.outcomes.cancelled, forecast.outcomes.opted_out),
        (27, 3)
    );
}
