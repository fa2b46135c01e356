//! A receiver of webhooks: a real HTTP server that writes down every request, and answers as it is told to.
//!
//! An account is the first part of the path, so that one may be slow while the others are not.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use super::checker::{Call, Kind, Told};
use testkit::Dice;

const BODY_BYTES_MAX: usize = 64 * 1024;

/// How an account answers; by default with 200 and at once. Shares are of its calls, from 0 to 1.
#[derive(Clone, Debug, Default)]
pub(crate) struct Manners {
    pub(crate) delay: Duration,
    /// 503.
    pub(crate) busy_share: f64,
    /// 429 with Retry-After: 1.
    pub(crate) throttled_share: f64,
    /// The connection is reset without an answer.
    pub(crate) reset_share: f64,
    /// 200, later than anybody waits, by this much.
    pub(crate) late_share: f64,
    pub(crate) late: Duration,
    /// Always 500 for these contacts: 503 would say something of the receiver, not of them.
    pub(crate) never: HashSet<Uuid>,
}

/// What it does with one call.
#[derive(Clone, Copy)]
enum Answer {
    Ok,
    Busy,
    Throttled,
    Failed,
    Reset,
    Late(Duration),
}

impl Answer {
    const fn told(self) -> Told {
        match self {
            Self::Ok => Told::Taken,
            Self::Busy | Self::Throttled | Self::Failed => Told::Again,
            Self::Reset => Told::CutOff,
            Self::Late(_) => Told::TakenTooLate,
        }
    }

    const fn head(self) -> &'static str {
        match self {
            Self::Ok | Self::Late(_) => "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
            Self::Throttled => {
                "HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
            }
            Self::Failed => "HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n",
            Self::Busy | Self::Reset => "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
        }
    }
}

pub(crate) struct Sink {
    address: String,
    shared: Arc<Shared>,
    _task: AbortOnDropHandle<()>,
}

struct Shared {
    log: Mutex<Vec<Call>>,
    manners: Mutex<HashMap<String, Manners>>,
    dice: Dice,
}

