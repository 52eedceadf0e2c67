//! Snapshots on their way from the datapath to a worker: a bounded ring without a lock.
//!
//! Any number of processors write, at any IRQL; one reader drains. All memory is there from the start. A full ring
//! refuses the snapshot, and nobody waits for anybody.
//!
//! # Example
//!
//! ```no_run
//! use core::ops::ControlFlow;
//!
//! use ndis::mem::{OutOfMemory, Tag};
//! use ndis::nbl::{Packet, Unreadable};
//! use ndis::ring::{Drained, NotWritten, SnapshotRing};
//!
//! /// A ring for 1,024 snapshots of 128 bytes, each with the length of its frame.
//! fn make() -> Result<SnapshotRing<u32>, OutOfMemory> {
//!     SnapshotRing::try_new(Tag::new(*b"Exam"), 1024, 128)
//! }
//!
//! /// In the datapath; says whether there was room.
//! fn write(ring: &SnapshotRing<u32>, packet: &Packet<'_>) -> Result<bool, Unreadable> {
//!     match ring.write(|room| Ok((packet.len(), packet.copy_to(0, room)?))) {
//!         Ok(()) => Ok(true),
//!         Err(NotWritten::Full) => Ok(false),
//!         Err(NotWritten::Refused(why)) => Err(why),
//!     }
//! }
//!
//! /// In the worker: at most 64 of them, and whether there are more.
//! fn read(ring: &SnapshotRing<u32>) -> bool {
//!     let mut left: u32 = 64;
//!     let drained = ring.drain(|_length, _bytes| {
//!         left = left.saturating_sub(1);
//!         if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
//!     });
//!     !matches!(drained, Drained::Empty)
//! }
//! ```

use crate::mem::{OutOfMemory, PoolVec, Tag};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::or_mutant;
use core::cell::UnsafeCell;
use core::fmt;
use core::mem::MaybeUninit;
use core::ops::ControlFlow;

/// Why a snapshot was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotWritten<E> {
    /// Every entry waits for the reader.
    Full,
    /// The one who was to fill the entry did not.
    Refused(E),
}

/// What [`SnapshotRing::drain`] has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing was left, or nothing whose writer had finished.
    Empty,
    /// The closure asked to stop; there may be more.
    Stopped,
    /// Somebody else is draining.
    Busy,
}

/// A ring of entries, each of which holds one `H` and some bytes.
///
/// ```text
///   free ──write: reserve──▶ being written ──publish──▶ waiting ──drain──▶ free, one lap later
/// ```
///
/// # Invariants
///
/// There are `2^n` entries, and `mask` is that number less one. Positions count for ever; position `p` is at
/// entry `p & mask`. `lap` of the entry at position `p` says who may touch its `head` and its bytes:
///
/// 1. `p`: nobody, until a writer moves `tail` from `p` to `p + 1`, which only one does; then that writer.
/// 2. `p + 1`: the reader, who holds `draining` and whose `next` is `p`; `head` is initialised.
/// 3. The writer goes from 1 to 2 by a `Release` store, the reader from 2 to 1 of the next lap (`p + entries`) likewise,
///    and both look by an `Acquire` load.
///
/// Entry `i` owns the bytes from `i * stride` to `(i + 1) * stride`, and `length` of an initialised `head` is at most
/// `stride`.
pub struct SnapshotRing<H> {
    entries: PoolVec<Entry<H>>,
    bytes: PoolVec<UnsafeCell<u8>>,
    stride: usize,
    mask: usize,
    tail: Lonely<AtomicUsize>,
    /// Position of the reader; written by who holds `draining`.
    next: Lonely<AtomicUsize>,
    draining: AtomicBool,
}

struct Entry<H> {
    lap: AtomicUsize,
    head: UnsafeCell<MaybeUninit<Head<H>>>,
}

#[derive(Clone, Copy)]
struct Head<H> {
    /// `None`: the writer gave up.
    value: Option<H>,
    length: usize,
}

