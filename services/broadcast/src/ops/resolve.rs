//! Resolving an audience: pages of it come from customers, and are written into chunks, some pages in one transaction with
//! the cursor. Whoever dies on the way, the next one goes on after the last page written.
//!
//! Mass messages take turns of some pages, so that neither a large audience nor one that fails keeps the others waiting.
//!
//! Cost: per 50,000 recipients 2 statements and a commit, one more where some end without consent, an address or a friend, and
//! an update for each chunk left open. Memory for as many; nothing is sorted or grouped in the database.

pub(super) mod posts;
pub(super) mod source;

use std::time::{Duration, Instant};

use chassis::text::Text;
use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::tz::TimeZone;
use outbox::{Actor, crash_point};
use uuid::Uuid;

use self::posts::Posts;
use self::source::{Page, Source};
use crate::State;
use crate::audience::Audience;
use crate::broadcast::{ChannelName, Kind, State as BroadcastState, Tags, rest_before_turn};
use crate::error::Error;
use crate::split::{Placed, Split};
use crate::store;
use crate::store::receipt::Ending;
use crate::store::resolve::Resolving;
use crate::zone::{self, Zones};

/// Pages must come, and be written, well within the lease.
const LEASE_SECS: f64 = 8.0;
/// What is read is written once it is this much, or this old. The more at once, the seldomer is a chunk left open and
/// written again: of many senders each has one.
const WRITE_RECIPIENTS: usize = 50_000;
const WRITE_AFTER: Duration = Duration::from_secs(1);
/// Where many members have contacts in many zones, each chunk left open should have gained this much on average.
const WRITE_RECIPIENTS_A_CHUNK: usize = 10;
/// At most 250,000 contacts: a second or two, of which opening the stream anew is little.
const PAGES_A_TURN: usize = 25;

/// Gives one mass message that nobody resolves a turn; false when there is none.
pub(crate) async fn resolve(state: &State) -> Result<bool, Error> {
    let mut tx = state.db.begin_everyone().await?;
    let Some((tenant, broadcast)) = store::resolve::next(&mut *tx).await? else {
        return Ok(false);
    };
    drop(tx);
    let owner = Uuid::now_v7();
    let mut tx = state.db.begin(tenant).await?;
    let Some(what) = store::resolve::take(&mut *tx, broadcast, owner, LEASE_SECS).await? else {
        return Ok(true);
    };
    let (open, next_n) = store::resolve::filled(&mut *tx, broadcast).await?;
    let tenants = store::tenant::zone(&mut *tx, tenant)
        .await?
        .ok_or(Error::TenantUnverified)?;
    tx.commit().await?;

    let split = Split {
        open,
        next_n,
        placed_to: what.resolved_to,
    };
    let mut resolver = Resolver {
        state,
        tenant,
        broadcast,
        owner,
        what,
        tenants: zone::tenants(&tenants)?,
        unwritten: Unwritten::default(),
    };
    if let Err(error) = resolver.turn(split).await {
        let failures = resolver.what.failures + 1;
        tracing::warn!(error = error.chain(), broadcast_id = %broadcast, failures, "audience not resolved, it rests");
        resolver.rest(failures).await?;
    }
    Ok(true)
}

struct Resolver<'a> {
    state: &'a State,
    tenant: TenantId,
    broadcast: BroadcastId,
    owner: Uuid,
    what: Resolving,
    /// The tenant's own zone.
    tenants: TimeZone,
    unwritten: Unwritten,
}

/// Where the recipients come from.
enum Recipients<'a> {
    Contacts(Box<Source<'a>>),
    Groups(Box<Posts<'a>>),
}

impl Recipients<'_> {
    async fn next(&mut self) -> Result<Option<Page>, Error> {
        match self {
            Self::Contacts(source) => source.next().await,
            Self::Groups(posts) => posts.next().await,
        }
    }
}

/// Recipients with their chunks, read and not yet written.
#[derive(Default)]
struct Unwritten {
    placed: Vec<Placed>,
    cursor: Option<ContactId>,
    since: Option<Instant>,
}

impl Unwritten {
    fn is_due(&self, chunks_open: usize) -> bool {
        self.placed.len() >= WRITE_RECIPIENTS.max(WRITE_RECIPIENTS_A_CHUNK * chunks_open)
            || self.since.is_some_and(|since| since.elapsed() >= WRITE_AFTER)
    }
}

/// How reading for a turn came out.
enum Turn {
    /// Nothing more is to be read.
    Over,
    /// There is more, for another turn.
    More,
    /// Cancelled meanwhile, or another one's by now.
    Lost,
}

