//! `Ke*`: levels, events, waits, time, processors, the end of the world.

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Region};

use super::{SUCCESS, imports, mutex, status};
use crate::abi::constant::{STATUS_INVALID_PARAMETER, STATUS_TIMEOUT};
use crate::abi::nt::{DISPATCHER_HEADER as H, KMUTANT};
use crate::rt::mem::{self, BadAddress};
use crate::rt::sched::{self, DISPATCH_LEVEL, Reason, Wait};
use crate::rt::{Call, processor};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    KeGetCurrentIrql => current_irql,
    KfRaiseIrql => raise,
    KeRaiseIrqlToDpcLevel => raise_to_dpc,
    KeLowerIrql => lower,
    KeInitializeEvent => initialize_event,
    KeSetEvent => set_event,
    KeClearEvent => clear_event,
    KeResetEvent => reset_event,
    KeReadStateEvent => read_event,
    KePulseEvent => pulse_event,
    KeWaitForSingleObject => wait_single,
    KeWaitForMultipleObjects => wait_multiple,
    KeDelayExecutionThread => delay,
    KeStallExecutionProcessor => stall,
    KeQueryPerformanceCounter => performance_counter,
    KeQueryInterruptTimePrecise => interrupt_time_precise,
    KeQueryUnbiasedInterruptTime => unbiased_interrupt_time,
    KeQueryUnbiasedInterruptTimePrecise => interrupt_time_precise,
    KeQuerySystemTimePrecise => system_time_precise,
    KeQueryTimeIncrement => time_increment,
    KeGetCurrentProcessorNumberEx => current_processor,
    KeQueryActiveProcessorCount => processor_count_mask,
    KeQueryActiveProcessorCountEx => processor_count,
    KeQueryMaximumProcessorCount => processor_count_mask,
    KeQueryMaximumProcessorCountEx => processor_count,
    KeQueryActiveGroupCount => one,
    KeGetCurrentThread => current_thread,
    KeBugCheck => bug_check,
    KeBugCheckEx => bug_check_ex,
}

/// Types of objects that can be waited for, as `DISPATCHER_HEADER.Type` has them.
pub(super) mod object_type {
    /// `SynchronizationEvent`.
    pub(in crate::nt) const SYNCHRONIZATION_EVENT: u8 = 1;
    /// `SynchronizationTimer`.
    pub(in crate::nt) const SYNCHRONIZATION_TIMER: u8 = 9;
    /// A semaphore.
    pub(in crate::nt) const SEMAPHORE: u8 = 5;
    /// A mutex.
    pub(in crate::nt) const MUTANT: u8 = 2;
}

/// Nanoseconds per unit of Windows time.
const UNIT_NS: u64 = 100;

/// The interrupt time now, in 100 ns.
pub(crate) fn interrupt_time() -> u64 {
    sched::now() / UNIT_NS
}

/// The virtual time that a Windows timeout means: relative when negative, or a system time.
pub(crate) fn deadline_ns(timeout: i64) -> u64 {
    let now = sched::now();
    match u64::try_from(timeout) {
        Ok(absolute) => {
            let ahead = absolute.saturating_sub(processor::system_time_100ns(now));
            now.saturating_add(ahead.saturating_mul(UNIT_NS))
        }
        Err(_) => now.saturating_add(timeout.unsigned_abs().saturating_mul(UNIT_NS)),
    }
}

fn current_irql(_: &Call<'_>) -> u64 {
    sched::irql().into()
}

fn raise(call: &Call<'_>) -> u64 {
    sched::raise(call.arg_u8(0)).into()
}

fn raise_to_dpc(_: &Call<'_>) -> u64 {
    sched::raise(DISPATCH_LEVEL).into()
}

fn lower(call: &Call<'_>) -> u64 {
    sched::lower(call.arg_u8(0));
    0
}

fn initialize_event(call: &Call<'_>) -> u64 {
    initialize_event_at(call.arg(0), call.arg_u32(1) == 0, call.arg_u8(2) != 0).or_fault();
    0
}

/// Makes a KEVENT: a notification event stays set until it is reset.
pub(crate) fn initialize_event_at(
    event: u64,
    notification: bool,
    set: bool,
) -> Result<(), BadAddress> {
    mem::fill(event, crate::abi::nt::KEVENT::SIZE, 0)?;
    H::Type.write(event, u8::from(!notification))?;
    // In units of four bytes, as the kernel writes it.
    H::Size.write(event, 6)?;
    H::SignalState.write(event, set.into())?;
    // An empty list points to itself.
    let list = event.wrapping_add(H::WaitListHead);
    mem::write(list, list)?;
    mem::write(list.wrapping_add(8), list)
}

