//! NDIS timer objects.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Callback, TimerEvent};

use super::handle::{self, Handle};
use super::register::read_header;
use crate::abi::constant::{
    NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS, NDIS_SIZEOF_TIMER_CHARACTERISTICS_REVISION_1,
    NDIS_STATUS_FAILURE, NDIS_TIMER_CHARACTERISTICS_REVISION_1,
};
use crate::abi::ndis::NDIS_TIMER_CHARACTERISTICS as C;
use crate::driver;
use crate::nt::{SUCCESS, dpc, imports, ke, status};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, DpcId};
use crate::watch::{OrFault, emit};

imports! {
    "ndis.sys":
    NdisAllocateTimerObject => allocate,
    NdisSetTimerObject => set,
    NdisSetCoalescableTimerObject => set,
    NdisCancelTimerObject => cancel,
    NdisFreeTimerObject => free,
}

/// A timer object.
#[derive(Clone, Copy)]
struct Timer {
    routine: u64,
    context: u64,
    period_ms: u32,
    /// What is due next.
    due: Option<DpcId>,
    /// Whether its time has come and its function has not begun.
    is_pending: bool,
}

per_image! {
    static TIMERS: RefCell<BTreeMap<u64, Timer>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets all timers: a run begins.
pub(super) fn reset() {
    TIMERS.take();
}

/// Timers that are set.
pub(crate) fn set_count() -> u32 {
    TIMERS.with_borrow(|timers| {
        u32::try_from(
            timers
                .values()
                .filter(|timer| timer.due.is_some() || timer.is_pending)
                .count(),
        )
        .unwrap_or(u32::MAX)
    })
}

fn allocate(call: &Call<'_>) -> u64 {
    let (owner, characteristics, out) = (call.arg(0), call.arg(1), call.arg(2));
    if !handle::is_driver_or_module("NdisAllocateTimerObject", owner) {
        return status(NDIS_STATUS_FAILURE);
    }
    let expected = (
        NDIS_OBJECT_TYPE_TIMER_CHARACTERISTICS,
        NDIS_TIMER_CHARACTERISTICS_REVISION_1,
        NDIS_SIZEOF_TIMER_CHARACTERISTICS_REVISION_1,
    );
    read_header("NDIS_TIMER_CHARACTERISTICS", characteristics, expected).or_fault();
    let timer = Timer {
        routine: C::TimerFunction.read(characteristics).or_fault(),
        context: C::FunctionContext.read(characteristics).or_fault(),
        period_ms: 0,
        due: None,
        is_pending: false,
    };
    let handle = handle::open(Handle::Timer);
    TIMERS.with_borrow_mut(|timers| timers.insert(handle, timer));
    emit(Kind::Timer(TimerEvent::Allocated {
        timer: handle,
        is_kernel: false,
    }));
    mem::write(out, handle).or_fault();
    SUCCESS
}

/// Sets a timer; tells whether it was set already.
fn set(call: &Call<'_>) -> u64 {
    let (handle, due_time, period_ms, context) = (
        call.arg(0),
        call.arg(1).cast_signed(),
        call.arg_u32(2),
        call.arg(3),
    );
    let was_set = disarm(handle);
    TIMERS.with_borrow_mut(|timers| {
        if let Some(timer) = timers.get_mut(&handle) {
            timer.period_ms = period_ms;
            if context != 0 {
                timer.context = context;
            }
        }
    });
    emit(Kind::Timer(TimerEvent::Set {
        timer: handle,
        period_ms,
    }));
    arm(handle, ke::deadline_ns(due_time));
    u64::from(was_set)
}

fn arm(handle: u64, due_ns: u64) {
    let processor = sched::processor();
    let due = sched::queue_dpc_at(due_ns, "clock", processor, move || expire(handle));
    TIMERS.with_borrow_mut(|timers| {
        if let Some(timer) = timers.get_mut(&handle) {
            timer.due = Some(due);
        }
    });
}

/// The clock has reached the timer: from now on cancelling it does not take its function back.
fn expire(handle: u64) {
    let Some((period_ms, was_pending)) = TIMERS.with_borrow_mut(|timers| {
        let timer = timers.get_mut(&handle)?;
        timer.due = None;
        Some((
            timer.period_ms,
            std::mem::replace(&mut timer.is_pending, true),
        ))
    }) else {
        return;
    };
    emit(Kind::Timer(TimerEvent::Expired { timer: handle }));
    if period_ms != 0 {
        arm(handle, sched::now() + u64::from(period_ms) * 1_000_000);
    }
    if !was_pending {
        let number = dpc::begin();
        sched::queue_dpc("ndis timer", sched::processor(), move || {
            fire(handle);
            dpc::end(number);
        });
    }
}

fn fire(handle: u64) {
    let Some(Timer {
        routine, context, ..
    }) = TIMERS.with_borrow_mut(|timers| {
        let timer = timers.get_mut(&handle)?;
        timer.is_pending = false;
        Some(*timer)
    })
    else {
        return;
    };
    emit(Kind::Timer(TimerEvent::Fired {
        timer: handle,
        context,
    }));
    // SystemSpecific1, context, and two more that belong to the system.
    driver::call(Callback::TimerFunction, None, routine, &[0, context, 0, 0]);
    emit(Kind::Timer(TimerEvent::Finished { timer: handle }));
}

/// Takes a set timer back; tells whether it was set.
fn disarm(handle: u64) -> bool {
    let due = TIMERS.with_borrow_mut(|timers| timers.get_mut(&handle)?.due.take());
    due.is_some_and(sched::cancel_dpc)
}

fn cancel(call: &Call<'_>) -> u64 {
    emit(Kind::Timer(TimerEvent::Cancelled { timer: call.arg(0) }));
    u64::from(disarm(call.arg(0)))
}

fn free(call: &Call<'_>) -> u64 {
    emit(Kind::Timer(TimerEvent::Freed {
        timer: call.arg(0),
        known: handle::look_up(call.arg(0)) == Some(Handle::Timer),
    }));
    disarm(call.arg(0));
    TIMERS.with_borrow_mut(|timers| timers.remove(&call.arg(0)));
    handle::close(call.arg(0));
    0
}
