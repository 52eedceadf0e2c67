//! Deferred procedure calls.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use lab_rules::Kind;
use lab_rules::event::{Callback, DpcEvent};

use super::{SUCCESS, imports, status};
use crate::abi::constant::{STATUS_INVALID_PARAMETER, STATUS_UNSUCCESSFUL};
use crate::abi::nt::KDPC;
use crate::driver;
use crate::per_image::per_image;
use crate::rt::mem;
use crate::rt::sched::{self, DpcId};
use crate::rt::{Call, processor};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    KeInitializeDpc => initialize,
    KeInitializeThreadedDpc => initialize_threaded,
    KeSetImportanceDpc => set_importance,
    KeSetTargetProcessorDpc => set_target,
    KeSetTargetProcessorDpcEx => set_target_ex,
    KeInsertQueueDpc => insert_queue,
    KeRemoveQueueDpc => remove_queue,
    KeRemoveQueueDpcEx => remove_queue_ex,
    KeQueryDpcWatchdogInformation => watchdog,
    KeFlushQueuedDpcs => flush,
}

/// `DpcObject` and `ThreadedDpcObject` as `KDPC.Type` has them.
const DPC_OBJECT: u8 = 0x13;
const THREADED_DPC_OBJECT: u8 = 0x18;
/// `MediumImportance` and `HighImportance`.
const MEDIUM: u8 = 1;
const HIGH: u8 = 2;
/// What is added to the number of a target processor; 0 is none.
const TARGETED: u16 = 0x800;

/// A DPC that is queued.
struct Queued {
    number: u64,
    /// What waits for a processor, if it is not a thread.
    id: Option<DpcId>,
}

#[derive(Default)]
struct State {
    queued: BTreeMap<u64, Queued>,
    /// Numbers of what is queued or runs, timer functions of NDIS included.
    outstanding: BTreeSet<u64>,
    /// DPC objects whose routines run.
    running: Vec<u64>,
    last_number: u64,
}

per_image! {
    static STATE: RefCell<State> = RefCell::new(State::default());
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    STATE.take();
}

/// Something is queued that a flush has to wait for; gives its number.
pub(crate) fn begin() -> u64 {
    STATE.with_borrow_mut(|state| {
        state.last_number += 1;
        state.outstanding.insert(state.last_number);
        state.last_number
    })
}

/// It has run, or was taken back.
pub(crate) fn end(number: u64) {
    STATE.with_borrow_mut(|state| state.outstanding.remove(&number));
}

fn initialize(call: &Call<'_>) -> u64 {
    initialize_as(call, DPC_OBJECT)
}

fn initialize_threaded(call: &Call<'_>) -> u64 {
    initialize_as(call, THREADED_DPC_OBJECT)
}

fn initialize_as(call: &Call<'_>, kind: u8) -> u64 {
    make(call.arg(0), kind, call.arg(1), call.arg(2))
}

/// Makes a KDPC.
pub(crate) fn initialize_at(dpc: u64, routine: u64, context: u64) -> u64 {
    make(dpc, DPC_OBJECT, routine, context)
}

fn make(dpc: u64, kind: u8, routine: u64, context: u64) -> u64 {
    let fill = || {
        mem::fill(dpc, KDPC::SIZE, 0)?;
        KDPC::Type.write(dpc, kind)?;
        KDPC::Importance.write(dpc, MEDIUM)?;
        KDPC::DeferredRoutine.write(dpc, routine)?;
        KDPC::DeferredContext.write(dpc, context)
    };
    fill().or_fault();
    emit(Kind::Dpc(DpcEvent::Initialized { dpc }));
    0
}

fn set_importance(call: &Call<'_>) -> u64 {
    KDPC::Importance
        .write(call.arg(0), call.arg_u8(1))
        .or_fault();
    0
}

fn set_target(call: &Call<'_>) -> u64 {
    target_at(call.arg(0), call.arg_u8(1));
    0
}

fn set_target_ex(call: &Call<'_>) -> u64 {
    // PROCESSOR_NUMBER: a group of 16 bits, a number of 8, 8 reserved. There is one group.
    let number = mem::read::<u32>(call.arg(1)).or_fault();
    let [low, high, processor, _] = number.to_le_bytes();
    if (low, high) != (0, 0) || u32::from(processor) >= sched::processors() {
        return status(STATUS_INVALID_PARAMETER);
    }
    target_at(call.arg(0), processor);
    SUCCESS
}

fn target_at(dpc: u64, processor: u8) {
    KDPC::Number
        .write(dpc, TARGETED + u16::from(processor))
        .or_fault();
}

/// The processor that a DPC runs on: its own, or the one that queues it.
pub(super) fn target(dpc: u64) -> u32 {
    let number = KDPC::Number.read(dpc).or_fault();
    match number.checked_sub(TARGETED) {
        Some(processor) => u32::from(processor) % sched::processors(),
        None => sched::processor(),
    }
}

