//! Threads and processes as objects: their identities, priorities and times.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::{SUCCESS, identity, imports, ob, ps, status};
use crate::abi::constant::STATUS_INVALID_PARAMETER;
use crate::device;
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem;
use crate::rt::processor;
use crate::rt::sched::{self, ThreadId};
use crate::watch::OrFault;

imports! {
    "ntoskrnl.exe":
    KeSetPriorityThread => set_priority,
    KeQueryPriorityThread => priority,
    KeSetBasePriorityThread => set_base_priority,
    KeQueryRuntimeThread => run_time,
    KeQueryTotalCycleTimeThread => cycle_time,
    PsGetThreadId => thread_id,
    PsGetThreadProcessId => thread_process_id,
    PsGetThreadProcess => thread_process,
    PsGetCurrentThread => current_thread,
    PsGetCurrentProcess => identity::process,
    PsGetProcessSessionId => session,
    PsGetProcessId => process_id,
    PsLookupProcessByProcessId => look_up_process,
    PsLookupThreadByThreadId => look_up_thread,
    KeStackAttachProcess => attach,
    KeUnstackDetachProcess => detach,
}

/// `STATUS_INVALID_CID`, which the table does not have.
const STATUS_INVALID_CID: i32 = 0xC000_000B_u32.cast_signed();

/// The priority of a thread of the system's at first.
const FIRST_PRIORITY: i32 = 8;
/// Priorities of threads are below.
const PRIORITIES: i32 = 32;

per_image! {
    /// The priorities that were set.
    static PRIORITY: RefCell<BTreeMap<ThreadId, i32>> = const { RefCell::new(BTreeMap::new()) };
    /// What each attachment of a thread has to go back to, by its KAPC_STATE.
    static ATTACHED: RefCell<BTreeMap<u64, Attached>> = const { RefCell::new(BTreeMap::new()) };
    /// How often a driver has asked for cycles.
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

/// An attachment to a process.
#[derive(Clone, Copy)]
struct Attached {
    thread: ThreadId,
    before: u32,
}

/// Forgets all threads: a run begins.
pub(super) fn reset() {
    PRIORITY.take();
    ATTACHED.take();
    ASKED.set(0);
}

/// The priority of a thread.
fn priority_of(thread: Option<ThreadId>) -> i32 {
    let set = thread.and_then(|thread| PRIORITY.with_borrow(|all| all.get(&thread).copied()));
    set.unwrap_or(FIRST_PRIORITY)
}

/// Sets it, and gives that of before. The scheduler of the lab does not look at priorities: any order may come.
fn change_priority(object: u64, new: i32) -> i32 {
    let thread = touch(object);
    let old = priority_of(thread);
    if let Some(thread) = thread {
        let new = new.clamp(1, PRIORITIES - 1);
        PRIORITY.with_borrow_mut(|all| all.insert(thread, new));
    }
    old
}

/// The thread of an object, which must be there.
fn touch(object: u64) -> Option<ThreadId> {
    mem::read::<u8>(object).or_fault();
    ps::thread_of_object(object)
}

fn as_result(number: i32) -> u64 {
    number.cast_unsigned().into()
}

fn set_priority(call: &Call<'_>) -> u64 {
    as_result(change_priority(call.arg(0), call.arg_u32(1).cast_signed()))
}

fn priority(call: &Call<'_>) -> u64 {
    as_result(priority_of(touch(call.arg(0))))
}

/// The increment is one to that of the process, and so is what it gives.
fn set_base_priority(call: &Call<'_>) -> u64 {
    let increment = call.arg_u32(1).cast_signed();
    let old = change_priority(call.arg(0), FIRST_PRIORITY.saturating_add(increment));
    as_result(old - FIRST_PRIORITY)
}

/// In clock ticks: a thread of the system's spends none in user mode.
fn run_time(call: &Call<'_>) -> u64 {
    let thread = touch(call.arg(0));
    mem::write(call.arg(1), 0_u32).or_fault();
    processor::tick_count(thread.map_or(0, sched::time_of))
}

/// A cycle is a nanosecond, as the time-stamp counter of the lab has it.
fn cycle_time(call: &Call<'_>) -> u64 {
    let thread = touch(call.arg(0));
    mem::write(call.arg(1), sched::now()).or_fault();
    // Asking takes cycles too, where nothing else does.
    let asked = ASKED.get();
    ASKED.set(asked + 1);
    thread.map_or(0, sched::time_of) + asked
}

fn thread_id(call: &Call<'_>) -> u64 {
    touch(call.arg(0)).map_or(0, ps::thread_id)
}

/// The process that a thread object belongs to: the running thread may be one of user mode, the others are the system's.
fn process_of(object: u64) -> u32 {
    mem::read::<u8>(object).or_fault();
    if object == sched::thread_object(sched::current()) {
        sched::process()
    } else {
        0
    }
}

fn thread_process_id(call: &Call<'_>) -> u64 {
    ps::process_id(process_of(call.arg(0)))
}

/// 0 of what is no process.
fn process_id(call: &Call<'_>) -> u64 {
    mem::read::<u8>(call.arg(0)).or_fault();
    identity::process_number(call.arg(0)).map_or(0, ps::process_id)
}

pub(super) fn thread_process(call: &Call<'_>) -> u64 {
    identity::process_object(process_of(call.arg(0)))
}

fn current_thread(_: &Call<'_>) -> u64 {
    sched::thread_object(sched::current())
}

/// Services have session 0; whoever opens a device is a user's.
fn session(call: &Call<'_>) -> u64 {
    mem::read::<u8>(call.arg(0)).or_fault();
    match identity::process_number(call.arg(0)) {
        Some(0) | None => 0,
        Some(_) => 1,
    }
}

fn look_up_process(call: &Call<'_>) -> u64 {
    let (id, out) = (call.arg(0), call.arg(1));
    let Some(process) = ps::process_of_id(id).filter(|process| device::has_process(*process))
    else {
        return status(STATUS_INVALID_CID);
    };
    give(out, identity::process_object(process))
}

fn look_up_thread(call: &Call<'_>) -> u64 {
    let (id, out) = (call.arg(0), call.arg(1));
    let Some(thread) = ps::thread_of_id(id).filter(|thread| sched::thread_name(*thread).is_some())
    else {
        return status(STATUS_INVALID_PARAMETER);
    };
    give(out, sched::thread_object(thread))
}

/// Gives an object with a reference of the driver's.
fn give(out: u64, object: u64) -> u64 {
    mem::write(out, object).or_fault();
    ob::note_reference(object);
    SUCCESS
}

/// The memory of that process is within reach until the detachment.
fn attach(call: &Call<'_>) -> u64 {
    let (process, state) = (call.arg(0), call.arg(1));
    mem::read::<u8>(process).or_fault();
    let number = identity::process_number(process).unwrap_or(0);
    let attached = Attached {
        thread: sched::current(),
        before: sched::process(),
    };
    // What is in a KAPC_STATE is the system's.
    mem::fill(state, APC_STATE_BYTES, 0).or_fault();
    ATTACHED.with_borrow_mut(|all| all.insert(state, attached));
    sched::enter_process(number);
    0
}

/// Bytes of a KAPC_STATE.
const APC_STATE_BYTES: usize = 48;

fn detach(call: &Call<'_>) -> u64 {
    mem::read::<u8>(call.arg(0)).or_fault();
    let attached = ATTACHED.with_borrow_mut(|all| all.remove(&call.arg(0)));
    if let Some(Attached { thread, before }) = attached
        && thread == sched::current()
    {
        sched::enter_process(before);
    }
    0
}
