//! S1, HTTP: every operation of every service's document × every wrong caller, id and form; and the right one.

mod audit;
pub(super) mod cases;
pub(super) mod document;
mod probe;
pub(super) mod table;
mod wall_less;

use anyhow::Context as _;
use futures::future::try_join_all;
use testkit::Stack;

use self::document::Operation;
use self::probe::Probe;
use self::table::{KEYLESS, ROUTES, Route};
use super::findings::Findings;
use super::world::{By, World};

#[tokio::test]
async fn every_operation_lets_in_whom_it_should() -> anyhow::Result<()> {
    let stack = tokio::task::spawn_blocking(Stack::shared).await??;
    let (home, foreign) = tokio::try_join!(World::new(&stack), World::new(&stack))?;
    wall_less::is_found_out(&stack, &home, &foreign).await?;
    let processes = stack.description().processes.iter();
    let services = processes.filter(|(name, process)| **name == process.service);
    let probes = services.map(|(name, _)| service(name, &home, &foreign));
    let mut findings = Findings::all(try_join_all(probes).await?);
    let tried: Vec<&str> = ROUTES
        .iter()
        .flat_map(|(_, routes)| *routes)
        .map(|route| route.operation)
        .collect();
    for (operation, _) in KEYLESS {
        findings.check(tried.contains(operation), || {
            format!("there is no {operation}: take it off KEYLESS")
        });
    }
    findings.report("requests", tried.len() * 10)
}

/// All operations of one service, one after the other.
async fn service(name: &str, home: &World, foreign: &World) -> anyhow::Result<Findings> {
    let routes = ROUTES.iter().find(|(service, _)| *service == name);
    let (_, routes) = routes.with_context(|| format!("{name} is new: give it a table in routes/table.rs"))?;
    let mut probe = Probe {
        service: name,
        api: home.api(),
        home,
        foreign,
        findings: Findings::default(),
    };
    let document = home.api().get(name, "/openapi.json").ok().await?;
    let operations = Operation::all(&document)?;
    for operation in &operations {
        let of: Vec<&Route> = routes
            .iter()
            .filter(|route| route.operation == operation.id)
            .collect();
        match of.is_empty() {
            true => probe.findings.wrong(unknown(name, operation)),
            false => probe.operation(operation, &of).await?,
        }
    }
    probe.cursors(&lists(&operations, routes)).await?;
    for Route { operation, .. } in *routes {
        let stands = operations.iter().any(|known| known.id == *operation);
        probe.findings.check(stands, || {
            format!("{name} has no operation {operation}: take it off routes/table.rs")
        });
    }
    Ok(probe.findings)
}

/// What a tenant reads in pages, each with one way to ask for it.
fn lists<'a>(operations: &'a [Operation], routes: &'a [Route]) -> Vec<(&'a Operation, &'a Route)> {
    let paged = operations.iter().filter(|operation| operation.has_pages);
    let routed = paged.filter_map(|operation| {
        let mut routes = routes.iter().filter(|route| route.by != By::Reviewer);
        Some((operation, routes.find(|route| route.operation == operation.id)?))
    });
    routed.collect()
}

fn unknown(service: &str, operation: &Operation) -> String {
    let Operation { id, method, ids, .. } = operation;
    let slots: Vec<String> = ids.iter().map(|slot| format!("(\"{slot}\", Thing::…)")).collect();
    format!(
        "{service} {id} ({method}) is new: add `route(\"{id}\", <least caller>, &[{}])` to routes/table.rs",
        slots.join(", ")
    )
}
