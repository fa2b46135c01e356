//! Claiming a chunk (T1): the lease, consent, the caps, and who is left to send to.
//!
//! Cost, whatever the chunk's size: 8 statements and a commit on one connection, one more where a share is held out, for
//! the dead and for a receiver that was away, and up to two more under a fatigue limit; at most 500 rows of caps, in the
//! order of their key, and as many receipts as there are suppressed contacts. Locks the chunk for its duration. Every retry
//! enters here again and finds the caps of its own mass message.

use std::time::{Duration, Instant};

use contracts::ContactId;
use jiff::civil::Date;
use uuid::Uuid;

use crate::State;
use crate::broadcast::{ChannelName, State as BroadcastState};
use crate::cap::{Policy, Rule, Today, not_among, time_to_send};
use crate::channel::Mailing;
use crate::chunk::{Hint, Lease, State as ChunkState, Verdict, is_poison, never_handed};
use crate::content::Content;
use crate::content::letter::Letter;
use crate::content::said::Said;
use crate::error::Error;
use crate::mail::Mailboxes;
use crate::opt_out::Links;
use crate::outcome::Outcome;
use crate::pace::Rates;
use crate::post::To;
use crate::quiet::Quiet;
use crate::store;
use crate::store::lease::Found;
use crate::store::receipt::Ending;
use crate::webhook::Receiver;

/// How a claim went.
pub(crate) enum Claimed {
    /// There may be something to send.
    Chunk(Box<Claim>),
    /// The hint is of no use any more.
    Stale,
    /// Not now: look again after this time.
    Later(Duration),
}

/// A claimed chunk.
pub(crate) struct Claim {
    pub lease: Lease,
    /// Taken before the claim was asked for, so the lease lasts at least its seconds from here.
    pub since: Instant,
    /// How long calls may be started under the caps taken.
    pub send_for: Duration,
    pub policy: Policy,
    pub channel: ChannelName,
    pub receiver: Option<Receiver>,
    pub mailing: Mailing,
    /// What each gets is made of this; none when all get the same text.
    pub content: Option<Content>,
    pub rates: Rates,
    /// Claims in a row that found the receiver away: with any, this one only tries it again.
    pub failures: i32,
    /// The mass message, or the tenant's others, have been waiting for the receiver.
    pub has_waited: bool,
    /// Claims before this one that ended without a word: whom they handed over stands in the first sub-batch.
    pub earlier_attempts: i32,
    /// It is sent beside the lanes.
    pub is_aside: bool,
    /// Sorted; each holds its cap and has no receipt.
    pub allowed: Vec<ContactId>,
}

impl Claim {
    /// Whether it is to find out whether the receiver is back.
    pub(crate) fn is_trial(&self) -> bool {
        self.failures > 0
    }
}

