//! Tenants that may send, and their webhooks.

use contracts::TenantId;
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use url::Url;

use crate::opt_out::{LinkKeys, Links};
use crate::webhook::{Secret, Webhook};

/// Notes the tenant's verification; false when a later one is known.
pub(crate) async fn verify(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    zone: &str,
    at: Timestamp,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into tenant (tenant_id, zone, verified_at) values ($1, $2, $3)
         on conflict (tenant_id) do update set zone = excluded.zone, verified_at = excluded.verified_at
         where tenant.verified_at <= excluded.verified_at",
        tenant.0,
        zone,
        at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Whether the database can cut days in this zone.
pub(crate) async fn is_zone(db: impl PgExecutor<'_>, zone: &str) -> sqlx::Result<bool> {
    sqlx::query_scalar!(
        r#"select exists (select from pg_timezone_names where name = $1) as "exists!""#,
        zone
    )
    .fetch_one(db)
    .await
}

/// The zone in which the tenant's days are cut; none while it is not verified.
pub(crate) async fn zone(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Option<String>> {
    sqlx::query_scalar!("select zone from tenant where tenant_id = $1", tenant.0)
        .fetch_optional(db)
        .await
}

struct WebhookRow {
    url: String,
    set_at: Timestamp,
    secret_at: Timestamp,
    old_secret_until: Option<jiff_sqlx::Timestamp>,
}

impl From<WebhookRow> for Webhook {
    fn from(row: WebhookRow) -> Self {
        Self {
            url: row.url,
            set_at: row.set_at,
            secret_at: row.secret_at,
            old_secret_until: row.old_secret_until.map(Into::into),
            secret: None,
        }
    }
}

/// Sets the webhook, which keeps the secret it has. Tells the address before as well.
pub(crate) async fn set_webhook(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    url: &Url,
    secret: &Secret,
    now: Timestamp,
) -> sqlx::Result<(Webhook, Option<String>)> {
    sqlx::query!(
        r#"insert into webhook (tenant_id, url, set_at, secret, secret_at) values ($1, $2, $3, $4, $3)
           on conflict (tenant_id) do update set url = excluded.url, set_at = excluded.set_at
           returning new.url as "url!", new.set_at as "set_at!: jiff_sqlx::Timestamp",
             new.secret_at as "secret_at!: jiff_sqlx::Timestamp",
             new.old_secret_until as "old_secret_until?: jiff_sqlx::Timestamp", old.url as "before?""#,
        tenant.0,
        url.as_str(),
        now.to_sqlx() as _,
        secret.bytes(),
    )
    .fetch_one(db)
    .await
    .map(|row| {
        let webhook = Webhook {
            url: row.url,
            set_at: row.set_at.into(),
            secret_at: row.secret_at.into(),
            old_secret_until: row.old_secret_until.map(Into::into),
            secret: None,
        };
        (webhook, row.before)
    })
}

pub(crate) async fn webhook(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as!(
        WebhookRow,
        r#"select url, set_at, secret_at,
             case when old_secret_until > now() then old_secret_until end as "old_secret_until?: jiff_sqlx::Timestamp"
           from webhook where tenant_id = $1"#,
        tenant.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(Into::into))
}

/// The secret calls are signed with.
pub(crate) async fn secret(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Option<Secret>> {
    sqlx::query_scalar!(
        r#"select secret as "secret: Secret" from webhook where tenant_id = $1"#,
        tenant.0
    )
    .fetch_optional(db)
    .await
}

/// What the tenant's links are signed with.
pub(crate) async fn link_keys(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<Option<LinkKeys>> {
    sqlx::query_as!(
        LinkKeys,
        "select link_generation as generation, link_key as key, link_key_before as before
         from tenant where tenant_id = $1",
        tenant.0
    )
    .fetch_optional(db)
    .await
}

/// The same, locked: two rotations don't pass each other.
pub(crate) async fn lock_link_keys(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
) -> sqlx::Result<Option<LinkKeys>> {
    sqlx::query_as!(
        LinkKeys,
        "select link_generation as generation, link_key as key, link_key_before as before
         from tenant where tenant_id = $1 for update",
        tenant.0
    )
    .fetch_optional(db)
    .await
}

/// A new key; the one before it is kept, and no other.
pub(crate) async fn rotate_link_key(db: impl PgExecutor<'_>, tenant: TenantId) -> sqlx::Result<()> {
    sqlx::query!(
        "update tenant set link_generation = link_generation + 1, link_key_before = link_key,
           link_key = uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid())
         where tenant_id = $1",
        tenant.0
    )
    .execute(db)
    .await
    .map(drop)
}

/// What makes the tenant's links.
pub(crate) async fn links(
    db: impl PgExecutor<'_>,
    base: &Url,
    tenant: TenantId,
) -> sqlx::Result<Option<Links>> {
    let keys = link_keys(db, tenant).await?;
    Ok(keys.map(|keys| Links::new(base, tenant, keys.generation, &keys.key)))
}

/// Makes this the secret, and the one before good until then, or not at all.
pub(crate) async fn rotate_secret(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    secret: &Secret,
    now: Timestamp,
    old_until: Option<Timestamp>,
) -> sqlx::Result<Option<Webhook>> {
    sqlx::query_as!(
        WebhookRow,
        r#"update webhook set secret = $2, secret_at = $3, old_secret_until = $4,
             old_secret = case when $4::timestamptz is not null then secret end
           where tenant_id = $1
           returning url, set_at, secret_at, old_secret_until as "old_secret_until?: jiff_sqlx::Timestamp""#,
        tenant.0,
        secret.bytes(),
        now.to_sqlx() as _,
        old_until.map(|until| until.to_sqlx()) as _,
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(Into::into))
}
