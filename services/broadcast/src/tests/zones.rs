//! Recipients of several time zones: each by their own clock, in quiet hours and where a time of the day was asked for.
//!
//! Times are told apart by how far ahead they are, so it never matters when the tests run.

use contracts::customers::v1::ContactConsentChanged;
use contracts::{BroadcastId, ContactId};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan as _};
use serde_json::{Value, json};

use super::scene::{Scene, command};
use crate::broadcast::Kind;
use crate::error::Error;
use crate::forecast::Way;
use crate::ops;
use crate::quiet::Hours;
use crate::schedule::Schedule;
use crate::zone::LocalTime;

/// Six, seven and thirteen hours behind Shanghai, without summers of their own.
const ZONES: [&str; 3] = ["Africa/Johannesburg", "Africa/Lagos", "America/Jamaica"];
const BEHIND_HOURS: [i64; 3] = [6, 7, 13];

impl Scene {
    /// An audience of which half goes by the tenant's clock (nobody knows where they live, it is the same there, or no
    /// such place is known), and a sixth by that of each zone. All agreed to marketing.
    fn scattered(&self, count: usize) {
        let contacts = self.audience(count);
        for entry in &mut *self.customers.entries.lock().unwrap() {
            entry.marketing = true;
        }
        let [one, two, three] = ZONES.map(Some);
        let zones = [
            None,
            Some("Asia/Taipei"),
            Some("Moon/Tranquility"),
            one,
            two,
            three,
        ];
        self.live(&contacts, |i| zones[i / 3 % 6]); // so that each member has some of all
    }

    fn live(&self, contacts: &[ContactId], zone: impl Fn(usize) -> Option<&'static str>) {
        let known = contacts.iter().enumerate();
        let known = known.filter_map(|(i, contact)| Some((*contact, zone(i)?)));
        *self.customers.zones.lock().unwrap() = known.collect();
    }

    /// What clocks in the tenant's zone show in so many minutes.
    fn local(&self, minutes: i64) -> LocalTime {
        let at = self.state.clock.now() + SignedDuration::from_mins(minutes);
        let shown: DateTime = TimeZone::get("Asia/Shanghai").unwrap().to_datetime(at);
        LocalTime(shown.round(jiff::Unit::Minute).unwrap())
    }

    fn planned(&self, minutes: i64, until_minutes: Option<i64>) -> Value {
        let mut command = command(Kind::Enterprise, "inbox");
        command["send_at_local"] = serde_json::to_value(self.local(minutes)).unwrap();
        let until = until_minutes.map(|minutes| self.state.clock.now() + SignedDuration::from_mins(minutes));
        command["send_until"] = serde_json::to_value(until).unwrap();
        command
    }

    pub(super) async fn plan(&self, minutes: i64, until_minutes: Option<i64>) -> Result<BroadcastId, Error> {
        let command = self.planned(minutes, until_minutes);
        let broadcast = self.accept(command).await?.broadcast_id;
        self.resolve().await;
        Ok(broadcast)
    }

    /// Chunks of a zone, null for the tenant's, that begin in so many minutes from now.
    async fn begin_in(&self, zone: Option<&str>, minutes: i64) -> i64 {
        sqlx::query_scalar(
            "select count(*) from chunk where in_zone is not distinct from $1
               and not_before between now() + make_interval(mins => $2 - 2) and now() + make_interval(mins => $2 + 2)",
        )
        .bind(zone)
        .bind(i32::try_from(minutes).unwrap())
        .fetch_one(&self.test.superuser)
        .await
        .unwrap()
    }

    /// As if the time of a zone's chunks had come.
    async fn comes(&self, zone: Option<&str>) {
        sqlx::query("update chunk set not_before = now() where in_zone is not distinct from $1")
            .bind(zone)
            .execute(&self.test.superuser)
            .await
            .unwrap();
    }

    /// What has been delivered by now.
    async fn delivered(&self, broadcast: BroadcastId) -> i64 {
        self.send_all().await;
        self.end().await;
        self.progress(broadcast).await.outcomes.delivered
    }
}

