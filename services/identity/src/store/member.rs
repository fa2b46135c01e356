//! The table `member`.

use chassis::auth::Role;
use contracts::{MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;

use super::violates;
use crate::error::Error;
use crate::member::{Email, Member, MemberState, PersonName};
use crate::password::PasswordHash;

pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    member: &Member,
    password: &PasswordHash,
) -> Result<(), Error> {
    sqlx::query!(
        "insert into member (member_id, tenant_id, email, name, alias, role, state, password_hash, joined_at)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
        member.member_id.0,
        tenant.0,
        member.email.as_str(),
        &*member.name,
        &*member.alias,
        member.role as Role,
        member.state as MemberState,
        password as &PasswordHash,
        member.joined_at.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
    .map_err(|error| {
        if violates(&error, "member_email_taken") {
            Error::EmailTaken
        } else {
            error.into()
        }
    })
}

pub(crate) async fn by_id(db: impl PgExecutor<'_>, member: MemberId) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Member,
        r#"select member_id as "member_id: MemberId", email as "email: Email", name as "name: PersonName",
                  alias as "alias: PersonName", role as "role: Role", state as "state: MemberState", joined_at
           from member where member_id = $1"#,
        member.0
    )
    .fetch_optional(db)
    .await
}

/// The member, held until the transaction ends.
pub(crate) async fn hold(db: impl PgExecutor<'_>, member: MemberId) -> sqlx::Result<Option<Member>> {
    sqlx::query_as!(
        Member,
        r#"select member_id as "member_id: MemberId", email as "email: Email", name as "name: PersonName",
                  alias as "alias: PersonName", role as "role: Role", state as "state: MemberState", joined_at
           from member where member_id = $1 for update"#,
        member.0
    )
    .fetch_optional(db)
    .await
}

/// The tenant's active owners, held until the transaction ends: of two who leave at once, the
/// second sees that the first is gone. Always in the same order, or they would hold each other up.
pub(crate) async fn hold_owners(db: impl PgExecutor<'_>) -> sqlx::Result<Vec<MemberId>> {
    sqlx::query_scalar!(
        r#"select member_id as "member_id: MemberId" from member
           where role = 'owner' and state = 'active' order by member_id for update"#
    )
    .fetch_all(db)
    .await
}

/// The oldest first, up to `limit` after `after`.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    after: Option<MemberId>,
    limit: i64,
) -> sqlx::Result<Vec<Member>> {
    sqlx::query_as!(
        Member,
        r#"select member_id as "member_id: MemberId", email as "email: Email", name as "name: PersonName",
                  alias as "alias: PersonName", role as "role: Role", state as "state: MemberState", joined_at
           from member
           where $1::uuid is null or member_id > $1
           order by member_id
           limit $2"#,
        after as Option<MemberId>,
        limit
    )
    .fetch_all(db)
    .await
}

/// What a login needs to know of an active member.
pub(crate) struct Credentials {
    pub(crate) member_id: MemberId,
    pub(crate) role: Role,
    pub(crate) password_hash: PasswordHash,
}

pub(crate) async fn credentials(db: impl PgExecutor<'_>, email: &Email) -> sqlx::Result<Option<Credentials>> {
    sqlx::query_as!(
        Credentials,
        r#"select member_id as "member_id: MemberId", role as "role: Role",
                  password_hash as "password_hash: PasswordHash"
           from member where email = $1 and state = 'active'"#,
        email.as_str()
    )
    .fetch_optional(db)
    .await
}

pub(crate) async fn leave(db: impl PgExecutor<'_>, member: MemberId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update member set state = 'left', left_at = $2 where member_id = $1",
        member.0,
        now.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}
