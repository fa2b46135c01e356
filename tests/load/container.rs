//! From `docker run` of a service's image until it is ready, with Postgres and NATS as they are for its process.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use testkit::{ProcessDescription, Set, http, succeed};
use tokio::process::Command;

use crate::figure::{Figures, median};
use crate::process::{SERVICES, STARTS};

const READY: Duration = Duration::from_secs(30);
const ASKED_EVERY: Duration = Duration::from_millis(5);
const MEMORY_MAX: &str = "128m";
/// What only the schema's owner and the one who installs need.
const WITHHELD: [&str; 2] = ["SHEQUN_OWNER_DATABASE_URL", "SHEQUN_REVIEWER_PASSWORD"];

/// `run.sh` names the images it built, if it could build any.
#[expect(clippy::print_stdout, reason = "says what the table lacks")]
pub(crate) async fn measure(set: &mut Set, figures: &mut Figures) -> anyhow::Result<()> {
    let Ok(tag) = std::env::var("SHEQUN_BENCH_TAG") else {
        println!("container_ready_s is skipped: no Docker engine answers");
        return Ok(());
    };
    for service in SERVICES {
        let process = set.stack().process(service).clone();
        set.terminate(service).await?;
        let mut starts = Vec::with_capacity(STARTS);
        for n in 0..STARTS {
            let name = format!("shequn-bench-{}-{service}-{n}", std::process::id());
            let ready = start(&process, &name, &tag).await;
            let said = docker(&["logs", &name]).await.unwrap_or_default();
            docker(&["rm", "--force", &name]).await?;
            starts.push(ready.with_context(|| said)?);
        }
        set.run(service, None).await?;
        figures.add(
            &format!("container_ready_s_{service}"),
            median(&starts),
            "s",
            None,
        )?;
    }
    Ok(())
}

/// Starts a container, hardened as on Kubernetes, on the host's network; seconds until it is ready.
async fn start(process: &ProcessDescription, name: &str, tag: &str) -> anyhow::Result<f64> {
    let mut arguments: Vec<String> = ["run", "--detach", "--name", name, "--network", "host"]
        .map(str::to_owned)
        .into();
    for flag in [
        "--read-only",
        "--cap-drop=ALL",
        "--security-opt=no-new-privileges",
    ] {
        arguments.push(flag.to_owned());
    }
    arguments.push(format!("--memory={MEMORY_MAX}"));
    for (variable, value) in &process.env {
        if WITHHELD.contains(&variable.as_str()) {
            continue;
        }
        // The value is taken from the client's own environment, where no list of processes shows it.
        arguments.push(format!("--env={variable}"));
        if ["SHEQUN_SIGNING_KEY", "SHEQUN_PEER_KEYS"].contains(&variable.as_str()) {
            let copy = readable(Path::new(value))?;
            arguments.push(format!("--volume={copy}:{value}:ro"));
        }
    }
    arguments.push(format!("shequn/{}:{tag}", process.binary));
    let url = format!("{}/health/ready", process.url("ops"));
    let (http, began) = (http(), Instant::now());
    let mut command = Command::new("docker");
    command.args(arguments).envs(&process.env);
    succeed(command).await?;
    loop {
        if http
            .get(&url)
            .send()
            .await
            .is_ok_and(|answer| answer.status().is_success())
        {
            return Ok(began.elapsed().as_secs_f64());
        }
        ensure!(began.elapsed() < READY, "{name} is not ready after {READY:?}");
        tokio::time::sleep(ASKED_EVERY).await;
    }
}

/// A copy of a key file for whoever the image runs as; the stack's own is for its owner alone.
fn readable(file: &Path) -> anyhow::Result<String> {
    let copy = file.with_extension("readable");
    std::fs::copy(file, &copy)?;
    std::fs::set_permissions(&copy, Permissions::from_mode(0o444))?;
    Ok(copy.display().to_string())
}

/// Runs it; what it said.
async fn docker(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    ensure!(output.status.success(), "docker {}: {said}", arguments[0]);
    Ok(said)
}
