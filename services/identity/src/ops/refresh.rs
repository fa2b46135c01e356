//! A refresh token becomes new tokens, once.

use chassis::auth::Claims;
use outbox::Actor;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::session::{RefreshToken, Tokens, Worth};
use crate::store;

/// The refresh token of a login or of the refresh before.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"refresh_token": "AZq1x3hXfzG8m1Qm0o2V9Jw6l4yq3Yw5c0bC8ZJmH5pQn0u7rS2tD1kE6vF4gA9i"}))]
pub(crate) struct Refresh {
    #[schema(value_type = String, min_length = 64, max_length = 64)]
    pub(crate) refresh_token: RefreshToken,
}

#[tracing::instrument(name = "identity.refresh", skip_all)]
pub(crate) async fn refresh(state: &State, command: Refresh) -> Result<Tokens, Error> {
    let (now, shown) = (state.clock.now(), command.refresh_token);
    let (tenant, digest) = (shown.tenant(), shown.digest());
    let mut tx = state.db.begin(tenant).await?;
    let is_first_use = store::session::use_token(&mut *tx, &digest, now).await?;
    let session = store::session::of_token(&mut *tx, &digest, now).await?;
    let session = session.ok_or(Error::RefreshTokenInvalid)?;
    match session.worth(is_first_use) {
        Worth::Nothing => Err(Error::RefreshTokenInvalid),
        Worth::Alarm => {
            if store::session::revoke(&mut *tx, session.session_id, now).await? {
                // Who showed it nobody can tell.
                tx.audit(Actor::System("reuse"), "session.revoked", session.session_id);
            }
            tx.commit().await?;
            tracing::warn!(session_id = %session.session_id, "a refresh token was used twice, its session is over");
            Err(Error::RefreshTokenInvalid)
        }
        Worth::Renewal => {
            let claims = Claims::member(tenant, session.member_id, session.role, now);
            let access_token = state.keys.sign(&claims, now)?;
            let next = RefreshToken::issue(tenant);
            store::session::insert_token(&mut *tx, tenant, session.session_id, &next.digest(), now).await?;
            tx.audit(
                Actor::Member(session.member_id),
                "session.refreshed",
                session.session_id,
            );
            tx.commit().await?;
            Ok(Tokens::new(access_token, Some(next)))
        }
    }
}
