//! Cancel-safe queues of IRPs. The driver keeps the queue; these functions decide who has an IRP that is taken out and
//! cancelled at the same time.
//!
//! The driver's six routines are called as what they are: parts of the routine that uses the queue, one of which raises
//! the level and another lowers it.

use lab_rules::event::{Call as Routine, Callback};

use super::{SUCCESS, imports, lock};
use crate::abi::constant::SL_PENDING_RETURNED;
use crate::abi::nt::{DEVICE_OBJECT, IO_CSQ, IO_CSQ_IRP_CONTEXT, IO_STACK_LOCATION, IRP};
use crate::rt::mem::{self, BadAddress};
use crate::rt::{self, Call};
use crate::watch::{self, OrFault};
use crate::{device, driver};

imports! {
    "ntoskrnl.exe":
    IoCsqInitialize => initialize,
    IoCsqInitializeEx => initialize_ex,
    IoCsqInsertIrp => insert,
    IoCsqInsertIrpEx => insert_ex,
    IoCsqRemoveIrp => remove,
    IoCsqRemoveNextIrp => remove_next,
}

/// `Type` of a context, of a queue, and of one whose insertion may fail.
const CONTEXT: u32 = 1;
const QUEUE: u32 = 2;
const QUEUE_EX: u32 = 3;
/// Which of an IRP's `DriverContext` is the queue's while it is in it.
const SLOT: u64 = 3;

fn initialize(call: &Call<'_>) -> u64 {
    initialize_as(call, QUEUE)
}

fn initialize_ex(call: &Call<'_>) -> u64 {
    initialize_as(call, QUEUE_EX)
}

fn initialize_as(call: &Call<'_>, kind: u32) -> u64 {
    let queue = call.arg(0);
    let members = [
        IO_CSQ::CsqInsertIrp,
        IO_CSQ::CsqRemoveIrp,
        IO_CSQ::CsqPeekNextIrp,
        IO_CSQ::CsqAcquireLock,
        IO_CSQ::CsqReleaseLock,
        IO_CSQ::CsqCompleteCanceledIrp,
    ];
    let fill = || {
        IO_CSQ::Type.write(queue, kind)?;
        IO_CSQ::ReservePointer.write(queue, 0)?;
        (1..)
            .zip(members)
            .try_for_each(|(index, member)| member.write(queue, call.arg(index)))
    };
    fill().or_fault();
    SUCCESS
}

/// The cancel routine of an IRP in a queue: the system's, of which a driver sees an address only.
fn cancel_routine() -> u64 {
    rt::import_address("ntoskrnl.exe", "IoCsqInitialize").unwrap_or(0)
}

/// Whether an IRP with this cancel routine is in a queue.
pub(crate) fn is_cancel_routine(routine: u64) -> bool {
    routine == cancel_routine()
}

/// Address of the queue's word in an IRP.
fn slot(irp: u64) -> u64 {
    IRP::Tail_Overlay_DriverContext.of(irp) + 8 * SLOT
}

/// Calls a routine of the driver's for a queue.
fn ask(member: mem::Field<u64>, arguments: &[u64]) -> u64 {
    let queue = arguments.first().copied().unwrap_or(0);
    rt::call_driver(member.read(queue).or_fault(), arguments)
}

/// Takes the queue's lock; gives what to release it with.
fn acquire(queue: u64) -> u64 {
    let irql = driver::object(1);
    ask(IO_CSQ::CsqAcquireLock, &[queue, irql]);
    let old: u8 = mem::read(irql).or_fault();
    driver::release(irql);
    old.into()
}

fn release(queue: u64, irql: u64) {
    ask(IO_CSQ::CsqReleaseLock, &[queue, irql]);
}

fn insert(call: &Call<'_>) -> u64 {
    insert_with(call.arg(0), call.arg(1), call.arg(2), 0);
    0
}

fn insert_ex(call: &Call<'_>) -> u64 {
    insert_with(call.arg(0), call.arg(1), call.arg(2), call.arg(3))
}

