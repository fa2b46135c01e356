//! Seats as they are stored. Every change of a seat writes the group's counter and the history in
//! the same statement, the group's row first.

use contracts::{ContactId, GroupId, SeriesId};
use jiff::Timestamp;
use jiff_sqlx::ToSqlx as _;
use sqlx::PgExecutor;
use uuid::Uuid;

use crate::group::GroupKind;
use crate::seat::{Applicant, Change, Joined, OwnGroup, Seat};

/// What a contact finds at a group's door.
pub(crate) struct GroupDoor {
    pub(crate) kind: GroupKind,
    pub(crate) is_verified: bool,
    /// The contact's seat in this group, or in another one of its series.
    pub(crate) held: Option<Joined>,
}

/// Looks at a group's door for a contact; locks nothing.
pub(crate) async fn group_door(
    db: impl PgExecutor<'_>,
    group_id: GroupId,
    contact_id: ContactId,
) -> Result<Option<GroupDoor>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select g.kind as "kind: GroupKind", exists (select from tenant) as "is_verified!",
                  held.group_id as "held_group_id?: GroupId", held.name as "held_name?",
                  seat.number as "held_number?"
           from groups g
           left join (seat join groups held using (tenant_id, group_id))
             on seat.contact_id = $2 and (seat.group_id = g.group_id or seat.series_id = g.series_id)
           where g.group_id = $1"#,
        group_id.0,
        contact_id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| GroupDoor {
        kind: row.kind,
        is_verified: row.is_verified,
        held: held(row.held_group_id, row.held_name, row.held_number),
    }))
}

/// What a contact finds at the door of a series.
pub(crate) struct SeriesDoor {
    pub(crate) current_group_id: GroupId,
    pub(crate) is_verified: bool,
    /// The contact's seat in one of its groups.
    pub(crate) held: Option<Joined>,
}

/// Looks at the door of a series for a contact and locks the series' row: who joins it next waits.
///
/// After such a wait `current_group_id` is fresh, while `held` may miss a seat that the one waited
/// for took; [`take`] finds that out.
pub(crate) async fn lock_series_door(
    db: impl PgExecutor<'_>,
    series_id: SeriesId,
    contact_id: ContactId,
) -> Result<Option<SeriesDoor>, sqlx::Error> {
    let row = sqlx::query!(
        r#"select s.current_group_id as "current_group_id: GroupId", exists (select from tenant) as "is_verified!",
                  held.group_id as "held_group_id?: GroupId", held.name as "held_name?",
                  seat.number as "held_number?"
           from series s
           left join (seat join groups held using (tenant_id, group_id))
             on seat.contact_id = $2 and seat.series_id = s.series_id
           where s.series_id = $1
           for no key update of s"#,
        series_id.0,
        contact_id.0,
    )
    .fetch_optional(db)
    .await?;
    Ok(row.map(|row| SeriesDoor {
        current_group_id: row.current_group_id,
        is_verified: row.is_verified,
        held: held(row.held_group_id, row.held_name, row.held_number),
    }))
}

fn held(group_id: Option<GroupId>, name: Option<String>, number: Option<i32>) -> Option<Joined> {
    Some(Joined {
        group_id: group_id?,
        group_name: name?,
        seat: number?,
        already: true,
    })
}

/// A seat just taken, with what the event tells of the group.
pub(crate) struct Taken {
    pub(crate) series_id: Option<SeriesId>,
    pub(crate) group_name: String,
    pub(crate) greeting: String,
    pub(crate) seat: i32,
    /// Whether the contact got it; if not, it holds one already and the transaction must not commit.
    pub(crate) is_seated: bool,
}

