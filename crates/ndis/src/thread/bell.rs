//! How a thread is woken, and told why: the part without raw calls.

use core::sync::atomic::{AtomicBool, Ordering};

use crate::irql::Passive;
use crate::rundown::Signal;

/// Why a thread goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Somebody has called it since it was last told so.
    Called,
    /// The time has passed.
    Elapsed,
    /// Its module is going: the routine returns soon.
    Stop,
}

/// What wakes a thread. One thread waits.
///
/// # Invariants
///
/// Who sets one of the two flags sets `event` afterwards; the thread resets `event` before it looks at them. So whatever it does
/// not see yet is followed by another wake-up.
#[derive(Debug)]
pub(crate) struct Bell<S> {
    event: S,
    is_called: AtomicBool,
    is_stopping: AtomicBool,
}

impl<S: Signal> Bell<S> {
    pub(crate) const fn new(event: S) -> Self {
        Self {
            event,
            is_called: AtomicBool::new(false),
            is_stopping: AtomicBool::new(false),
        }
    }

    pub(crate) fn call(&self) {
        self.is_called.store(true, Ordering::SeqCst);
        self.event.set();
    }

    /// For good.
    pub(crate) fn stop(&self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        self.event.set();
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::SeqCst)
    }

    /// Waits as `wait` does, which says whether the event was set before its time was over.
    pub(crate) fn wait(
        &self,
        irql: &mut Passive,
        mut wait: impl FnMut(&S, &mut Passive) -> bool,
    ) -> Next {
        loop {
            // The event may have told of it already.
            if self.is_stopping() {
                return Next::Stop;
            }
            let is_set = wait(&self.event, irql);
            self.event.reset();
            if self.is_stopping() {
                return Next::Stop;
            }
            if self.is_called.swap(false, Ordering::SeqCst) {
                return Next::Called;
            }
            if !is_set {
                return Next::Elapsed;
            }
            // Set by a call that the thread was told of before: it waits anew.
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::AtomicU32;
    use std::thread;

    use super::*;
    use crate::rundown::tests::{Flag, passive};

    fn wait(bell: &Bell<Flag>) -> Next {
        bell.wait(&mut passive(), |event, irql| {
            event.wait(irql);
            true
        })
    }

    #[test]
    fn calls_before_the_wait_are_one_call() {
        let bell = Bell::new(Flag::default());
        bell.call();
        bell.call();
        assert_eq!(wait(&bell), Next::Called);
        let next = bell.wait(&mut passive(), |_, _| false);
        assert_eq!(next, Next::Elapsed);
    }

    #[test]
    fn a_late_wake_up_for_a_call_that_was_told_of_is_none() {
        let bell = Bell::new(Flag::default());
        let mut waits = 0;
        let next = bell.wait(&mut passive(), |event, _| {
            waits += 1;
            if waits == 1 {
                event.set();
            }
            waits == 1
        });
        assert_eq!((next, waits), (Next::Elapsed, 2));
    }

    #[test]
    fn stop_is_told_of_for_ever_and_before_calls() {
        let bell = Bell::new(Flag::default());
        bell.call();
        bell.stop();
        assert_eq!(wait(&bell), Next::Stop);
        assert_eq!(wait(&bell), Next::Stop);
        assert!(bell.is_stopping());
    }

    #[test]
    fn every_call_is_followed_by_a_look_and_the_thread_stops() {
        for _ in 0..50 {
            let bell = Bell::new(Flag::default());
            let (wishes, done) = (AtomicU32::new(0), AtomicU32::new(0));
            thread::scope(|scope| {
                scope.spawn(|| {
                    while wait(&bell) == Next::Called {
                        done.store(wishes.load(Ordering::SeqCst), Ordering::SeqCst);
                    }
                });
                for _ in 0..100 {
                    wishes.fetch_add(1, Ordering::SeqCst);
                    bell.call();
                }
                while done.load(Ordering::SeqCst) < 100 {
                    thread::yield_now();
                }
                bell.stop();
            });
        }
    }
}
