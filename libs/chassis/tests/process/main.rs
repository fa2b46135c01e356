//! A real process on free ports: what it answers, whom it lets in, and how it ends.

mod running;

use std::time::Duration;

use anyhow::Context;
use chassis::Process;
use contracts::{ContactId, TenantId};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::time::timeout;
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest,
};

use crate::running::{Running, api, settings};

/// Status and code of a problem, after checking that it is one.
async fn problem(request: reqwest::RequestBuilder) -> anyhow::Result<(u16, String)> {
    let response = request.send().await?;
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/problem+json");
    let id = response.headers()["x-request-id"].to_str()?.to_owned();
    let body: Value = response.json().await?;
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], id.as_str());
    Ok((status, body["code"].as_str().context("no code")?.to_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_requests_get_problems() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let (get, post) = (
        |path| it.client.get(it.url(path)),
        |path| it.client.post(it.url(path)),
    );
    assert_eq!(problem(get("/v1/nothing")).await?, (404, "route_unknown".into()));
    assert_eq!(
        problem(get("/v1/notes")).await?,
        (405, "method_not_allowed".into())
    );
    assert_eq!(
        problem(it.client.delete(it.url("/v1/me"))).await?,
        (405, "method_not_allowed".into())
    );
    let plain = post("/v1/notes").header("content-type", "text/plain").body("{}");
    assert_eq!(problem(plain).await?.0, 415);
    let large = json!({ "text": "x".repeat(1024 * 1024) });
    assert_eq!(problem(post("/v1/notes").json(&large)).await?.0, 413);
    let unknown = post("/v1/notes").json(&json!({ "text": "a", "more": 1 }));
    assert_eq!(problem(unknown).await?, (400, "unknown_field".into()));
    let good = post("/v1/notes").json(&json!({ "text": "a" })).send().await?;
    assert_eq!(good.json::<Value>().await?, json!({ "text": "a" }));
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_without_a_length_is_cut_off() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let chunks = std::iter::repeat_n(vec![b' '; 64 * 1024], 32).map(Ok::<_, std::io::Error>);
    let endless = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let request = it
        .client
        .post(it.url("/v1/notes"))
        .header("content-type", "application/json")
        .body(endless);
    assert_eq!(problem(request).await?.0, 413);
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_problem_without_its_words() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let response = it
        .client
        .get(it.url("/v1/panic"))
        .header("x-request-id", "mine")
        .send()
        .await?;
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()["x-request-id"], "mine");
    assert!(!response.text().await?.contains("secret"));
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn private_routes_need_a_token() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let me = || it.client.get(it.url("/v1/me"));
    assert_eq!(problem(me()).await?, (401, "token_missing".into()));
    assert_eq!(problem(me().bearer_auth("nonsense")).await?.0, 401);
    assert_eq!(
        problem(it.client.post(it.url("/v1/imports")).body("a")).await?.0,
        401
    );

    let (tenant, contact, now) = (TenantId::new(), ContactId::new(), now());
    let token = it.signer.contact_token(tenant, contact, now);
    let answer = me().bearer_auth(&token).send().await?;
    assert_eq!(answer.text().await?, contact.to_string());
    // An upload may be larger than an ordinary body.
    let file = vec![b'a'; 3 * 1024 * 1024];
    let upload = it
        .client
        .post(it.url("/v1/imports"))
        .bearer_auth(&token)
        .body(file);
    assert_eq!(upload.send().await?.text().await?, "3145728");
    let service = it.signer.service_token("customers", tenant, now);
    assert_eq!(
        problem(me().bearer_auth(service)).await?,
        (403, "caller_not_allowed".into())
    );
    it.end().await
}

