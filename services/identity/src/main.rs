//! Starts identity.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    identity::run(clap::Parser::parse()).await
}
