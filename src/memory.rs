//! What all adapters together may take of nonpaged pool.

use core::sync::atomic::{AtomicU64, Ordering};

use ndis::Status;

/// Bytes that the attached modules have.
static TAKEN: AtomicU64 = AtomicU64::new(0);

/// What one module has of it, until it is dropped with the module.
pub(crate) struct Share {
    bytes: u64,
}

impl Share {
    /// Takes `bytes`.
    ///
    /// # Errors
    ///
    /// [`Status::RESOURCES`]: all modules together would have more than `limit`.
    pub(crate) fn take(bytes: u64, limit: u64) -> Result<Self, Status> {
        // A number that stands for itself: nothing is ordered by it.
        let grow = |taken: u64| taken.checked_add(bytes).filter(|sum| *sum <= limit);
        TAKEN
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, grow)
            .map(|_| Self { bytes })
            .map_err(|_| Status::RESOURCES)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        TAKEN.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