pub(crate) async fn claim(state: &State, hint: Hint) -> Result<Claimed, Error> {
    let since = Instant::now();
    let mut tx = state.db.begin(hint.chunk.tenant).await?;
    let Some(found) = store::lease::lock(&mut *tx, hint.chunk, state.knobs.away_secs_max()).await? else {
        return Ok(Claimed::Stale);
    };
    let verdict = if outbox::is_mutant("mutant-message-id-only") {
        Verdict::Take
    } else {
        found.standing().heed(hint.epoch)
    };
    match verdict {
        Verdict::Take => {}
        Verdict::Stale => return Ok(Claimed::Stale),
        Verdict::Busy => return Ok(Claimed::Later(state.knobs.lease() / 3)),
    }
    if found.is_held() {
        // Dispatched while that came about.
        store::lease::put_back(&mut *tx, hint.chunk).await?;
        tx.commit().await?;
        return Ok(Claimed::Stale);
    }
    let is_away = !found.ends_anyway() && (found.is_away || !may_try(&mut tx, state, hint, &found).await?);
    if is_away {
        store::lease::put_back(&mut *tx, hint.chunk).await?;
        tx.commit().await?;
        super::away::wait_for_trial(state, hint.chunk).await?;
        return Ok(Claimed::Stale);
    }
    let policy = found.to.policy(found.kind, found.member);
    let today = store::policy::today(&mut *tx, hint.chunk.tenant, policy.scope, &found.zone).await?;
    let quiet = match store::quiet::now(&mut *tx, hint.chunk.tenant).await? {
        Some((now, hours)) => hours.at(now, &found.clocks()?),
        None => Quiet::default(),
    };
    if let Some(rest_secs) = quiet.rest_secs
        && found.broadcast_state == BroadcastState::Running
        && !quiet.outlasts(found.left_secs)
    {
        // Nobody holds a lane for it: the dispatcher leaves it alone until then.
        store::lease::wait(&mut *tx, hint.chunk, rest_secs).await?;
        tx.commit().await?;
        return Ok(Claimed::Stale);
    }
    let left = Duration::try_from_secs_f64(today.left_secs).unwrap_or_default();
    let Some(send_for) = time_to_send(left, state.knobs.window_guard()) else {
        return Ok(Claimed::Later(left + Duration::from_millis(100)));
    };
    let send_for = send_for.min(found.left()).min(quiet.begins_in());

    let lease = Lease {
        chunk: hint.chunk,
        owner: Uuid::now_v7(),
    };
    store::lease::take(&mut *tx, lease, state.knobs.lease().as_secs_f64()).await?;
    let unended = store::chunk::unended(&mut *tx, hint.chunk).await?;
    let round = Round {
        state,
        hint,
        found: &found,
        policy,
        today,
        quiet,
        unended: &unended,
    };
    let (allowed, ended) = round.decide(&mut tx).await?;
    let endings: Vec<_> = ended
        .into_iter()
        .map(|(contact, outcome)| Ending {
            n: hint.chunk.n,
            contact,
            outcome,
        })
        .collect();
    store::receipt::end(&mut *tx, hint.chunk.tenant, hint.chunk.broadcast, &endings).await?;
    super::away::note_dead(
        &mut tx,
        hint.chunk,
        &found,
        &endings,
        state.knobs.sub_batch_recipients(),
    )
    .await?;
    if allowed.is_empty() {
        if found.failures > 0 && !found.ends_anyway() {
            store::receiver::try_later(&mut *tx, hint.chunk.tenant, found.channel).await?;
        }
        store::lease::release(&mut *tx, lease, ChunkState::Done, false).await?;
    }
    tx.commit().await?;
    super::count(&endings);
    let rates = found.rates();
    let receiver = found.receiver();
    Ok(Claimed::Chunk(Box::new(Claim {
        lease,
        since,
        send_for,
        policy,
        channel: found.channel,
        receiver,
        mailing: Mailing {
            tenant: hint.chunk.tenant,
            broadcast: hint.chunk.broadcast,
            kind: found.kind,
            to: found.to,
            member: found.member,
            title: found.title,
            mailboxes: Mailboxes::default(),
            letter: Letter::same(Said {
                language: found.content.as_ref().map(|content| content.language()),
                text: found.text,
                attachments: found.attachments.0,
            }),
            links: Links::new(
                &state.public_url,
                hint.chunk.tenant,
                found.link_generation,
                &found.link_key,
            ),
        },
        content: found.content.map(|content| content.0),
        rates,
        failures: found.failures,
        has_waited: found.has_waited,
        earlier_attempts: found.attempts,
        is_aside: hint.is_aside,
        allowed,
    })))
}

/// Whether this claim may call: of a receiver that was away one at a time does.
async fn may_try(
    db: &mut sqlx::PgConnection,
    state: &State,
    hint: Hint,
    found: &Found,
) -> Result<bool, Error> {
    if found.failures == 0 {
        return Ok(true);
    }
    let trial_secs = state.knobs.lease().as_secs_f64();
    Ok(store::receiver::try_alone(db, hint.chunk.tenant, found.channel, trial_secs).await?)
}

/// What is known of a chunk when it is decided who is sent to.
struct Round<'a> {
    state: &'a State,
    hint: Hint,
    found: &'a Found,
    policy: Policy,
    today: Today,
    quiet: Quiet,
    /// Sorted.
    unended: &'a [ContactId],
}

/// Who ends here, and how.
type Ended = Vec<(ContactId, Outcome)>;

