//! Opening a group of its own.

use chassis::auth::Operator;
use contracts::RequestKey;
use outbox::request;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::group::{Group, OpenGroup};
use crate::store;

#[tracing::instrument(name = "groups.open_group", skip_all)]
pub(crate) async fn open_group(
    state: &State,
    operator: &Operator,
    key: &RequestKey,
    command: OpenGroup,
) -> Result<Group, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(operator.tenant).await?;
    if let Some(earlier) = request::earlier(&mut tx, key).await? {
        return Ok(earlier);
    }
    let terms = store::tenant::terms(&mut *tx, command.kind, now).await?;
    let group = Group::open(command, operator.member, terms, now)?;
    store::group::insert(&mut *tx, operator.tenant, &group).await?;
    tx.audit(*operator, "group.opened", group.group_id);
    outbox::record(&mut tx, &events::group_opened(operator.tenant, &group), now).await?;
    request::keep(&mut tx, key, &group).await?;
    tx.commit().await?;
    Ok(group)
}
