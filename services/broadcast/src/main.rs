//! Starts broadcast.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    broadcast::run(clap::Parser::parse()).await
}
