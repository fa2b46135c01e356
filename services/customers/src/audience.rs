//! An audience: whom conditions name, whom exceptions take out, and how their runs of ids become one page.

use contracts::{ContactId, MemberId};

/// Recipients in one page, and contacts a request may name.
pub(crate) const PAGE_CONTACTS_MAX: usize = 10_000;
/// However many tags or members share a page, each is looked at this far.
const RUN_CONTACTS_MIN: usize = 500;

/// What names contacts; several forms are a union.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Condition {
    /// With at least one of these tags (if there are any) and all of `tags_all`.
    pub(crate) tags_any: Vec<String>,
    pub(crate) tags_all: Vec<String>,
    pub(crate) followed_by: Vec<MemberId>,
    /// Sorted, each once.
    pub(crate) contact_ids: Vec<ContactId>,
}

impl Condition {
    pub(crate) const fn has_tags(&self) -> bool {
        !self.tags_any.is_empty() || !self.tags_all.is_empty()
    }

    pub(crate) const fn is_empty(&self) -> bool {
        !self.has_tags() && self.followed_by.is_empty() && self.contact_ids.is_empty()
    }
}

/// Which contacts are meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Audience {
    pub(crate) named: Condition,
    /// Nobody but whom the conditions name; otherwise everybody when there is none.
    pub(crate) named_only: bool,
    pub(crate) excepted: Condition,
    /// Only contacts this member follows, and from this member.
    pub(crate) member_id: Option<MemberId>,
    /// The last contact to look at.
    pub(crate) up_to: ContactId,
    /// They are to get e-mails.
    pub(crate) by_email: bool,
}

impl Audience {
    pub(crate) const fn is_everybody(&self) -> bool {
        !self.named_only && self.named.is_empty()
    }
}

/// Part of a sorted list of contacts, read from a place on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Run {
    /// Sorted, each once.
    pub(crate) ids: Vec<ContactId>,
    /// As far as the list was looked at; none: to its end.
    pub(crate) looked_to: Option<ContactId>,
}

impl Run {
    /// A run read with a limit: what is shorter was read to its end.
    pub(crate) fn limited(ids: Vec<ContactId>, limit: usize) -> Self {
        let looked_to = ids.last().copied().filter(|_| ids.len() >= limit);
        Self { ids, looked_to }
    }
}

/// How far each of so many lists is read for one page: together about a page, so that many lists cost what one does.
pub(crate) const fn run_contacts_max(lists: usize) -> usize {
    let share = PAGE_CONTACTS_MAX / if lists == 0 { 1 } else { lists };
    if share < RUN_CONTACTS_MIN {
        RUN_CONTACTS_MIN
    } else {
        share
    }
}

/// The union of runs, as far as all of them were looked at and a page has room.
pub(crate) fn merge(runs: Vec<Run>, contacts_max: usize) -> Run {
    let mut looked_to = runs.iter().filter_map(|run| run.looked_to).min();
    let mut ids: Vec<_> = runs.into_iter().flat_map(|run| run.ids).collect();
    ids.sort(); // finds the runs and merges them
    ids.dedup();
    if let Some(looked_to) = looked_to {
        ids.truncate(ids.partition_point(|id| *id <= looked_to));
    }
    if ids.len() > contacts_max {
        ids.truncate(contacts_max);
        looked_to = ids.last().copied();
    }
    Run { ids, looked_to }
}

/// `ids` without `others`; both sorted.
pub(crate) fn without(ids: &[ContactId], others: &[ContactId]) -> Vec<ContactId> {
    ids.iter()
        .filter(|id| others.binary_search(id).is_err())
        .copied()
        .collect()
}

/// One recipient and who speaks to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Recipient {
    pub(crate) contact_id: ContactId,
    pub(crate) member_id: MemberId,
    pub(crate) marketing: bool,
}

/// Contacts who live in a time zone that is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Zoned {
    pub(crate) zone: String,
    pub(crate) contact_ids: Vec<ContactId>,
}

