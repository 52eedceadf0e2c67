//! `Io*`: IRPs that a driver makes, sends and cancels.

use std::cell::RefCell;
use std::collections::BTreeMap;

use super::{SUCCESS, imports};
use crate::abi::constant::{
    FO_SYNCHRONOUS_IO, IRP_MJ_DEVICE_CONTROL, IRP_SYNCHRONOUS_API, METHOD_BUFFERED,
    SL_INVOKE_ON_CANCEL, SL_INVOKE_ON_ERROR, SL_INVOKE_ON_SUCCESS,
};
use crate::abi::nt::{DEVICE_OBJECT, FILE_OBJECT, IO_STACK_LOCATION as L, IRP};
use crate::irp::build::{Control, For, Transfer};
use crate::per_image::per_image;
use crate::rt::Call;
use crate::rt::mem::BadAddress;
use crate::rt::sched::{self, ThreadId};
use crate::watch::OrFault;
use crate::{device, irp};

imports! {
    "ntoskrnl.exe":
    IoAllocateIrp => allocate,
    IoBuildAsynchronousFsdRequest => build_asynchronous,
    IoBuildDeviceIoControlRequest => build_control,
    IoBuildSynchronousFsdRequest => build_synchronous,
    IoCancelIrp => cancel,
    IoFreeIrp => free,
    IoGetRequestorProcess => requestor_process,
    IoGetTopLevelIrp => top_level,
    IoInitializeIrp => initialize,
    IoIsOperationSynchronous => is_synchronous,
    IoReuseIrp => reuse,
    IoSetCompletionRoutineEx => set_completion_routine,
    IoSetTopLevelIrp => set_top_level,
    IofCallDriver => call_driver,
}

per_image! {
    /// What each thread has noted as the request that it began with.
    static TOP_LEVEL: RefCell<BTreeMap<ThreadId, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// Forgets everything: a run begins.
pub(super) fn reset() {
    TOP_LEVEL.take();
}

fn allocate(call: &Call<'_>) -> u64 {
    irp::allocate(call.arg_u8(0))
}

fn initialize(call: &Call<'_>) -> u64 {
    irp::initialize_raw(call.arg(0), call.arg_u16(1), call.arg_u8(2));
    0
}

fn reuse(call: &Call<'_>) -> u64 {
    irp::reuse(call.arg(0), call.arg_u32(1).cast_signed());
    0
}

fn free(call: &Call<'_>) -> u64 {
    irp::free(call.arg(0));
    0
}

fn call_driver(call: &Call<'_>) -> u64 {
    irp::call(call.arg(0), call.arg(1)).into()
}

fn cancel(call: &Call<'_>) -> u64 {
    device::cancel(call.arg(0)).into()
}

fn build_control(call: &Call<'_>) -> u64 {
    irp::build::control(&Control {
        code: call.arg_u32(0),
        device: call.arg(1),
        input: call.arg(2),
        input_len: call.arg_u32(3),
        output: call.arg(4),
        output_len: call.arg_u32(5),
        is_internal: call.arg_u8(6) != 0,
        event: call.arg(7),
        block: call.arg(8),
    })
}

fn build_synchronous(call: &Call<'_>) -> u64 {
    let event = call.arg(5);
    transfer(call, For::Thread { event }, call.arg(6))
}

fn build_asynchronous(call: &Call<'_>) -> u64 {
    transfer(call, For::Driver, call.arg(5))
}

fn transfer(call: &Call<'_>, whose: For, block: u64) -> u64 {
    irp::build::transfer(&Transfer {
        major: call.arg_u32(0),
        device: call.arg(1),
        buffer: call.arg(2),
        length: call.arg_u32(3),
        offset: call.arg(4),
        block,
        whose,
    })
}

/// Sets it as the macro without `Ex` does; the driver stays loaded until it has run.
fn set_completion_routine(call: &Call<'_>) -> u64 {
    let (device, irp) = (call.arg(0), call.arg(1));
    let flags = [
        SL_INVOKE_ON_SUCCESS,
        SL_INVOKE_ON_ERROR,
        SL_INVOKE_ON_CANCEL,
    ];
    let wanted = flags.into_iter().enumerate();
    let wanted = wanted.filter(|(index, _)| call.arg_u8(4 + index) != 0);
    let control: u32 = wanted.map(|(_, flag)| flag).sum();
    let fill = || {
        DEVICE_OBJECT::DriverObject.read(device)?;
        let current = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
        let next = current.wrapping_sub(L::SIZE as u64);
        L::CompletionRoutine.write(next, call.arg(2))?;
        L::Context.write(next, call.arg(3))?;
        L::Control.write(next, control as u8)
    };
    fill().or_fault();
    irp::hold_driver(irp);
    SUCCESS
}

/// The system process for what no process of user mode has sent, as long as it is on its way.
fn requestor_process(call: &Call<'_>) -> u64 {
    // One that has ended is out of reach.
    let thread = IRP::Tail_Overlay_Thread.read(call.arg(0)).or_fault();
    if thread == 0 {
        return 0;
    }
    super::identity::process_object(device::requestor(call.arg(0)).unwrap_or(0))
}

/// Synchronous is what says so itself, what is about a file that was opened so, and a control request whose buffers are
/// the system's.
fn is_synchronous(call: &Call<'_>) -> u64 {
    let irp = call.arg(0);
    let look = || {
        let location = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
        let code = L::Parameters_DeviceIoControl_IoControlCode.read(location)?;
        let is_control = u32::from(L::MajorFunction.read(location)?) == IRP_MJ_DEVICE_CONTROL;
        let is_flagged = IRP::Flags.read(irp)? & IRP_SYNCHRONOUS_API != 0;
        let is_file = match L::FileObject.read(location)? {
            0 => false,
            file => FILE_OBJECT::Flags.read(file)? & FO_SYNCHRONOUS_IO != 0,
        };
        Ok(is_flagged || is_file || is_control && code & 3 == METHOD_BUFFERED)
    };
    let answer: Result<bool, BadAddress> = look();
    answer.or_fault().into()
}

fn top_level(_: &Call<'_>) -> u64 {
    let thread = sched::current();
    TOP_LEVEL.with_borrow(|noted| noted.get(&thread).copied().unwrap_or(0))
}

fn set_top_level(call: &Call<'_>) -> u64 {
    TOP_LEVEL.with_borrow_mut(|noted| noted.insert(sched::current(), call.arg(0)));
    0
}
