//! Starts referral-commission.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    referral_commission::run(clap::Parser::parse()).await
}
