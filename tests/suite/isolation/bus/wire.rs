//! NATS' text protocol by hand. A client library reports refusals later and elsewhere; here every refusal has come
//! once the server answers the next PING.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};
use testkit::Stack;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(10);
/// JetStream refuses a message for another stream than the one it lands in: nothing is ever stored.
const FOR_NO_STREAM: &str = "NATS/1.0\r\nNats-Expected-Stream: NO_SUCH_STREAM\r\n\r\n";
/// No API call takes this body, so a call that gets through changes nothing either. (Without the brace, a pull would
/// take it for a request of one message.)
const NO_JSON: &str = "{";

/// Something a user may be allowed to do, or not.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Attempt {
    Publish(String),
    Subscribe(String),
}

/// One user's connection.
pub(super) struct Wire {
    server: BufReader<TcpStream>,
    inbox: String,
    sent: usize,
}

/// How a set of attempts ended.
pub(super) struct Verdicts {
    pub(super) refused: BTreeSet<Attempt>,
    /// What was answered to publishes that got through.
    pub(super) answers: BTreeMap<Attempt, String>,
}

/// What the server sends, as far as we look at it.
enum Line {
    Pong,
    Error(String),
    Message { subject: String, text: String },
    Other,
}

impl Wire {
    pub(super) async fn connect(stack: &Stack, user: &str) -> anyhow::Result<Self> {
        let nats = &stack.description().nats;
        let address = nats.url.strip_prefix("nats://").context("a nats:// address")?;
        let user = &nats.users[user];
        let mut wire = Self {
            server: BufReader::new(TcpStream::connect(address).await?),
            inbox: user.inbox.clone(),
            sent: 0,
        };
        let connect = json!({
            "user": user.user, "pass": user.password, "headers": true, "no_responders": true,
            "verbose": false, "pedantic": false, "lang": "test", "version": "0", "protocol": 1,
        });
        wire.send(&format!("CONNECT {connect}\r\nSUB {}.> inbox\r\n", user.inbox))
            .await?;
        let refused = wire.flush(&mut BTreeMap::new()).await?;
        ensure!(refused.is_empty(), "{}: {refused:?}", user.user);
        Ok(wire)
    }

    /// Tries all of them, changing nothing; waits for an answer to each in `answered`.
    pub(super) async fn attempt(
        &mut self,
        attempts: &[Attempt],
        answered: &BTreeSet<Attempt>,
    ) -> anyhow::Result<Verdicts> {
        let mut text = String::new();
        for (n, attempt) in attempts.iter().enumerate() {
            text += &match attempt {
                Attempt::Subscribe(subject) => format!("SUB {subject} try{n}\r\nUNSUB try{n}\r\n"),
                Attempt::Publish(subject) => {
                    let (head, total) = (FOR_NO_STREAM.len(), FOR_NO_STREAM.len() + NO_JSON.len());
                    let reply = format!("{}.{n}", self.inbox);
                    format!("HPUB {subject} {reply} {head} {total}\r\n{FOR_NO_STREAM}{NO_JSON}\r\n")
                }
            };
        }
        self.send(&text).await?;
        let mut replies = BTreeMap::new();
        let errors = self.flush(&mut replies).await?;
        let refused: BTreeSet<Attempt> = attempts
            .iter()
            .filter(|attempt| errors.contains(&attempt.refusal()))
            .cloned()
            .collect();
        let unexplained: Vec<&String> = errors
            .iter()
            .filter(|error| !refused.iter().any(|attempt| attempt.refusal() == **error))
            .collect();
        ensure!(unexplained.is_empty(), "the server said {unexplained:?}");

        let position = |attempt: &Attempt| attempts.iter().position(|other| other == attempt);
        let awaited: Vec<String> = answered
            .difference(&refused)
            .filter_map(position)
            .map(|n| format!("{}.{n}", self.inbox))
            .collect();
        let all_there =
            |replies: &BTreeMap<String, String>| awaited.iter().all(|inbox| replies.contains_key(inbox));
        // Ends early without them; the caller sees which are missing.
        let _ = tokio::time::timeout(DEADLINE, async {
            while !all_there(&replies) {
                self.flush(&mut replies).await?;
            }
            anyhow::Ok(())
        })
        .await;
        let answers = attempts.iter().enumerate().filter_map(|(n, attempt)| {
            let answer = replies.get(&format!("{}.{n}", self.inbox))?;
            Some((attempt.clone(), answer.clone()))
        });
        Ok(Verdicts {
            refused,
            answers: answers.collect(),
        })
    }

    /// One API call for real, and its answer.
    pub(super) async fn call(&mut self, subject: &str, body: &Value) -> anyhow::Result<Value> {
        self.sent += 1;
        let (body, reply) = (body.to_string(), format!("{}.call{}", self.inbox, self.sent));
        self.send(&format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()))
            .await?;
        let mut replies = BTreeMap::new();
        tokio::time::timeout(DEADLINE, async {
            while !replies.contains_key(&reply) {
                let refused = self.flush(&mut replies).await?;
                ensure!(refused.is_empty(), "{refused:?}");
            }
            Ok(())
        })
        .await
        .with_context(|| format!("no answer to {subject}"))??;
        Ok(serde_json::from_str(&replies[&reply])?)
    }

    /// A round trip: everything the server had to say to what was sent before. Returns the errors.
    async fn flush(&mut self, replies: &mut BTreeMap<String, String>) -> anyhow::Result<BTreeSet<String>> {
        self.send("PING\r\n").await?;
        let mut errors = BTreeSet::new();
        loop {
            match tokio::time::timeout(DEADLINE, self.line())
                .await
                .context("the server is silent")??
            {
                Line::Pong => return Ok(errors),
                Line::Error(error) => drop(errors.insert(error)),
                Line::Message { subject, text } => drop(replies.insert(subject, text)),
                Line::Other => {}
            }
        }
    }

    async fn send(&mut self, text: &str) -> anyhow::Result<()> {
        Ok(self.server.get_mut().write_all(text.as_bytes()).await?)
    }

    async fn line(&mut self) -> anyhow::Result<Line> {
        let mut line = String::new();
        if self.server.read_line(&mut line).await? == 0 {
            bail!("the server hung up");
        }
        let (verb, rest) = line.trim_end().split_once(' ').unwrap_or((line.trim_end(), ""));
        match verb {
            "PONG" => Ok(Line::Pong),
            "-ERR" => Ok(Line::Error(rest.trim_matches('\'').to_owned())),
            // MSG <subject> <sid> [reply] <bytes>, HMSG … <header bytes> <bytes>: the total comes last.
            "MSG" | "HMSG" => {
                let subject = rest.split(' ').next().unwrap_or_default().to_owned();
                let bytes: usize = rest.rsplit(' ').next().unwrap_or_default().parse()?;
                let mut text = vec![0; bytes + 2];
                self.server.read_exact(&mut text).await?;
                let text = String::from_utf8_lossy(&text).trim_end().to_owned();
                Ok(Line::Message { subject, text })
            }
            _ => Ok(Line::Other),
        }
    }
}

impl Attempt {
    /// How the server words the refusal.
    fn refusal(&self) -> String {
        match self {
            Self::Publish(subject) => format!("Permissions Violation for Publish to \"{subject}\""),
            Self::Subscribe(subject) => format!("Permissions Violation for Subscription to \"{subject}\""),
        }
    }
}
