//! What the examples of the API speak of, made through the API: one entry per kind of thing.

use anyhow::{Context as _, ensure};
use client::{register, text};
use serde_json::{Value, json};
use testkit::eventually;
use uuid::Uuid;

use super::world::{World, fresh};

/// What stands in a slot of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Thing {
    // Things of a tenant, known by an id.
    Member,
    SpareMember,
    Code,
    Contact,
    Follower,
    Import,
    Series,
    Group,
    /// A group in which the contact has a seat.
    Seat,
    Broadcast,
    /// One the agent started.
    OwnBroadcast,
    /// One the agent started, and an operator paused.
    PausedBroadcast,
    EndedBroadcast,
    /// The same, to be sent the day after tomorrow: paused, because one to nobody would be over at once.
    PlannedBroadcast,
    /// A mass message whose audience is complete.
    Resolved,
    Task,
    Message,
    Order,
    // Things the tenant itself names.
    ExternalId,
    /// Somebody who never scanned.
    Newcomer,
    /// Somebody with a commission.
    Earner,
    // Capabilities: who has them may use them.
    CodeToken,
    RefreshToken,
    /// In the link of somebody who has just come.
    OptOutToken,
    /// In a link of the first mass message to somebody who has just come.
    ClickToken,
    // What the tenant has to have before.
    Plan,
    Webhook,
    // Of the platform.
    PendingTenant,
    // Values.
    Slug,
    OwnSlug,
    Email,
    OwnerEmail,
    Password,
    ReviewerEmail,
    ReviewerPassword,
    EventId,
    NewOrder,
    Tomorrow,
    Is(&'static str),
    /// Leaves the field out.
    Absent,
}

/// Whose a thing is, which decides what is tried with it.
#[expect(clippy::enum_variant_names, reason = "owned by whom is the whole question")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    /// The tenant's: another tenant's must look like one that does not exist.
    ByTenant,
    /// One person's: a colleague's too.
    ByPerson,
    /// A name of the tenant's own choice: any is fine, and shows nothing of others.
    ByName,
    /// Nothing to tell apart.
    ByNobody,
}

impl Thing {
    pub(crate) fn owned(self) -> Owned {
        use Thing::{
            Broadcast, Code, Contact, Earner, EndedBroadcast, ExternalId, Follower, Group, Import, Member,
            Message, Order, OwnBroadcast, PausedBroadcast, PlannedBroadcast, Resolved, Seat, Series,
            SpareMember, Task,
        };
        match self {
            Member | SpareMember | Code | Contact | Follower | Import | Series | Group | Seat | Broadcast
            | OwnBroadcast | PausedBroadcast | EndedBroadcast | PlannedBroadcast | Resolved | Order => {
                Owned::ByTenant
            }
            Task | Message => Owned::ByPerson,
            ExternalId | Earner => Owned::ByName,
            _ => Owned::ByNobody,
        }
    }

    /// One that does not exist.
    pub(crate) fn unknown(self) -> Value {
        match self {
            Self::Order | Self::ExternalId | Self::Earner => json!(fresh("unknown")),
            _ => json!(Uuid::now_v7()),
        }
    }

