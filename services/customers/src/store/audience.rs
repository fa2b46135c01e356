//! The contacts a mass message can reach: runs of ids by an index each, and who speaks to them. Ids travel as arrays.
//!
//! Each statement reads on from a contact and stops at a limit, so a page costs what a page holds, whatever the tenant's
//! size. They are planned anew for each page ([`plan_afresh`]): a plan for any page guesses wrong about most.

use contracts::{ContactId, MemberId};
use sqlx::{PgExecutor, Result};
use uuid::Uuid;

use crate::audience::{PAGE_CONTACTS_MAX, Run, Zoned};

/// From where to where contacts are looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) after: ContactId,
    pub(crate) up_to: ContactId,
}

/// Contacts, sorted, each with one sender.
#[derive(Clone, Debug, Default)]
pub(crate) struct Spoken {
    pub(crate) contact_ids: Vec<ContactId>,
    pub(crate) member_ids: Vec<MemberId>,
}

/// Lets no plan of an earlier page be used in this transaction, and none that sorts where an index has the order:
/// either, and a table without fresh statistics, make each page cost what the whole tenant does.
pub(crate) async fn plan_afresh(db: impl PgExecutor<'_>) -> Result<()> {
    sqlx::query!(
        "select set_config('plan_cache_mode', 'force_custom_plan', true) as plans, set_config('enable_sort', 'off', true) as sorts,
           set_config('enable_bitmapscan', 'off', true) as bitmaps"
    )
        .fetch_one(db)
        .await
        .map(drop)
}

/// Those of the staff who have left: they speak to nobody.
pub(crate) async fn departed(db: impl PgExecutor<'_>) -> Result<Vec<MemberId>> {
    sqlx::query_scalar!(
        r#"select member_id as "member_id: MemberId" from member where left_at is not null order by member_id"#
    )
    .fetch_all(db)
    .await
}

/// The next contacts whom anybody follows, each with the follow that was last active (D75): one walk along the
/// follows in the order of contacts.
pub(crate) async fn everybody(
    db: impl PgExecutor<'_>,
    span: Span,
    departed: &[MemberId],
    contacts_max: i64,
) -> Result<Spoken> {
    sqlx::query_as!(
        Spoken,
        r#"select coalesce(array_agg(contact_id order by contact_id), '{}') as "contact_ids!: Vec<ContactId>",
               coalesce(array_agg(member_id order by contact_id), '{}') as "member_ids!: Vec<MemberId>"
           from (
               select distinct on (contact_id) contact_id, member_id from follow
               where contact_id > $1 and contact_id <= $2 and state = 'active' and member_id <> all($3)
               order by contact_id, last_active_at desc, member_id limit $4
           ) as spoken"#,
        span.after as ContactId,
        span.up_to as ContactId,
        departed as &[MemberId],
        contacts_max,
    )
    .fetch_one(db)
    .await
}

/// Of `contact_ids` those whom a member still there follows, each with one sender: `only` this member, or the last
/// active of `preferred`, or of all.
pub(crate) async fn speakers(
    db: impl PgExecutor<'_>,
    contact_ids: &[ContactId],
    departed: &[MemberId],
    preferred: &[MemberId],
    only: Option<MemberId>,
) -> Result<Spoken> {
    sqlx::query_as!(
        Spoken,
        r#"select coalesce(array_agg(contact_id order by contact_id), '{}') as "contact_ids!: Vec<ContactId>",
               coalesce(array_agg(member_id order by contact_id), '{}') as "member_ids!: Vec<MemberId>"
           from (
               select named.contact_id, spoken.member_id
               from unnest($1::uuid[]) as named (contact_id) cross join lateral (
                   select member_id from follow
                   where follow.contact_id = named.contact_id and state = 'active' and member_id <> all($2)
                     and ($4::uuid is null or member_id = $4)
                   order by member_id = any($3) desc, last_active_at desc, member_id limit 1
               ) as spoken
           ) as each_spoken"#,
        contact_ids as &[ContactId],
        departed as &[MemberId],
        preferred as &[MemberId],
        only as Option<MemberId>,
    )
    .fetch_one(db)
    .await
}

