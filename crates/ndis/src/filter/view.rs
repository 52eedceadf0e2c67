//! A module in a state, as callbacks see it.

use core::fmt;
use core::ops::Deref;

use super::{AttachParameters, FilterModule, ModuleCore, ModuleState};
use crate::work::WorkItemCounts;

/// An attached module. It derefs to the driver's `M`.
///
/// It is lent: what keeps the module there stays in the thunk, so keeping or leaking a view changes nothing.
///
/// # Invariants
///
/// For `'a`, the module's `M` is initialised and stays.
pub struct Attached<'a, M: FilterModule> {
    core: &'a ModuleCore<M>,
}

impl<'a, M: FilterModule> Attached<'a, M> {
    /// # Safety
    ///
    /// The invariant holds.
    pub(crate) const unsafe fn new(core: &'a ModuleCore<M>) -> Self {
        // INVARIANT: the caller's promise.
        Self { core }
    }

    /// What NDIS said about the adapter when the module was attached.
    #[must_use]
    pub const fn parameters(&self) -> &AttachParameters {
        self.core.parameters()
    }

    /// The state at about this time.
    #[must_use]
    pub fn state(&self) -> ModuleState {
        self.core.state()
    }

    /// What the module's work items did so far, together.
    #[must_use]
    pub fn work_items(&self) -> WorkItemCounts {
        self.core.work.counts()
    }

    /// Batches that datapath callbacks of the module have leaked: packets that are stuck for ever. It should be zero.
    #[must_use]
    pub fn leaked_batches(&self) -> u64 {
        self.core.leaked_batches()
    }

    /// Runs `f` with the module running; `None` if it is not. Pause waits until `f` has returned.
    pub fn while_running<R>(&self, f: impl FnOnce(&Running<'_, M>) -> R) -> Option<R> {
        if !self.core.datapath.acquire() {
            return None;
        }
        // SAFETY: a reference of `datapath` is held until `f` has returned.
        let result = f(&unsafe { Running::new(self.core) });
        self.core.datapath.release();
        Some(result)
    }
}

impl<M: FilterModule> Deref for Attached<'_, M> {
    type Target = M;

    fn deref(&self) -> &M {
        // SAFETY: by the invariant `M` is there; how the view came about is one of the ways of the core's invariant 1.
        unsafe { self.core.module() }
    }
}

impl<M: FilterModule> fmt::Debug for Attached<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.core.fmt(f)
    }
}

/// An attached module that is running. It derefs to [`Attached`].
///
/// # Invariants
///
/// For `'a`, those of [`Attached`], and a reference of the module's datapath rundown is held.
pub struct Running<'a, M: FilterModule> {
    attached: Attached<'a, M>,
}

impl<'a, M: FilterModule> Running<'a, M> {
    /// # Safety
    ///
    /// The invariants hold.
    pub(crate) const unsafe fn new(core: &'a ModuleCore<M>) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            // SAFETY: this function's contract.
            attached: unsafe { Attached::new(core) },
        }
    }
}

impl<'a, M: FilterModule> Deref for Running<'a, M> {
    type Target = Attached<'a, M>;

    fn deref(&self) -> &Self::Target {
        &self.attached
    }
}

impl<M: FilterModule> fmt::Debug for Running<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.attached.fmt(f)
    }
}
