//! Forecasting a mass message whose audience is fixed: what the claims of its chunks would decide, without taking a cap.
//!
//! Cost: a statement per 200 chunks and one per set of contacts, all as arrays, over three connections at most. For as long
//! as it takes it holds 16 bytes for everybody whose part is over and everybody opted out, and for each window that the days
//! have, four at most, 24 for each cap and each fatigue held and 32 for each cap of the other kind; besides the answers to
//! three statements. A million contacts who hold all of that are 110 MB for one day, so a process makes one at a time.

use std::collections::{BTreeMap, BTreeSet};

use contracts::{BroadcastId, ContactId, MemberId, TenantId};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};
use tokio::sync::Semaphore;

use crate::State;
use crate::broadcast::{Broadcast, Kind, State as BroadcastState};
use crate::cap::{Keeping, Policy, Rule, Scope};
use crate::error::Error;
use crate::forecast::{Alternative, Count, Day, Forecast, Held, Holder, Known, Leaves, Way, better};
use crate::outcome::{Outcome, Outcomes};
use crate::post::To;
use crate::quiet::{Hours, departure};
use crate::schedule::Schedule;
use crate::store;
use crate::zone::{self, LocalTime, Zone};

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
    if store::broadcast::is_audience_open(&mut *tx, broadcast).await? {
        return Err(Error::AudienceOpen);
    }
    super::check_receipts(&mut tx, tenant, broadcast).await?;
    let tally = store::chunk::tally(&mut *tx, broadcast).await?;
    // As she who started it would take them.
    let policy = found.to.policy(found.kind, found.started_by);
    let plan = plan(&mut tx, tenant, &found, policy.scope, state.clock.now()).await?;
    drop(tx);
    let forecaster = Forecaster {
        state,
        tenant,
        broadcast: &found,
        policy,
    };
    let known = forecaster.learn(&plan).await?;
    let count = forecaster.count(&known, &plan).await?;
    let mut ways = vec![
        Alternative {
            way: Way::Tomorrow,
            at: Some(plan.morning),
            at_local: plan.tomorrow.send_at_local,
            delivered: tally.outcomes.delivered + count.delivered_later,
        },
        Alternative {
            way: Way::other(found.kind),
            at: None,
            at_local: None,
            delivered: tally.outcomes.delivered + count.delivered_otherwise,
        },
    ];
    // A group's cap is the same for both kinds.
    ways.retain(|way| way.way == Way::Tomorrow || found.to == To::Contacts);
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

const fn other(kind: Kind) -> Kind {
    match kind {
        Kind::Member => Kind::Enterprise,
        Kind::Enterprise => Kind::Member,
    }
}

/// When each zone's part leaves, and the rules of the tenant's days on which one does.
struct Plan {
    leaves: BTreeMap<Option<Zone>, Leaves>,
    /// Where its time is over before it begins: no claim asks who has opted out or is held out.
    never: BTreeSet<Option<Zone>>,
    days: Vec<Rules>,
    /// The schedule it would have instead, and when that begins in the tenant's zone.
    tomorrow: Schedule,
    morning: Timestamp,
}

/// How caps are kept on a day: of the kind, over all kinds, and of the other kind; none: without a limit.
struct Rules {
    own: Option<Keeping>,
    fatigue: Option<Keeping>,
    otherwise: Option<Keeping>,
}

