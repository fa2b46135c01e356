//! An OTLP receiver: takes the spans of all services, as they are on the wire.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

#[derive(Clone, Default)]
pub(crate) struct Spans(Arc<Mutex<Vec<ExportTraceServiceRequest>>>);

impl Spans {
    /// Starts it; the second is its address.
    pub(crate) async fn receive() -> anyhow::Result<(Self, String)> {
        let spans = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let endpoint = format!("http://{}", listener.local_addr()?);
        tokio::spawn(
            Server::builder()
                .add_service(TraceServiceServer::new(spans.clone()))
                .serve_with_incoming(TcpListenerStream::new(listener)),
        );
        Ok((spans, endpoint))
    }

    pub(crate) fn received(&self) -> Vec<ExportTraceServiceRequest> {
        self.0.lock().map(|exports| exports.clone()).unwrap_or_default()
    }
}

#[tonic::async_trait]
impl TraceService for Spans {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut exports = self.0.lock().map_err(|_| Status::internal("poisoned"))?;
        exports.push(request.into_inner());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}
