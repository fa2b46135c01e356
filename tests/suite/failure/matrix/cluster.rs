//! Three NATS servers in place of the stack's one, each stream on all of them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use testkit::{Description, eventually_within};
use tokio::process::{Child, Command};

const NODES: usize = 3;
const READY: Duration = Duration::from_secs(60);

pub(crate) struct Cluster {
    program: PathBuf,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    conf: PathBuf,
    http: u16,
    server: Option<Child>,
}

impl Cluster {
    /// Starts them where the stack's server, which was killed, listened; what it held is gone.
    pub(crate) async fn start(description: &Description, state: &Path) -> anyhow::Result<Self> {
        let conf = std::fs::read_to_string(state.join("nats.conf"))?;
        let first = description.nats.url.rsplit(':').next().context("a port")?;
        let first: u16 = first.parse()?;
        let routes = free_ports()?;
        let (clients, https) = (free_ports()?, free_ports()?);
        let all: Vec<String> = routes
            .iter()
            .map(|port| format!("\"nats://127.0.0.1:{port}\""))
            .collect();
        let nodes = (0..NODES)
            .map(|n| {
                let name = format!("node-{n}");
                let client = if n == 0 { first } else { clients[n] };
                let mut text = String::new();
                for line in conf.lines() {
                    let (word, _) = line.trim().split_once(':').unwrap_or_default();
                    text += &match word {
                        "server_name" => format!("server_name: {name}"),
                        "listen" => format!("listen: \"127.0.0.1:{client}\""),
                        "http" => format!("http: \"127.0.0.1:{}\"", https[n]),
                        "store_dir" => format!("  store_dir: \"{}\"", state.join(&name).display()),
                        _ => line.to_owned(),
                    };
                    text += "\n";
                }
                let (port, all) = (routes[n], all.join(", "));
                text +=
                    &format!("cluster {{ name: shequn, listen: \"127.0.0.1:{port}\", routes: [{all}] }}\n");
                let conf = state.join(format!("{name}.conf"));
                std::fs::write(&conf, text)?;
                anyhow::Ok(Node {
                    name,
                    conf,
                    http: https[n],
                    server: None,
                })
            })
            .collect::<anyhow::Result<_>>()?;
        let mut cluster = Self {
            program: description.nats.server.clone(),
            nodes,
        };
        for n in 0..NODES {
            cluster.run(n)?;
        }
        cluster.is_whole().await?;
        Ok(cluster)
    }

    /// Starts whichever do not run, and waits until all serve streams.
    pub(crate) async fn heal(&mut self) -> anyhow::Result<()> {
        for n in 0..NODES {
            if self.nodes[n].server.is_none() {
                self.run(n)?;
            }
        }
        self.is_whole().await
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, name: &str) -> anyhow::Result<()> {
        let node = self.nodes.iter_mut().find(|node| node.name == name);
        let server = node.and_then(|node| node.server.take());
        Ok(server
            .with_context(|| format!("{name} does not run"))?
            .kill()
            .await?)
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.nodes.iter().map(|node| node.name.clone()).collect()
    }

    fn run(&mut self, n: usize) -> anyhow::Result<()> {
        let node = &mut self.nodes[n];
        let log = std::fs::File::options()
            .create(true)
            .append(true)
            .open(node.conf.with_extension("log"))?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&node.conf).kill_on_drop(true);
        node.server = Some(command.stdout(log.try_clone()?).stderr(log).spawn()?);
        Ok(())
    }

    async fn is_whole(&self) -> anyhow::Result<()> {
        let http = testkit::http();
        for node in &self.nodes {
            let url = format!("http://127.0.0.1:{}/healthz", node.http);
            eventually_within(READY, async || {
                let status = http.get(&url).send().await?.status();
                ensure!(status.is_success(), "{}: {status}", node.name);
                anyhow::Ok(())
            })
            .await?;
        }
        Ok(())
    }
}

fn free_ports() -> anyhow::Result<Vec<u16>> {
    // All held at once, or two would be the same.
    let listeners: Vec<_> = (0..NODES)
        .map(|_| TcpListener::bind("127.0.0.1:0"))
        .collect::<Result<_, _>>()?;
    Ok(listeners
        .iter()
        .map(|listener| listener.local_addr().map(|address| address.port()))
        .collect::<Result<_, _>>()?)
}
