//! The figures of a run: a line each in `target/bench.jsonl`, and a table at the end.

use std::fs::File;
use std::io::Write as _;

use anyhow::Context as _;
use serde::Serialize;
use testkit::repository;

/// One measured figure; `ratio` is value ÷ baseline.
#[derive(Serialize)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) baseline: Option<f64>,
    pub(crate) ratio: Option<f64>,
    pub(crate) machine: String,
}

/// What was measured so far.
pub(crate) struct Figures {
    lines: File,
    figures: Vec<Figure>,
    machine: String,
}

impl Figures {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let path = repository().join("target/bench.jsonl");
        let lines = File::options()
            .create(true)
            .append(true)
            .open(&path)
            .context("target/bench.jsonl")?;
        Ok(Self {
            lines,
            figures: Vec::new(),
            machine: machine()?,
        })
    }

    pub(crate) fn add(
        &mut self,
        name: &str,
        value: f64,
        unit: &'static str,
        baseline: Option<f64>,
    ) -> anyhow::Result<()> {
        let figure = Figure {
            name: name.to_owned(),
            value,
            unit,
            baseline,
            ratio: baseline.map(|baseline| value / baseline),
            machine: self.machine.clone(),
        };
        writeln!(self.lines, "{}", serde_json::to_string(&figure)?)?;
        self.figures.push(figure);
        Ok(())
    }

    #[expect(clippy::print_stdout, reason = "the result of a command line")]
    pub(crate) fn print(&self) -> anyhow::Result<()> {
        println!(
            "\n{}\n{:<40}{:>12} {:<6}{:>12}{:>8}",
            self.machine, "figure", "value", "unit", "baseline", "ratio"
        );
        let optional =
            |value: Option<f64>, decimals| value.map_or(String::new(), |value| format!("{value:.decimals$}"));
        for figure in &self.figures {
            println!(
                "{:<40}{:>12} {:<6}{:>12}{:>8}",
                figure.name,
                optional(Some(figure.value), if figure.value < 10.0 { 2 } else { 1 }),
                figure.unit,
                optional(figure.baseline, 1),
                optional(figure.ratio, 2)
            );
        }
        Ok(())
    }
}

/// The middle one of an odd number of values, or the mean of the two middle ones.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let half = sorted.len() / 2;
    if sorted.len() % 2 == 1 {
        sorted[half]
    } else {
        f64::midpoint(sorted[half - 1], sorted[half])
    }
}

fn machine() -> anyhow::Result<String> {
    let cpus = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = cpus
        .lines()
        .find_map(|line| {
            line.strip_prefix("model name")?
                .split_once(": ")
                .map(|(_, name)| name)
        })
        .unwrap_or("unknown processor");
    let cores = std::thread::available_parallelism()?;
    Ok(format!("{cores} × {}", model.trim()))
}
