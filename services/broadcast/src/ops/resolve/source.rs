//! Where an audience comes from: contacts named elsewhere are gathered into windows, and for each window customers tells
//! who is a recipient and who speaks to them.
//!
//! Everything comes sorted by contact, so one contact's id is the place in all of it: a source opened behind a cursor
//! goes on exactly there.

mod before;

use std::time::Duration;

use contracts::customers::v1::customers_service_client::CustomersServiceClient;
use contracts::customers::v1::{StreamRecipientsRequest, StreamRecipientsResponse};
use contracts::groups::v1::groups_service_client::GroupsServiceClient;
use contracts::groups::v1::{StreamSeatsRequest, StreamSeatsResponse};
use contracts::packed::{pack, unpack};
use contracts::{ContactId, ContactListId, GroupId, MemberId, TenantId};
use futures::TryStreamExt as _;
use futures::stream::BoxStream;
use tonic::{Code, Request, Status, Streaming};

use crate::State;
use crate::audience::{Audience, Condition};
use crate::error::Error;
use crate::feed::{Feed, reach, union};
use crate::outcome::Outcome;
use crate::split::Entry;
use crate::store;
use crate::zone::Zones;

/// A page must come well within the lease.
const PAGE_WAIT: Duration = Duration::from_secs(4);
const STREAM_SECS_MAX: u64 = 600;
/// Contacts that a call may name.
const WINDOW_CONTACTS_MAX: usize = 10_000;

type Pages = BoxStream<'static, Result<StreamRecipientsResponse, Status>>;

/// Recipients, sorted, and how far the audience has been read with them.
pub(in crate::ops) struct Page {
    pub entries: Vec<Entry>,
    pub cursor: Option<ContactId>,
}

/// An audience being read.
pub(in crate::ops) struct Source<'a> {
    state: &'a State,
    tenant: TenantId,
    /// Speaks to those of whom nobody does.
    starter: MemberId,
    /// A member's own message goes to her contacts alone, and from her.
    only: Option<MemberId>,
    audience: &'a Audience,
    named: Side,
    excepted: Side,
    place: Option<ContactId>,
    window: Option<Window>,
    zones: Zones,
    by_email: bool,
    is_over: bool,
}

/// The contacts that conditions name elsewhere than in customers.
struct Side {
    /// Named one by one: whom nobody can speak to is a recipient all the same.
    ids: Feed,
    listed: Feed,
    seats: Feed,
    list: Option<ContactListId>,
    groups: Vec<GroupId>,
    stream: Option<Streaming<StreamSeatsResponse>>,
}

/// What customers is being asked.
struct Window {
    up_to: Option<ContactId>,
    /// Named one by one, sorted.
    asked_for: Vec<ContactId>,
    pages: Pages,
}

impl Side {
    fn of(condition: &Condition, after: Option<ContactId>) -> Self {
        let [mut ids, mut listed, mut seats] = [const { Feed::new() }; 3];
        let behind = condition.contacts.partition_point(|id| Some(*id) <= after);
        ids.push(&condition.contacts[behind..]);
        ids.end();
        if condition.list.is_none() {
            listed.end();
        }
        if condition.groups.is_empty() {
            seats.end();
        }
        Self {
            ids,
            listed,
            seats,
            list: condition.list,
            groups: condition.groups.clone(),
            stream: None,
        }
    }
}

impl<'a> Source<'a> {
    pub(in crate::ops) fn new(
        state: &'a State,
        tenant: TenantId,
        (starter, only): (MemberId, Option<MemberId>),
        audience: &'a Audience,
        place: Option<ContactId>,
    ) -> Self {
        Self {
            state,
            tenant,
            starter,
            only,
            audience,
            named: Side::of(&audience.named(), place),
            excepted: Side::of(&audience.except, place),
            place,
            window: None,
            zones: Zones::default(),
            by_email: false,
            is_over: false,
        }
    }

    /// Takes zones to be one that are one in `zones`.
    pub(in crate::ops) fn in_zones(self, zones: Zones) -> Self {
        Self { zones, ..self }
    }

