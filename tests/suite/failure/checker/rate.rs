//! How fast calls arrive, and how soon they do again after a fault (V8).

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// The rate is looked at over stretches of this length.
const STRETCH: Duration = Duration::from_secs(1);
const BACK_SHARE: f64 = 0.9;

/// Arrivals a second, from the first to the last.
fn rate(arrivals: &[Timestamp]) -> Option<f64> {
    let secs = arrivals.first()?.duration_until(*arrivals.last()?).as_secs_f64();
    (secs > 0.0).then(|| arrivals.len() as f64 / secs)
}

/// The same in full swing: from a fifth of them on, and not before this time, to four fifths; nothing, when nothing is left
/// in between.
pub(crate) fn steady_rate(arrivals: &[Timestamp], settling: Duration) -> Option<f64> {
    let settled = *arrivals.first()? + SignedDuration::try_from(settling).ok()?;
    let begin = arrivals.partition_point(|at| *at < settled);
    rate(arrivals.get(begin.max(arrivals.len() / 5)..arrivals.len() * 4 / 5)?)
}

/// Arrivals a second before the fault; nothing, when there were none.
fn rate_before(arrivals: &[Timestamp], fault: Timestamp) -> Option<f64> {
    let before = arrivals.iter().filter(|at| **at < fault).count();
    let secs = arrivals.first()?.duration_until(fault).as_secs_f64();
    (before > 0 && secs > 0.0).then(|| before as f64 / secs)
}

/// Arrivals from the fault on behind which a stretch has at least this many.
fn busy_from(arrivals: &[Timestamp], fault: Timestamp, wanted: f64) -> impl Iterator<Item = Timestamp> + '_ {
    let begin = arrivals.partition_point(|at| *at < fault);
    let stretch = SignedDuration::try_from(STRETCH).unwrap_or(SignedDuration::MAX);
    (begin..arrivals.len())
        .filter(move |i| {
            let end = arrivals[*i..].partition_point(|at| arrivals[*i].duration_until(*at) < stretch);
            end as f64 >= wanted
        })
        .map(move |i| arrivals[i])
}

/// V8: how long after `fault` the rate of arrivals was back at nine tenths of what it was before; at the latest when
/// nothing was left to do, at `over`. Nothing, when there was no rate before.
pub(crate) fn back_after(arrivals: &[Timestamp], fault: Timestamp, over: Timestamp) -> Option<Duration> {
    let wanted = BACK_SHARE * rate_before(arrivals, fault)? * STRETCH.as_secs_f64();
    let back = busy_from(arrivals, fault, wanted).next().unwrap_or(over);
    Some(fault.duration_until(back).unsigned_abs())
}

/// The longest time from `fault` on in which the rate stayed below this share of what it was before.
pub(crate) fn longest_dip(
    arrivals: &[Timestamp],
    fault: Timestamp,
    over: Timestamp,
    share: f64,
) -> Option<Duration> {
    let wanted = share * rate_before(arrivals, fault)? * STRETCH.as_secs_f64();
    let mut last = fault;
    let mut longest = Duration::ZERO;
    for busy in busy_from(arrivals, fault, wanted).chain([over]) {
        longest = longest.max(last.duration_until(busy).unsigned_abs());
        last = busy;
    }
    Some(longest)
}