async fn plan(
    db: &mut sqlx::PgConnection,
    tenant: TenantId,
    broadcast: &Broadcast,
    scope: Scope,
    now: Timestamp,
) -> Result<Plan, Error> {
    let zone = store::tenant::zone(&mut *db, tenant).await?;
    let zone = zone.ok_or(Error::TenantUnverified)?;
    let tenants = zone::tenants(&zone)?;
    let hours = store::quiet::now(&mut *db, tenant).await?.map(|(_, hours)| hours);
    let schedule = broadcast.schedule();
    let tomorrow = day_after(&schedule, &tenants, now);
    let zones = store::chunk::zones(&mut *db, broadcast.broadcast_id).await?;
    // It is never earlier than the database says.
    let today = store::policy::today(&mut *db, tenant, scope, &zone).await?.day;
    let dates = |schedule: &Schedule| dates(schedule, hours, &zones, &tenants, (now, today));
    let (as_is, then) = (dates(&schedule), dates(&tomorrow));

    let mut days: Vec<Date> = as_is.iter().chain(&then).flatten().copied().collect();
    days.sort_unstable();
    days.dedup();
    let place = |date: Option<Date>| days.binary_search(&date?).ok();
    let leaves = zones.iter().zip(as_is).zip(then).map(|((zone, as_is), then)| {
        let (as_is, tomorrow) = (place(as_is), place(then));
        (*zone, Leaves { as_is, tomorrow })
    });
    let leaves = leaves.collect();
    let is_never = |zone: &Option<Zone>| schedule.is_over_before(now, &zone::of_chunk(*zone, &tenants));
    let never = zones.iter().copied().filter(is_never).collect();
    let mut rules = vec![];
    for day in &days {
        rules.push(rules_of(db, tenant, (scope, other(broadcast.kind).into()), &zone, *day).await?);
    }
    Ok(Plan {
        leaves,
        never,
        days: rules,
        tomorrow,
        morning: tomorrow.begins(&tenants).unwrap_or(now),
    })
}

/// The same at nine of the day after it begins in the tenant's zone.
fn day_after(schedule: &Schedule, tenants: &TimeZone, now: Timestamp) -> Schedule {
    let begins = schedule.begins(tenants).map_or(now, |at| at.max(now));
    let day = tenants.to_datetime(begins).date().saturating_add(1.day());
    let nine = LocalTime(day.at(MORNING_HOUR, 0, 0, 0));
    match schedule.send_at_local {
        Some(_) => Schedule {
            send_at_local: Some(nine),
            ..*schedule
        },
        None => Schedule {
            send_at: Some(nine.within(tenants)),
            ..*schedule
        },
    }
}

/// On which of the tenant's days it leaves for each zone.
fn dates(
    schedule: &Schedule,
    hours: Option<Hours>,
    zones: &[Option<Zone>],
    tenants: &TimeZone,
    (now, today): (Timestamp, Date),
) -> Vec<Option<Date>> {
    let leaves = |zone: &Option<Zone>| {
        let leaves = departure(schedule, hours, &zone::of_chunk(*zone, tenants), now)?;
        Some(tenants.to_datetime(leaves).date().max(today))
    };
    zones.iter().map(leaves).collect()
}

async fn rules_of(
    db: &mut sqlx::PgConnection,
    tenant: TenantId,
    (own, otherwise): (Scope, Scope),
    zone: &str,
    day: Date,
) -> Result<Rules, Error> {
    let own = store::policy::on(&mut *db, tenant, own, zone, day).await?;
    let otherwise = store::policy::on(&mut *db, tenant, otherwise, zone, day).await?;
    let keeping = |rule: Option<Rule>| rule.map(|rule| rule.keeping(day));
    Ok(Rules {
        own: keeping(own.own),
        fatigue: keeping(own.fatigue),
        otherwise: keeping(otherwise.own),
    })
}

/// What differs among some, and which of it each has.
fn distinct<T: PartialEq>(some: impl Iterator<Item = T>) -> (Vec<T>, Vec<usize>) {
    let (mut kinds, mut places) = (vec![], vec![]);
    for one in some {
        let place = kinds.iter().position(|kind| *kind == one);
        places.push(place.unwrap_or_else(|| {
            kinds.push(one);
            kinds.len() - 1
        }));
    }
    (kinds, places)
}

struct Forecaster<'a> {
    state: &'a State,
    tenant: TenantId,
    broadcast: &'a Broadcast,
    policy: Policy,
}

