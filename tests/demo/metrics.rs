//! What the processes count of themselves, in Prometheus' text format.

use anyhow::Context as _;
use client::Api;
use testkit::Stack;

/// The figures of one process at one moment.
pub(crate) struct Metrics {
    text: String,
}

impl Metrics {
    /// Reads them from the process's ops listener.
    pub(crate) async fn of(stack: &Stack, api: &Api, process: &str) -> anyhow::Result<Self> {
        let url = format!("{}/metrics", stack.process(process).url("ops"));
        let answer = api.http().get(&url).send().await.with_context(|| url.clone())?;
        let text = answer.error_for_status()?.text().await?;
        Ok(Self { text })
    }

    /// The sum of a counter's series that carry these labels.
    pub(crate) fn sum(&self, name: &str, labels: &[(&str, &str)]) -> u64 {
        let labels: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let series = self.text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let own = series.strip_prefix(name)?.strip_prefix('{')?;
            labels
                .iter()
                .all(|label| own.contains(label))
                .then(|| value.parse::<u64>().ok())?
        });
        series.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_with_the_labels_are_summed() {
        let text = "\
# TYPE calls_total counter
calls_total{method=\"Get\",status=\"0\"} 1200
calls_total{status=\"0\",method=\"Get\",peer=\"groups\"} 7
calls_total{method=\"Get\",status=\"5\"} 3
calls_total_bucket{method=\"Get\",status=\"0\",le=\"0.1\"} 900
";
        let metrics = Metrics {
            text: text.to_owned(),
        };
        assert_eq!(
            metrics.sum("calls_total", &[("method", "Get"), ("status", "0")]),
            1_207
        );
        assert_eq!(metrics.sum("calls_total", &[("method", "Put")]), 0);
        assert_eq!(metrics.sum("other_total", &[]), 0);
    }
}
