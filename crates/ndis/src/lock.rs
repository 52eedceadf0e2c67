//! Locks that own what they protect: [`SpinLock`], and [`RwLock`] for what is read far more often than written.
//!
//! # Example
//!
//! ```no_run
//! use ndis::irql::Caller;
//! use ndis::lock::SpinLock;
//!
//! static TOTAL: SpinLock<(u64, u64)> = SpinLock::new((0, 0));
//!
//! fn add(bytes: u64, irql: &mut impl Caller) {
//!     TOTAL.with(irql, |(packets, sum), _| {
//!         *packets = packets.wrapping_add(1);
//!         *sum = sum.wrapping_add(bytes);
//!     });
//! }
//! ```

mod rw;

use core::cell::UnsafeCell;
use core::fmt;

use ndis_sys::nt;

use crate::irql::{Caller, Dispatch};

pub use rw::RwLock;

/// A spin lock around a value.
///
/// While the lock is held the IRQL is `DISPATCH_LEVEL`, and the callback's token is borrowed: NDIS cannot be called, and
/// no lock taken, this one included. So no two locks are ever held at once, and there is no order to get wrong.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/wdm/nf-wdm-keacquirespinlockraisetodpc>
///
/// # Invariants
///
/// `value` is touched only between the acquisition and the release of `raw`. A `KSPIN_LOCK` that is free is zero, which
/// is all that `KeInitializeSpinLock` would do, and can be moved: NT links it into nothing.
pub struct SpinLock<T> {
    raw: UnsafeCell<u64>,
    value: UnsafeCell<T>,
}

// SAFETY: the lock hands the value to one processor at a time.
unsafe impl<T: Send> Sync for SpinLock<T> {}

impl<T> SpinLock<T> {
    /// A free lock.
    pub const fn new(value: T) -> Self {
        Self {
            raw: UnsafeCell::new(0),
            value: UnsafeCell::new(value),
        }
    }

    /// Runs `f` with the value, holding the lock.
    ///
    /// Keep it short: below 25 microseconds, as the documentation of `NdisAcquireSpinLock` asks.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`; `f` runs at `DISPATCH_LEVEL`.
    pub fn with<R>(&self, irql: &mut impl Caller, f: impl FnOnce(&mut T, Dispatch<'_>) -> R) -> R {
        let raw = self.raw.get();
        let at_dispatch = irql.is_at_dispatch();
        let before = if at_dispatch {
            // SAFETY: the token says that the IRQL is DISPATCH_LEVEL; this activation does not hold the lock, because
            // holding it borrows the token.
            unsafe { nt::KeAcquireSpinLockAtDpcLevel(raw) };
            None
        } else {
            // SAFETY: the token says that the IRQL is at most DISPATCH_LEVEL; not held already, as above.
            Some(unsafe { nt::KeAcquireSpinLockRaiseToDpc(raw) })
        };
        // SAFETY: the lock is held until `f` has returned, and keeps the IRQL at DISPATCH_LEVEL.
        let dispatch = unsafe { Dispatch::assume() };
        // SAFETY: the lock is held, so by the invariant nobody else touches the value.
        let value = unsafe { &mut *self.value.get() };
        let result = f(value, dispatch);
        match before {
            // SAFETY: acquired above, by the same processor, with this IRQL before.
            Some(before) => unsafe { nt::KeReleaseSpinLock(raw, before) },
            // SAFETY: acquired above at DISPATCH_LEVEL.
            None => unsafe { nt::KeReleaseSpinLockFromDpcLevel(raw) },
        }
        result
    }
}

impl<T> fmt::Debug for SpinLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpinLock").finish_non_exhaustive()
    }
}
