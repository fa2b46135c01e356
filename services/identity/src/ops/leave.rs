//! A member leaves: their sessions end, and the others hear of it.

use chassis::auth::Admin;
use contracts::MemberId;
use outbox::record;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::member::{Member, MemberState};
use crate::store;

#[tracing::instrument(name = "identity.leave", skip_all)]
pub(crate) async fn leave(state: &State, caller: Admin, member_id: MemberId) -> Result<Member, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(caller.tenant).await?;
    let owners = store::member::hold_owners(&mut *tx).await?;
    let member = store::member::hold(&mut *tx, member_id)
        .await?
        .ok_or(Error::MemberUnknown)?;
    // Asked again, it has happened already: no key is needed to repeat it.
    if member.state == MemberState::Left {
        return Ok(member);
    }
    let left = member.leave(caller.role, owners.len())?;

    store::member::leave(&mut *tx, member_id, now).await?;
    store::session::revoke_all(&mut *tx, member_id, now).await?;
    tx.audit(caller, "member.left", member_id);
    record(&mut tx, &events::member_left(caller.tenant, member_id, now), now).await?;
    tx.commit().await?;
    Ok(left)
}
