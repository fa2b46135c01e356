//! The services' audits, read past every wall.

use contracts::TenantId;
use sqlx::{AssertSqlSafe, PgPool};
use testkit::{Stack, eventually};
use uuid::Uuid;

pub(super) struct Books {
    superuser: PgPool,
}

#[derive(Debug, sqlx::FromRow)]
pub(super) struct Row {
    pub(super) tenant_id: Uuid,
    pub(super) actor_kind: String,
    pub(super) actor_id: String,
    pub(super) action: String,
    pub(super) subject_id: String,
}

impl Books {
    pub(super) async fn open(stack: &Stack) -> anyhow::Result<Self> {
        let url = &stack.description().postgres.superuser_url;
        Ok(Self {
            superuser: PgPool::connect(url).await?,
        })
    }

    /// In the order they were written.
    pub(super) async fn of_trace(&self, service: &str, trace: &str) -> anyhow::Result<Vec<Row>> {
        let sql = format!(
            "select tenant_id, actor_kind, actor_id, action, subject_id from {service}.audit_entry
             where trace_id = $1 order by audit_entry_id"
        );
        let rows = sqlx::query_as(AssertSqlSafe(sql)).bind(trace);
        Ok(rows.fetch_all(&self.superuser).await?)
    }

    /// Waits for a row of this actor's kind and id (`%` stands for any) and action.
    pub(super) async fn expect(
        &self,
        service: &str,
        tenant: TenantId,
        [kind, id, action]: [&str; 3],
    ) -> anyhow::Result<()> {
        let sql = format!(
            "select exists (select from {service}.audit_entry
             where tenant_id = $1 and actor_kind = $2 and actor_id like $3 and action = $4)"
        );
        eventually(async || {
            let is_there: bool = sqlx::query_scalar(AssertSqlSafe(sql.clone()))
                .bind(tenant.0)
                .bind(kind)
                .bind(id)
                .bind(action)
                .fetch_one(&self.superuser)
                .await?;
            anyhow::ensure!(
                is_there,
                "{service} has no row `{kind} {id} {action}` in its audit"
            );
            anyhow::Ok(())
        })
        .await
    }
}
