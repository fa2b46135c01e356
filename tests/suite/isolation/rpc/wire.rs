//! Calls any method by its descriptor: JSON in, JSON out, whatever the messages are.

use anyhow::Context as _;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Messages as the bytes they are.
#[derive(Clone, Copy, Default)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, into: &mut EncodeBuf<'_>) -> Result<(), Status> {
        into.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// A method of a running service.
#[derive(Clone)]
pub(super) struct Method {
    descriptor: MethodDescriptor,
    channel: Channel,
}

/// Every method there is, by `<service's full name>/<method>`.
pub(super) fn descriptors() -> anyhow::Result<Vec<(String, MethodDescriptor)>> {
    let pool = DescriptorPool::decode(contracts::DESCRIPTORS)?;
    let methods = pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>());
    Ok(methods.map(|method| (path(&method), method)).collect())
}

fn path(method: &MethodDescriptor) -> String {
    format!("{}/{}", method.parent_service().full_name(), method.name())
}

impl Method {
    pub(super) fn new(descriptor: MethodDescriptor, url: String) -> anyhow::Result<Self> {
        Ok(Self {
            descriptor,
            channel: Endpoint::from_shared(url)?.connect_lazy(),
        })
    }

    /// Whether the request has a field of this name.
    pub(super) fn has(&self, field: &str) -> bool {
        self.descriptor.input().get_field_by_name(field).is_some()
    }

    /// What stands in a field for one thing: a list of it where the field is one.
    pub(super) fn value(&self, field: &str, one: Value) -> Value {
        let field = self.descriptor.input().get_field_by_name(field);
        match field.is_some_and(|field| field.is_list()) {
            true => Value::Array(vec![one]),
            false => one,
        }
    }

    /// All messages of the answer, as one JSON list.
    pub(super) async fn call(
        &self,
        request: &Value,
        metadata: &[(&'static str, String)],
    ) -> anyhow::Result<Result<Value, Status>> {
        let message = DynamicMessage::deserialize(self.descriptor.input(), request)
            .with_context(|| format!("{} takes no {request}", path(&self.descriptor)))?;
        let mut request = Request::new(message.encode_to_vec());
        for (name, value) in metadata {
            request.metadata_mut().insert(*name, value.parse()?);
        }
        Ok(match self.answer(request).await {
            Ok(messages) => Ok(self.read(&messages)?),
            Err(status) => Err(status),
        })
    }

    /// A unary method answers a stream of one.
    async fn answer(&self, request: Request<Vec<u8>>) -> Result<Vec<Vec<u8>>, Status> {
        let path = PathAndQuery::try_from(format!("/{}", path(&self.descriptor)));
        let path = path.map_err(|error| Status::internal(error.to_string()))?;
        let mut grpc = Grpc::new(self.channel.clone());
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let mut stream = grpc.server_streaming(request, path, Bytes).await?.into_inner();
        let mut messages = Vec::new();
        while let Some(message) = stream.message().await? {
            messages.push(message);
        }
        Ok(messages)
    }

    fn read(&self, messages: &[Vec<u8>]) -> anyhow::Result<Value> {
        let read = |bytes: &Vec<u8>| {
            let message = DynamicMessage::decode(self.descriptor.output(), bytes.as_slice())?;
            anyhow::Ok(serde_json::to_value(&message)?)
        };
        messages
            .iter()
            .map(read)
            .collect::<anyhow::Result<Vec<_>>>()
            .map(Value::Array)
    }
}
