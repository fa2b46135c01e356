//! Reading an audience page by page: who is named, who of them is excepted, and who speaks to each.
//!
//! Cost of a page of at most 10,000: 5 statements for everybody, one more for each form of condition and exception, and
//! for e-mails, and up to two where a walk meets many whom nobody follows; each is a short transaction of its own, so a slow
//! reader holds neither rows nor a transaction.

use contracts::{ContactId, MemberId, TenantId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::State;
use crate::audience::{
    Audience, Condition, PAGE_CONTACTS_MAX, Page, Recipient, Run, Zoned, merge, run_contacts_max, without,
};
use crate::error::Error;
use crate::store::audience::{self as store, Span, Spoken};

/// Fewer contacts are looked up one by one.
const WALK_CONTACTS_MIN: usize = 1_000;
/// A walk that meets more of whom nobody follows is dearer than looking each of a page up.
const WALK_CONTACTS_MAX: usize = 2 * PAGE_CONTACTS_MAX;

/// The next page behind `after`.
pub(crate) async fn read_recipients(
    state: &State,
    tenant: TenantId,
    audience: &Audience,
    after: ContactId,
) -> Result<Page, Error> {
    let up_to = audience.up_to;
    let span = Span { after, up_to };
    let mut tx = state.database.read(tenant).await?;
    store::plan_afresh(&mut *tx).await?;
    let departed = store::departed(&mut *tx).await?;
    if audience.is_everybody() && audience.member_id.is_none() {
        let spoken = store::everybody(&mut *tx, span, &departed, limit(PAGE_CONTACTS_MAX)).await?;
        let looked_to = Run::limited(spoken.contact_ids.clone(), PAGE_CONTACTS_MAX).looked_to;
        let excepted = among(&mut tx, &audience.excepted, &spoken.contact_ids).await?;
        let silent = silent(&mut tx, &spoken.contact_ids, WALK_CONTACTS_MAX).await?;
        let zoned = zoned(&mut tx, &spoken.contact_ids, WALK_CONTACTS_MAX).await?;
        return Ok(Page {
            recipients: recipients(&spoken, &excepted, &silent),
            not_friends: vec![],
            zoned,
            without_email: without_email(&mut tx, audience, &spoken).await?,
            looked_to,
        });
    }

    let named = named(&mut tx, audience, span).await?;
    let excepted = among(&mut tx, &audience.excepted, &named.ids).await?;
    let meant = without(&named.ids, &excepted);
    let spoken = speakers(&mut tx, audience, &meant, &departed).await?;
    let silent = store::without_marketing(&mut *tx, &spoken.contact_ids).await?;
    let zoned = store::zoned(&mut *tx, &spoken.contact_ids).await?;
    let asked_for: Vec<_> = (audience.named.contact_ids.iter().copied())
        .filter(|contact| meant.binary_search(contact).is_ok())
        .collect();
    Ok(Page {
        recipients: recipients(&spoken, &[], &silent),
        not_friends: without(&asked_for, &spoken.contact_ids),
        zoned,
        without_email: without_email(&mut tx, audience, &spoken).await?,
        looked_to: named.looked_to,
    })
}

/// Whom the conditions name next.
async fn named(db: &mut PgConnection, audience: &Audience, span: Span) -> Result<Run, Error> {
    let (named, mut runs) = (&audience.named, vec![]);
    if audience.is_everybody() {
        let members: Vec<_> = audience.member_id.into_iter().collect();
        runs.extend(store::followed_by(&mut *db, span, &members, PAGE_CONTACTS_MAX).await?);
    }
    if named.has_tags() {
        runs.extend(tagged(db, named, span).await?);
    }
    if !named.followed_by.is_empty() {
        let run_max = run_contacts_max(named.followed_by.len());
        runs.extend(store::followed_by(&mut *db, span, &named.followed_by, run_max).await?);
    }
    let ids = named.contact_ids.iter().copied();
    let ids = ids.filter(|id| *id > span.after && *id <= span.up_to).collect();
    runs.push(Run { ids, looked_to: None });
    Ok(merge(runs, PAGE_CONTACTS_MAX))
}

async fn tagged(db: &mut PgConnection, named: &Condition, span: Span) -> Result<Vec<Run>, Error> {
    let any = store::tag_ids(&mut *db, &named.tags_any).await?;
    let all = store::tag_ids(&mut *db, &named.tags_all).await?;
    let is_impossible = all.len() < named.tags_all.len() || (any.is_empty() && !named.tags_any.is_empty());
    if is_impossible {
        return Ok(vec![]);
    }
    let led_by = match all.as_slice() {
        [] => None,
        [only] => Some(*only),
        several => store::rarest(&mut *db, several).await?,
    };
    Ok(match led_by {
        Some(led_by) => vec![store::tagged_all(&mut *db, span, led_by, &all, &any).await?],
        None => store::tagged(&mut *db, span, &any, run_contacts_max(any.len())).await?,
    })
}

/// Those of `contacts` whom a condition names; sorted.
async fn among(
    db: &mut PgConnection,
    condition: &Condition,
    contacts: &[ContactId],
) -> Result<Vec<ContactId>, Error> {
    let mut found = condition.contact_ids.clone();
    if contacts.is_empty() {
        return Ok(found);
    }
    if condition.has_tags() {
        let any = store::tag_ids(&mut *db, &condition.tags_any).await?;
        let all = store::tag_ids(&mut *db, &condition.tags_all).await?;
        let is_possible =
            all.len() == condition.tags_all.len() && (condition.tags_any.is_empty() || !any.is_empty());
        if is_possible {
            found.extend(store::tagged_among(&mut *db, contacts, &all, &any).await?);
        }
    }
    if !condition.followed_by.is_empty() {
        found.extend(store::followed_among(&mut *db, contacts, &condition.followed_by).await?);
    }
    found.sort();
    Ok(found)
}

/// Who speaks to each of `contacts`, whom anybody does. Where every second contact is meant or more, one walk along
/// the follows is quicker than a look for each; it stops where that turns out wrong.
async fn speakers(
    db: &mut PgConnection,
    audience: &Audience,
    contacts: &[ContactId],
    departed: &[MemberId],
) -> Result<Spoken, Error> {
    let (preferred, only) = (audience.named.followed_by.as_slice(), audience.member_id);
    let (Some(&first), Some(&up_to)) = (contacts.first(), contacts.last()) else {
        return Ok(Spoken::default());
    };
    let is_walk = preferred.is_empty() && only.is_none() && contacts.len() >= WALK_CONTACTS_MIN;
    let (mut spoken, mut rest) = (Spoken::default(), contacts);
    if is_walk {
        // Behind the id before the first.
        let after = ContactId(Uuid::from_u128(first.0.as_u128().saturating_sub(1)));
        let walk_max = 2 * contacts.len();
        let walked = store::everybody(&mut *db, Span { after, up_to }, departed, limit(walk_max)).await?;
        for (&contact, &member) in walked.contact_ids.iter().zip(&walked.member_ids) {
            if contacts.binary_search(&contact).is_ok() {
                spoken.contact_ids.push(contact);
                spoken.member_ids.push(member);
            }
        }
        let walked_to = walked.contact_ids.get(walk_max - 1).copied().unwrap_or(up_to);
        rest = &contacts[contacts.partition_point(|contact| *contact <= walked_to)..];
    }
    if !rest.is_empty() {
        let looked_up = store::speakers(&mut *db, rest, departed, preferred, only).await?;
        spoken.contact_ids.extend(looked_up.contact_ids);
        spoken.member_ids.extend(looked_up.member_ids);
    }
    Ok(spoken)
}

/// Who of a whole page, and perhaps others, did not agree to marketing; sorted.
async fn silent(db: &mut PgConnection, page: &[ContactId], walk_max: usize) -> Result<Vec<ContactId>, Error> {
    let (Some(&first), Some(&last)) = (page.first(), page.last()) else {
        return Ok(vec![]);
    };
    let walked = store::without_marketing_between(&mut *db, first, last, walk_max).await?;
    Ok(match walked.len() < walk_max {
        true => walked,
        false => store::without_marketing(db, page).await?,
    })
}

/// Who of a whole page, and perhaps others, lives in a zone that is known.
async fn zoned(db: &mut PgConnection, page: &[ContactId], walk_max: usize) -> Result<Vec<Zoned>, Error> {
    let (Some(&first), Some(&last)) = (page.first(), page.last()) else {
        return Ok(vec![]);
    };
    let walked = store::zoned_between(&mut *db, first, last, walk_max).await?;
    let met: usize = walked.iter().map(|zoned| zoned.contact_ids.len()).sum();
    Ok(match met < walk_max {
        true => walked,
        false => store::zoned(db, page).await?,
    })
}

async fn without_email(
    db: &mut PgConnection,
    audience: &Audience,
    spoken: &Spoken,
) -> Result<Vec<ContactId>, Error> {
    Ok(match audience.by_email {
        true => store::without_email(db, &spoken.contact_ids).await?,
        false => vec![],
    })
}

fn recipients(spoken: &Spoken, excepted: &[ContactId], silent: &[ContactId]) -> Vec<Recipient> {
    let each = spoken.contact_ids.iter().zip(&spoken.member_ids);
    each.filter(|(contact, _)| excepted.binary_search(contact).is_err())
        .map(|(&contact_id, &member_id)| Recipient {
            contact_id,
            member_id,
            marketing: silent.binary_search(&contact_id).is_err(),
        })
        .collect()
}

fn limit(contacts: usize) -> i64 {
    i64::try_from(contacts).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