fn insert_queue(call: &Call<'_>) -> u64 {
    u64::from(insert(call.arg(0), call.arg(1), call.arg(2)))
}

/// Queues a DPC object; tells whether it was not queued already.
pub(super) fn insert(dpc: u64, first: u64, second: u64) -> bool {
    let context = KDPC::DeferredContext.read(dpc).or_fault();
    let kind = KDPC::Type.read(dpc).or_fault();
    let is_first = KDPC::Importance.read(dpc).or_fault() == HIGH;
    if STATE.with_borrow(|state| state.queued.contains_key(&dpc)) {
        return false;
    }
    emit(Kind::Dpc(DpcEvent::Queued { dpc, context }));
    let number = begin();
    let body = move || {
        let is_it = STATE.with_borrow_mut(|state| {
            let is_it = state
                .queued
                .get(&dpc)
                .is_some_and(|queued| queued.number == number);
            if is_it {
                state.queued.remove(&dpc);
            }
            is_it
        });
        if is_it {
            run(dpc, first, second);
        }
        end(number);
    };
    // A threaded DPC runs at PASSIVE_LEVEL, unless the machine has them switched off.
    let id = if kind == THREADED_DPC_OBJECT && sched::chance(1, 2) {
        sched::spawn("threaded DPC", Some(target(dpc)), body);
        None
    } else if is_first {
        Some(sched::queue_dpc_first("driver DPC", target(dpc), body))
    } else {
        Some(sched::queue_dpc("driver DPC", target(dpc), body))
    };
    STATE.with_borrow_mut(|state| state.queued.insert(dpc, Queued { number, id }));
    true
}

fn run(dpc: u64, first: u64, second: u64) {
    let routine = KDPC::DeferredRoutine.read(dpc).or_fault();
    let context = KDPC::DeferredContext.read(dpc).or_fault();
    emit(Kind::Dpc(DpcEvent::Started { dpc, context }));
    STATE.with_borrow_mut(|state| state.running.push(dpc));
    driver::call(
        Callback::DpcRoutine,
        None,
        routine,
        &[dpc, context, first, second],
    );
    STATE.with_borrow_mut(|state| {
        let index = state.running.iter().position(|running| *running == dpc);
        index.map(|index| state.running.remove(index))
    });
    emit(Kind::Dpc(DpcEvent::Finished { dpc }));
}

fn remove_queue(call: &Call<'_>) -> u64 {
    remove(call.arg(0)).into()
}

/// Also waits, if it should, for a run of the DPC that is under way.
fn remove_queue_ex(call: &Call<'_>) -> u64 {
    let (dpc, waits) = (call.arg(0), call.arg_u8(1) != 0);
    let removed = remove(dpc);
    if waits {
        sched::wait(&mut || STATE.with_borrow(|state| !state.running.contains(&dpc)));
    }
    removed.into()
}

/// How long the DPC that runs may go on. The lab stops one after its limit, as the watchdog of Windows does; a sequence of
/// them has none.
fn watchdog(call: &Call<'_>) -> u64 {
    /// `KDPC_WATCHDOG_INFORMATION` without what is reserved.
    const DPC_TIME_LIMIT: u64 = 0;
    const DPC_TIME_COUNT: u64 = 4;
    const WATCHDOG_LIMIT: u64 = 8;
    const WATCHDOG_COUNT: u64 = 12;
    let Some(spent_ns) = sched::dispatch_time() else {
        return status(STATUS_UNSUCCESSFUL);
    };
    let ticks = |ns: u64| u32::try_from(processor::tick_count(ns)).unwrap_or(u32::MAX);
    let limit = ticks(sched::DISPATCH_LIMIT_NS);
    let left = ticks(sched::DISPATCH_LIMIT_NS.saturating_sub(spent_ns));
    for (offset, value) in [
        (DPC_TIME_LIMIT, limit),
        (DPC_TIME_COUNT, left),
        (WATCHDOG_LIMIT, 0),
        (WATCHDOG_COUNT, 0),
    ] {
        mem::write(call.arg(0).wrapping_add(offset), value).or_fault();
    }
    SUCCESS
}

/// Takes a queued DPC back; tells whether it was queued.
fn remove(dpc: u64) -> bool {
    let Some(Queued { number, id }) = STATE.with_borrow_mut(|state| state.queued.remove(&dpc))
    else {
        return false;
    };
    if let Some(id) = id {
        sched::cancel_dpc(id);
        end(number);
    }
    emit(Kind::Dpc(DpcEvent::Removed { dpc }));
    true
}

/// Waits for what is queued or runs now.
fn flush(_: &Call<'_>) -> u64 {
    let last = STATE.with_borrow(|state| state.last_number);
    sched::wait(&mut || {
        STATE.with_borrow(|state| state.outstanding.first().is_none_or(|first| *first > last))
    });
    0
}
