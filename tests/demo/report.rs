//! The report: what happened, that every figure agrees, and where to look at the data.

use crate::broadcast::Messages;
use crate::orders::{Credit, Earner, Ledger, Statement};
use crate::run::Run;
use crate::screen::{Cell, Table, amount, count, rate, secs};

const EARNERS_SHOWN: usize = 5;
const LINES_SHOWN: usize = 16;

/// Prints it; answers whether every figure reconciles.
pub(crate) fn print(run: &Run<'_>, messages: &Messages, ledger: &Ledger) -> bool {
    steps(run);
    broadcasts(run, messages);
    books(run, ledger);
    if !ledger.earners.is_empty() {
        earners(run, &ledger.earners);
    }
    if let Some(statement) = &ledger.statement {
        month(run, statement);
    }
    places(run);
    verdict(run)
}

fn steps(run: &Run<'_>) {
    run.screen.title("The first weeks");
    let mut table = Table::new(&["step", "count", "rate", "time"]);
    for step in &run.steps {
        let (what, rate, time) = match step.took {
            Some(took) => (step.what.clone(), rate(step.count, took), secs(took)),
            None => (format!("  {}", step.what), String::new(), String::new()),
        };
        table.row(vec![
            Cell::word(what),
            Cell::figure(count(step.count)),
            Cell::figure(rate),
            Cell::figure(time),
        ]);
    }
    for (edge, calls) in &run.edges {
        table.row(vec![
            Cell::word(format!("gRPC {edge}")),
            Cell::figure(calls.clone()),
            Cell::figure(""),
            Cell::figure(""),
        ]);
    }
    table.total(vec![
        Cell::word("from the first process to the last figure"),
        Cell::figure(""),
        Cell::figure(""),
        Cell::figure(secs(run.began.elapsed())),
    ]);
    run.screen.table(&table);
}

fn broadcasts(run: &Run<'_>, messages: &Messages) {
    run.screen
        .title("Mass messages: one terminal state for every recipient");
    let (first, second) = (&messages.first, &messages.second);
    let mut table = Table::new(&["terminal state", "forecast", "first", "forecast", "second"]);
    run.screen.note(&format!(
        "first: {}; second, the same week: {}",
        first.title, second.title
    ));
    let columns = [
        &first.forecast,
        &first.outcomes,
        &second.forecast,
        &second.outcomes,
    ];
    let figures = |of: [u64; 4]| of.map(|n| Cell::figure(count(n)));
    for state in first.outcomes.keys() {
        let of = columns.map(|column| column.get(state).copied().unwrap_or(0));
        if of.iter().any(|recipients| *recipients > 0) {
            let mut row = vec![Cell::word(state.clone())];
            row.extend(figures(of));
            table.row(row);
        }
    }
    let mut total = vec![Cell::word("their sum = the audience")];
    total.extend(figures(columns.map(|column| column.values().sum())));
    table.total(total);
    run.screen.table(&table);
    if let Some(death) = &messages.death {
        let cost = if run.checks.reconcile() {
            "; it cost nothing"
        } else {
            ""
        };
        run.screen.note(&format!("{death}{cost}"));
    }
}

fn books(run: &Run<'_>, ledger: &Ledger) {
    run.screen.title("Trial balance (CNY; debit +, credit −)");
    let mut table = Table::new(&["account", "", "accounts", "balance"]);
    for class in &ledger.classes {
        let meaning = match class.class.as_str() {
            "CLR" => "clearing: paid by buyers, less refunds",
            "MER" => "the brand's proceeds",
            "COM" => "cost of commissions",
            "HELD" => "owed to people, in the hold period",
            "AVAIL" => "owed to people, available",
            _ => "",
        };
        table.row(vec![
            Cell::word(class.class.clone()),
            Cell::word(meaning),
            Cell::figure(count(class.count)),
            Cell::figure(amount(class.balance.minor)),
        ]);
    }
    let sum = ledger.totals.iter().map(|total| total.minor).sum();
    table.total(vec![
        Cell::word("sum"),
        Cell::word(""),
        Cell::figure(""),
        Cell::figure(amount(sum)),
    ]);
    run.screen.table(&table);
}

fn earners(run: &Run<'_>, earners: &[Earner]) {
    run.screen.title("Top earners");
    let mut table = Table::new(&["person", "orders", "accrued", "reversed", "balance"]);
    for earner in earners.iter().take(EARNERS_SHOWN) {
        table.row(vec![
            Cell::word(earner.person.clone()),
            Cell::figure(count(earner.orders as u64)),
            Cell::figure(amount(earner.accrued)),
            Cell::figure(amount(-earner.reversed)),
            Cell::figure(amount(earner.accrued - earner.reversed)),
        ]);
    }
    run.screen.table(&table);
}

fn month(run: &Run<'_>, statement: &Statement) {
    run.screen.title(&format!(
        "Statement of {}, {}",
        statement.person,
        statement.month.strftime("%B %Y")
    ));
    let mut table = Table::new(&["day", "what", "order", "rule", "held", "available"]);
    let balance = |name: &str, credit: &Credit| {
        vec![
            Cell::word(""),
            Cell::word(name),
            Cell::word(""),
            Cell::word(""),
            Cell::figure(amount(credit.held_minor)),
            Cell::figure(amount(credit.available_minor)),
        ]
    };
    table.row(balance("opening", &statement.opening));
    for line in statement.lines.iter().take(LINES_SHOWN) {
        table.row(vec![
            Cell::word(line.day().to_string()),
            Cell::word(line.kind.clone()),
            Cell::word(line.order.clone()),
            Cell::word(line.rule.clone()),
            Cell::figure(amount(line.held_minor)),
            Cell::figure(amount(line.available_minor)),
        ]);
    }
    let more = statement.lines.len().saturating_sub(LINES_SHOWN);
    if more > 0 {
        table.row(vec![Cell::word(""), Cell::word(format!("… {more} more lines"))]);
    }
    table.total(balance("closing", &statement.closing));
    run.screen.table(&table);
}

fn places(run: &Run<'_>) {
    run.screen.title("Where to look");
    if !run.home.stays() {
        run.screen.note(&format!(
            "The stack stops now and keeps its data: `{}` starts it again, and KEEP=1 leaves it running.",
            run.home.verb("up")
        ));
    }
    let description = run.stack.description();
    let mut table = Table::new(&["", ""]);
    let mut place = |what: &str, how: String| table.row(vec![Cell::word(what), Cell::word(how)]);
    place("data", run.home.psql(&run.stack));
    place("events", run.home.tail());
    place("processes", run.home.status());
    place("logs", run.home.log());
    place("the bus", format!("{}/jsz", description.nats.http_url));
    for service in ["identity", "customers", "groups", "broadcast", "referral"] {
        place(service, format!("{}/openapi.json", run.api.url(service)));
    }
    run.screen.table(&table);
}

fn verdict(run: &Run<'_>) -> bool {
    let checks = &run.checks;
    let figures = count(checks.passed + checks.failed);
    if checks.reconcile() {
        run.screen.title(&format!("All {figures} figures reconcile."));
        return true;
    }
    run.screen.title(&format!(
        "{} of {figures} figures don't reconcile:",
        count(checks.failed)
    ));
    for mismatch in &checks.mismatches {
        run.screen.line(&format!("   {mismatch}"));
    }
    let untold = checks.failed - checks.mismatches.len() as u64;
    if untold > 0 {
        run.screen.line(&format!("   … and {} more", count(untold)));
    }
    false
}