/// Takes a seat if one is free; `None` when the group is full.
///
/// The condition is checked again under the row's lock, so the last seat has one winner.
pub(crate) async fn take(
    db: impl PgExecutor<'_>,
    group_id: GroupId,
    applicant: &Applicant,
    change: Change,
    now: Timestamp,
) -> Result<Option<Taken>, sqlx::Error> {
    sqlx::query_as!(
        Taken,
        r#"with taken as (
             update groups set seats_taken = seats_taken + 1
             where group_id = $1 and seats_taken < capacity
             returning tenant_id, group_id, series_id, name, greeting, seats_taken
           ), seated as (
             insert into seat (tenant_id, group_id, contact_id, series_id, number, taken_at)
             select tenant_id, group_id, $2, series_id, seats_taken, $3 from taken
             on conflict do nothing
             returning tenant_id, group_id, contact_id, taken_at
           ), remembered as (
             insert into seat_history (seat_history_id, tenant_id, group_id, contact_id, change, member_id, at)
             select $4, tenant_id, group_id, contact_id, $5, $6, taken_at from seated
           )
           select series_id as "series_id: SeriesId", name as group_name, greeting, seats_taken as seat,
                  exists (select from seated) as "is_seated!"
           from taken"#,
        group_id.0,
        applicant.contact_id.0,
        now.to_sqlx() as _,
        Uuid::now_v7(),
        change as _,
        applicant.member_id.map(|id| id.0),
    )
    .fetch_optional(db)
    .await
}

/// Gives the contact's seat back; false when it has none there.
pub(crate) async fn give_back(
    db: impl PgExecutor<'_>,
    group_id: GroupId,
    applicant: &Applicant,
    now: Timestamp,
) -> Result<bool, sqlx::Error> {
    let is_given_back = sqlx::query_scalar!(
        r#"with given_back as (
             update groups set seats_taken = seats_taken - 1
             where group_id = $1
               and exists (select from seat where seat.group_id = groups.group_id and seat.contact_id = $2)
             returning group_id
           ), vacated as (
             delete from seat using given_back
             where seat.group_id = given_back.group_id and seat.contact_id = $2
             returning seat.tenant_id, seat.group_id, seat.contact_id
           ), remembered as (
             insert into seat_history (seat_history_id, tenant_id, group_id, contact_id, change, member_id, at)
             select $4, tenant_id, group_id, contact_id, $5, $6, $3 from vacated
           )
           select exists (select from vacated) as "is_given_back!" from given_back"#,
        group_id.0,
        applicant.contact_id.0,
        now.to_sqlx() as _,
        Uuid::now_v7(),
        Change::Left as _,
        applicant.member_id.map(|id| id.0),
    )
    .fetch_optional(db)
    .await?;
    Ok(is_given_back == Some(true))
}

/// At most `limit` seats of a group after a given contact's, in the order of the contacts' ids.
pub(crate) async fn page(
    db: impl PgExecutor<'_>,
    group_id: GroupId,
    after: ContactId,
    limit: i64,
) -> Result<Vec<Seat>, sqlx::Error> {
    sqlx::query_as!(
        Seat,
        r#"select contact_id as "contact_id: ContactId", number as seat, taken_at
           from seat where group_id = $1 and contact_id > $2 order by contact_id limit $3"#,
        group_id.0,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
}

/// At most `limit` contacts after a given one with a seat in any of these groups, sorted, each once.
pub(crate) async fn contacts(
    db: impl PgExecutor<'_>,
    groups: &[GroupId],
    after: ContactId,
    limit: i64,
) -> Result<Vec<ContactId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"select coalesce(array_agg(contact_id order by contact_id), '{}') as "contacts!: Vec<ContactId>" from (
             select distinct contact_id from seat where group_id = any($1) and contact_id > $2
             order by contact_id limit $3
           ) as seated"#,
        groups as &[GroupId],
        after.0,
        limit,
    )
    .fetch_one(db)
    .await
}

/// At most `limit` groups in which a contact sits, after a given one, in the order of their ids.
pub(crate) async fn page_of_contact(
    db: impl PgExecutor<'_>,
    contact_id: ContactId,
    after: GroupId,
    limit: i64,
) -> Result<Vec<OwnGroup>, sqlx::Error> {
    sqlx::query_as!(
        OwnGroup,
        r#"select group_id as "group_id: GroupId", name as group_name, theme, benefit, seat.number as seat, taken_at
           from seat join groups using (tenant_id, group_id)
           where contact_id = $1 and group_id > $2 order by group_id limit $3"#,
        contact_id.0,
        after.0,
        limit,
    )
    .fetch_all(db)
    .await
}
