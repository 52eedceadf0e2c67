//! One IRP: made, sent, waited for, completed.

use lab_rules::Kind;
use lab_rules::event::{Callback, Exposure, IrpEvent, Lent};

use super::buffer::{Buffers, Method};
use super::{DEVICES, File, PATIENCE_NS, cancel, cleanup};
use crate::abi::constant::{
    DO_BUFFERED_IO, DO_DIRECT_IO, IRP_MJ_DEVICE_CONTROL, IRP_MJ_READ, IRP_MJ_WRITE,
    SL_PENDING_RETURNED, STATUS_INVALID_DEVICE_REQUEST, STATUS_PENDING,
};
use crate::abi::nt::{DEVICE_OBJECT, IO_STACK_LOCATION as L, IO_STATUS_BLOCK, IRP};
use crate::driver;
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
    send_as(file, major, &Request::default())
}

fn refused(status: u32) -> Answer {
    Answer {
        status,
        information: 0,
        output: Vec::new(),
    }
}

fn send_as(file: &File, major: u32, request: &Request) -> Answer {
    let major_index = usize::try_from(major).unwrap_or(0);
    let routine = file.device.majors.routine(major_index);
    if routine == 0 {
        // NDIS answers for what the table leaves out, and the system for what a driver object does.
        return refused(STATUS_INVALID_DEVICE_REQUEST.cast_unsigned());
    }
    let process = match request.requestor {
        Requestor::User => file.process,
        // The system's own.
        Requestor::Kernel => 0,
    };
    match Buffers::make(request, method(file, request), process) {
        Ok(buffers) => sched::in_process(process, || {
            send_made(file, major, routine, request, (buffers, process))
        }),
        // The driver never hears of it.
        Err(status) => refused(status),
    }
}

/// How the device wants what this request brings.
fn method(file: &File, request: &Request) -> Method {
    if let RequestKind::IoControl { code } = request.kind {
        return Method::of_code(code);
    }
    let flags = DEVICE_OBJECT::Flags.read(file.device.object).or_fault();
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

fn send_made(
    file: &File,
    major: u32,
    routine: u64,
    request: &Request,
    (buffers, process): (Buffers, u32),
) -> Answer {
    let irp = driver::lend(Lent::Irp, IRP::SIZE + L::SIZE);
    let stack = irp + IRP::SIZE as u64;
    fill(irp, stack, file, major, request, &buffers).or_fault();
    let sent = Sent {
        completed: false,
        process,
        buffers,
    };
    DEVICES.with_borrow_mut(|devices| devices.irps.insert(irp, sent));
    let since_ns = sched::now();
    watch::note_handler(&[irp], routine);
    watch::note_parts(irp, &[buffers.system]);
    emit(Kind::Irp(IrpEvent::Sent {
        irp,
        major: major as u8,
        // Nothing is copied of what the driver has no buffer of the system's for.
        output_len: if buffers.is_copied {
            request.output_len.into()
        } else {
            u64::MAX
        },
    }));
    let status = driver::call_status(
        Callback::Dispatch,
        None,
        routine,
        &[file.device.object, irp],
    );
    pool::restrict(&[irp], Reach::Whole);
    let control = L::Control.read(stack).or_fault();
    let marked_pending = u32::from(control) & SL_PENDING_RETURNED != 0;
    let returned = IrpEvent::Returned {
        irp,
        status,
        marked_pending,
    };
    watch::emit_about(Kind::Irp(returned), routine);
    let was_pending = status == STATUS_PENDING.cast_unsigned();
    if was_pending {
        await_end(file, irp, request.cancelled_after_ns, since_ns);
    }
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
        cancel(&file.device, irp);
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

fn fill(
    irp: u64,
    stack: u64,
    file: &File,
    major: u32,
    request: &Request,
    buffers: &Buffers,
) -> Result<(), BadAddress> {
    /// `IO_TYPE_IRP`.
    const TYPE: i16 = 6;
    IRP::Type.write(irp, TYPE)?;
    IRP::Size.write(irp, (IRP::SIZE + L::SIZE) as u16)?;
    IRP::StackCount.write(irp, 1)?;
    IRP::CurrentLocation.write(irp, 1)?;
    let is_user = request.requestor == Requestor::User;
    IRP::RequestorMode.write(irp, is_user.into())?;
    IRP::AssociatedIrp_SystemBuffer.write(irp, buffers.system)?;
    IRP::MdlAddress.write(irp, buffers.mdl)?;
    IRP::UserBuffer.write(irp, buffers.user)?;
    IRP::Tail_Overlay_CurrentStackLocation.write(irp, stack)?;
    IRP::Tail_Overlay_OriginalFileObject.write(irp, file.file)?;
    IRP::Tail_Overlay_Thread.write(irp, sched::thread_object(sched::current()))?;
    L::MajorFunction.write(stack, major as u8)?;
    L::DeviceObject.write(stack, file.device.object)?;
    L::FileObject.write(stack, file.file)?;
    let input_len = u32::try_from(request.input.len()).unwrap_or(u32::MAX);
    match request.kind {
        RequestKind::IoControl { code } => {
            L::Parameters_DeviceIoControl_OutputBufferLength.write(stack, request.output_len)?;
            L::Parameters_DeviceIoControl_InputBufferLength.write(stack, input_len)?;
            L::Parameters_DeviceIoControl_IoControlCode.write(stack, code)?;
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
    let known = sent.is_some();
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
    emit(Kind::Irp(IrpEvent::Completed {
        irp,
        status,
        information,
        is_cancellable,
        known,
    }));
    let copied = |sent: &Sent| has_output(status) && sent.buffers.is_copied;
    if let Some(Sent { buffers, .. }) = sent.filter(copied) {
        let bytes = usize::try_from(information).map_or(buffers.room, |it| it.min(buffers.room));
        if let Some(exposed) = exposure::in_answer(Exposure::Irp { irp }, buffers.system, bytes) {
            emit(exposed);
        }
    }
    DEVICES.with_borrow_mut(|devices| {
        if let Some(sent) = devices.irps.get_mut(&irp) {
            sent.completed = true;
        }
    });
    if known {
        pool::restrict(&[irp], Reach::None);
    }
}
