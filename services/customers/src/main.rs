//! Starts customers.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    customers::run(clap::Parser::parse()).await
}
