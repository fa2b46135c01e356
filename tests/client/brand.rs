//! A verified brand with its staff, made through the public API.

use anyhow::Context as _;
use serde_json::{Value, json};
use testkit::Stack;

use crate::Api;

/// Of every member these brands have.
pub const PASSWORD: &str = "correct horse battery staple";

/// A signed-in member.
#[derive(Debug, Clone)]
pub struct Login {
    pub member_id: String,
    pub email: String,
    pub token: String,
}

/// A tenant with an owner.
#[derive(Clone)]
pub struct Brand {
    pub api: Api,
    pub tenant_id: String,
    pub slug: String,
    /// In which its days and weeks are cut.
    pub zone: String,
    pub owner: Login,
}

/// The people of a brand's first day.
#[derive(Clone)]
pub struct Staff {
    pub operator: Login,
    pub agents: Vec<Login>,
}

/// A platform reviewer's token.
///
/// # Errors
/// When the login is refused.
pub async fn reviewer_token(api: &Api, stack: &Stack) -> anyhow::Result<String> {
    let reviewer = &stack.description().reviewer;
    let body = json!({"email": reviewer.email, "password": reviewer.password});
    let answer = api
        .post("identity", "/v1/reviewers/login")
        .json(&body)
        .ok()
        .await?;
    text(&answer, "access_token")
}

/// Registers a brand; it may not act outside before it is verified.
///
/// # Errors
/// When the registration or the owner's login is refused.
pub async fn register(api: &Api, slug: &str, name: &str) -> anyhow::Result<Brand> {
    register_in(api, slug, name, "Asia/Shanghai").await
}

async fn register_in(api: &Api, slug: &str, name: &str, zone: &str) -> anyhow::Result<Brand> {
    let email = format!("owner@{slug}.example");
    let body = json!({
        "slug": slug,
        "name": name,
        "zone": zone,
        "owner": {"email": email, "name": "王 雅婷", "alias": "雅婷", "password": PASSWORD},
    });
    let answer = api.post("identity", "/v1/tenants").json(&body).ok().await?;
    let tenant_id = text(&answer["tenant"], "tenant_id")?;
    let member_id = text(&answer["owner"], "member_id")?;
    let token = login(api, slug, &email).await?;
    let owner = Login {
        member_id,
        email,
        token,
    };
    Ok(Brand {
        api: api.clone(),
        tenant_id,
        slug: slug.to_owned(),
        zone: zone.to_owned(),
        owner,
    })
}

impl Brand {
    /// A verified brand with a random slug, known to every service. It lives where it is noon: no day or week ends
    /// under a test's caps.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn verified(stack: &Stack) -> anyhow::Result<Self> {
        let api = Api::new(stack);
        let id = uuid::Uuid::new_v4().simple().to_string();
        let slug = format!("brand-{}", &id[..12]);
        let brand = register_in(&api, &slug, "花咲 Cosmetics", &noon()).await?;
        brand.review(&reviewer_token(&api, stack).await?).await?;
        Ok(brand)
    }

    /// A reviewer verifies the brand.
    ///
    /// # Errors
    /// When the review is refused.
    pub async fn review(&self, reviewer_token: &str) -> anyhow::Result<()> {
        let path = format!("/v1/tenants/{}/review", self.tenant_id);
        let body = json!({"decision": "verified", "reason": "business licence checked"});
        self.api
            .post("identity", &path)
            .token(reviewer_token)
            .json(&body)
            .ok()
            .await?;
        Ok(())
    }

    /// Adds a member of staff and signs them in.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn hire(&self, name: &str, alias: &str, role: &str) -> anyhow::Result<Login> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let email = format!("{role}-{}@{}.example", &id[..8], self.slug);
        let body = json!({"email": email, "name": name, "alias": alias, "role": role, "password": PASSWORD});
        let answer = self
            .api
            .post("identity", "/v1/members")
            .token(&self.owner.token)
            .json(&body)
            .ok()
            .await?;
        let token = login(&self.api, &self.slug, &email).await?;
        Ok(Login {
            member_id: text(&answer, "member_id")?,
            email,
            token,
        })
    }

    /// Signs somebody of the brand in again: tokens end after ten minutes.
    ///
    /// # Errors
    /// When the login is refused.
    pub async fn sign_in(&self, email: &str) -> anyhow::Result<String> {
        login(&self.api, &self.slug, email).await
    }

    /// An operator and `agents` agents.
    ///
    /// # Errors
    /// When a step is refused.
    pub async fn staff(&self, agents: usize) -> anyhow::Result<Staff> {
        const NAMES: [(&str, &str); 5] = [
            ("李 梅", "小梅"),
            ("佐藤 花子", "はな"),
            ("陈 晨", "晨晨"),
            ("鈴木 陽菜", "ひな"),
            ("赵 敏", "敏敏"),
        ];
        let operator = self.hire("高橋 健", "けん", "operator").await?;
        let mut people = Vec::with_capacity(agents);
        for n in 0..agents {
            let (name, alias) = NAMES[n % NAMES.len()];
            people.push(self.hire(name, alias, "agent").await?);
        }
        Ok(Staff {
            operator,
            agents: people,
        })
    }
}

/// A zone in which it is between noon and one o'clock. Zones of this form count hours to the west.
#[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
fn noon() -> String {
    let hour = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).hour();
    format!("Etc/GMT{:+}", hour - 12)
}

async fn login(api: &Api, slug: &str, email: &str) -> anyhow::Result<String> {
    let body = json!({"tenant": slug, "email": email, "password": PASSWORD});
    text(
        &api.post("identity", "/v1/login").json(&body).ok().await?,
        "access_token",
    )
}

/// A text field that must be there.
///
/// # Errors
/// When it is missing, with what is there instead.
pub fn text(body: &Value, field: &str) -> anyhow::Result<String> {
    Ok(body[field]
        .as_str()
        .with_context(|| format!("{field} is missing in {body}"))?
        .to_owned())
}
