//! The table `audit`: written, never changed.

use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;
use uuid::Uuid;

/// Who did it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Actor {
    Member(MemberId),
    Reviewer(Uuid),
}

/// One state change.
pub(crate) struct Entry<'a> {
    pub(crate) tenant: TenantId,
    /// The event's words: `tenant.verified`, `member.left`.
    pub(crate) action: &'static str,
    /// The tenant or member it happened to.
    pub(crate) subject: Uuid,
    pub(crate) actor: Actor,
    pub(crate) note: Option<&'a str>,
}

pub(crate) async fn write(db: impl PgExecutor<'_>, entry: Entry<'_>, now: Timestamp) -> sqlx::Result<()> {
    let (kind, actor) = match entry.actor {
        Actor::Member(member) => ("member", member.0),
        Actor::Reviewer(reviewer) => ("reviewer", reviewer),
    };
    sqlx::query!(
        "insert into audit (audit_id, tenant_id, action, subject_id, actor_kind, actor_id, note, at)
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
        Uuid::now_v7(),
        entry.tenant.0,
        entry.action,
        entry.subject,
        kind,
        actor,
        entry.note,
        now.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}
