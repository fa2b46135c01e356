//! The table `reviewer`, which belongs to no tenant.

use jiff::Timestamp;
use jiff_sqlx::ToSqlx;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::member::Email;
use crate::password::PasswordHash;

/// What a login needs to know of a reviewer.
pub(crate) struct Credentials {
    pub(crate) reviewer_id: Uuid,
    pub(crate) password_hash: PasswordHash,
}

pub(crate) async fn credentials(db: impl PgExecutor<'_>, email: &Email) -> sqlx::Result<Option<Credentials>> {
    sqlx::query_as!(
        Credentials,
        r#"select reviewer_id, password_hash as "password_hash: PasswordHash" from reviewer where email = $1"#,
        email.as_str()
    )
    .fetch_optional(db)
    .await
}

/// Adds a reviewer or changes the password of one. Only the schema's owner may.
pub(crate) async fn enlist(
    db: impl PgExecutor<'_>,
    email: &Email,
    password: &PasswordHash,
    now: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "insert into reviewer (reviewer_id, email, password_hash, added_at) values ($1, $2, $3, $4)
         on conflict (email) do update set password_hash = excluded.password_hash",
        Uuid::now_v7(),
        email.as_str(),
        password as &PasswordHash,
        now.to_sqlx() as _
    )
    .execute(db)
    .await
    .map(drop)
}
