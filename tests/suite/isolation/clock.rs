//! A clock for running processes: a test sets it forward as it goes, and nobody waits.

use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Of all processes that were started with its variable.
pub(crate) struct TestClock {
    file: PathBuf,
    ahead_secs: i64,
}

impl TestClock {
    pub(crate) fn new() -> anyhow::Result<Self> {
        let file = std::env::temp_dir().join(format!("shequn-clock-{}", Uuid::now_v7()));
        let mut clock = Self { file, ahead_secs: 0 };
        clock.forward(0)?;
        Ok(clock)
    }

    /// The variable and its value.
    pub(crate) fn env(&self) -> (&'static str, String) {
        ("SHEQUN_TEST_CLOCK", self.file.display().to_string())
    }

    pub(crate) fn forward(&mut self, secs: i64) -> anyhow::Result<()> {
        self.ahead_secs += secs;
        // At once and whole: a reader in between must not see an empty file.
        let next: &Path = &self.file.with_extension("next");
        std::fs::write(next, self.ahead_secs.to_string())?;
        Ok(std::fs::rename(next, &self.file)?)
    }
}

impl Drop for TestClock {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.file);
    }
}
