//! When to ask a receiver again.

use std::time::Duration;

use jiff::Timestamp;

const BACK_OFF_MAX: Duration = Duration::from_secs(10);

/// How long to wait before attempt `attempts + 1` unless the receiver says: 0.2, 0.8, 3.2, 10 s.
pub(crate) fn back_off(attempts: u32) -> Duration {
    Duration::from_millis(200 << (2 * attempts.saturating_sub(1).min(6))).min(BACK_OFF_MAX)
}

/// `Retry-After`: seconds or a date.
pub(crate) fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(secs) = value.trim().parse() {
        return Some(Duration::from_secs(secs));
    }
    let at = jiff::fmt::rfc2822::parse(value.trim()).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_asked_for() {
        assert_eq!(back_off(1), Duration::from_millis(200));
        assert_eq!(back_off(3), Duration::from_millis(3_200));
        assert_eq!(back_off(9), BACK_OFF_MAX);
        let now: Timestamp = "1994-11-06T08:49:30Z".parse().unwrap();
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now),
            Some(Duration::from_secs(7))
        );
        assert_eq!(
            retry_after("Sun, 06 Nov 1994 08:49:00 GMT", now),
            Some(Duration::ZERO)
        );
        assert_eq!(retry_after("soon", now), None);
    }
}
