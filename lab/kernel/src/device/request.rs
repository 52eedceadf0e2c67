//! One IRP: made, sent, waited for, completed.

use lab_rules::Kind;
use lab_rules::event::{Exposure, IrpEvent};

use super::buffer::{Buffers, Method};
use super::{DEVICES, File, PATIENCE_NS, attachment, cancel, cleanup};
use crate::abi::constant::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_SYSTEM_CONTROL,
    IRP_MJ_WRITE, SL_READ_ACCESS_GRANTED, SL_WRITE_ACCESS_GRANTED, STATUS_INVALID_DEVICE_REQUEST,
    STATUS_PENDING,
};
use crate::abi::nt::{DEVICE_OBJECT, IO_STACK_LOCATION as L, IO_STATUS_BLOCK, IRP};
use crate::driver;
use crate::irp::{self, Dispatch};
use crate::ndis::exposure;
use crate::rt::mem::BadAddress;
use crate::rt::pool::{self, Reach};
use crate::rt::sched::{self, Wait};
use crate::watch::{self, OrFault, emit};
use crate::{Answer, DeviceRequestReport, Request, RequestKind, Requestor};

/// An IRP that has been sent.
#[derive(Clone, Copy)]
pub(super) struct Sent {
    pub(super) completed: bool,
    /// The process whose thread has sent it.
    process: u32,
    buffers: Buffers,
}

/// Sends a request and waits for its end.
pub(crate) fn send(file: &File, request: &Request) -> Answer {
    let major = match request.kind {
        RequestKind::IoControl { .. } => IRP_MJ_DEVICE_CONTROL,
        RequestKind::Read { .. } => IRP_MJ_READ,
        RequestKind::Write { .. } => IRP_MJ_WRITE,
    };
    send_as(file, major, request)
}

/// Sends an IRP without buffers, and waits for its end.
pub(super) fn plain(file: &File, major: u32) -> Answer {
    let request = Request {
        requestor: file.requestor,
        ..Request::default()
    };
    send_as(file, major, &request)
}

/// What WMI asks a device for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SystemControl {
    /// The minor function.
    pub(crate) minor: u8,
    /// `Parameters.WMI.DataPath`.
    pub(crate) path: u64,
    /// `Parameters.WMI.Buffer`.
    pub(crate) buffer: u64,
    /// Bytes of it.
    pub(crate) size: u32,
}

/// Sends what WMI asks, and waits for its end.
pub(super) fn system_control(file: &File, control: &SystemControl) -> Answer {
    let request = Request {
        requestor: Requestor::Kernel,
        ..Request::default()
    };
    send_with(file, IRP_MJ_SYSTEM_CONTROL, &request, Some(control))
}

fn refused(status: u32) -> Answer {
    Answer {
        status,
        information: 0,
        output: Vec::new(),
    }
}

fn send_as(file: &File, major: u32, request: &Request) -> Answer {
    send_with(file, major, request, None)
}

fn send_with(
    file: &File,
    major: u32,
    request: &Request,
    control: Option<&SystemControl>,
) -> Answer {
    let top = attachment::top(file.device.object).or_fault();
    let routine = super::routine(top, major as u8).unwrap_or(0);
    if routine == 0 {
        // NDIS answers for what the table leaves out, and the system for what a driver object does.
        return refused(STATUS_INVALID_DEVICE_REQUEST.cast_unsigned());
    }
    let process = match request.requestor {
        Requestor::User => file.process,
        // The system's own.
        Requestor::Kernel => 0,
    };
    match Buffers::make(request, method(top, request), process) {
        Ok(buffers) => sched::in_process(process, || {
            let wanted = Wanted {
                major,
                device: top,
                routine,
                process,
                control,
            };
            send_made(file, request, &wanted, buffers)
        }),
        // The driver never hears of it.
        Err(status) => refused(status),
    }
}

/// How the device wants what this request brings.
fn method(device: u64, request: &Request) -> Method {
    if let RequestKind::IoControl { code } = request.kind {
        return Method::of_code(code);
    }
    let flags = DEVICE_OBJECT::Flags.read(device).or_fault();
    match request.kind {
        _ if flags & DO_BUFFERED_IO != 0 => Method::Buffered,
        _ if flags & DO_DIRECT_IO == 0 => Method::Neither,
        RequestKind::Write { .. } => Method::InDirect,
        _ => Method::OutDirect,
    }
}

/// The process whose thread has sent an IRP that has not ended.
pub(crate) fn requestor(irp: u64) -> Option<u32> {
    DEVICES.with_borrow(|devices| devices.irps.get(&irp).map(|sent| sent.process))
}

