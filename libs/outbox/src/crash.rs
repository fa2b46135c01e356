//! Named places where a failure test lets the process die.

/// Aborts the process here when `FAILPOINTS` says so: `FAILPOINTS="relay-after-publish=1*return"`.
///
/// Compiled away without the feature `failpoints`.
pub fn crash_point(name: &str) {
    arm();
    fail::fail_point!(name, |_| std::process::abort());
    let _ = name;
}

/// Aborts the process here when `FAILPOINTS` names this one of many: `FAILPOINTS="broadcast-poison-chunk=return(3)"`.
///
/// Compiled away without the feature `failpoints`.
pub fn crash_point_of(name: &str, which: i32) {
    arm();
    fail::fail_point!(name, |wanted| {
        if wanted.and_then(|wanted| wanted.parse().ok()) == Some(which) {
            std::process::abort();
        }
    });
    let _ = (name, which);
}

/// Whether the process is to be wrong in this way, so that a test can see that it is noticed:
/// `FAILPOINTS="mutant-skip-t2=return"`.
///
/// False without the feature `failpoints`.
#[must_use]
pub fn is_mutant(name: &str) -> bool {
    arm();
    fail::fail_point!(name, |_| true);
    let _ = name;
    false
}

#[cfg(feature = "failpoints")]
fn arm() {
    static ARMED: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    // Forgotten on purpose: dropping the scenario would disarm every point.
    ARMED.get_or_init(|| std::mem::forget(fail::FailScenario::setup()));
}

#[cfg(not(feature = "failpoints"))]
fn arm() {}
