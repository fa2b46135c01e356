//! The lightest client that will do: one keep-alive connection, one request at a time, so that the
//! generator takes as little as possible of the machine it measures.

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A connection to one service.
pub(crate) struct Connection {
    stream: TcpStream,
    host: String,
    buffer: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(url: &str) -> anyhow::Result<Self> {
        let host = url.strip_prefix("http://").context("an http address")?.to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            host,
            buffer: Vec::with_capacity(ANSWER_BYTES_MAX),
        })
    }

    /// Posts a JSON text; the status that was answered. The body is read and dropped.
    pub(crate) async fn post(&mut self, path: &str, body: &str) -> anyhow::Result<u16> {
        let request = Request {
            method: "POST",
            path,
            body,
            ..Request::default()
        };
        Ok(self.ask(request).await?.0)
    }

    /// Asks; the status and the body that were answered.
    pub(crate) async fn ask(&mut self, request: Request<'_>) -> anyhow::Result<(u16, &[u8])> {
        let text = request.text(&self.host);
        self.stream.write_all(text.as_bytes()).await?;
        self.buffer.clear();
        loop {
            if self.stream.read_buf(&mut self.buffer).await? == 0 || self.buffer.len() > ANSWER_BYTES_MAX {
                bail!("the answer was cut off");
            }
            if let Some((status, head_len)) = whole_answer(&self.buffer) {
                return Ok((status, &self.buffer[head_len..]));
            }
        }
    }
}

/// What is asked; an empty token, key or id is left out.
#[derive(Default)]
pub(crate) struct Request<'a> {
    pub(crate) method: &'static str,
    pub(crate) path: &'a str,
    pub(crate) token: &'a str,
    pub(crate) key: &'a str,
    pub(crate) webhook_id: &'a str,
    pub(crate) body: &'a str,
}

impl Request<'_> {
    /// The whole of it, body and all.
    fn text(&self, host: &str) -> String {
        let Self {
            method, path, body, ..
        } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: {host}\r\n");
        for (name, value, kind) in [
            ("authorization", self.token, "Bearer "),
            ("idempotency-key", self.key, ""),
            ("webhook-id", self.webhook_id, ""),
        ] {
            if !value.is_empty() {
                text += &format!("{name}: {kind}{value}\r\n");
            }
        }
        if !body.is_empty() {
            text += &format!(
                "content-type: application/json\r\ncontent-length: {}\r\n",
                body.len()
            );
        }
        text + "\r\n" + body
    }
}

/// The status and where the body begins, once head and body have arrived.
fn whole_answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let head_len = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_len]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    let length: usize = head
        .lines()
        .find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length:")
                .map(str::to_owned)
        })?
        .trim()
        .parse()
        .ok()?;
    (bytes.len() >= head_len + length).then_some((status, head_len))
}
