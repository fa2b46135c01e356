//! What a message to a contact needs to know.

use contracts::{ContactId, MemberId};
use sqlx::{PgExecutor, Result};

/// A contact and who speaks to them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Addressee {
    pub(crate) contact_id: ContactId,
    pub(crate) name: String,
    pub(crate) language: String,
    /// The member asked for, else the follow that was last active among the members still there (D75).
    pub(crate) member_id: Option<MemberId>,
    pub(crate) member_alias: String,
    /// Where e-mails to the contact go.
    pub(crate) email: Option<String>,
    /// Whether that member follows the contact.
    pub(crate) follows: bool,
}

/// Those of `contacts` that are the tenant's, sorted by id.
pub(crate) async fn find(
    db: impl PgExecutor<'_>,
    contacts: &[ContactId],
    member_id: Option<MemberId>,
) -> Result<Vec<Addressee>> {
    sqlx::query_as!(
        Addressee,
        r#"select contact.contact_id as "contact_id: ContactId", name, language, email,
               coalesce(asked.member_id, sender.member_id) as "member_id: MemberId",
               coalesce(asked.alias, sender.alias, '') as "member_alias!",
               sender.member_id is not null as "follows!"
           from contact
           left join member as asked on asked.tenant_id = contact.tenant_id and asked.member_id = $2
           left join lateral (
               select follow.member_id, member.alias from follow join member using (tenant_id, member_id)
               where follow.contact_id = contact.contact_id and follow.state = 'active' and member.left_at is null
                 and ($2::uuid is null or follow.member_id = $2)
               order by follow.last_active_at desc, follow.member_id limit 1
           ) as sender on true
           where contact.contact_id = any($1)
           order by contact.contact_id"#,
        contacts as &[ContactId],
        member_id as Option<MemberId>,
    )
    .fetch_all(db)
    .await
}