    /// One of the tenant's.
    pub(crate) async fn make(self, world: &World) -> anyhow::Result<Value> {
        let (scene, contact) = (&world.scene, world.contact());
        let made = match self {
            Self::Member => world.agent()?.member_id.clone(),
            Self::SpareMember => world.brand().hire("林 小雨", "小雨", "agent").await?.member_id,
            Self::Code => code(world).await?,
            Self::CodeToken => scene.code.clone(),
            Self::Contact => contact.id.clone(),
            Self::ExternalId => contact.external_id.clone(),
            Self::Follower => contact.member_id.clone(),
            Self::Import => import(world).await?,
            Self::Series => scene.series(500).await?,
            Self::Group => group(world).await?,
            Self::Seat => seat(world).await?,
            Self::Broadcast => scene.broadcast(&scene.operator, "enterprise", json!({})).await?,
            Self::OwnBroadcast => scene.broadcast(world.agent()?, "member", json!({})).await?,
            Self::PausedBroadcast => paused_broadcast(world, json!({})).await?,
            Self::EndedBroadcast => ended_broadcast(world).await?,
            Self::PlannedBroadcast => paused_broadcast(world, json!({"send_at": hours_ahead(48)})).await?,
            Self::Resolved => resolved(world).await?,
            Self::Task => task(world).await?,
            Self::Message => message(world).await?,
            Self::Order => order(world).await?,
            Self::Earner => earner(world).await?,
            Self::Plan => plan(world).await?,
            Self::Webhook => webhook(world).await?,
            Self::RefreshToken => refresh_token(world).await?,
            Self::OptOutToken => opt_out_token(world).await?,
            Self::ClickToken => click_token(world).await?,
            Self::PendingTenant => {
                register(world.api(), &fresh("brand"), "待审 Cosmetics")
                    .await?
                    .tenant_id
            }
            Self::Slug => fresh("brand"),
            Self::OwnSlug => world.brand().slug.clone(),
            Self::Email => format!("{}@shequn.example", fresh("new")),
            Self::OwnerEmail => world.brand().owner.email.clone(),
            Self::Password => client::PASSWORD.to_owned(),
            Self::ReviewerEmail => world.reviewer.email.clone(),
            Self::ReviewerPassword => world.reviewer.password.clone(),
            Self::Newcomer => fresh("wx"),
            Self::EventId => fresh("evt"),
            Self::NewOrder => fresh("YJ"),
            Self::Tomorrow => hours_ahead(24),
            Self::Is(value) => value.to_owned(),
            Self::Absent => return Ok(Value::Null),
        };
        Ok(Value::String(made))
    }
}

async fn operator_posts(world: &World, service: &str, path: &str, body: Value) -> anyhow::Result<Value> {
    let ask = || {
        world
            .api()
            .post(service, path)
            .token(&world.scene.operator.token)
            .json(&body)
            .ok()
    };
    // News from another service may still be on its way.
    eventually(async || ask().await).await
}

async fn code(world: &World) -> anyhow::Result<String> {
    let members = json!([{"member_id": world.agent()?.member_id, "weight": 1}]);
    let made = operator_posts(
        world,
        "customers",
        "/v1/codes",
        json!({"name": "counter", "members": members}),
    )
    .await?;
    text(&made, "code_id")
}

async fn import(world: &World) -> anyhow::Result<String> {
    let file = "external_id,name\nimported-1,王芳\n,nobody\n,nobody else\n";
    let ask = world
        .api()
        .post("customers", "/v1/imports")
        .token(&world.scene.operator.token);
    text(&ask.body("text/csv", file).ok().await?, "import_id")
}

async fn group(world: &World) -> anyhow::Result<String> {
    let body =
        json!({"kind": "external", "name": "counter", "theme": "skin care", "benefit": "samples first"});
    text(
        &operator_posts(world, "groups", "/v1/groups", body).await?,
        "group_id",
    )
}

async fn seat(world: &World) -> anyhow::Result<String> {
    let group = group(world).await?;
    let body = json!({"contact_id": world.contact().id});
    operator_posts(world, "groups", &format!("/v1/groups/{group}/join"), body).await?;
    Ok(group)
}

/// A time as requests say it.
fn hours_ahead(hours: i64) -> String {
    (chassis::Clock::system().now() + jiff::SignedDuration::from_hours(hours)).to_string()
}

async fn ended_broadcast(world: &World) -> anyhow::Result<String> {
    let scene = &world.scene;
    let broadcast = scene.broadcast(&scene.operator, "enterprise", json!({})).await?;
    let path = format!("/v1/broadcasts/{broadcast}/cancel");
    operator_posts(world, "broadcast", &path, json!({})).await?;
    eventually(async || {
        let progress = scene.progress(&broadcast).await?;
        ensure!(progress["state"] == "cancelled", "{progress}");
        anyhow::Ok(broadcast.clone())
    })
    .await
}

async fn paused_broadcast(world: &World, more: Value) -> anyhow::Result<String> {
    let broadcast = world.scene.broadcast(world.agent()?, "member", more).await?;
    let path = format!("/v1/broadcasts/{broadcast}/pause");
    operator_posts(world, "broadcast", &path, json!({})).await?;
    Ok(broadcast)
}

async fn resolved(world: &World) -> anyhow::Result<String> {
    let broadcast = world
        .scene
        .broadcast(&world.scene.operator, "enterprise", json!({}))
        .await?;
    eventually(async || {
        let progress = world.scene.progress(&broadcast).await?;
        ensure!(progress["state"] != "resolving", "{progress}");
        anyhow::Ok(())
    })
    .await?;
    Ok(broadcast)
}

