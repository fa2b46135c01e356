//! E-mail in the sending member's name, by the mail server that SHEQUN_SMTP_URL names. It can dedupe, best effort, by the
//! `Message-ID`, which is the same in every attempt: many programs show a repeated one once, and none has to. A repetition
//! happens after a lost answer, and for at most 50 recipients per worker crash.
//!
//! `delivered` says that the mail server has taken it. What becomes of it then is told to the sender's address, where nobody
//! of ours looks. Whoever has no address ends `no_channel` while the audience is resolved, so a forecast knows of them; who
//! loses it until they are sent to ends so then, and holds no cap.

mod line;
mod written;

pub(super) use line::Line;

use std::sync::Arc;

use contracts::ContactId;
use futures::FutureExt as _;

use self::written::{Unsent, Written};
use super::account::{Account, Accounts};
use super::calls::Caller;
use super::{Away, Delivered, Delivery, Mailing};
use crate::State;
use crate::failure::Failure;
use crate::grip::Grip;
use crate::ops::Claim;
use crate::outcome::Outcome;
use crate::pace::Pace;

pub(crate) struct Email<'a> {
    state: &'a State,
    line: Option<&'a Line>,
    account: Arc<Account>,
    is_trial: bool,
    is_aside: bool,
}

impl<'a> Email<'a> {
    pub(super) fn new(state: &'a State, line: Option<&'a Line>, accounts: &Accounts, claim: &Claim) -> Self {
        Self {
            account: accounts.of(claim.mailing.tenant, &state.knobs),
            is_trial: claim.is_trial(),
            is_aside: claim.is_aside,
            state,
            line,
        }
    }

    pub(super) fn calls_max(&self) -> usize {
        let calls_max = |line: &Line| line.calls_max(&self.state.knobs, self.is_aside);
        self.line.map_or(1, calls_max)
    }

    pub(super) async fn deliver(
        &self,
        mailing: &Mailing,
        contacts: &[ContactId],
        pace: Pace,
        grip: &Grip,
    ) -> Delivered {
        let Some(line) = self.line else {
            // Accepted where a server is known: another worker may know it.
            return Delivered {
                away: Some(Away::default()),
                ..Delivered::default()
            };
        };
        let now = self.state.clock.now();
        let (mut letters, mut unsent) = (vec![], vec![]);
        for &contact in contacts {
            match Written::new(mailing, contact, line.from(), now) {
                Ok(letter) => letters.push(letter),
                Err(why) => unsent.push(delivery(contact, why)),
            }
        }
        let caller = Caller {
            account: &self.account,
            knobs: &self.state.knobs,
            grip,
            is_trial: self.is_trial,
        };
        // Boxed and collected, or the compiler can't see that the stream may move between threads.
        let calls = letters.iter().enumerate().map(|(i, letter)| {
            let attempt = move || line.attempt(letter);
            caller.call(letter.contact, pace.at(i), attempt).boxed()
        });
        let calls = calls.collect();
        let mut delivered = caller.gather(calls, self.calls_max()).await;
        delivered.deliveries.extend(unsent);
        delivered
    }
}

/// How it ends for somebody to whom nothing was sent.
fn delivery(contact: ContactId, why: Unsent) -> Delivery {
    let (outcome, failure) = match why {
        Unsent::Gone => (Outcome::NotAFriend, None),
        Unsent::NoAddress => (Outcome::NoChannel, None),
        Unsent::Unwritten => (Outcome::Dead, Some(Failure::Unwritten)),
    };
    Delivery {
        contact,
        outcome,
        failure,
        is_handed: false,
    }
}
