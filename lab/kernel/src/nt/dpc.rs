//! Deferred procedure calls and kernel timers.

use std::cell::RefCell;
use std::collections::BTreeMap;

use lab_rules::event::Callback;

use super::{imports, ke};
use crate::abi::nt::{DISPATCHER_HEADER, KDPC, KTIMER};
use crate::driver;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::sched::{self, DpcId};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    KeInitializeDpc => initialize_dpc,
    KeInitializeThreadedDpc => initialize_dpc,
    KeSetImportanceDpc => ignore,
    KeSetTargetProcessorDpc => set_target,
    KeInsertQueueDpc => insert_dpc,
    KeRemoveQueueDpc => remove_dpc,
    KeFlushQueuedDpcs => flush_dpcs,
    KeInitializeTimer => initialize_timer,
    KeInitializeTimerEx => initialize_timer_ex,
    KeSetTimer => set_timer,
    KeSetTimerEx => set_timer_ex,
    KeSetCoalescableTimer => set_coalescable_timer,
    KeCancelTimer => cancel_timer,
    KeReadStateTimer => read_timer,
}

/// `NotificationTimer` and `SynchronizationTimer` as `DISPATCHER_HEADER.Type` has them.
const TIMER_OBJECT: u8 = 8;

/// A timer that is set.
#[derive(Clone, Copy)]
struct Timer {
    due: DpcId,
    period_ms: u32,
    dpc: u64,
}

#[derive(Default)]
struct State {
    /// Queued DPC objects.
    dpcs: BTreeMap<u64, DpcId>,
    /// DPC routines that run.
    running: u32,
    timers: BTreeMap<u64, Timer>,
    /// Processors that DPC objects are bound to.
    targets: BTreeMap<u64, u32>,
}

thread_local! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

/// Timers that are set.
pub(crate) fn timers_set() -> u32 {
    STATE.with_borrow(|state| u32::try_from(state.timers.len()).unwrap_or(u32::MAX))
}

fn ignore(_: &Call<'_>) -> u64 {
    0
}

fn initialize_dpc(call: &Call<'_>) -> u64 {
    let dpc = call.arg(0);
    mem::fill(dpc, KDPC::SIZE, 0).or_fault();
    KDPC::DeferredRoutine.write(dpc, call.arg(1)).or_fault();
    KDPC::DeferredContext.write(dpc, call.arg(2)).or_fault();
    0
}

fn set_target(call: &Call<'_>) -> u64 {
    let processor = u32::from(call.arg_u8(1)) % sched::processors();
    STATE.with_borrow_mut(|state| state.targets.insert(call.arg(0), processor));
    0
}

/// The processor that a DPC runs on: its own, or the one that queues it.
fn target(dpc: u64) -> u32 {
    STATE
        .with_borrow(|state| state.targets.get(&dpc).copied())
        .unwrap_or_else(sched::processor)
}

/// Queues a DPC object; tells whether it was not queued already.
fn insert_dpc(call: &Call<'_>) -> u64 {
    let (dpc, first, second) = (call.arg(0), call.arg(1), call.arg(2));
    KDPC::DeferredRoutine.read(dpc).or_fault();
    if STATE.with_borrow(|state| state.dpcs.contains_key(&dpc)) {
        return 0;
    }
    let id = sched::queue_dpc("driver DPC", target(dpc), move || {
        STATE.with_borrow_mut(|state| state.dpcs.remove(&dpc));
        run_dpc(dpc, first, second);
    });
    STATE.with_borrow_mut(|state| state.dpcs.insert(dpc, id));
    1
}

fn run_dpc(dpc: u64, first: u64, second: u64) {
    let routine = KDPC::DeferredRoutine.read(dpc).or_fault();
    let context = KDPC::DeferredContext.read(dpc).or_fault();
    STATE.with_borrow_mut(|state| state.running += 1);
    driver::call(
        Callback::DpcRoutine,
        None,
        routine,
        &[dpc, context, first, second],
    );
    STATE.with_borrow_mut(|state| state.running -= 1);
}

fn remove_dpc(call: &Call<'_>) -> u64 {
    let id = STATE.with_borrow_mut(|state| state.dpcs.remove(&call.arg(0)));
    u64::from(id.is_some_and(sched::cancel_dpc))
}

fn flush_dpcs(_: &Call<'_>) -> u64 {
    sched::wait(&mut || STATE.with_borrow(|state| state.dpcs.is_empty() && state.running == 0));
    0
}

fn initialize_timer(call: &Call<'_>) -> u64 {
    initialize_timer_at(call.arg(0), 0)
}

fn initialize_timer_ex(call: &Call<'_>) -> u64 {
    initialize_timer_at(call.arg(0), call.arg_u8(1) & 1)
}

fn initialize_timer_at(timer: u64, kind: u8) -> u64 {
    mem::fill(timer, KTIMER::SIZE, 0).or_fault();
    DISPATCHER_HEADER::Type
        .write(timer, TIMER_OBJECT + kind)
        .or_fault();
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

fn set_coalescable_timer(call: &Call<'_>) -> u64 {
    set(
        call.arg(0),
        call.arg(1).cast_signed(),
        call.arg_u32(2),
        call.arg(4),
    )
}

/// Sets a timer; tells whether it was set already.
fn set(timer: u64, due_time: i64, period_ms: u32, dpc: u64) -> u64 {
    DISPATCHER_HEADER::SignalState.write(timer, 0).or_fault();
    let was_set = disarm(timer);
    arm(timer, ke::deadline_ns(due_time), period_ms, dpc);
    u64::from(was_set)
}

fn arm(timer: u64, due_ns: u64, period_ms: u32, dpc: u64) {
    let due = sched::queue_dpc_at(due_ns, "kernel timer", target(dpc), move || expire(timer));
    STATE.with_borrow_mut(|state| {
        state.timers.insert(
            timer,
            Timer {
                due,
                period_ms,
                dpc,
            },
        )
    });
}

fn expire(timer: u64) {
    let Some(Timer { period_ms, dpc, .. }) =
        STATE.with_borrow_mut(|state| state.timers.remove(&timer))
    else {
        return;
    };
    DISPATCHER_HEADER::SignalState.write(timer, 1).or_fault();
    if period_ms != 0 {
        arm(
            timer,
            sched::now() + u64::from(period_ms) * 1_000_000,
            period_ms,
            dpc,
        );
    }
    if dpc != 0 {
        run_dpc(dpc, 0, 0);
    }
}

/// Takes a set timer back; tells whether it was set.
fn disarm(timer: u64) -> bool {
    let set = STATE.with_borrow_mut(|state| state.timers.remove(&timer));
    set.is_some_and(|set| sched::cancel_dpc(set.due))
}

fn cancel_timer(call: &Call<'_>) -> u64 {
    u64::from(disarm(call.arg(0)))
}

fn read_timer(call: &Call<'_>) -> u64 {
    u64::from(DISPATCHER_HEADER::SignalState.read(call.arg(0)).or_fault() != 0)
}
