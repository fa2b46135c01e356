//! The contact's own inbox. Dedupes by the message's id, the table's key: a repetition has no effect at all.

use contracts::ContactId;

use super::{Delivered, Delivery, Mailing};
use crate::State;
use crate::error::Error;
use crate::grip::Grip;
use crate::message;
use crate::outcome::Outcome;
use crate::pace::Pace;
use crate::store;

pub(crate) struct Inbox<'a> {
    pub(crate) state: &'a State,
}

impl Inbox<'_> {
    /// One statement for the sub-batch, which is at most a second's worth of the rate.
    pub(crate) async fn deliver(
        &self,
        mailing: &Mailing,
        contacts: &[ContactId],
        pace: Pace,
        grip: &Grip,
    ) -> Result<Delivered, Error> {
        if grip.wait_until(pace.at(0)).await.is_some() {
            return Ok(Delivered::default());
        }
        let messages: Vec<_> = contacts
            .iter()
            .map(|&contact| (message::mass(mailing.broadcast, contact), contact))
            .collect();
        let mut tx = self.state.db.begin(mailing.tenant).await?;
        let kind = mailing.kind.into();
        store::inbox::store_mass(
            &mut *tx,
            mailing.tenant,
            mailing.broadcast,
            kind,
            mailing.member,
            &messages,
        )
        .await?;
        tx.commit().await?;
        let deliveries = contacts
            .iter()
            .map(|&contact| Delivery {
                contact,
                outcome: Outcome::Delivered,
                is_handed: true,
            })
            .collect();
        Ok(Delivered {
            deliveries,
            is_in_doubt: false,
        })
    }
}
