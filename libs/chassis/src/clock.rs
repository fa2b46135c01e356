//! The one place that reads the system's clock; everything else takes `now` as a value.

use jiff::{SignedDuration, Timestamp};

/// A clock that runs with the system's, shifted by a fixed amount in tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct Clock {
    offset: SignedDuration,
}

impl Clock {
    /// The system's clock as it is.
    #[must_use]
    pub fn system() -> Self {
        Self::default()
    }

    /// The system's clock, ahead by `offset` (or behind, when negative).
    #[must_use]
    pub fn shifted(offset: SignedDuration) -> Self {
        Self { offset }
    }

    /// The present moment in whole microseconds, which is what Postgres keeps of it. At the ends of
    /// time it stands still rather than fail.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        #[expect(
            clippy::disallowed_methods,
            reason = "this is the clock the others are told to use"
        )]
        let now = Timestamp::now();
        let now = now.saturating_add(self.offset + ahead()).unwrap_or(now);
        Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
    }
}

/// The file in which a test says how many seconds the clock of a running process is ahead.
#[cfg(feature = "failpoints")]
const AHEAD_FILE: &str = "SHEQUN_TEST_CLOCK";

/// What a test sets a running process's clock ahead by, as it goes; never in a release.
#[cfg(feature = "failpoints")]
fn ahead() -> SignedDuration {
    static FILE: std::sync::OnceLock<Option<std::ffi::OsString>> = std::sync::OnceLock::new();
    let file = FILE.get_or_init(|| std::env::var_os(AHEAD_FILE));
    let secs = file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
    SignedDuration::from_secs(secs.and_then(|secs| secs.trim().parse().ok()).unwrap_or_default())
}

#[cfg(not(feature = "failpoints"))]
const fn ahead() -> SignedDuration {
    SignedDuration::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shifted_clock_is_ahead_by_its_offset() {
        let hour = SignedDuration::from_hours(1);
        let (before, shifted) = (Clock::system().now(), Clock::shifted(hour).now());
        assert!(shifted.duration_since(before) >= hour);
        assert_eq!(shifted.subsec_nanosecond() % 1_000, 0);
        assert!(shifted.duration_since(before) < hour * 2);
    }
}
