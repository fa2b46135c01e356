//! Contacts as staff, peers and they themselves see them.

use chassis::http::Page;
use contracts::{CodeId, ContactId, MemberId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::{PgExecutor, Result};
use uuid::Uuid;

use crate::contact::{
    AddWay, CONSENT_VERSION, Consent, ConsentBasis, Contact, FOLLOWS_MAX, Face, Follow, FollowState,
};

/// Which contacts a list shows.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) tag: Option<String>,
    pub(crate) member_id: Option<MemberId>,
    pub(crate) external_id: Option<String>,
    /// The agent who looks, and sees only contacts they follow; everybody else sees all.
    pub(crate) agent: Option<MemberId>,
}

/// A page of contacts in the order they came.
pub(crate) async fn list(
    db: impl PgExecutor<'_>,
    filter: &Filter,
    page: &Page<ContactId>,
) -> Result<Vec<Contact>> {
    sqlx::query_as!(
        Contact,
        r#"select contact_id as "contact_id: ContactId", external_id, name, language, phone, email, birth_month,
               zone, marketing,
               array(select tag.name from contact_tag join tag using (tag_id)
                     where contact_tag.contact_id = contact.contact_id order by tag.name) as "tags!",
               created_at
           from contact
           where contact_id > $1
             and ($2::text is null or external_id = $2)
             and ($3::text is null or exists (
                 select 1 from contact_tag join tag using (tag_id)
                 where contact_tag.contact_id = contact.contact_id and tag.name = $3))
             and ($4::uuid is null or exists (
                 select 1 from follow
                 where follow.contact_id = contact.contact_id and follow.member_id = $4 and follow.state = 'active'))
             and ($5::uuid is null or exists (
                 select 1 from follow
                 where follow.contact_id = contact.contact_id and follow.member_id = $5 and follow.state = 'active'))
           order by contact_id limit $6"#,
        page.after.unwrap_or(ContactId(Uuid::nil())) as ContactId,
        filter.external_id.as_deref(),
        filter.tag.as_deref(),
        filter.member_id as Option<MemberId>,
        filter.agent as Option<MemberId>,
        page.rows_max(),
    )
    .fetch_all(db)
    .await
}

/// The contact, if `agent` follows them, or anybody asks when none is named.
pub(crate) async fn find(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    agent: Option<MemberId>,
) -> Result<Option<Contact>> {
    sqlx::query_as!(
        Contact,
        r#"select contact_id as "contact_id: ContactId", external_id, name, language, phone, email, birth_month,
               zone, marketing,
               array(select tag.name from contact_tag join tag using (tag_id)
                     where contact_tag.contact_id = contact.contact_id order by tag.name) as "tags!",
               created_at
           from contact
           where contact_id = $1 and ($2::uuid is null or exists (
               select 1 from follow
               where follow.contact_id = $1 and follow.member_id = $2 and follow.state = 'active'))"#,
        contact_id as ContactId,
        agent as Option<MemberId>,
    )
    .fetch_optional(db)
    .await
}

pub(crate) async fn consent(db: impl PgExecutor<'_>, contact_id: ContactId) -> Result<Option<Consent>> {
    sqlx::query_as!(
        Consent,
        r#"select marketing, consent_basis as "basis: ConsentBasis", consent_version as version, consent_at as at
           from contact where contact_id = $1"#,
        contact_id as ContactId,
    )
    .fetch_optional(db)
    .await
}

/// Who follows a contact, the last active first.
pub(crate) async fn follows(db: impl PgExecutor<'_>, contact_id: ContactId) -> Result<Vec<Follow>> {
    sqlx::query_as!(
        Follow,
        r#"select member_id as "member_id: MemberId", coalesce(member.alias, '') as "alias!",
               follow.state as "state: FollowState", moved_to as "moved_to: MemberId", remark,
               add_way as "add_way: AddWay", code_id as "code_id: CodeId", channel, befriended_at, last_active_at
           from follow left join member using (tenant_id, member_id)
           where contact_id = $1 order by last_active_at desc, member_id limit $2"#,
        contact_id as ContactId,
        FOLLOWS_MAX,
    )
    .fetch_all(db)
    .await
}

/// The friends a contact has now, as the contact sees them.
pub(crate) async fn friends(db: impl PgExecutor<'_>, contact_id: ContactId) -> Result<Vec<Face>> {
    sqlx::query_as!(
        Face,
        r#"select member_id as "member_id: MemberId", alias
           from follow join member using (tenant_id, member_id)
           where contact_id = $1 and state = 'active' and left_at is null
           order by last_active_at desc, member_id limit $2"#,
        contact_id as ContactId,
        FOLLOWS_MAX,
    )
    .fetch_all(db)
    .await
}

/// Writes what the contact said of marketing; false when they had said so before.
pub(crate) async fn set_consent(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    marketing: bool,
    now: Timestamp,
) -> Result<bool> {
    let done = sqlx::query!(
        "update contact set marketing = $2, consent_basis = 'contact', consent_version = $3, consent_at = $4
         where contact_id = $1 and (marketing, consent_basis) <> ($2, 'contact')",
        contact_id as ContactId,
        marketing,
        CONSENT_VERSION,
        now.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes that the contact opted out at this time; false when they had, or said something else later.
pub(crate) async fn opt_out(db: impl PgExecutor<'_>, contact_id: ContactId, at: Timestamp) -> Result<bool> {
    let done = sqlx::query!(
        "update contact set marketing = false, consent_basis = 'contact', consent_version = $2, consent_at = $3
         where contact_id = $1 and (marketing, consent_basis) <> (false, 'contact') and consent_at <= $3",
        contact_id as ContactId,
        CONSENT_VERSION,
        at.to_sqlx() as _,
    )
    .execute(db)
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Writes where the contact lives, and says whether that is news; `None` when `agent` does not follow them, or, with none
/// named, when there is no such contact.
pub(crate) async fn set_zone(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    agent: Option<MemberId>,
    zone: Option<&str>,
) -> Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"update contact set zone = $3
           where contact_id = $1 and ($2::uuid is null or exists (
               select 1 from follow
               where follow.contact_id = $1 and follow.member_id = $2 and follow.state = 'active'))
           returning old.zone is distinct from new.zone as "is_new!""#,
        contact_id as ContactId,
        agent as Option<MemberId>,
        zone,
    )
    .fetch_optional(db)
    .await
}

/// Writes a member's own note on a contact, and says whether it is another one; `None` when the member doesn't follow
/// them.
pub(crate) async fn set_remark(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    member_id: MemberId,
    remark: &str,
) -> Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"update follow set remark = $3 where contact_id = $1 and member_id = $2 and state = 'active'
           returning old.remark <> new.remark as "is_new!""#,
        contact_id as ContactId,
        member_id as MemberId,
        remark,
    )
    .fetch_optional(db)
    .await
}

/// Remembers when a member and a contact talked, and says whether it is later than what was known; `None` when the
/// member doesn't follow them.
pub(crate) async fn talked(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    member_id: MemberId,
    at: Timestamp,
) -> Result<Option<bool>> {
    sqlx::query_scalar!(
        r#"update follow set last_active_at = greatest(last_active_at, $3)
           where contact_id = $1 and member_id = $2 and state = 'active'
           returning old.last_active_at < new.last_active_at as "is_later!""#,
        contact_id as ContactId,
        member_id as MemberId,
        at.to_sqlx() as _,
    )
    .fetch_optional(db)
    .await
}
