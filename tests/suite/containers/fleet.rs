//! The services as containers: two workers, and two replicas of what peers and customers ask most.
//!
//! Their ports are published where the stack's settings say. Towards each other they are on a network of their own,
//! under their services' names, so that a name with two replicas is answered by both and any can be cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::{StatusCode, Url};
use testcontainers::core::wait::ExitWaitStrategy;
use testcontainers::core::{AccessMode, ContainerPort, Mount, WaitFor};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};
use testkit::{ProcessDescription, READY, Stack, eventually_within, http};

use super::servers::published;

const HTTP: ContainerPort = ContainerPort::Tcp(8080);
const GRPC: ContainerPort = ContainerPort::Tcp(9090);
const OPS: ContainerPort = ContainerPort::Tcp(9464);
const ETC: &str = "/etc/shequn";
/// Beside the processes of the local stack.
const REPLICAS: [(&str, &str); 2] = [("customers-2", "customers"), ("groups-2", "groups")];
/// What a service may take, under load too.
const MEMORY_BYTES_MAX: i64 = 128 * 1024 * 1024;

/// Running containers by process name; they and their network go with this.
pub(super) struct Fleet<'a> {
    containers: BTreeMap<String, ContainerAsync<GenericImage>>,
    ready: BTreeMap<String, String>,
    pub(super) network: &'a Network,
}

impl<'a> Fleet<'a> {
    /// Migrates every schema, then starts all and waits until they are ready.
    pub(super) async fn start(stack: &Stack, network: &'a Network) -> anyhow::Result<Self> {
        let processes = &stack.description().processes;
        for (name, process) in processes
            .iter()
            .filter(|(name, process)| **name == process.service)
        {
            once(network, name, process, &["migrate"]).await?;
        }
        let reviewer = ["reviewer", "add", "--email", &stack.description().reviewer.email];
        once(network, "identity", &processes["identity"], &reviewer).await?;

        let mut fleet = Self {
            containers: BTreeMap::new(),
            ready: BTreeMap::new(),
            network,
        };
        for (name, process) in processes {
            let ports = [("http", HTTP), ("grpc", GRPC), ("ops", OPS)]
                .map(|(listener, inside)| (process.url(listener), inside));
            let published = published(served(network, process)?, &ports)?;
            fleet
                .run(name, &process.service, mode(name, process), published)
                .await?;
            fleet
                .ready
                .insert(name.clone(), format!("{}/health/ready", process.url("ops")));
        }
        for (name, service) in REPLICAS {
            let request = served(network, &processes[service])?;
            fleet.run(name, service, "serve", request).await?;
        }
        fleet.all_answer(StatusCode::OK, READY).await?;
        Ok(fleet)
    }

    async fn run(
        &mut self,
        name: &str,
        service: &str,
        mode: &str,
        request: ContainerRequest<GenericImage>,
    ) -> anyhow::Result<()> {
        let container = request.with_cmd([mode]).start().await;
        let container =
            container.with_context(|| format!("no container for {name}: `make images` builds its image"))?;
        self.network.connect(container.id(), service)?;
        self.containers.insert(name.to_owned(), container);
        Ok(())
    }

    /// Waits until the readiness check of every process of the local stack answers so.
    pub(super) async fn all_answer(&self, status: StatusCode, limit: Duration) -> anyhow::Result<()> {
        for name in self.ready.keys() {
            self.answers(name, status, limit).await?;
        }
        Ok(())
    }

    pub(super) async fn answers(
        &self,
        name: &str,
        status: StatusCode,
        limit: Duration,
    ) -> anyhow::Result<()> {
        let http = http();
        let asking = eventually_within(limit, async || {
            let answer = http.get(&self.ready[name]).send().await?;
            let told = answer.status();
            ensure!(told == status, "{told}: {}", answer.text().await?);
            anyhow::Ok(())
        });
        let Err(error) = asking.await else { return Ok(()) };
        let said = self.container(name)?.stdout_to_vec().await?;
        let said = String::from_utf8_lossy(&said);
        let last: Vec<&str> = said.lines().rev().take(5).collect();
        Err(error.context(format!("{name} is not {status}; it said: {last:#?}")))
    }

    /// Asserts that what runs are these containers, by their ids, each from its service's image.
    pub(super) async fn are_those_in_use(&self) -> anyhow::Result<()> {
        let ids: BTreeSet<&str> = self.containers.values().map(|container| container.id()).collect();
        ensure!(
            ids.len() == self.containers.len(),
            "one container is two: {ids:?}"
        );
        for (name, container) in &self.containers {
            ensure!(container.is_running().await?, "{name} does not run");
        }
        Ok(())
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.containers.keys().map(String::as_str)
    }

    pub(super) fn container(&self, name: &str) -> anyhow::Result<&ContainerAsync<GenericImage>> {
        self.containers
            .get(name)
            .with_context(|| format!("there is no container {name}"))
    }
}

