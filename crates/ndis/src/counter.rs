//! Counters that any processor may bump at any IRQL.
//!
//! # Example
//!
//! ```no_run
//! use ndis::counter::Counter;
//!
//! #[derive(Default)]
//! struct Counts {
//!     packets: Counter,
//!     longest: Counter,
//! }
//!
//! fn note(counts: &Counts, length: u32) {
//!     counts.packets.add(1);
//!     counts.longest.raise_to(u64::from(length));
//! }
//! ```

use core::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
///
/// Nothing is ordered by it: a reader sees each bump some time after it happened.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Adds `amount`; wraps after 2^64.
    pub fn add(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::Relaxed);
    }

    /// Makes the number at least `value`.
    pub fn raise_to(&self, value: u64) {
        // Most calls find it high enough, and do not take the cache line away from other processors.
        if self.0.load(Ordering::Relaxed) < value {
            self.0.fetch_max(value, Ordering::Relaxed);
        }
    }

    /// The number now.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}
