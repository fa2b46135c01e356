//! Where the groups of a post come from: groups tells which there are and who owns each, sorted by the group's id, so that
//! one id is the place in all of it, as with contacts.

use contracts::groups::v1::groups_service_client::GroupsServiceClient;
use contracts::groups::v1::{StreamOwnersRequest, StreamOwnersResponse};
use contracts::{ContactId, GroupId, MemberId, TenantId};
use tonic::Streaming;

use super::source::{Page, ids, malformed, no_resolver, streamed, text, within};
use crate::State;
use crate::error::Error;
use crate::outcome::Outcome;
use crate::post::PostIn;
use crate::split::Entry;

/// The groups of a post being read.
pub(in crate::ops) struct Posts<'a> {
    state: &'a State,
    tenant: TenantId,
    /// Speaks in those that nobody owns.
    starter: MemberId,
    /// A member's own post goes into her groups alone.
    only: Option<MemberId>,
    post_in: &'a PostIn,
    /// As everywhere behind this room, a group's id in the place of a contact's.
    place: Option<ContactId>,
    stream: Option<Streaming<StreamOwnersResponse>>,
    is_over: bool,
}

impl<'a> Posts<'a> {
    pub(in crate::ops) fn new(
        state: &'a State,
        tenant: TenantId,
        (starter, only): (MemberId, Option<MemberId>),
        post_in: &'a PostIn,
        place: Option<ContactId>,
    ) -> Self {
        Self {
            state,
            tenant,
            starter,
            only,
            post_in,
            place,
            stream: None,
            is_over: false,
        }
    }

    /// The next page; none at the end.
    pub(in crate::ops) async fn next(&mut self) -> Result<Option<Page>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let mut stream = match self.stream.take() {
            Some(stream) => stream,
            None => self.open().await?,
        };
        let (found, up_to) = match within(stream.message()).await? {
            Some(page) => {
                let up_to: ContactId = page.cursor.parse().map_err(|_| malformed("cursor"))?;
                self.stream = Some(stream);
                (owners(&page)?, Some(up_to))
            }
            None => {
                self.is_over = true;
                (vec![], None)
            }
        };
        let entries = self.entries(&found, up_to);
        let last = entries.last().map(|entry| entry.contact);
        self.place = up_to.or(last).or(self.place);
        Ok(Some(Page {
            entries,
            cursor: self.place,
        }))
    }

    async fn open(&self) -> Result<Streaming<StreamOwnersResponse>, Error> {
        // Of everything she may post in, hers are enough; of what is named, others' have to be told apart.
        let owned_by = match self.only.filter(|_| self.post_in.is_all()) {
            Some(member) => vec![member],
            None => self.post_in.owned_by.clone(),
        };
        let message = StreamOwnersRequest {
            group_ids: self.post_in.groups.iter().map(ToString::to_string).collect(),
            owned_by: owned_by.iter().map(ToString::to_string).collect(),
            cursor: text(self.place),
        };
        let channel = self.state.groups.clone().ok_or_else(no_resolver)?;
        let request = streamed(self.state, self.tenant, message, "groups");
        let mut groups = GroupsServiceClient::new(channel);
        Ok(within(groups.stream_owners(request)).await?.into_inner())
    }

    /// The groups found, and those named up to there that were not: they are accounted for.
    fn entries(&self, found: &[(GroupId, MemberId)], up_to: Option<ContactId>) -> Vec<Entry> {
        let is_meant = |group: &GroupId| self.post_in.except.binary_search(group).is_err();
        let found = found.iter().filter(|(group, _)| is_meant(group));
        let mut entries: Vec<_> = found
            .filter_map(|&(group, owner)| {
                let speaker = if owner.0.is_nil() { self.starter } else { owner };
                let is_hers = self.only.is_none_or(|only| only == owner);
                is_hers.then_some(Entry {
                    contact: ContactId(group.0),
                    member: speaker,
                    zone: None,
                    ends: None,
                })
            })
            .collect();
        let is_next =
            |contact: ContactId| Some(contact) > self.place && up_to.is_none_or(|up_to| contact <= up_to);
        let named = self.post_in.groups.iter().filter(|group| is_meant(group));
        let strangers: Vec<_> = named
            .map(|group| ContactId(group.0))
            .filter(|contact| {
                is_next(*contact)
                    && entries
                        .binary_search_by_key(contact, |entry| entry.contact)
                        .is_err()
            })
            .collect();
        entries.extend(strangers.into_iter().map(|contact| Entry {
            contact,
            member: self.starter,
            zone: None,
            ends: Some(Outcome::NotAFriend),
        }));
        entries.sort_by_key(|entry| entry.contact);
        entries
    }
}

fn owners(page: &StreamOwnersResponse) -> Result<Vec<(GroupId, MemberId)>, Error> {
    let groups = ids::<GroupId>("group_ids", &page.group_ids)?;
    let owners = ids::<MemberId>("owner_ids", &page.owner_ids)?;
    match groups.len() == owners.len() {
        true => Ok(groups.into_iter().zip(owners).collect()),
        false => Err(malformed("owner_ids")),
    }
}
