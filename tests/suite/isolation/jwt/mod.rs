//! S7: tokens that prove nothing, at running services, over HTTP and gRPC: each is answered 401, nothing panics, and
//! no token is in a log.

mod cases;
mod forge;
mod fuzz;

use anyhow::ensure;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{StatusCode, Version};
use serde_json::{Value, json};
use testkit::Stack;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use self::cases::{Case, Forge};
use self::forge::Key;
use super::findings::Findings;
use super::replica::Replica;

const LOGIN_KID: &str = "login-of-this-test";
const LOGIN_SEED: u8 = 41;
const STRANGER_SEED: u8 = 42;
/// gRPC's number of UNAUTHENTICATED.
const UNAUTHENTICATED: &str = "16";
/// An empty message in its frame.
const EMPTY: [u8; 5] = [0; 5];
/// More than a server takes of headers.
const ENORMOUS_BYTES: usize = 128 * 1024;

/// What is asked of each service: something private, by HTTP and by gRPC.
const ASKED: [(&str, &str, &str); 4] = [
    (
        "customers",
        "/v1/contacts",
        "shequn.customers.v1.CustomersService/GetContact",
    ),
    (
        "groups",
        "/v1/groups",
        "shequn.groups.v1.GroupsService/StreamGroups",
    ),
    (
        "broadcast",
        "/v1/broadcasts",
        "shequn.broadcast.v1.BroadcastService/GetBroadcast",
    ),
    (
        "referral",
        "/v1/plans",
        "shequn.referral.v1.ReferralService/GetBalances",
    ),
];
/// Identity has the keys of logins itself, so that a test can't sign right ones of members there.
const IDENTITY: (&str, &str, &str) = (
    "identity",
    "/v1/tenant",
    "shequn.identity.v1.IdentityService/GetTenant",
);

#[tokio::test]
async fn every_wrong_token_is_refused_and_none_is_logged() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let (login, stranger) = (
        Key::from_seed(LOGIN_KID, LOGIN_SEED),
        Key::from_seed(LOGIN_KID, STRANGER_SEED),
    );
    let (identity_url, strangers_url) = (publish(&login).await?, publish(&stranger).await?);
    let env = [("SHEQUN_IDENTITY_URL", identity_url.as_str())];
    let starts = ASKED.map(|(service, ..)| Replica::start(&stack, service, &env));
    let mut replicas = futures::future::try_join_all(starts).await?;
    replicas.push(Replica::start(&stack, IDENTITY.0, &[]).await?);
    let mut findings = Findings::default();
    for (replica, (service, path, method)) in replicas.iter().zip(ASKED.into_iter().chain([IDENTITY])) {
        let forge = Forge::new(&stack, service, LOGIN_KID, &strangers_url)?;
        let door = Door::new(replica, path, method)?;
        let cases = forge.wrong()?;
        findings.absorb(door.believes(&forge, service != IDENTITY.0).await?);
        findings.absorb(door.refuses(&cases).await?);
        findings.absorb(door.refuses_other_carriers(&forge.right()[0]).await?);
        door.survives_an_enormous_one().await;
        // It lives on, and has not forgotten whom to believe.
        replica.is_ready().await?;
        findings.absorb(door.believes(&forge, service != IDENTITY.0).await?);
        findings.absorb(tells_no_token(replica, &cases, &forge)?);
    }
    for replica in replicas {
        replica.end().await?;
    }
    findings.report("tokens at a door", 5 * 2 * 100)
}

/// One private operation of a running service.
struct Door<'a> {
    service: &'a str,
    http: reqwest::Client,
    grpc: reqwest::Client,
    http_url: String,
    grpc_url: String,
}

impl<'a> Door<'a> {
    fn new(replica: &'a Replica, path: &str, method: &str) -> anyhow::Result<Self> {
        Ok(Self {
            service: &replica.service,
            http: testkit::http(),
            // gRPC as bytes: its clients refuse to send what is not text.
            grpc: reqwest::Client::builder()
                .no_proxy()
                .http2_prior_knowledge()
                .build()?,
            http_url: format!("{}{path}", replica.url("http")),
            grpc_url: format!("{}/{method}", replica.url("grpc")),
        })
    }

    /// The right tokens are let in, or the refusals below would say nothing.
    async fn believes(&self, forge: &Forge, members: bool) -> anyhow::Result<Findings> {
        let mut findings = Findings::default();
        let right = forge.right();
        for token in if members { &right[..] } else { &right[1..] } {
            let (status, ..) = self.ask(bearer(token.as_bytes())?).await?;
            findings.check(status != StatusCode::UNAUTHORIZED, || {
                format!("{}: a right token is answered {status}", self.service)
            });
            let code = self.call(bearer(token.as_bytes())?).await?;
            findings.check(code.as_deref() != Some(UNAUTHENTICATED), || {
                format!("{}: a right token is refused by gRPC", self.service)
            });
        }
        Ok(findings)
    }

    async fn refuses(&self, cases: &[Case]) -> anyhow::Result<Findings> {
        let mut findings = Findings::default();
        for (what, token) in cases {
            findings.absorb(self.refuses_one(what, token, bearer(token)?).await?);
        }
        Ok(findings)
    }

