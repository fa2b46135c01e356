//! Opening a series together with its first group.

use chassis::auth::Operator;
use contracts::RequestKey;
use outbox::request;

use crate::State;
use crate::error::Error;
use crate::events;
use crate::group::GroupKind;
use crate::series::{OpenSeries, Series};
use crate::store;

#[tracing::instrument(name = "groups.open_series", skip_all)]
pub(crate) async fn open_series(
    state: &State,
    operator: &Operator,
    key: &RequestKey,
    command: OpenSeries,
) -> Result<Series, Error> {
    let now = state.clock.now();
    let mut tx = state.db.begin(operator.tenant).await?;
    if let Some(earlier) = request::earlier(&mut tx, key).await? {
        return Ok(earlier);
    }
    let terms = store::tenant::terms(&mut *tx, GroupKind::External, now).await?;
    let (series, first) = Series::open(command, operator.member, terms, now)?;
    store::series::insert(&mut *tx, operator.tenant, &series).await?;
    store::group::insert(&mut *tx, operator.tenant, &first).await?;
    tx.audit(*operator, "series.opened", series.series_id);
    outbox::record(&mut tx, &events::group_opened(operator.tenant, &first), now).await?;
    request::keep(&mut tx, key, &series).await?;
    tx.commit().await?;
    Ok(series)
}
