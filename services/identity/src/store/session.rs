//! The tables `session` and `refresh_token`.

use chassis::auth::Role;
use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::session::{PER_MEMBER_MAX, Session};

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    member: MemberId,
    session: Uuid,
    now: Timestamp,
    end: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into session (session_id, tenant_id, member_id, started_at, expires_at)
         values ($1, $2, $3, $4, $5)",
        session,
        tenant.0,
        member.0,
        now.to_sqlx() as _,
        end.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}

/// Forgets a member's sessions that are over, and the oldest ones beyond the limit.
pub(crate) async fn tidy(db: impl PgExecutor<'_>, member: MemberId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "delete from session
         where member_id = $1 and (
           expires_at <= $2
           or session_id in (
             select session_id from session where member_id = $1 order by started_at desc, session_id desc offset $3))",
        member.0,
        now.to_sqlx() as _,
        PER_MEMBER_MAX
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn insert_token(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    session: Uuid,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into refresh_token (digest, tenant_id, session_id, issued_at) values ($1, $2, $3, $4)",
        digest,
        tenant.0,
        session,
        now.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}

/// Uses a token, if nobody did: of many at once, one gets `true`; the others wait for it.
pub(crate) async fn use_token(db: impl PgExecutor<'_>, digest: &[u8], now: Timestamp) -> sqlx::Result<bool> {
    let used = sqlx::query!(
        "update refresh_token set used_at = $2 where digest = $1 and used_at is null",
        digest,
        now.to_sqlx() as _
    );
    Ok(used.execute(db).await?.rows_affected() == 1)
}

/// The session a token belongs to, used or not.
pub(crate) async fn of_token(
    db: impl PgExecutor<'_>,
    digest: &[u8],
    now: Timestamp,
) -> sqlx::Result<Option<Session>> {
    sqlx::query_as!(
        Session,
        r#"select session.session_id, session.member_id as "member_id: MemberId", member.role as "role: Role",
                  (session.revoked_at is null and session.expires_at > $2 and member.state = 'active')
                    as "is_alive!"
           from refresh_token
           join session using (session_id)
           join member on member.member_id = session.member_id
           where refresh_token.digest = $1"#,
        digest,
        now.to_sqlx() as _
    )
    .fetch_optional(db)
    .await
}

/// Ends a session; false when it was over.
pub(crate) async fn revoke(db: impl PgExecutor<'_>, session: Uuid, now: Timestamp) -> sqlx::Result<bool> {
    sqlx::query!(
        "update session set revoked_at = $2 where session_id = $1 and revoked_at is null",
        session,
        now.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

pub(crate) async fn revoke_all(
    db: impl PgExecutor<'_>,
    member: MemberId,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update session set revoked_at = $2 where member_id = $1 and revoked_at is null",
        member.0,
        now.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}
