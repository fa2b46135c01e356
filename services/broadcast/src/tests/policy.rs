//! Limits as tenants set them: counted by the day, whatever happens at once and whatever changes.

use std::collections::BTreeMap;

use futures::future::join_all;
use jiff::ToSpan as _;
use jiff::civil::Date;
use uuid::Uuid;

use chassis::auth::Operator;

use super::crash::LEASES_EXPIRE;
use super::scene::{Scene, command};
use crate::broadcast::Kind;
use crate::cap::{Limit, Rule, Scope, Window};
use crate::error::Error;
use crate::ops::{self, Answer, Claimed};
use crate::policy::SetCapPolicy;
use crate::store;

/// Scope, first day, and the limit's three columns.
type Said = (String, jiff_sqlx::Date, Option<String>, Option<i32>, Option<i32>);

pub(super) fn limit(window: Window, sends_max: i32, days: Option<i32>) -> Limit {
    Limit {
        window,
        sends_max,
        days,
    }
}

impl Scene {
    pub(super) async fn today(&self) -> Date {
        let mut tx = self.state.db.read(self.tenant).await.unwrap();
        let begun = store::policy::begun(&mut *tx, self.tenant, 0.0).await;
        begun.unwrap().unwrap()
    }

    /// A limit that holds since a day so many days from now.
    pub(super) async fn limit(&self, scope: Scope, in_days: i64, limit: Option<Limit>) {
        let since = self.today().await + in_days.days();
        let (mut tx, now) = (
            self.state.db.begin(self.tenant).await.unwrap(),
            self.state.clock.now(),
        );
        store::policy::put(&mut *tx, self.tenant, scope, since, limit, self.members[0], now)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    }

    /// Whatever was taken and set becomes a week older.
    pub(super) async fn a_week_passes(&self) {
        for statement in [
            // In two strides, which pass over every other row's key.
            "update cap set window_start = window_start - 7000, taken_on = taken_on - 7000",
            "update cap set window_start = window_start + 6993, taken_on = taken_on + 6993",
            "update cap_tally set days = array(
               select day - 7 from unnest(days) with ordinality as held (day, n) order by n)",
            "update cap_policy set since = since - 7000",
            "update cap_policy set since = since + 6993",
            "update inbox_message set at = at - interval '7 days'",
        ] {
            self.force(statement).await;
        }
    }

    /// By what contacts have got: on no day more than the limit of that day allows in its window.
    pub(super) async fn check_limits(&self) {
        let said: Vec<Said> =
            sqlx::query_as("select scope, since, length, sends_max, days from cap_policy order by since")
                .fetch_all(&self.test.superuser)
                .await
                .unwrap();
        let rule_on = |scope: Scope, day: Date| {
            let last = said
                .iter()
                .rfind(|(of, since, ..)| of == scope.name() && since.to_jiff() <= day);
            let set = last.and_then(|(_, _, window, sends_max, days)| {
                let window = serde_json::from_value(window.clone()?.into()).unwrap();
                Some(limit(window, (*sends_max)?, *days))
            });
            let since = last.map(|(_, since, ..)| since.to_jiff());
            set.or(scope.limit_by_default())
                .map(|limit| Rule { limit, since })
        };
        let got: Vec<(Uuid, String, Option<Uuid>, jiff_sqlx::Date)> = sqlx::query_as(
            "select contact_id, kind, from_member, (at at time zone 'Asia/Shanghai')::date from inbox_message
             where broadcast_id is not null",
        )
        .fetch_all(&self.test.superuser)
        .await
        .unwrap();
        let mut counted: BTreeMap<(Scope, Option<Uuid>, Uuid), Vec<Date>> = BTreeMap::new();
        for (contact, kind, member, day) in got {
            let day = day.to_jiff();
            let own = match kind.as_str() {
                "member" => (Scope::Member, member),
                _ => (Scope::Enterprise, None),
            };
            counted.entry((own.0, own.1, contact)).or_default().push(day);
            // Only what was sent since there is such a limit counts for it.
            if rule_on(Scope::Fatigue, day).is_some() {
                counted
                    .entry((Scope::Fatigue, None, contact))
                    .or_default()
                    .push(day);
            }
        }
        for ((scope, _, contact), days) in counted {
            for &day in &days {
                let Some(rule) = rule_on(scope, day) else { continue };
                let window = rule.first_day(day)..=day;
                let sends = days.iter().filter(|day| window.contains(day)).count();
                assert!(
                    sends <= usize::try_from(rule.limit.sends_max).unwrap(),
                    "{contact} got {sends} in {window:?}, {scope:?} allows {rule:?}"
                );
            }
        }
    }
}