fn mode(name: &str, process: &ProcessDescription) -> &'static str {
    if name == process.service {
        "serve"
    } else {
        "worker"
    }
}

/// A service's container, hardened as on Kubernetes, with the settings of the local stack as they are in here.
fn request(
    network: &Network,
    process: &ProcessDescription,
) -> anyhow::Result<ContainerRequest<GenericImage>> {
    let registry = std::env::var("SHEQUN_REGISTRY").unwrap_or_else(|_| "shequn".to_owned());
    let tag = std::env::var("SHEQUN_TAG").unwrap_or_else(|_| "dev".to_owned());
    let image = GenericImage::new(format!("{registry}/{}", process.binary), tag);
    let mut request: ContainerRequest<GenericImage> = image.into();
    for (name, value) in &process.env {
        if name.ends_with("_LISTEN") {
            continue; // the image says where
        }
        let value = match name.as_str() {
            "SHEQUN_SIGNING_KEY" | "SHEQUN_PEER_KEYS" | "SHEQUN_TLS_CERT" | "SHEQUN_TLS_KEY"
            | "SHEQUN_TLS_CA" => {
                let readable = readable(Path::new(value))?;
                // `keys` and `tls` of the stack's state have files of the same names.
                let mut parts = value.rsplit('/');
                let (file, folder) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
                let inside = format!("{ETC}/{folder}/{file}");
                let mount = Mount::bind_mount(readable.to_string_lossy(), &inside);
                request = request.with_mount(mount.with_access_mode(AccessMode::ReadOnly));
                inside
            }
            _ => network.inside(name, value)?,
        };
        request = request.with_env_var(name, value);
    }
    Ok(request
        .with_readonly_rootfs(true)
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges")
        .with_host_config_modifier(|host| {
            host.memory = Some(MEMORY_BYTES_MAX);
            host.memory_swap = Some(MEMORY_BYTES_MAX);
        }))
}

/// A copy of a key file for whoever the image runs as; the stack's own is for its owner alone.
fn readable(file: &Path) -> anyhow::Result<PathBuf> {
    let name = file.file_name().context("a file has a name")?.to_string_lossy();
    let copy = file.with_file_name(format!("{name}.readable"));
    std::fs::copy(file, &copy)?;
    std::fs::set_permissions(&copy, Permissions::from_mode(0o444))?;
    Ok(copy)
}

/// What serves is not told how to be the schema's owner, nor the reviewer's password.
fn served(network: &Network, process: &ProcessDescription) -> anyhow::Result<ContainerRequest<GenericImage>> {
    let mut process = process.clone();
    process.env.retain(|name, _| {
        !["SHEQUN_OWNER_DATABASE_URL", "SHEQUN_REVIEWER_PASSWORD"].contains(&name.as_str())
    });
    request(network, &process)
}

/// Runs a command that ends.
async fn once(
    network: &Network,
    name: &str,
    process: &ProcessDescription,
    command: &[&str],
) -> anyhow::Result<()> {
    let request = request(network, process)?.with_network(&network.name);
    let ended = WaitFor::exit(ExitWaitStrategy::new().with_exit_code(0));
    let container = request
        .with_cmd(command.iter().copied())
        .with_ready_conditions(vec![ended])
        .start()
        .await;
    container
        .map(drop)
        .with_context(|| format!("{name} {}", command.join(" ")))
}

/// A Docker network of the test's own.
pub(super) struct Network {
    pub(super) name: String,
}

impl Network {
    pub(super) fn create() -> anyhow::Result<Self> {
        let name = format!("shequn-{}", std::process::id());
        docker(&["network", "create", &name])?;
        Ok(Self { name })
    }

    /// Lets a container answer on this network to a name.
    pub(super) fn connect(&self, container: &str, name: &str) -> anyhow::Result<()> {
        docker(&["network", "connect", "--alias", name, &self.name, container])
    }

    pub(super) fn disconnect(&self, container: &str) -> anyhow::Result<()> {
        docker(&["network", "disconnect", &self.name, container])
    }

    /// A setting of the local stack as it is on this network.
    fn inside(&self, name: &str, value: &str) -> anyhow::Result<String> {
        let (host, port) = match name {
            "SHEQUN_DATABASE_URL" | "SHEQUN_OWNER_DATABASE_URL" => ("postgres", 5432),
            "SHEQUN_NATS_URL" => ("nats", 4222),
            // Its gRPC listener, which is the one with TLS.
            "SHEQUN_IDENTITY_URL" => ("identity", 9090),
            "SHEQUN_CUSTOMERS_GRPC" => ("customers", 9090),
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
        // It stays while a container is on it, which an interrupted run may leave; nothing depends on it.
        let _ = docker(&["network", "rm", &self.name]);
    }
}

pub(super) fn docker(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("docker")
        .args(arguments)
        .output()
        .context("docker")?;
    let words = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "docker {}: {words}", arguments.join(" "));
    Ok(())
}
