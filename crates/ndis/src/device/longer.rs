//! Requests that wait: pending IRPs, looked after by a work item, cancelled when their sender wants.
//!
//! ```text
//!   dispatch ─▶ waits ─▶ the work item has it ─▶ completed
//!                │  ▲           │ not yet
//!                │  └───────────┘
//!                └─▶ cancelled, or its file closed: completed with STATUS_CANCELLED
//! ```

use core::task::Poll;

use wdk_sys::{FILE_OBJECT, IRP, ntddk};

use super::core::{DeviceCore, TAG};
use super::{ControlBuffer, ControlDevice, Device, irp};
use crate::Status;
use crate::irql::{AtMostDispatch, Caller, Passive};
use crate::lock::SpinLock;
use crate::mem::{OutOfMemory, PoolVec};
use crate::work::NextRun;

/// How many longer requests can wait at a time; what is more is refused with `STATUS_DEVICE_BUSY`.
pub const MAX_LONGER_REQUESTS: usize = 64;

/// A longer request, as its driver sees it.
#[derive(Debug)]
pub struct Longer<'a> {
    code: u32,
    /// Its buffer: the input, and the place for the output.
    pub buffer: ControlBuffer<'a>,
    /// What the driver wants to remember of it; zero at first.
    pub note: u64,
}

impl Longer<'_> {
    /// Its control code.
    #[must_use]
    pub const fn code(&self) -> u32 {
        self.code
    }
}

/// A request that was left pending.
#[derive(Clone, Copy)]
struct Slot {
    irp: *mut IRP,
    file: *mut FILE_OBJECT,
    note: u64,
    /// The work item has it.
    is_taken: bool,
    /// Its file was closed meanwhile.
    is_closed: bool,
}

/// The requests that were left pending.
///
/// # Invariants
///
/// 1. The IRP of a slot was left pending by `dispatch`, and is not completed: who completes it takes the slot out before.
/// 2. While a slot is not taken, a cancel routine is set for its IRP, or the cancel routine has been called and takes the slot
///    out. While it is taken, none is set, and the IRP is the work item's.
pub(super) struct Pending(SpinLock<PoolVec<Option<Slot>>>);

// SAFETY: by the invariants it says who may use an IRP, whatever the thread.
unsafe impl Send for Pending {}
// SAFETY: as above, under the lock.
unsafe impl Sync for Pending {}

impl Pending {
    pub(super) fn try_new() -> Result<Self, OutOfMemory> {
        PoolVec::try_from_fn(TAG, MAX_LONGER_REQUESTS, |_| None)
            .map(SpinLock::new)
            .map(Self)
    }

    /// Whether none waits. One that comes meanwhile is looked after without anybody's wish.
    pub(super) fn is_empty(&self, irql: &mut impl Caller) -> bool {
        self.0
            .with(irql, |slots, _| slots.iter().all(Option::is_none))
    }
}

/// What has become of a request that was to wait.
enum Wait {
    Waits,
    Cancelled,
    NoRoom,
}

impl<M: ControlDevice> DeviceCore<M> {
    /// Leaves a request pending. It may be completed before this returns.
    ///
    /// # Errors
    ///
    /// [`Status::DEVICE_NOT_READY`] when the device is not open, [`Status::DEVICE_BUSY`] when too many wait. The IRP is as it
    /// was.
    ///
    /// # Safety
    ///
    /// As for `irp::dispatch`, with a device control request that `irp::request` has accepted. After `Ok` the caller does not
    /// use the IRP.
    pub(super) unsafe fn leave_pending(
        &self,
        irp: *mut IRP,
        irql: &mut Passive,
    ) -> Result<(), Status> {
        if !self.gate.acquire() {
            return Err(Status::DEVICE_NOT_READY);
        }
        // SAFETY: this function's contract.
        let file = unsafe { irp::file(irp) };
        let wait = self.pending.0.with(irql, |slots, _| {
            let Some(slot) = slots.iter_mut().find(|slot| slot.is_none()) else {
                return Wait::NoRoom;
            };
            // SAFETY: this function's contract: `STATUS_PENDING` is returned.
            unsafe { irp::mark_pending(irp) };
            // SAFETY: the IRP is this activation's.
            if !unsafe { irp::arm::<M>(irp) } {
                return Wait::Cancelled;
            }
            // INVARIANT: armed.
            *slot = Some(Slot {
                irp,
                file,
                note: 0,
                is_taken: false,
                is_closed: false,
            });
            Wait::Waits
        });
        match wait {
            Wait::Waits => self.wake(irql),
            // SAFETY: `arm` has left the IRP to this activation, and the driver has not seen it.
            Wait::Cancelled => unsafe {
                let _ = irp::complete(irp, Err(Status::CANCELLED), irql);
            },
            Wait::NoRoom => {}
        }
        self.gate.release();
        match wait {
            Wait::Waits | Wait::Cancelled => Ok(()),
            Wait::NoRoom => Err(Status::DEVICE_BUSY),
        }
    }