/// Alone on its cache line (two, as processors fetch pairs of them).
#[repr(align(128))]
struct Lonely<T>(T);

// SAFETY: by invariants 1 to 3 an entry and its bytes are touched by one processor at a time, handed over by
// `Release` and `Acquire`; the values that cross are `H`.
unsafe impl<H: Send> Sync for SnapshotRing<H> {}
// SAFETY: as above.
unsafe impl<H: Send> Send for SnapshotRing<H> {}

impl<H: Copy> SnapshotRing<H> {
    /// Makes a ring of at least `entries` entries (rounded up to a power of two, and to two at least) of `snapshot`
    /// bytes each.
    ///
    /// # IRQL
    ///
    /// At or below `DISPATCH_LEVEL`; it allocates much, so attach is the place for it.
    ///
    /// # Errors
    ///
    /// [`OutOfMemory`], also when the ring would be larger than memory can be.
    pub fn try_new(tag: Tag, entries: usize, snapshot: usize) -> Result<Self, OutOfMemory> {
        let count = entries
            .max(2)
            .checked_next_power_of_two()
            .ok_or(OutOfMemory)?;
        let bytes = count.checked_mul(snapshot).ok_or(OutOfMemory)?;
        // INVARIANT: the entry at position `p` of the first lap is free for its writer.
        let entries = PoolVec::try_from_fn(tag, count, |index| Entry {
            lap: AtomicUsize::new(index),
            head: UnsafeCell::new(MaybeUninit::uninit()),
        })?;
        Ok(Self {
            entries,
            bytes: PoolVec::try_zeroed(tag, bytes)?,
            stride: snapshot,
            mask: count.wrapping_sub(1),
            tail: Lonely(AtomicUsize::new(0)),
            next: Lonely(AtomicUsize::new(0)),
            draining: AtomicBool::new(false),
        })
    }

    /// Bytes of pool that such a ring takes; `None` when it would be larger than memory can be.
    #[must_use]
    pub fn size(entries: usize, snapshot: usize) -> Option<usize> {
        let count = entries.max(2).checked_next_power_of_two()?;
        count.checked_mul(size_of::<Entry<H>>().checked_add(snapshot)?)
    }

