//! The statements of a scan: where the person stands, and the three things that may change it.

use contracts::{CodeId, ContactId, MemberId, TenantId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::types::Json;
use sqlx::{PgExecutor, Result};

use crate::assignment::{Assigned, Seat};
use crate::contact::CONSENT_VERSION;

/// Everything a scan has to know before it decides.
#[derive(Debug)]
pub(crate) struct Standing {
    pub(crate) is_tenant_verified: bool,
    pub(crate) welcome: String,
    /// The code's state (D61).
    pub(crate) channel: String,
    /// Whom this code showed the person before.
    pub(crate) assigned: Option<Assigned>,
    /// The code's members who are still there.
    pub(crate) seats: Vec<Seat>,
}

impl Standing {
    /// Whether the code itself has somebody to show.
    pub(crate) fn has_somebody(&self) -> bool {
        !self.seats.is_empty() || self.assigned.as_ref().is_some_and(|assigned| !assigned.has_left)
    }
}

/// Where the person with `external_id` stands with a code. One row, whatever the code's size.
///
/// Each `limit 1` changes nothing but the plan: without it, and without statistics, the planner joins everybody the
/// code was ever shown to, and a scan gets slower with every one before it.
pub(crate) async fn standing(
    db: impl PgExecutor<'_>,
    code_id: CodeId,
    external_id: &str,
) -> Result<Standing> {
    let row = sqlx::query!(
        r#"select
               exists (select 1 from tenant where tenant.tenant_id = code.tenant_id) as "is_tenant_verified!",
               code.welcome, code.state as channel,
               assigned.contact_id as "contact_id?: ContactId", assigned.member_id as "member_id?: MemberId",
               coalesce(shown.alias, '') as "alias!",
               shown.left_at is not null as "has_left!",
               coalesce((
                   select jsonb_agg(jsonb_build_object(
                       'member_id', seat.member_id, 'alias', present.alias, 'weight', seat.weight))
                   from code_member as seat cross join lateral (
                       select alias, left_at from member where member.member_id = seat.member_id limit 1
                   ) as present
                   where seat.code_id = code.code_id and present.left_at is null
               ), '[]') as "seats!: Json<Vec<Seat>>"
           from code
           left join contact on contact.external_id = $2
           left join lateral (
               select contact_id, member_id from assignment
               where assignment.contact_id = contact.contact_id and assignment.code_id = code.code_id limit 1
           ) as assigned on true
           left join lateral (
               select alias, left_at from member where member.member_id = assigned.member_id limit 1
           ) as shown on true
           where code.code_id = $1"#,
        code_id as CodeId,
        external_id,
    )
    .fetch_one(db)
    .await?;
    let assigned = row
        .contact_id
        .zip(row.member_id)
        .map(|(contact_id, member_id)| Assigned {
            contact_id,
            member_id,
            alias: row.alias,
            has_left: row.has_left,
        });
    Ok(Standing {
        is_tenant_verified: row.is_tenant_verified,
        welcome: row.welcome,
        channel: row.channel,
        assigned,
        seats: row.seats.0,
    })
}

/// A first scan of a code.
pub(crate) struct FirstScan<'a> {
    pub(crate) tenant: TenantId,
    pub(crate) code_id: CodeId,
    pub(crate) member_id: MemberId,
    pub(crate) external_id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) language: &'a str,
    pub(crate) channel: &'a str,
    pub(crate) now: Timestamp,
}

/// What a first scan changed.
pub(crate) struct Befriended {
    pub(crate) contact_id: ContactId,
    /// False when a scan at the same time was first: then nothing was written but the contact.
    pub(crate) is_assigned: bool,
    /// Whether contact and member were no friends before.
    pub(crate) is_new_friend: bool,
    /// Tags of the code the contact did not have before.
    pub(crate) tags: Vec<String>,
}

/// Writes contact, assignment, follow and the code's tags: one statement.
///
/// The contact's row comes first, so scans of one person at the same time queue up behind it. Who the contact is
/// by import stays; the scan fills in what is missing, and gives consent where nobody had asked.
pub(crate) async fn befriend(db: impl PgExecutor<'_>, scan: &FirstScan<'_>) -> Result<Befriended> {
    sqlx::query_as!(
        Befriended,
        r#"with person as (
               insert into contact (tenant_id, contact_id, external_id, name, language, marketing, consent_basis,
                                    consent_version, consent_at, created_at)
               values ($1, $2, $3, $4, $5, true, 'scan', $6, $7, $7)
               on conflict (tenant_id, external_id) do update set
                   name = case contact.name when '' then excluded.name else contact.name end,
                   language = case excluded.language when '' then contact.language else excluded.language end,
                   marketing = contact.marketing or contact.consent_basis = 'import',
                   consent_version = case contact.consent_basis when 'import' then excluded.consent_version else contact.consent_version end,
                   consent_at = case contact.consent_basis when 'import' then excluded.consent_at else contact.consent_at end,
                   consent_basis = case contact.consent_basis when 'import' then 'scan' else contact.consent_basis end
               returning contact_id
           ), assigned as (
               insert into assignment (tenant_id, contact_id, code_id, member_id, assigned_at)
               select $1, contact_id, $8, $9, $7 from person
               on conflict do nothing returning contact_id
           ), followed as (
               insert into follow (tenant_id, contact_id, member_id, state, add_way, code_id, channel, befriended_at,
                                   last_active_at)
               select $1, contact_id, $9, 'active', 'live_code', $8, $10, $7, $7 from assigned
               on conflict do nothing returning contact_id
           ), tagged as (
               insert into contact_tag (tenant_id, contact_id, tag_id)
               select $1, contact_id, tag_id from assigned join code_tag on code_tag.code_id = $8
               on conflict do nothing returning tag_id
           )
           select contact_id as "contact_id: ContactId",
               exists (select 1 from assigned) as "is_assigned!",
               exists (select 1 from followed) as "is_new_friend!",
               array(select tag.name from tagged join tag using (tag_id) order by tag.name) as "tags!"
           from person"#,
        scan.tenant as TenantId,
        ContactId::new() as ContactId,
        scan.external_id,
        scan.name,
        scan.language,
        CONSENT_VERSION,
        scan.now.to_sqlx() as _,
        scan.code_id as CodeId,
        scan.member_id as MemberId,
        scan.channel,
    )
    .fetch_one(db)
    .await
}

/// Hands everything a contact had with a member who left to another: every code that showed the one shows the
/// other, and the new follow inherits remark and origin. False when a scan at the same time did it.
pub(crate) async fn move_follow(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    from: MemberId,
    to: MemberId,
    now: Timestamp,
) -> Result<bool> {
    sqlx::query_scalar!(
        r#"with moved as (
               update assignment set member_id = $3, moved_at = $4
               where contact_id = $1 and member_id = $2
               returning code_id
           ), ended as (
               update follow set state = 'moved', moved_to = $3
               where contact_id = $1 and member_id = $2 and exists (select 1 from moved)
               returning *
           ), begun as (
               insert into follow (tenant_id, contact_id, member_id, state, remark, add_way, code_id, channel,
                                   befriended_at, last_active_at)
               select tenant_id, contact_id, $3, 'active', remark, add_way, code_id, channel, $4, $4 from ended
               on conflict do nothing
           )
           select exists (select 1 from moved) as "is_moved!""#,
        contact_id as ContactId,
        from as MemberId,
        to as MemberId,
        now.to_sqlx() as _,
    )
    .fetch_one(db)
    .await
}
