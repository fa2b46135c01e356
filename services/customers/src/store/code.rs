//! Live codes, their members and tags.

use chassis::http::Page;
use contracts::{CodeId, MemberId, TenantId};
use jiff_sqlx::ToSqlx as _;
use sqlx::types::Json;
use sqlx::{PgExecutor, Result};
use uuid::Uuid;

use crate::code::{Code, CodeMember};

/// Whose code a token stands for. Needs no tenant: a token is a secret of 128 bits.
pub(crate) async fn of_token(db: impl PgExecutor<'_>, token: &str) -> Result<Option<(TenantId, CodeId)>> {
    let row = sqlx::query!(
        r#"select tenant_id as "tenant_id: TenantId", code_id as "code_id: CodeId" from code_of_token($1)"#,
        token,
    )
    .fetch_one(db)
    .await?;
    Ok(row.tenant_id.zip(row.code_id))
}

/// Writes a code with its members and tags.
pub(crate) async fn insert(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    code: &Code,
    tag_ids: &[Uuid],
    created_by: MemberId,
) -> Result<()> {
    let members: Vec<_> = code.members.iter().map(|member| member.member_id).collect();
    let weights: Vec<_> = code
        .members
        .iter()
        .map(|member| member.weight.cast_signed())
        .collect();
    sqlx::query!(
        "with issued as (
             insert into code (tenant_id, code_id, name, state, welcome, created_by, created_at)
             values ($1, $2, $4, $5, $6, $7, $8)
         ), named as (
             insert into code_token (token, tenant_id, code_id) values ($3, $1, $2)
         ), shared as (
             insert into code_member (tenant_id, code_id, member_id, weight)
             select $1, $2, member_id, weight from unnest($9::uuid[], $10::integer[]) as t (member_id, weight)
         )
         insert into code_tag (tenant_id, code_id, tag_id) select $1, $2, tag_id from unnest($11::uuid[]) as t (tag_id)",
        tenant as TenantId,
        code.code_id as CodeId,
        code.token,
        code.name,
        code.state,
        code.welcome,
        created_by as MemberId,
        code.created_at.to_sqlx() as _,
        &members as &[MemberId],
        &weights,
        tag_ids,
    )
    .execute(db)
    .await
    .map(drop)
}

/// A page of codes, oldest first; or the one code.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    only: Option<CodeId>,
    page: &Page<CodeId>,
) -> Result<Vec<Code>> {
    let rows = sqlx::query!(
        r#"select code_id as "code_id: CodeId", token, name, state, welcome, created_at,
               (select jsonb_agg(jsonb_build_object('member_id', member_id, 'weight', weight) order by member_id)
                from code_member where code_member.code_id = code.code_id) as "members!: Json<Vec<CodeMember>>",
               array(select tag.name from code_tag join tag using (tenant_id, tag_id)
                     where code_tag.code_id = code.code_id order by tag.name) as "tags!"
           from code join code_token using (tenant_id, code_id)
           where code_id > $1 and ($2::uuid is null or code_id = $2)
           order by code_id limit $3"#,
        page.after.unwrap_or(CodeId(Uuid::nil())) as CodeId,
        only as Option<CodeId>,
        page.rows_max(),
    )
    .fetch_all(db)
    .await?;
    let codes = rows.into_iter().map(|row| Code {
        code_id: row.code_id,
        token: row.token,
        name: row.name,
        members: row.members.0,
        welcome: row.welcome,
        tags: row.tags,
        state: row.state,
        created_at: row.created_at.to_jiff(),
    });
    Ok(codes.collect())
}
