//! Names of the headers that travel on NATS messages, HTTP requests and gRPC calls.

/// CloudEvents attributes, NATS protocol binding in binary mode.
pub const CE_SPECVERSION: &str = "ce-specversion";
pub const CE_ID: &str = "ce-id";
pub const CE_SOURCE: &str = "ce-source";
pub const CE_TYPE: &str = "ce-type";
pub const CE_TIME: &str = "ce-time";
/// CloudEvents extension: the tenant the event belongs to.
pub const CE_TENANT: &str = "ce-tenantid";
/// CloudEvents partitioning extension: the key within which order is kept.
pub const CE_PARTITION_KEY: &str = "ce-partitionkey";

/// W3C trace context.
pub const TRACEPARENT: &str = "traceparent";
pub const TRACESTATE: &str = "tracestate";

pub const NATS_MSG_ID: &str = "Nats-Msg-Id";

pub const IDEMPOTENCY_KEY: &str = "idempotency-key";
pub const REQUEST_ID: &str = "x-request-id";
