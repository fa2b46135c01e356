//! A person joins a tenant's staff.

use chassis::auth::{Admin, Role};
use contracts::RequestKey;
use outbox::{record, request};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::member::{self, Email, Member, PersonName};
use crate::password::Password;
use crate::store;

/// Somebody new on the staff.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "email": "agent@hanasaki.example", "name": "李娜", "alias": "小娜", "role": "agent",
    "password": "a river in the summer"
}))]
pub(crate) struct Join {
    email: Email,
    name: PersonName,
    /// What contacts see; the name when it is missing.
    alias: Option<PersonName>,
    /// At most your own.
    role: Role,
    password: Password,
}

#[tracing::instrument(name = "identity.join", skip_all)]
pub(crate) async fn join(
    state: &State,
    caller: Admin,
    key: &RequestKey,
    command: Join,
) -> Result<Member, Error> {
    let (now, key) = (state.clock.now(), state.seal.blind(key));
    member::reaches(caller.role, command.role)?;
    let password = state.hasher.hash(command.password).await?;

    let mut tx = state.db.begin(caller.tenant).await?;
    if let Some(answer) = request::earlier(&mut tx, &key).await? {
        return Ok(answer);
    }
    let joined = Member::new(command.email, command.name, command.alias, command.role, now);
    store::member::insert(&mut *tx, caller.tenant, &joined, &password).await?;
    tx.audit(caller, "member.joined", joined.member_id);
    record(&mut tx, &events::member_joined(caller.tenant, &joined), now).await?;
    request::keep(&mut tx, &key, &joined).await?;
    tx.commit().await?;
    Ok(joined)
}
