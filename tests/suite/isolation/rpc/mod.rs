//! S1, gRPC: every method in the descriptors × every caller, tenant and id.

mod table;
mod wire;

use anyhow::{Context as _, ensure};
use contracts::TenantId;
use prost_reflect::{Kind, MethodDescriptor};
use serde_json::{Value, json};
use testkit::Stack;
use tonic::{Code, Status};

use self::table::{Nothing, RPCS, Rpc};
use self::wire::{Method, descriptors};
use super::edges::Edges;
use super::findings::Findings;
use super::thing::Thing;
use super::world::{By, CALLERS, World};

/// Metadata by which somebody might hope to become another tenant.
const TENANT_METADATA: [&str; 3] = ["x-tenant-id", "x-shequn-tenant", "ce-tenantid"];

/// Where a stream goes on.
const CURSOR: &str = "cursor";

type Answer = Result<Value, Status>;

#[tokio::test]
async fn every_method_lets_in_whom_it_should() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let (home, foreign) = tokio::try_join!(World::new(&stack), World::new(&stack))?;
    let edges = Edges::load()?;
    let methods = descriptors()?;
    let mut findings = Findings::default();
    for (name, descriptor) in &methods {
        match RPCS.iter().find(|rpc| rpc.method == name) {
            Some(rpc) => findings.absorb(probe(rpc, descriptor, &stack, &edges, [&home, &foreign]).await?),
            None => findings.wrong(format!(
                "{name} is new: say in rpc/table.rs who may call it, and with what"
            )),
        }
    }
    for Rpc { method, .. } in RPCS {
        let stands = methods.iter().any(|(name, _)| name == method);
        findings.check(stands, || {
            format!("there is no {method}: take it off rpc/table.rs")
        });
    }
    a_wrong_table_is_found_out(&stack, &edges, [&home, &foreign]).await?;
    findings.report("calls", RPCS.len() * 20)
}

async fn probe(
    rpc: &Rpc,
    descriptor: &MethodDescriptor,
    stack: &Stack,
    edges: &Edges,
    [home, foreign]: [&World; 2],
) -> anyhow::Result<Findings> {
    // shequn.<service>.v1.…
    let service = rpc.method.split('.').nth(1).unwrap_or_default();
    let method = Method::new(descriptor.clone(), stack.process(service).url("grpc"))?;
    let findings = Findings::default();
    let mut probe = Probe {
        rpc,
        service,
        method,
        home,
        foreign,
        findings,
    };
    probe.fields(descriptor);
    probe.strangers().await?;
    probe.services(edges).await?;
    probe.tenants().await?;
    Ok(probe.findings)
}

/// The probes themselves: a table that says something else than the service does must show.
async fn a_wrong_table_is_found_out(stack: &Stack, edges: &Edges, worlds: [&World; 2]) -> anyhow::Result<()> {
    const METHOD: &str = "shequn.customers.v1.CustomersService/GetContact";
    const WRONG: Rpc = Rpc {
        method: METHOD,
        callers: &["broadcast", "referral"],
        fields: &[("contact_id", Thing::Contact)],
        words: &["name"],
        nothing: Nothing::Empty,
    };
    const SILENT: Rpc = Rpc {
        callers: &[],
        fields: &[],
        words: &[],
        ..WRONG
    };
    let methods = descriptors()?;
    let (_, descriptor) = methods.iter().find(|(name, _)| name == METHOD).context(METHOD)?;
    let mut told = String::new();
    for rpc in [WRONG, SILENT] {
        told += &probe(&rpc, descriptor, stack, edges, worlds).await?.told();
    }
    for word in [
        "the service groups is answered Ok",
        "referral may call it, and is answered Err",
        "another tenant's id is answered Err",
        "the request has no name",
        "contact_id is new",
        "nobody may call it",
    ] {
        ensure!(
            told.contains(word),
            "nobody noticed that {word}; the probes told\n{told}"
        );
    }
    Ok(())
}