async fn task(world: &World) -> anyhow::Result<String> {
    let (scene, agent) = (&world.scene, world.agent()?);
    eventually(async || {
        let broadcast = scene.broadcast(agent, "member", json!({})).await?;
        let progress = eventually(async || {
            let progress = scene.progress(&broadcast).await?;
            ensure!(progress["state"] != "resolving", "{progress}");
            anyhow::Ok(progress)
        })
        .await?;
        let task = progress["tasks"].get(0);
        if task.is_none() {
            // The contact has withdrawn its consent by now, for whoever tries that: another one may be the agent's.
            scene.scan(&fresh("wx")).await?;
        }
        text(task.context("no task yet")?, "task_id")
    })
    .await
}

async fn message(world: &World) -> anyhow::Result<String> {
    eventually(async || {
        let inbox = world.scene.inbox(world.contact()).await?;
        text(inbox.first().context("no message yet")?, "message_id")
    })
    .await
}

async fn webhook(world: &World) -> anyhow::Result<String> {
    let owner = &world.brand().owner.token;
    let body = json!({"url": "https://crm.example.com/shequn"});
    let ask = world
        .api()
        .put("broadcast", "/v1/webhook")
        .token(owner)
        .json(&body);
    text(&ask.ok().await?, "url")
}

async fn opt_out_token(world: &World) -> anyhow::Result<String> {
    let contact = world.scene.scan(&fresh("wx")).await?;
    let link = world
        .api()
        .get("broadcast", "/v1/opt-out-link")
        .token(&contact.token)
        .ok()
        .await?;
    let link = text(&link, "opt_out_url")?;
    Ok(link.rsplit('/').next().unwrap_or_default().to_owned())
}

async fn click_token(world: &World) -> anyhow::Result<String> {
    let scene = &world.scene;
    let contact = scene.scan(&fresh("wx")).await?;
    let content = json!({
        "language": "en", "short_links": true, "shop_url": "https://shop.example.com/",
        "variants": {"en": {"text": "{{shop.link}}"}},
    });
    let more = json!({"text": null, "content": content, "audience": {"contacts": [contact.id]}});
    let agent = scene.agent(&contact.member_id)?;
    let broadcast = scene.broadcast(agent, "member", more).await?;
    scene
        .confirm_all(&broadcast, std::slice::from_ref(&contact))
        .await?;
    eventually(async || {
        let inbox = scene.inbox(&contact).await?;
        let texts = inbox.iter().filter_map(|message| message["text"].as_str());
        let mut tokens = texts.filter_map(|text| Some(text.split_once("/l/")?.1.to_owned()));
        tokens.next().context("no link yet")
    })
    .await
}

async fn plan(world: &World) -> anyhow::Result<String> {
    let owner = &world.brand().owner.token;
    let ask = world
        .api()
        .post("referral", "/v1/plans/yunji-demo")
        .token(owner)
        .json(&json!({}));
    ask.ok().await.map(|plan| plan["name"].to_string())
}

async fn order(world: &World) -> anyhow::Result<String> {
    plan(world).await?;
    let order = fresh("YJ");
    let paid = json!({
        "id": fresh("evt"), "type": "order.paid", "occurred_at": "2026-03-01T10:00:00+08:00", "order": order,
        "buyer": world.contact().external_id, "referrer": friend(world),
        "lines": [{"line": 1, "sku": "PKG398", "qty": 1, "unit_price": 39800}],
    });
    operator_posts(world, "referral", "/v1/order-events", paid).await?;
    Ok(order)
}

async fn earner(world: &World) -> anyhow::Result<String> {
    order(world).await?;
    Ok(friend(world))
}

fn friend(world: &World) -> String {
    format!("{}-friend", world.contact().external_id)
}

async fn refresh_token(world: &World) -> anyhow::Result<String> {
    let brand = world.brand();
    let body = json!({"tenant": brand.slug, "email": brand.owner.email, "password": client::PASSWORD});
    let answer = world.api().post("identity", "/v1/login").json(&body).ok().await?;
    ensure!(answer["token_type"] == "Bearer", "{answer}");
    text(&answer, "refresh_token")
}