/// The ids of the tenant's tags of these names.
pub(crate) async fn tag_ids(db: impl PgExecutor<'_>, names: &[String]) -> Result<Vec<Uuid>> {
    sqlx::query_scalar!("select tag_id from tag where name = any($1)", names)
        .fetch_all(db)
        .await
}

/// The next contacts of each of these members.
pub(crate) async fn followed_by(
    db: impl PgExecutor<'_>,
    span: Span,
    members: &[MemberId],
    run_max: usize,
) -> Result<Vec<Run>> {
    let runs = sqlx::query_scalar!(
        r#"select run.ids as "ids!: Vec<ContactId>"
           from unnest($1::uuid[]) as named (member_id) cross join lateral (
               select array_agg(contact_id order by contact_id) as ids from (
                   select contact_id from follow
                   where follow.member_id = named.member_id and state = 'active'
                     and contact_id > $2 and contact_id <= $3
                   order by contact_id limit $4
               ) as next
           ) as run
           where run.ids is not null"#,
        members as &[MemberId],
        span.after as ContactId,
        span.up_to as ContactId,
        limit(run_max),
    )
    .fetch_all(db)
    .await?;
    Ok(limited(runs, run_max))
}

/// The next contacts with each of these tags.
pub(crate) async fn tagged(
    db: impl PgExecutor<'_>,
    span: Span,
    tag_ids: &[Uuid],
    run_max: usize,
) -> Result<Vec<Run>> {
    let runs = sqlx::query_scalar!(
        r#"select run.ids as "ids!: Vec<ContactId>"
           from unnest($1::uuid[]) as named (tag_id) cross join lateral (
               select array_agg(contact_id order by contact_id) as ids from (
                   select contact_id from contact_tag
                   where contact_tag.tag_id = named.tag_id and contact_id > $2 and contact_id <= $3
                   order by contact_id limit $4
               ) as next
           ) as run
           where run.ids is not null"#,
        tag_ids,
        span.after as ContactId,
        span.up_to as ContactId,
        limit(run_max),
    )
    .fetch_all(db)
    .await?;
    Ok(limited(runs, run_max))
}

/// Of these tags the one that the fewest contacts have, as far as that can be told quickly: it leads the search.
pub(crate) async fn rarest(db: impl PgExecutor<'_>, tag_ids: &[Uuid]) -> Result<Option<Uuid>> {
    sqlx::query_scalar!(
        r#"select tag_id as "tag_id!" from unnest($1::uuid[]) as named (tag_id)
           order by (select count(*) from (
               select 1 from contact_tag where contact_tag.tag_id = named.tag_id limit 50000) as some_of_them), tag_id
           limit 1"#,
        tag_ids,
    )
    .fetch_optional(db)
    .await
}

/// Of the next contacts with the tag `led_by` those who have all of `all`, and one of `any` if there are any.
pub(crate) async fn tagged_all(
    db: impl PgExecutor<'_>,
    span: Span,
    led_by: Uuid,
    all: &[Uuid],
    any: &[Uuid],
) -> Result<Run> {
    let row = sqlx::query!(
        r#"select coalesce(array_agg(contact_id order by contact_id) filter (where has_all and has_any), '{}')
                 as "ids!: Vec<ContactId>",
               (array_agg(contact_id order by contact_id desc))[1] as "last: ContactId", count(*) as "looked!"
           from (
               select contact_id,
                   cardinality($4::uuid[]) = (
                       select count(*) from contact_tag
                       where contact_tag.contact_id = led.contact_id and tag_id = any($4)) as has_all,
                   cardinality($5::uuid[]) = 0 or exists (
                       select 1 from contact_tag
                       where contact_tag.contact_id = led.contact_id and tag_id = any($5)) as has_any
               from (
                   select contact_id from contact_tag
                   where tag_id = $1 and contact_id > $2 and contact_id <= $3
                   order by contact_id limit $6
               ) as led
           ) as looked_at"#,
        led_by,
        span.after as ContactId,
        span.up_to as ContactId,
        all,
        any,
        limit(PAGE_CONTACTS_MAX),
    )
    .fetch_one(db)
    .await?;
    let is_cut = row.looked >= limit(PAGE_CONTACTS_MAX);
    Ok(Run {
        ids: row.ids,
        looked_to: row.last.filter(|_| is_cut),
    })
}