    /// Whether they are to get e-mails: then who has no address ends at once.
    pub(in crate::ops) fn by_email(self, by_email: bool) -> Self {
        Self { by_email, ..self }
    }

    /// The next page; none at the end.
    pub(in crate::ops) async fn next(&mut self) -> Result<Option<Page>, Error> {
        if self.is_over {
            return Ok(None);
        }
        let mut window = match self.window.take() {
            Some(window) => window,
            None => self.open().await?,
        };
        let Some(page) = within(window.pages.try_next()).await? else {
            self.place = window.up_to.or(self.place);
            self.is_over = window.up_to.is_none();
            return Ok(Some(Page {
                entries: vec![],
                cursor: self.place,
            }));
        };
        if !page.cursor.is_empty() {
            self.place = Some(page.cursor.parse().map_err(|_| malformed("cursor"))?);
        }
        let entries = self.entries(&page, &window.asked_for)?;
        self.window = Some(window);
        Ok(Some(Page {
            entries,
            cursor: self.place,
        }))
    }

    /// Gathers what is named elsewhere, as far as a call may name it, and asks customers for that window.
    async fn open(&mut self) -> Result<Window, Error> {
        for side in [&mut self.named, &mut self.excepted] {
            fill(self.state, self.tenant, side, self.place).await?;
        }
        let sides = [&self.named, &self.excepted].map(|side| vec![&side.ids, &side.listed, &side.seats]);
        let up_to = reach(&sides, WINDOW_CONTACTS_MAX);
        let asked_for = union(self.named.ids.take(up_to).chain(self.named.listed.take(up_to)));
        let named = union(asked_for.iter().copied().chain(self.named.seats.take(up_to)));
        let except = &mut self.excepted;
        let excepted = except.ids.take(up_to).chain(except.listed.take(up_to));
        let excepted = union(excepted.chain(except.seats.take(up_to)));

        let texts = |members: &[MemberId]| members.iter().map(ToString::to_string).collect();
        let (audience, except) = (self.audience, &self.audience.except);
        let message = StreamRecipientsRequest {
            tags_any: audience.tags_any.names(),
            tags_all: audience.tags_all.names(),
            followed_by: texts(&audience.followed_by),
            contact_ids: pack(&named),
            named_only: !audience.is_everybody(),
            except_tags_any: except.tags_any.names(),
            except_tags_all: except.tags_all.names(),
            except_followed_by: texts(&except.followed_by),
            except_contact_ids: pack(&excepted),
            member_id: text(self.only),
            cursor: text(self.place),
            up_to: text(up_to),
            by_email: self.by_email,
        };
        let mut customers = CustomersServiceClient::new(self.state.customers.clone());
        let audience_of_before = before::request(&message, audience);
        let request = streamed(self.state, self.tenant, message, "customers");
        let pages: Pages = match within(customers.stream_recipients(request)).await {
            Ok(pages) => Box::pin(pages.into_inner()),
            Err(Error::Customers(status)) if status.code() == Code::Unimplemented => {
                let request = audience_of_before.ok_or(Error::Customers(status))?;
                let request = streamed(self.state, self.tenant, request, "customers");
                before::pages(within(customers.stream_audience(request)).await?.into_inner())
            }
            Err(error) => return Err(error),
        };
        Ok(Window {
            up_to,
            asked_for,
            pages,
        })
    }

