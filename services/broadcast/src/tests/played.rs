//! Customers and groups as the tests play them: they answer in pages of 100, and break their streams when told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use contracts::customers::v1::customers_service_server::{CustomersService, CustomersServiceServer};
use contracts::customers::v1::{
    Addressee, AudienceEntry, GetAddresseesRequest, GetAddresseesResponse, GetContactRequest,
    GetContactResponse, StreamAudienceRequest, StreamAudienceResponse, StreamRecipientsRequest,
    StreamRecipientsResponse,
};
use contracts::groups::v1::groups_service_server::{GroupsService, GroupsServiceServer};
use contracts::groups::v1::{
    StreamGroupsRequest, StreamGroupsResponse, StreamOwnersRequest, StreamOwnersResponse, StreamSeatsRequest,
    StreamSeatsResponse,
};
use contracts::packed::{pack, unpack};
use contracts::{ContactId, GroupId, MemberId};
use futures::stream::{self, BoxStream};
use tokio::net::TcpListener;
use tonic::transport::server::{Router, TcpIncoming};
use tonic::{Request, Response, Status};
use uuid::Uuid;

const PAGE_CONTACTS: usize = 100;

type Pages<T> = BoxStream<'static, Result<T, Status>>;

/// A contact and the member who speaks to them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Befriended {
    pub(super) contact: ContactId,
    pub(super) member: MemberId,
    pub(super) marketing: bool,
}

/// Plays customers: whoever has any tag has all of them.
#[derive(Clone, Default)]
pub(super) struct Customers {
    /// Sorted.
    pub(super) entries: Arc<Mutex<Vec<Befriended>>>,
    /// After how many pages each of the next streams breaks.
    pub(super) breaks: Arc<Mutex<Vec<usize>>>,
    pub(super) asked: Arc<Mutex<Vec<StreamRecipientsRequest>>>,
    /// Where those of the entries live of whom it is known.
    pub(super) zones: Arc<Mutex<BTreeMap<ContactId, &'static str>>>,
    /// Name and language of those of the entries it tells them of.
    pub(super) people: Arc<Mutex<BTreeMap<ContactId, (String, String)>>>,
    /// Their e-mail addresses, and the alias of every member; `小雨` unless told.
    pub(super) emails: Arc<Mutex<BTreeMap<ContactId, String>>>,
    pub(super) alias: Arc<Mutex<Option<String>>>,
    /// Calls for names so far, and how many of the next ones fail.
    pub(super) named: Arc<AtomicUsize>,
    pub(super) silent: Arc<AtomicUsize>,
    /// It knows audiences of tags alone.
    pub(super) is_of_before: Arc<AtomicBool>,
}

async fn serve(router: Router) -> url::Url {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(router.serve_with_incoming(TcpIncoming::from(listener)));
    format!("http://{address}").parse().unwrap()
}

impl Customers {
    pub(super) async fn serve(self) -> url::Url {
        serve(tonic::transport::Server::builder().add_service(CustomersServiceServer::new(self))).await
    }

    fn told_email(&self, contact: &str) -> String {
        let emails = self.emails.lock().unwrap();
        emails.get(&contact.parse().unwrap()).cloned().unwrap_or_default()
    }

    fn recipients(&self, request: &StreamRecipientsRequest) -> (Vec<Befriended>, Vec<ContactId>) {
        let named = unpack::<ContactId>(&request.contact_ids).unwrap();
        let excepted = unpack::<ContactId>(&request.except_contact_ids).unwrap();
        let (after, up_to) = (place(&request.cursor), place(&request.up_to));
        let is_in = |contact: ContactId| {
            after < Some(contact)
                && up_to.is_none_or(|up_to| contact <= up_to)
                && excepted.binary_search(&contact).is_err()
        };
        let has_tag = !request.tags_any.is_empty() || !request.tags_all.is_empty() || !request.named_only;
        let own = |entry: &Befriended| {
            request.member_id.is_empty() || entry.member.to_string() == request.member_id
        };
        let is_named = |entry: &Befriended| {
            has_tag
                || named.binary_search(&entry.contact).is_ok()
                || request.followed_by.contains(&entry.member.to_string())
        };
        let all = self.entries.lock().unwrap();
        let friends = all.iter().filter(|entry| own(entry));
        let meant = friends.filter(|entry| is_in(entry.contact) && is_named(entry));
        let meant: Vec<_> = meant.copied().collect();
        let unreachable = named.into_iter().filter(|contact| {
            is_in(*contact)
                && meant
                    .binary_search_by_key(contact, |entry| entry.contact)
                    .is_err()
        });
        let unreachable = unreachable.collect();
        (meant, unreachable)
    }
}

fn place(id: &str) -> Option<ContactId> {
    (!id.is_empty()).then(|| id.parse().unwrap())
}

#[tonic::async_trait]
impl CustomersService for Customers {
    type StreamAudienceStream = Pages<StreamAudienceResponse>;

