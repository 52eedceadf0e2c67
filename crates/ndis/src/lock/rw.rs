//! Reader-writer locks.

use core::cell::UnsafeCell;
use core::fmt;
use core::ptr::NonNull;

use ndis_sys::{
    LOCK_STATE_EX, NDIS_RW_LOCK_EX, NDIS_RWL_AT_DISPATCH_LEVEL, NdisAcquireRWLockRead,
    NdisAcquireRWLockWrite, NdisAllocateRWLock, NdisFreeRWLock, NdisReleaseRWLock,
};

use crate::driver;
use crate::irql::{Caller, Dispatch};
use crate::mem::OutOfMemory;

/// Acquires a lock of NDIS's in one of the two ways.
type Acquire = unsafe extern "system" fn(*mut NDIS_RW_LOCK_EX, *mut LOCK_STATE_EX, u8);

/// A reader-writer lock around a value: for what is read on every processor, and seldom written.
///
/// It is not fair: a writer waits as long as readers come. What is written often is better off in a
/// [`SpinLock`](super::SpinLock).
///
/// While the lock is held, either way, the IRQL is `DISPATCH_LEVEL`, and the callback's token is borrowed: NDIS cannot be
/// called, and no lock taken, this one included. So reading never turns into writing while the lock is held, which NDIS does
/// not support.
///
/// Dropping it frees the lock, at any IRQL up to `DISPATCH_LEVEL`.
///
/// ```no_run
/// use ndis::irql::AtMostDispatch;
/// use ndis::lock::RwLock;
///
/// struct Limits {
///     longest: u32,
/// }
///
/// fn is_too_long(limits: &RwLock<Limits>, bytes: u32, irql: &mut AtMostDispatch) -> bool {
///     limits.read(irql, |limits, _| bytes > limits.longest)
/// }
///
/// fn allow(limits: &RwLock<Limits>, bytes: u32, irql: &mut AtMostDispatch) {
///     limits.write(irql, |limits, _| limits.longest = bytes);
/// }
/// ```
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisallocaterwlock>
///
/// # Invariants
///
/// `raw` is allocated until the drop. `value` is written only while `raw` is held for writing, and read only while it is held.
pub struct RwLock<T> {
    raw: NonNull<NDIS_RW_LOCK_EX>,
    value: UnsafeCell<T>,
}

// SAFETY: NDIS lets any thread use the lock; the value moves with it.
unsafe impl<T: Send> Send for RwLock<T> {}
// SAFETY: the lock hands the value to one writer at a time, or to readers on several processors.
unsafe impl<T: Send + Sync> Sync for RwLock<T> {}

impl<T> RwLock<T> {
    /// Allocates a lock around a value, with the handle of the filter driver.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`]; the value is dropped.
    pub fn try_new(value: T, _irql: &mut impl Caller) -> Result<Self, OutOfMemory> {
        // SAFETY: the handle is that of the registered filter driver, which stays until all that its modules and its device
        // have is dropped; null, which it is before, is allowed in DriverEntry.
        let raw = unsafe { NdisAllocateRWLock(driver::filter_driver_handle()) };
        // INVARIANT: just allocated.
        Ok(Self {
            raw: NonNull::new(raw).ok_or(OutOfMemory)?,
            value: UnsafeCell::new(value),
        })
    }

    /// Runs `f` with the value, which nobody writes meanwhile; others may read it.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`; `f` runs at `DISPATCH_LEVEL`: keep it short.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisacquirerwlockread>
    pub fn read<R>(&self, irql: &mut impl Caller, f: impl FnOnce(&T, Dispatch<'_>) -> R) -> R {
        self.hold(NdisAcquireRWLockRead, irql, |value, dispatch| {
            // SAFETY: by the invariant nobody writes to it while the lock is held for reading.
            f(unsafe { &*value }, dispatch)
        })
    }

    /// Runs `f` with the value, alone.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`; `f` runs at `DISPATCH_LEVEL`: keep it short.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisacquirerwlockwrite>
    pub fn write<R>(&self, irql: &mut impl Caller, f: impl FnOnce(&mut T, Dispatch<'_>) -> R) -> R {
        self.hold(NdisAcquireRWLockWrite, irql, |value, dispatch| {
            // SAFETY: by the invariant nobody else touches it while the lock is held for writing.
            f(unsafe { &mut *value }, dispatch)
        })
    }

    /// Runs `f` with the lock held.
    fn hold<R>(
        &self,
        acquire: Acquire,
        irql: &mut impl Caller,
        f: impl FnOnce(*mut T, Dispatch<'_>) -> R,
    ) -> R {
        let flags = if irql.is_at_dispatch() {
            NDIS_RWL_AT_DISPATCH_LEVEL as u8
        } else {
            0
        };
        let mut state = LOCK_STATE_EX {
            OldIrql: 0,
            LockState: 0,
            Flags: 0,
        };
        // SAFETY: by the invariant it is allocated; this activation does not hold it, because holding it borrows the token,
        // which says that the IRQL is at most DISPATCH_LEVEL, and exactly that if the flag is set.
        unsafe { acquire(self.raw.as_ptr(), &raw mut state, flags) };
        // SAFETY: the lock is held until `f` has returned, and keeps the IRQL at DISPATCH_LEVEL.
        let result = f(self.value.get(), unsafe { Dispatch::assume() });
        // SAFETY: acquired above, by the same processor, with this state.
        unsafe { NdisReleaseRWLock(self.raw.as_ptr(), &raw mut state) };
        result
    }
}

impl<T> Drop for RwLock<T> {
    fn drop(&mut self) {
        // SAFETY: by the invariant it is allocated; nobody holds it, because holding it borrows `self`. All code of this crate
        // runs at or below DISPATCH_LEVEL.
        unsafe { NdisFreeRWLock(self.raw.as_ptr()) };
    }
}

impl<T> fmt::Debug for RwLock<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock").finish_non_exhaustive()
    }
}
