//! The contact's own inbox. Dedupes by the message's id, the table's key: a repetition has no effect at all. There is none
//! but by hand, either: a message is stored in the transaction of its receipt.

use contracts::ContactId;

use super::{Delivered, Delivery, Mailing};
use crate::grip::Grip;
use crate::message;
use crate::outcome::Outcome;
use crate::pace::Pace;

pub(crate) struct Inbox;

impl Inbox {
    /// What is to be stored for the sub-batch, which is at most a second's worth of the rate.
    pub(crate) async fn deliver(
        &self,
        mailing: &Mailing,
        contacts: &[ContactId],
        pace: Pace,
        grip: &Grip,
    ) -> Delivered {
        if grip.wait_until(pace.at(0)).await.is_some() {
            return Delivered::default();
        }
        let messages = contacts
            .iter()
            .map(|&contact| (message::mass(mailing.broadcast, contact), contact))
            .collect();
        let said = if mailing.letter.is_personal() {
            let words = |&contact| mailing.letter.to(contact).clone();
            contacts.iter().map(words).collect()
        } else {
            vec![]
        };
        let deliveries = contacts
            .iter()
            .map(|&contact| Delivery {
                contact,
                outcome: Outcome::Delivered,
                is_handed: true,
                failure: None,
            })
            .collect();
        Delivered {
            deliveries,
            messages,
            said,
            is_in_doubt: false,
            away: None,
        }
    }
}