impl Forecaster<'_> {
    /// What the claims would find, what is the same on several days once. Sets come one behind the other in three rows: the
    /// pool is everybody's, and each answer is gone before the next one comes.
    async fn learn(&self, plan: &Plan) -> Result<Known, Error> {
        let (own, capped_on) = distinct(plan.days.iter().map(|day| day.own));
        let (fatigue, fatigued_on) = distinct(plan.days.iter().map(|day| day.fatigue));
        let (otherwise, otherwise_on) = distinct(plan.days.iter().map(|day| day.otherwise));
        let (who, held, otherwise) = tokio::try_join!(
            self.out(),
            self.all_held(own, fatigue),
            self.all_otherwise(otherwise)
        )?;
        let ((ended, opted_out), (capped, fatigued)) = (who, held);
        let days = (0..plan.days.len()).map(|day| Day {
            capped: capped_on[day],
            fatigued: fatigued_on[day],
            otherwise: otherwise_on[day],
        });
        Ok(Known {
            days: days.collect(),
            ended,
            opted_out,
            capped,
            fatigued,
            otherwise,
        })
    }

    /// Whose part is over, and who has opted out.
    async fn out(&self) -> Result<(Vec<ContactId>, Vec<ContactId>), Error> {
        Ok((self.ended().await?, self.opted_out().await?))
    }

    /// Caps of the kind, and fatigue.
    async fn all_held(
        &self,
        own: Vec<Option<Keeping>>,
        fatigue: Vec<Option<Keeping>>,
    ) -> Result<(Vec<Held>, Vec<Held>), Error> {
        let (mut capped, mut fatigued) = (vec![], vec![]);
        for keeping in own {
            capped.push(self.held(self.policy, keeping).await?);
        }
        for keeping in fatigue {
            fatigued.push(self.held(Policy::fatigue(), keeping).await?);
        }
        Ok((capped, fatigued))
    }

    async fn all_otherwise(
        &self,
        keepings: Vec<Option<Keeping>>,
    ) -> Result<Vec<Vec<(MemberId, ContactId)>>, Error> {
        let mut all = vec![];
        for keeping in keepings {
            all.push(self.otherwise(keeping).await?);
        }
        Ok(all)
    }

    async fn ended(&self) -> Result<Vec<ContactId>, Error> {
        let mut tx = self.state.db.read(self.tenant).await?;
        Ok(store::forecast::ended(&mut *tx, self.tenant, self.broadcast.broadcast_id).await?)
    }

    async fn opted_out(&self) -> Result<Vec<ContactId>, Error> {
        // A post is no message to anybody whose consent it could take.
        if self.broadcast.to == To::Groups {
            return Ok(vec![]);
        }
        let mut tx = self.state.db.read(self.tenant).await?;
        Ok(store::forecast::opted_out(&mut *tx, self.tenant).await?)
    }

    async fn held(&self, policy: Policy, keeping: Option<Keeping>) -> Result<Held, Error> {
        let Some(keeping) = keeping else {
            return Ok(Held::default());
        };
        let but_of = self.broadcast.broadcast_id;
        let mut tx = self.state.db.read(self.tenant).await?;
        let holders = store::forecast::holders(&mut *tx, self.tenant, policy, keeping, but_of).await?;
        Ok(Held::new(holders))
    }

    async fn otherwise(&self, keeping: Option<Keeping>) -> Result<Vec<(MemberId, ContactId)>, Error> {
        // A group's cap is the same for both kinds.
        let Some(keeping) = keeping.filter(|_| self.broadcast.to == To::Contacts) else {
            return Ok(vec![]);
        };
        let but_of = self.broadcast.broadcast_id;
        let scope = Scope::from(other(self.broadcast.kind));
        let mut tx = self.state.db.read(self.tenant).await?;
        Ok(store::forecast::used_up(&mut *tx, self.tenant, scope, keeping, but_of).await?)
    }

    async fn count(&self, known: &Known, plan: &Plan) -> Result<Count, Error> {
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
                let is_never = plan.never.contains(&share.zone);
                let of_all = is_over.then_some(Outcome::Cancelled);
                let of_all = of_all.or(is_never.then_some(Outcome::QuietExpired));
                share.ends_as = share.ends_as.or(of_all);
                let other = Policy::of(other(self.broadcast.kind), share.member).member;
                let leaves = plan.leaves.get(&share.zone).copied().unwrap_or_default();
                count.add(&share, known, leaves, other);
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