/// Sets an event; gives the previous state.
pub(crate) fn set_event_at(event: u64) -> Result<i32, BadAddress> {
    let previous = H::SignalState.read(event)?;
    H::SignalState.write(event, 1)?;
    Ok(previous)
}

fn set_event(call: &Call<'_>) -> u64 {
    u64::from(set_event_at(call.arg(0)).or_fault().cast_unsigned())
}

fn clear_event(call: &Call<'_>) -> u64 {
    H::SignalState.write(call.arg(0), 0).or_fault();
    0
}

fn reset_event(call: &Call<'_>) -> u64 {
    u64::from(reset_event_at(call.arg(0)).or_fault().cast_unsigned())
}

/// Resets an event; gives the previous state.
pub(super) fn reset_event_at(event: u64) -> Result<i32, BadAddress> {
    let previous = H::SignalState.read(event)?;
    H::SignalState.write(event, 0)?;
    Ok(previous)
}

fn read_event(call: &Call<'_>) -> u64 {
    u64::from(H::SignalState.read(call.arg(0)).or_fault().cast_unsigned())
}

/// Lets those through that wait now, or one of them; afterwards the event is not set.
fn pulse_event(call: &Call<'_>) -> u64 {
    let event = call.arg(0);
    let previous = set_event_at(event).or_fault();
    sched::wake();
    H::SignalState.write(event, 0).or_fault();
    u64::from(previous.cast_unsigned())
}

/// Takes what an object offers to a thread, if it is signalled.
fn take_object(object: u64, thread: u64) -> Result<bool, BadAddress> {
    let kind = H::Type.read(object)?;
    if kind == object_type::MUTANT {
        return mutex::take_mutex(object, thread);
    }
    let state = H::SignalState.read(object)?;
    if state <= 0 {
        return Ok(false);
    }
    match kind {
        object_type::SYNCHRONIZATION_EVENT | object_type::SYNCHRONIZATION_TIMER => {
            H::SignalState.write(object, 0)?;
        }
        object_type::SEMAPHORE => H::SignalState.write(object, state - 1)?,
        _ => {}
    }
    Ok(true)
}

/// Whether an object would let a thread through.
fn is_signalled(object: u64, thread: u64) -> Result<bool, BadAddress> {
    if H::SignalState.read(object)? > 0 {
        return Ok(true);
    }
    Ok(
        H::Type.read(object)? == object_type::MUTANT
            && KMUTANT::OwnerThread.read(object)? == thread,
    )
}

/// Waits for one object until a deadline, or for ever.
pub(crate) fn wait_for(object: u64, deadline_ns: Option<u64>) -> Wait {
    let mut result = Ok(());
    let thread = sched::thread_object(sched::current());
    let mut condition = || match take_object(object, thread) {
        Ok(taken) => taken,
        Err(bad) => {
            result = Err(bad);
            true
        }
    };
    let wait = match deadline_ns {
        Some(deadline_ns) => sched::wait_until(deadline_ns, &mut condition),
        None => {
            sched::wait(&mut condition);
            Wait::Satisfied
        }
    };
    result.or_fault();
    wait
}

/// The deadline that a pointer to a timeout means; none for NULL.
pub(super) fn deadline_at(timeout: u64) -> Option<u64> {
    (timeout != 0).then(|| deadline_ns(mem::read::<i64>(timeout).or_fault()))
}

fn wait_single(call: &Call<'_>) -> u64 {
    wait_for_object(call.arg(0), call.arg(4))
}

/// System time (100 ns since 1601) at a virtual time.
pub(super) fn system_time_at(ns: u64) -> i64 {
    processor::system_time_100ns(ns).cast_signed()
}

/// Waits for one object; `timeout` is the address of the time, or 0.
pub(super) fn wait_for_object(object: u64, timeout: u64) -> u64 {
    match wait_for(object, deadline_at(timeout)) {
        Wait::Satisfied => SUCCESS,
        Wait::TimedOut => status(STATUS_TIMEOUT),
    }
}

/// More objects than a thread has wait blocks for.
pub(super) const MAXIMUM_WAIT_OBJECTS: usize = 64;

