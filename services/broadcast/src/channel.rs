//! The channels a mass message can take: a closed set. Each module says what it can dedupe by.

pub(crate) mod account;
mod calls;
mod email;
mod inbox;
pub(crate) mod webhook;

use std::time::{Duration, Instant};

use contracts::{BroadcastId, ContactId, MemberId, MessageId, TenantId};

use self::account::Accounts;
use crate::State;
use crate::broadcast::{ChannelName, Kind};
use crate::cap::not_among;
use crate::config::Knobs;
use crate::content::letter::{Letter, Unwritten};
use crate::content::said::Said;
use crate::dead::Dead;
use crate::failure::Failure;
use crate::grip::Grip;
use crate::mail::Mailboxes;
use crate::ops::Claim;
use crate::opt_out::Links;
use crate::outcome::Outcome;
use crate::pace::Pace;
use crate::post::To;

/// A receiver whose calls take longer is slow.
const SLOW_CALL: Duration = Duration::from_secs(1);

/// What the recipients of one chunk get, and from whom.
#[derive(Clone, Debug)]
pub(crate) struct Mailing {
    pub tenant: TenantId,
    pub broadcast: BroadcastId,
    pub kind: Kind,
    pub to: To,
    pub member: MemberId,
    /// For the subject of an e-mail.
    pub title: String,
    pub letter: Letter,
    /// Where e-mails go; empty but for those.
    pub mailboxes: Mailboxes,
    /// The way out of marketing, which stands in every message to a contact; a post in groups has none.
    pub links: Links,
}

/// What the channel says of one recipient.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub contact: ContactId,
    pub outcome: Outcome,
    /// Whether a call was started: then the cap stays taken, whatever came of it.
    pub is_handed: bool,
    /// What a dead one died of.
    pub failure: Option<Failure>,
}

impl Delivery {
    pub(crate) fn dead(&self) -> Option<Dead> {
        (self.outcome == Outcome::Dead).then(|| Dead {
            contact: self.contact,
            failure: self.failure.unwrap_or(Failure::Unwritten),
            is_handed: self.is_handed,
        })
    }
}

/// What the channel says of a sub-batch; of recipients it does not mention, no call was started, unless it is in doubt.
#[derive(Debug, Default)]
pub(crate) struct Delivered {
    pub deliveries: Vec<Delivery>,
    /// Some call was started whose answer is not known and will not be waited for.
    pub is_in_doubt: bool,
    /// What the own inbox gets: stored with the receipts, in their transaction, or not at all.
    pub messages: Vec<(MessageId, ContactId)>,
    /// The receiver is away, or asks to be left alone: what is left is for later.
    pub away: Option<Away>,
    /// The words of each of these, in the same order; empty where all get the same.
    pub said: Vec<Said>,
}

impl Delivered {
    /// Whether the channel said yes or no to anybody.
    pub(crate) fn is_answered(&self) -> bool {
        let is_answer = |delivery: &&Delivery| matches!(delivery.outcome, Outcome::Delivered | Outcome::Dead);
        self.deliveries
            .iter()
            .filter(is_answer)
            .any(|delivery| delivery.is_handed)
    }
}

/// Why what is left is for later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Away {
    /// How much later, when the receiver said.
    pub asked: Option<Duration>,
    /// It answered somebody lately, so it is there for others.
    pub is_answering: bool,
}

/// What this process has of all channels.
pub(crate) struct Channels {
    webhooks: webhook::Client,
    /// None where no e-mails are sent.
    line: Option<email::Line>,
    mail_accounts: Accounts,
}

impl Channels {
    pub(crate) fn open(state: &State) -> anyhow::Result<Self> {
        Ok(Self {
            webhooks: webhook::Client::new(state)?,
            line: state.mail.as_ref().and_then(email::Line::new),
            mail_accounts: Accounts::default(),
        })
    }

    /// The channel of a claimed chunk.
    pub(crate) fn choose<'a>(&'a self, state: &'a State, claim: &'a Claim) -> Channel<'a> {
        match claim.channel {
            ChannelName::Inbox => Channel::Inbox(inbox::Inbox),
            ChannelName::Webhook => Channel::Webhook(self.webhooks.to(state, claim)),
            ChannelName::Email => Channel::Email(email::Email::new(
                state,
                self.line.as_ref(),
                &self.mail_accounts,
                claim,
            )),
        }
    }
}

pub(crate) enum Channel<'a> {
    Inbox(inbox::Inbox),
    Webhook(webhook::Webhook<'a>),
    Email(email::Email<'a>),
}

impl Channel<'_> {
    /// Recipients handed over at a time: of calls no more than a crash may repeat; what is stored with its receipts is
    /// never repeated, so it is a chunk.
    pub(crate) fn sub_batch_recipients(&self, knobs: &Knobs, is_aside: bool) -> usize {
        match self {
            Self::Inbox(_) => usize::try_from(knobs.chunk_recipients_max).unwrap_or(1),
            Self::Webhook(_) | Self::Email(_) => knobs.share_recipients(is_aside),
        }
    }

    /// When the receiver of so many is slow, if they are not delivered by then: each call has its time, and those that
    /// wait for others theirs.
    pub(crate) fn slow_from(&self, recipients: usize, pace: &Pace) -> Instant {
        let calls_max = match self {
            Self::Inbox(_) => recipients.max(1),
            Self::Webhook(webhook) => webhook.calls_max(),
            Self::Email(email) => email.calls_max(),
        };
        let rounds = u32::try_from(recipients.div_ceil(calls_max)).unwrap_or(u32::MAX);
        let due = Instant::now().max(pace.at(recipients.saturating_sub(1)));
        due + SLOW_CALL.saturating_mul(rounds)
    }

    /// Delivers to the recipients of one sub-batch, as many as the grip and the pace let it. Words of their own are
    /// written here; who can't be written to ends alone, and no call is started for them.
    pub(crate) async fn deliver(
        &self,
        mailing: &Mailing,
        contacts: &[ContactId],
        pace: Pace,
        grip: &Grip,
    ) -> Delivered {
        if !mailing.letter.is_personal() {
            return self.carry(mailing, contacts, pace, grip).await;
        }
        let (letter, unwritten) = mailing.letter.write(contacts);
        let mailing = Mailing {
            letter,
            ..mailing.clone()
        };
        let out: Vec<_> = unwritten.iter().map(|(contact, _)| *contact).collect();
        let written = not_among(contacts, &out);
        let mut delivered = self.carry(&mailing, &written, pace, grip).await;
        delivered
            .deliveries
            .extend(unwritten.into_iter().map(|(contact, why)| {
                let (outcome, failure) = match why {
                    Unwritten::Gone | Unwritten::NoGroup => (Outcome::NotAFriend, None),
                    Unwritten::Render(_) => (Outcome::Dead, Some(Failure::Unwritten)),
                };
                Delivery {
                    contact,
                    outcome,
                    failure,
                    is_handed: false,
                }
            }));
        delivered
    }

    async fn carry(&self, mailing: &Mailing, contacts: &[ContactId], pace: Pace, grip: &Grip) -> Delivered {
        match self {
            Self::Inbox(inbox) => inbox.deliver(mailing, contacts, pace, grip).await,
            Self::Webhook(webhook) => webhook.deliver(mailing, contacts, pace, grip).await,
            Self::Email(email) => email.deliver(mailing, contacts, pace, grip).await,
        }
    }
}
