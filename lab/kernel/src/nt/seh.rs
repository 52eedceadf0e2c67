//! Structured exception handling: what raises, what unwinds, what compilers' code calls, and probes of
//! user-mode addresses.

use lab_rules::Kind;
use lab_rules::event::{Fault, FaultKind, Region};

use super::imports;
use crate::abi::constant::{STATUS_ACCESS_VIOLATION, STATUS_DATATYPE_MISALIGNMENT};
use crate::rt::exception::{self, Scope, Target, dispatcher, exception_record as record, flag};
use crate::rt::mem;
use crate::rt::sched::{self, Reason};
use crate::rt::{Call, call_driver, user};
use crate::watch::{OrFault, emit};

imports! {
    "ntoskrnl.exe":
    __C_specific_handler => c_specific_handler,
    _local_unwind => local_unwind,
    RtlUnwind => unwind,
    RtlUnwindEx => unwind,
    RtlCaptureContext => capture_context,
    RtlVirtualUnwind => virtual_unwind,
    RtlLookupFunctionEntry => lookup_function_entry,
    RtlPcToFileHeader => pc_to_file_header,
    ExRaiseStatus => raise_status,
    RtlRaiseStatus => raise_status,
    ExRaiseAccessViolation => raise_access_violation,
    ExRaiseDatatypeMisalignment => raise_misalignment,
    RtlRaiseException => raise_exception,
    ProbeForRead => probe_for_read,
    ProbeForWrite => probe_for_write,
}

/// `ExceptionContinueExecution`.
const CONTINUE_EXECUTION: u64 = 0;
/// `ExceptionContinueSearch`.
const CONTINUE_SEARCH: u64 = 1;

/// The handler of functions with `__try`: calls filters when an exception looks for a handler, and `__finally` blocks
/// when it has found one.
fn c_specific_handler(call: &Call<'_>) -> u64 {
    let (record, establisher, context, dispatch) =
        (call.arg(0), call.arg(1), call.arg(2), call.arg(3));
    let base = dispatcher::IMAGE_BASE.read(dispatch).or_fault();
    let table = dispatcher::HANDLER_DATA.read(dispatch).or_fault();
    let offset = dispatcher::CONTROL_PC
        .read(dispatch)
        .or_fault()
        .wrapping_sub(base);
    let first = dispatcher::SCOPE_INDEX.read(dispatch).or_fault();
    let count = Scope::count(table).or_fault();
    let flags = record::FLAGS.read(record).or_fault();
    let is_search = flags & (flag::UNWINDING | flag::EXIT_UNWIND) == 0;
    for index in first..count {
        let scope = Scope::read(table, index).or_fault();
        if !scope.contains(offset) {
            continue;
        }
        let address = |rva: u32| base.wrapping_add(rva.into());
        if is_search {
            if scope.target == 0 {
                continue;
            }
            let verdict = if scope.handler == Scope::ALWAYS {
                1
            } else {
                // EXCEPTION_POINTERS.
                let pointers = exception::on_stack(&[record, context]);
                let verdict = call_driver(address(scope.handler), &[pointers, establisher]);
                (verdict as u32).cast_signed()
            };
            if verdict < 0 {
                return CONTINUE_EXECUTION;
            }
            if verdict > 0 {
                let target = Target {
                    frame: Some(establisher),
                    ip: address(scope.target),
                    value: record::CODE.read(record).or_fault().into(),
                };
                exception::unwind(target, record);
            }
            continue;
        }
        let goal = dispatcher::TARGET_IP
            .read(dispatch)
            .or_fault()
            .wrapping_sub(base);
        let is_target = flags & flag::TARGET_UNWIND != 0;
        // What is unwound to does not leave the scopes around it.
        if is_target && (scope.contains(goal) && scope.target == 0 || goal == scope.target.into()) {
            break;
        }
        if scope.target == 0 {
            // Should the block raise an exception, it is not run again.
            dispatcher::SCOPE_INDEX
                .write(dispatch, index + 1)
                .or_fault();
            call_driver(address(scope.handler), &[1, establisher]);
        }
    }
    CONTINUE_SEARCH
}

/// Leaves a `__try` with a `__finally` for a place in the same function.
fn local_unwind(call: &Call<'_>) -> u64 {
    unwind_to(call.arg(0), call.arg(1), 0, 0)
}

fn unwind(call: &Call<'_>) -> u64 {
    unwind_to(call.arg(0), call.arg(1), call.arg(2), call.arg(3))
}

fn unwind_to(frame: u64, ip: u64, record: u64, value: u64) -> u64 {
    const STATUS_INVALID_UNWIND_TARGET: u32 = 0xC000_0029;
    let frame = (frame != 0).then_some(frame);
    exception::unwind(Target { frame, ip, value }, record);
    raise(STATUS_INVALID_UNWIND_TARGET, &[])
}

