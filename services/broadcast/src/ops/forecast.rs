//! Forecasting a mass message whose audience is fixed: what the claims of its chunks would decide, without taking a cap.
//!
//! Cost at a million recipients: a statement per 200 chunks and one per set of contacts, all as arrays; about 60 MB for as
//! long as it takes, so a process makes one at a time.

use contracts::{BroadcastId, TenantId};
use tokio::sync::Semaphore;

use crate::State;
use crate::broadcast::{Broadcast, Kind, State as BroadcastState};
use crate::cap::{Policy, Rule, Scope, Today};
use crate::error::Error;
use crate::forecast::{
    Alternative, Count, Forecast, Held, Holder, Known, Moment, Way, better, is_same_window,
};
use crate::outcome::{Outcome, Outcomes};
use crate::quiet::Quiet;
use crate::store;

static TURN: Semaphore = Semaphore::const_new(1);

/// 1.6 MB of ids.
const CHUNKS_A_PAGE: i64 = 200;
const MORNING_HOUR: i8 = 9;

pub(crate) async fn forecast(
    state: &State,
    tenant: TenantId,
    broadcast: BroadcastId,
) -> Result<Forecast, Error> {
    let _turn = TURN.acquire().await;
    let mut tx = state.db.read(tenant).await?;
    let found = store::broadcast::find(&mut *tx, broadcast)
        .await?
        .ok_or(Error::BroadcastUnknown)?;
    if found.state == BroadcastState::Resolving {
        return Err(Error::AudienceOpen);
    }
    super::check_receipts(&mut tx, tenant, broadcast).await?;
    let zone = store::tenant::zone(&mut *tx, tenant).await?;
    let zone = zone.ok_or(Error::TenantUnverified)?;
    let tally = store::chunk::tally(&mut *tx, broadcast).await?;
    let kind = found.kind;
    let begins = found.begins(state.clock.now());
    let ahead_secs = begins.duration_since(state.clock.now()).as_secs_f64();
    let day = begins.in_tz(&zone).map_err(|_| Error::Zone(zone.clone()))?.date();
    let ahead = (day - rules(&mut tx, tenant, kind, &zone, 0).await?.day)
        .get_days()
        .max(0);
    let forecaster = Forecaster {
        state,
        tenant,
        broadcast: &found,
        today: rules(&mut tx, tenant, kind, &zone, ahead).await?,
        tomorrow: rules(&mut tx, tenant, kind, &zone, ahead + 1).await?,
        otherwise: rules(&mut tx, tenant, other(kind), &zone, ahead).await?,
        quiet: store::quiet::at(&mut *tx, tenant, &zone, ahead_secs).await?,
    };
    drop(tx);
    let known = forecaster.learn().await?;
    let count = forecaster.count(&known).await?;
    let morning = morning(&forecaster.tomorrow, &zone)?;
    let mut ways = vec![
        Alternative {
            way: Way::Tomorrow,
            at: Some(morning),
            delivered: tally.outcomes.delivered + count.delivered_later,
        },
        Alternative {
            way: Way::other(found.kind),
            at: None,
            delivered: tally.outcomes.delivered + count.delivered_otherwise,
        },
    ];
    ways.retain(|way| way.at.is_none() || found.send_until.is_none_or(|until| morning < until));
    let mut outcomes: Outcomes = tally.outcomes;
    for outcome in Outcome::ALL {
        outcomes.add(outcome, count.outcomes.of(outcome));
    }
    Ok(Forecast {
        broadcast_id: broadcast,
        audience: tally.audience,
        alternatives: better(outcomes.delivered, ways),
        outcomes,
        holders: forecaster.holders(&count).await?,
    })
}

async fn rules(
    db: &mut sqlx::PgConnection,
    tenant: TenantId,
    kind: Kind,
    zone: &str,
    days_ahead: i32,
) -> Result<Today, Error> {
    Ok(store::policy::today(db, tenant, kind.into(), zone, days_ahead).await?)
}

const fn other(kind: Kind) -> Kind {
    match kind {
        Kind::Member => Kind::Enterprise,
        Kind::Enterprise => Kind::Member,
    }
}

fn morning(day: &Today, zone: &str) -> Result<jiff::Timestamp, Error> {
    let morning = day.day.at(MORNING_HOUR, 0, 0, 0).in_tz(zone);
    Ok(morning.map_err(|_| Error::Zone(zone.to_owned()))?.timestamp())
}

struct Forecaster<'a> {
    state: &'a State,
    tenant: TenantId,
    broadcast: &'a Broadcast,
    today: Today,
    tomorrow: Today,
    /// Of the other kind.
    otherwise: Today,
    quiet: Quiet,
}

