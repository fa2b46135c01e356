//! Writing a remark: a member's own note beside a contact's name (D36).

use chassis::auth::{Agent, Role};
use chassis::text::Text;
use contracts::{ContactId, MemberId};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::error::Error;
use crate::{State, store};

/// A member's note on a contact.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"remark": "春から妊娠中"}))]
pub(crate) struct Remark {
    /// Null takes it away.
    pub(crate) remark: Option<Text<20>>,
}

/// An agent writes on their own follow, an operator on anybody's. The same request again changes nothing.
#[tracing::instrument(name = "customers.remark", skip_all)]
pub(crate) async fn remark(
    state: &State,
    agent: Agent,
    contact_id: ContactId,
    member_id: MemberId,
    remark: Remark,
) -> Result<(), Error> {
    if agent.role == Role::Agent && agent.member != member_id {
        return Err(Error::NotYourFollow);
    }
    let mut tx = state.database.begin(agent.tenant).await?;
    let remark = remark.remark.as_deref().unwrap_or_default();
    let is_new = store::contact::set_remark(&mut *tx, contact_id, member_id, remark).await?;
    if is_new.ok_or(Error::FollowUnknown)? {
        tx.audit(agent, "contact.remarked", contact_id);
    }
    tx.commit().await?;
    Ok(())
}