impl Resolver<'_> {
    async fn turn(&mut self, mut split: Split) -> Result<(), Error> {
        let post_in = self.what.post_in.take();
        let audience = match &post_in {
            Some(_) => Audience::default(),
            None => self.audience()?,
        };
        let place = match self.what.cursor.as_str() {
            "" => None,
            cursor => Some(
                cursor
                    .parse()
                    .map_err(|_| Error::Audience("its cursor is no uuid".to_owned()))?,
            ),
        };
        self.unwritten.cursor = place;
        let speaks = (self.what.started_by, self.only_member());
        let mut recipients = match &post_in {
            Some(groups) => {
                let posts = Posts::new(self.state, self.tenant, speaks, groups, place);
                Recipients::Groups(Box::new(posts))
            }
            None => {
                let source = Source::new(self.state, self.tenant, speaks, &audience, place);
                let by_email = self.what.channel == ChannelName::Email;
                let source = source.in_zones(self.zones(&split)).by_email(by_email);
                Recipients::Contacts(Box::new(source))
            }
        };
        let turn = self.read(&mut recipients, &mut split).await;
        // What came before a failure is kept.
        if !self.write(&split).await? {
            return Ok(());
        }
        match turn? {
            Turn::Over => self.end(&split).await,
            Turn::More => self.rest(0).await,
            Turn::Lost => Ok(()),
        }
    }

    async fn read(&mut self, recipients: &mut Recipients<'_>, split: &mut Split) -> Result<Turn, Error> {
        for _ in 0..PAGES_A_TURN {
            let Some(Page { entries, cursor }) = recipients.next().await? else {
                return Ok(Turn::Over);
            };
            let placed = split.place(&entries, self.state.knobs.chunk_recipients_max);
            self.unwritten.placed.extend(placed);
            self.unwritten.cursor = cursor;
            self.unwritten.since.get_or_insert_with(Instant::now);
            if self.unwritten.is_due(split.open.len()) && !self.write(split).await? {
                return Ok(Turn::Lost);
            }
        }
        Ok(Turn::More)
    }

    /// Until its next turn.
    async fn rest(&self, failures: i32) -> Result<(), Error> {
        let secs = rest_before_turn(failures).as_secs_f64();
        let mut tx = self.state.db.begin(self.tenant).await?;
        store::resolve::rest(&mut *tx, self.broadcast, self.owner, failures, secs).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Which zones are one, as far as its chunks have them.
    fn zones(&self, split: &Split) -> Zones {
        let mut zones = Zones::new(&self.tenants, self.state.clock.now());
        for zone in split.open.keys().filter_map(|(_, zone)| *zone) {
            zones.meet(zone.name());
        }
        zones
    }

    /// A member's own message goes to her contacts alone, and from her.
    fn only_member(&self) -> Option<MemberId> {
        (self.what.kind == Kind::Member).then_some(self.what.started_by)
    }

    fn audience(&mut self) -> Result<Audience, Error> {
        match self.what.conditions.take() {
            Some(conditions) => Ok(conditions.0),
            None => Ok(Audience::tagged(
                tags(&self.what.tags_any)?,
                tags(&self.what.tags_all)?,
            )),
        }
    }

    /// What was read: cursor, chunks, and the receipts of those who end already. False when it is not ours to write.
    async fn write(&mut self, split: &Split) -> Result<bool, Error> {
        let Unwritten {
            placed,
            cursor,
            since,
        } = std::mem::take(&mut self.unwritten);
        self.unwritten.cursor = cursor;
        if since.is_none() {
            return Ok(true);
        }
        let ended: Vec<_> = placed
            .iter()
            .filter_map(|placed| {
                Some(Ending {
                    n: placed.n,
                    contact: placed.entry.contact,
                    outcome: placed.entry.ends?,
                })
            })
            .collect();
        let mut tx = self.state.db.begin(self.tenant).await?;
        if !self.advance(&mut tx, split).await? {
            return Ok(false);
        }
        let id = self.broadcast;
        if !placed.is_empty() {
            store::resolve::add(&mut *tx, self.tenant, id, &placed).await?;
        }
        if !ended.is_empty() {
            store::receipt::end(&mut *tx, self.tenant, id, &ended).await?;
        }
        tx.commit().await?;
        crash_point("broadcast-resolve-page");
        super::count(&ended);
        self.what.failures = 0;
        Ok(true)
    }

    /// Moves the cursor; false when it is not ours to move.
    async fn advance(&self, tx: &mut outbox::Tx, split: &Split) -> Result<bool, Error> {
        let cursor = self
            .unwritten
            .cursor
            .map(|cursor| cursor.to_string())
            .unwrap_or_default();
        let (id, owner) = (self.broadcast, self.owner);
        Ok(store::resolve::advance(&mut **tx, id, owner, &cursor, split.placed_to, LEASE_SECS).await?)
    }

    /// The audience is complete: each sending member gets her share to confirm.
    async fn end(&self, split: &Split) -> Result<(), Error> {
        let now = self.state.clock.now();
        let mut tx = self.state.db.begin(self.tenant).await?;
        let id = self.broadcast;
        if !self.advance(&mut tx, split).await? {
            return Ok(());
        }
        // Its row is locked, so this is the schedule there is.
        let found = store::broadcast::find(&mut *tx, id).await?;
        let schedule = found.ok_or(Error::BroadcastUnknown)?.schedule();
        let expires_at = schedule.confirm_by(now, self.state.knobs.task_expiry(), &self.tenants);
        store::resolve::close_ended(&mut *tx, id).await?;
        if schedule.send_at_local.is_some() {
            super::set_times(&mut tx, id, &schedule, &self.tenants).await?;
        }
        let shares = store::resolve::shares(&mut *tx, id).await?;
        store::task::open(&mut *tx, self.tenant, id, &shares, now, expires_at).await?;
        store::broadcast::set_state(&mut *tx, id, BroadcastState::Running).await?;
        tx.audit(Actor::System("resolve"), "broadcast.resolved", id);
        tx.commit().await?;
        tracing::info!(broadcast_id = %id, members = shares.len(), "audience resolved");
        Ok(())
    }
}

fn tags(names: &[String]) -> Result<Tags, Error> {
    let texts: Result<Vec<Text<64>>, _> = names.iter().map(|name| name.parse()).collect();
    let texts = texts.map_err(|_| Error::Audience("a tag is no text".to_owned()))?;
    Tags::try_from(texts).map_err(Error::Audience)
}
