//! The services as containers: two workers, and two replicas of each API.
//!
//! The ports of the first are published where the stack's settings say, those of the second at ports of their own.
//! Towards each other they answer to their services' names, so that any replica may be asked, and any cut off.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use reqwest::StatusCode;
use testcontainers::core::client::docker_client_instance;
use testcontainers::core::{AccessMode, ContainerPort, Mount};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};
use testkit::{ProcessDescription, READY, eventually_within, http};

use super::network::{Line, Network};
use super::servers::{Servers, published};

const HTTP: ContainerPort = ContainerPort::Tcp(8080);
const GRPC: ContainerPort = ContainerPort::Tcp(9090);
const OPS: ContainerPort = ContainerPort::Tcp(9464);
const ETC: &str = "/etc/shequn";
/// What a service may take, under load too.
pub(super) const MEMORY_BYTES_MAX: i64 = 128 * 1024 * 1024;
/// How long a replica that was told to end serves those who have not noticed.
const LEAVE_SECS: &str = "2";
/// SIGTERM to the end at its worst: leave, drain, flush, and what is said last.
const END_SECS_MAX: i32 = 45;

/// Running containers by process name; they and their network go with this.
pub(super) struct Fleet<'a> {
    containers: BTreeMap<String, ContainerAsync<GenericImage>>,
    ready: BTreeMap<String, String>,
    pub(super) network: &'a Network,
}

/// A container that is to run.
struct Plan {
    name: String,
    service: String,
    mode: &'static str,
    request: ContainerRequest<GenericImage>,
}

impl<'a> Fleet<'a> {
    /// Migrates every schema, then starts all and waits until they are ready.
    pub(super) async fn start(servers: &Servers, network: &'a Network) -> anyhow::Result<Self> {
        let first = servers.stack.description();
        let services = || {
            let processes = first.processes.iter();
            processes.filter(|(name, process)| **name == process.service)
        };
        try_join_all(services().map(|(name, process)| once(network, name, process, &["migrate"]))).await?;
        let reviewer = ["reviewer", "add", "--email", &first.reviewer.email];
        once(network, "identity", &first.processes["identity"], &reviewer).await?;

        let mut fleet = Self {
            containers: BTreeMap::new(),
            ready: BTreeMap::new(),
            network,
        };
        let mut plans = Vec::new();
        for (name, process) in &first.processes {
            plans.push(fleet.plan(name, process, process)?);
        }
        for (name, process) in services() {
            let second = &servers.second.description().processes[name];
            plans.push(fleet.plan(&format!("{name}-2"), process, second)?);
        }
        fleet.containers = try_join_all(plans.into_iter().map(|plan| run(network, plan)))
            .await?
            .into_iter()
            .collect();
        fleet.all_answer(StatusCode::OK, READY).await?;
        Ok(fleet)
    }

    /// With the settings of one process, at the ports of another.
    fn plan(
        &mut self,
        name: &str,
        process: &ProcessDescription,
        at: &ProcessDescription,
    ) -> anyhow::Result<Plan> {
        let ports = [("http", HTTP), ("grpc", GRPC), ("ops", OPS)]
            .map(|(listener, inside)| (at.url(listener), inside));
        self.ready
            .insert(name.to_owned(), format!("{}/health/ready", at.url("ops")));
        Ok(Plan {
            name: name.to_owned(),
            service: process.service.clone(),
            mode: if name.contains("-worker-") {
                "worker"
            } else {
                "serve"
            },
            request: published(served(self.network, process)?, &ports, Some(MEMORY_BYTES_MAX))?,
        })
    }

    /// As Kubernetes ends a pod and starts the next: SIGTERM, the end by itself and without a fault, a start.
    pub(super) async fn restart(&self, name: &str) -> anyhow::Result<()> {
        let container = self.container(name)?;
        container.stop_with_timeout(Some(END_SECS_MAX)).await?;
        let code = container.exit_code().await?;
        ensure!(
            code == Some(0),
            "{name} ended with {code:?}: {:#?}",
            self.last_words(name).await?
        );
        container.start().await?;
        self.answers(name, StatusCode::OK, READY).await
    }

    /// Waits until the readiness check of every container answers so.
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
        let last = self.last_words(name).await?;
        Err(error.context(format!("{name} is not {status}; it said: {last:#?}")))
    }

    async fn last_words(&self, name: &str) -> anyhow::Result<Vec<String>> {
        let said = self.container(name)?.stdout_to_vec().await?;
        let said = String::from_utf8_lossy(&said);
        Ok(said.lines().rev().take(5).map(str::to_owned).collect())
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

    /// Whether it runs, and never was ended by the kernel for the memory it took.
    pub(super) async fn is_whole(&self, name: &str) -> anyhow::Result<bool> {
        let docker = docker_client_instance().await?;
        let told = docker.inspect_container(self.container(name)?.id(), None).await?;
        let state = told.state.context("no state")?;
        Ok(state.running == Some(true) && state.oom_killed == Some(false))
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

async fn run(network: &Network, plan: Plan) -> anyhow::Result<(String, ContainerAsync<GenericImage>)> {
    let Plan {
        name,
        service,
        mode,
        request,
    } = plan;
    let container = request.with_cmd([mode]).start().await;
    let container =
        container.with_context(|| format!("no container for {name}: `make images` builds its image"))?;
    network.connect(Line::Peers, container.id(), &service).await?;
    for server in [Line::Postgres, Line::Nats] {
        // Under its own name: nobody looks for a peer there.
        network.connect(server, container.id(), &name).await?;
    }
    Ok((name, container))
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
    if !copy.exists() {
        std::fs::copy(file, &copy)?;
        std::fs::set_permissions(&copy, Permissions::from_mode(0o444))?;
    }
    Ok(copy)
}

/// What serves is not told how to be the schema's owner, nor the reviewer's password.
fn served(network: &Network, process: &ProcessDescription) -> anyhow::Result<ContainerRequest<GenericImage>> {
    let mut process = process.clone();
    process.env.retain(|name, _| {
        !["SHEQUN_OWNER_DATABASE_URL", "SHEQUN_REVIEWER_PASSWORD"].contains(&name.as_str())
    });
    Ok(request(network, &process)?.with_env_var("SHEQUN_LEAVE_SECS", LEAVE_SECS))
}

/// Runs a command that ends.
async fn once(
    network: &Network,
    name: &str,
    process: &ProcessDescription,
    command: &[&str],
) -> anyhow::Result<()> {
    let request = request(network, process)?.with_network(network.of(Line::Postgres));
    let container = request.with_cmd(command.iter().copied()).start().await?;
    let ending = eventually_within(READY, async || {
        let code = container.exit_code().await?;
        ensure!(code == Some(0), "its exit code is {code:?}");
        anyhow::Ok(())
    });
    let Err(error) = ending.await else { return Ok(()) };
    let (out, err) = (container.stdout_to_vec().await?, container.stderr_to_vec().await?);
    let said = String::from_utf8_lossy(&[out, err].concat()).into_owned();
    Err(error.context(format!("{name} {}; it said: {said}", command.join(" "))))
}
