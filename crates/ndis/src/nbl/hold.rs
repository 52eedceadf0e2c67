//! Holding packets, and releasing them in order.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use ndis_sys::{NDIS_NBL_FLAGS_HD_SPLIT, NetBufferListCancelId};

use super::batch::Callback;
use super::raw::{self, Chain, NblPointer};
use super::{Direction, NblBatch};
use crate::counter::Counter;
use crate::fifo::{Fifo, HoldLimit, Kept, Node, Stamp};
use crate::irql::Caller;
use crate::lock::SpinLock;
use crate::time;

impl Node for NblPointer {
    unsafe fn next(self) -> Option<Self> {
        // SAFETY: the contract of `Node`.
        unsafe { raw::next(self) }
    }

    unsafe fn set_next(self, next: Option<Self>) {
        // SAFETY: the contract of `Node`.
        unsafe { raw::set_next(self, Chain { first: next }) };
    }

    unsafe fn stamp(self) -> Stamp {
        // SAFETY: the contract of `Node`.
        Stamp(unsafe { raw::scratch(self) })
    }

    unsafe fn set_stamp(self, stamp: Stamp) {
        // SAFETY: the contract of `Node`: the scratch word belongs to the owner, who may leave anything in it.
        unsafe { raw::set_scratch(self, stamp.0) };
    }

    unsafe fn packets(self) -> u32 {
        let mut packets: u32 = 0;
        // SAFETY: the contract of `Node`.
        let mut at = unsafe { raw::first_net_buffer(self) };
        while let Some(packet) = at {
            packets = packets.saturating_add(1);
            // SAFETY: likewise.
            at = unsafe { raw::next_net_buffer(packet) };
        }
        packets
    }
}

/// What a module holds of one direction.
///
/// # Invariants
///
/// 1. The NBLs came through the module in this direction without low resources, and are its until they are released,
///    which happens with a reference of its datapath rundown, or in pause when there are none.
/// 2. `is_busy` and `waiting` are what the queue says, since the lock was held last.
pub(crate) struct Held {
    fifo: SpinLock<Fifo<NblPointer>>,
    is_busy: AtomicBool,
    waiting: AtomicU32,
    waiting_peak: Counter,
}

// SAFETY: an NBL may be used on any processor by who owns it.
unsafe impl Send for Fifo<NblPointer> {}

impl Held {
    pub(crate) const fn new() -> Self {
        Self {
            fifo: SpinLock::new(Fifo::new()),
            is_busy: AtomicBool::new(false),
            waiting: AtomicU32::new(0),
            waiting_peak: Counter::new(),
        }
    }

    fn with<R>(
        &self,
        irql: &mut impl Caller,
        change: impl FnOnce(&mut Fifo<NblPointer>) -> R,
    ) -> R {
        self.fifo.with(irql, |fifo, _| {
            let result = change(fifo);
            self.is_busy.store(fifo.is_busy(), Ordering::Release);
            self.waiting.store(fifo.waiting(), Ordering::Relaxed);
            self.waiting_peak.raise_to(u64::from(fifo.waiting()));
            result
        })
    }

    /// Whether something is held, or was and may not have been released yet.
    pub(crate) fn is_busy(&self) -> bool {
        self.is_busy.load(Ordering::Acquire)
    }

    pub(crate) fn counts(&self) -> HeldCounts {
        HeldCounts {
            waiting: self.waiting.load(Ordering::Relaxed),
            waiting_peak: self.waiting_peak.value(),
        }
    }

    /// Appends a batch.
    ///
    /// # Safety
    ///
    /// The NBLs are the caller's, fulfil invariant 1, and are given up but for those that are refused.
    pub(super) unsafe fn append(
        &self,
        chain: Chain,
        stamp: Stamp,
        limit: HoldLimit,
        irql: &mut impl Caller,
    ) -> Kept<NblPointer> {
        // SAFETY: this function's contract.
        self.with(irql, |fifo| unsafe {
            fifo.append(chain.first, stamp, limit, is_holdable)
        })
    }

    /// Takes out the sends that a protocol wants back, in order.
    pub(crate) fn take_cancelled(
        &self,
        cancel_id: *mut core::ffi::c_void,
        irql: &mut impl Caller,
    ) -> Chain {
        let removed = self.with(irql, |fifo| {
            fifo.remove(|nbl| {
                // SAFETY: by invariant 1 the NBL is the module's.
                unsafe { raw::info(nbl, NetBufferListCancelId) == cancel_id }
            })
        });
        Chain {
            first: removed.first,
        }
    }

    /// Takes out everything, in order.
    ///
    /// Nobody holds anything any more, and nobody has the right to release.
    pub(crate) fn take_all(&self, irql: &mut impl Caller) -> Chain {
        let all = self.with(irql, |fifo| fifo.remove(|_| true));
        Chain { first: all.first }
    }

