//! Splitting an audience into chunks: each of one sending member and one time zone, of bounded size, sorted.

use std::collections::BTreeMap;

use contracts::{ContactId, MemberId};

use crate::outcome::Outcome;
use crate::zone::Zone;

/// A recipient as the audience names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub contact: ContactId,
    /// The one member who speaks to the contact (D75).
    pub member: MemberId,
    /// Where they live; none: in the tenant's zone, or nobody knows.
    pub zone: Option<Zone>,
    /// How it ends before anybody confirms: without consent, or without a friend.
    pub ends: Option<Outcome>,
}

/// An entry with the chunk it got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub n: i32,
    pub entry: Entry,
}

/// Recipients by chunk: one array of them all, and where in it the piece of each chunk begins and ends, counted from 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pieces {
    pub ns: Vec<i32>,
    pub members: Vec<MemberId>,
    pub zones: Vec<Option<&'static str>>,
    pub firsts: Vec<i32>,
    pub lasts: Vec<i32>,
    pub contacts: Vec<ContactId>,
}

impl Pieces {
    pub(crate) fn of(placed: &[Placed]) -> Self {
        let mut placed = placed.to_vec();
        placed.sort_by_key(|placed| placed.n); // keeps the order of contacts within a chunk
        let mut pieces = Self::default();
        for Placed { n, entry } in placed {
            pieces.contacts.push(entry.contact);
            let at = i32::try_from(pieces.contacts.len()).unwrap_or(i32::MAX);
            match pieces.lasts.last_mut().filter(|_| pieces.ns.last() == Some(&n)) {
                Some(last) => *last = at,
                None => {
                    pieces.ns.push(n);
                    pieces.members.push(entry.member);
                    pieces.zones.push(entry.zone.map(Zone::name));
                    pieces.firsts.push(at);
                    pieces.lasts.push(at);
                }
            }
        }
        pieces
    }
}

/// The chunk of a member in a zone that still has room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    pub n: i32,
    pub recipients: i32,
}

/// What is filled so far; after a restart it is read back from the chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Split {
    pub open: BTreeMap<(MemberId, Option<Zone>), Open>,
    pub next_n: i32,
    /// The last contact placed: the audience comes sorted, so whatever is not behind it came twice.
    pub placed_to: Option<ContactId>,
}

impl Split {
    /// Gives each new entry of a page its chunk. Pages are sorted by contact, so every chunk is.
    pub(crate) fn place(&mut self, page: &[Entry], chunk_recipients_max: i32) -> Vec<Placed> {
        let mut placed = Vec::with_capacity(page.len());
        for entry in page {
            if self.placed_to.is_some_and(|last| entry.contact <= last) {
                continue;
            }
            self.placed_to = Some(entry.contact);
            let of = (entry.member, entry.zone);
            let open = match self.open.get_mut(&of) {
                Some(open) if open.recipients < chunk_recipients_max => open,
                _ => {
                    let fresh = Open {
                        n: self.next_n,
                        recipients: 0,
                    };
                    self.next_n += 1;
                    let open = self.open.entry(of).or_insert(fresh);
                    *open = fresh;
                    open
                }
            };
            open.recipients += 1;
            placed.push(Placed {
                n: open.n,
                entry: *entry,
            });
        }
        placed
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::*;

    const ZONES: [&str; 3] = ["Asia/Tokyo", "Europe/Paris", "America/New_York"];

    fn entry((contact, (member, zone)): (u128, (u8, usize))) -> Entry {
        Entry {
            contact: ContactId(Uuid::from_u128(contact)),
            member: MemberId(Uuid::from_u128(member.into())),
            zone: ZONES.get(zone).and_then(|name| Zone::named(name)),
            ends: None,
        }
    }

    proptest! {
        #[test]
        fn every_contact_once_in_a_sorted_bounded_chunk_of_its_member_and_zone(
            audience in prop::collection::btree_map(any::<u128>(), (0u8..5, 0usize..4), 0..300),
            page_entries in 1usize..60,
            chunk_recipients_max in 1i32..40,
            repeated in any::<bool>(),
        ) {
            let entries: Vec<_> = audience.into_iter().map(entry).collect();
            let mut split = Split::default();
            let mut placed = vec![];
            for page in entries.chunks(page_entries) {
                placed.extend(split.place(page, chunk_recipients_max));
                if repeated {
                    // A stream resumed a little too early.
                    prop_assert!(split.place(page, chunk_recipients_max).is_empty());
                }
            }
            prop_assert_eq!(placed.iter().map(|p| p.entry).collect::<Vec<_>>(), entries);

            let mut chunks: BTreeMap<i32, Vec<Placed>> = BTreeMap::new();
            placed.iter().for_each(|p| chunks.entry(p.n).or_default().push(*p));
            let pieces = Pieces::of(&placed);
            prop_assert_eq!(pieces.ns.len(), chunks.len());
            for (i, n) in pieces.ns.iter().enumerate() {
                let piece = &pieces.contacts[pieces.firsts[i] as usize - 1..pieces.lasts[i] as usize];
                prop_assert!(piece.iter().eq(chunks[n].iter().map(|p| &p.entry.contact)));
                prop_assert_eq!(pieces.members[i], chunks[n][0].entry.member);
                prop_assert_eq!(pieces.zones[i], chunks[n][0].entry.zone.map(Zone::name));
            }
            prop_assert_eq!(chunks.keys().copied().collect::<Vec<_>>(), (0..split.next_n).collect::<Vec<_>>());
            let mut short = BTreeSet::new();
            for chunk in chunks.values() {
                prop_assert!(chunk.len() <= chunk_recipients_max as usize);
                prop_assert!(chunk.windows(2).all(|two| two[0].entry.contact < two[1].entry.contact));
                let of = |placed: &Placed| (placed.entry.member, placed.entry.zone);
                prop_assert!(chunk.iter().all(|p| of(p) == of(&chunk[0])));
                // At most one chunk of a member in a zone is not full.
                if chunk.len() < chunk_recipients_max as usize {
                    prop_assert!(short.insert(of(&chunk[0])));
                }
            }
        }
    }
}
