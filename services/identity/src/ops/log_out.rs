//! A member logs out: the session ends, whichever of its refresh tokens is shown.

use outbox::Actor;

use super::refresh::Refresh;
use crate::State;
use crate::error::Error;
use crate::store;

#[tracing::instrument(name = "identity.log_out", skip_all)]
pub(crate) async fn log_out(state: &State, command: Refresh) -> Result<(), Error> {
    let (now, shown) = (state.clock.now(), command.refresh_token);
    let mut tx = state.db.begin(shown.tenant()).await?;
    if let Some(session) = store::session::of_token(&mut *tx, &shown.digest(), now).await? {
        if store::session::revoke(&mut *tx, session.session_id, now).await? {
            tx.audit(
                Actor::Member(session.member_id),
                "session.ended",
                session.session_id,
            );
        }
        tx.commit().await?;
    }
    // An unknown token gets the same answer: nothing is left of it either way.
    Ok(())
}
