//! Exact arithmetic on minor units, and the one rounding rule.
//!
//! * Amounts are integers of the currency's minor unit; rates are parts per million.
//! * A product is formed in `i128` and divided once; nothing is rounded before that.
//! * Halves are rounded away from zero (half-up on magnitude): 100.5 → 101, −100.5 → −101.
//! * A reversal is the rounded share of the *cumulative* refund less what was reversed before, so
//!   however a refund is split, the parts add up to exactly what one refund would reverse.

/// Parts per million in a whole.
pub(super) const PPM: i64 = 1_000_000;

/// The largest single amount a plan or an event may name, in minor units.
pub(super) const AMOUNT_MINOR_MAX: i64 = 1_000_000_000_000;

/// `amount` × `numerator` ÷ `denominator`, rounded half-up on magnitude.
///
/// The limits at the door keep results far inside `i64`; a result beyond it, which only a broken
/// limit could bring about, is held at the edge rather than wrapped.
pub(super) fn share(amount: i64, numerator: i64, denominator: i64) -> i64 {
    debug_assert!(denominator > 0, "bases and ppm are positive");
    let product = i128::from(amount) * i128::from(numerator);
    let half_up = (2 * product.abs() + i128::from(denominator)) / (2 * i128::from(denominator));
    let edge = if product < 0 { i64::MIN } else { i64::MAX };
    i64::try_from(half_up * product.signum()).unwrap_or(edge)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn halves_go_away_from_zero() {
        assert_eq!(share(5000, 20_100, PPM), 101);
        assert_eq!(share(-5000, 20_100, PPM), -101);
        assert_eq!(share(398, 100_000, PPM), 40);
        assert_eq!(share(39_800, 100_000, PPM), 3980);
        assert_eq!(share(1, 499_999, PPM), 0);
        assert_eq!(share(0, 7, 3), 0);
    }

    proptest! {
        #[test]
        fn the_result_is_the_nearest_integer(
            amount in -AMOUNT_MINOR_MAX..AMOUNT_MINOR_MAX,
            numerator in 0..PPM,
            denominator in 1..AMOUNT_MINOR_MAX,
        ) {
            let exact = i128::from(amount) * i128::from(numerator);
            let off = i128::from(share(amount, numerator, denominator)) * i128::from(denominator) - exact;
            prop_assert!(2 * off.abs() <= i128::from(denominator));
            if 2 * off.abs() == i128::from(denominator) {
                prop_assert_eq!(off.signum(), exact.signum(), "a half goes away from zero");
            }
        }
    }
}