#[tokio::test]
async fn several_in_a_month_are_counted() {
    let scene = Scene::new(&[]).await;
    scene.audience(90);
    let twice = limit(Window::MonthDays, 2, None);
    scene.limit(Scope::Member, -40, Some(twice)).await;
    for (delivered, capped) in [(27, 0), (27, 0), (0, 27)] {
        let outcomes = scene.run(Kind::Member).await.outcomes;
        assert_eq!((outcomes.delivered, outcomes.capped), (delivered, capped));
    }
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 81);
    scene.check_books().await;
    scene.check_limits().await;
}

#[tokio::test]
async fn a_rolling_window_slides_by_the_day() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    let limit = limit(Window::RollingDays, 1, Some(10));
    scene.limit(Scope::Enterprise, -40, Some(limit)).await;
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 27);
    scene.a_week_passes().await;
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.capped, 27);
    scene.a_week_passes().await;
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 27);
    scene.check_limits().await;
}

#[tokio::test]
async fn fatigue_counts_over_all_kinds_and_takes_no_cap() {
    let scene = Scene::new(&[]).await;
    scene.audience(90);
    let one = limit(Window::Day, 1, None);
    scene.limit(Scope::Fatigue, 0, Some(one)).await;
    assert_eq!(scene.run(Kind::Member).await.outcomes.delivered, 27);
    let outcomes = scene.run(Kind::Enterprise).await.outcomes;
    assert_eq!(
        (outcomes.delivered, outcomes.fatigued, outcomes.capped),
        (54, 27, 0)
    );
    // Both are used up: the cap of the kind is named first.
    assert_eq!(scene.run(Kind::Member).await.outcomes.capped, 27);
    assert_eq!(
        scene
            .count("select count(*) from cap where kind = 'enterprise'")
            .await,
        54
    );
    scene.check_books().await;
    scene.check_limits().await;
}

#[tokio::test]
async fn a_new_limit_counts_what_was_taken_under_the_old_one() {
    let scene = Scene::new(&[]).await;
    scene.audience(30);
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 27);
    let twice = limit(Window::RollingDays, 2, Some(20));
    scene.limit(Scope::Enterprise, 1, Some(twice)).await;
    scene.a_week_passes().await;
    for (delivered, capped) in [(27, 0), (0, 27)] {
        let outcomes = scene.run(Kind::Enterprise).await.outcomes;
        assert_eq!((outcomes.delivered, outcomes.capped), (delivered, capped));
    }
    // And back to one a week, perhaps from a day within it.
    scene.limit(Scope::Enterprise, 1, None).await;
    scene.a_week_passes().await;
    assert_eq!(scene.run(Kind::Enterprise).await.outcomes.delivered, 27);
    scene.check_books().await;
}

#[tokio::test]
async fn many_at_once_share_out_several_exactly() {
    let scene = Scene::new(&["--chunk-recipients-max", "40"]).await;
    scene.audience(200);
    let twice = limit(Window::MonthDays, 2, None);
    scene.limit(Scope::Enterprise, -40, Some(twice)).await;
    let thrice = limit(Window::RollingDays, 3, Some(2));
    scene.limit(Scope::Fatigue, -40, Some(thrice)).await;
    let mut delivered = 0;
    for kind in [Kind::Enterprise; 5] {
        let broadcast = scene.start(kind).await;
        scene.confirm_all(broadcast).await;
    }
    loop {
        let hints = scene.hints().await;
        if hints.is_empty() {
            break;
        }
        for some in hints.chunks(6) {
            for answer in join_all(some.iter().map(|hint| scene.send(*hint))).await {
                assert_eq!(answer.unwrap(), Answer::Forget);
            }
        }
    }
    scene.end().await;
    delivered += scene.count("select count(*) from inbox_message").await;
    assert_eq!(delivered, 360);
    scene.check_books().await;
    scene.check_limits().await;
}

