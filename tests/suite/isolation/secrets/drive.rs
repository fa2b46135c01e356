//! Says every kind of thing to every operation: a canary in each place of each request, right and wrong.

use client::{Answer, Api};
use serde_json::{Value, json};
use testkit::Stack;
use uuid::Uuid;

use super::canary::Canaries;
use crate::isolation::findings::Findings;
use crate::isolation::routes::cases::slots;
use crate::isolation::routes::document::{Filled, Operation, Slot, leaves};
use crate::isolation::routes::table::{ROUTES, Route};
use crate::isolation::world::World;

/// Shown in every request, and logged: that it is found shows that the search can find.
pub(super) const REQUEST_ID: &str = "request-of-the-secrets-test";

/// A header line forgotten, and rows with something wrong in every column.
const FILES: [&str; 3] = [
    "external_id,name,phone,email,birth_month,tags\nCANARY-1,CANARY-2,090-1234-5678,CANARY-4,04,CANARY-3\n",
    "external_id,name,phone,email,birth_month\nCANARY-1,CANARY-2,CANARY-3,@CANARY-6@,CANARY-4\n\"CANARY-5\n",
    "CANARY-1,CANARY-2,CANARY-3\nCANARY-4,CANARY-5,CANARY-6\n",
];

pub(super) struct Driver<'a> {
    pub(super) api: &'a Api,
    pub(super) world: &'a World,
    pub(super) canaries: &'a mut Canaries,
    pub(super) findings: &'a mut Findings,
    /// Answers so far: all, and those that are our own fault.
    pub(super) answered: usize,
    pub(super) failed: usize,
}

/// One way to ask an operation, with what belongs into its slots.
pub(super) struct Way {
    service: &'static str,
    operation: Operation,
    route: &'static Route,
    slots: Vec<Slot>,
}

impl Way {
    pub(super) fn service(&self) -> &'static str {
        self.service
    }
}

/// Every operation with one way to ask it.
pub(super) async fn ways(stack: &Stack, world: &World) -> anyhow::Result<Vec<Way>> {
    let mut ways = Vec::new();
    for (service, routes) in ROUTES {
        let document = Api::new(stack).get(service, "/openapi.json").ok().await?;
        for operation in Operation::all(&document)? {
            let Some(route) = routes.iter().find(|route| route.operation == operation.id) else {
                continue;
            };
            let slots = slots(route, world).await?;
            ways.push(Way {
                service,
                operation,
                route,
                slots,
            });
        }
    }
    Ok(ways)
}

impl Driver<'_> {
    /// All ways of one service, or of all.
    pub(super) async fn all(&mut self, ways: &[Way], service: Option<&str>) -> anyhow::Result<()> {
        for way in ways
            .iter()
            .filter(|way| service.is_none_or(|service| way.service == service))
        {
            self.way(way).await?;
        }
        Ok(())
    }

    /// One right request.
    pub(super) async fn once(&mut self, way: &Way) -> anyhow::Result<()> {
        self.send(way, &way.operation.fill(&way.slots)?).await
    }

    async fn way(&mut self, way: &Way) -> anyhow::Result<()> {
        let filled = way.operation.fill(&way.slots)?;
        self.once(way).await?;
        for (slot, ..) in &way.slots {
            if slot.starts_with(['{', '?']) {
                let mut slots = way.slots.clone();
                let text = self.canaries.text();
                slots
                    .iter_mut()
                    .filter(|(name, ..)| name == slot)
                    .for_each(|slot| slot.2 = json!(text));
                self.send(way, &way.operation.fill(&slots)?).await?;
            }
        }
        let text = self.canaries.text();
        self.send(way, &filled.clone().with("surprise", &text)).await?;
        self.send(way, &filled.clone().with("cursor", &text)).await?;
        match &filled.body {
            Some(Value::String(_)) => self.files(way, &filled).await,
            Some(body) => self.bodies(way, &filled, body).await,
            None => Ok(()),
        }
    }

    /// A canary at each place, once as it should be there and once as something else; and a body that breaks off.
    async fn bodies(&mut self, way: &Way, filled: &Filled, body: &Value) -> anyhow::Result<()> {
        for place in leaves(body) {
            let Some(said) = body.pointer(&place) else {
                continue;
            };
            let wrong = self.canaries.number_or_text(said);
            for said in [json!(self.canaries.text()), wrong, json!([self.canaries.text()])] {
                let mut body = body.clone();
                if let Some(place) = body.pointer_mut(&place) {
                    *place = said;
                }
                let filled = Filled {
                    body: Some(body),
                    ..filled.clone()
                };
                self.send(way, &filled).await?;
            }
        }
        let text = self.canaries.text();
        for broken in [
            format!("{{\"name\": \"{text}"),
            format!("{{\"name\": {text}}}"),
            format!("\"{text}\""),
        ] {
            let filled = Filled {
                body: Some(Value::String(broken)),
                ..filled.clone()
            };
            self.send(way, &filled).await?;
        }
        Ok(())
    }

    async fn files(&mut self, way: &Way, filled: &Filled) -> anyhow::Result<()> {
        for file in FILES {
            let filled = Filled {
                body: Some(Value::String(file.replace("CANARY", &self.canaries.text()))),
                ..filled.clone()
            };
            self.send(way, &filled).await?;
        }
        Ok(())
    }

    async fn send(&mut self, way: &Way, filled: &Filled) -> anyhow::Result<()> {
        let ask = self
            .api
            .ask(way.operation.method.clone(), way.service, &filled.path);
        let fresh = Uuid::now_v7().to_string();
        let mut ask = ask
            .key(if way.operation.is_keyed { &fresh } else { "" })
            .header("x-request-id", REQUEST_ID);
        if let Some(token) = self.world.token(way.route.by, way.service).await? {
            self.canaries.add("a token that was shown", &token);
            ask = ask.token(&token);
        }
        if let (Some(body), Some(described)) = (&filled.body, &way.operation.body) {
            let text = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
            ask = ask.body(&described.media_type, text);
        }
        let answer = ask.send().await?;
        self.hear(&answer);
        Ok(())
    }

    fn hear(&mut self, answer: &Answer) {
        self.answered += 1;
        self.failed += usize::from(answer.status.as_u16() == 500);
        if answer.status.is_success() {
            self.canaries.learn(&answer.body);
        } else {
            let told = format!("{} {:?} {}", answer.status, answer.headers, answer.body);
            self.canaries.search_refusal(&answer.what, &told, self.findings);
            self.canaries.search(&answer.what, told.as_bytes(), self.findings);
        }
    }
}
