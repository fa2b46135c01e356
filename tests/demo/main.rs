//! `make demo`: a cosmetics brand's first weeks, told through the public APIs alone, and reconciled
//! to the last figure.

mod brand;
mod broadcast;
mod checks;
mod circle;
mod contacts;
mod crowd;
mod edges;
mod home;
mod inbox;
mod metrics;
mod options;
mod orders;
mod report;
mod run;
mod screen;
mod stickers;

use std::process::ExitCode;

use clap::Parser as _;

use crate::home::Home;
use crate::options::Options;
use crate::run::Run;
use crate::screen::Screen;

/// What a shell says of a program that was interrupted.
const INTERRUPTED: u8 = 130;

#[tokio::main]
async fn main() -> ExitCode {
    let screen = Screen::new();
    let home = Home::new(Options::parse());
    let told = tokio::select! {
        told = tell(&home, &screen) => Some(told),
        _ = tokio::signal::ctrl_c() => None,
    };
    let code = match &told {
        Some(Ok(true)) => ExitCode::SUCCESS,
        Some(Ok(false)) => ExitCode::FAILURE,
        Some(Err(error)) => {
            screen.failure(error);
            home.point_at_logs(&screen);
            ExitCode::FAILURE
        }
        None => {
            screen.line("");
            screen.line("Interrupted.");
            ExitCode::from(INTERRUPTED)
        }
    };
    match home.leave(&screen).await {
        Ok(()) => code,
        Err(error) => {
            screen.failure(&error);
            screen.note(&format!("`{}` stops what still runs", home.verb("down")));
            ExitCode::FAILURE
        }
    }
}

/// The story from the first process to the last figure; whether all of them reconcile.
async fn tell(home: &Home, screen: &Screen) -> anyhow::Result<bool> {
    screen.title("A cosmetics brand's first weeks, through the public APIs");
    // Before anything starts: nobody should wait a minute to hear of a wrong path.
    let rows = contacts::count_rows(&home.options.contacts)?;
    let orders = orders::read(&home.options.orders)?;
    let mut run = Run::begin(home, screen).await?;
    let shop = brand::open(&mut run).await?;
    let imported = contacts::import(&mut run, &shop, rows).await?;
    let friends = stickers::scan(&mut run, &shop, &imported).await?;
    circle::join(&mut run, &shop, &friends).await?;
    let messages = broadcast::send(&mut run, &shop, &friends).await?;
    let ledger = orders::settle(&mut run, &shop, orders).await?;
    edges::check(&mut run).await?;
    Ok(report::print(&run, &messages, &ledger))
}