struct Probe<'a> {
    rpc: &'a Rpc,
    service: &'a str,
    method: Method,
    home: &'a World,
    foreign: &'a World,
    findings: Findings,
}

impl Probe<'_> {
    /// The table knows every text of the request: each might name a thing of somebody else's.
    fn fields(&mut self, descriptor: &MethodDescriptor) {
        let (method, request) = (self.rpc.method, descriptor.input());
        let things = self.rpc.fields.iter().map(|(field, _)| *field);
        let known: Vec<&str> = things.chain(self.rpc.words.iter().copied()).collect();
        for field in &known {
            self.findings
                .check(request.get_field_by_name(field).is_some(), || {
                    format!("{method}: the request has no {field}: take it off rpc/table.rs")
                });
        }
        for field in request.fields() {
            let is_text = matches!(field.kind(), Kind::String | Kind::Bytes | Kind::Message(_));
            let is_known = field.name() == CURSOR || known.contains(&field.name());
            self.findings.check(!is_text || is_known, || {
                format!(
                    "{method}: {} is new: say in rpc/table.rs which thing it names, or that it is a word",
                    field.name()
                )
            });
        }
    }

    /// Tokens that prove nothing, and tokens that prove somebody who is no service.
    async fn strangers(&mut self) -> anyhow::Result<()> {
        let request = request(self.rpc, &self.method, self.home).await?;
        for (what, token) in self.home.keyring.forgeries(self.service, self.home.tenant()?) {
            let answer = self.call(&request, token).await?;
            self.expect(&answer, &[Code::Unauthenticated], what);
        }
        for caller in CALLERS.into_iter().filter(|caller| *caller != By::Peer) {
            let token = self.home.token(caller, self.service).await?;
            let answer = self.call(&request, token).await?;
            // Contacts' tokens are not meant for every service.
            let codes: &[Code] = match caller {
                By::Contact => &[Code::PermissionDenied, Code::Unauthenticated],
                _ => &[Code::PermissionDenied],
            };
            self.expect(&answer, codes, &format!("the token of {caller:?}"));
        }
        Ok(())
    }

    /// Every service with a key of its own: those on the list get in, the others don't.
    async fn services(&mut self, edges: &Edges) -> anyhow::Result<()> {
        let request = request(self.rpc, &self.method, self.home).await?;
        for caller in edges.service.keys() {
            let token = self
                .home
                .keyring
                .service(caller, self.service, self.home.tenant()?);
            let answer = self.call(&request, Some(token)).await?;
            if self.rpc.callers.contains(&caller.as_str()) {
                self.findings
                    .check(answer.as_ref().is_ok_and(|answer| !is_empty(answer)), || {
                        format!(
                            "{}: {caller} may call it, and is answered {answer:?}",
                            self.rpc.method
                        )
                    });
            } else {
                self.expect(
                    &answer,
                    &[Code::PermissionDenied],
                    &format!("the service {caller}"),
                );
            }
        }
        Ok(())
    }

    /// The tenant is the token's: things of others are not there, whatever else the call says.
    async fn tenants(&mut self) -> anyhow::Result<()> {
        let Some(caller) = self.rpc.callers.first() else {
            self.findings.wrong(format!(
                "{}: nobody may call it: say in rpc/table.rs who does",
                self.rpc.method
            ));
            return Ok(());
        };
        let (own, theirs) = (
            request(self.rpc, &self.method, self.home).await?,
            request(self.rpc, &self.method, self.foreign).await?,
        );
        let token = |tenant: TenantId| Some(self.home.keyring.service(caller, self.service, tenant));
        let (home, foreign) = (token(self.home.tenant()?), token(self.foreign.tenant()?));
        let nobody = token(TenantId::new());
        let mut unknown = own.clone();
        for (field, thing) in self.rpc.fields {
            unknown[*field] = self.method.value(field, thing.unknown());
        }

        let told = self.call(&theirs, foreign.clone()).await?.unwrap_or_default();
        self.foreign.learn(&told);
        self.cursor(&own, &told, home.clone()).await?;
        let answer = self.call(&own, home.clone()).await?;
        let leaked = answer
            .as_ref()
            .map(|answer| self.foreign.leaked(answer))
            .unwrap_or_default();
        self.findings.check(answer.is_ok() && leaked.is_empty(), || {
            format!(
                "{}: the own call is answered {answer:?}, with another tenant's {leaked:?}",
                self.rpc.method
            )
        });
        let mut cases = vec![("a tenant that does not exist", self.call(&own, nobody).await?)];
        if !self.rpc.fields.is_empty() {
            cases.push(("an unknown id", self.call(&unknown, home.clone()).await?));
            cases.push(("another tenant's id", self.call(&theirs, home).await?));
            cases.push(("the own id for another tenant", self.call(&own, foreign).await?));
        }
        for (what, answer) in cases {
            let holds = match self.rpc.nothing {
                Nothing::NotFound => answer
                    .as_ref()
                    .is_err_and(|status| status.code() == Code::NotFound),
                Nothing::Empty => answer.as_ref().is_ok_and(is_empty),
            };
            let nothing = self.rpc.nothing;
            self.findings.check(holds, || {
                format!(
                    "{}: {what} is answered {answer:?}, not {nothing:?}",
                    self.rpc.method
                )
            });
        }
        Ok(())
    }

    /// A place in another tenant's list is a place like any other, and shows nothing of it.
    async fn cursor(&mut self, own: &Value, theirs: &Value, token: Option<String>) -> anyhow::Result<()> {
        if !self.method.has(CURSOR) {
            return Ok(());
        }
        let last = theirs.as_array().and_then(|messages| messages.last());
        let cursor = last.with_context(|| format!("{}: nothing is told", self.rpc.method))?[CURSOR].clone();
        let mut request = own.clone();
        request[CURSOR] = cursor.clone();
        let answer = self.call(&request, token).await?;
        let leaked = answer
            .as_ref()
            .map(|answer| self.foreign.leaked(answer))
            .unwrap_or_default();
        let holds = cursor.is_string() && answer.is_ok() && leaked.is_empty();
        self.findings.check(holds, || {
            format!(
                "{}: another tenant's cursor {cursor} is answered {answer:?}, with its {leaked:?}",
                self.rpc.method
            )
        });
        Ok(())
    }

    async fn call(&self, request: &Value, token: Option<String>) -> anyhow::Result<Answer> {
        let forged = &self.foreign.brand().tenant_id;
        let mut metadata: Vec<_> = TENANT_METADATA.map(|name| (name, forged.clone())).into();
        metadata.extend(token.map(|token| ("authorization", format!("Bearer {token}"))));
        self.method.call(request, &metadata).await
    }

    fn expect(&mut self, answer: &Answer, codes: &[Code], what: &str) {
        let holds = answer
            .as_ref()
            .is_err_and(|status| codes.contains(&status.code()));
        self.findings.check(holds, || {
            format!(
                "{}: {what} is answered {answer:?}, not {codes:?}",
                self.rpc.method
            )
        });
    }
}

async fn request(rpc: &Rpc, method: &Method, world: &World) -> anyhow::Result<Value> {
    let mut request = json!({});
    for (field, thing) in rpc.fields {
        request[*field] = method.value(field, thing.make(world).await?);
    }
    Ok(request)
}

/// Whether the messages of an answer say anything but where the stream ends.
fn is_empty(answer: &Value) -> bool {
    let messages = answer.as_array().map(Vec::as_slice).unwrap_or_default();
    messages.iter().all(|message| {
        message
            .as_object()
            .is_some_and(|fields| fields.keys().all(|field| field == CURSOR))
    })
}