    /// Cancels what waits for a file.
    pub(super) fn close_file(&self, file: *mut FILE_OBJECT, irql: &mut Passive) {
        loop {
            let slot = self.pending.0.with(irql, |slots, _| {
                slots.iter_mut().find_map(|place| {
                    let slot = place.as_mut().filter(|slot| slot.file == file)?;
                    if slot.is_taken {
                        slot.is_closed = true;
                        return None;
                    }
                    // SAFETY: by invariant 2 it is armed.
                    let is_mine = unsafe { irp::disarm(slot.irp) };
                    // INVARIANT: taken out before it is completed; else its cancel routine does that.
                    if is_mine { place.take() } else { None }
                })
            });
            let Some(slot) = slot else {
                return;
            };
            // SAFETY: disarmed and taken out, so it is this activation's.
            unsafe { self.abandon(slot, irql) };
        }
    }

    /// Takes a request for the work item, from place `from` on; gives its place too.
    fn take(&self, from: usize, irql: &mut Passive) -> Option<(usize, Slot)> {
        self.pending.0.with(irql, |slots, _| {
            let mut places = slots.iter_mut().enumerate().skip(from);
            places.find_map(|(place, slot)| {
                let slot = slot.as_mut().filter(|slot| !slot.is_taken)?;
                // SAFETY: by invariant 2 it is armed.
                // INVARIANT: taken and disarmed go together.
                slot.is_taken = unsafe { irp::disarm(slot.irp) };
                slot.is_taken.then_some((place, *slot))
            })
        })
    }

    /// Puts back a request that the work item had; `false` if nobody wants it any more.
    fn put_back(&self, place: usize, note: u64, irql: &mut Passive) -> bool {
        self.pending.0.with(irql, |slots, _| {
            let Some(place) = slots.get_mut(place) else {
                return false;
            };
            let Some(slot) = place.as_mut() else {
                return false;
            };
            slot.note = note;
            // INVARIANT: armed and not taken go together.
            // SAFETY: the IRP is the work item's.
            let waits = !slot.is_closed && unsafe { irp::arm::<M>(slot.irp) };
            slot.is_taken = !waits;
            if !waits {
                *place = None;
            }
            waits
        })
    }

    /// Completes a request that nobody wants any more.
    ///
    /// # Safety
    ///
    /// The IRP is the caller's, and its slot was taken out.
    unsafe fn abandon(&self, slot: Slot, irql: &mut impl Caller) {
        // SAFETY: this function's contract: the IRP was accepted when it was left pending.
        if let Ok((code, buffer)) = unsafe { irp::request(slot.irp) } {
            let request = Longer {
                code,
                buffer,
                note: slot.note,
            };
            M::abandon(M::driver(), &request, irql);
        }
        // SAFETY: this function's contract.
        let _ = unsafe { irp::complete(slot.irp, Err(Status::CANCELLED), irql) };
    }
}

/// The work item: looks after each request that waits.
pub(super) fn advance_all<M: ControlDevice>(device: &Device<'_, M>, irql: &mut Passive) -> NextRun {
    let core = device.core;
    let mut from = 0;
    while let Some((place, slot)) = core.take(from, irql) {
        from = place.saturating_add(1);
        // SAFETY: the request was taken, so its IRP is this run's.
        let (outcome, note) = match unsafe { irp::request(slot.irp) } {
            Ok((code, buffer)) => {
                let room = buffer.output_length;
                let mut request = Longer {
                    code,
                    buffer,
                    note: slot.note,
                };
                let outcome = M::advance(M::driver(), &mut request, irql);
                let outcome = outcome.map(|result| result.map(|written| written.min(room)));
                (outcome, request.note)
            }
            // It was accepted when it was left pending.
            Err(status) => (Poll::Ready(Err(status)), slot.note),
        };
        match outcome {
            Poll::Ready(result) => {
                // INVARIANT: taken out before it is completed.
                core.pending.0.with(irql, |slots, _| {
                    if let Some(slot) = slots.get_mut(place) {
                        *slot = None;
                    }
                });
                // SAFETY: the IRP is this run's.
                let _ = unsafe { irp::finish::<M>(slot.irp, result, irql) };
            }
            Poll::Pending => {
                if !core.put_back(place, note, irql) {
                    // SAFETY: the IRP is this run's, and its slot was taken out.
                    unsafe { core.abandon(Slot { note, ..slot }, irql) };
                }
            }
        }
    }
    NextRun::WhenQueued
}

/// The cancel routine.
///
/// # Safety
///
/// The I/O manager has called it for the IRP, with the cancel spin lock held.
pub(crate) unsafe fn cancel<M: ControlDevice>(irp: *mut IRP) {
    // SAFETY: this function's contract: the I/O manager has left the IRQL there that was before.
    let before = unsafe { (*irp).CancelIrql };
    // SAFETY: this function's contract: it is held.
    unsafe { ntddk::IoReleaseCancelSpinLock(before) };
    // SAFETY: requests are cancelled at or below DISPATCH_LEVEL; the cancel spin lock is released, and no other is held.
    let mut irql = unsafe { AtMostDispatch::assume(false) };
    let Some(core) = M::driver().device(&mut irql) else {
        return;
    };
    let slot = core.pending.0.with(&mut irql, |slots, _| {
        let mut places = slots.iter_mut();
        places.find_map(|place| place.take_if(|slot| slot.irp == irp))
    });
    if let Some(slot) = slot {
        // SAFETY: by invariant 2 of `Pending` the IRP is its cancel routine's, which has taken the slot out.
        unsafe { core.abandon(slot, &mut irql) };
    }
}