    async fn get_contact(
        &self,
        _: Request<GetContactRequest>,
    ) -> Result<Response<GetContactResponse>, Status> {
        Err(Status::not_found("nobody"))
    }

    async fn get_addressees(
        &self,
        request: Request<GetAddresseesRequest>,
    ) -> Result<Response<GetAddresseesResponse>, Status> {
        self.named.fetch_add(1, Ordering::Relaxed);
        let fails = |left: usize| left.checked_sub(1);
        if self
            .silent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails)
            .is_ok()
        {
            return Err(Status::unavailable("away"));
        }
        let request = request.into_inner();
        let people = self.people.lock().unwrap();
        let alias = self
            .alias
            .lock()
            .unwrap()
            .clone()
            .unwrap_or_else(|| "小雨".to_owned());
        let mut addressees: Vec<_> = request
            .contact_ids
            .iter()
            .filter_map(|id| {
                let (name, language) = people.get(&id.parse().ok()?)?.clone();
                let entries = self.entries.lock().unwrap();
                let member_id = match request.member_id.as_str() {
                    "" => entries
                        .iter()
                        .find(|it| it.contact.to_string() == *id)?
                        .member
                        .to_string(),
                    asked => asked.to_owned(),
                };
                let is_friend =
                    |it: &Befriended| it.contact.to_string() == *id && it.member.to_string() == member_id;
                Some(Addressee {
                    contact_id: id.clone(),
                    name,
                    language,
                    follows: entries.iter().any(is_friend),
                    member_id,
                    member_alias: alias.clone(),
                    email: self.told_email(id),
                })
            })
            .collect();
        addressees.sort_by(|a, b| a.contact_id.cmp(&b.contact_id));
        Ok(Response::new(GetAddresseesResponse { addressees }))
    }

    async fn stream_audience(
        &self,
        request: Request<StreamAudienceRequest>,
    ) -> Result<Response<Self::StreamAudienceStream>, Status> {
        let after = place(&request.into_inner().cursor);
        let entries = self.entries.lock().unwrap();
        let left: Vec<_> = entries
            .iter()
            .filter(|entry| after < Some(entry.contact))
            .collect();
        let page = |entries: &[&Befriended]| StreamAudienceResponse {
            entries: entries
                .iter()
                .map(|entry| AudienceEntry {
                    contact_id: entry.contact.to_string(),
                    member_id: entry.member.to_string(),
                    marketing: entry.marketing,
                })
                .collect(),
            cursor: entries
                .last()
                .map(|entry| entry.contact.to_string())
                .unwrap_or_default(),
        };
        let pages: Vec<_> = left
            .chunks(PAGE_CONTACTS)
            .map(|entries| Ok(page(entries)))
            .collect();
        Ok(Response::new(Box::pin(stream::iter(pages))))
    }

    type StreamRecipientsStream = Pages<StreamRecipientsResponse>;

    async fn stream_recipients(
        &self,
        request: Request<StreamRecipientsRequest>,
    ) -> Result<Response<Self::StreamRecipientsStream>, Status> {
        if self.is_of_before.load(Ordering::Relaxed) {
            return Err(Status::unimplemented("not yet"));
        }
        let request = request.into_inner();
        self.asked.lock().unwrap().push(request.clone());
        let (entries, mut not_friends) = self.recipients(&request);
        let lives = self.zones.lock().unwrap().clone();
        let emails = self.emails.lock().unwrap().clone();
        let page = |entries: &[Befriended]| {
            let mut zones: Vec<_> = entries.iter().filter_map(|it| lives.get(&it.contact)).collect();
            zones.sort();
            zones.dedup();
            let position = |it: &Befriended| {
                let zone = lives.get(&it.contact)?;
                zones.binary_search(&zone).ok()
            };
            let positions = entries
                .iter()
                .map(|it| position(it).map_or(0, |at| u32::try_from(at).unwrap() + 1));
            let zone_of = if zones.is_empty() {
                vec![]
            } else {
                positions.collect()
            };
            let contacts: Vec<_> = entries.iter().map(|entry| entry.contact).collect();
            let members: Vec<_> = entries.iter().map(|entry| entry.member).collect();
            let silent = entries.iter().enumerate().filter(|(_, entry)| !entry.marketing);
            let has_no_email = |it: &Befriended| emails.get(&it.contact).is_none_or(String::is_empty);
            let each = entries.iter().enumerate();
            let mute = each.filter(|(_, it)| request.by_email && has_no_email(it));
            StreamRecipientsResponse {
                contact_ids: pack(&contacts),
                member_ids: pack(&members),
                senders: (0..).take(entries.len()).collect(),
                without_marketing: silent.map(|(place, _)| u32::try_from(place).unwrap()).collect(),
                not_friends: vec![],
                zone_of,
                zones: zones.into_iter().map(ToString::to_string).collect(),
                without_email: mute.map(|(place, _)| u32::try_from(place).unwrap()).collect(),
                cursor: contacts.last().map(ToString::to_string).unwrap_or_default(),
            }
        };
        let mut pages: Vec<_> = entries.chunks(PAGE_CONTACTS).map(page).collect();
        if pages.is_empty() {
            pages.push(page(&[]));
        }
        // Each page tells of those up to its cursor, the last one of the rest.
        let last = pages.len() - 1;
        for (i, page) in pages.iter_mut().enumerate() {
            let cut = match i == last {
                true => not_friends.len(),
                false => not_friends.partition_point(|contact| contact.to_string() <= page.cursor),
            };
            page.not_friends = pack(&not_friends.drain(..cut).collect::<Vec<_>>());
        }
        if let Some(stranger) = unpack::<ContactId>(&pages[last].not_friends).unwrap().last() {
            pages[last].cursor = pages[last].cursor.clone().max(stranger.to_string());
        }
        let mut pages: Vec<_> = pages.into_iter().map(Ok).collect();
        if let Some(after) = self.breaks.lock().unwrap().pop() {
            pages.truncate(after);
            pages.push(Err(Status::unavailable("cut")));
        }
        Ok(Response::new(Box::pin(stream::iter(pages))))
    }
}

