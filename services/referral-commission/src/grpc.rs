//! What peers ask referral-commission.

use chassis::Problem;
use chassis::grpc::peer;
use contracts::referral::v1::referral_service_server::ReferralService;
use contracts::referral::v1::{Balance, GetBalancesRequest, GetBalancesResponse};
use tonic::{Request, Response, Status};

use crate::State;
use crate::engine::PersonId;
use crate::store;

const PEERS: &[&str] = &["customers", "broadcast"];

#[tonic::async_trait]
impl ReferralService for State {
    async fn get_balances(
        &self,
        request: Request<GetBalancesRequest>,
    ) -> Result<Response<GetBalancesResponse>, Status> {
        let tenant_id = peer(&request, PEERS)?.tenant;
        let refusal = |error| Status::invalid_argument(format!("person: {error}"));
        let person: PersonId = request.into_inner().person.parse().map_err(refusal)?;
        let mut tx = self.db.read(tenant_id).await.map_err(Problem::from_sqlx)?;
        let person = store::person::resolve(&mut *tx, person)
            .await
            .map_err(Problem::from_sqlx)?;
        let rows = store::journal::balances_of(&mut *tx, &person)
            .await
            .map_err(Problem::from_sqlx)?;
        let balance = |row: store::journal::PersonBalance| Balance {
            person: person.to_string(),
            currency: row.currency,
            held_minor: row.held,
            available_minor: row.available,
        };
        Ok(Response::new(GetBalancesResponse {
            balances: rows.into_iter().map(balance).collect(),
        }))
    }
}
