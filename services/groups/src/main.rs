//! Starts groups.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    groups::run(clap::Parser::parse()).await
}
