//! Events: one thread waits at `PASSIVE_LEVEL` for what any processor says.
//!
//! # Example
//!
//! ```no_run
//! use ndis::Status;
//! use ndis::event::Event;
//! use ndis::irql::{AtMostDispatch, Passive};
//! use ndis::mem::Tag;
//!
//! fn make(irql: &mut Passive) -> Result<Event, Status> {
//!     Ok(Event::try_new(Tag::new(*b"Exam"), irql)?)
//! }
//!
//! fn is_done(event: &Event, irql: &mut Passive) -> bool {
//!     event.wait_for(50, irql)
//! }
//!
//! fn done(event: &Event, irql: &mut AtMostDispatch) {
//!     event.set(irql);
//! }
//! ```

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;

use ndis_sys::{NDIS_EVENT, NdisInitializeEvent, NdisResetEvent, NdisSetEvent, NdisWaitEvent};

use crate::irql::{Caller, Passive};
use crate::mem::{OutOfMemory, PoolBox, Tag};
use crate::rundown::Signal;

/// A notification event: once set it stays set, and lets everybody pass, until it is reset.
///
/// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisinitializeevent>
///
/// # Invariants
///
/// The `NDIS_EVENT` is initialised, and stays in its place in pool: NT links waiting threads into it.
pub struct Event {
    raw: PoolBox<UnsafeCell<MaybeUninit<NDIS_EVENT>>>,
}

// SAFETY: NT synchronises what happens to an event.
unsafe impl Send for Event {}
// SAFETY: as above.
unsafe impl Sync for Event {}

impl Event {
    /// Makes an event that is not set.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`, and no lock held.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`].
    pub fn try_new(tag: Tag, _irql: &mut impl Caller) -> Result<Self, OutOfMemory> {
        let raw = PoolBox::try_new(tag, UnsafeCell::new(MaybeUninit::uninit()))?;
        // INVARIANT: initialised below, before anybody sees it.
        let event = Self { raw };
        // SAFETY: the memory is nonpaged, large enough, and nobody uses it yet.
        unsafe { NdisInitializeEvent(event.raw()) };
        Ok(event)
    }

    /// Waits until the event is set.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`; anything above is bug check 0x7C.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndiswaitevent>
    pub fn wait(&self, _irql: &mut Passive) {
        // SAFETY: initialised by the invariant; the token says PASSIVE_LEVEL. Zero waits for ever.
        unsafe { NdisWaitEvent(self.raw(), 0) };
    }

    /// Waits until the event is set, for at most `limit_ms` milliseconds (1 at least), and says whether it is.
    ///
    /// # IRQL
    ///
    /// `PASSIVE_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndiswaitevent>
    pub fn wait_for(&self, limit_ms: u32, _irql: &mut Passive) -> bool {
        // SAFETY: initialised by the invariant; the token says PASSIVE_LEVEL.
        unsafe { NdisWaitEvent(self.raw(), limit_ms.max(1)) != 0 }
    }

    /// Sets the event.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndissetevent>
    pub fn set(&self, _irql: &mut impl Caller) {
        self.signal();
    }

    /// Resets the event.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    ///
    /// <https://learn.microsoft.com/windows-hardware/drivers/ddi/ndis/nf-ndis-ndisresetevent>
    pub fn reset(&self, _irql: &mut impl Caller) {
        Signal::reset(self);
    }

    /// Sets the event; this crate calls it under no lock.
    fn signal(&self) {
        // SAFETY: initialised by the invariant; all code of this crate runs at or below DISPATCH_LEVEL.
        unsafe { NdisSetEvent(self.raw()) };
    }

    fn raw(&self) -> *mut NDIS_EVENT {
        self.raw.get().cast()
    }
}

impl Signal for Event {
    fn set(&self) {
        self.signal();
    }

    fn reset(&self) {
        // SAFETY: initialised by the invariant; all code of this crate runs at or below DISPATCH_LEVEL.
        unsafe { NdisResetEvent(self.raw()) };
    }

    fn wait(&self, irql: &mut Passive) {
        Self::wait(self, irql);
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event").finish_non_exhaustive()
    }
}
