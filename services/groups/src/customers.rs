//! Asks customers whether a contact exists.

use std::time::Duration;

use chassis::auth::Signer;
use chassis::grpc::authorize;
use contracts::customers::v1::{GetContactRequest, customers_service_client::CustomersServiceClient};
use contracts::{ContactId, TenantId};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::error::Error;

const ANSWER_MAX: Duration = Duration::from_secs(2);

/// The peer that knows the contacts.
#[derive(Clone)]
pub(crate) struct Customers {
    client: CustomersServiceClient<Channel>,
    signer: Signer,
}

impl Customers {
    pub(crate) fn new(channel: Channel, signer: Signer) -> Self {
        Self {
            client: CustomersServiceClient::new(channel),
            signer,
        }
    }

    /// Makes sure the tenant has such a contact. Call it before a transaction begins: a slow peer
    /// must not hold locks here.
    pub(crate) async fn expect(&self, tenant_id: TenantId, contact_id: ContactId) -> Result<(), Error> {
        let message = GetContactRequest {
            contact_id: contact_id.to_string(),
        };
        let mut request = authorize(message, &self.signer, "customers", tenant_id);
        request.set_timeout(ANSWER_MAX);
        let mut client = self.client.clone();
        // The header bounds the server's work; this bounds ours, a connection being made included.
        let answer = timeout(ANSWER_MAX, client.get_contact(request)).await;
        match answer.unwrap_or_else(|_| Err(Status::deadline_exceeded("no answer within 2 s"))) {
            Ok(_) => Ok(()),
            Err(status) if status.code() == Code::NotFound => Err(Error::ContactUnknown),
            Err(status) => Err(Error::Customers(Box::new(status))),
        }
    }
}
