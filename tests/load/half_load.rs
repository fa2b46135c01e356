//! The 99th percentile of each service's hot route at half the rate that it sustains, with the whole set running.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::ensure;
use client::{PASSWORD, text};
use serde_json::json;
use testkit::{Set, eventually};

use crate::figure::Figures;
use crate::http::Connection;
use crate::lane::{Ask, Asks, Lane, Lanes, Source};
use crate::people::{self, Person};
use crate::process::SERVICES;
use crate::scene::Scene;

const CONNECTIONS: usize = 32;
/// Each joins once, so this bounds the joins per second that can be measured.
const PEOPLE: usize = 8_000;
const WARM_UP_SECS: u64 = 1;
/// Of the rate meant; otherwise the figure is of another load.
const REACHED_MIN: f64 = 0.95;
const PERCENTILE: f64 = 99.0;

/// What the routes are asked with.
struct World<'a> {
    scene: &'a Scene,
    people: Arc<Vec<Person>>,
    series: String,
}

pub(crate) async fn measure(
    set: &Set,
    scene: &Scene,
    figures: &mut Figures,
    secs: u64,
) -> anyhow::Result<()> {
    let world = World::prepare(set, scene).await?;
    for service in SERVICES {
        let mut lanes = world.lanes(service).await?;
        lanes.as_fast_as_answered(WARM_UP_SECS).await?;
        let sustained = lanes.as_fast_as_answered(secs).await?;
        // What listeners still do of it would be measured along.
        people::heard(scene, set.stack()).await?;
        let (micros, reached) = lanes.at_rate(sustained / 2.0, secs).await?;
        ensure!(
            reached >= sustained / 2.0 * REACHED_MIN,
            "{reached:.0} requests/s were reached at {service}, not half of {sustained:.0}"
        );
        world.all_counted(service, &lanes).await?;
        people::heard(scene, set.stack()).await?;
        let p99_ms = micros.value_at_percentile(PERCENTILE) as f64 / 1_000.0;
        figures.add(&format!("api_p99_half_load_ms_{service}"), p99_ms, "ms", None)?;
        figures.add(
            &format!("api_half_load_per_s_{service}"),
            reached,
            "1/s",
            Some(sustained),
        )?;
    }
    Ok(())
}

impl<'a> World<'a> {
    async fn prepare(set: &Set, scene: &'a Scene) -> anyhow::Result<Self> {
        let people = Arc::new(people::scan(scene, set.stack(), PEOPLE).await?);
        let api = &scene.brand.api;
        let body = json!({"name": "bench", "theme": "t", "benefit": "b", "greeting": "Hi", "capacity": 500});
        let series = eventually(async || {
            let ask = api
                .post("groups", "/v1/series")
                .token(&scene.staff.operator.token);
            ask.json(&body).ok().await
        })
        .await?;
        api.post("referral", "/v1/plans/yunji-demo")
            .token(&scene.brand.owner.token)
            .json(&json!({}))
            .ok()
            .await?;
        Ok(Self {
            scene,
            people,
            series: text(&series, "series_id")?,
        })
    }

    async fn lanes(&self, service: &str) -> anyhow::Result<Lanes> {
        let Scene { brand, staff, .. } = self.scene;
        // Tokens end after ten minutes.
        let operator = brand.sign_in(&staff.operator.email).await?;
        let asks = self.asks(service, operator);
        let mut lanes = Vec::with_capacity(CONNECTIONS);
        for _ in 0..CONNECTIONS {
            let source = match &asks {
                Some(asks) => Source::Shared(Arc::clone(asks)),
                None => Source::Refresh(self.session().await?),
            };
            let connection = Connection::open(brand.api.url(service)).await?;
            lanes.push(Lane { connection, source });
        }
        Ok(Lanes::new(lanes))
    }

    /// What each service is asked most: nothing here for identity, whose refresh needs the answer before.
    fn asks(&self, service: &str, operator: String) -> Option<Asks> {
        let people = Arc::clone(&self.people);
        let join = format!("/v1/series/{}/join", self.series);
        Some(match service {
            "broadcast" => Arc::new(move |n| {
                let person = &people[n % people.len()];
                Some(get("/v1/inbox".to_owned(), &person.token))
            }),
            "customers" => Arc::new(move |n| {
                let person = &people[n % people.len()];
                Some(get(format!("/v1/contacts/{}", person.contact_id), &operator))
            }),
            "groups" => Arc::new(move |n| {
                let person = people.get(n)?;
                Some(Ask {
                    key: person.contact_id.clone(),
                    ..post(join.clone(), &person.token, "{}".to_owned())
                })
            }),
            "referral" => Arc::new(move |n| {
                let buyer = &people[n % people.len()].external_id;
                let referrer = &people[(n + 1) % people.len()].external_id;
                let order = json!({
                    "id": format!("bench-{n}"), "type": "order.paid", "order": format!("bench-{n}"),
                    "occurred_at": "2026-03-01T10:00:00+08:00", "buyer": buyer, "referrer": referrer,
                    "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800}],
                });
                Some(post("/v1/order-events".to_owned(), &operator, order.to_string()))
            }),
            _ => return None,
        })
    }

    /// A login's first refresh token.
    async fn session(&self) -> anyhow::Result<String> {
        let Scene { brand, staff, .. } = self.scene;
        let body = json!({"tenant": brand.slug, "email": staff.operator.email, "password": PASSWORD});
        let login = brand.api.post("identity", "/v1/login").json(&body).ok().await?;
        text(&login, "refresh_token")
    }

    /// Whether what was written is there, once for each request.
    async fn all_counted(&self, service: &str, lanes: &Lanes) -> anyhow::Result<()> {
        let asked = lanes.next.load(Ordering::Relaxed);
        let sql = match service {
            "groups" => "select count(*) from groups.seat",
            "referral" => "select count(*) from referral.order_event where event_id like 'bench-%'",
            _ => return Ok(()),
        };
        let count: i64 = sqlx::query_scalar(sql).fetch_one(&self.scene.superuser).await?;
        ensure!(
            usize::try_from(count)? == asked,
            "{asked} requests left {count} rows"
        );
        Ok(())
    }
}

fn get(path: String, token: &str) -> Ask {
    Ask {
        method: "GET",
        path,
        token: token.to_owned(),
        ..Ask::default()
    }
}

fn post(path: String, token: &str, body: String) -> Ask {
    Ask {
        method: "POST",
        body,
        ..get(path, token)
    }
}