/// Whether an IRP is one of those that the driver was sent.
pub(crate) fn is_sent(irp: u64) -> bool {
    DEVICES.with_borrow(|devices| devices.irps.contains_key(&irp))
}

/// What an IRP is for, which device has it first, and whose it is.
struct Wanted<'a> {
    major: u32,
    device: u64,
    routine: u64,
    process: u32,
    control: Option<&'a SystemControl>,
}

fn send_made(file: &File, request: &Request, wanted: &Wanted<'_>, buffers: Buffers) -> Answer {
    let Wanted {
        major,
        device,
        routine,
        process,
        control,
    } = *wanted;
    let locations = DEVICE_OBJECT::StackSize.read(device).or_fault();
    let irp = irp::lend(u8::try_from(locations).unwrap_or(1).max(1));
    fill(irp, device, file, major, request, &buffers).or_fault();
    if let Some(control) = control {
        fill_control(irp, file, control).or_fault();
    }
    let sent = Sent {
        completed: false,
        process,
        buffers,
    };
    DEVICES.with_borrow_mut(|devices| devices.irps.insert(irp, sent));
    let since_ns = sched::now();
    watch::note_parts(irp, &[buffers.system]);
    let status = irp::dispatch(&Dispatch {
        device,
        irp,
        routine,
        major: major as u8,
        // Elsewhere it may be any number.
        output_len: control
            .map(|control| control.size.into())
            .or(buffers.bound)
            .unwrap_or(u64::MAX),
    });
    let was_pending = status == STATUS_PENDING.cast_unsigned();
    if was_pending {
        await_end(file, irp, request.cancelled_after_ns, since_ns);
    } else {
        pool::restrict(&[irp], Reach::Whole);
    }
    buffers.reopen();
    let answer = read_answer(irp, &buffers).or_fault();
    let report = DeviceRequestReport {
        major,
        code: request.code().unwrap_or(0),
        input_bytes: u32::try_from(request.input.len()).unwrap_or(u32::MAX),
        room_bytes: request.output_len,
        has_file: file.file != 0,
        was_pending,
        status: answer.status,
        output_bytes: u32::try_from(answer.output.len()).unwrap_or(u32::MAX),
    };
    DEVICES.with_borrow_mut(|devices| {
        devices.irps.remove(&irp);
        devices.requests.push(report);
    });
    driver::release(irp);
    buffers.release().or_fault();
    answer
}

/// Waits for the end of an IRP that was left pending, which is hurried by a cancellation.
fn await_end(file: &File, irp: u64, cancelled_after_ns: Option<u64>, since_ns: u64) {
    if let Some(after_ns) = cancelled_after_ns {
        sched::sleep_until(sched::now() + after_ns);
        cancel(irp);
    }
    let is_over =
        || DEVICES.with_borrow(|devices| devices.irps.get(&irp).is_none_or(|sent| sent.completed));
    let wait = || sched::wait_until(sched::now() + PATIENCE_NS, &mut || is_over());
    if wait() == Wait::TimedOut {
        // The caller gives up, and with its handle everything goes that waits for it.
        cleanup(file);
        if wait() == Wait::TimedOut {
            emit(Kind::Irp(IrpEvent::Overdue {
                irp,
                waited_ns: sched::now() - since_ns,
            }));
        }
    }
    sched::wait(&mut || is_over());
    pool::restrict(&[irp], Reach::Whole);
}

