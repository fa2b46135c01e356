//! Resolving an audience: pages of it come from customers, and each is written into chunks in one transaction with
//! the cursor. Whoever dies on the way, the next one goes on after the last page written.
//!
//! Mass messages take turns of some pages, so that neither a large audience nor one that fails keeps the others waiting.

use std::time::Duration;

use contracts::customers::v1::customers_service_client::CustomersServiceClient;
use contracts::customers::v1::{AudienceEntry, StreamAudienceRequest, StreamAudienceResponse};
use contracts::{BroadcastId, MemberId, TenantId};
use outbox::{Actor, crash_point};
use tonic::Status;
use uuid::Uuid;

use crate::State;
use crate::broadcast::{Kind, State as BroadcastState, rest_before_turn};
use crate::error::Error;
use crate::outcome::Outcome;
use crate::split::{Entry, Split};
use crate::store;
use crate::store::receipt::Ending;
use crate::store::resolve::Resolving;

/// A page must come, and be written, well within the lease.
const LEASE_SECS: f64 = 8.0;
const PAGE_WAIT: Duration = Duration::from_secs(4);
const STREAM_SECS_MAX: u64 = 600;
/// 25,000 contacts: a fraction of a second, of which opening the stream anew is little.
const PAGES_A_TURN: usize = 50;

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
}

impl Resolver<'_> {
    async fn turn(&mut self, mut split: Split) -> Result<(), Error> {
        let mut cursor = self.what.cursor.clone();
        let mut pages = self.open_stream(&cursor).await?;
        for _ in 0..PAGES_A_TURN {
            let Some(page) = self.within(pages.message()).await? else {
                return self.end(&cursor, &split).await;
            };
            if !self.write(&page, &mut split).await? {
                return Ok(()); // cancelled meanwhile, or another one's by now
            }
            (cursor, self.what.failures) = (page.cursor, 0);
        }
        self.rest(0).await
    }

    /// Until its next turn.
    async fn rest(&self, failures: i32) -> Result<(), Error> {
        let secs = rest_before_turn(failures).as_secs_f64();
        let mut tx = self.state.db.begin(self.tenant).await?;
        store::resolve::rest(&mut *tx, self.broadcast, self.owner, failures, secs).await?;
        tx.commit().await?;
        Ok(())
    }

    async fn open_stream(&self, cursor: &str) -> Result<tonic::Streaming<StreamAudienceResponse>, Error> {
        let message = StreamAudienceRequest {
            tags_any: self.what.tags_any.clone(),
            tags_all: self.what.tags_all.clone(),
            member_id: self
                .only_member()
                .map(|member| member.to_string())
                .unwrap_or_default(),
            cursor: cursor.to_owned(),
        };
        let mut request = chassis::grpc::authorize(message, &self.state.signer, "customers", self.tenant);
        request.set_timeout(Duration::from_secs(STREAM_SECS_MAX));
        let channel = self.state.customers.clone();
        let channel = channel.ok_or_else(|| Status::failed_precondition("a worker resolves no audience"))?;
        let mut customers = CustomersServiceClient::new(channel);
        Ok(self
            .within(customers.stream_audience(request))
            .await?
            .into_inner())
    }

    /// A member's own message goes to her contacts alone, and from her.
    fn only_member(&self) -> Option<MemberId> {
        (self.what.kind == Kind::Member).then_some(self.what.started_by)
    }

    /// A peer that accepts and then says nothing must not hold the lease.
    async fn within<T>(&self, answer: impl Future<Output = Result<T, Status>>) -> Result<T, Error> {
        let waited = tokio::time::timeout(PAGE_WAIT, answer).await;
        Ok(waited.unwrap_or_else(|_| Err(Status::deadline_exceeded("the next page did not come")))?)
    }

    /// One page: cursor, chunks, and the receipts of those without consent. False when it is not ours to write.
    async fn write(&self, page: &StreamAudienceResponse, split: &mut Split) -> Result<bool, Error> {
        let entries = page
            .entries
            .iter()
            .map(|entry| self.entry(entry))
            .collect::<Result<Vec<_>, Error>>()?;
        let placed = split.place(&entries, self.state.knobs.chunk_recipients_max);
        let opted_out: Vec<_> = placed
            .iter()
            .filter(|placed| !placed.entry.marketing)
            .map(|placed| Ending {
                n: placed.n,
                contact: placed.entry.contact,
                outcome: Outcome::OptedOut,
            })
            .collect();

        let mut tx = self.state.db.begin(self.tenant).await?;
        let (id, owner) = (self.broadcast, self.owner);
        if !store::resolve::advance(&mut *tx, id, owner, &page.cursor, split.placed_to, LEASE_SECS).await? {
            return Ok(false);
        }
        store::resolve::add(&mut *tx, self.tenant, id, &placed).await?;
        store::receipt::end(&mut *tx, self.tenant, id, &opted_out).await?;
        crash_point("broadcast-resolve-page");
        tx.commit().await?;
        super::count(&opted_out);
        Ok(true)
    }

    fn entry(&self, entry: &AudienceEntry) -> Result<Entry, Error> {
        let malformed = |what: &str| Error::Audience(format!("{what} is no uuid"));
        let member = entry.member_id.parse().map_err(|_| malformed("member_id"));
        Ok(Entry {
            contact: entry.contact_id.parse().map_err(|_| malformed("contact_id"))?,
            member: self.only_member().map_or(member, Ok)?,
            marketing: entry.marketing,
        })
    }

    /// The audience is complete: each sending member gets her share to confirm.
    async fn end(&self, cursor: &str, split: &Split) -> Result<(), Error> {
        let now = self.state.clock.now();
        let expires_at = self
            .what
            .schedule()
            .confirm_by(now, self.state.knobs.task_expiry());
        let mut tx = self.state.db.begin(self.tenant).await?;
        let (id, owner) = (self.broadcast, self.owner);
        if !store::resolve::advance(&mut *tx, id, owner, cursor, split.placed_to, LEASE_SECS).await? {
            return Ok(());
        }
        store::resolve::close_ended(&mut *tx, id).await?;
        let shares = store::resolve::shares(&mut *tx, id).await?;
        store::task::open(&mut *tx, self.tenant, id, &shares, now, expires_at).await?;
        store::broadcast::set_state(&mut *tx, id, BroadcastState::Running).await?;
        tx.audit(Actor::System("resolve"), "broadcast.resolved", id);
        tx.commit().await?;
        tracing::info!(broadcast_id = %id, members = shares.len(), "audience resolved");
        Ok(())
    }
}