#[tokio::test]
async fn chunks_are_of_one_zone_and_clocks_that_agree_are_one() {
    let scene = Scene::new(&["--chunk-recipients-max", "40"]).await;
    scene.scattered(900);
    *scene.customers.breaks.lock().unwrap() = vec![4];
    let broadcast = scene.start(Kind::Enterprise).await;
    scene
        .force("update broadcast set resolve_until = now() - interval '1 second'")
        .await;
    scene.resolve().await;
    assert_eq!(scene.progress(broadcast).await.audience, 900);
    let wrong = "select count(*) from (
        select in_zone from chunk group by in_zone having sum(recipients) <> case when in_zone is null then 450 else 150 end)";
    assert_eq!(scene.count(wrong).await, 0);
    assert_eq!(scene.count("select count(distinct in_zone) from chunk").await, 3);
    let half_full = "select count(*) from chunk where recipients < 40";
    assert!(
        scene.count(half_full).await <= 12,
        "one for each of three members in four zones, also behind a break"
    );
    assert_eq!(
        scene
            .count("select count(*) from chunk where not_before is not null")
            .await,
        0
    );
    scene.confirm_all(broadcast).await;
    assert_eq!(scene.delivered(broadcast).await, 900);
    scene.check_books().await;
}

#[tokio::test]
async fn a_time_of_the_day_comes_to_each_zone_when_its_clocks_show_it() {
    let scene = Scene::new(&[]).await;
    scene.scattered(180);
    let past = scene.plan(-1, None).await;
    assert!(matches!(past, Err(Error::SchedulePast("send_at_local"))));
    let broadcast = scene.plan(60, None).await.unwrap();
    scene.confirm_all(broadcast).await;
    assert_eq!(scene.begin_in(None, 60).await, 3, "a chunk for each member");
    for (zone, behind) in ZONES.iter().zip(BEHIND_HOURS) {
        assert_eq!(scene.begin_in(Some(zone), 60 + 60 * behind).await, 3, "{zone}");
    }
    assert_eq!(
        (scene.delivered(broadcast).await, scene.remaining().await),
        (0, 0)
    );
    scene.comes(None).await;
    assert_eq!(scene.remaining().await, 90);
    assert_eq!(scene.delivered(broadcast).await, 90);
    scene.comes(Some(ZONES[1])).await;
    assert_eq!(scene.delivered(broadcast).await, 120);
    // Paused, the next one's time passes.
    ops::pause(&scene.state, scene.operator(), broadcast)
        .await
        .unwrap();
    scene.comes(Some(ZONES[0])).await;
    assert_eq!(scene.delivered(broadcast).await, 120);
    ops::resume(&scene.state, scene.operator(), broadcast)
        .await
        .unwrap();
    assert_eq!(scene.delivered(broadcast).await, 150);
    ops::cancel(&scene.state, scene.operator(), broadcast)
        .await
        .unwrap();
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes.cancelled, 30);
    scene.check_books().await;
}

#[tokio::test]
async fn where_it_is_past_it_is_sent_at_once_and_where_it_is_too_late_never() {
    let scene = Scene::new(&[]).await;
    let contacts = scene.audience(90);
    scene.live(&contacts, |i| {
        [None, Some("Asia/Tokyo"), Some("Africa/Lagos")][i % 3]
    });
    // Ahead in Shanghai, past in Tokyo; in Lagos not before it is over.
    let mut command = scene.planned(30, Some(90));
    command["held_out_ppm"] = 300_000.into();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    // One in each zone, after nine who had not agreed before.
    for contact in &contacts[..3] {
        let event = ContactConsentChanged {
            tenant_id: scene.tenant.to_string(),
            contact_id: contact.to_string(),
            marketing: false,
        };
        scene.hear_of(scene.state.clock.now(), event).await.unwrap();
    }
    let forecast = scene.forecast(broadcast).await.unwrap();
    let ends = forecast.outcomes;
    assert_eq!(
        (ends.quiet_expired, ends.opted_out, ends.delivered + ends.held_out),
        (27, 11, 52),
        "in Lagos nobody asks who else is out"
    );
    assert!(ends.held_out > 0);
    let delivered = scene.delivered(broadcast).await;
    scene.comes(None).await;
    assert!((1..ends.delivered).contains(&delivered));
    assert_eq!(scene.delivered(broadcast).await, ends.delivered);
    scene.force("update broadcast set send_until = now()").await;
    scene.end().await;
    assert_eq!(scene.progress(broadcast).await.outcomes, forecast.outcomes);
    scene.check_books().await;
}

