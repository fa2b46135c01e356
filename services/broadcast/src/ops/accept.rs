//! Accepting a mass message: it is stored to be resolved, and nothing is sent yet.

use chassis::auth::Agent;
use contracts::RequestKey;
use contracts::broadcast::v1::BroadcastAccepted;
use outbox::{Tx, crash_point, is_mutant, request};

use crate::State;
use crate::audience::Audience;
use crate::broadcast::{AcceptBroadcast, Broadcast, ChannelName};
use crate::error::Error;
use crate::store;
use crate::zone;

pub(crate) async fn accept(
    state: &State,
    agent: Agent,
    key: &RequestKey,
    command: &AcceptBroadcast,
) -> Result<Broadcast, Error> {
    command.check_starter(agent.role)?;
    command.check_recipients()?;
    let said = command.said()?;
    let now = state.clock.now();
    let mut tx = state.db.begin(agent.tenant).await?;
    if let Some(answer) = request::earlier(&mut tx, key).await? {
        return Ok(answer);
    }
    let zone = store::tenant::zone(&mut *tx, agent.tenant).await?;
    let zone = zone::tenants(&zone.ok_or(Error::TenantUnverified)?)?;
    command.schedule().check(now, now, &zone)?;
    match command.channel {
        ChannelName::Webhook if store::tenant::webhook(&mut *tx, agent.tenant).await?.is_none() => {
            return Err(Error::WebhookUnknown);
        }
        ChannelName::Email if state.mail.is_none() => return Err(Error::MailUnset),
        ChannelName::Inbox | ChannelName::Webhook | ChannelName::Email => {}
    }
    if let Some(audience) = &command.audience {
        check_lists(&mut tx, audience).await?;
    }
    let broadcast = Broadcast::accept(command, said, agent.member, now);
    store::broadcast::insert(&mut *tx, agent.tenant, &broadcast).await?;
    let audience = command.audience.as_ref();
    if let Some(audience) = audience.filter(|audience| !audience.has_tags_alone()) {
        store::resolve::keep(&mut *tx, agent.tenant, broadcast.broadcast_id, audience).await?;
    }
    let event = BroadcastAccepted {
        tenant_id: agent.tenant.to_string(),
        broadcast_id: broadcast.broadcast_id.to_string(),
        kind: broadcast.kind.name().to_owned(),
        accepted_at: Some(crate::events::proto_time(now)),
    };
    tx.audit(agent, "broadcast.accepted", broadcast.broadcast_id);
    request::keep(&mut tx, key, &broadcast).await?;
    if is_mutant("mutant-publish-outside") {
        tx.commit().await?;
        crash_point("broadcast-accepted");
        tx = state.db.begin(agent.tenant).await?;
    }
    outbox::record(&mut tx, &event, now).await?;
    tx.commit().await?;
    crash_point("broadcast-accepted");
    Ok(broadcast)
}

/// Refuses an audience of a list that is not there, or not any more.
pub(super) async fn check_lists(tx: &mut Tx, audience: &Audience) -> Result<(), Error> {
    let lists = [audience.list, audience.except.list];
    for list in lists.into_iter().flatten() {
        if !store::list::is_known(&mut **tx, list).await? {
            return Err(Error::ListUnknown);
        }
    }
    Ok(())
}