impl Sink {
    pub(crate) async fn open(seed: u64) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shared = Arc::new(Shared {
            log: Mutex::default(),
            manners: Mutex::default(),
            dice: Dice::new(seed),
        });
        let address = listener.local_addr()?.to_string();
        let task = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Ok(Self {
            address,
            shared,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// Where an account takes messages.
    pub(crate) fn url(&self, account: &str) -> String {
        format!("http://{}/{account}", self.address)
    }

    pub(crate) fn behave(&self, account: &str, manners: Manners) {
        locked(&self.shared.manners).insert(account.to_owned(), manners);
    }

    /// What came for a tenant.
    pub(crate) fn calls(&self, tenant: Uuid) -> Vec<Call> {
        let log = locked(&self.shared.log);
        log.iter().filter(|call| call.tenant == tenant).cloned().collect()
    }

    pub(crate) fn count(&self, tenant: Uuid) -> usize {
        let log = locked(&self.shared.log);
        log.iter().filter(|call| call.tenant == tenant).count()
    }

    /// Of a tenant that is done with.
    pub(crate) fn forget(&self, tenant: Uuid) {
        locked(&self.shared.log).retain(|call| call.tenant != tenant);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        // A connection that ends, however it does, is the sender's business.
        tokio::spawn(async move { shared.converse(stream).await });
    }
}

/// A request's first lines and body.
struct Request {
    account: String,
    key: String,
    body: Vec<u8>,
}

impl Shared {
    async fn converse(&self, stream: TcpStream) -> anyhow::Result<()> {
        stream.set_nodelay(true)?;
        let mut stream = BufReader::new(stream);
        while let Some(request) = read(&mut stream).await? {
            let (call, answer) = self.take(&request)?;
            let delay = locked(&self.manners)
                .get(&request.account)
                .map(|manners| manners.delay);
            locked(&self.log).push(call);
            match answer {
                Answer::Reset => {
                    let stream = stream.into_inner();
                    stream.set_zero_linger()?;
                    return Ok(());
                }
                Answer::Late(late) => tokio::time::sleep(late).await,
                _ => tokio::time::sleep(delay.unwrap_or_default()).await,
            }
            stream.get_mut().write_all(answer.head().as_bytes()).await?;
        }
        Ok(())
    }

    /// What is to be written down, and answered.
    #[expect(clippy::disallowed_methods, reason = "a test is its own clock")]
    fn take(&self, request: &Request) -> anyhow::Result<(Call, Answer)> {
        let body: Value = serde_json::from_slice(&request.body)?;
        // Standard Webhooks wraps what is said.
        let said = if body["data"].is_object() {
            &body["data"]
        } else {
            &body
        };
        let said = Said::deserialize(said)?;
        let answer = self.choose(&request.account, said.contact_id);
        let arrived = Timestamp::now();
        let call = Call {
            key: request.key.clone(),
            kind: said.kind,
            tenant: said.tenant,
            broadcast: said.broadcast_id,
            member: said.member_id,
            contact: said.contact_id,
            started: said.sent_at.unwrap_or(arrived),
            arrived,
            told: answer.told(),
        };
        Ok((call, answer))
    }

    fn choose(&self, account: &str, contact: Uuid) -> Answer {
        let all = locked(&self.manners);
        let Some(manners) = all.get(account) else {
            return Answer::Ok;
        };
        if manners.never.contains(&contact) {
            return Answer::Failed;
        }
        let mut draw = self.dice.share();
        for (share, answer) in [
            (manners.busy_share, Answer::Busy),
            (manners.throttled_share, Answer::Throttled),
            (manners.reset_share, Answer::Reset),
            (manners.late_share, Answer::Late(manners.late)),
        ] {
            if draw < share {
                return answer;
            }
            draw -= share;
        }
        Answer::Ok
    }
}

/// The body of a mass message, as far as it matters here.
#[derive(Deserialize)]
struct Said {
    kind: Kind,
    tenant: Uuid,
    broadcast_id: Uuid,
    contact_id: Uuid,
    member_id: Uuid,
    sent_at: Option<Timestamp>,
}

/// The next request; nothing when the sender has no more.
async fn read(stream: &mut BufReader<TcpStream>) -> anyhow::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let path = line.split(' ').nth(1).context("a request line")?;
    let account = path.trim_start_matches('/').to_owned();
    let (mut key, mut length) = (None, 0);
    loop {
        line.clear();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        match name.to_ascii_lowercase().as_str() {
            "webhook-id" => key = Some(value.trim().to_owned()),
            "content-length" => length = value.trim().parse()?,
            _ => {}
        }
    }
    anyhow::ensure!(length <= BODY_BYTES_MAX, "a body of {length} bytes");
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await?;
    let key = key.context("a request without webhook-id")?;
    Ok(Some(Request { account, key, body }))
}

#[tokio::test]
async fn it_answers_as_it_is_told_to_and_writes_everything_down() -> anyhow::Result<()> {
    let sink = Sink::open(1).await?;
    let (tenant, contact, poison) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let manners = |busy_share, throttled_share, reset_share| Manners {
        busy_share,
        throttled_share,
        reset_share,
        never: [poison].into(),
        ..Manners::default()
    };
    let http = testkit::http();
    let call = async |contact: Uuid| {
        let body = serde_json::json!({
            "kind": "member", "tenant": tenant, "broadcast_id": tenant, "contact_id": contact, "member_id": tenant,
            "sent_at": "2026-03-04T12:00:00Z",
        });
        let post = http.post(sink.url("brand")).header("webhook-id", "msg-1");
        post.json(&body)
            .send()
            .await
            .map(|answer| answer.status().as_u16())
            .ok()
    };
    let mut answers = vec![call(contact).await];
    for manners in [
        manners(1.0, 0.0, 0.0),
        manners(0.0, 1.0, 0.0),
        manners(0.0, 0.0, 1.0),
        manners(0.0, 0.0, 0.0),
    ] {
        sink.behave("brand", manners);
        answers.push(call(contact).await);
    }
    answers.push(call(poison).await);
    anyhow::ensure!(
        answers == [Some(200), Some(503), Some(429), None, Some(200), Some(500)],
        "{answers:?}"
    );
    let told: Vec<_> = sink.calls(tenant).iter().map(|call| call.told).collect();
    let (taken, again) = (Told::Taken, Told::Again);
    // Once reset, a client may try another connection by itself.
    let told: Vec<_> = told.into_iter().filter(|told| *told != Told::CutOff).collect();
    anyhow::ensure!(told == [taken, again, again, taken, again], "{told:?}");
    anyhow::ensure!(sink.count(tenant) >= 6);
    sink.forget(tenant);
    anyhow::ensure!(sink.count(tenant) == 0);
    Ok(())
}