/// A page of an audience.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// Sorted, each once.
    pub(crate) recipients: Vec<Recipient>,
    /// Asked for by id, and nobody can speak to them.
    pub(crate) not_friends: Vec<ContactId>,
    /// Of the recipients those whose zone is known, among others.
    pub(crate) zoned: Vec<Zoned>,
    /// Those without an e-mail address, where that was asked for; sorted.
    pub(crate) without_email: Vec<ContactId>,
    /// Where the next page starts; none: this is the last.
    pub(crate) looked_to: Option<ContactId>,
}

impl Page {
    /// The last contact it tells of.
    pub(crate) fn last(&self) -> Option<ContactId> {
        let last = self.recipients.last().map(|recipient| recipient.contact_id);
        last.max(self.not_friends.last().copied())
    }

    /// For each recipient which of `zoned` theirs is, counted from 1, or 0; nothing where no zone is known at all.
    pub(crate) fn zone_of(&self) -> Vec<u32> {
        let count = if self.zoned.is_empty() {
            0
        } else {
            self.recipients.len()
        };
        let mut zone_of = vec![0; count];
        for (zoned, position) in self.zoned.iter().zip(1..) {
            for contact in &zoned.contact_ids {
                let place = self
                    .recipients
                    .binary_search_by_key(contact, |recipient| recipient.contact_id);
                if let Ok(place) = place {
                    zone_of[place] = position;
                }
            }
        }
        zone_of
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    fn contact(id: u8) -> ContactId {
        ContactId(Uuid::from_u128(id.into()))
    }

    /// Reads lists as the store does: behind a place, up to a limit.
    fn read(list: &BTreeSet<u8>, after: Option<ContactId>, limit: usize) -> Run {
        let behind = list.iter().map(|id| contact(*id)).filter(|id| after < Some(*id));
        Run::limited(behind.take(limit).collect(), limit)
    }

    proptest! {
        #[test]
        fn pages_are_the_union_sorted_and_each_once_from_any_place_on(
            lists in prop::collection::vec(prop::collection::btree_set(any::<u8>(), 0..80), 0..5),
            contacts_max in 1usize..30,
            run_max in 1usize..30,
        ) {
            let union: BTreeSet<_> = lists.iter().flatten().map(|id| contact(*id)).collect();
            let (mut seen, mut after) = (vec![], None);
            loop {
                let runs = lists.iter().map(|list| read(list, after, run_max)).collect();
                let page = merge(runs, contacts_max);
                prop_assert!(page.ids.len() <= contacts_max);
                prop_assert!(page.ids.iter().all(|id| after < Some(*id)), "a page repeats what was before it");
                seen.extend(page.ids);
                let Some(looked_to) = page.looked_to else { break };
                prop_assert!(after < Some(looked_to), "a page goes nowhere");
                after = Some(looked_to);
            }
            prop_assert_eq!(seen, union.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn exceptions_are_taken_out(
            ids in prop::collection::btree_set(any::<u8>(), 0..80),
            others in prop::collection::btree_set(any::<u8>(), 0..80),
        ) {
            let sorted = |ids: &BTreeSet<u8>| ids.iter().map(|id| contact(*id)).collect::<Vec<_>>();
            let left: BTreeSet<_> = ids.difference(&others).copied().collect();
            prop_assert_eq!(without(&sorted(&ids), &sorted(&others)), sorted(&left));
        }
    }

    #[test]
    fn each_recipient_has_the_zone_they_live_in() {
        let recipient = |id| Recipient {
            contact_id: contact(id),
            member_id: MemberId::new(),
            marketing: true,
        };
        let zoned = |zone: &str, ids: &[u8]| Zoned {
            zone: zone.to_owned(),
            contact_ids: ids.iter().map(|id| contact(*id)).collect(),
        };
        let mut page = Page {
            recipients: [1, 3, 5].map(recipient).to_vec(),
            ..Page::default()
        };
        assert!(page.zone_of().is_empty());
        page.zoned = vec![zoned("Asia/Seoul", &[2, 5]), zoned("Asia/Tokyo", &[1])];
        assert_eq!(page.zone_of(), [2, 0, 1]);
    }

    #[test]
    fn many_lists_share_a_page() {
        assert_eq!([0, 1, 4, 100].map(run_contacts_max), [10_000, 10_000, 2_500, 500]);
    }
}
