//! IRPs of the control device: dispatch, answer, completion.

use core::sync::atomic::{AtomicPtr, AtomicU8, Ordering};

use ndis_sys::nt;
use wdk_sys::{
    FILE_OBJECT, IO_NO_INCREMENT, IO_STACK_LOCATION, IRP, IRP_MJ_CLEANUP, IRP_MJ_CLOSE,
    IRP_MJ_CREATE, IRP_MJ_DEVICE_CONTROL, METHOD_BUFFERED, METHOD_NEITHER, SL_PENDING_RETURNED,
};

use super::{ControlBuffer, ControlDevice, Refused};
use crate::filter::Call;
use crate::irql::{Caller, Passive};
use crate::{Status, thunk};

/// Where the transfer method is in a control code: the methods are 0 to `METHOD_NEITHER`.
const METHOD_MASK: u32 = METHOD_NEITHER;

/// Answers an IRP and completes it, or leaves it pending.
///
/// # Safety
///
/// The I/O manager has given the IRP to this activation of a dispatch routine of the control device.
pub(crate) unsafe fn dispatch<M: ControlDevice>(irp: *mut IRP, irql: &mut Passive) -> Status {
    // SAFETY: this function's contract.
    let result = match unsafe { answer::<M>(irp, irql) } {
        Ok(Answer::Pending) => return Status::PENDING,
        Ok(Answer::Done(information)) => Ok(information),
        Err(status) => Err(status),
    };
    // SAFETY: this function's contract, and the IRP is not pending.
    unsafe { finish::<M>(irp, result, irql) }
}

/// Which call of the driver an IRP is.
///
/// # Safety
///
/// That of [`dispatch`].
pub(crate) unsafe fn call_of(irp: *mut IRP) -> Call {
    // SAFETY: this function's contract.
    match u32::from(unsafe { function(irp) }) {
        IRP_MJ_CREATE => Call::DispatchCreate,
        IRP_MJ_CLEANUP => Call::DispatchCleanup,
        IRP_MJ_CLOSE => Call::DispatchClose,
        IRP_MJ_DEVICE_CONTROL => Call::DispatchDeviceControl,
        _ => Call::DispatchOther,
    }
}

/// Completes a request and gives its status; of one that is refused the driver is told before.
///
/// # Safety
///
/// As for [`complete`], with an IRP of this driver's device.
pub(super) unsafe fn finish<M: ControlDevice>(
    irp: *mut IRP,
    result: Result<usize, Status>,
    irql: &mut Passive,
) -> Status {
    if let Err(status) = result {
        // SAFETY: this function's contract.
        let function = unsafe { function(irp) };
        let code = (u32::from(function) == IRP_MJ_DEVICE_CONTROL).then(|| {
            // SAFETY: the function says that the parameters are those of a control request.
            unsafe { code(irp) }
        });
        M::refused(&Refused {
            function,
            code,
            status: status.into_failure(),
        });
    }
    // SAFETY: this function's contract.
    unsafe { complete(irp, result, irql) }
}

/// What has become of a request.
enum Answer {
    /// It is done, and the answer takes so many bytes.
    Done(usize),
    /// Somebody else completes it, or has done so already.
    Pending,
}

/// Completes an IRP, and gives its status.
///
/// # Safety
///
/// The IRP is the caller's, no cancel routine is set, and nobody uses it after this.
pub(super) unsafe fn complete(
    irp: *mut IRP,
    result: Result<usize, Status>,
    _irql: &mut impl Caller,
) -> Status {
    let (status, information) = match result {
        Ok(information) => (Status::SUCCESS, information),
        Err(status) => (status.into_failure(), 0),
    };
    // SAFETY: this function's contract.
    unsafe { (*irp).IoStatus.Information = information as u64 };
    // SAFETY: likewise; nothing is read.
    let place = unsafe { &raw mut (*irp).IoStatus.__bindgen_anon_1.Status };
    // SAFETY: likewise.
    unsafe { place.write(status.into_raw()) };
    // SAFETY: the IRP is completed once, here, by who has it; the token says that no lock is held.
    unsafe { nt::IofCompleteRequest(irp, IO_NO_INCREMENT as i8) };
    status
}

