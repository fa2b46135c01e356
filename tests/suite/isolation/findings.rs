//! Collects what a generated test finds wrong, so that one run tells all of it.

use anyhow::bail;

/// Enough to see the pattern; a broken wall may fail thousands of cases.
const TOLD_MAX: usize = 40;

#[derive(Default)]
pub(crate) struct Findings {
    checked: usize,
    wrong: Vec<String>,
}

impl Findings {
    /// Counts a case; keeps `wrong` when it does not hold.
    pub(crate) fn check(&mut self, holds: bool, wrong: impl FnOnce() -> String) {
        self.checked += 1;
        if !holds {
            self.wrong.push(wrong());
        }
    }

    pub(crate) fn wrong(&mut self, wrong: impl Into<String>) {
        self.check(false, || wrong.into());
    }

    /// Everything that is wrong so far.
    pub(crate) fn told(&self) -> String {
        self.wrong.join("\n")
    }

    pub(crate) fn all(parts: impl IntoIterator<Item = Self>) -> Self {
        let mut all = Self::default();
        parts.into_iter().for_each(|part| all.absorb(part));
        all
    }

    pub(crate) fn absorb(&mut self, other: Self) {
        self.checked += other.checked;
        self.wrong.extend(other.wrong);
    }

    /// Ends the test: fails with everything that is wrong, or when hardly anything was checked.
    ///
    /// # Errors
    /// What is wrong.
    #[expect(clippy::print_stdout, reason = "the counts belong to the test's output")]
    pub(crate) fn report(self, what: &str, checked_min: usize) -> anyhow::Result<()> {
        let Self { checked, wrong } = self;
        println!("{what}: {checked} checked");
        if checked < checked_min {
            bail!(
                "only {checked} {what} were checked, at least {checked_min} were expected: is the generator blind?"
            );
        }
        if wrong.is_empty() {
            return Ok(());
        }
        let told: Vec<&str> = wrong.iter().take(TOLD_MAX).map(String::as_str).collect();
        bail!(
            "{} of {checked} {what} are wrong:\n  {}",
            wrong.len(),
            told.join("\n  ")
        )
    }
}
