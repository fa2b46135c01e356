//! From customers' schema over the bus into broadcast's.

use contracts::customers::v1::ContactBefriended;
use contracts::{ContactId, TenantId};
use outbox::{Bus, Database};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use testkit::Stack;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{Notes, befriended, now};

/// Publishes as customers and listens as broadcast, each with its own schema and NATS user.
pub(super) struct Lane {
    pub(super) stack: Stack,
    pub(super) publisher: Database,
    pub(super) listener: Database,
    pub(super) listener_pool: PgPool,
    pub(super) stopping: CancellationToken,
    _stop: DropGuard,
}

impl Lane {
    pub(super) async fn start(name: &str) -> anyhow::Result<Self> {
        let name = format!("outbox-{name}");
        let stack = tokio::task::spawn_blocking(move || Stack::private(&name)).await??;
        for service in ["customers", "broadcast"] {
            let owner = &stack.process(service).env["SHEQUN_OWNER_DATABASE_URL"];
            outbox::migrate(owner, &Migrator::DEFAULT).await?;
        }
        let pool = |service: &str| PgPool::connect_lazy(&stack.process(service).env["SHEQUN_DATABASE_URL"]);
        let listener_pool = pool("broadcast")?;
        let stopping = CancellationToken::new();
        Ok(Self {
            publisher: Database::new(pool("customers")?),
            listener: Database::new(listener_pool.clone()),
            listener_pool,
            _stop: stopping.clone().drop_guard(),
            stopping,
            stack,
        })
    }

    pub(super) async fn bus(&self, service: &str) -> anyhow::Result<Bus> {
        let nats = &self.stack.description().nats;
        let user = &nats.users[service];
        Ok(Bus::connect(service, &nats.url, &user.user, &user.password).await?)
    }

    pub(super) async fn relay(&self) -> anyhow::Result<()> {
        let relay = outbox::relay(
            self.publisher.clone(),
            self.bus("customers").await?,
            "customers",
            self.stopping.clone(),
        );
        tokio::spawn(relay);
        Ok(())
    }

    pub(super) async fn listen(&self, handler: Notes) -> anyhow::Result<()> {
        let consume = outbox::consume::<ContactBefriended, _>(
            self.listener.clone(),
            self.bus("broadcast").await?,
            "broadcast-welcome",
            handler,
            self.stopping.clone(),
        );
        tokio::spawn(consume);
        Ok(())
    }

    pub(super) async fn record(
        &self,
        tenant: TenantId,
        contact: ContactId,
        state: &str,
    ) -> anyhow::Result<()> {
        let mut tx = self.publisher.begin(tenant).await?;
        outbox::record(&mut tx, &befriended(tenant, contact, state), now()).await?;
        Ok(tx.commit().await?)
    }

    /// How many events of the tenant are in effect, from the listener's own inbox.
    pub(super) async fn handled(&self, tenant: TenantId) -> anyhow::Result<usize> {
        let mut tx = self.listener.read(tenant).await?;
        let count: i64 = sqlx::query_scalar("select count(*) from inbox where handled_at is not null")
            .fetch_one(&mut *tx)
            .await?;
        Ok(usize::try_from(count)?)
    }
}