    /// Entries that the ring has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.entries.len()
    }

    /// Bytes that an entry can hold.
    #[must_use]
    pub const fn snapshot_length(&self) -> usize {
        self.stride
    }

    /// Entries that wait for the reader or are being written, at about this time.
    #[must_use]
    pub fn waiting(&self) -> usize {
        let next = self.next.0.load(Ordering::Relaxed);
        let tail = self.tail.0.load(Ordering::Relaxed);
        tail.wrapping_sub(next).min(self.capacity())
    }

    /// Writes one snapshot: `fill` gets the entry's bytes (what they hold before is of no meaning), and gives the value
    /// and the number of bytes that it filled.
    ///
    /// It tries again only when another writer got the entry first, so there is always one who gets on.
    ///
    /// # IRQL
    ///
    /// Any.
    ///
    /// # Errors
    ///
    /// [`NotWritten::Full`], without calling `fill`; [`NotWritten::Refused`] with what `fill` gave.
    pub fn write<E>(
        &self,
        fill: impl FnOnce(&mut [u8]) -> Result<(H, usize), E>,
    ) -> Result<(), NotWritten<E>> {
        let mut position = self.tail.0.load(Ordering::Relaxed);
        let (entry, bytes) = loop {
            let Some((entry, bytes)) = self.at(position) else {
                return Err(NotWritten::Full);
            };
            let lap = entry.lap.load(Ordering::Acquire);
            if lap != position {
                let seen = self.tail.0.load(Ordering::Relaxed);
                if seen == position {
                    // Nobody came between: the entry still waits for the reader since the lap before.
                    return Err(NotWritten::Full);
                }
                position = seen;
                continue;
            }
            match self.tail.0.compare_exchange_weak(
                position,
                position.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break (entry, bytes),
                Err(seen) => position = seen,
            }
        };
        // SAFETY: by invariant 1 this writer alone may touch the entry's bytes, which are `stride` long and initialised.
        let room = unsafe { core::slice::from_raw_parts_mut(bytes, self.stride) };
        let filled = fill(room);
        let (head, result) = match filled {
            Ok((value, length)) => {
                let length = length.min(self.stride);
                let value = Some(value);
                (Head { value, length }, Ok(()))
            }
            Err(error) => {
                let (value, length) = (None, 0);
                (Head { value, length }, Err(NotWritten::Refused(error)))
            }
        };
        // SAFETY: by invariant 1 this writer alone may touch `head`.
        unsafe { entry.head.get().write(MaybeUninit::new(head)) };
        // INVARIANT: `head` is initialised, and the entry goes to the reader.
        let order = or_mutant!(Ordering::Release, "ring-publish", Ordering::Relaxed);
        entry.lap.store(position.wrapping_add(1), order);
        result
    }

    /// Hands the waiting snapshots to `take`, the oldest first, until there are no more or `take` says so.
    ///
    /// An entry whose writer has reserved it and not finished yet stops the walk; the writer asks for another one when
    /// it has finished.
    ///
    /// # IRQL
    ///
    /// Any.
    pub fn drain(&self, mut take: impl FnMut(&H, &[u8]) -> ControlFlow<()>) -> Drained {
        if self.draining.swap(true, Ordering::Acquire) {
            return Drained::Busy;
        }
        let mut position = self.next.0.load(Ordering::Relaxed);
        let drained = loop {
            let Some((entry, bytes)) = self.at(position) else {
                break Drained::Empty;
            };
            let following = position.wrapping_add(1);
            let order = or_mutant!(Ordering::Acquire, "ring-read", Ordering::Relaxed);
            if entry.lap.load(order) != following {
                break Drained::Empty;
            }
            // SAFETY: by invariant 2 the reader, which is us, alone may touch `head`, which is initialised.
            let head = unsafe { &*entry.head.get() };
            // SAFETY: likewise.
            let head = unsafe { head.assume_init_ref() };
            // SAFETY: likewise the bytes; `length` is at most `stride`.
            let filled = unsafe { core::slice::from_raw_parts(bytes.cast_const(), head.length) };
            let flow = match &head.value {
                Some(value) => take(value, filled),
                None => ControlFlow::Continue(()),
            };
            // INVARIANT: the entry goes to the writer of the next lap; `head` is not looked at before it wrote it.
            let next_lap = position.wrapping_add(self.entries.len());
            let order = or_mutant!(Ordering::Release, "ring-reuse", Ordering::Relaxed);
            entry.lap.store(next_lap, order);
            position = following;
            self.next.0.store(position, Ordering::Relaxed);
            if flow.is_break() {
                break Drained::Stopped;
            }
        };
        self.draining.store(false, Ordering::Release);
        drained
    }

    /// The entry at a position, and its bytes. There always is one: masking keeps the index in range.
    fn at(&self, position: usize) -> Option<(&Entry<H>, *mut u8)> {
        let index = position & self.mask;
        let entry = self.entries.get(index)?;
        let bytes =
            UnsafeCell::raw_get(self.bytes.as_ptr()).wrapping_add(index.wrapping_mul(self.stride));
        Some((entry, bytes))
    }
}

