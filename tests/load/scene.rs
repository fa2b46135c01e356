//! What is measured on: a verified brand whose code has one agent and a welcome.

use anyhow::Context as _;
use client::{Brand, Staff};
use serde_json::json;
use sqlx::PgPool;
use testkit::{Stack, eventually};

/// A brand ready to befriend contacts.
pub(crate) struct Scene {
    pub(crate) tenant_id: String,
    pub(crate) code_id: String,
    pub(crate) code: String,
    pub(crate) member_id: String,
    pub(crate) customers_url: String,
    pub(crate) brand: Brand,
    pub(crate) staff: Staff,
    /// Sees every service's rows.
    pub(crate) superuser: PgPool,
}

impl Scene {
    pub(crate) async fn set(stack: &Stack) -> anyhow::Result<Self> {
        let brand = Brand::verified(stack).await?;
        let staff = brand.staff(1).await?;
        let member_id = staff.agents[0].member_id.clone();
        let body =
            json!({"name": "bench", "members": [{"member_id": member_id, "weight": 1}], "welcome": "Hi"});
        let code = eventually(async || {
            brand
                .api
                .post("customers", "/v1/codes")
                .token(&staff.operator.token)
                .json(&body)
                .ok()
                .await
        })
        .await?;
        let text = |field: &str| {
            code[field]
                .as_str()
                .map(str::to_owned)
                .context("code without a field")
        };
        Ok(Self {
            tenant_id: brand.tenant_id.clone(),
            code_id: text("code_id")?,
            code: text("token")?,
            member_id,
            customers_url: brand.api.url("customers").to_owned(),
            brand,
            staff,
            superuser: PgPool::connect(&stack.description().postgres.superuser_url).await?,
        })
    }

    /// The body of a person's scan.
    pub(crate) fn scan(&self, external_id: &str) -> String {
        json!({"code": self.code, "external_id": external_id}).to_string()
    }

    /// How many people whose id begins so became contacts.
    pub(crate) async fn contacts(&self, prefix: &str) -> anyhow::Result<i64> {
        let sql = "select count(*) from customers.contact where external_id like $1 || '%'";
        Ok(sqlx::query_scalar(sql)
            .bind(prefix)
            .fetch_one(&self.superuser)
            .await?)
    }

    /// How many recorded events are still to be published.
    pub(crate) async fn unpublished(&self) -> anyhow::Result<i64> {
        let sql = "select count(*) from customers.outbox where published_at is null";
        Ok(sqlx::query_scalar(sql).fetch_one(&self.superuser).await?)
    }

    /// Takes back what nobody is to publish.
    pub(crate) async fn forget_unpublished(&self) -> anyhow::Result<()> {
        let sql = "delete from customers.outbox where published_at is null";
        sqlx::query(sql).execute(&self.superuser).await?;
        Ok(())
    }

    /// How many events of these contacts were recorded.
    pub(crate) async fn events(&self, prefix: &str) -> anyhow::Result<i64> {
        let sql = "select count(*) from customers.outbox join customers.contact on contact_id::text = key
                   where external_id like $1 || '%' and outbox.name = 'shequn.customers.v1.ContactBefriended'";
        Ok(sqlx::query_scalar(sql)
            .bind(prefix)
            .fetch_one(&self.superuser)
            .await?)
    }
}