    fn entries(
        &mut self,
        page: &StreamRecipientsResponse,
        asked_for: &[ContactId],
    ) -> Result<Vec<Entry>, Error> {
        let contacts = ids::<ContactId>("contact_ids", &page.contact_ids)?;
        let members = ids::<MemberId>("member_ids", &page.member_ids)?;
        if page.senders.len() != contacts.len() {
            return Err(malformed("senders"));
        }
        // A customers of before, and one where nobody has a zone, says nothing of them.
        if !page.zone_of.is_empty() && page.zone_of.len() != contacts.len() {
            return Err(malformed("zone_of"));
        }
        let mut zones = vec![None];
        zones.extend(page.zones.iter().map(|name| self.zones.meet(name)));
        let zone_of = page.zone_of.iter().chain(std::iter::repeat(&0));
        let mut entries = Vec::with_capacity(contacts.len());
        for ((contact, sender), zone) in contacts.into_iter().zip(&page.senders).zip(zone_of) {
            let member = members
                .get(*sender as usize)
                .ok_or_else(|| malformed("senders"))?;
            entries.push(Entry {
                contact,
                member: *member,
                zone: *zones.get(*zone as usize).ok_or_else(|| malformed("zone_of"))?,
                ends: None,
            });
        }
        // Who did not agree and has no address either has opted out.
        for (field, places, outcome) in [
            ("without_email", &page.without_email, Outcome::NoChannel),
            ("without_marketing", &page.without_marketing, Outcome::OptedOut),
        ] {
            for place in places {
                let entry = entries.get_mut(*place as usize);
                entry.ok_or_else(|| malformed(field))?.ends = Some(outcome);
            }
        }
        let not_friends = ids::<ContactId>("not_friends", &page.not_friends)?;
        let not_friends = not_friends
            .into_iter()
            .filter(|contact| asked_for.binary_search(contact).is_ok());
        entries.extend(not_friends.map(|contact| Entry {
            contact,
            member: self.starter,
            zone: None,
            ends: Some(Outcome::NotAFriend),
        }));
        entries.sort_by_key(|entry| entry.contact);
        Ok(entries)
    }
}

/// Reads list and seats until it is known how far a window may reach.
async fn fill(
    state: &State,
    tenant: TenantId,
    side: &mut Side,
    place: Option<ContactId>,
) -> Result<(), Error> {
    while side.listed.is_dry() {
        let after = place.unwrap_or(ContactId(uuid::Uuid::nil()));
        let mut tx = state.db.read(tenant).await?;
        let part = match side.list {
            Some(list) => store::list::part(&mut *tx, list, after).await?,
            None => vec![],
        };
        match part.is_empty() {
            true => side.listed.end(),
            false => side.listed.push(&part[part.partition_point(|id| *id <= after)..]),
        }
    }
    while side.seats.is_dry() {
        let mut stream = match side.stream.take() {
            Some(stream) => stream,
            None => {
                let message = StreamSeatsRequest {
                    group_ids: side.groups.iter().map(ToString::to_string).collect(),
                    cursor: text(place),
                };
                let channel = state.groups.clone().ok_or_else(no_resolver)?;
                let request = streamed(state, tenant, message, "groups");
                within(GroupsServiceClient::new(channel).stream_seats(request))
                    .await?
                    .into_inner()
            }
        };
        match within(stream.message()).await? {
            Some(page) => {
                side.seats
                    .push(&ids::<ContactId>("contact_ids of seats", &page.contact_ids)?);
                side.stream = Some(stream);
            }
            None => side.seats.end(),
        }
    }
    Ok(())
}

pub(super) fn streamed<T>(state: &State, tenant: TenantId, message: T, peer: &str) -> Request<T> {
    let mut request = chassis::grpc::authorize(message, &state.signer, peer, tenant);
    request.set_timeout(Duration::from_secs(STREAM_SECS_MAX));
    request
}

/// A peer that accepts and then says nothing must not hold the lease.
pub(super) async fn within<T>(answer: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
    let waited = tokio::time::timeout(PAGE_WAIT, answer).await;
    Ok(waited.unwrap_or_else(|_| Err(Status::deadline_exceeded("the next page did not come")))?)
}

pub(super) fn ids<T: From<uuid::Uuid>>(field: &str, packed: &[u8]) -> Result<Vec<T>, Error> {
    unpack(packed).ok_or_else(|| malformed(field))
}

pub(super) fn text<T: ToString>(id: Option<T>) -> String {
    id.map(|id| id.to_string()).unwrap_or_default()
}

pub(super) fn malformed(field: &str) -> Error {
    Error::Audience(format!("{field} is malformed"))
}

pub(super) fn no_resolver() -> Status {
    Status::failed_precondition("a worker resolves no audience")
}