impl<H> fmt::Debug for SnapshotRing<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SnapshotRing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;
    use std::{thread, vec};

    use super::*;

    const TAG: Tag = Tag::new(*b"Test");

    fn ring(entries: usize, snapshot: usize) -> SnapshotRing<u32> {
        SnapshotRing::try_new(TAG, entries, snapshot).expect("memory")
    }

    fn write(ring: &SnapshotRing<u32>, value: u32) -> Result<(), NotWritten<()>> {
        ring.write(|room| {
            room.fill(value as u8);
            Ok((value, room.len()))
        })
    }

    fn drain(ring: &SnapshotRing<u32>) -> Vec<u32> {
        let mut values = vec![];
        let drained = ring.drain(|&value, bytes| {
            assert!(bytes.iter().all(|&byte| byte == value as u8));
            values.push(value);
            ControlFlow::Continue(())
        });
        assert_eq!(drained, Drained::Empty);
        values
    }

    #[test]
    fn entries_are_a_power_of_two_and_two_at_least() {
        for (asked, got) in [(0, 2), (1, 2), (2, 2), (3, 4), (16, 16), (17, 32)] {
            assert_eq!(ring(asked, 8).capacity(), got);
        }
    }

    #[test]
    fn sizes_beyond_memory_are_refused() {
        for (entries, snapshot) in [(usize::MAX, 1), (1 << 40, 1 << 40)] {
            let ring = SnapshotRing::<u32>::try_new(TAG, entries, snapshot);
            assert_eq!(ring.err(), Some(OutOfMemory));
        }
    }

    #[test]
    fn order_is_kept_over_many_laps_and_a_full_ring_refuses() {
        let ring = ring(4, 3);
        for lap in 0..100 {
            for entry in 0..4 {
                assert_eq!(ring.waiting(), entry as usize);
                assert_eq!(write(&ring, lap * 4 + entry), Ok(()));
            }
            assert_eq!(write(&ring, u32::MAX), Err(NotWritten::Full));
            assert_eq!(drain(&ring), (lap * 4..lap * 4 + 4).collect::<Vec<_>>());
            assert_eq!(ring.waiting(), 0);
        }
    }

    #[test]
    fn refused_entry_is_skipped() {
        let ring = ring(4, 3);
        assert_eq!(write(&ring, 1), Ok(()));
        assert_eq!(ring.write(|_| Err("no")), Err(NotWritten::Refused("no")));
        assert_eq!(write(&ring, 2), Ok(()));
        assert_eq!(drain(&ring), [1, 2]);
    }

    #[test]
    fn reader_can_stop_and_go_on() {
        let ring = ring(8, 3);
        for value in 0..5 {
            assert_eq!(write(&ring, value), Ok(()));
        }
        let mut seen = vec![];
        let drained = ring.drain(|&value, _| {
            seen.push(value);
            if value == 1 {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        assert_eq!((drained, seen), (Drained::Stopped, vec![0, 1]));
        assert_eq!(drain(&ring), [2, 3, 4]);
    }

    #[test]
    fn there_is_one_reader_at_a_time() {
        let ring = ring(4, 3);
        assert_eq!(write(&ring, 7), Ok(()));
        let drained = ring.drain(|_, _| {
            let inner = ring.drain(|_, _| ControlFlow::Continue(()));
            assert_eq!(inner, Drained::Busy);
            ControlFlow::Continue(())
        });
        assert_eq!(drained, Drained::Empty);
    }

    #[test]
    fn each_snapshot_of_several_writers_arrives_once_whole_and_in_its_writers_order() {
        const WRITERS: u32 = 4;
        const EACH: u32 = 5_000;
        let ring = ring(16, 24);
        let mut seen = vec![0; WRITERS as usize];
        thread::scope(|scope| {
            for writer in 0..WRITERS {
                let ring = &ring;
                scope.spawn(move || {
                    for number in 0..EACH {
                        while write(ring, writer * EACH + number).is_err() {
                            thread::yield_now();
                        }
                    }
                });
            }
            while seen.iter().sum::<u32>() < WRITERS * EACH {
                for value in drain(&ring) {
                    let next = &mut seen[(value / EACH) as usize];
                    assert_eq!(value % EACH, *next);
                    *next += 1;
                }
            }
        });
    }
}
