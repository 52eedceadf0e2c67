//! When a work item may be queued: the part without raw calls.

use crate::sync::atomic::{AtomicU8, Ordering};
use crate::sync::or_mutant;

const IDLE: u8 = 0;
const QUEUED: u8 = 1;
const RUNNING: u8 = 2;
/// Running, and a wish came meanwhile.
const WANTED: u8 = 3;
/// Offered to the system, which may refuse.
const OFFERED: u8 = 4;
/// Offered, and a wish came meanwhile.
const OFFERED_AND_WANTED: u8 = 5;
/// Mask of the states.
const STATE: u8 = 7;
/// Somebody waits for the item to come to rest.
const WATCHED: u8 = 8;
/// This run has begun since somebody waits: it is the last one that is waited for.
const LAST: u8 = 16;
/// Mask of these two.
const WATCH: u8 = WATCHED | LAST;

/// Answer to a wish.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// The item was idle: the caller has to queue it.
    Queue,
    /// A run that has not started, or one after the present one, takes care of the wish.
    Coalesced,
}

/// What to do when the routine has returned, or the system has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum After {
    /// Queue the item again; before that, wake the watcher if `wake` is set.
    Requeue { wake: bool },
    /// Nothing; wake the watcher if `wake` is set.
    Rest { wake: bool },
}

/// Where a work item is.
///
/// ```text
///           wish: queue it          start               finish
///   idle ───────────────▶ queued ───────────▶ running ───────────▶ idle
///                           ▲ └ wish: coalesced   │ wish: coalesced
///                           │                     ▼
///                           └──────────────── running and wanted
///                            finish: queue it
/// ```
///
/// Who waits for the item to come to rest waits for the run that is under way, and for one that begins after that, and no
/// longer: the wish of that run's own routine for another one is not heeded, and of others' wishes it knows nothing.
///
/// A queueing that the system may refuse goes by way of *offered*: the run starts from there, or the offer is withdrawn, and
/// the item rests, unless it was wished for meanwhile: then it is queued.
///
/// # Invariants
///
/// 1. The item is in the system's queue only while the state is `QUEUED` or one of the two `OFFERED`, and once. Whoever
///    moves the state to `QUEUED` or from `IDLE` to `OFFERED` is the one who queues or offers it; nobody moves it to
///    `QUEUED` from there, but for who has offered it, after a refusal.
/// 2. `start` and `finish` are called by the run that the queueing led to, so between them no other run is.
/// 3. Every wish is a read-modify-write of the state. One that finds `QUEUED` is ordered before the `start` of that run
///    (which therefore sees what the wisher wrote before), one that finds `RUNNING` makes another run follow.
/// 4. `LAST` is set only beside `WATCHED` while the item runs. Who has set `WATCHED` is woken once, by who clears it.
#[derive(Debug)]
pub(crate) struct State(AtomicU8);

impl State {
    pub(crate) fn idle() -> Self {
        Self(AtomicU8::new(IDLE))
    }

    /// Asks for a run that starts after this call.
    pub(crate) fn wish(&self) -> Wish {
        self.wish_by(QUEUED)
    }

    /// As [`wish`](Self::wish), but the caller has to offer the item to the system, which may refuse it.
    pub(crate) fn offer(&self) -> Wish {
        self.wish_by(OFFERED)
    }

    /// The system has refused the item that this caller has offered.
    pub(crate) fn refused(&self) -> After {
        let before = self.update(|state, watch| {
            if state == OFFERED_AND_WANTED {
                QUEUED | watch
            } else {
                IDLE
            }
        });
        if before & STATE == OFFERED_AND_WANTED {
            After::Requeue { wake: false }
        } else {
            After::Rest {
                wake: before & WATCHED != 0,
            }
        }
    }

    fn wish_by(&self, way: u8) -> Wish {
        let before = self.update(|state, watch| {
            let next = match state {
                IDLE => way,
                QUEUED => QUEUED,
                OFFERED | OFFERED_AND_WANTED => {
                    or_mutant!(OFFERED_AND_WANTED, "work-offered", OFFERED)
                }
                _ => or_mutant!(WANTED, "work-wanted", RUNNING),
            };
            next | watch
        });
        if before & STATE == IDLE {
            Wish::Queue
        } else {
            Wish::Coalesced
        }
    }

    /// The routine has been called.
    pub(crate) fn start(&self) {
        self.update(|_, watch| {
            let is_last = watch & WATCHED != 0;
            let last = if is_last {
                or_mutant!(LAST, "work-last", 0)
            } else {
                0
            };
            RUNNING | watch | last
        });
    }

    /// The routine has returned; `again` is its own wish.
    pub(crate) fn finish(&self, again: bool) -> After {
        let goes_on = |state, watch| state == WANTED || (again && watch & LAST == 0);
        let before = self.update(|state, watch| {
            if !goes_on(state, watch) {
                IDLE
            } else if watch & LAST != 0 {
                QUEUED
            } else {
                QUEUED | watch
            }
        });
        if goes_on(before & STATE, before & WATCH) {
            After::Requeue {
                wake: before & LAST != 0,
            }
        } else {
            After::Rest {
                wake: before & WATCHED != 0,
            }
        }
    }

    /// Asks for a wake-up when the item comes to rest, or a run that begins after this has ended. `false` if it rests already.
    pub(crate) fn watch(&self) -> bool {
        let before = self.update(|state, watch| {
            if state == IDLE {
                watch
            } else {
                state | watch | WATCHED
            }
        });
        before & STATE != IDLE
    }