/// Of `contact_ids` those who have all of `all`, and one of `any` if there are any; sorted.
pub(crate) async fn tagged_among(
    db: impl PgExecutor<'_>,
    contact_ids: &[ContactId],
    all: &[Uuid],
    any: &[Uuid],
) -> Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact_id!: ContactId" from unnest($1::uuid[]) as among (contact_id)
           where cardinality($2::uuid[]) = (
                   select count(*) from contact_tag
                   where contact_tag.contact_id = among.contact_id and tag_id = any($2))
             and (cardinality($3::uuid[]) = 0 or exists (
                   select 1 from contact_tag
                   where contact_tag.contact_id = among.contact_id and tag_id = any($3)))
           order by contact_id"#,
        contact_ids as &[ContactId],
        all,
        any,
    )
    .fetch_all(db)
    .await
}

/// Of `contact_ids` those whom one of `members` follows; sorted.
pub(crate) async fn followed_among(
    db: impl PgExecutor<'_>,
    contact_ids: &[ContactId],
    members: &[MemberId],
) -> Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select distinct contact_id as "contact_id: ContactId" from follow
           where contact_id = any($1) and member_id = any($2) and state = 'active' order by contact_id"#,
        contact_ids as &[ContactId],
        members as &[MemberId],
    )
    .fetch_all(db)
    .await
}

/// Of `contact_ids` those who did not agree to marketing; sorted.
pub(crate) async fn without_marketing(
    db: impl PgExecutor<'_>,
    contact_ids: &[ContactId],
) -> Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact_id: ContactId" from contact
           where contact_id = any($1) and not marketing order by contact_id"#,
        contact_ids as &[ContactId],
    )
    .fetch_all(db)
    .await
}

/// The contacts of a whole page who did not agree to marketing: a walk along those who did not, which is the quicker
/// the more did. It meets those whom nobody follows, too.
pub(crate) async fn without_marketing_between(
    db: impl PgExecutor<'_>,
    first: ContactId,
    last: ContactId,
    contacts_max: usize,
) -> Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact_id: ContactId" from contact
           where contact_id >= $1 and contact_id <= $2 and not marketing order by contact_id limit $3"#,
        first as ContactId,
        last as ContactId,
        limit(contacts_max),
    )
    .fetch_all(db)
    .await
}

/// Of `contact_ids` those who have no e-mail address; sorted.
pub(crate) async fn without_email(
    db: impl PgExecutor<'_>,
    contact_ids: &[ContactId],
) -> Result<Vec<ContactId>> {
    sqlx::query_scalar!(
        r#"select contact_id as "contact_id: ContactId" from contact
           where contact_id = any($1) and email is null order by contact_id"#,
        contact_ids as &[ContactId],
    )
    .fetch_all(db)
    .await
}

/// Of `contact_ids` those whose zone is known, by zone.
pub(crate) async fn zoned(db: impl PgExecutor<'_>, contact_ids: &[ContactId]) -> Result<Vec<Zoned>> {
    sqlx::query_as!(
        Zoned,
        r#"select zone as "zone!", array_agg(contact_id) as "contact_ids!: Vec<ContactId>" from contact
           where contact_id = any($1) and zone is not null group by zone"#,
        contact_ids as &[ContactId],
    )
    .fetch_all(db)
    .await
}

/// The contacts of a whole page whose zone is known, by zone: a walk along those alone, also where nobody follows them.
pub(crate) async fn zoned_between(
    db: impl PgExecutor<'_>,
    first: ContactId,
    last: ContactId,
    contacts_max: usize,
) -> Result<Vec<Zoned>> {
    sqlx::query_as!(
        Zoned,
        r#"select zone as "zone!", array_agg(contact_id) as "contact_ids!: Vec<ContactId>" from (
               select contact_id, zone from contact
               where contact_id >= $1 and contact_id <= $2 and zone is not null order by contact_id limit $3
           ) as walked group by zone"#,
        first as ContactId,
        last as ContactId,
        limit(contacts_max),
    )
    .fetch_all(db)
    .await
}

fn limit(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

fn limited(runs: Vec<Vec<ContactId>>, run_max: usize) -> Vec<Run> {
    runs.into_iter().map(|ids| Run::limited(ids, run_max)).collect()
}