fn wait_multiple(call: &Call<'_>) -> u64 {
    let (count, objects) = (call.arg_u32(0), call.arg(1));
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let mut all = [0; MAXIMUM_WAIT_OBJECTS];
    let Some(wanted) = all.get_mut(..count).filter(|wanted| !wanted.is_empty()) else {
        return status(STATUS_INVALID_PARAMETER);
    };
    for (object, at) in wanted.iter_mut().zip((objects..).step_by(8)) {
        *object = mem::read(at).or_fault();
    }
    wait_for_objects(&all[..count], call.arg_u32(2), call.arg(6))
}

/// Waits for one of these objects, or all of them; `timeout` is the address of the time, or 0.
pub(super) fn wait_for_objects(objects: &[u64], kind: u32, timeout: u64) -> u64 {
    /// `WaitAll`.
    const WAIT_ALL: u32 = 0;
    let deadline = deadline_at(timeout).unwrap_or(u64::MAX);
    let mut result = Ok(());
    let mut index = 0;
    let thread = sched::thread_object(sched::current());
    let mut look = || -> Result<bool, BadAddress> {
        if kind != WAIT_ALL {
            for (i, object) in (0..).zip(objects) {
                if take_object(*object, thread)? {
                    index = i;
                    return Ok(true);
                }
            }
            return Ok(false);
        }
        for object in objects {
            if !is_signalled(*object, thread)? {
                return Ok(false);
            }
        }
        for object in objects {
            take_object(*object, thread)?;
        }
        Ok(true)
    };
    let wait = sched::wait_until(deadline, &mut || match look() {
        Ok(taken) => taken,
        Err(bad) => {
            result = Err(bad);
            true
        }
    });
    result.or_fault();
    match wait {
        Wait::Satisfied => index,
        Wait::TimedOut => status(STATUS_TIMEOUT),
    }
}

fn delay(call: &Call<'_>) -> u64 {
    let interval = mem::read::<i64>(call.arg(2)).or_fault();
    sched::sleep_until(deadline_ns(interval));
    SUCCESS
}

fn stall(call: &Call<'_>) -> u64 {
    sched::charge(u64::from(call.arg_u32(0)) * 1_000);
    0
}

fn performance_counter(call: &Call<'_>) -> u64 {
    /// The rate of Windows' counter, in Hz.
    const FREQUENCY: i64 = 10_000_000;
    if call.arg(0) != 0 {
        mem::write(call.arg(0), FREQUENCY).or_fault();
    }
    interrupt_time()
}

fn interrupt_time_precise(call: &Call<'_>) -> u64 {
    if call.arg(0) != 0 {
        mem::write(call.arg(0), interrupt_time()).or_fault();
    }
    interrupt_time()
}

fn unbiased_interrupt_time(_: &Call<'_>) -> u64 {
    interrupt_time()
}

fn system_time_precise(call: &Call<'_>) -> u64 {
    mem::write(call.arg(0), processor::system_time_100ns(sched::now())).or_fault();
    0
}

fn time_increment(_: &Call<'_>) -> u64 {
    processor::tick_100ns()
}

fn current_processor(call: &Call<'_>) -> u64 {
    let number = sched::processor();
    if call.arg(0) != 0 {
        // PROCESSOR_NUMBER: a group of 16 bits, a number of 8, 8 reserved.
        mem::write(call.arg(0), u64::from(number) << 16).or_fault();
    }
    number.into()
}

fn processor_count(_: &Call<'_>) -> u64 {
    sched::processors().into()
}

fn processor_count_mask(call: &Call<'_>) -> u64 {
    let count = sched::processors();
    if call.import().name == "KeQueryActiveProcessorCount" && call.arg(0) != 0 {
        let mask = 1u64.checked_shl(count).map_or(u64::MAX, |bit| bit - 1);
        mem::write(call.arg(0), mask).or_fault();
    }
    count.into()
}

fn one(_: &Call<'_>) -> u64 {
    1
}

fn current_thread(_: &Call<'_>) -> u64 {
    sched::thread_object(sched::current())
}

fn bug_check(call: &Call<'_>) -> u64 {
    stop(call.arg_u32(0), [0; 4])
}

fn bug_check_ex(call: &Call<'_>) -> u64 {
    stop(
        call.arg_u32(0),
        [call.arg(1), call.arg(2), call.arg(3), call.arg(4)],
    )
}

fn stop(code: u32, parameters: [u64; 4]) -> ! {
    emit(Kind::Fault(Fault {
        kind: FaultKind::BugCheck { code, parameters },
        address: 0,
        instruction: 0,
        region: Region::Image,
        in_import: None,
    }));
    sched::stop(Reason::Internal("a bug check broke no rule".into()))
}
