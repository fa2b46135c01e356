//! Numbers as people read them.

use std::time::Duration;

/// With a comma between thousands.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Yuan, of fen.
pub(crate) fn amount(minor: i64) -> String {
    let sign = if minor < 0 { "−" } else { "" };
    let fen = minor.unsigned_abs();
    format!("{sign}{}.{:02}", count(fen / 100), fen % 100)
}

/// A share of a whole.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    let tenths = part * 1_000 / whole.max(1);
    format!("{}.{} %", tenths / 10, tenths % 10)
}

pub(crate) fn secs(took: Duration) -> String {
    format!("{:.1} s", took.as_secs_f64())
}

/// How many a second; nothing when there are too few to speak of a rate.
pub(crate) fn rate(n: u64, took: Duration) -> String {
    const FEW: u64 = 20;
    let secs = took.as_secs_f64();
    if n < FEW || secs <= 0.0 {
        return String::new();
    }
    let per_s = n as f64 / secs;
    format!("{}/s", count(per_s.round() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let texts = [0, 12, 123, 1_234, 123_456, 1_234_567].map(count);
        assert_eq!(texts, ["0", "12", "123", "1,234", "123,456", "1,234,567"]);
    }

    #[test]
    fn money_has_two_decimals_and_a_sign() {
        let texts = [0, 5, 39_800, -18_980, 12_345_678].map(amount);
        assert_eq!(texts, ["0.00", "0.05", "398.00", "−189.80", "123,456.78"]);
    }

    #[test]
    fn a_rate_needs_a_crowd() {
        assert_eq!(rate(1_200, Duration::from_millis(1_500)), "800/s");
        assert_eq!(rate(3, Duration::from_secs(1)), "");
        assert_eq!(rate(100, Duration::ZERO), "");
    }

    #[test]
    fn a_share_has_one_decimal() {
        assert_eq!(
            [percent(1, 3), percent(0, 0), percent(7, 7)],
            ["33.3 %", "0.0 %", "100.0 %"]
        );
    }
}
