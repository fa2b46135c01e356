//! Things that must not be told, and the search for them.

use std::collections::BTreeMap;

use anyhow::Context as _;
use client::PASSWORD;
use serde_json::{Value, json};
use testkit::Description;
use uuid::Uuid;

use crate::isolation::findings::Findings;
use crate::isolation::world::World;
use crate::scene::WELCOME;

/// Shorter texts stand in logs by chance.
const SECRET_CHARS_MIN: usize = 12;
/// Quoted around a find.
const QUOTED_BYTES: usize = 160;
/// Names that the people of every test have.
const NAMES: [&str; 7] = [
    "王 雅婷",
    "高橋 健",
    "李 梅",
    "佐藤 花子",
    "伊藤 直美",
    "周 宁",
    "林 小雨",
];

/// What is looked for: text → what it is.
#[derive(Default)]
pub(super) struct Canaries {
    known: BTreeMap<String, String>,
    run: String,
    sung: u64,
}

impl Canaries {
    /// Every secret of the stack, and a mark of this run that nobody else's texts have.
    pub(super) fn of(stack: &Description) -> anyhow::Result<Self> {
        let mut canaries = Self {
            run: Uuid::new_v4().simple().to_string()[..12].to_owned(),
            ..Self::default()
        };
        canaries.add("something a request said", &canaries.prefix());
        canaries.add("a number a request said", &canaries.number().to_string());
        for (name, process) in &stack.processes {
            for (variable, value) in &process.env {
                canaries.setting(name, variable, value)?;
            }
        }
        for (name, user) in &stack.nats.users {
            canaries.add(&format!("the password of {name} at NATS"), &user.password);
        }
        canaries.add("the reviewer's password", &stack.reviewer.password);
        canaries.add("the reviewer's e-mail address", &stack.reviewer.email);
        canaries.add("a member's password", PASSWORD);
        canaries.add("a welcome", WELCOME);
        for name in NAMES {
            canaries.add("a member's name", name);
        }
        Ok(canaries)
    }

    fn setting(&mut self, process: &str, variable: &str, value: &str) -> anyhow::Result<()> {
        let what = format!("{variable} of {process}");
        if variable.ends_with("DATABASE_URL") {
            let url: reqwest::Url = value.parse()?;
            self.add(
                &what,
                url.password()
                    .with_context(|| format!("{what} has no password"))?,
            );
        } else if variable.ends_with("PASSWORD") || variable.ends_with("SECRET") {
            self.add(&what, value);
        } else if variable.ends_with("SIGNING_KEY") {
            let pem = std::fs::read_to_string(value)?;
            let body: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            self.add(&what, &body);
        }
        Ok(())
    }

    /// A tenant's people, and all their tokens.
    pub(super) fn meet(&mut self, world: &World) {
        for (what, text) in world.private() {
            self.add(what, &text);
        }
    }

    /// Whatever an answer calls a token or a secret is one.
    pub(super) fn learn(&mut self, answer: &Value) {
        match answer {
            Value::Object(fields) => {
                for (name, value) in fields {
                    let is_secret = ["token", "secret", "password"]
                        .iter()
                        .any(|word| name.contains(word));
                    if is_secret && let Some(text) = value.as_str() {
                        self.add(&format!("a {name}"), text);
                    }
                    if is_secret && let Some(list) = value.as_array() {
                        list.iter()
                            .filter_map(Value::as_str)
                            .for_each(|text| self.add(&format!("one of {name}"), text));
                    }
                    self.learn(value);
                }
            }
            Value::Array(items) => items.iter().for_each(|item| self.learn(item)),
            _ => {}
        }
    }

    pub(super) fn add(&mut self, what: &str, text: &str) {
        // A token's signature alone would be as bad as the whole, and its claims are no secret.
        let secret = if text.split('.').count() == 3 && text.starts_with("ey") {
            text.rsplit('.').next().unwrap_or(text)
        } else {
            text
        };
        if secret.chars().count() >= SECRET_CHARS_MIN || !secret.is_ascii() {
            self.known.insert(secret.to_owned(), what.to_owned());
        }
    }

    fn prefix(&self) -> String {
        format!("canary-{}", self.run)
    }

    /// A text that was never said before; it passes for a name and for an e-mail address.
    pub(super) fn text(&mut self) -> String {
        self.sung += 1;
        format!("{}-{}@leak.example", self.prefix(), self.sung)
    }

    /// A number like somebody's phone.
    pub(super) fn number(&self) -> u64 {
        let digits = u64::from_str_radix(&self.run[..8], 16).unwrap_or_default() % 10_000_000;
        8_190_550_000_000 + digits
    }

    /// The same in the wrong place.
    pub(super) fn number_or_text(&mut self, instead_of: &Value) -> Value {
        match instead_of {
            Value::String(_) => json!(self.number()),
            _ => json!(self.text()),
        }
    }

    /// Looks for all of them in what somebody told.
    pub(super) fn search(&self, place: &str, told: &[u8], findings: &mut Findings) {
        let told = String::from_utf8_lossy(told);
        for (text, what) in &self.known {
            let at = told.find(text.as_str());
            findings.check(at.is_none(), || {
                let at = at.unwrap_or_default();
                let from = told.floor_char_boundary(at.saturating_sub(QUOTED_BYTES));
                let to = told.ceil_char_boundary((at + text.len() + QUOTED_BYTES).min(told.len()));
                format!("{place} tells {what}: …{}…", told[from..to].replace('\n', " ⏎ "))
            });
        }
    }

    /// Looks for what the requests said: whoever reads a refusal need not be who asked.
    pub(super) fn search_refusal(&self, what: &str, told: &str, findings: &mut Findings) {
        for text in [self.prefix(), self.number().to_string()] {
            findings.check(!told.contains(&text), || format!("{what} is refused with {told}"));
        }
    }
}
