//! Postgres and NATS as two containers that stand where a stack's settings say the servers are.

use std::collections::HashMap;

use super::network::{Line, Network};
use anyhow::{Context as _, ensure};
use reqwest::Url;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};
use testcontainers::core::ContainerPort;
use testcontainers::core::client::docker_client_instance;
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, CopyTargetOptions, GenericImage, ImageExt as _};
use testkit::{Stack, eventually, http, repository, stack_py};

const POSTGRES: ContainerPort = ContainerPort::Tcp(5432);
const NATS: ContainerPort = ContainerPort::Tcp(4222);
const NATS_HTTP: ContainerPort = ContainerPort::Tcp(8222);
const NO_CONTAINER: &str = "no container; where no image can be pulled, `make images ONLY=base` builds it";

/// Both containers and the settings of the services; all of it goes when this does.
pub(super) struct Servers {
    pub(super) postgres: ContainerAsync<GenericImage>,
    pub(super) nats: ContainerAsync<GenericImage>,
    pub(super) stack: Stack,
    /// Other ports for the same processes: where second replicas are.
    pub(super) second: Stack,
}

/// Whether a Docker engine answers.
pub(super) async fn engine() -> anyhow::Result<()> {
    docker_client_instance().await?.ping().await?;
    Ok(())
}

impl Servers {
    pub(super) async fn start(network: &Network) -> anyhow::Result<Self> {
        let (stack, second) = (configured("containers")?, configured("second")?);
        let (postgres, nats) = tokio::try_join!(postgres(&stack), nats(&stack))?;
        network.connect(Line::Postgres, postgres.id(), "postgres").await?;
        network.connect(Line::Nats, nats.id(), "nats").await?;
        let servers = Self {
            postgres,
            nats,
            stack,
            second,
        };
        servers.ready().await?;
        stack_py(servers.stack.state(), &["provision"])?;
        Ok(servers)
    }

    async fn ready(&self) -> anyhow::Result<()> {
        let description = self.stack.description();
        // Its own database; provisioning makes the one that the address names.
        let options: PgConnectOptions = description.postgres.superuser_url.parse()?;
        let options = options.database("postgres");
        eventually(async || options.connect().await)
            .await
            .context("Postgres does not answer")?;
        let health = format!("{}/healthz", description.nats.http_url);
        let http = http();
        eventually(async || http.get(&health).send().await?.error_for_status())
            .await
            .context("NATS does not answer")?;
        Ok(())
    }

    /// Asserts that what answers at the services' addresses are these containers, by their ids.
    pub(super) async fn are_those_in_use(&self) -> anyhow::Result<()> {
        let (postgres, nats) = (self.postgres.id(), self.nats.id());
        for id in [postgres, nats] {
            ensure!(
                id.len() == 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit()),
                "{id}"
            );
        }
        ensure!(postgres != nats, "one container is both");

        // A container's host name begins its id.
        let url = &self.stack.description().postgres.superuser_url;
        let mut connection = sqlx::PgConnection::connect(url).await?;
        let host: String = sqlx::query_scalar("select trim(pg_read_file('/etc/hostname'), E'\\n')")
            .fetch_one(&mut connection)
            .await?;
        ensure!(
            postgres.starts_with(&host),
            "Postgres is on {host}, not in {postgres}"
        );

        // The server that tells its id over HTTP said the same in the container's log.
        let url = format!("{}/varz", self.stack.description().nats.http_url);
        let told: serde_json::Value = http().get(url).send().await?.json().await?;
        let server = told["server_id"].as_str().context("NATS tells no id")?;
        let log = String::from_utf8(self.nats.stderr_to_vec().await?)?;
        ensure!(log.contains(server), "NATS {server} is not in {nats}: {log}");
        ensure!(told["jetstream"]["config"]["sync_always"] == true, "{told}");
        Ok(())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        if std::env::var_os("SHEQUN_TEST_KEEP").is_none() {
            // Settings of servers that are going: nothing depends on it.
            for stack in [&self.stack, &self.second] {
                let _ = std::fs::remove_dir_all(stack.state());
            }
        }
    }
}

fn configured(name: &str) -> anyhow::Result<Stack> {
    let state = repository().join(format!(".shequn/private/{name}-{}", std::process::id()));
    stack_py(&state, &["configure", "--tls"])?;
    Stack::at(&state)
}

async fn postgres(stack: &Stack) -> anyhow::Result<ContainerAsync<GenericImage>> {
    let address = &stack.description().postgres.superuser_url;
    let url: Url = address.parse()?;
    request("SHEQUN_POSTGRES_IMAGE", "postgres:18", &[(address, POSTGRES)])?
        .with_env_var("POSTGRES_PASSWORD", url.password().context("no password")?)
        .with_env_var(
            "POSTGRES_INITDB_ARGS",
            "--locale-provider=builtin --builtin-locale=C.UTF-8",
        )
        .with_cmd(["-c", "max_connections=300"])
        .start()
        .await
        .context(NO_CONTAINER)
}

async fn nats(stack: &Stack) -> anyhow::Result<ContainerAsync<GenericImage>> {
    let description = &stack.description().nats;
    let ports = [(&description.url, NATS), (&description.http_url, NATS_HTTP)];
    // Readable for the image's user, whoever that is.
    let inside = CopyTargetOptions::new("/etc/nats/nats.conf").with_mode(0o644);
    request("SHEQUN_NATS_IMAGE", "nats:2.15", &ports)?
        .with_cmd(["--config", inside.target()])
        .with_copy_to(inside.clone(), stack.state().join("nats.conf"))
        .start()
        .await
        .context(NO_CONTAINER)
}

/// The image that a variable names, or the official one, with its ports published where the
/// stack's addresses point, on loopback alone.
fn request(
    variable: &str,
    official: &str,
    ports: &[(&String, ContainerPort)],
) -> anyhow::Result<ContainerRequest<GenericImage>> {
    let image = std::env::var(variable).unwrap_or_else(|_| official.to_owned());
    let (name, tag) = image
        .rsplit_once(':')
        .with_context(|| format!("{image} has no tag"))?;
    published(GenericImage::new(name, tag).into(), ports, None)
}

/// With its ports published where these addresses point, on loopback alone, and no more memory than this. A request has
/// one modifier: a second one would replace the first.
pub(super) fn published<A: AsRef<str>>(
    mut request: ContainerRequest<GenericImage>,
    ports: &[(A, ContainerPort)],
    memory_bytes_max: Option<i64>,
) -> anyhow::Result<ContainerRequest<GenericImage>> {
    for (address, inside) in ports {
        let address = address.as_ref();
        let outside = address
            .parse::<Url>()?
            .port()
            .context("an address without a port")?;
        request = request.with_mapped_port(outside, *inside);
    }
    Ok(request.with_host_config_modifier(move |host| {
        (host.memory, host.memory_swap) = (memory_bytes_max, memory_bytes_max);
        let bindings = host.port_bindings.iter_mut().flat_map(HashMap::values_mut);
        for binding in bindings.flatten().flatten() {
            binding.host_ip = Some("127.0.0.1".to_owned());
        }
    }))
}