    /// A right token anywhere but in one bearer header is no token.
    async fn refuses_other_carriers(&self, right: &str) -> anyhow::Result<Findings> {
        let value = |text: String| HeaderValue::try_from(text);
        let headers = |pairs: &[(reqwest::header::HeaderName, HeaderValue)]| -> HeaderMap {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.append(name, value.clone());
            }
            headers
        };
        let good = value(format!("Bearer {right}"))?;
        let carriers = [
            ("no header", HeaderMap::new()),
            (
                "Basic",
                headers(&[(AUTHORIZATION, value(format!("Basic {right}"))?)]),
            ),
            ("no scheme", headers(&[(AUTHORIZATION, value(right.to_owned())?)])),
            (
                "the header twice",
                headers(&[(AUTHORIZATION, good.clone()), (AUTHORIZATION, good)]),
            ),
            (
                "two in one header",
                headers(&[(AUTHORIZATION, value(format!("Bearer {right}, Bearer {right}"))?)]),
            ),
            (
                "a cookie",
                headers(&[(reqwest::header::COOKIE, value(format!("access_token={right}"))?)]),
            ),
        ];
        let mut findings = Findings::default();
        for (what, headers) in carriers {
            findings.absorb(self.refuses_one(what, right.as_bytes(), headers).await?);
        }
        Ok(findings)
    }

    async fn refuses_one(&self, what: &str, token: &[u8], headers: HeaderMap) -> anyhow::Result<Findings> {
        let mut findings = Findings::default();
        let (status, answered, body) = self.ask(headers.clone()).await?;
        let is_problem = answered
            .get(CONTENT_TYPE)
            .is_some_and(|media| media == "application/problem+json");
        let problem: Value = serde_json::from_str(&body).unwrap_or_default();
        let code = problem["code"].as_str().unwrap_or_default();
        let holds = status == StatusCode::UNAUTHORIZED
            && is_problem
            && code.starts_with("token_")
            && answered
                .get("www-authenticate")
                .is_some_and(|scheme| scheme == "Bearer");
        findings.check(holds, || {
            format!("{}: {what} is answered {status} {body}", self.service)
        });
        let token = String::from_utf8_lossy(token);
        let is_quoted = token.len() > 40 && body.contains(&token[token.len() - 40..]);
        findings.check(!is_quoted, || {
            format!("{}: {what} is quoted: {body}", self.service)
        });
        let code = self.call(headers).await?;
        findings.check(code.as_deref() == Some(UNAUTHENTICATED), || {
            format!("{}: {what} is answered by gRPC with {code:?}", self.service)
        });
        Ok(findings)
    }

    /// Whatever comes of it: a server may end the connection on whoever sends such headers.
    async fn survives_an_enormous_one(&self) {
        let token = HeaderValue::try_from(format!("Bearer {}", "A".repeat(ENORMOUS_BYTES)));
        let headers: HeaderMap = token.into_iter().map(|token| (AUTHORIZATION, token)).collect();
        let _ = self.ask(headers.clone()).await;
        let _ = self.call(headers).await;
    }

    async fn ask(&self, headers: HeaderMap) -> anyhow::Result<(StatusCode, HeaderMap, String)> {
        let answer = self.http.get(&self.http_url).headers(headers).send().await?;
        let (status, headers) = (answer.status(), answer.headers().clone());
        Ok((status, headers, answer.text().await?))
    }

    /// The status of a call that was refused at once; nothing when an answer has begun.
    async fn call(&self, mut headers: HeaderMap) -> anyhow::Result<Option<String>> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert("te", HeaderValue::from_static("trailers"));
        let request = self.grpc.post(&self.grpc_url).version(Version::HTTP_2);
        let answer = request.headers(headers).body(EMPTY.to_vec()).send().await?;
        ensure!(
            answer.status() == StatusCode::OK,
            "gRPC is answered {}",
            answer.status()
        );
        let status = answer.headers().get("grpc-status");
        Ok(status.and_then(|status| status.to_str().ok()).map(str::to_owned))
    }
}

fn bearer(token: &[u8]) -> anyhow::Result<HeaderMap> {
    let value = HeaderValue::from_bytes(&[b"Bearer ", token].concat())?;
    Ok([(AUTHORIZATION, value)].into_iter().collect())
}

/// Nothing of a token's secret half is in the log, and nothing panicked.
fn tells_no_token(replica: &Replica, cases: &[Case], forge: &Forge) -> anyhow::Result<Findings> {
    let (log, right) = (replica.log()?, forge.right());
    let mut findings = Findings::default();
    let told = ["panicked", "panic:"].into_iter().find(|word| log.contains(word));
    findings.check(told.is_none(), || {
        format!("{}: something panicked", replica.service)
    });
    let cases = cases
        .iter()
        .map(|(what, token)| (what.as_str(), String::from_utf8_lossy(token)));
    for (what, token) in cases.chain(right.iter().map(|token| ("a right token", token.into()))) {
        let secret = token.rsplit('.').next().unwrap_or_default();
        let is_told = secret.len() > 20 && log.contains(secret) || token.len() > 20 && log.contains(&*token);
        findings.check(!is_told, || {
            format!("{}: {what} is in the log: {token}", replica.service)
        });
    }
    Ok(findings)
}

/// A set of keys at a URL, as identity publishes its own.
async fn publish(key: &Key) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    let body = json!({"keys": [key.jwk()]}).to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, body.clone()));
        }
    });
    Ok(url)
}

async fn answer(mut stream: TcpStream, body: String) -> anyhow::Result<()> {
    let mut heard = vec![0; 16 * 1024];
    let _ = stream.read(&mut heard).await?;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all((head + &body).as_bytes()).await?;
    // Only the test's end could go wrong here.
    let _ = stream.shutdown().await;
    Ok(())
}