    /// Runs `f` if nobody has the right to release and, with `only_idle`, nothing is held; then gives the right back.
    pub(crate) fn with_right<R, C: Caller>(
        &self,
        only_idle: bool,
        irql: &mut C,
        f: impl FnOnce(&mut C) -> R,
    ) -> Option<Released<R>> {
        let has_right = self.with(irql, |fifo| {
            if only_idle {
                fifo.take_idle_right()
            } else {
                fifo.take_right()
            }
        });
        if !has_right {
            return None;
        }
        let result = f(irql);
        let oldest = self.with(irql, |fifo| {
            fifo.give_right_back();
            fifo.oldest()
        });
        Some(Released {
            result,
            oldest_ns: oldest.map(|stamp| stamp.held_ns(time::now_ns())),
        })
    }
}

/// Whether an NBL stays as it is while it is held. With header-data split, the adapter may take the headers back as soon
/// as its indication has returned.
fn is_holdable(nbl: NblPointer) -> bool {
    // SAFETY: called for NBLs that are the caller's.
    let flags = unsafe { raw::flags(nbl) };
    flags & NDIS_NBL_FLAGS_HD_SPLIT == 0
}

/// How much is held of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeldCounts {
    /// Packets that wait for judgement now.
    pub waiting: u32,
    /// The most that ever did.
    pub waiting_peak: u64,
}

/// What became of a batch that was to be held.
#[derive(Debug)]
#[must_use = "what was refused has to be dealt with"]
pub struct Hold<'c, D: Direction> {
    /// What is not held, in order: beyond the limit, or not holdable at all (header-data split).
    pub refused: NblBatch<'c, D>,
    /// Lists of it that are held now.
    pub held: u32,
    /// Whether nothing had been held before.
    pub is_first: bool,
}

/// What the right to release was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released<R> {
    /// What the closure gave.
    pub result: R,
    /// For how many nanoseconds the oldest of what is held has been held, as [`Turn::held_ns`] counts them; `None`: nothing
    /// is. Who was refused the right meanwhile relies on this one to see to it.
    pub oldest_ns: Option<u64>,
}

/// The right to release what a module holds of one direction; made by [`Running::release`](crate::filter::Running::release).
///
/// # Invariants
///
/// The right of the module's queue is this value's.
pub struct Release<'r, D: Direction> {
    held: &'r Held,
    callback: Callback<'r, D>,
}

impl<'r, D: Direction> Release<'r, D> {
    /// # Safety
    ///
    /// The caller has the right of `held`, and uses the value no longer than that. `callback` is one of the same module
    /// and direction.
    pub(crate) const unsafe fn new(held: &'r Held, callback: Callback<'r, D>) -> Self {
        // INVARIANT: the caller's promise.
        Self { held, callback }
    }

    /// Ends it: refuses what was dropped, and says how many batches were leaked.
    pub(crate) fn settle(self, irql: &mut impl Caller) -> usize {
        self.callback.settle(irql)
    }

    /// Takes out what has been held for longest: at most `most` lists of one batch. `None`: nothing is held.
    ///
    /// One has to be dealt with before the next can be had, so the order is kept.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn next(&mut self, most: u32, irql: &mut impl Caller) -> Option<Turn<'_, D>> {
        self.next_older(0, most, irql)
    }

    /// Likewise, but only what has been held for `least_ns` nanoseconds or more, as [`Turn::held_ns`] counts them: with 8.5
    /// seconds or more there may be none.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`.
    pub fn next_older(
        &mut self,
        least_ns: u64,
        most: u32,
        irql: &mut impl Caller,
    ) -> Option<Turn<'_, D>> {
        let now_ns = time::now_ns();
        let run = self.held.with(irql, |fifo| {
            let held_ns = fifo.oldest()?.held_ns(now_ns);
            if held_ns < least_ns {
                return None;
            }
            fifo.take(most)
        })?;
        let chain = Chain {
            first: run.list.first,
        };
        let stamp = run.stamp;
        // SAFETY: the NBLs were the queue's, so by its invariant they came in this direction without low resources, with
        // this port and these flags, and nobody else has them.
        let packets = unsafe {
            self.callback
                .batch(chain, run.list.count, stamp.port(), stamp.flags())
        };
        Some(Turn {
            packets,
            held_ns: stamp.held_ns(now_ns),
            is_unjudged: stamp.is_unjudged(),
        })
    }
}

impl<D: Direction> fmt::Debug for Release<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Release").finish_non_exhaustive()
    }
}

/// Packets whose turn it is.
#[derive(Debug)]
pub struct Turn<'c, D: Direction> {
    /// The packets.
    pub packets: NblBatch<'c, D>,
    /// For how many nanoseconds they have been held; rounded up, by at most 1.1 milliseconds. Right up to 8.5 seconds: the
    /// count begins anew after 8.6.
    pub held_ns: u64,
    /// Whether they waited for their turn only: there was no room for judgement.
    pub is_unjudged: bool,
}
