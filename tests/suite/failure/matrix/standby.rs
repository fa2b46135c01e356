//! A second Postgres that follows the first synchronously, to fail over to.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Url;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Executor as _};
use testkit::{Description, eventually_within, succeed};
use tokio::process::{Child, Command};

const FOLLOWS: Duration = Duration::from_secs(60);

pub(crate) struct Standby {
    pub(crate) address: SocketAddr,
    /// It, as superuser.
    url: Url,
    _server: Child,
}

impl Standby {
    /// Copies the running server and follows it: from now on nothing is committed that the copy has not.
    pub(crate) async fn follow(description: &Description, state: &Path) -> anyhow::Result<Self> {
        let mut url: Url = description.postgres.superuser_url.parse()?;
        let primary = url.clone();
        let data = state.join("standby");
        copy(&description.postgres.bin, &primary, &data).await?;
        // Taken by nobody else before it is started.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        url.set_port(Some(address.port()))
            .map_err(|()| anyhow::anyhow!("{url} takes no port"))?;
        let server = serve(&description.postgres.bin, &data, address)?;
        let mut connection = primary.as_str().parse::<PgConnectOptions>()?.connect().await?;
        connection
            .execute("alter system set synchronous_standby_names = '*'")
            .await?;
        connection.execute("select pg_reload_conf()").await?;
        eventually_within(FOLLOWS, async || {
            let follows = "select count(*) from pg_stat_replication where sync_state = 'sync'";
            let follows: i64 = sqlx::query_scalar(follows).fetch_one(&mut connection).await?;
            ensure!(follows == 1, "the standby does not follow yet");
            anyhow::Ok(())
        })
        .await?;
        Ok(Self {
            address,
            url,
            _server: server,
        })
    }

    /// Makes it the one that is written to.
    pub(crate) async fn promote(&self) -> anyhow::Result<()> {
        let options: PgConnectOptions = self.url.as_str().parse()?;
        let mut connection = options.connect().await?;
        let is_promoted: bool = sqlx::query_scalar("select pg_promote()")
            .fetch_one(&mut connection)
            .await?;
        ensure!(is_promoted, "the standby was not promoted in time");
        Ok(())
    }
}

async fn copy(bin: &Path, primary: &Url, data: &Path) -> anyhow::Result<()> {
    let mut copy = Command::new(bin.join("pg_basebackup"));
    copy.args([
        "--pgdata",
        data.to_str().context("a path in UTF-8")?,
        "--checkpoint=fast",
        "--wal-method=stream",
    ])
    .args(["--write-recovery-conf", "--dbname", primary.as_str()]);
    succeed(copy).await
}

/// Postgres refuses to run as root: in a user namespace it sees another user.
fn serve(bin: &Path, data: &Path, address: SocketAddr) -> anyhow::Result<Child> {
    let postgres: PathBuf = bin.join("postgres");
    let is_root = std::fs::metadata("/proc/self")?.uid() == 0;
    let mut command = if is_root {
        let mut command = Command::new("unshare");
        command
            .args(["--user", "--map-user=1", "--map-group=1", "--"])
            .arg(postgres);
        command
    } else {
        Command::new(postgres)
    };
    let log = std::fs::File::create(data.with_extension("log"))?;
    command
        .arg("-D")
        .arg(data)
        .args([
            "-c",
            &format!("port={}", address.port()),
            "-c",
            "synchronous_standby_names=",
        ])
        .stdout(log.try_clone()?)
        .stderr(log)
        .kill_on_drop(true);
    Ok(command.spawn()?)
}