impl Forecaster<'_> {
    /// What the claims would find; the sets come at once, over a connection each.
    async fn learn(&self) -> Result<Known, Error> {
        let policy = Policy::of(self.broadcast.kind, self.broadcast.started_by);
        let fatigue = Policy::fatigue();
        let (ended, opted_out, capped, fatigued, capped_otherwise) = tokio::try_join!(
            self.ended(),
            self.opted_out(),
            self.held(policy, self.today.own, &self.today),
            self.held(fatigue, self.today.fatigue, &self.today),
            self.otherwise(),
        )?;
        Ok(Known {
            moment: self.moment(),
            capped_later: self.later(policy, self.today.own, self.tomorrow.own).await?,
            fatigued_later: self
                .later(fatigue, self.today.fatigue, self.tomorrow.fatigue)
                .await?,
            ended,
            opted_out,
            capped,
            fatigued,
            capped_otherwise,
        })
    }

    fn moment(&self) -> Moment {
        let begins = self.broadcast.begins(self.state.clock.now());
        let left = self.broadcast.send_until;
        let left = left.map(|until| until.duration_since(begins).as_secs_f64());
        if self.quiet.outlasts(left) {
            Moment::Never
        } else if self.quiet.is_over_night {
            Moment::Tomorrow
        } else {
            Moment::Now
        }
    }

    async fn ended(&self) -> Result<Vec<contracts::ContactId>, Error> {
        let mut tx = self.state.db.read(self.tenant).await?;
        Ok(store::forecast::ended(&mut *tx, self.tenant, self.broadcast.broadcast_id).await?)
    }

    async fn opted_out(&self) -> Result<Vec<contracts::ContactId>, Error> {
        let mut tx = self.state.db.read(self.tenant).await?;
        Ok(store::forecast::opted_out(&mut *tx, self.tenant).await?)
    }

    async fn held(&self, policy: Policy, rule: Option<Rule>, on: &Today) -> Result<Held, Error> {
        let Some(rule) = rule else {
            return Ok(Held::default());
        };
        let (keeping, but_of) = (rule.keeping(on.day), self.broadcast.broadcast_id);
        let mut tx = self.state.db.read(self.tenant).await?;
        let holders = store::forecast::holders(&mut *tx, self.tenant, policy, keeping, but_of).await?;
        Ok(Held::new(holders))
    }

    /// Who is held tomorrow by what is taken by now; none where it is the same window.
    async fn later(
        &self,
        policy: Policy,
        today: Option<Rule>,
        tomorrow: Option<Rule>,
    ) -> Result<Option<Held>, Error> {
        if let (Some(today), Some(tomorrow)) = (today, tomorrow)
            && is_same_window(today.keeping(self.today.day), tomorrow.keeping(self.tomorrow.day))
        {
            return Ok(None);
        }
        self.held(policy, tomorrow, &self.tomorrow).await.map(Some)
    }

    async fn otherwise(&self) -> Result<Vec<(contracts::MemberId, contracts::ContactId)>, Error> {
        let Some(rule) = self.otherwise.own else {
            return Ok(vec![]);
        };
        let (keeping, but_of) = (rule.keeping(self.otherwise.day), self.broadcast.broadcast_id);
        let scope = Scope::from(other(self.broadcast.kind));
        let mut tx = self.state.db.read(self.tenant).await?;
        Ok(store::forecast::used_up(&mut *tx, self.tenant, scope, keeping, but_of).await?)
    }

    async fn count(&self, known: &Known) -> Result<Count, Error> {
        let (mut count, mut after_n) = (Count::default(), -1);
        let (id, ppm) = (self.broadcast.broadcast_id, self.broadcast.held_out_ppm);
        let is_over = matches!(
            self.broadcast.state,
            BroadcastState::Cancelling | BroadcastState::Cancelled
        );
        let mut tx = self.state.db.read(self.tenant).await?;
        loop {
            let shares = store::forecast::shares(&mut *tx, id, ppm, after_n, CHUNKS_A_PAGE).await?;
            let Some(last) = shares.last() else {
                return Ok(count);
            };
            after_n = last.n;
            for mut share in shares {
                share.ends_as = share.ends_as.or(is_over.then_some(Outcome::Cancelled));
                let other = Policy::of(other(self.broadcast.kind), share.member).member;
                count.add(&share, known, other);
            }
        }
    }

    async fn holders(&self, count: &Count) -> Result<Vec<Holder>, Error> {
        let top = count.top_holders();
        let ids: Vec<_> = top.iter().map(|(_, broadcast, _)| *broadcast).collect();
        let mut tx = self.state.db.read(self.tenant).await?;
        let titles = store::forecast::titles(&mut *tx, &ids).await?;
        let title = |id: BroadcastId| {
            let found = titles.iter().find(|(broadcast, _)| *broadcast == id);
            found.map(|(_, title)| title.clone()).unwrap_or_default()
        };
        let holder = |(outcome, broadcast_id, recipients)| Holder {
            outcome,
            broadcast_id,
            title: title(broadcast_id),
            recipients,
        };
        Ok(top.into_iter().map(holder).collect())
    }
}