/// # Safety
///
/// That of [`dispatch`].
unsafe fn answer<M: ControlDevice>(irp: *mut IRP, irql: &mut Passive) -> Result<Answer, Status> {
    // SAFETY: this function's contract.
    match u32::from(unsafe { function(irp) }) {
        IRP_MJ_CREATE => {
            // SAFETY: this function's contract.
            let file = unsafe { file(irp) };
            // SAFETY: a create comes with a file object that the I/O manager keeps meanwhile.
            if !file.is_null() && unsafe { (*file).FileName }.Length != 0 {
                return Err(Status::OBJECT_NAME_INVALID);
            }
            Ok(Answer::Done(0))
        }
        IRP_MJ_CLEANUP => {
            // SAFETY: this function's contract.
            let file = unsafe { file(irp) };
            if let Some(device) = M::driver().device(irql) {
                device.close_file(file, irql);
            }
            Ok(Answer::Done(0))
        }
        IRP_MJ_CLOSE => Ok(Answer::Done(0)),
        // SAFETY: the function says that the parameters are those of a control request.
        IRP_MJ_DEVICE_CONTROL => unsafe { control::<M>(irp, irql) },
        _ => Err(Status::INVALID_DEVICE_REQUEST),
    }
}

/// # Safety
///
/// That of [`dispatch`]; the IRP is a device control request.
unsafe fn control<M: ControlDevice>(irp: *mut IRP, irql: &mut Passive) -> Result<Answer, Status> {
    // SAFETY: this function's contract.
    let (code, mut buffer) = unsafe { request(irp) }?;
    buffer.clear_behind_input();
    if M::is_longer(code) {
        let device = M::driver().device(irql).ok_or(Status::DEVICE_NOT_READY)?;
        // SAFETY: this function's contract, and the buffer is not used any more.
        unsafe { device.leave_pending(irp, irql) }?;
        return Ok(Answer::Pending);
    }
    let room = buffer.output_length;
    let written = M::control(M::driver(), code, &mut buffer, irql)?;
    Ok(Answer::Done(written.min(room)))
}

/// The code and the buffer of a control request.
///
/// # Errors
///
/// It has another method than `METHOD_BUFFERED`, or no buffer where one should be.
///
/// # Safety
///
/// The IRP is a device control request, and the caller's as long as the result lives.
pub(super) unsafe fn request<'a>(irp: *mut IRP) -> Result<(u32, ControlBuffer<'a>), Status> {
    // SAFETY: this function's contract.
    let location = unsafe { current_location(irp) };
    // SAFETY: this function's contract.
    let parameters = unsafe { &raw const (*location).Parameters.DeviceIoControl };
    // SAFETY: likewise: the member in use is this one.
    let parameters = unsafe { parameters.read() };
    let code = parameters.IoControlCode;
    if code & METHOD_MASK != METHOD_BUFFERED {
        return Err(Status::INVALID_DEVICE_REQUEST);
    }
    let input_length = parameters.InputBufferLength as usize;
    let output_length = parameters.OutputBufferLength as usize;
    let length = input_length.max(output_length);
    // SAFETY: this function's contract.
    let start = unsafe { &raw const (*irp).AssociatedIrp.SystemBuffer };
    // SAFETY: with METHOD_BUFFERED the system buffer is the member in use.
    let start = unsafe { start.read() }.cast::<u8>();
    if length > 0 && start.is_null() {
        return Err(Status::INVALID_PARAMETER);
    }
    let start = if length == 0 {
        core::ptr::NonNull::dangling().as_ptr()
    } else {
        start
    };
    // SAFETY: the buffer is as long as the longer of both, and in pool, which is never uninitialised for the system: what is
    // behind the input is written before anything is read of it.
    let bytes = unsafe { core::slice::from_raw_parts_mut(start, length) };
    Ok((
        code,
        ControlBuffer {
            bytes,
            input_length,
            output_length,
        },
    ))
}

/// The code of a control request.
///
/// # Safety
///
/// The IRP is a device control request, and the caller's.
unsafe fn code(irp: *mut IRP) -> u32 {
    // SAFETY: this function's contract.
    let location = unsafe { current_location(irp) };
    // SAFETY: this function's contract.
    let parameters = unsafe { &raw const (*location).Parameters.DeviceIoControl };
    // SAFETY: likewise: the member in use is this one.
    unsafe { (*parameters).IoControlCode }
}