fn insert_with(queue: u64, irp: u64, context: u64, insert_context: u64) -> u64 {
    let kind = IO_CSQ::Type.read(queue).or_fault();
    let note = || {
        if context == 0 {
            return mem::write(slot(irp), queue);
        }
        IO_CSQ_IRP_CONTEXT::Type.write(context, CONTEXT)?;
        IO_CSQ_IRP_CONTEXT::Irp.write(context, irp)?;
        IO_CSQ_IRP_CONTEXT::Csq.write(context, queue)?;
        mem::write(slot(irp), context)
    };
    note().or_fault();
    let irql = acquire(queue);
    let arguments = [queue, irp, insert_context];
    let is_ex = kind == QUEUE_EX;
    let status = ask(
        IO_CSQ::CsqInsertIrp,
        &arguments[..if is_ex { 3 } else { 2 }],
    ) & 0xFFFF_FFFF;
    if is_ex && status >= 0x8000_0000 {
        forget(irp).or_fault();
        release(queue, irql);
        return status;
    }
    mark_pending(irp).or_fault();
    IRP::CancelRoutine.write(irp, cancel_routine()).or_fault();
    let is_cancelled = IRP::Cancel.read(irp).or_fault() != 0 && take(irp).or_fault();
    if is_cancelled {
        take_out(queue, irp);
    }
    release(queue, irql);
    if is_cancelled {
        ask(IO_CSQ::CsqCompleteCanceledIrp, &[queue, irp]);
    }
    SUCCESS
}

fn mark_pending(irp: u64) -> Result<(), BadAddress> {
    let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
    let control = IO_STACK_LOCATION::Control.read(location)?;
    IO_STACK_LOCATION::Control.write(location, control | SL_PENDING_RETURNED as u8)
}

/// Takes the cancel routine from an IRP: false where somebody has taken it to cancel the IRP.
fn take(irp: u64) -> Result<bool, BadAddress> {
    let routine = IRP::CancelRoutine.read(irp)?;
    IRP::CancelRoutine.write(irp, 0)?;
    Ok(routine != 0)
}

/// Takes an IRP out of the queue, whose lock is held.
fn take_out(queue: u64, irp: u64) {
    ask(IO_CSQ::CsqRemoveIrp, &[queue, irp]);
    forget(irp).or_fault();
}

/// An IRP is in the queue no more.
fn forget(irp: u64) -> Result<(), BadAddress> {
    let noted: u64 = mem::read(slot(irp))?;
    if noted != 0 && IO_CSQ_IRP_CONTEXT::Type.read(noted)? == CONTEXT {
        IO_CSQ_IRP_CONTEXT::Irp.write(noted, 0)?;
    }
    mem::write(slot(irp), 0)
}

fn remove(call: &Call<'_>) -> u64 {
    let (queue, context) = (call.arg(0), call.arg(1));
    let irql = acquire(queue);
    let irp = IO_CSQ_IRP_CONTEXT::Irp.read(context).or_fault();
    let is_taken = irp != 0 && take(irp).or_fault();
    if is_taken {
        take_out(queue, irp);
    }
    release(queue, irql);
    if is_taken { irp } else { 0 }
}

fn remove_next(call: &Call<'_>) -> u64 {
    let (queue, peek_context) = (call.arg(0), call.arg(1));
    let irql = acquire(queue);
    let peek = |after| ask(IO_CSQ::CsqPeekNextIrp, &[queue, after, peek_context]);
    let mut irp = peek(0);
    // One that is being cancelled is its cancel routine's.
    while irp != 0 && !take(irp).or_fault() {
        irp = peek(irp);
    }
    if irp != 0 {
        take_out(queue, irp);
    }
    release(queue, irql);
    irp
}

/// An IRP in a queue is cancelled. The lock for cancellation is held.
pub(crate) fn cancel(object: u64, irp: u64) {
    DEVICE_OBJECT::Type.read(object).or_fault();
    let noted: u64 = mem::read(slot(irp)).or_fault();
    let kind = IO_CSQ_IRP_CONTEXT::Type.read(noted).or_fault();
    let queue = if kind == CONTEXT {
        IO_CSQ_IRP_CONTEXT::Csq.read(noted).or_fault()
    } else {
        noted
    };
    let routine = IO_CSQ::CsqCompleteCanceledIrp.read(queue).or_fault();
    let call = Routine {
        callback: Callback::Cancel,
        adapter: None,
    };
    watch::enter(call, routine);
    lock::release_to(device::cancel_lock(), IRP::CancelIrql.read(irp).or_fault());
    let irql = acquire(queue);
    take_out(queue, irp);
    release(queue, irql);
    ask(IO_CSQ::CsqCompleteCanceledIrp, &[queue, irp]);
    watch::leave(call, None);
}