#[tokio::test]
async fn an_earlier_day_is_traded_but_for_those_in_doubt() {
    let scene = Scene::new(&["--sub-batch-recipients", "2", "--worker-chunks-max", "1"]).await;
    scene.audience(30);
    let once = limit(Window::RollingDays, 1, Some(30));
    scene.limit(Scope::Member, -60, Some(once)).await;
    let broadcast = scene.start(Kind::Member).await;
    scene.confirm_all(broadcast).await;
    let hint = scene.hints().await[0];
    let Claimed::Chunk(dead) = ops::claim(&scene.state, hint).await.unwrap() else {
        panic!()
    };
    scene.hand_over(&dead.mailing, &dead.allowed[..2]).await;
    scene.force(LEASES_EXPIRE).await;
    scene.a_week_passes().await;
    assert_eq!(scene.send(hint).await.unwrap(), Answer::Forget);
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!((outcomes.delivered, outcomes.opted_out), (9, 1));
    let today = "select count(*) from cap_tally
        where days = array[(now() at time zone 'Asia/Shanghai')::date]";
    assert_eq!(scene.count(today).await, 9);
    scene.check_books().await;
}

#[tokio::test]
async fn a_share_is_held_out_and_takes_no_cap() {
    let scene = Scene::new(&[]).await;
    scene.audience(600);
    let mut command = command(Kind::Enterprise, "inbox");
    command["held_out_ppm"] = 250_000.into();
    let broadcast = scene.accept(command).await.unwrap().broadcast_id;
    scene.resolve().await;
    scene.confirm_all(broadcast).await;
    scene.send_all().await;
    scene.end().await;
    let outcomes = scene.progress(broadcast).await.outcomes;
    assert_eq!(outcomes.delivered + outcomes.held_out, 540);
    // 135 expected, 10 the standard deviation.
    assert!((80..190).contains(&outcomes.held_out), "{outcomes:?}");
    let same = "select count(*) from receipt
        where state in ('delivered', 'held_out') and (state = 'held_out') <> is_held_out(broadcast_id, contact_id, 250000)";
    assert_eq!(scene.count(same).await, 0);
    scene.check_books().await;
    // Whoever was held out may get the next one.
    let next = scene.run(Kind::Enterprise).await.outcomes;
    assert_eq!(
        (next.delivered, next.capped),
        (outcomes.held_out, outcomes.delivered)
    );
}

#[tokio::test]
async fn a_limit_is_set_for_days_to_come() {
    let scene = Scene::new(&[]).await;
    let operator = Operator::try_from(&chassis::auth::Caller::Member {
        tenant: scene.tenant,
        member: scene.members[0],
        role: chassis::auth::Role::Operator,
    })
    .unwrap();
    let set = async |asked: serde_json::Value| {
        let asked: SetCapPolicy = serde_json::from_value(asked).unwrap();
        ops::set_cap_policy(&scene.state, operator, &asked).await
    };
    let week = serde_json::json!({"scope": "member", "limit": {"window": "iso_week", "sends_max": 2}});
    for _ in 0..2 {
        let told = set(week.clone()).await.unwrap();
        assert!(told.since > Some(scene.today().await));
    }
    let audited = "select count(*) from audit_entry where action = 'cap_policy.set'";
    assert_eq!(scene.count(audited).await, 1, "the same again is no change");
    let mut early = week.clone();
    early["since"] = scene.today().await.to_string().into();
    assert!(matches!(set(early).await, Err(Error::PolicyTooEarly(_))));
    set(serde_json::json!({"scope": "member"})).await.unwrap();
    assert_eq!(scene.count(audited).await, 2);

    let mut tx = scene.state.db.read(scene.tenant).await.unwrap();
    let today = scene.today().await;
    scene.limit(Scope::Fatigue, -3, None).await;
    scene
        .limit(Scope::Fatigue, -2, Some(limit(Window::Day, 5, None)))
        .await;
    let said = store::policy::list(&mut *tx, scene.tenant, today, 100)
        .await
        .unwrap();
    let told: Vec<_> = said
        .iter()
        .map(|policy| (policy.scope, policy.is_default))
        .collect();
    assert_eq!(
        told,
        [(Scope::Fatigue, false), (Scope::Member, true)],
        "the last of earlier days, and what is to come"
    );
}
