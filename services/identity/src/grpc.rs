//! What peers ask identity.

use chassis::Problem;
use chassis::grpc::peer;
use contracts::identity::v1::identity_service_server::IdentityService;
use contracts::identity::v1::{self as wire, GetTenantRequest, GetTenantResponse};
use tonic::{Request, Response, Status};

use crate::State;
use crate::error::Error;
use crate::store;
use crate::tenant::{Tenant, TenantState};

const PEERS: &[&str] = &["customers", "groups", "broadcast", "referral"];

#[tonic::async_trait]
impl IdentityService for State {
    async fn get_tenant(
        &self,
        request: Request<GetTenantRequest>,
    ) -> Result<Response<GetTenantResponse>, Status> {
        let peer = peer(&request, PEERS)?;
        let tenant = async {
            let mut tx = self.db.read(peer.tenant).await?;
            store::tenant::by_id(&mut *tx, peer.tenant)
                .await?
                .ok_or(Error::TenantUnknown)
        };
        let tenant = tenant.await.map_err(Problem::from)?;
        Ok(Response::new(GetTenantResponse {
            tenant: Some(tenant.into()),
        }))
    }
}

impl From<Tenant> for wire::Tenant {
    fn from(tenant: Tenant) -> Self {
        let state = match tenant.state {
            TenantState::Pending => wire::TenantState::Pending,
            TenantState::Verified => wire::TenantState::Verified,
            TenantState::Rejected => wire::TenantState::Rejected,
        };
        Self {
            tenant_id: tenant.tenant_id.to_string(),
            slug: tenant.slug.into(),
            name: tenant.name.into(),
            state: state.into(),
            zone: tenant.zone.into(),
        }
    }
}
