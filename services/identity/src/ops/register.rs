//! A brand registers, with its first owner.

use chassis::auth::Role;
use contracts::{RequestKey, TenantId};
use outbox::{Actor, record, request};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::member::{Email, Member, PersonName};
use crate::password::Password;
use crate::store;
use crate::tenant::{LicenceNumber, NOBODY, Slug, Tenant, TenantName, TenantState, Zone};

/// A brand that wants to use the platform.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "slug": "hanasaki", "name": "花咲 Cosmetics", "zone": "Asia/Shanghai", "licence_number": "91310000MA1K35X21B",
    "owner": {"email": "owner@hanasaki.example", "name": "陈静", "alias": "静静", "password": "a river in the spring"}
}))]
pub(crate) struct Register {
    slug: Slug,
    name: TenantName,
    /// IANA zone in which the tenant's days and weeks are cut.
    #[serde(default)]
    zone: Zone,
    /// Of the business licence or the sole trader's identity document; for the reviewer alone.
    licence_number: Option<LicenceNumber>,
    owner: FirstOwner,
}

/// The member who speaks for the new tenant.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct FirstOwner {
    email: Email,
    name: PersonName,
    /// What contacts see; the name when it is missing.
    alias: Option<PersonName>,
    password: Password,
}

/// A registered brand.
#[derive(Serialize, Deserialize, ToSchema)]
pub(crate) struct Registered {
    pub(crate) tenant: Tenant,
    pub(crate) owner: Member,
}

#[tracing::instrument(name = "identity.register", skip_all)]
pub(crate) async fn register(
    state: &State,
    key: &RequestKey,
    command: Register,
) -> Result<Registered, Error> {
    let (now, key) = (state.clock.now(), state.seal.blind(key));
    let Register {
        slug,
        name,
        zone,
        licence_number,
        owner,
    } = command;
    let password = state.newcomers.hash(owner.password).await?;

    let mut tx = state.db.begin(NOBODY).await?;
    if let Some(answer) = request::earlier(&mut tx, &key).await? {
        return Ok(answer);
    }
    let owner = Member::new(owner.email, owner.name, owner.alias, Role::Owner, now);
    let tenant_id = TenantId::new();
    let tenant = Tenant {
        tenant_id,
        slug,
        name,
        state: TenantState::Pending,
        zone,
        registered_at: now,
    };
    let licence = licence_number.map(|number| state.seal.seal(&tenant_id.to_string(), number.as_bytes()));

    store::act_for(&mut *tx, tenant_id).await?;
    store::tenant::insert(&mut *tx, &tenant, licence.transpose()?.as_deref()).await?;
    store::member::insert(&mut *tx, tenant_id, &owner, &password).await?;
    tx.audit(Actor::Member(owner.member_id), "tenant.registered", tenant_id);
    record(&mut tx, &events::tenant_registered(&tenant), now).await?;
    record(&mut tx, &events::member_joined(tenant_id, &owner), now).await?;
    store::act_for(&mut *tx, NOBODY).await?;

    let answer = Registered { tenant, owner };
    request::keep(&mut tx, &key, &answer).await?;
    tx.commit().await?;
    Ok(answer)
}
