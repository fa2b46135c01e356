//! What referral-commission tells, and what it listens to.

use contracts::customers::v1::ContactBefriended;
use contracts::referral::v1::{CommissionAccrued, CommissionReversed};
use contracts::types::v1::Money;
use contracts::{ContactId, Envelope, TenantId};
use outbox::{Handler, HandlerError, Tx};

use crate::State;
use crate::engine::{Change, OrderNo};
use crate::store;

/// Customers befriended a contact: shops may name it by either id from now on.
impl Handler<ContactBefriended> for State {
    async fn handle(
        &self,
        tx: &mut Tx,
        event: ContactBefriended,
        envelope: &Envelope,
    ) -> Result<(), HandlerError> {
        let person = event.external_id.parse()?;
        let contact_id: ContactId = event.contact_id.parse()?;
        store::person::put(&mut **tx, envelope.tenant_id, contact_id, &person).await?;
        tx.audit(envelope, "person.named", contact_id);
        Ok(())
    }
}

/// What transactions gave, and what they took back.
pub(crate) fn commissions(
    tenant_id: TenantId,
    order: &OrderNo,
    currency: &str,
    changes: &[Change],
) -> (Vec<CommissionAccrued>, Vec<CommissionReversed>) {
    let amount = |minor: i64| {
        Some(Money {
            currency: currency.to_owned(),
            minor,
        })
    };
    let accrued = changes
        .iter()
        .filter(|change| change.minor > 0)
        .map(|change| CommissionAccrued {
            tenant_id: tenant_id.to_string(),
            order: order.to_string(),
            person: change.person.to_string(),
            rule: change.rule.to_string(),
            amount: amount(change.minor),
        });
    let reversed = changes
        .iter()
        .filter(|change| change.minor < 0)
        .map(|change| CommissionReversed {
            tenant_id: tenant_id.to_string(),
            order: order.to_string(),
            person: change.person.to_string(),
            rule: change.rule.to_string(),
            amount: amount(-change.minor),
        });
    (accrued.collect(), reversed.collect())
}
