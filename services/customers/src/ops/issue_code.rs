//! Issuing a live code: members, welcome, tags and channel bound to one token (D62).

use contracts::{CodeId, RequestKey};
use outbox::request;

use chassis::auth::Operator;

use crate::code::{self, Code, NewCode};
use crate::error::Error;
use crate::{State, store, tag};

#[tracing::instrument(name = "customers.issue_code", skip_all)]
pub(crate) async fn issue_code(
    state: &State,
    operator: Operator,
    key: &RequestKey,
    new: NewCode,
) -> Result<Code, Error> {
    new.check()?;
    let tenant = operator.tenant;
    let mut tx = state.database.begin(tenant).await?;
    if let Some(code) = request::earlier(&mut tx, key).await? {
        return Ok(code);
    }
    if !store::member::is_tenant_verified(&mut *tx, tenant).await? {
        return Err(Error::TenantUnverified);
    }
    let wanted: Vec<_> = new.members.iter().map(|member| member.member_id).collect();
    let present = store::member::present(&mut *tx, &wanted).await?;
    if let Some(index) = wanted.iter().position(|member| !present.contains(member)) {
        return Err(Error::MemberUnknown { index });
    }
    let tags = tag::distinct(new.tags);
    let names: Vec<&str> = tags.iter().map(|tag| &**tag).collect();
    let tag_ids: Vec<_> = store::tag::ensure(&mut tx, tenant, &names)
        .await?
        .into_values()
        .collect();
    let mut members = new.members;
    members.sort_by_key(|member| member.member_id);
    let code = Code {
        code_id: CodeId::new(),
        token: code::new_token(),
        name: new.name.into(),
        members,
        welcome: new.welcome.map(String::from).unwrap_or_default(),
        tags: tags.into_iter().map(String::from).collect(),
        state: new.state.map(String::from).unwrap_or_default(),
        created_at: state.clock.now(),
    };
    store::code::insert(&mut *tx, tenant, &code, &tag_ids, operator.member).await?;
    tx.audit(operator, "code.issued", code.code_id);
    request::keep(&mut tx, key, &code).await?;
    tx.commit().await?;
    Ok(code)
}
