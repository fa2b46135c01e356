//! Named places where a failure test lets the process die.

/// Aborts the process here when `FAILPOINTS` says so: `FAILPOINTS="relay-after-publish=1*return"`.
///
/// Compiled away without the feature `failpoints`.
pub fn crash_point(name: &str) {
    arm();
    fail::fail_point!(name, |_| std::process::abort());
    let _ = name;
}

#[cfg(feature = "failpoints")]
fn arm() {
    static ARMED: std::sync::OnceLock<()> = std::sync::OnceLock::new();
    // Forgotten on purpose: dropping the scenario would disarm every point.
    ARMED.get_or_init(|| std::mem::forget(fail::FailScenario::setup()));
}

#[cfg(not(feature = "failpoints"))]
fn arm() {}
