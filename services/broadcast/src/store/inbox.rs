//! Contacts' inboxes.

use contracts::{BroadcastId, ContactId, MemberId, MessageId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::content::said::Said;
use crate::message::{Kind, Message};

/// Stores a message of its own text once; false when it was there.
pub(crate) async fn store(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    message: MessageId,
    contact: ContactId,
    kind: Kind,
    from_member: Option<MemberId>,
    text: &str,
) -> sqlx::Result<bool> {
    sqlx::query!(
        "insert into inbox_message (tenant_id, message_id, contact_id, kind, from_member, text)
         values ($1, $2, $3, $4, $5, $6) on conflict (message_id) do nothing",
        tenant.0,
        message.0,
        contact.0,
        kind.name(),
        from_member.map(|member| member.0),
        text,
    )
    .execute(db)
    .await
    .map(|done| done.rows_affected() == 1)
}

/// Stores a mass message for each contact once. In the order of the contacts: it is the same for everybody who stores
/// the same messages, and it is the order of one of the two indexes.
pub(crate) async fn store_mass(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    kind: Kind,
    from_member: MemberId,
    messages: &[(MessageId, ContactId)],
) -> sqlx::Result<()> {
    let ids: Vec<_> = messages.iter().map(|(message, _)| *message).collect();
    let contacts: Vec<_> = messages.iter().map(|(_, contact)| *contact).collect();
    sqlx::query!(
        "insert into inbox_message (tenant_id, message_id, contact_id, kind, from_member, broadcast_id)
         select $1, message_id, contact_id, $4, $5, $6
         from unnest($2::uuid[], $3::uuid[]) as message (message_id, contact_id)
         order by contact_id
         on conflict (message_id) do nothing",
        tenant.0,
        &ids as &[MessageId],
        &contacts as &[ContactId],
        kind.name(),
        from_member.0,
        broadcast.0,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Stores a mass message for each contact once, in words of their own.
pub(crate) async fn store_personal(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    kind: Kind,
    from_member: MemberId,
    messages: &[(MessageId, ContactId)],
    said: &[Said],
) -> sqlx::Result<()> {
    let ids: Vec<_> = messages.iter().map(|(message, _)| *message).collect();
    let contacts: Vec<_> = messages.iter().map(|(_, contact)| *contact).collect();
    let said: Vec<_> = said.iter().map(Json).collect();
    sqlx::query!(
        "insert into inbox_message (tenant_id, message_id, contact_id, kind, from_member, broadcast_id, said)
         select $1, message_id, contact_id, $4, $5, $6, said
         from unnest($2::uuid[], $3::uuid[], $7::jsonb[]) as message (message_id, contact_id, said)
         order by contact_id
         on conflict (message_id) do nothing",
        tenant.0,
        &ids as &[MessageId],
        &contacts as &[ContactId],
        kind.name(),
        from_member.0,
        broadcast.0,
        &said as &[Json<&Said>],
    )
    .execute(db)
    .await
    .map(drop)
}

struct Row {
    message_id: MessageId,
    kind: Kind,
    from_member: Option<MemberId>,
    said: Json<Said>,
    at: Timestamp,
    read_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Message {
    fn from(row: Row) -> Self {
        Self {
            message_id: row.message_id,
            kind: row.kind,
            from_member: row.from_member,
            said: row.said.0,
            opt_out_url: None,
            at: row.at,
            read_at: row.read_at.map(Into::into),
        }
    }
}

/// Newest first.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contact: ContactId,
    after: Option<(Timestamp, MessageId)>,
    rows_max: i64,
) -> sqlx::Result<Vec<Message>> {
    let (at, message) = after.unzip();
    sqlx::query_as!(
        Row,
        r#"select message_id as "message_id: _", inbox_message.kind as "kind: Kind", from_member as "from_member: _",
             coalesce(said, jsonb_build_object('language', broadcast.content -> 'language',
               'text', coalesce(inbox_message.text, broadcast.text),
               'attachments', coalesce(broadcast.attachments, '[]'))) as "said!: Json<Said>",
             at, read_at as "read_at?: jiff_sqlx::Timestamp"
           from inbox_message left join broadcast using (tenant_id, broadcast_id)
           where inbox_message.tenant_id = $1 and contact_id = $2
             and ($3::timestamptz is null or (at, message_id) < ($3, $4))
           order by at desc, message_id desc limit $5"#,
        tenant.0,
        contact.0,
        at.map(|at| at.to_sqlx()) as _,
        message.map(|message| message.0),
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(Into::into).collect())
}

/// How many have read a mass message.
pub(crate) async fn reads(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> sqlx::Result<i64> {
    sqlx::query_scalar!(
        r#"select count(*) as "reads!" from inbox_message
           where tenant_id = $1 and broadcast_id = $2 and read_at is not null"#,
        tenant.0,
        broadcast.0,
    )
    .fetch_one(db)
    .await
}

/// Those dated after a moment that are not among some, the oldest first.
pub(crate) async fn since(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    contact: ContactId,
    since: Timestamp,
    seen: &[MessageId],
    rows_max: i64,
) -> sqlx::Result<Vec<Message>> {
    sqlx::query_as!(
        Row,
        r#"select message_id as "message_id: _", inbox_message.kind as "kind: Kind", from_member as "from_member: _",
             coalesce(said, jsonb_build_object('language', broadcast.content -> 'language',
               'text', coalesce(inbox_message.text, broadcast.text),
               'attachments', coalesce(broadcast.attachments, '[]'))) as "said!: Json<Said>",
             at, read_at as "read_at?: jiff_sqlx::Timestamp"
           from inbox_message left join broadcast using (tenant_id, broadcast_id)
           where inbox_message.tenant_id = $1 and contact_id = $2 and at > $3 and message_id <> all($4::uuid[])
           order by at, message_id limit $5"#,
        tenant.0,
        contact.0,
        since.to_sqlx() as _,
        seen as &[MessageId],
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(Into::into).collect())
}

/// Marks the contact's own message as read, the first time it is, and returns it with whether that was now.
pub(crate) async fn read(
    db: impl PgExecutor<'_>,
    message: MessageId,
    contact: ContactId,
    now: Timestamp,
) -> sqlx::Result<Option<(Message, bool)>> {
    sqlx::query!(
        r#"with marked as (
             update inbox_message set read_at = coalesce(read_at, $3)
             where message_id = $1 and contact_id = $2
             returning new.*, old.read_at is null as is_first)
           select message_id as "message_id: MessageId", marked.kind as "kind: Kind",
             from_member as "from_member: MemberId", coalesce(said, jsonb_build_object('language', broadcast.content -> 'language',
               'text', coalesce(marked.text, broadcast.text),
               'attachments', coalesce(broadcast.attachments, '[]'))) as "said!: Json<Said>", at,
             read_at as "read_at?: jiff_sqlx::Timestamp", is_first as "is_first!"
           from marked left join broadcast using (tenant_id, broadcast_id)"#,
        message.0,
        contact.0,
        now.to_sqlx() as _,
    )
    .fetch_optional(db)
    .await
    .map(|row| {
        row.map(|row| {
            let message = Message {
                message_id: row.message_id,
                kind: row.kind,
                from_member: row.from_member,
                said: row.said.0,
                opt_out_url: None,
                at: row.at.into(),
                read_at: row.read_at.map(Into::into),
            };
            (message, row.is_first)
        })
    })
}
