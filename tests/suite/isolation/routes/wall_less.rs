//! A service that lets everybody do everything and tells everything it hears: what the probes must find out.

use anyhow::{Context as _, ensure};
use client::Api;
use serde_json::{Value, json};
use testkit::Stack;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::document::Operation;
use super::lists;
use super::probe::Probe;
use super::table::Route;
use crate::isolation::findings::Findings;
use crate::isolation::thing::Thing;
use crate::isolation::world::{By, World};

/// Stands in for this service.
const SERVICE: &str = "groups";
const REQUEST_BYTES_MAX: usize = 64 * 1024;

const ROUTES: &[Route] = &[
    Route {
        operation: "look",
        by: By::Auditor,
        slots: &[("{contact_id}", Thing::Contact)],
    },
    Route {
        operation: "write",
        by: By::Auditor,
        slots: &[],
    },
    Route {
        operation: "shout",
        by: By::Anybody,
        slots: &[],
    },
];

/// A word of each finding there must be.
const FOUND: [&str; 16] = [
    "GET groups /look",
    "no token is answered 200",
    "an owner's token by an unknown key is answered 200",
    "the token of Contact is answered 200",
    "an unknown Contact in {contact_id} is answered 200",
    "the answer names another tenant's",
    "look: ?person is an id",
    "another tenant's cursor is answered 200",
    "write: it writes, so it is not for auditors",
    "write: /contact_id is an id",
    "write: /seats/0 is an id",
    "an unknown field in \"\" is answered 200",
    "no idempotency key is answered 200",
    "another body under the same key is answered 200",
    "shout: take an idempotency key",
    "shout: no example",
];

pub(super) async fn is_found_out(stack: &Stack, home: &World, foreign: &World) -> anyhow::Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let mut description = stack.description().clone();
    let process = description.processes.get_mut(SERVICE).context(SERVICE)?;
    process
        .ports
        .insert("http".to_owned(), listener.local_addr()?.port());
    let server = tokio::spawn(serve(listener));
    let api = Api::of(&description);
    let mut probe = Probe {
        service: SERVICE,
        api: &api,
        home,
        foreign,
        findings: Findings::default(),
    };
    let operations = Operation::all(&document())?;
    for operation in &operations {
        let routes: Vec<&Route> = ROUTES
            .iter()
            .filter(|route| route.operation == operation.id)
            .collect();
        probe.operation(operation, &routes).await?;
    }
    probe.cursors(&lists(&operations, ROUTES)).await?;
    server.abort();
    let told = probe.findings.told();
    let missing: Vec<&str> = FOUND.into_iter().filter(|word| !told.contains(word)).collect();
    ensure!(
        missing.is_empty(),
        "a service without walls passes for {missing:#?}; the probes told\n{told}"
    );
    Ok(())
}

fn document() -> Value {
    let (id, bearer) = (
        json!({"type": "string", "format": "uuid"}),
        json!([{"bearer": []}]),
    );
    let key = json!({"name": "Idempotency-Key", "in": "header"});
    let body = json!({
        "properties": {"contact_id": id, "seats": {"type": "array", "items": id}},
        "example": {"contact_id": "0199a3f0-7c1e-7d7a-9f64-3b1c5a0e2d11", "seats": []},
    });
    json!({"paths": {
        "/look/{contact_id}": {"get": {
            "operationId": "look", "security": bearer,
            "parameters": [
                {"name": "contact_id", "in": "path", "schema": id},
                {"name": "person", "in": "query", "schema": {"type": "string"}},
                {"name": "cursor", "in": "query", "schema": {"type": "string"}},
            ],
        }},
        "/write": {"post": {
            "operationId": "write", "security": bearer, "parameters": [key],
            "requestBody": {"content": {"application/json": {"schema": body}}},
        }},
        "/shout": {"post": {
            "operationId": "shout",
            "requestBody": {"content": {"application/json": {"schema": {"properties": {}}}}},
        }},
    }})
}

/// Answers whatever comes with 200 and what it heard.
async fn serve(listener: TcpListener) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(stream));
    }
}

async fn answer(mut stream: TcpStream) -> anyhow::Result<()> {
    let mut heard = vec![0; REQUEST_BYTES_MAX];
    let bytes = stream.read(&mut heard).await?;
    let heard = String::from_utf8_lossy(&heard[..bytes]).into_owned();
    // `/look/<contact>`: the next page starts at the contact.
    let next = heard.split(['/', '?']).nth(2);
    let body = json!({"heard": heard, "next_cursor": next}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    // Only the test's end could go wrong here.
    let _ = stream.shutdown().await;
    Ok(())
}
