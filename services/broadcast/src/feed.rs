//! Feeds: sorted lists of contacts that come in pages from several places, and windows of them that fit into one call.

use std::collections::VecDeque;

use contracts::ContactId;

/// What has come of a list and is not used yet.
#[derive(Clone, Debug, Default)]
pub(crate) struct Feed {
    ids: VecDeque<ContactId>,
    is_over: bool,
}

impl Feed {
    pub(crate) const fn new() -> Self {
        Self {
            ids: VecDeque::new(),
            is_over: false,
        }
    }

    /// Adds the next page; what is not behind the last id came twice.
    pub(crate) fn push(&mut self, page: &[ContactId]) {
        let last = self.ids.back().copied();
        self.ids.extend(page.iter().filter(|id| last < Some(**id)));
    }

    /// Nothing more will come.
    pub(crate) const fn end(&mut self) {
        self.is_over = true;
    }

    /// Whether it has to be filled before anybody can tell how far a window reaches.
    pub(crate) fn is_dry(&self) -> bool {
        self.ids.is_empty() && !self.is_over
    }

    /// As far as it is known; none: to its end.
    fn known_to(&self) -> Option<ContactId> {
        self.ids.back().copied().filter(|_| !self.is_over)
    }

    /// Takes the ids of a window.
    pub(crate) fn take(&mut self, up_to: Option<ContactId>) -> impl Iterator<Item = ContactId> {
        let end = up_to.map_or(self.ids.len(), |up_to| {
            self.ids.partition_point(|id| *id <= up_to)
        });
        self.ids.drain(..end)
    }
}

/// How far the next window reaches, so that every feed is known and none of the `sides` names more than `ids_max`
/// contacts; none: to the end.
pub(crate) fn reach(sides: &[Vec<&Feed>], ids_max: usize) -> Option<ContactId> {
    let known_to = sides.iter().flatten().filter_map(|feed| feed.known_to()).min();
    let full = sides.iter().filter_map(|side| {
        let ids = union(side.iter().flat_map(|feed| feed.ids.iter().copied()));
        (ids.len() > ids_max)
            .then(|| ids.get(ids_max - 1).copied())
            .flatten()
    });
    known_to.into_iter().chain(full).min()
}

/// Ids of several lists, sorted, each once.
pub(crate) fn union(ids: impl Iterator<Item = ContactId>) -> Vec<ContactId> {
    let mut ids: Vec<_> = ids.collect();
    ids.sort(); // finds the lists and merges them
    ids.dedup();
    ids
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

    /// The next page of a list behind a place.
    fn fill(feed: &mut Feed, list: &BTreeSet<u8>, after: Option<ContactId>, page_max: usize) {
        while feed.is_dry() {
            let page: Vec<_> = (list.iter().map(|id| contact(*id)))
                .filter(|id| after < Some(*id))
                .take(page_max)
                .collect();
            match page.len() < page_max {
                true => {
                    feed.push(&page);
                    feed.end();
                }
                false => feed.push(&page),
            }
        }
    }

    proptest! {
        #[test]
        fn windows_name_everybody_once_in_order_within_the_limit(
            lists in prop::collection::vec(prop::collection::btree_set(any::<u8>(), 0..60), 1..5),
            page_max in 1usize..20,
            ids_max in 1usize..20,
            forgetful in any::<bool>(),
        ) {
            let (named, excepted) = lists.split_at(lists.len() / 2);
            let wanted = |lists: &[BTreeSet<u8>]| union(lists.iter().flatten().map(|id| contact(*id)));
            let mut feeds = [vec![Feed::default(); named.len()], vec![Feed::default(); excepted.len()]];
            let mut seen = [vec![], vec![]];
            let mut after = None;
            loop {
                if forgetful {
                    // As after a restart: everything is read again from the cursor.
                    feeds.iter_mut().flatten().for_each(|feed| *feed = Feed::default());
                }
                for (side, lists) in feeds.iter_mut().zip([named, excepted]) {
                    for (feed, list) in side.iter_mut().zip(lists) {
                        fill(feed, list, after, page_max);
                    }
                }
                let sides: Vec<Vec<&Feed>> = feeds.iter().map(|side| side.iter().collect()).collect();
                let up_to = reach(&sides, ids_max);
                for (side, seen) in feeds.iter_mut().zip(&mut seen) {
                    let ids = union(side.iter_mut().flat_map(|feed| feed.take(up_to)));
                    prop_assert!(ids.len() <= ids_max);
                    prop_assert!(ids.iter().all(|id| after < Some(*id)));
                    seen.extend(ids);
                }
                let Some(up_to) = up_to else { break };
                prop_assert!(after < Some(up_to), "a window goes nowhere");
                after = Some(up_to);
            }
            prop_assert_eq!(&seen[0], &wanted(named));
            prop_assert_eq!(&seen[1], &wanted(excepted));
        }
    }
}
