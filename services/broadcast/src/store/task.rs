//! Shares to confirm.

use contracts::{BroadcastId, ContactId, MemberId, TaskId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use sqlx::types::Json;

use crate::broadcast::Kind;
use crate::content::card::Card;
use crate::outcome::Outcome;
use crate::post::To;
use crate::task::{Recipient, State, Task};

pub(crate) async fn open(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    broadcast: BroadcastId,
    shares: &[(MemberId, i64)],
    opened_at: Timestamp,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    let tasks: Vec<_> = shares.iter().map(|_| TaskId::new()).collect();
    let members: Vec<_> = shares.iter().map(|(member, _)| *member).collect();
    let recipients: Vec<_> = shares.iter().map(|(_, recipients)| *recipients).collect();
    sqlx::query!(
        "insert into task (tenant_id, task_id, broadcast_id, member_id, state, recipients, opened_at, expires_at)
         select $1, task_id, $2, member_id, 'waiting', recipients, $6, $7
         from unnest($3::uuid[], $4::uuid[], $5::int8[]) as share (task_id, member_id, recipients)
         order by task_id",
        tenant.0,
        broadcast.0,
        &tasks as &[TaskId],
        &members as &[MemberId],
        &recipients,
        opened_at.to_sqlx() as _,
        expires_at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

struct Row {
    task_id: TaskId,
    broadcast_id: BroadcastId,
    member_id: MemberId,
    kind: Kind,
    to: To,
    title: String,
    text: String,
    attachments: Json<Vec<Card>>,
    state: State,
    recipients: i32,
    opened_at: Timestamp,
    expires_at: Timestamp,
    confirmed_at: Option<jiff_sqlx::Timestamp>,
    reminders: i32,
    reminded_at: Option<jiff_sqlx::Timestamp>,
}

impl From<Row> for Task {
    fn from(row: Row) -> Self {
        Self {
            task_id: row.task_id,
            broadcast_id: row.broadcast_id,
            member_id: row.member_id,
            kind: row.kind,
            to: row.to,
            title: row.title,
            text: row.text,
            attachments: row.attachments.0,
            state: row.state,
            recipients: row.recipients.into(),
            opened_at: row.opened_at,
            expires_at: row.expires_at,
            confirmed_at: row.confirmed_at.map(Into::into),
            reminders: row.reminders,
            reminded_at: row.reminded_at.map(Into::into),
        }
    }
}

/// A member's task, locked: confirmation, expiry and cancellation don't pass each other.
pub(crate) async fn lock(
    db: impl PgExecutor<'_>,
    task: TaskId,
    member: MemberId,
) -> sqlx::Result<Option<Task>> {
    sqlx::query_as!(
        Row,
        r#"select task_id as "task_id: _", broadcast_id as "broadcast_id: _", member_id as "member_id: _",
             kind as "kind: Kind", title, text, attachments as "attachments: Json<Vec<Card>>",
             case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             task.state as "state: State", recipients, opened_at, expires_at,
             confirmed_at as "confirmed_at?: jiff_sqlx::Timestamp", reminders,
             reminded_at as "reminded_at?: jiff_sqlx::Timestamp"
           from task join broadcast using (tenant_id, broadcast_id)
           where task_id = $1 and member_id = $2 for update of task"#,
        task.0,
        member.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(Into::into))
}

/// A member's tasks, newest first.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    tenant: TenantId,
    member: MemberId,
    state: Option<State>,
    after: Option<TaskId>,
    rows_max: i64,
) -> sqlx::Result<Vec<Task>> {
    sqlx::query_as!(
        Row,
        r#"select task_id as "task_id: _", broadcast_id as "broadcast_id: _", member_id as "member_id: _",
             kind as "kind: Kind", title, text, attachments as "attachments: Json<Vec<Card>>",
             case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             task.state as "state: State", recipients, opened_at, expires_at,
             confirmed_at as "confirmed_at?: jiff_sqlx::Timestamp", reminders,
             reminded_at as "reminded_at?: jiff_sqlx::Timestamp"
           from task join broadcast using (tenant_id, broadcast_id)
           where task.tenant_id = $1 and member_id = $2 and ($3::text is null or task.state = $3)
             and ($4::uuid is null or task_id < $4)
           order by task_id desc limit $5"#,
        tenant.0,
        member.0,
        state.map(State::name),
        after.map(|task| task.0),
        rows_max
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(Into::into).collect())
}

/// The shares of a mass message.
pub(crate) async fn of_broadcast(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    rows_max: i64,
) -> sqlx::Result<Vec<Task>> {
    sqlx::query_as!(
        Row,
        r#"select task_id as "task_id: _", broadcast_id as "broadcast_id: _", member_id as "member_id: _",
             kind as "kind: Kind", title, text, attachments as "attachments: Json<Vec<Card>>",
             case when post_in is null then 'contacts' else 'groups' end as "to!: To",
             task.state as "state: State", recipients, opened_at, expires_at,
             confirmed_at as "confirmed_at?: jiff_sqlx::Timestamp", reminders,
             reminded_at as "reminded_at?: jiff_sqlx::Timestamp"
           from task join broadcast using (tenant_id, broadcast_id)
           where broadcast_id = $1 order by task_id limit $2"#,
        broadcast.0,
        rows_max
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(Into::into).collect())
}

pub(crate) async fn confirm(db: impl PgExecutor<'_>, task: TaskId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update task set state = 'confirmed', confirmed_at = $2 where task_id = $1",
        task.0,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

pub(crate) async fn cancel_waiting(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<()> {
    sqlx::query!(
        "update task set state = 'cancelled' where broadcast_id = $1 and state = 'waiting'",
        broadcast.0
    )
    .execute(db)
    .await
    .map(drop)
}

/// She, or a rule, cancels it.
pub(crate) async fn cancel(db: impl PgExecutor<'_>, task: TaskId) -> sqlx::Result<()> {
    sqlx::query!("update task set state = 'cancelled' where task_id = $1", task.0)
        .execute(db)
        .await
        .map(drop)
}

/// Tasks of all tenants of which nobody was told, or reminded, for so long, with whose they are.
pub(crate) async fn to_remind(
    db: impl PgExecutor<'_>,
    now: Timestamp,
    every_secs: f64,
    rows_max: i64,
) -> sqlx::Result<Vec<(TenantId, TaskId, MemberId)>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", task_id as "task: TaskId", member_id as "member: MemberId"
           from task
           where state = 'waiting' and expires_at > $1
             and coalesce(reminded_at, opened_at) <= $1 - make_interval(secs => $2)
           order by coalesce(reminded_at, opened_at) limit $3"#,
        now.to_sqlx() as _,
        every_secs,
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| {
        rows.into_iter()
            .map(|row| (row.tenant, row.task, row.member))
            .collect()
    })
}

/// Notes a reminder.
pub(crate) async fn remind(db: impl PgExecutor<'_>, task: TaskId, now: Timestamp) -> sqlx::Result<()> {
    sqlx::query!(
        "update task set reminders = reminders + 1, reminded_at = $2 where task_id = $1",
        task.0,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Tasks of all tenants that nobody confirmed in time.
pub(crate) async fn overdue(
    db: impl PgExecutor<'_>,
    now: Timestamp,
    rows_max: i64,
) -> sqlx::Result<Vec<(TenantId, TaskId)>> {
    sqlx::query!(
        r#"select tenant_id as "tenant: TenantId", task_id as "task: TaskId"
           from task where state = 'waiting' and expires_at <= $1 order by expires_at limit $2"#,
        now.to_sqlx() as _,
        rows_max,
    )
    .fetch_all(db)
    .await
    .map(|rows| rows.into_iter().map(|row| (row.tenant, row.task)).collect())
}

/// Whose share of what expired, unless somebody was quicker.
pub(crate) async fn expire(
    db: impl PgExecutor<'_>,
    task: TaskId,
) -> sqlx::Result<Option<(BroadcastId, MemberId)>> {
    sqlx::query!(
        r#"update task set state = 'expired' where task_id = $1 and state = 'waiting'
           returning broadcast_id as "broadcast: BroadcastId", member_id as "member: MemberId""#,
        task.0
    )
    .fetch_optional(db)
    .await
    .map(|row| row.map(|row| (row.broadcast, row.member)))
}

/// Expires every share of a mass message that waits, and tells which.
pub(crate) async fn expire_all(db: impl PgExecutor<'_>, broadcast: BroadcastId) -> sqlx::Result<Vec<TaskId>> {
    sqlx::query_scalar!(
        r#"update task set state = 'expired' where broadcast_id = $1 and state = 'waiting'
           returning task_id as "task: TaskId""#,
        broadcast.0
    )
    .fetch_all(db)
    .await
}

/// Members have until then to confirm.
pub(crate) async fn put_off(
    db: impl PgExecutor<'_>,
    broadcast: BroadcastId,
    expires_at: Timestamp,
) -> sqlx::Result<()> {
    sqlx::query!(
        "update task set expires_at = $2 where broadcast_id = $1 and state = 'waiting'",
        broadcast.0,
        expires_at.to_sqlx() as _,
    )
    .execute(db)
    .await
    .map(drop)
}

/// Which mass message the member's own task is a share of.
pub(crate) async fn broadcast_of(
    db: impl PgExecutor<'_>,
    task: TaskId,
    member: MemberId,
) -> sqlx::Result<Option<BroadcastId>> {
    sqlx::query_scalar!(
        r#"select broadcast_id as "broadcast_id: BroadcastId" from task where task_id = $1 and member_id = $2"#,
        task.0,
        member.0
    )
    .fetch_optional(db)
    .await
}

/// The member's recipients with what became of them; nothing for somebody else's task. Of receipts it reads the one week
/// that the mass message's id names.
pub(crate) async fn recipients(
    db: impl PgExecutor<'_>,
    task: TaskId,
    member: MemberId,
    broadcast: BroadcastId,
    after: Option<ContactId>,
    rows_max: i64,
) -> sqlx::Result<Vec<Recipient>> {
    sqlx::query_as!(
        Recipient,
        r#"select recipient.contact_id as "contact_id!: _", receipt.state as "state?: Outcome"
           from task
           join chunk using (tenant_id, broadcast_id, member_id)
           cross join unnest(contact_ids) as recipient (contact_id)
           left join receipt
             on receipt.tenant_id = task.tenant_id and receipt.broadcast_id = $5
             and receipt.contact_id = recipient.contact_id
           where task_id = $1 and member_id = $2 and task.broadcast_id = $5
             and ($3::uuid is null or recipient.contact_id > $3)
           order by recipient.contact_id limit $4"#,
        task.0,
        member.0,
        after.map(|contact| contact.0),
        rows_max,
        broadcast.0,
    )
    .fetch_all(db)
    .await
}