#[expect(
    clippy::disallowed_methods,
    reason = "tokens are checked against the real time"
)]
fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_document_says_which_routes_are_private() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let document: Value = it
        .client
        .get(it.url("/openapi.json"))
        .send()
        .await?
        .json()
        .await?;
    assert_eq!(document["paths"]["/v1/notes"]["post"]["security"], Value::Null);
    assert_eq!(
        document["paths"]["/v1/me"]["get"]["security"],
        json!([{ "bearer": [] }])
    );
    assert_eq!(
        document["paths"]["/v1/imports"]["post"]["security"],
        json!([{ "bearer": [] }])
    );
    let answer = &document["paths"]["/v1/me"]["get"]["responses"]["default"]["content"];
    assert_eq!(
        answer["application/problem+json"]["schema"]["$ref"],
        "#/components/schemas/Problem"
    );
    assert!(document["components"]["schemas"]["Problem"]["properties"]["code"].is_object());
    assert_eq!(serde_json::to_value(api().document())?, document);
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_lets_only_tokens_in() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let call = async |request: tonic::Request<()>| -> anyhow::Result<Code> {
        let mut client = tonic::client::Grpc::new(it.channel().await?);
        client.ready().await?;
        let path = http::uri::PathAndQuery::from_static("/shequn.customers.v1.CustomersService/Nothing");
        let codec = tonic_prost::ProstCodec::<(), ()>::default();
        Ok(client
            .unary(request, path, codec)
            .await
            .map_or_else(|status| status.code(), |_| Code::Ok))
    };
    assert_eq!(call(tonic::Request::new(())).await?, Code::Unauthenticated);
    let mine = chassis::grpc::authorize((), &it.signer, "customers", TenantId::new());
    assert_eq!(call(mine).await?, Code::Unimplemented);
    let for_another = chassis::grpc::authorize((), &it.signer, "groups", TenantId::new());
    assert_eq!(call(for_another).await?, Code::Unauthenticated);
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn grpc_health_follows_readiness() -> anyhow::Result<()> {
    let it = Running::start(false).await?;
    let mut client = HealthClient::new(it.channel().await?);
    let mut watch = client.watch(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(watch.message().await?.context("no answer")?.status, 1);
    let answer = client.check(HealthCheckRequest::default()).await?.into_inner();
    assert_eq!(answer.status, 1);
    // A watcher must not hold up the end.
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peers_connection_ends_at_its_age() -> anyhow::Result<()> {
    let mut settings = settings(false)?;
    settings.grpc_connection_secs_max = 1;
    let it = Running::start_of(settings, |_| ()).await?;
    let stream = TokioIo::new(tokio::net::TcpStream::connect(it.grpc).await?);
    let (mut calls, connection) =
        hyper::client::conn::http2::handshake::<_, _, String>(TokioExecutor::new(), stream).await?;
    let ended = tokio::spawn(connection);
    let health = format!("http://{}/grpc.health.v1.Health/Check", it.grpc);
    let answer = calls
        .send_request(http::Request::post(health).body(String::new())?)
        .await?;
    assert_eq!(answer.status(), StatusCode::OK);
    drop(answer);
    timeout(Duration::from_secs(10), ended)
        .await
        .context("it is there for good")???;
    assert!(calls.is_closed());
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_is_for_development() -> anyhow::Result<()> {
    for (dev, expected) in [(true, Code::Ok), (false, Code::Unimplemented)] {
        let it = Running::start(dev).await?;
        let ask = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let mut client = ServerReflectionClient::new(it.channel().await?);
        let answer = client.server_reflection_info(futures::stream::iter([ask])).await;
        assert_eq!(answer.map_or_else(|status| status.code(), |_| Code::Ok), expected);
        it.end().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_sees_health_and_figures() -> anyhow::Result<()> {
    let it = Running::start_with(false, |process| {
        process
            .health
            .add("postgres", async || Err("connection refused".to_owned()));
    })
    .await?;
    assert_eq!(it.get_ops("/health/live").await?.0, 200);
    let (status, report) = it.get_ops("/health/ready").await?;
    assert_eq!(status, 503);
    let report: Value = serde_json::from_str(&report)?;
    assert_eq!(report["status"], "not_ready");
    assert_eq!(
        report["checks"],
        json!({ "identity": "ok", "postgres": "connection refused" })
    );

    it.client
        .get(it.url("/v1/me?external_id=personal"))
        .send()
        .await?;
    let (_, figures) = it.get_ops("/metrics").await?;
    let counted = r#"http_request_duration_seconds_count{route="/v1/me",method="GET",status="401"}"#;
    assert!(figures.contains(counted), "{figures}");
    assert!(!figures.contains("personal"));
    assert!(figures.contains("process_resident_memory_bytes"));
    it.end().await
}

#[tokio::test(flavor = "multi_thread")]
async fn draining_finishes_what_is_in_flight() -> anyhow::Result<()> {
    let (flushed, mut flushes) = tokio::sync::mpsc::unbounded_channel();
    let it = Running::start_with(false, |process| {
        let last = process.last();
        process.spawn_last("relay", async move {
            last.cancelled().await;
            flushed.send(())?;
            Ok(())
        });
    })
    .await?;
    let request = it.client.get(it.url("/v1/slow")).send();
    let answer = tokio::spawn(async move { request.await?.text().await });
    it.state.entered.notified().await;
    assert_eq!(it.get_ops("/health/ready").await?.0, 200);

    it.stopping.cancel();
    let refused = async { while tokio::net::TcpStream::connect(it.http).await.is_ok() {} };
    timeout(Duration::from_secs(5), refused)
        .await
        .context("still accepting")?;
    let (status, report) = it.get_ops("/health/ready").await?;
    assert_eq!(
        (status, report.contains("stopping")),
        (StatusCode::SERVICE_UNAVAILABLE, true)
    );
    assert!(
        !it.last.is_cancelled() && flushes.is_empty(),
        "the relay must outlive the request"
    );

    it.state.released.notify_one();
    assert_eq!(answer.await??, "done");
    it.end().await?;
    assert_eq!(flushes.recv().await, Some(()));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn leaving_serves_on_and_parts_from_each_client() -> anyhow::Result<()> {
    let mut settings = settings(false)?;
    settings.leave_secs = 60;
    let it = Running::start_of(settings.clone(), |_| ()).await?;
    let asked = async || it.client.get(it.url("/openapi.json")).send().await;
    assert!(!asked().await?.headers().contains_key("connection"));
    it.leaving.cancel();
    assert_eq!(it.get_ops("/health/ready").await?.0, 503);
    let answer = asked().await?;
    assert_eq!(
        (answer.status(), &answer.headers()["connection"]),
        (StatusCode::OK, &"close".parse()?)
    );
    // Over HTTP/2 the header would be an error.
    let http2 = reqwest::Client::builder().http2_prior_knowledge().build()?;
    let answer = http2.get(it.url("/openapi.json")).send().await?;
    assert!(answer.status().is_success() && !answer.headers().contains_key("connection"));
    assert!(!it.stopping.is_cancelled());
    it.end().await?;

    settings.leave_secs = 1;
    let it = Running::start_of(settings.clone(), |_| ()).await?;
    it.leaving.cancel();
    timeout(Duration::from_secs(10), it.served)
        .await
        .context("it never stops")??
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_loop_stops_the_process_with_an_error() -> anyhow::Result<()> {
    let it = Running::start_with(false, |process| {
        process.spawn("consumer", async { anyhow::bail!("poisoned") });
    })
    .await?;
    let outcome = timeout(Duration::from_secs(5), it.served)
        .await
        .context("the process did not end")??;
    assert!(outcome.is_err());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_starts_alone_and_is_not_ready() -> anyhow::Result<()> {
    let mut settings = settings(false)?;
    settings.identity_url = "http://127.0.0.1:1".parse()?;
    let process = Process::start("customers", &settings)?;
    assert!(!process.health.report().await.is_ready());
    let stopping = process.stopping();
    let worker = tokio::spawn(process.serve_ops());
    stopping.cancel();
    timeout(Duration::from_secs(5), worker)
        .await
        .context("the process did not end")??
}
