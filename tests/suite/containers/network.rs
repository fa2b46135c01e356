//! The Docker networks that the containers meet on: one to each of what a service may lose.

use std::process::Command;

use anyhow::{Context as _, ensure};
use reqwest::Url;

/// What a service reaches over a network of its own, so that it can be cut off from that alone.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line {
    Peers,
    Postgres,
    Nats,
}

impl Line {
    pub(super) const ALL: [Self; 3] = [Self::Peers, Self::Postgres, Self::Nats];
}

/// The test's own networks.
pub(super) struct Network {
    name: String,
}

impl Network {
    pub(super) async fn create() -> anyhow::Result<Self> {
        let network = Self {
            name: format!("shequn-{}", std::process::id()),
        };
        for line in Line::ALL {
            docker(&["network", "create", &network.of(line)]).await?;
        }
        Ok(network)
    }

    /// The name of one of them.
    pub(super) fn of(&self, line: Line) -> String {
        let line = match line {
            Line::Peers => "peers",
            Line::Postgres => "postgres",
            Line::Nats => "nats",
        };
        format!("{}-{line}", self.name)
    }

    /// Lets a container onto it. Among its peers it answers to this name, which replicas share.
    pub(super) async fn connect(&self, line: Line, container: &str, name: &str) -> anyhow::Result<()> {
        docker(&["network", "connect", "--alias", name, &self.of(line), container]).await
    }

    pub(super) async fn disconnect(&self, line: Line, container: &str) -> anyhow::Result<()> {
        docker(&["network", "disconnect", &self.of(line), container]).await
    }

    /// A setting of the local stack as it is on these networks.
    pub(super) fn inside(&self, name: &str, value: &str) -> anyhow::Result<String> {
        let (host, port) = match name {
            "SHEQUN_DATABASE_URL" | "SHEQUN_OWNER_DATABASE_URL" => ("postgres", 5432),
            "SHEQUN_NATS_URL" => ("nats", 4222),
            // Its gRPC listener, which is the one with TLS.
            "SHEQUN_IDENTITY_URL" => ("identity", 9090),
            "SHEQUN_CUSTOMERS_GRPC" => ("customers", 9090),
            "SHEQUN_GROUPS_GRPC" => ("groups", 9090),
            _ => return Ok(value.to_owned()),
        };
        let mut url: Url = value.parse().with_context(|| format!("{name} is no URL"))?;
        url.set_host(Some(host))?;
        ensure!(url.set_port(Some(port)).is_ok(), "{name} takes no port");
        Ok(url.as_str().trim_end_matches('/').to_owned())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for line in Line::ALL {
            // It stays while a container is on it, which an interrupted run may leave; nothing depends on it.
            let _ = Command::new("docker")
                .args(["network", "rm", &self.of(line)])
                .output();
        }
    }
}

pub(super) async fn docker(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = tokio::process::Command::new("docker");
    let output = command.args(arguments).output().await.context("docker")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {words}", arguments.join(" "));
    Ok(())
}
