//! S20: each state change leaves one row that says who did what; a refusal, a repetition and a look leave none.
//!
//! A request is sent in a trace of its own, and its rows are those of the trace.

mod books;
mod table;

use anyhow::ensure;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use client::Answer;
use contracts::DESCRIPTORS;
use futures::future::try_join_all;
use prost_reflect::DescriptorPool;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::{Stack, eventually};
use uuid::Uuid;

use self::books::{Books, Row};
use self::table::{BY_ITSELF, HEARD, LEFT, Left, Whose};
use super::cases::slots;
use super::document::{Filled, Operation, Slot, objects};
use super::probe::{Manner, Probe, told};
use super::table::{ROUTES, Route};
use crate::isolation::edges::Edges;
use crate::isolation::findings::Findings;
use crate::isolation::thing::{Owned, Thing};
use crate::isolation::world::{By, World};

/// How the name of a method begins that only looks.
const LOOKS: [&str; 3] = ["Get", "List", "Stream"];

#[tokio::test]
async fn each_state_change_leaves_one_audit_row() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let world = World::new(&stack).await?;
    let books = Books::open(&stack).await?;
    let of_services = ROUTES
        .iter()
        .map(|(service, routes)| of_service(service, routes, &world, &books));
    let mut findings = Findings::all(try_join_all(of_services).await?);
    for Left { operation, .. } in LEFT {
        let mut routes = ROUTES.iter().flat_map(|(_, routes)| *routes);
        findings.check(routes.any(|route| route.operation == *operation), || {
            format!("there is no {operation}: take it off LEFT")
        });
    }
    calls(&mut findings)?;
    heard(&world, &books, &mut findings).await?;
    findings.report("requests", 250)
}

async fn of_service(
    service: &str,
    routes: &[Route],
    world: &World,
    books: &Books,
) -> anyhow::Result<Findings> {
    let mut auditor = Auditor {
        probe: Probe {
            service,
            api: world.api(),
            home: world,
            foreign: world,
            findings: Findings::default(),
        },
        books,
    };
    let document = world.api().get(service, "/openapi.json").ok().await?;
    for operation in &Operation::all(&document)? {
        let routed: Vec<&Route> = routes
            .iter()
            .filter(|route| route.operation == operation.id)
            .collect();
        let left = LEFT.iter().find(|left| left.operation == operation.id);
        match (operation.method == Method::GET, left) {
            (true, _) => auditor.look(operation, &routed).await?,
            (false, Some(left)) if !routed.is_empty() => {
                for route in routed {
                    auditor.change(operation, route, left).await?;
                }
            }
            (false, _) => auditor.probe.findings.wrong(format!(
                "{service} {} changes something: give it a line in routes/table.rs, and one in LEFT that says what it \
                 leaves in the audit",
                operation.id
            )),
        }
    }
    Ok(auditor.probe.findings)
}

/// Sends requests and reads what they left.
struct Auditor<'a> {
    probe: Probe<'a>,
    books: &'a Books,
}

