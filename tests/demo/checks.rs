//! The figures that must agree, and those that don't.

use std::fmt::Display;

/// Mismatches told one by one; of the others only how many there are.
const TOLD_MAX: usize = 50;

/// What was compared so far.
#[derive(Default)]
pub(crate) struct Checks {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// The first mismatches, in words.
    pub(crate) mismatches: Vec<String>,
}

impl Checks {
    /// Compares a figure with what it must be.
    pub(crate) fn equal<T: PartialEq + Display>(&mut self, what: impl Display, expected: T, found: T) {
        self.holds(expected == found, || {
            format!("{what}: expected {expected}, found {found}")
        });
    }

    /// Notes whether something holds; `otherwise` says what is wrong.
    pub(crate) fn holds(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if is_so {
            self.passed += 1;
            return;
        }
        self.failed += 1;
        if self.mismatches.len() < TOLD_MAX {
            self.mismatches.push(otherwise());
        }
    }

    pub(crate) fn reconcile(&self) -> bool {
        self.failed == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mismatch_is_told_with_both_figures() {
        let mut checks = Checks::default();
        checks.equal("group 1", 500, 500);
        assert!(checks.reconcile());
        checks.equal("group 2", 500, 499);
        assert_eq!((checks.passed, checks.failed), (1, 1));
        assert_eq!(checks.mismatches, ["group 2: expected 500, found 499"]);
    }

    #[test]
    fn a_flood_of_mismatches_is_counted_but_not_told() {
        let mut checks = Checks::default();
        for n in 0..1_000 {
            checks.equal("n", 0, n);
        }
        assert_eq!((checks.failed, checks.mismatches.len()), (999, TOLD_MAX));
    }
}
