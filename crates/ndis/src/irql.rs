//! The interrupt request level, as a value that must be held.
//!
//! A call that is only legal at `PASSIVE_LEVEL` asks for [`&mut Passive`](Passive). A call that can run another
//! driver's code asks for [`&mut impl Caller`](Caller). A lock's closure gets a [`Dispatch`] and has borrowed the token
//! that was there before, so while the lock is held neither kind of call can be made.
//!
//! Tokens are made in the thunks only, one for each activation, and lent to the callback.
//!
//! # Example
//!
//! ```no_run
//! use ndis::event::Event;
//! use ndis::irql::{AtMostDispatch, Caller, Dispatch, Passive};
//! use ndis::lock::SpinLock;
//!
//! /// Only who can wait has a `Passive`.
//! fn wait(event: &Event, irql: &mut Passive) {
//!     event.wait(irql);
//! }
//!
//! /// Whoever is called by NDIS may set one: both tokens are a `Caller`.
//! fn tell(event: &Event, irql: &mut impl Caller) {
//!     event.set(irql);
//! }
//!
//! fn count(counter: &SpinLock<u32>, event: &Event, irql: &mut AtMostDispatch) {
//!     // The closure has borrowed `irql`, and its `Dispatch` is no `Caller`.
//!     let is_full = counter.with(irql, |count, _: Dispatch<'_>| {
//!         *count = count.saturating_add(1);
//!         *count > 100
//!     });
//!     if is_full {
//!         tell(event, irql);
//!     }
//! }
//! ```

use core::marker::PhantomData;

/// Makes a type neither `Send` nor `Sync`: an IRQL belongs to the processor that runs at it.
type NotSend = PhantomData<*mut OfThisProcessor>;

/// What the compiler names when a token is to go to another thread.
#[doc(hidden)]
#[derive(Debug)]
pub enum OfThisProcessor {}

/// `PASSIVE_LEVEL` and `DISPATCH_LEVEL` as numbers.
const PASSIVE_LEVEL: u8 = 0;
const DISPATCH_LEVEL: u8 = 2;

/// Asserts, in builds with debug assertions, that the processor's IRQL is as a token is about to say. Other builds do not
/// ask for it.
#[cfg_attr(debug_assertions, track_caller)]
fn check(is_true: impl FnOnce(u8) -> bool) {
    if cfg!(debug_assertions) {
        let level = current();
        assert!(
            is_true(level),
            "IRQL {level} is not what this callback is promised"
        );
    }
}

/// The processor's IRQL.
#[cfg(windows)]
fn current() -> u8 {
    // SAFETY: legal at any IRQL.
    unsafe { ndis_sys::nt::KeGetCurrentIrql() }
}

/// Proof that the current processor runs at `PASSIVE_LEVEL`: the callee may wait.
///
/// ```compile_fail,E0277
/// fn needs_send<T: Send>() {}
///
/// fn send() {
///     needs_send::<ndis::irql::Passive>();
/// }
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
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) unsafe fn assume() -> Self {
        // SAFETY: this function's contract.
        let irql = unsafe { Self::assume_unseen() };
        irql.look();
        irql
    }

    /// As [`assume`](Self::assume), for who has something to do first: [`look`](Self::look) follows.
    ///
    /// # Safety
    ///
    /// As for `assume`.
    pub(crate) const unsafe fn assume_unseen() -> Self {
        // INVARIANT: the caller's promise.
        Self { _here: PhantomData }
    }

    /// Looks, in checked builds, whether the level is as claimed.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) fn look(&self) {
        check(|level| level == PASSIVE_LEVEL);
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
    /// Claims `DISPATCH_LEVEL` or below for the current activation; checked builds look whether it is true.
    ///
    /// # Safety
    ///
    /// As for [`Passive::assume`], with the IRQL at most `DISPATCH_LEVEL`, and exactly that if `at_dispatch` is set.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) unsafe fn assume(at_dispatch: bool) -> Self {
        check(|level| level == DISPATCH_LEVEL || level < DISPATCH_LEVEL && !at_dispatch);
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
    /// Claims `DISPATCH_LEVEL` for a raised section; checked builds look whether it is true.
    ///
    /// # Safety
    ///
    /// The IRQL stays `DISPATCH_LEVEL` for the lifetime of the value.
    #[cfg_attr(debug_assertions, track_caller)]
    pub(crate) unsafe fn assume() -> Self {
        check(|level| level == DISPATCH_LEVEL);
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

/// What stands in for the processor's IRQL when the crate's tests run on a host: one of each thread, at first
/// `PASSIVE_LEVEL`.
#[cfg(not(windows))]
fn current() -> u8 {
    tests::LEVEL.with(core::cell::Cell::get)
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::Passive {}
    impl Sealed for super::AtMostDispatch {}
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::cell::Cell;
    use std::panic;

    use super::*;

    std::thread_local! {
        pub(super) static LEVEL: Cell<u8> = const { Cell::new(PASSIVE_LEVEL) };
    }

    /// Whether a checked build stops when `make` claims a token at a level.
    fn is_refused<T>(level: u8, make: impl FnOnce() -> T) -> bool {
        LEVEL.set(level);
        let result = panic::catch_unwind(panic::AssertUnwindSafe(make));
        LEVEL.set(PASSIVE_LEVEL);
        result.is_err()
    }

    #[test]
    fn a_token_claimed_at_another_level_stops_a_checked_build() {
        // PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL, and that of a device.
        for level in [0, 1, 2, 5] {
            // SAFETY: nothing in this test depends on the IRQL.
            let passive = is_refused(level, || unsafe { Passive::assume() });
            assert_eq!(passive, level != 0, "Passive at {level}");
            // SAFETY: likewise.
            let at_most = is_refused(level, || unsafe { AtMostDispatch::assume(false) });
            assert_eq!(at_most, level > 2, "AtMostDispatch at {level}");
            // SAFETY: likewise.
            let exactly = is_refused(level, || unsafe { AtMostDispatch::assume(true) });
            assert_eq!(exactly, level != 2, "AtMostDispatch, known, at {level}");
            // SAFETY: likewise.
            let dispatch = is_refused(level, || unsafe { Dispatch::assume() });
            assert_eq!(dispatch, level != 2, "Dispatch at {level}");
        }
    }
}
