//! A receiver of webhooks as light as can be: what it takes of the machine is not left for what is measured. It runs on
//! a thread of its own, speaks HTTP/1.1 with keep-alive, and counts by account (the path) whom it was called for.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

const REQUEST_BYTES_MAX: usize = 64 * 1024;
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
/// The text of a uuid, with which every id ends.
const ID_BYTES: usize = 36;

/// The receiver; it ends with this.
pub(crate) struct Sink {
    address: String,
    shared: Arc<Shared>,
    _end: DropGuard,
}

#[derive(Default)]
struct Shared {
    delay_millis: AtomicU64,
    accounts: Mutex<BTreeMap<String, Account>>,
}

/// What came for one account.
#[derive(Default)]
struct Account {
    ids: HashSet<Uuid>,
    repeats: u64,
}

/// The same in numbers.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) distinct: u64,
    pub(crate) repeats: u64,
}

/// A whole request at the beginning of a buffer.
struct Call<'a> {
    account: &'a str,
    id: Uuid,
    bytes: usize,
}

impl Sink {
    pub(crate) fn open() -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?.to_string();
        let shared = Arc::new(Shared::default());
        let ending = CancellationToken::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (state, end) = (Arc::clone(&shared), ending.clone());
        std::thread::Builder::new()
            .name("sink".to_owned())
            .spawn(move || runtime.block_on(end.run_until_cancelled_owned(accept(listener, state))))?;
        Ok(Self {
            address,
            shared,
            _end: ending.drop_guard(),
        })
    }

    /// The URL of an account's webhook.
    pub(crate) fn url(&self, account: &str) -> String {
        format!("http://{}/{account}", self.address)
    }

    /// Answers this long after a call came.
    pub(crate) fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.shared.delay_millis.store(millis, Ordering::Relaxed);
    }

    pub(crate) fn tally(&self, account: &str) -> Tally {
        let accounts = self.shared.accounts();
        accounts
            .get(account)
            .map_or_else(Tally::default, |account| Tally {
                distinct: account.ids.len() as u64,
                repeats: account.repeats,
            })
    }

    /// Forgets what came for the account.
    pub(crate) fn forget(&self, account: &str) {
        self.shared.accounts().remove(account);
    }
}

impl Shared {
    fn accounts(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Account>> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, call: &Call<'_>) {
        let mut accounts = self.accounts();
        let account = match accounts.get_mut(call.account) {
            Some(account) => account,
            None => accounts.entry(call.account.to_owned()).or_default(),
        };
        if !account.ids.insert(call.id) {
            account.repeats += 1;
        }
    }
}

async fn accept(listener: std::net::TcpListener, shared: Arc<Shared>) -> anyhow::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A caller that goes away, or says what is no call, loses its connection; the counts tell.
        tokio::spawn(answer(stream, Arc::clone(&shared)));
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) -> anyhow::Result<()> {
    let mut buffer = Vec::with_capacity(4 * 1024);
    loop {
        while let Some(call) = whole_call(&buffer)? {
            shared.note(&call);
            let bytes = call.bytes;
            buffer.drain(..bytes);
            match shared.delay_millis.load(Ordering::Relaxed) {
                0 => {}
                millis => tokio::time::sleep(Duration::from_millis(millis)).await,
            }
            stream.write_all(ANSWER).await?;
        }
        if buffer.len() > REQUEST_BYTES_MAX {
            bail!("a call is too long");
        }
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
    }
}

/// The first call of the buffer, once head and body have arrived.
fn whole_call(buffer: &[u8]) -> anyhow::Result<Option<Call<'_>>> {
    let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let mut lines = std::str::from_utf8(&buffer[..end])?.split("\r\n");
    let line = lines.next().context("a request line")?;
    let account = line.split(' ').nth(1).context("a path")?.trim_start_matches('/');
    let (mut id, mut length) = (None, 0);
    for line in lines {
        let (name, value) = line.split_once(':').context("a header")?;
        if name.eq_ignore_ascii_case("webhook-id") {
            let value = value.trim();
            let text = value
                .get(value.len().saturating_sub(ID_BYTES)..)
                .context("an id")?;
            id = Some(Uuid::try_parse(text)?);
        } else if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse()?;
        }
    }
    let bytes = end + 4 + length;
    Ok((buffer.len() >= bytes).then_some(Call {
        account,
        id: id.context("no webhook-id")?,
        bytes,
    }))
}
