//! Kernel timers.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::TimerEvent;

use super::{dpc, imports, ke};
use crate::abi::nt::{DISPATCHER_HEADER as H, KTIMER};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, DpcId};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    KeInitializeTimer => initialize,
    KeInitializeTimerEx => initialize_ex,
    KeSetTimer => set_timer,
    KeSetTimerEx => set_timer_ex,
    KeSetCoalescableTimer => set_coalescable,
    KeCancelTimer => cancel,
    KeReadStateTimer => read,
}

/// `TimerNotificationObject` as `DISPATCHER_HEADER.Type` has it; a synchronization timer is one more.
const TIMER_OBJECT: u8 = 8;

/// A timer that is set.
#[derive(Clone, Copy)]
struct Timer {
    due: DpcId,
    period_ms: u32,
    dpc: u64,
}

per_image! {
    static TIMERS: RefCell<BTreeMap<u64, Timer>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    TIMERS.take();
}

/// Timers that are set.
pub(crate) fn set_count() -> u32 {
    TIMERS.with_borrow(|timers| u32::try_from(timers.len()).unwrap_or(u32::MAX))
}

fn initialize(call: &Call<'_>) -> u64 {
    initialize_at(call.arg(0), 0)
}

fn initialize_ex(call: &Call<'_>) -> u64 {
    initialize_at(call.arg(0), call.arg_u8(1) & 1)
}

/// Makes a KTIMER: a notification timer, or a synchronization timer for 1.
pub(crate) fn initialize_at(timer: u64, kind: u8) -> u64 {
    let fill = || {
        mem::fill(timer, KTIMER::SIZE, 0)?;
        H::Type.write(timer, TIMER_OBJECT + kind)
    };
    fill().or_fault();
    emit(Kind::Timer(TimerEvent::Allocated {
        timer,
        is_kernel: true,
    }));
    0
}

fn set_timer(call: &Call<'_>) -> u64 {
    set(call.arg(0), call.arg(1).cast_signed(), 0, call.arg(2))
}

fn set_timer_ex(call: &Call<'_>) -> u64 {
    set(
        call.arg(0),
        call.arg(1).cast_signed(),
        call.arg_u32(2),
        call.arg(3),
    )
}

fn set_coalescable(call: &Call<'_>) -> u64 {
    let tolerance_ns = u64::from(call.arg_u32(3)) * 1_000_000;
    let late_ns = sched::random(tolerance_ns.saturating_add(1));
    set_late(
        call.arg(0),
        call.arg(1).cast_signed(),
        call.arg_u32(2),
        call.arg(4),
        late_ns,
    )
}

/// Sets a timer; tells whether it was set already.
pub(crate) fn set(timer: u64, due_time: i64, period_ms: u32, dpc: u64) -> u64 {
    set_late(timer, due_time, period_ms, dpc, 0)
}

/// Sets a timer; tells whether it was set already.
fn set_late(timer: u64, due_time: i64, period_ms: u32, dpc: u64, late_ns: u64) -> u64 {
    let fill = || {
        H::SignalState.write(timer, 0)?;
        KTIMER::Dpc.write(timer, dpc)?;
        KTIMER::Period.write(timer, period_ms)
    };
    fill().or_fault();
    let was_set = disarm(timer);
    emit(Kind::Timer(TimerEvent::Set { timer, period_ms }));
    let due_ns = ke::deadline_ns(due_time).saturating_add(late_ns);
    arm(timer, due_ns, period_ms, dpc);
    u64::from(was_set)
}

fn arm(timer: u64, due_ns: u64, period_ms: u32, dpc: u64) {
    let processor = if dpc == 0 {
        sched::processor()
    } else {
        dpc::target(dpc)
    };
    let due = sched::queue_dpc_at(due_ns, "clock", processor, move || expire(timer));
    let new = Timer {
        due,
        period_ms,
        dpc,
    };
    TIMERS.with_borrow_mut(|timers| timers.insert(timer, new));
}

/// The clock has reached the timer: from now on cancelling it does not take its DPC back.
fn expire(timer: u64) {
    let Some(Timer { period_ms, dpc, .. }) = TIMERS.with_borrow_mut(|timers| timers.remove(&timer))
    else {
        return;
    };
    emit(Kind::Timer(TimerEvent::Expired { timer }));
    H::SignalState.write(timer, 1).or_fault();
    if period_ms != 0 {
        let next_ns = sched::now() + u64::from(period_ms) * 1_000_000;
        arm(timer, next_ns, period_ms, dpc);
    }
    if dpc != 0 {
        dpc::insert(dpc, 0, 0);
    }
}

/// Takes a set timer back; tells whether it was set.
fn disarm(timer: u64) -> bool {
    let set = TIMERS.with_borrow_mut(|timers| timers.remove(&timer));
    set.is_some_and(|set| sched::cancel_dpc(set.due))
}

fn cancel(call: &Call<'_>) -> u64 {
    cancel_at(call.arg(0)).into()
}

/// Cancels a timer; tells whether it was set.
pub(crate) fn cancel_at(timer: u64) -> bool {
    H::SignalState.read(timer).or_fault();
    emit(Kind::Timer(TimerEvent::Cancelled { timer }));
    disarm(timer)
}

fn read(call: &Call<'_>) -> u64 {
    u64::from(H::SignalState.read(call.arg(0)).or_fault() != 0)
}
