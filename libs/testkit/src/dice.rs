//! Chance with a seed: what a run drew can be drawn again.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

/// SplitMix64, shared by whoever draws.
#[derive(Debug)]
pub struct Dice {
    state: AtomicU64,
}

impl Dice {
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self {
            state: AtomicU64::new(seed),
        }
    }

    /// A seed nobody chose.
    #[must_use]
    pub fn any_seed() -> u64 {
        uuid::Uuid::new_v4().as_u64_pair().0
    }

    /// Any number.
    pub fn draw(&self) -> u64 {
        const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
        let mut z = self
            .state
            .fetch_add(GOLDEN, Ordering::Relaxed)
            .wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn share(&self) -> f64 {
        (self.draw() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// One of these; the first, when there are none.
    pub fn within(&self, range: Range<usize>) -> usize {
        let width = (range.end - range.start).max(1) as u64;
        range.start + usize::try_from(self.draw() % width).unwrap_or_default()
    }
}