/// Plays groups: who sits where.
#[derive(Clone, Default)]
pub(super) struct Groups {
    pub(super) seats: Arc<Mutex<Vec<(GroupId, ContactId)>>>,
    /// Who owns which, sorted; nil: nobody.
    pub(super) owners: Arc<Mutex<Vec<(GroupId, MemberId)>>>,
    /// After how many pages each of the next streams of owners breaks.
    pub(super) breaks: Arc<Mutex<Vec<usize>>>,
}

impl Groups {
    pub(super) async fn serve(self) -> url::Url {
        serve(tonic::transport::Server::builder().add_service(GroupsServiceServer::new(self))).await
    }

    /// A group of these contacts.
    pub(super) fn seat(&self, contacts: impl IntoIterator<Item = ContactId>) -> GroupId {
        let group = GroupId::new();
        let seats = contacts.into_iter().map(|contact| (group, contact));
        self.seats.lock().unwrap().extend(seats);
        group
    }
}

#[tonic::async_trait]
impl GroupsService for Groups {
    type StreamGroupsStream = Pages<StreamGroupsResponse>;

    async fn stream_groups(
        &self,
        _: Request<StreamGroupsRequest>,
    ) -> Result<Response<Self::StreamGroupsStream>, Status> {
        Err(Status::unimplemented("broadcast asks for seats"))
    }

    type StreamSeatsStream = Pages<StreamSeatsResponse>;

    async fn stream_seats(
        &self,
        request: Request<StreamSeatsRequest>,
    ) -> Result<Response<Self::StreamSeatsStream>, Status> {
        let request = request.into_inner();
        let after = place(&request.cursor).unwrap_or(ContactId(Uuid::nil()));
        let mut contacts: Vec<_> = (self.seats.lock().unwrap().iter())
            .filter(|(group, contact)| request.group_ids.contains(&group.to_string()) && *contact > after)
            .map(|(_, contact)| *contact)
            .collect();
        contacts.sort();
        contacts.dedup();
        let page = |contacts: &[ContactId]| StreamSeatsResponse {
            contact_ids: pack(contacts),
            cursor: contacts.last().map(ToString::to_string).unwrap_or_default(),
        };
        let pages: Vec<_> = contacts
            .chunks(PAGE_CONTACTS)
            .map(|contacts| Ok(page(contacts)))
            .collect();
        Ok(Response::new(Box::pin(stream::iter(pages))))
    }

    type StreamOwnersStream = Pages<StreamOwnersResponse>;

    async fn stream_owners(
        &self,
        request: Request<StreamOwnersRequest>,
    ) -> Result<Response<Self::StreamOwnersStream>, Status> {
        let request = request.into_inner();
        let after = place(&request.cursor).unwrap_or(ContactId(Uuid::nil()));
        let is_all = request.group_ids.is_empty() && request.owned_by.is_empty();
        let is_meant = |(group, owner): &(GroupId, MemberId)| {
            let is_named = request.group_ids.contains(&group.to_string());
            group.0 > after.0 && (is_all || is_named || request.owned_by.contains(&owner.to_string()))
        };
        let owners: Vec<_> = self.owners.lock().unwrap().clone();
        let owners: Vec<_> = owners.into_iter().filter(is_meant).collect();
        let page = |owners: &[(GroupId, MemberId)]| {
            let (groups, owners): (Vec<_>, Vec<_>) = owners.iter().copied().unzip();
            Ok(StreamOwnersResponse {
                group_ids: pack(&groups),
                owner_ids: pack(&owners),
                cursor: groups.last().map(ToString::to_string).unwrap_or_default(),
            })
        };
        let mut pages: Vec<_> = owners.chunks(PAGE_CONTACTS).map(page).collect();
        if let Some(after) = self.breaks.lock().unwrap().pop() {
            pages.truncate(after);
            pages.push(Err(Status::unavailable("cut")));
        }
        Ok(Response::new(Box::pin(stream::iter(pages))))
    }
}