/// Fills in an IRP that is right at the driver which has the topmost device.
fn fill(
    irp: u64,
    device: u64,
    file: &File,
    major: u32,
    request: &Request,
    buffers: &Buffers,
) -> Result<(), BadAddress> {
    let above = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
    let stack = above - L::SIZE as u64;
    let count = IRP::StackCount.read(irp)?;
    IRP::CurrentLocation.write(irp, count)?;
    let is_user = request.requestor == Requestor::User;
    IRP::RequestorMode.write(irp, is_user.into())?;
    IRP::AssociatedIrp_SystemBuffer.write(irp, buffers.system)?;
    IRP::MdlAddress.write(irp, buffers.mdl)?;
    IRP::UserBuffer.write(irp, buffers.user)?;
    IRP::Tail_Overlay_CurrentStackLocation.write(irp, stack)?;
    IRP::Tail_Overlay_OriginalFileObject.write(irp, file.file)?;
    IRP::Tail_Overlay_Thread.write(irp, sched::thread_object(sched::current()))?;
    L::MajorFunction.write(stack, major as u8)?;
    L::DeviceObject.write(stack, device)?;
    L::FileObject.write(stack, file.file)?;
    let input_len = u32::try_from(request.input.len()).unwrap_or(u32::MAX);
    match request.kind {
        RequestKind::IoControl { code } => {
            L::Parameters_DeviceIoControl_OutputBufferLength.write(stack, request.output_len)?;
            L::Parameters_DeviceIoControl_InputBufferLength.write(stack, input_len)?;
            L::Parameters_DeviceIoControl_IoControlCode.write(stack, code)?;
            // Files are opened for both.
            let granted = SL_READ_ACCESS_GRANTED | SL_WRITE_ACCESS_GRANTED;
            L::Flags.write(stack, granted as u8)?;
            L::Parameters_DeviceIoControl_Type3InputBuffer.write(stack, buffers.type3)
        }
        RequestKind::Read { offset } => {
            L::Parameters_Read_Length.write(stack, request.output_len)?;
            L::Parameters_Read_ByteOffset.write(stack, offset.cast_signed())
        }
        RequestKind::Write { offset } => {
            L::Parameters_Write_Length.write(stack, input_len)?;
            L::Parameters_Write_ByteOffset.write(stack, offset.cast_signed())
        }
    }
}

/// What an IRP of WMI has in place of what others have.
fn fill_control(irp: u64, file: &File, control: &SystemControl) -> Result<(), BadAddress> {
    let stack = IRP::Tail_Overlay_CurrentStackLocation.read(irp)?;
    L::MinorFunction.write(stack, control.minor)?;
    L::Parameters_WMI_ProviderId.write(stack, file.device.object)?;
    L::Parameters_WMI_DataPath.write(stack, control.path)?;
    L::Parameters_WMI_BufferSize.write(stack, control.size)?;
    L::Parameters_WMI_Buffer.write(stack, control.buffer)
}

/// Whether the I/O manager copies output back: not for errors, but for warnings.
fn has_output(status: u32) -> bool {
    status < 0xC000_0000
}

fn read_answer(irp: u64, buffers: &Buffers) -> Result<Answer, BadAddress> {
    let block = irp + IRP::IoStatus;
    let status = IO_STATUS_BLOCK::Status.read(block)?.cast_unsigned();
    let information = IO_STATUS_BLOCK::Information.read(block)?;
    let output = if has_output(status) {
        buffers.answer(usize::try_from(information).unwrap_or(usize::MAX))?
    } else {
        Vec::new()
    };
    Ok(Answer {
        status,
        information,
        output,
    })
}

/// `IofCompleteRequest`.
pub(crate) fn complete(irp: u64) {
    let block = irp.wrapping_add(IRP::IoStatus);
    let sent = DEVICES.with_borrow(|devices| devices.irps.get(&irp).copied());
    // One that was completed before is out of reach.
    let is_again = sent.is_some_and(|sent| sent.completed);
    let read = || {
        let status = IO_STATUS_BLOCK::Status.read(block)?.cast_unsigned();
        let information = IO_STATUS_BLOCK::Information.read(block)?;
        Ok((status, information, IRP::CancelRoutine.read(irp)? != 0))
    };
    let (status, information, is_cancellable) = if is_again {
        (0, 0, false)
    } else {
        let read: Result<_, BadAddress> = read();
        read.or_fault()
    };
    let sending = irp::open_sending(irp);
    emit(Kind::Irp(IrpEvent::Completed {
        irp,
        sending,
        status,
        information,
        is_cancellable,
    }));
    let copied = |sent: &Sent| has_output(status) && sent.buffers.is_copied;
    if let Some(Sent { buffers, .. }) = sent.filter(copied) {
        let bytes = usize::try_from(information).map_or(buffers.room, |it| it.min(buffers.room));
        if let Some(exposed) = exposure::in_answer(Exposure::Irp { irp }, buffers.system, bytes) {
            emit(exposed);
        }
    }
    if sending.is_some() {
        irp::climb(irp, sending);
    }
}

/// An IRP that the driver was sent has come to its end.
pub(crate) fn finish(irp: u64) {
    let buffers = DEVICES.with_borrow_mut(|devices| {
        let sent = devices.irps.get_mut(&irp)?;
        let is_again = std::mem::replace(&mut sent.completed, true);
        (!is_again).then_some(sent.buffers)
    });
    if let Some(buffers) = buffers {
        buffers.end().or_fault();
    }
    pool::restrict(&[irp], Reach::None);
}