    /// Replaces the state by `next(state, watch)` and gives what was there.
    fn update(&self, next: impl Fn(u8, u8) -> u8) -> u8 {
        let order = or_mutant!(Ordering::AcqRel, "work-order", Ordering::Relaxed);
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            match self.0.compare_exchange_weak(
                seen,
                next(seen & STATE, seen & WATCH),
                order,
                Ordering::Relaxed,
            ) {
                Ok(_) => return seen,
                Err(now) => seen = now,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use core::sync::atomic::{AtomicBool, AtomicU32};
    use std::sync::mpsc;
    use std::{sync::Mutex, thread};

    use super::*;

    #[test]
    fn one_wish_one_queueing() {
        let state = State::idle();
        assert_eq!(state.wish(), Wish::Queue);
        assert_eq!(state.wish(), Wish::Coalesced);
        state.start();
        assert_eq!(state.finish(false), After::Rest { wake: false });
        assert_eq!(state.wish(), Wish::Queue);
    }

    #[test]
    fn wish_during_a_run_makes_one_more_run() {
        let state = State::idle();
        assert_eq!(state.wish(), Wish::Queue);
        state.start();
        assert_eq!(state.wish(), Wish::Coalesced);
        assert_eq!(state.wish(), Wish::Coalesced);
        assert_eq!(state.finish(false), After::Requeue { wake: false });
        state.start();
        assert_eq!(state.finish(false), After::Rest { wake: false });
    }

    #[test]
    fn routine_can_ask_for_itself() {
        let state = State::idle();
        assert_eq!(state.wish(), Wish::Queue);
        state.start();
        assert_eq!(state.finish(true), After::Requeue { wake: false });
        assert_eq!(state.wish(), Wish::Coalesced);
        state.start();
        assert_eq!(state.finish(false), After::Rest { wake: false });
    }

    #[test]
    fn watcher_is_woken_when_the_item_rests_and_not_before() {
        let state = State::idle();
        assert!(!state.watch());
        assert_eq!(state.wish(), Wish::Queue);
        assert!(state.watch());
        state.start();
        assert_eq!(state.finish(false), After::Rest { wake: true });
        assert!(!state.watch());
    }

    #[test]
    fn watcher_of_a_run_waits_for_one_more_and_no_longer() {
        let state = State::idle();
        assert_eq!(state.wish(), Wish::Queue);
        state.start();
        assert!(state.watch());
        // It may have begun before what the watcher did.
        assert_eq!(state.finish(true), After::Requeue { wake: false });
        state.start();
        assert_eq!(state.finish(true), After::Rest { wake: true });
        assert!(!state.watch());
    }

    #[test]
    fn wish_of_others_is_kept_and_not_waited_for() {
        let state = State::idle();
        assert_eq!(state.wish(), Wish::Queue);
        assert!(state.watch());
        state.start();
        assert_eq!(state.wish(), Wish::Coalesced);
        assert_eq!(state.finish(true), After::Requeue { wake: true });
        state.start();
        assert_eq!(state.finish(true), After::Requeue { wake: false });
        state.start();
        assert_eq!(state.finish(false), After::Rest { wake: false });
    }

    #[test]
    fn watcher_of_an_offer_is_woken_when_it_is_refused() {
        let state = State::idle();
        assert_eq!(state.offer(), Wish::Queue);
        assert!(state.watch());
        assert_eq!(state.refused(), After::Rest { wake: true });
        assert_eq!(state.offer(), Wish::Queue);
        assert!(state.watch());
        assert_eq!(state.offer(), Wish::Coalesced);
        // The run for the other wish is waited for.
        assert_eq!(state.refused(), After::Requeue { wake: false });
        state.start();
        assert_eq!(state.finish(false), After::Rest { wake: true });
    }

    /// Two system threads take from one queue; four others wish. Whatever the interleaving, no two runs overlap, the item
    /// is never in the queue twice, and what was written before the last wish is seen by a run.
    #[test]
    fn runs_do_not_overlap_and_no_wish_is_lost() {
        const WISHERS: u32 = 4;
        const EACH: u32 = 2_000;
        let state = State::idle();
        let (queued, running) = (AtomicBool::new(false), AtomicBool::new(false));
        let (written, seen) = (AtomicU32::new(0), AtomicU32::new(0));
        let (queue, system) = mpsc::channel();
        let system = Mutex::new(system);
        let enqueue = |queue: &mpsc::Sender<bool>| {
            assert!(!queued.swap(true, Ordering::SeqCst), "queued twice");
            queue.send(true).expect("a system thread");
        };
        let (state, queued, running, written, seen) = (&state, &queued, &running, &written, &seen);
        let (system, enqueue) = (&system, &enqueue);
        thread::scope(|scope| {
            for _ in 0..2 {
                let queue = queue.clone();
                scope.spawn(move || {
                    while system.lock().expect("the queue").recv() == Ok(true) {
                        queued.store(false, Ordering::SeqCst);
                        state.start();
                        assert!(!running.swap(true, Ordering::SeqCst), "two runs");
                        seen.store(written.load(Ordering::Relaxed), Ordering::Relaxed);
                        running.store(false, Ordering::SeqCst);
                        if state.finish(false) == (After::Requeue { wake: false }) {
                            enqueue(&queue);
                        }
                    }
                });
            }
            let wishers: std::vec::Vec<_> = (0..WISHERS)
                .map(|_| {
                    let queue = queue.clone();
                    scope.spawn(move || {
                        for _ in 0..EACH {
                            written.fetch_add(1, Ordering::Relaxed);
                            if state.wish() == Wish::Queue {
                                enqueue(&queue);
                            }
                        }
                    })
                })
                .collect();
            for wisher in wishers {
                wisher.join().expect("no assertion failed");
            }
            while state.watch() {
                thread::yield_now();
            }
            assert_eq!(seen.load(Ordering::Relaxed), WISHERS * EACH);
            for _ in 0..2 {
                queue.send(false).expect("a system thread");
            }
        });
    }
}
