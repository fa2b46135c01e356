//! Statements over HTTP.

use axum::extract::State as Inject;
use chassis::Problem;
use chassis::auth::Staff;
use chassis::http::{Json, Path, Query};
use jiff::Timestamp;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::engine::PersonId;
use crate::error::Error;
use crate::statement::{Credit, Period, Statement};
use crate::{State, store};

const LINES_MAX: i64 = 5_000;

/// The period of a statement, by when commissions took effect.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct StatementQuery {
    /// Inclusive; the beginning when left out.
    #[param(value_type = Option<String>, format = DateTime)]
    from: Option<Timestamp>,
    /// Exclusive; open when left out.
    #[param(value_type = Option<String>, format = DateTime)]
    to: Option<Timestamp>,
}

/// Shows a person's statement: opening + lines = closing, at most 5,000 lines. Whoever never
/// earned has an empty one.
#[utoipa::path(
    get, path = "/v1/statements/{person}", tag = "commissions",
    params(
        ("person" = String, Path, description = "External id (URL-encoded), or contact id of a contact"),
        StatementQuery,
    ),
    responses((status = 200, body = Statement)),
)]
pub(super) async fn get_statement(
    Inject(state): Inject<State>,
    staff: Staff,
    Path(person): Path<PersonId>,
    Query(query): Query<StatementQuery>,
) -> Result<Json<Statement>, Problem> {
    let period = Period::new(query.from, query.to)?;
    let mut tx = state.db.read(staff.tenant).await?;
    store::freeze(&mut *tx).await?;
    let person = store::person::resolve(&mut *tx, person).await?;
    let openings = match period.from {
        Some(from) => store::statement::opening(&mut *tx, &person, from).await?,
        None => Vec::new(),
    };
    let lines = store::statement::lines(&mut *tx, &person, &period, LINES_MAX + 1).await?;
    if lines.len() as i64 > LINES_MAX {
        return Err(Error::StatementTooLong(LINES_MAX).into());
    }
    let openings = openings.into_iter().map(|row| {
        (
            row.currency,
            Credit {
                held_minor: row.held,
                available_minor: row.available,
            },
        )
    });
    Ok(Json(Statement::new(person, period, openings.collect(), lines)))
}