impl Round<'_> {
    /// Who is sent to, and who ends here: of several reasons the first one counts.
    async fn decide(&self, db: &mut sqlx::PgConnection) -> Result<(Vec<ContactId>, Ended), Error> {
        let (mut left, mut ended) = (self.unended.to_vec(), vec![]);
        if let Some(outcome) = self.end_of_all() {
            self.leave(db, self.unended.to_vec(), outcome, &mut left, &mut ended)
                .await?;
            return Ok((left, ended));
        }
        if self.found.epoch > 1 || self.found.attempts > 0 {
            // An earlier claim may have been on an earlier day, whose caps are of no use on this one. Those in doubt keep
            // theirs: the call may have been of that day.
            self.give_back(db, self.unsent(), Some(self.today.day)).await?;
        }
        if self.found.to == To::Contacts {
            let opted_out = store::consent::opted_out(&mut *db, self.hint.chunk.tenant, &left).await?;
            self.leave(db, opted_out, Outcome::OptedOut, &mut left, &mut ended)
                .await?;
        }
        if self.found.held_out_ppm > 0 {
            let (broadcast, ppm) = (self.hint.chunk.broadcast, self.found.held_out_ppm);
            let held_out = store::held_out::among(&mut *db, broadcast, &left, ppm).await?;
            self.leave(db, held_out, Outcome::HeldOut, &mut left, &mut ended)
                .await?;
        }
        if self.quiet.rest_secs.is_some() {
            // Its time ends before the quiet hours do.
            self.leave(db, left.clone(), Outcome::QuietExpired, &mut left, &mut ended)
                .await?;
            return Ok((left, ended));
        }
        let allowed = self.take(db, self.policy, self.today.own, &left).await?;
        ended.extend(
            not_among(&left, &allowed)
                .into_iter()
                .map(|c| (c, Outcome::Capped)),
        );
        let rested = self
            .take(db, Policy::fatigue(), self.today.fatigue, &allowed)
            .await?;
        let fatigued = not_among(&allowed, &rested);
        if !fatigued.is_empty() {
            // Nobody calls them, so the cap of the kind is not used either.
            self.give_back(db, &fatigued, None).await?;
        }
        ended.extend(fatigued.into_iter().map(|c| (c, Outcome::Fatigued)));
        Ok((rested, ended))
    }

    /// What became of the mass message, or of the chunk itself.
    fn end_of_all(&self) -> Option<Outcome> {
        let attempts_max = self.state.knobs.chunk_attempts_max.into();
        if self.found.broadcast_state != BroadcastState::Running {
            Some(Outcome::Cancelled)
        } else {
            let is_dead = is_poison(self.found.attempts, attempts_max) || self.found.is_given_up;
            is_dead.then_some(Outcome::Dead)
        }
    }

    /// These are not sent to. Of an earlier claim they may hold caps: whoever was certainly never handed over gives them
    /// back.
    async fn leave(
        &self,
        db: &mut sqlx::PgConnection,
        leaving: Vec<ContactId>,
        outcome: Outcome,
        left: &mut Vec<ContactId>,
        ended: &mut Ended,
    ) -> Result<(), Error> {
        if leaving.is_empty() {
            return Ok(());
        }
        let unsent = not_among(&leaving, &not_among(&leaving, self.unsent()));
        self.give_back(db, &unsent, None).await?;
        *left = not_among(left, &leaving);
        ended.extend(leaving.into_iter().map(|contact| (contact, outcome)));
        Ok(())
    }

    /// Those that no earlier claim can have handed over.
    fn unsent(&self) -> &[ContactId] {
        let sub_batch = self.state.knobs.sub_batch_recipients();
        never_handed(self.unended, self.found.attempts, sub_batch)
    }

    /// Those whose cap this mass message gets, or has.
    async fn take(
        &self,
        db: &mut sqlx::PgConnection,
        policy: Policy,
        rule: Option<Rule>,
        contacts: &[ContactId],
    ) -> Result<Vec<ContactId>, Error> {
        let (chunk, day) = (self.hint.chunk, self.today.day);
        let Some(rule) = rule.filter(|_| !contacts.is_empty()) else {
            return Ok(contacts.to_vec());
        };
        let keeping = rule.keeping(day);
        let taken = store::cap::take(db, chunk.tenant, policy, keeping, day, chunk.broadcast, contacts);
        Ok(taken.await?)
    }

    async fn give_back(
        &self,
        db: &mut sqlx::PgConnection,
        contacts: &[ContactId],
        but_of: Option<Date>,
    ) -> Result<(), Error> {
        let chunk = self.hint.chunk;
        let given = store::cap::give_back(db, chunk.tenant, self.policy, chunk.broadcast, contacts, but_of);
        Ok(given.await?)
    }
}