#[tokio::test]
async fn what_has_begun_nowhere_is_rescheduled_in_every_zone() {
    let scene = Scene::new(&[]).await;
    scene.scattered(180);
    let broadcast = scene.plan(60, None).await.unwrap();
    let reschedule = async |schedule: &Schedule| {
        let moved = ops::reschedule(&scene.state, scene.operator(), broadcast, schedule).await?;
        assert_eq!(moved.broadcast.schedule(), *schedule);
        Ok::<_, Error>(moved.tasks[0].expires_at)
    };
    let local = |minutes| Schedule {
        send_at_local: Some(scene.local(minutes)),
        ..Schedule::default()
    };
    let at: Timestamp = scene.state.clock.now() + SignedDuration::from_mins(90);
    let one_time = Schedule {
        send_at: Some(at),
        ..Schedule::default()
    };
    let twice = Schedule {
        send_at: Some(at),
        ..local(120)
    };
    assert!(matches!(reschedule(&twice).await, Err(Error::ScheduleTwice)));
    let expires_at = reschedule(&local(120)).await.unwrap();
    assert_eq!(scene.begin_in(None, 120).await, 3);
    assert_eq!(scene.begin_in(Some(ZONES[0]), 480).await, 3);
    let patience = expires_at.duration_since(scene.state.clock.now()).as_hours();
    assert!(
        (25..27).contains(&patience),
        "a day from when it begins in Shanghai"
    );
    reschedule(&one_time).await.unwrap();
    let timed = "select count(*) from chunk where not_before is not null";
    assert_eq!(scene.count(timed).await, 0, "one time for all");
    reschedule(&local(180)).await.unwrap();
    assert_eq!(
        scene.begin_in(Some(ZONES[2]), 180 + 60 * BEHIND_HOURS[2]).await,
        3
    );

    // Where it is an hour later than in Shanghai it may have begun.
    let contacts = scene.audience(30);
    scene.live(&contacts, |i| (i % 2 == 0).then_some("Asia/Tokyo"));
    let begun = scene.plan(30, None).await.unwrap();
    for sent in [0, 15] {
        assert_eq!(scene.progress(begun).await.outcomes.delivered, sent);
        let later = ops::reschedule(&scene.state, scene.operator(), begun, &local(300)).await;
        assert!(matches!(later, Err(Error::ScheduleOver)));
        scene.confirm_all(begun).await;
        scene.delivered(begun).await;
    }
}