impl Auditor<'_> {
    /// An answer, and the rows that came of the request.
    async fn send(
        &self,
        operation: &Operation,
        filled: &Filled,
        manner: &Manner<'_>,
    ) -> anyhow::Result<(Answer, Vec<Row>)> {
        let trace = Uuid::new_v4().simple().to_string();
        let traceparent = format!("00-{trace}-00f067aa0ba902b7-01");
        let manner = Manner {
            traceparent: Some(&traceparent),
            ..manner.clone()
        };
        let answer = self.probe.send(operation, filled, &manner).await?;
        let rows = self.books.of_trace(self.probe.service, &trace).await?;
        Ok((answer, rows))
    }

    async fn look(&mut self, operation: &Operation, routes: &[&Route]) -> anyhow::Result<()> {
        for route in routes {
            let filled = operation.fill(&slots(route, self.probe.home).await?)?;
            let manner = Manner::with(self.probe.home.token(route.by, self.probe.service).await?);
            let (answer, rows) = self.send(operation, &filled, &manner).await?;
            self.leaves("a look", &answer, &rows, &[]);
        }
        Ok(())
    }

    async fn change(&mut self, operation: &Operation, route: &Route, left: &Left) -> anyhow::Result<()> {
        let mut slots = slots(route, self.probe.home).await?;
        if let Some((slot, thing)) = left.instead {
            slots.retain(|(name, ..)| *name != slot);
            slots.push((slot, thing, thing.make(self.probe.home).await?));
        }
        self.refusals(operation, route, &slots).await?;

        let filled = operation.fill(&slots)?;
        let key = Uuid::now_v7().to_string();
        let manner = Manner {
            key: operation.is_keyed.then_some(key.as_str()),
            ..Manner::with(self.probe.home.token(route.by, self.probe.service).await?)
        };
        // News from another service may still be on its way.
        let (answer, rows) = eventually(async || {
            let (answer, rows) = self.send(operation, &filled, &manner).await?;
            ensure!(
                answer.status.is_success(),
                told("the right caller's call", &answer)
            );
            anyhow::Ok((answer, rows))
        })
        .await?;
        self.leaves("a success", &answer, &rows, left.actions);
        self.says_who(route, left, manner.token.as_deref(), &answer, &rows)?;

        let (answer, rows) = self.send(operation, &filled, &manner).await?;
        self.leaves("the same again", &answer, &rows, left.again);
        if operation.is_keyed {
            let manner = Manner {
                padding: "\n",
                ..manner
            };
            let (answer, rows) = self.send(operation, &filled, &manner).await?;
            self.leaves("another body under the same key", &answer, &rows, &[]);
        }
        Ok(())
    }

    /// Whatever is answered with a refusal has changed nothing.
    async fn refusals(&mut self, operation: &Operation, route: &Route, slots: &[Slot]) -> anyhow::Result<()> {
        let (service, home) = (self.probe.service, self.probe.home);
        let manner = Manner::with(home.token(route.by, service).await?);
        let filled = operation.fill(slots)?;
        let mut tried = Vec::new();
        if operation.is_private {
            tried.push(("nobody's call", filled.clone(), Manner::default()));
            let auditor = Manner::with(home.token(By::Auditor, service).await?);
            tried.push(("an auditor's call", filled.clone(), auditor));
        }
        if filled.body.as_ref().is_some_and(|body| !objects(body).is_empty()) {
            let mut strange = filled.clone();
            if let Some(Value::Object(fields)) = &mut strange.body {
                fields.insert("surprise".to_owned(), json!(1));
            }
            tried.push(("a strange body", strange, manner.clone()));
        }
        for (n, (_, thing, _)) in slots.iter().enumerate() {
            let is_looked_up = matches!(thing.owned(), Owned::ByTenant | Owned::ByPerson);
            let is_secret = matches!(
                thing,
                Thing::CodeToken
                    | Thing::OptOutToken
                    | Thing::ClickToken
                    | Thing::Password
                    | Thing::ReviewerPassword
            );
            if is_looked_up || is_secret {
                let mut unknown = slots.to_vec();
                unknown[n].2 = thing.unknown();
                tried.push(("an unknown thing", operation.fill(&unknown)?, manner.clone()));
            }
        }
        let mut refused = 0;
        for (what, filled, manner) in tried {
            let (answer, rows) = self.send(operation, &filled, &manner).await?;
            if answer.status.is_client_error() {
                refused += 1;
                self.leaves(what, &answer, &rows, &[]);
            }
        }
        self.probe.findings.check(refused > 0, || {
            format!("{service} {}: nothing was refused", operation.id)
        });
        Ok(())
    }

    fn leaves(&mut self, what: &str, answer: &Answer, rows: &[Row], actions: &[&str]) {
        let left: Vec<&str> = rows.iter().map(|row| row.action.as_str()).collect();
        self.probe.findings.check(left == actions, || {
            let status = answer.status;
            format!(
                "{}: {what}, answered {status}, leaves {left:?} in the audit, not {actions:?}",
                answer.what
            )
        });
    }

    /// The caller in the first row, the service itself in the others; the caller's tenant in all.
    fn says_who(
        &mut self,
        route: &Route,
        left: &Left,
        token: Option<&str>,
        answer: &Answer,
        rows: &[Row],
    ) -> anyhow::Result<()> {
        let asked = token.map(claims).transpose()?;
        for (n, row) in rows.iter().enumerate() {
            let kind = match &asked {
                _ if n > 0 => "system",
                Some(claims) => claims["kind"].as_str().unwrap_or_default(),
                None => left.public.unwrap_or_default(),
            };
            let is_caller = match &asked {
                _ if n > 0 => true,
                Some(claims) => claims["sub"] == *row.actor_id,
                None => self.could_be(&row.actor_id, answer),
            };
            let holds = row.actor_kind == kind && is_caller && !row.subject_id.is_empty();
            self.probe.findings.check(holds, || {
                format!(
                    "{}: it was {kind} {asked:?}, and the audit says {row:?}",
                    answer.what
                )
            });
            let tenant = asked.as_ref().map_or(&Value::Null, |claims| &claims["tenant"]);
            let is_own = tenant.is_null() || *tenant == row.tenant_id.to_string();
            self.probe.findings.check(is_own, || {
                format!("{}: by {:?}, of another tenant: {row:?}", answer.what, route.by)
            });
        }
        Ok(())
    }

    /// Without a token the answer tells who it was; of who logs out it says nothing more.
    fn could_be(&self, actor: &str, answer: &Answer) -> bool {
        let answered = answer.body["access_token"]
            .as_str()
            .and_then(|token| claims(token).ok())
            .is_some_and(|claims| claims["sub"] == actor);
        let is_owner = answer.body.is_string() && actor == self.probe.home.brand().owner.member_id;
        answered || is_owner || answer.body.to_string().contains(actor)
    }
}

