//! A Prometheus of the test's own, on a free loopback port, scraping what it is told to.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context as _, ensure};
use serde_json::Value;
use testkit::{Stack, eventually};
use tokio::process::{Child, Command};

use super::{folder, read};

pub(super) const REMEDY: &str = "apt-get install --no-install-recommends prometheus";
/// What the file for a cluster has, and a test must do without: Debian's build knows no Kubernetes.
const IN_CLUSTER: &str = "kubernetes_sd_configs: [{role: pod}]";
const INTERVAL: &str = "15s";

pub(super) struct Prometheus {
    url: String,
    http: reqwest::Client,
    home: PathBuf,
    _process: Child,
}

impl Prometheus {
    /// Scrapes every process of the stack each second, through the relabelling that a cluster's pods go through.
    pub(super) async fn start(stack: &Stack) -> anyhow::Result<Self> {
        let home = stack.state().join(format!("prometheus-{}", std::process::id()));
        std::fs::create_dir_all(&home)?;
        std::fs::write(home.join("prometheus.yaml"), configuration(stack)?)?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let log = std::fs::File::create(home.join("log"))?;
        let process = Command::new("prometheus")
            .arg("--config.file=prometheus.yaml")
            .arg("--storage.tsdb.path=data")
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(&home)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("prometheus is missing; remedy: {REMEDY}"))?;
        let prometheus = Self {
            url: format!("http://127.0.0.1:{port}"),
            http: testkit::http(),
            home,
            _process: process,
        };
        let ready = format!("{}/-/ready", prometheus.url);
        eventually(async || {
            let answer = prometheus.http.get(&ready).send().await?;
            ensure!(answer.status().is_success(), "{}", answer.status());
            anyhow::Ok(())
        })
        .await
        .with_context(|| std::fs::read_to_string(prometheus.home.join("log")).unwrap_or_default())?;
        Ok(prometheus)
    }

    /// What a query of its API answers.
    pub(super) async fn ask(&self, path: &str, parameters: &[(&str, &str)]) -> anyhow::Result<Value> {
        let url = format!("{}/api/v1/{path}", self.url);
        let answer: Value = self.http.get(&url).query(parameters).send().await?.json().await?;
        ensure!(
            answer["status"] == "success",
            "{}: {}",
            answer["errorType"],
            answer["error"]
        );
        Ok(answer["data"].clone())
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        // Its process may still write; what stays is wiped with the stack.
        let _ = std::fs::remove_dir_all(&self.home);
    }
}

/// deploy/observability/prometheus.yaml with this stack's processes in the place of a cluster's pods.
fn configuration(stack: &Stack) -> anyhow::Result<String> {
    let text = read("prometheus.yaml");
    for known in [IN_CLUSTER, INTERVAL, "[alerts/*.yaml]"] {
        ensure!(text.contains(known), "prometheus.yaml does not say {known}");
    }
    let targets: Vec<String> = stack.description().processes.iter().map(target).collect();
    let rules = folder().join("alerts/*.yaml");
    Ok(text
        .replace(IN_CLUSTER, &format!("static_configs:\n{}", targets.concat()))
        .replace(INTERVAL, "1s")
        .replace("alerts/*.yaml", &rules.to_string_lossy()))
}

fn target((name, process): (&String, &testkit::ProcessDescription)) -> String {
    let is_worker = *name != process.service;
    let (component, pods) = match is_worker {
        true => ("worker", format!("{}-worker", process.binary)),
        false => ("api", process.binary.clone()),
    };
    format!(
        "  - targets: ['127.0.0.1:{port}']
    labels:
      __meta_kubernetes_namespace: shequn-test
      __meta_kubernetes_pod_name: {name}
      __meta_kubernetes_pod_container_port_name: ops
      __meta_kubernetes_pod_label_app_kubernetes_io_name: {pods}
      __meta_kubernetes_pod_label_app_kubernetes_io_component: {component}
      __meta_kubernetes_pod_label_app_kubernetes_io_part_of: shequn
",
        port = process.ports["ops"],
    )
}