#[tokio::test]
async fn quiet_hours_are_those_of_the_chunks_zone() {
    let scene = Scene::new(&[]).await;
    scene.scattered(180);
    let now = TimeZone::get(ZONES[0])
        .unwrap()
        .to_datetime(scene.state.clock.now());
    // Night in Johannesburg alone; an hour behind, in Lagos, it begins within the hour.
    let hours = Hours {
        starts: now.time().wrapping_sub(20.minutes()),
        ends: now.time().wrapping_add(30.minutes()),
    };
    let mut tx = scene.state.db.begin(scene.tenant).await.unwrap();
    crate::store::quiet::set(
        &mut *tx,
        scene.tenant,
        hours,
        scene.members[0],
        scene.state.clock.now(),
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    let mut short = command(Kind::Enterprise, "inbox");
    let until = scene.state.clock.now() + SignedDuration::from_mins(20);
    short["send_until"] = serde_json::to_value(until).unwrap();
    let short = scene.accept(short).await.unwrap().broadcast_id;
    scene.resolve().await;
    let forecast = scene.comes_true(short).await;
    assert_eq!(
        (forecast.outcomes.quiet_expired, forecast.outcomes.delivered),
        (30, 150),
        "its time is over before the night in Johannesburg"
    );

    scene.force("delete from cap").await;
    let broadcast = scene.start(Kind::Enterprise).await;
    scene.confirm_all(broadcast).await;
    assert_eq!(scene.delivered(broadcast).await, 150);
    assert_eq!(
        scene.begin_in(Some(ZONES[0]), 30).await,
        3,
        "it waits until morning"
    );
    assert!(scene.hints().await.is_empty(), "without a lane");
    scene.quiet(120, 180).await;
    assert_eq!(scene.delivered(broadcast).await, 180, "it is night there no more");
}

#[tokio::test]
async fn a_forecast_counts_each_zone_on_the_day_it_is_sent() {
    let scene = Scene::new(&["--chunk-recipients-max", "40"]).await;
    scene.scattered(180);
    scene.run(Kind::Member).await;
    // Her cap of tomorrow is taken for all of hers; eleven at night further west is the day after in Shanghai.
    let now = scene.state.clock.now().in_tz("Asia/Shanghai").unwrap();
    let tomorrow = now.date().tomorrow().unwrap();
    sqlx::query("update cap set window_start = $1::text::date")
        .bind(tomorrow.to_string())
        .execute(&scene.test.superuser)
        .await
        .unwrap();
    let mut again = command(Kind::Member, "inbox");
    again["send_at_local"] = serde_json::to_value(LocalTime(tomorrow.at(23, 0, 0, 0))).unwrap();
    let again = scene.accept(again).await.unwrap().broadcast_id;
    scene.resolve().await;
    let forecast = scene.forecast(again).await.unwrap();
    assert_eq!((forecast.outcomes.delivered, forecast.outcomes.capped), (30, 30));
    let mut ways = forecast.alternatives.iter();
    let other = ways.find(|other| other.way == Way::Tomorrow).unwrap();
    let local = serde_json::to_value(other.at_local.unwrap()).unwrap();
    assert!(local.as_str().unwrap().ends_with("T09:00"), "{local}");
    assert_eq!(other.delivered, 60);
}

#[tokio::test]
async fn a_resolver_that_knows_no_local_time_can_not_read_on() {
    let scene = Scene::new(&[]).await;
    scene.scattered(180);
    // To it every cursor is empty or an id.
    let guarded = "select count(*) from broadcast where resolve_cursor like 'local:%'";
    *scene.customers.breaks.lock().unwrap() = vec![1];
    let broadcast = scene.accept(scene.planned(60, None)).await.unwrap();
    let broadcast = broadcast.broadcast_id;
    assert_eq!(scene.count(guarded).await, 1);
    ops::resolve(&scene.state).await.unwrap();
    assert_eq!(scene.progress(broadcast).await.audience, 100);
    assert_eq!(scene.count(guarded).await, 1, "also behind a page");
    let one_time = Schedule {
        send_at: Some(scene.state.clock.now() + SignedDuration::from_mins(90)),
        ..Schedule::default()
    };
    let local = Schedule {
        send_at_local: Some(scene.local(60)),
        ..Schedule::default()
    };
    for (schedule, is_guarded) in [(one_time, 0), (local, 1)] {
        let moved = ops::reschedule(&scene.state, scene.operator(), broadcast, &schedule);
        moved.await.unwrap();
        assert_eq!(scene.count(guarded).await, is_guarded);
    }
    scene
        .force("update broadcast set resolve_until = now() - interval '1 second'")
        .await;
    scene.resolve().await;
    assert_eq!(scene.progress(broadcast).await.audience, 180);
    assert_eq!(scene.begin_in(None, 60).await, 3);
}

#[test]
fn a_schedule_is_read_with_either_time() {
    let read = |schedule| serde_json::from_value::<Schedule>(schedule);
    let local = read(json!({"send_at_local": "2026-12-24T09:00"})).unwrap();
    assert_eq!(
        serde_json::to_value(local).unwrap()["send_at_local"],
        "2026-12-24T09:00"
    );
    assert!(read(json!({"send_at_local": "2026-12-24T09:00:00+08:00"})).is_err());
}
