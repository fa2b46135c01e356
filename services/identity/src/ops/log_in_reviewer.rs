//! A platform reviewer logs in.

use chassis::auth::Claims;
use chassis::http::Origin;
use outbox::Actor;
use serde::Deserialize;
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::member::Email;
use crate::password::Attempt;
use crate::session::Tokens;
use crate::store;
use crate::tenant::NOBODY;

/// A reviewer's claim to be one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"email": "reviewer@platform.example", "password": "a river in the autumn"}))]
pub(crate) struct LogInReviewer {
    email: Email,
    password: Attempt,
}

#[tracing::instrument(name = "identity.log_in_reviewer", skip_all)]
pub(crate) async fn log_in_reviewer(
    state: &State,
    origin: &Origin,
    command: LogInReviewer,
) -> Result<Tokens, Error> {
    let LogInReviewer { email, password } = command;
    // No slug is empty, so no tenant's account is called like this.
    let account = format!("/{}", email.as_str());
    let reviewer = state
        .gate
        .pass(state.login(account, origin), state.clock.now(), async {
            let mut everyone = state.db.begin_everyone().await?;
            let known = store::reviewer::credentials(&mut *everyone, &email).await?;
            drop(everyone);
            let hash = known.as_ref().map(|known| known.password_hash.clone());
            let fits = state.hasher.matches(password, hash).await?;
            known
                .filter(|_| fits)
                .map(|known| known.reviewer_id)
                .ok_or(Error::CredentialsWrong)
        })
        .await?;
    let now = state.clock.now();
    let access_token = state.keys.sign(&Claims::reviewer(reviewer, now), now)?;
    let mut tx = state.db.begin(NOBODY).await?;
    tx.audit(Actor::Reviewer(reviewer), "reviewer.logged_in", reviewer);
    tx.commit().await?;
    // Whoever may verify tenants shows the password every ten minutes.
    Ok(Tokens::new(access_token, None))
}
