//! A contact opts out of marketing by a link. Consent is owned by customers, who hear of it by an event; here it holds at
//! once, also while customers is away.

use contracts::broadcast::v1::ContactOptedOut;
use outbox::{Actor, crash_point};

use crate::State;
use crate::error::Error;
use crate::opt_out::Token;
use crate::store;

/// Whether the link is one of ours; a forged one, an outdated one and one of nobody look the same.
pub(crate) async fn check_link(db: &mut sqlx::PgConnection, token: &Token) -> Result<(), Error> {
    let keys = store::tenant::link_keys(db, token.tenant).await?;
    match keys.is_some_and(|keys| keys.signed(token)) {
        true => Ok(()),
        false => Err(Error::LinkUnknown),
    }
}

pub(crate) async fn opt_out(state: &State, token: &Token) -> Result<(), Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(token.tenant).await?;
    check_link(&mut tx, token).await?;
    if store::consent::withdraw(&mut *tx, token.tenant, token.contact, now).await? {
        store::click::forget(&mut *tx, token.tenant, token.contact).await?;
        let event = ContactOptedOut {
            tenant_id: token.tenant.to_string(),
            contact_id: token.contact.to_string(),
        };
        tx.audit(Actor::Contact(token.contact), "contact.opted_out", token.contact);
        outbox::record(&mut tx, &event, now).await?;
    }
    crash_point("broadcast-opting-out");
    tx.commit().await?;
    crash_point("broadcast-opted-out");
    Ok(())
}
