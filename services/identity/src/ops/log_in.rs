//! A member logs in with tenant, address and password.
//!
//! Cost: one argon2id, three transactions; none is held while the password is hashed. An unknown
//! tenant or address takes the same steps as a wrong password, and gets the same answer.

use chassis::auth::Claims;
use chassis::http::Origin;
use contracts::TenantId;
use outbox::Actor;
use serde::Deserialize;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::State;
use crate::error::Error;
use crate::member::Email;
use crate::password::Attempt;
use crate::session::{self, RefreshToken, Tokens};
use crate::store;
use crate::store::member::Credentials;
use crate::tenant::{NOBODY, Slug};

/// A member's claim to be one.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"tenant": "hanasaki", "email": "owner@hanasaki.example", "password": "a river in the spring"}))]
pub(crate) struct LogIn {
    /// The tenant's slug.
    tenant: Slug,
    email: Email,
    password: Attempt,
}

#[tracing::instrument(name = "identity.log_in", skip_all)]
pub(crate) async fn log_in(state: &State, origin: &Origin, command: LogIn) -> Result<Tokens, Error> {
    let LogIn {
        tenant,
        email,
        password,
    } = command;
    let account = format!("{}/{}", tenant.as_str(), email.as_str());
    let (tenant, member) = state
        .gate
        .pass(state.login(account, origin), state.clock.now(), async {
            let (tenant, known) = find(state, &tenant, &email).await?;
            let hash = known.as_ref().map(|known| known.password_hash.clone());
            let fits = state.hasher.matches(password, hash).await?;
            Ok((tenant, known.filter(|_| fits).ok_or(Error::CredentialsWrong)?))
        })
        .await?;

    let now = state.clock.now();
    let access_token = state
        .keys
        .sign(&Claims::member(tenant, member.member_id, member.role, now), now)?;
    let (session, refresh_token) = (Uuid::now_v7(), RefreshToken::issue(tenant));
    let mut tx = state.db.begin(tenant).await?;
    store::session::insert(
        &mut *tx,
        tenant,
        member.member_id,
        session,
        now,
        session::end(now),
    )
    .await?;
    store::session::insert_token(&mut *tx, tenant, session, &refresh_token.digest(), now).await?;
    store::session::tidy(&mut *tx, member.member_id, now).await?;
    tx.audit(Actor::Member(member.member_id), "session.started", session);
    tx.commit().await?;
    Ok(Tokens::new(access_token, Some(refresh_token)))
}

async fn find(state: &State, slug: &Slug, email: &Email) -> Result<(TenantId, Option<Credentials>), Error> {
    let mut everyone = state.db.begin_everyone().await?;
    let tenant = store::tenant::id_of(&mut *everyone, slug).await?;
    drop(everyone);
    // Nobody is a member of the nil tenant, but looking takes as long.
    let tenant = tenant.unwrap_or(NOBODY);
    let mut tx = state.db.read(tenant).await?;
    Ok((tenant, store::member::credentials(&mut *tx, email).await?))
}