/// The major function of an IRP.
///
/// # Safety
///
/// That of [`dispatch`], or the IRP was left pending there.
unsafe fn function(irp: *mut IRP) -> u8 {
    // SAFETY: this function's contract.
    let location = unsafe { current_location(irp) };
    // SAFETY: the I/O manager has set the location up for this driver.
    unsafe { (*location).MajorFunction }
}

/// The file object of an IRP.
///
/// # Safety
///
/// That of [`dispatch`], or the IRP was left pending there.
pub(super) unsafe fn file(irp: *mut IRP) -> *mut FILE_OBJECT {
    // SAFETY: this function's contract.
    let location = unsafe { current_location(irp) };
    // SAFETY: the I/O manager has set the location up for this driver.
    unsafe { (*location).FileObject }
}

/// Marks an IRP as one that is completed later, as `IoMarkIrpPending` does.
///
/// # Safety
///
/// That of [`dispatch`], which returns `STATUS_PENDING`.
pub(super) unsafe fn mark_pending(irp: *mut IRP) {
    // SAFETY: this function's contract.
    let location = unsafe { current_location(irp) };
    // SAFETY: likewise.
    unsafe { (*location).Control |= SL_PENDING_RETURNED as u8 };
}

/// Lets an IRP be cancelled. `false`: it has been already, and is the caller's as before.
///
/// # Safety
///
/// The IRP is the caller's; after `true` it is nobody's until [`disarm`] has given `true`, or the cancel routine runs.
pub(super) unsafe fn arm<M: ControlDevice>(irp: *mut IRP) -> bool {
    let routine: unsafe extern "C" fn(_, _) = thunk::cancel::<M>;
    // SAFETY: this function's contract.
    let place = unsafe { cancel_routine(irp) };
    // Before the look at `Cancel`: who cancels sets that first, and looks here then.
    place.swap(routine as *mut (), Ordering::SeqCst);
    // SAFETY: this function's contract.
    let cancel = unsafe { &raw mut (*irp).Cancel };
    // SAFETY: likewise; who cancels writes to it as to one byte.
    let is_cancelled = unsafe { AtomicU8::from_ptr(cancel) };
    is_cancelled.load(Ordering::SeqCst) == 0
        // If it is gone, the cancel routine is called, and the IRP is its.
        || place.swap(core::ptr::null_mut(), Ordering::SeqCst).is_null()
}

/// Keeps an IRP from being cancelled. `false`: it is being cancelled, and its cancel routine has it.
///
/// # Safety
///
/// [`arm`] has given `true` for the IRP, which is not completed.
pub(super) unsafe fn disarm(irp: *mut IRP) -> bool {
    // SAFETY: this function's contract.
    let place = unsafe { cancel_routine(irp) };
    !place
        .swap(core::ptr::null_mut(), Ordering::SeqCst)
        .is_null()
}

/// Where the cancel routine of an IRP stands, which `IoSetCancelRoutine` exchanges.
///
/// # Safety
///
/// The IRP is not completed as long as the result is used.
unsafe fn cancel_routine<'a>(irp: *mut IRP) -> &'a AtomicPtr<()> {
    // SAFETY: this function's contract.
    let place = unsafe { &raw mut (*irp).CancelRoutine };
    // SAFETY: the place is that of a pointer, and everybody exchanges it atomically.
    unsafe { AtomicPtr::from_ptr(place.cast()) }
}

/// The stack location of this driver, as `IoGetCurrentIrpStackLocation` finds it.
///
/// # Safety
///
/// That of [`dispatch`], or the IRP was left pending there.
unsafe fn current_location(irp: *mut IRP) -> *mut IO_STACK_LOCATION {
    // SAFETY: this function's contract.
    let overlay = unsafe { &raw const (*irp).Tail.Overlay.__bindgen_anon_2.__bindgen_anon_1 };
    // SAFETY: likewise.
    let location = unsafe { &raw const (*overlay).CurrentStackLocation };
    // SAFETY: the IRP is in use by a driver, so these members of the unions are.
    unsafe { location.read() }
}
