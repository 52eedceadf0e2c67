//! Timers of the `ExAllocateTimer` family: objects of the system's, whose function the driver gives.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::Kind;
use lab_rules::event::{Callback, Remaining, TimerEvent};

use super::{dpc, imports, ke};
use crate::abi::constant::EX_TIMER_NOTIFICATION;
use crate::abi::nt::{DISPATCHER_HEADER as H, EXT_DELETE_PARAMETERS as D, KTIMER};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::sched::{self, DpcId};
use crate::watch::{self, Holder, OrFault, emit};

imports! {
    "ntoskrnl.exe":
    ExAllocateTimer => allocate,
    ExSetTimer => set,
    ExCancelTimer => cancel,
    ExDeleteTimer => delete,
}

/// What reports call it.
const NOUN: &str = "timer";
/// `TimerNotificationObject` as `DISPATCHER_HEADER.Type` has it; a synchronization timer is one more.
const TIMER_OBJECT: u8 = 8;
/// Nanoseconds of a unit of time, and units of a millisecond.
const UNIT_NS: u64 = 100;
const UNITS_PER_MS: u64 = 10_000;

/// A timer.
#[derive(Clone, Copy)]
struct Timer {
    /// The function that it was allocated with; 0 for none, then it can be waited for.
    routine: u64,
    context: u64,
    period_ns: u64,
    /// While it is set.
    due: Option<DpcId>,
    /// Runs of its function that are due or under way.
    runs: u32,
    /// What is called once it is gone, with its argument: it goes when nothing of it runs.
    is_deleted: Option<(u64, u64)>,
}

per_image! {
    static TIMERS: RefCell<BTreeMap<u64, Timer>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    TIMERS.take();
}

/// Timers that were not deleted.
pub(crate) fn remaining() -> Remaining {
    TIMERS.with_borrow(|timers| Remaining {
        count: u32::try_from(timers.len()).unwrap_or(u32::MAX),
        first: timers.keys().next().copied().unwrap_or(0),
    })
}

fn change<R>(timer: u64, change: impl FnOnce(&mut Timer) -> R) -> Option<R> {
    TIMERS.with_borrow_mut(|timers| timers.get_mut(&timer).map(change))
}

fn allocate(call: &Call<'_>) -> u64 {
    if driver::is_short() {
        return 0;
    }
    let timer = driver::object(KTIMER::SIZE);
    let is_synchronization = call.arg_u32(2) & EX_TIMER_NOTIFICATION == 0;
    H::Type
        .write(timer, TIMER_OBJECT + u8::from(is_synchronization))
        .or_fault();
    let new = Timer {
        routine: call.arg(0),
        context: call.arg(1),
        period_ns: 0,
        due: None,
        runs: 0,
        is_deleted: None,
    };
    TIMERS.with_borrow_mut(|timers| timers.insert(timer, new));
    watch::note_object(NOUN, timer, "allocated", Holder::Driver);
    emit(Kind::Timer(TimerEvent::Allocated {
        timer,
        is_kernel: true,
    }));
    timer
}

/// Whether a timer is to go when it has expired: nothing can be done with it any more.
fn is_disabled(timer: u64) -> bool {
    change(timer, |timer| timer.is_deleted.is_some()) == Some(true)
}

/// Sets a timer; tells whether it was set already.
fn set(call: &Call<'_>) -> u64 {
    let (timer, due_time, period) = (call.arg(0), call.arg(1).cast_signed(), call.arg(2));
    H::SignalState.write(timer, 0).or_fault();
    if is_disabled(timer) {
        return 0;
    }
    let was_set = disarm(timer);
    change(timer, |timer| {
        timer.period_ns = period.saturating_mul(UNIT_NS)
    });
    let period_ms = u32::try_from(period.div_ceil(UNITS_PER_MS)).unwrap_or(u32::MAX);
    emit(Kind::Timer(TimerEvent::Set { timer, period_ms }));
    arm(timer, ke::deadline_ns(due_time));
    was_set.into()
}

fn arm(timer: u64, due_ns: u64) {
    let processor = sched::processor();
    let due = sched::queue_dpc_at(due_ns, "clock", processor, move || expire(timer));
    change(timer, |timer| timer.due = Some(due));
}

/// The clock has reached the timer: from now on cancelling it does not take its function back.
fn expire(timer: u64) {
    let Some((period_ns, has_routine)) = change(timer, |timer| {
        timer.due = None;
        timer.runs += u32::from(timer.routine != 0);
        (timer.period_ns, timer.routine != 0)
    }) else {
        return;
    };
    emit(Kind::Timer(TimerEvent::Expired { timer }));
    H::SignalState.write(timer, 1).or_fault();
    if period_ns != 0 {
        arm(timer, sched::now().saturating_add(period_ns));
    }
    if has_routine {
        let number = dpc::begin();
        sched::queue_dpc("ex timer", sched::processor(), move || {
            fire(timer);
            dpc::end(number);
        });
    } else {
        bury(timer);
    }
}

fn fire(timer: u64) {
    let Some((routine, context)) = change(timer, |timer| (timer.routine, timer.context)) else {
        return;
    };
    emit(Kind::Timer(TimerEvent::Fired { timer, context }));
    driver::call(Callback::ExTimerCallback, None, routine, &[timer, context]);
    emit(Kind::Timer(TimerEvent::Finished { timer }));
    change(timer, |timer| timer.runs -= 1);
    bury(timer);
}

/// Takes a set timer back; tells whether it was set.
fn disarm(timer: u64) -> bool {
    let due = change(timer, |timer| timer.due.take()).flatten();
    due.is_some_and(sched::cancel_dpc)
}

fn cancel(call: &Call<'_>) -> u64 {
    let timer = call.arg(0);
    H::SignalState.read(timer).or_fault();
    if is_disabled(timer) {
        return 0;
    }
    emit(Kind::Timer(TimerEvent::Cancelled { timer }));
    disarm(timer).into()
}

/// Deletes a timer: now, or when it has expired and its function has returned.
fn delete(call: &Call<'_>) -> u64 {
    let (timer, cancels, waits) = (call.arg(0), call.arg_u8(1) != 0, call.arg_u8(2) != 0);
    let parameters = call.arg(3);
    let after = if parameters == 0 {
        (0, 0)
    } else {
        (
            D::DeleteCallback.read(parameters).or_fault(),
            D::DeleteContext.read(parameters).or_fault(),
        )
    };
    H::SignalState.read(timer).or_fault();
    if is_disabled(timer) {
        return 0;
    }
    let was_cancelled = cancels && {
        emit(Kind::Timer(TimerEvent::Cancelled { timer }));
        disarm(timer)
    };
    change(timer, |timer| timer.is_deleted = Some(after));
    bury(timer);
    if waits {
        let mut is_gone = || TIMERS.with_borrow(|timers| !timers.contains_key(&timer));
        sched::wait(&mut is_gone);
    }
    was_cancelled.into()
}

/// A deleted timer goes, once it is not set and its function does not run.
fn bury(timer: u64) {
    let after = change(timer, |timer| {
        let is_idle = timer.due.is_none() && timer.runs == 0;
        timer.is_deleted.filter(|_| is_idle)
    });
    let Some((routine, context)) = after.flatten() else {
        return;
    };
    TIMERS.with_borrow_mut(|timers| timers.remove(&timer));
    emit(Kind::Timer(TimerEvent::Freed { timer, known: true }));
    watch::note_object(NOUN, timer, "deleted", Holder::Nobody);
    driver::release(timer);
    if routine != 0 {
        driver::call(Callback::ExTimerCallback, None, routine, &[context]);
    }
}
