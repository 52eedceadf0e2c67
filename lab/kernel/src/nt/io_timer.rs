//! Timers of device objects: once a second, at DISPATCH_LEVEL.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Callback, DeviceEvent};

use super::{SUCCESS, imports};
use crate::abi::nt::DEVICE_OBJECT;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::sched::{self, DpcId};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    IoInitializeTimer => initialize,
    IoStartTimer => start,
    IoStopTimer => stop,
}

/// A second, in ns.
const SECOND_NS: u64 = 1_000_000_000;

struct Timer {
    routine: u64,
    context: u64,
    /// What waits for the next second, while it runs.
    due: Option<DpcId>,
}

per_image! {
    /// By device.
    static TIMERS: RefCell<BTreeMap<u64, Timer>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all timers: a run begins.
pub(super) fn reset() {
    TIMERS.take();
}

/// Timers that run.
pub(crate) fn running_count() -> u32 {
    TIMERS.with_borrow(|timers| {
        let running = timers.values().filter(|timer| timer.due.is_some());
        u32::try_from(running.count()).unwrap_or(u32::MAX)
    })
}

fn initialize(call: &Call<'_>) -> u64 {
    let device = call.arg(0);
    DEVICE_OBJECT::DriverObject.read(device).or_fault();
    if TIMERS.with_borrow(|timers| timers.contains_key(&device)) {
        emit(Kind::Device(DeviceEvent::TimerAgain { device }));
        return SUCCESS;
    }
    let timer = Timer {
        routine: call.arg(1),
        context: call.arg(2),
        due: None,
    };
    TIMERS.with_borrow_mut(|timers| timers.insert(device, timer));
    SUCCESS
}

fn start(call: &Call<'_>) -> u64 {
    let device = call.arg(0);
    DEVICE_OBJECT::DriverObject.read(device).or_fault();
    let is_idle = |timer: &Timer| timer.due.is_none();
    if TIMERS.with_borrow(|timers| timers.get(&device).is_some_and(is_idle)) {
        arm(device);
    }
    0
}

fn arm(device: u64) {
    let due_ns = sched::now() + SECOND_NS;
    let processor = sched::processor();
    let due = sched::queue_dpc_at(due_ns, "io timer", processor, move || expire(device));
    TIMERS.with_borrow_mut(|timers| {
        if let Some(timer) = timers.get_mut(&device) {
            timer.due = Some(due);
        }
    });
}

fn expire(device: u64) {
    let timer = TIMERS.with_borrow(|timers| {
        let timer = timers.get(&device)?;
        Some((timer.routine, timer.context))
    });
    let Some((routine, context)) = timer else {
        return;
    };
    arm(device);
    driver::call(Callback::IoTimer, None, routine, &[device, context]);
}

fn stop(call: &Call<'_>) -> u64 {
    let device = call.arg(0);
    DEVICE_OBJECT::DriverObject.read(device).or_fault();
    let due = TIMERS.with_borrow_mut(|timers| timers.get_mut(&device)?.due.take());
    if let Some(due) = due {
        sched::cancel_dpc(due);
    }
    0
}

/// A device is gone, and its timer if that does not run.
pub(crate) fn forget(device: u64) {
    TIMERS.with_borrow_mut(|timers| {
        if timers.get(&device).is_some_and(|timer| timer.due.is_none()) {
            timers.remove(&device);
        }
    });
}
