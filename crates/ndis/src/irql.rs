//! The interrupt request level, as a value that must be held.
//!
//! A call that is only legal at `PASSIVE_LEVEL` asks for [`&mut Passive`](Passive). A call that can run another
//! driver's code asks for [`&mut impl Caller`](Caller). A lock's closure gets a [`Dispatch`] and has borrowed the token
//! that was there before, so while the lock is held neither kind of call can be made.
//!
//! Tokens are made in the thunks only, one for each activation, and lent to the callback.

use core::marker::PhantomData;

/// Makes a type neither `Send` nor `Sync`: an IRQL belongs to the processor that runs at it.
type NotSend = PhantomData<*mut ()>;

/// Proof that the current processor runs at `PASSIVE_LEVEL`: the callee may wait.
///
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
/// needs_send::<ndis::irql::Passive>();
/// ```
///
/// # Invariants
///
/// While a `Passive` can be reached, the IRQL of the processor is `PASSIVE_LEVEL`. Whoever raises the IRQL borrows it
/// exclusively until the IRQL is back.
#[derive(Debug)]
pub struct Passive {
    _here: NotSend,
}

impl Passive {
    /// Claims `PASSIVE_LEVEL` for the current activation; checked builds look whether it is true.
    ///
    /// # Safety
    ///
    /// The IRQL is `PASSIVE_LEVEL`, no other token of this activation can be reached, and the value does not outlive
    /// the activation.
    pub(crate) unsafe fn assume() -> Self {
        #[cfg(windows)]
        {
            // SAFETY: legal at any IRQL.
            debug_assert_eq!(unsafe { ndis_sys::nt::KeGetCurrentIrql() }, 0);
        }
        // INVARIANT: the caller's promise.
        Self { _here: PhantomData }
    }
}

/// Proof that the IRQL is `DISPATCH_LEVEL` or below: what NDIS promises to the callbacks of the datapath.
///
/// # Invariants
///
/// While it can be reached, the IRQL is at most `DISPATCH_LEVEL`; it is `DISPATCH_LEVEL` if `at_dispatch` is set.
#[derive(Debug)]
pub struct AtMostDispatch {
    at_dispatch: bool,
    _here: NotSend,
}

impl AtMostDispatch {
    /// Claims `DISPATCH_LEVEL` or below for the current activation.
    ///
    /// # Safety
    ///
    /// As for [`Passive::assume`], with the IRQL at most `DISPATCH_LEVEL`, and exactly that if `at_dispatch` is set.
    pub(crate) const unsafe fn assume(at_dispatch: bool) -> Self {
        // INVARIANT: the caller's promise.
        Self {
            at_dispatch,
            _here: PhantomData,
        }
    }
}

/// Proof that the IRQL is exactly `DISPATCH_LEVEL` for `'s`, the section that a lock has raised.
///
/// It is no [`Caller`]: what holds it holds a lock.
#[derive(Clone, Copy, Debug)]
pub struct Dispatch<'s> {
    _section: PhantomData<&'s ()>,
    _here: NotSend,
}

impl Dispatch<'_> {
    /// Claims `DISPATCH_LEVEL` for a raised section.
    ///
    /// # Safety
    ///
    /// The IRQL stays `DISPATCH_LEVEL` for the lifetime of the value.
    pub(crate) const unsafe fn assume() -> Self {
        Self {
            _section: PhantomData,
            _here: PhantomData,
        }
    }
}

/// An IRQL at which NDIS, and through it other drivers, may be called: no lock of ours is held.
///
/// Implemented by [`Passive`] and [`AtMostDispatch`], and by nothing else.
#[diagnostic::on_unimplemented(
    message = "NDIS cannot be called with `{Self}`",
    label = "this is not the token of a callback",
    note = "a lock's closure has borrowed the callback's token: leave the closure first"
)]
pub trait Caller: sealed::Sealed {
    /// Whether the IRQL is known to be `DISPATCH_LEVEL`. If not, it may still be.
    fn is_at_dispatch(&self) -> bool;
}

impl Caller for Passive {
    fn is_at_dispatch(&self) -> bool {
        false
    }
}

impl Caller for AtMostDispatch {
    fn is_at_dispatch(&self) -> bool {
        self.at_dispatch
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Passive {}
    impl Sealed for super::AtMostDispatch {}
}