/// What a token says, unverified.
fn claims(token: &str) -> anyhow::Result<Value> {
    let part = token.split('.').nth(1).unwrap_or_default();
    Ok(serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part)?)?)
}

/// Peers only look at each other so far.
fn calls(findings: &mut Findings) -> anyhow::Result<()> {
    for service in DescriptorPool::decode(DESCRIPTORS)?.services() {
        for method in service.methods() {
            let name = method.name().to_owned();
            findings.check(LOOKS.iter().any(|look| name.starts_with(look)), || {
                format!(
                    "{name} seems to change something: have it leave a row in the audit, and try that here"
                )
            });
        }
    }
    Ok(())
}

/// What the events led to that the requests above sent on their way, and what services did by themselves.
async fn heard(world: &World, books: &Books, findings: &mut Findings) -> anyhow::Result<()> {
    let edges = Edges::load()?;
    for (service, listener) in &edges.service {
        for (durable, edge) in &listener.durables {
            let Some(publisher) = publisher(&edge.event) else {
                continue;
            };
            let action = HEARD.iter().find(|(heard, _)| heard == durable);
            let Some((_, action)) = action else {
                findings.wrong(format!(
                    "{durable} is new: say in HEARD what {} leaves",
                    edge.event
                ));
                continue;
            };
            let row = books.expect(service, world.tenant()?, ["service", publisher, action]);
            let row = row.await;
            findings.check(row.is_ok(), || format!("{durable}: {row:?}"));
        }
    }
    for (service, action, whose) in BY_ITSELF {
        let tenant = match whose {
            Whose::Tenant => world.tenant()?,
            Whose::Nobody => contracts::TenantId(Uuid::nil()),
        };
        let row = books.expect(service, tenant, ["system", "%", action]).await;
        findings.check(row.is_ok(), || format!("{service} by itself: {row:?}"));
    }
    Ok(())
}

/// `shequn.<publisher>.v1.<Event>`; a work queue has none.
fn publisher(event: &str) -> Option<&str> {
    let mut parts = event.split('.').skip(1);
    let publisher = parts.next()?;
    (parts.next()? == "v1").then_some(publisher)
}
