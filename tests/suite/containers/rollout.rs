//! A rolling restart of every service at once, under load: no request fails, no event is lost or has effect twice.

use std::collections::BTreeSet;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use sqlx::Connection as _;
use testkit::eventually;

use super::balancer::Balancer;
use super::fleet::Fleet;
use super::load::{Done, Load, REFERRER, paid};
use super::say;
use super::servers::Servers;
use crate::scene::{Contact, Scene};

/// Half of everything goes at a time.
const ROUNDS: [[&str; 6]; 2] = [
    [
        "identity-2",
        "customers-2",
        "groups-2",
        "broadcast-2",
        "referral-2",
        "broadcast-worker-2",
    ],
    [
        "identity",
        "customers",
        "groups",
        "broadcast",
        "referral",
        "broadcast-worker-1",
    ],
];
/// Fewer, and nobody was there to notice.
const REQUESTS_MIN: usize = 200;
const CHECKS_AT_ONCE: usize = 8;
const DEAD_LETTERS: &str = "select (select count(*) from identity.dead_letter) \
    + (select count(*) from customers.dead_letter) + (select count(*) from groups.dead_letter) \
    + (select count(*) from broadcast.dead_letter) + (select count(*) from referral.dead_letter)";

pub(super) async fn loses_nothing(servers: &Servers, fleet: &Fleet<'_>, scene: &Scene) -> anyhow::Result<()> {
    let balancer = Balancer::new(servers);
    let before = [scene.scan("wx-buyer").await?, scene.scan(REFERRER).await?];
    let load = Load::prepare(&balancer, scene).await?;
    let roll = async {
        roll(fleet, &balancer).await?;
        load.end();
        anyhow::Ok(())
    };
    let (done, ()) = tokio::select! {
        both = async { tokio::try_join!(load.run(), roll) } => both?,
        never = balancer.watch() => match never {},
    };
    let requests: usize = done.requests.values().map(|(asked, _)| asked).sum();
    for (kind, (asked, retried)) in &done.requests {
        say(&format!(
            "  {kind}: {asked} requests, {retried} sent again after a 503"
        ));
    }
    ensure!(requests >= REQUESTS_MIN, "{requests} requests");

    let mut contacts: Vec<Contact> = load.contacts().cloned().chain(before).collect();
    contacts.extend(done.visitors.iter().cloned());
    each_scan_is_one_contact(scene, &contacts)
        .await
        .context("contacts")?;
    each_visitor_has_one_seat(scene, &load.series, &done)
        .await
        .context("seats")?;
    scene.all_welcomed_once(&contacts).await.context("welcomes")?;
    scene
        .all_greeted_once(&done.visitors)
        .await
        .context("greetings")?;
    for broadcast in &done.broadcasts {
        scene.finished(broadcast).await.context("mass messages")?;
    }
    scene
        .all_reached_once(&done.reached)
        .await
        .context("mass messages")?;
    each_order_is_earned_once(scene, &done).await.context("orders")?;
    each_contact_is_known_to_referral(scene, &contacts)
        .await
        .context("referral")?;
    let mut connection =
        sqlx::PgConnection::connect(&servers.stack.description().postgres.superuser_url).await?;
    let dead: i64 = sqlx::query_scalar(DEAD_LETTERS)
        .fetch_one(&mut connection)
        .await?;
    ensure!(dead == 0, "{dead} dead letters");
    Ok(())
}

async fn roll(fleet: &Fleet<'_>, balancer: &Balancer) -> anyhow::Result<()> {
    for round in ROUNDS {
        try_join_all(round.map(|name| fleet.restart(name))).await?;
        eventually(async || balancer.all_are_in()).await?;
    }
    Ok(())
}

async fn each_scan_is_one_contact(scene: &Scene, contacts: &[Contact]) -> anyhow::Result<()> {
    let ids: BTreeSet<&str> = contacts.iter().map(|contact| contact.id.as_str()).collect();
    ensure!(ids.len() == contacts.len(), "two scans were told of one contact");
    let listed = scene
        .api
        .all("customers", "/v1/contacts", &scene.operator.token)
        .await?;
    ensure!(
        listed.len() == contacts.len(),
        "{} contacts of {} scans",
        listed.len(),
        contacts.len()
    );
    Ok(())
}

async fn each_visitor_has_one_seat(scene: &Scene, series: &str, done: &Done) -> anyhow::Result<()> {
    let path = format!("/v1/groups?series_id={series}");
    let groups = scene.api.all("groups", &path, &scene.operator.token).await?;
    let seats: u64 = groups
        .iter()
        .filter_map(|group| group["seats_taken"].as_u64())
        .sum();
    let visitors = done.visitors.len();
    ensure!(seats == visitors as u64, "{seats} seats of {visitors} visitors");
    Ok(())
}

async fn each_order_is_earned_once(scene: &Scene, done: &Done) -> anyhow::Result<()> {
    let path = format!("/v1/accruals?person={REFERRER}");
    let accruals = scene.api.all("referral", &path, &scene.operator.token).await?;
    let earned: i64 = accruals
        .iter()
        .filter_map(|accrual| accrual["amount"]["minor"].as_i64())
        .sum();
    ensure!(
        earned == done.earned_minor,
        "{earned} instead of {}",
        done.earned_minor
    );
    Ok(())
}

/// It takes an order by the contact's id only once it was told of that contact.
async fn each_contact_is_known_to_referral(scene: &Scene, contacts: &[Contact]) -> anyhow::Result<()> {
    // Who refers themselves earns nothing, so that one is no buyer.
    let buyers = contacts.iter().filter(|contact| contact.external_id != REFERRER);
    let orders = stream::iter(buyers).map(async |contact| {
        let order = paid(&format!("known-{}", contact.id), &contact.id);
        let events = scene.api.post("referral", "/v1/order-events");
        let told = events.token(&scene.operator.token).json(&order).ok().await?;
        ensure!(told["outcome"] == "posted", "{}: {told}", contact.external_id);
        anyhow::Ok(())
    });
    orders.buffer_unordered(CHECKS_AT_ONCE).try_collect().await
}
