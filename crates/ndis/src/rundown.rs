//! Rundown: letting those who came in finish, and nobody in any more.

use crate::irql::Passive;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::or_mutant;

/// How the last one out wakes the one who waits.
///
/// A parameter of [`Rundown`], so that it can be checked without NT.
pub(crate) trait Signal {
    /// Wakes the waiter, now or when it comes.
    fn set(&self);
    /// Forgets an earlier [`set`](Self::set).
    fn reset(&self);
    /// Waits for [`set`](Self::set).
    fn wait(&self, irql: &mut Passive);
}

/// Bit of `Rundown::state`: nobody is let in.
const CLOSED: usize = 1;
/// What one reference adds to `Rundown::state`.
const ONE: usize = 2;

/// Counts who is inside, and lets one waiter close the door and wait until they are out.
///
/// # Invariants
///
/// 1. `state` is `ONE` times the number of references that were given and not given back, plus `CLOSED` or not. There
///    are never more references than threads and queued work, so it does not overflow.
/// 2. While `CLOSED` is set, the number only falls.
/// 3. From the return of `close` to the next `open`, the number is zero, and what the holders of references did
///    happened before that return.
/// 4. `open` and `close` are called by one thread at a time, `open` only while closed.
#[derive(Debug)]
pub(crate) struct Rundown<S> {
    state: AtomicUsize,
    drained: S,
}

impl<S: Signal> Rundown<S> {
    /// A closed one.
    pub(crate) fn closed(drained: S) -> Self {
        Self {
            state: AtomicUsize::new(CLOSED),
            drained,
        }
    }

    /// Lets in again.
    pub(crate) fn open(&self) {
        self.drained.reset();
        self.state.store(0, Ordering::Release);
    }

    /// Takes a reference, unless closed. It must be given back by [`release`](Self::release).
    ///
    /// The retries are bounded by the progress of others: one fails only because another reference came or went.
    #[must_use]
    pub(crate) fn acquire(&self) -> bool {
        let mut seen = self.state.load(Ordering::Relaxed);
        loop {
            if seen & CLOSED != 0 {
                return false;
            }
            match self.state.compare_exchange_weak(
                seen,
                seen.wrapping_add(ONE),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
    }

    /// Whether a reference is given and not given back. A holder of one sees `true`.
    pub(crate) fn is_occupied(&self) -> bool {
        self.state.load(Ordering::Acquire) >= ONE
    }

    /// Whether nobody is let in any more. `false`: what the caller did before, who closes it afterwards sees.
    pub(crate) fn is_closed(&self) -> bool {
        // A write that changes nothing: it hands on what this caller did, and sees the latest value, which a load need not.
        self.state.fetch_or(0, Ordering::AcqRel) & CLOSED != 0
    }

    /// Gives a reference back. `self` may be gone when this returns.
    pub(crate) fn release(&self) {
        // `Release` hands on what this holder did; `Acquire` lets the last one hand on what the others did.
        let order = or_mutant!(Ordering::AcqRel, "rundown-release", Ordering::Relaxed);
        if self.state.fetch_sub(ONE, order) == ONE | CLOSED {
            // Invariant 2: nobody else sees zero. The waiter cannot leave before this call has woken it.
            self.drained.set();
        }
    }

    /// Closes the door and waits until everybody is out. Closing what is closed waits for nobody.
    pub(crate) fn close(&self, irql: &mut Passive) {
        self.close_and(irql, |_| ());
    }

    /// Closes the door, does what makes some of them leave, and waits until everybody is out.
    pub(crate) fn close_and(&self, irql: &mut Passive, hurry: impl FnOnce(&mut Passive)) {
        let before = self.state.fetch_or(CLOSED, Ordering::AcqRel);
        hurry(irql);
        let is_occupied = or_mutant!(before >= ONE, "rundown-wait", false);
        if before & CLOSED == 0 && is_occupied {
            self.drained.wait(irql);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    extern crate std;

    use std::sync::{Arc, Condvar, Mutex};
    use std::vec::Vec;

    use super::*;

    #[derive(Default)]
    pub(crate) struct Flag(Mutex<bool>, Condvar);

    impl Signal for Flag {
        fn set(&self) {
            *self.0.lock().unwrap() = true;
            self.1.notify_all();
        }

        fn reset(&self) {
            *self.0.lock().unwrap() = false;
        }

        fn wait(&self, _irql: &mut Passive) {
            let mut set = self.0.lock().unwrap();
            while !*set {
                set = self.1.wait(set).unwrap();
            }
        }
    }

    /// A token for a host thread, which has no IRQL at all.
    pub(crate) fn passive() -> Passive {
        // SAFETY: nothing in this test depends on the IRQL.
        unsafe { Passive::assume() }
    }

    #[test]
    fn closed_lets_nobody_in_until_opened() {
        let rundown = Rundown::closed(Flag::default());
        assert!(!rundown.acquire());
        rundown.open();
        assert!(rundown.acquire());
        rundown.release();
        rundown.close(&mut passive());
        assert!(!rundown.acquire());
        rundown.close(&mut passive());
        rundown.open();
        assert!(rundown.acquire());
        rundown.release();
    }

    #[test]
    fn close_waits_for_everybody_inside() {
        for _ in 0..200 {
            let rundown = Arc::new(Rundown::closed(Flag::default()));
            let inside = Arc::new(AtomicUsize::new(0));
            rundown.open();
            let threads: Vec<_> = (0..3)
                .map(|_| {
                    let (rundown, inside) = (Arc::clone(&rundown), Arc::clone(&inside));
                    std::thread::spawn(move || {
                        while rundown.acquire() {
                            inside.fetch_add(1, Ordering::Relaxed);
                            inside.fetch_sub(1, Ordering::Relaxed);
                            rundown.release();
                        }
                    })
                })
                .collect();
            rundown.close(&mut passive());
            assert_eq!(inside.load(Ordering::Relaxed), 0);
            for thread in threads {
                thread.join().unwrap();
            }
        }
    }
}
