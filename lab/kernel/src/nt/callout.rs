//! Calls of the driver's own routines: with more stack, and on every processor at once.

use std::cell::RefCell;

use lab_rules::event::Callback;

use super::{SUCCESS, imports, status};
use crate::abi::constant::{
    STATUS_INVALID_PARAMETER_3, STATUS_INVALID_PARAMETER_4, STATUS_NO_MEMORY,
};
use crate::driver;
use crate::per_image::per_image;
use crate::rt::sched::{self, DISPATCH_LEVEL};
use crate::rt::{Call, exception};

imports! {
    "ntoskrnl.exe":
    KeExpandKernelStackAndCallout => expand,
    KeExpandKernelStackAndCalloutEx => expand_ex,
    KeIpiGenericCall => on_all,
}

/// `MAXIMUM_EXPANSION_SIZE` on x64.
const MOST_BYTES: u64 = 0x12000 - 0x800;
/// `IPI_LEVEL` on x64.
const IPI_LEVEL: u8 = 14;

fn expand(call: &Call<'_>) -> u64 {
    call_out(call)
}

fn expand_ex(call: &Call<'_>) -> u64 {
    let waits = call.arg_u8(3) != 0;
    if waits && sched::irql() >= DISPATCH_LEVEL {
        return status(STATUS_INVALID_PARAMETER_4);
    }
    call_out(call)
}

/// Calls the routine where the stack has room enough. The lab has no second segment to give: where there is less, it says
/// so, as a system does whose memory is spent.
fn call_out(call: &Call<'_>) -> u64 {
    let (callout, parameter, bytes) = (call.arg(0), call.arg(1), call.arg(2));
    if bytes > MOST_BYTES {
        return status(STATUS_INVALID_PARAMETER_3);
    }
    let (low, _) = exception::stack_limits();
    if call.stack_pointer().saturating_sub(low) < bytes {
        return status(STATUS_NO_MEMORY);
    }
    driver::call(Callback::ExpandedStackCall, None, callout, &[parameter]);
    SUCCESS
}

/// How far a broadcast has come: processors that are there, and processors that are done.
#[derive(Clone, Copy, Default)]
struct Broadcast {
    arrived: u32,
    done: u32,
}

per_image! {
    /// The broadcast that is under way: the first image's is everybody's.
    static NOW: RefCell<Option<Broadcast>> = const { RefCell::new(None) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    NOW.take();
}

fn with_now<T>(look: impl FnOnce(&mut Option<Broadcast>) -> T) -> T {
    sched::on_behalf(0, || NOW.with_borrow_mut(look))
}

fn change(step: fn(&mut Broadcast)) {
    with_now(|now| now.iter_mut().for_each(step));
}

/// Spins until what `of` counts is that of all processors.
fn await_all(of: fn(&Broadcast) -> u32) {
    let all = sched::processors();
    sched::wait(&mut || with_now(|now| now.as_ref().is_none_or(|now| of(now) == all)));
}

/// What each processor does: waits for the others, and calls the routine.
fn take_part(routine: u64, context: u64) -> u64 {
    change(|broadcast| broadcast.arrived += 1);
    await_all(|broadcast| broadcast.arrived);
    let result = driver::call_for(Callback::IpiGenericCall, routine, &[context]);
    change(|broadcast| broadcast.done += 1);
    result
}

/// Calls the routine on every processor at the same time; gives what it gives on the caller's. A processor that is at
/// DISPATCH_LEVEL comes when it leaves that, though the interrupt of Windows would not wait.
fn on_all(call: &Call<'_>) -> u64 {
    let (routine, context) = (call.arg(0), call.arg(1));
    // One after the other: each needs all processors.
    sched::wait(&mut || {
        with_now(|now| {
            let is_free = now.is_none();
            if is_free {
                *now = Some(Broadcast::default());
            }
            is_free
        })
    });
    let old = sched::raise(IPI_LEVEL.max(sched::irql()));
    let home = sched::processor();
    for number in (0..sched::processors()).filter(|number| *number != home) {
        sched::queue_dpc_first("broadcast", number, move || {
            let old = sched::raise(IPI_LEVEL);
            take_part(routine, context);
            sched::lower(old);
        });
    }
    let result = take_part(routine, context);
    await_all(|broadcast| broadcast.done);
    with_now(Option::take);
    sched::lower(old);
    result
}