/// Raises in the driver's code; where nobody handles it, Windows stops.
pub(crate) fn raise(code: u32, information: &[u64]) -> ! {
    exception::raise(code, flag::NONCONTINUABLE, information);
    unhandled(code)
}

/// Nobody has handled an exception.
fn unhandled(code: u32) -> ! {
    emit(Kind::Fault(Fault {
        kind: FaultKind::Unhandled(code),
        address: 0,
        instruction: 0,
        region: Region::Image,
        in_import: None,
    }));
    sched::stop(Reason::Internal(
        "an unhandled exception broke no rule".into(),
    ))
}

fn raise_status(call: &Call<'_>) -> u64 {
    raise(call.arg_u32(0), &[])
}

fn raise_access_violation(_: &Call<'_>) -> u64 {
    raise(STATUS_ACCESS_VIOLATION.cast_unsigned(), &[])
}

fn raise_misalignment(_: &Call<'_>) -> u64 {
    raise(STATUS_DATATYPE_MISALIGNMENT.cast_unsigned(), &[])
}

/// The only one that a handler may send back to where it was raised.
fn raise_exception(call: &Call<'_>) -> u64 {
    let record = call.arg(0);
    let code = record::CODE.read(record).or_fault();
    let count = record::PARAMETERS.read(record).or_fault() as usize;
    let count = count.min(record::MOST);
    let mut information = [0; record::MOST];
    for (index, place) in (0..).zip(&mut information[..count]) {
        *place = mem::read(record + record::INFORMATION + 8 * index).or_fault();
    }
    let flags = record::FLAGS.read(record).or_fault() & flag::NONCONTINUABLE;
    exception::raise(code, flags, &information[..count]);
    unhandled(code)
}

fn capture_context(call: &Call<'_>) -> u64 {
    exception::capture(call.arg(0)).or_fault();
    0
}

/// Undoes the frame that a CONTEXT is in.
fn virtual_unwind(call: &Call<'_>) -> u64 {
    /// Which handlers are asked for, as in the flags of unwind information.
    const EXCEPTION: u32 = 1;
    let (kind, pc) = (call.arg_u32(0), call.arg(2));
    let (context, data, frame) = (call.arg(4), call.arg(5), call.arg(6));
    let Some(unwound) = exception::undo_frame(context, pc).or_fault() else {
        return 0;
    };
    mem::write(frame, unwound.establisher).or_fault();
    let handler = unwound.handler.filter(|handler| {
        (kind & EXCEPTION != 0 && handler.exception)
            || (kind & !EXCEPTION != 0 && handler.termination)
    });
    let Some(handler) = handler else { return 0 };
    let base = exception::image_of(pc).unwrap_or(0);
    mem::write(data, base + u64::from(handler.data_rva)).or_fault();
    base + u64::from(handler.rva)
}

fn lookup_function_entry(call: &Call<'_>) -> u64 {
    let entry = exception::function_entry(call.arg(0));
    if entry != 0 {
        let base = exception::image_of(call.arg(0)).unwrap_or(0);
        mem::write(call.arg(1), base).or_fault();
    }
    entry
}

fn pc_to_file_header(call: &Call<'_>) -> u64 {
    let base = exception::image_of(call.arg(0)).unwrap_or(0);
    mem::write(call.arg(1), base).or_fault();
    base
}

/// Raises what a probe of `length` bytes at `address` raises; tells whether there is anything to probe.
fn probe(address: u64, length: u64, alignment: u64) -> bool {
    if length == 0 {
        return false;
    }
    // What a probe raises is for the caller to handle, also if it has nothing to raise this time.
    if !exception::is_caller_guarded() {
        user::refuse_unguarded(address);
    }
    user::refuse_misused(address);
    if alignment != 0 && address & (alignment - 1) != 0 {
        raise(STATUS_DATATYPE_MISALIGNMENT.cast_unsigned(), &[]);
    }
    let end = address.checked_add(length);
    if end.is_none_or(|end| !exception::is_user(end - 1)) {
        raise(STATUS_ACCESS_VIOLATION.cast_unsigned(), &[]);
    }
    true
}

/// Says whether the addresses are user mode's, and does not touch them.
fn probe_for_read(call: &Call<'_>) -> u64 {
    let address = call.arg(0);
    if probe(address, call.arg(1), call.arg_u32(2).into()) {
        user::note_probe(address);
    }
    0
}

/// Touches every page as well, in the process that runs.
fn probe_for_write(call: &Call<'_>) -> u64 {
    const WRITE: u64 = 1;
    let (address, length) = (call.arg(0), call.arg(1));
    if !probe(address, length, call.arg_u32(2).into()) {
        return 0;
    }
    if let Err(bad) = user::check(address, length, true) {
        raise(
            STATUS_ACCESS_VIOLATION.cast_unsigned(),
            &[WRITE, bad.address],
        );
    }
    user::note_probe(address);
    0
}
